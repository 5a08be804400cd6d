"""`dlnotes char-rnn train`, `sample` and `score`."""

from dlnotes_cli.char_rnn.options import CharRnnSampleConfig, CharRnnScoreConfig, CharRnnTrainConfig
from dlnotes_cli.shell import output
from dlnotes_cli.shell.binding import command

_MEASURES = ("loss", "bits_per_char", "perplexity")
_RULE = "-" * 15  # below each of several samples


@command(
    panel="Train",
    examples=(
        "dlnotes char-rnn train --hidden 64 --max-steps 40 --out runs/help",
        "dlnotes char-rnn train --recipe notes --hidden 32 --max-steps 5 --json",
    ),
)
def train(config: CharRnnTrainConfig) -> None:
    """Train a character-level language model (LSTM, GRU or plain RNN) on text.

    The end of the text is held out for validation, in bits per character.
    """
    from dlnotes_cli.char_rnn.train import train_char_rnn

    fields = train_char_rnn(config).fields
    if config.json:
        output.document(config.command, fields)
        return
    validation, timing = fields["validation"], fields["timing"]
    rows = [
        ("train", f"{fields['train']['samples']:,}", f"{fields['train']['loss']:.4f}", "", ""),
        (
            "validation", f"{validation['samples']:,}", f"{validation['loss']:.4f}",
            f"{validation['bits_per_char']:.4f}", f"{validation['perplexity']:.3f}",
        ),
    ]  # fmt: skip
    unit = fields["data"]["unit"]
    numeric = (f"predicted {unit}", "loss", f"bits per {unit.removesuffix('s')}", "perplexity")
    output.table(("split", *numeric), rows, numeric)
    output.line()
    output.line(
        f"best epoch {fields['best_epoch']} of {fields['epochs']}, "
        f"step {fields['best_step']:,} of {fields['steps']:,}; "
        f"{timing['train_s']:.1f} s training, {timing['samples_per_s']:,.0f} {fields['data']['unit']}/s"
    )
    for path in (fields["model_file"], *fields["plots"]):
        output.line(path)


@command(
    panel="Use",
    examples=(
        'dlnotes char-rnn sample runs/help --prime "The " --length 100',
        "dlnotes char-rnn sample runs/help --count 3 --length 20 --json",
    ),
)
def sample(config: CharRnnSampleConfig) -> None:
    """Generate text with a trained character-level language model.

    A single sample is printed character by character as it is generated.
    """
    from dlnotes_cli.char_rnn.sample import CharRnnSampler
    from dlnotes_cli.data.text import readable

    sampler = CharRnnSampler(config)
    if config.json:
        samples = [one.as_json() for one in sampler.samples()]
        fields = {
            "model_file": str(sampler.path), "prime": readable(sampler.prime), "seed": config.seed,
            **sampler.runtime.as_json(), "samples": samples,
        }  # fmt: skip
        output.document(config.command, fields)
    elif config.count == 1:
        output.raw(sampler.prime)
        for piece in sampler.stream():
            output.raw(piece)
        output.raw("\n")
    else:
        for one in sampler.samples():
            output.raw(f"{sampler.prime}{one.text}\n{_RULE}\n")


@command(
    panel="Use",
    examples=(
        "dlnotes char-rnn score runs/help runs/help/config.json",
        "dlnotes char-rnn score runs/help runs/help/config.json --lines --json",
    ),
)
def score(config: CharRnnScoreConfig) -> None:
    """Score texts with a trained character-level language model: loss, bits per character and perplexity."""
    from dlnotes_cli.char_rnn.score import score_texts

    fields = score_texts(config).fields
    if config.json:
        output.document(config.command, fields)
        return
    entries = [*fields["texts"], *([{"name": "all", **fields["total"]}] if len(fields["texts"]) > 1 else [])]
    rows = [
        (e["name"], f"{e['predicted']:,}", *(f"{e[name]:.4f}" if e["predicted"] else "-" for name in _MEASURES))
        for e in entries
    ]
    numeric = ("predicted", "loss", f"bits per {fields['unit'].removesuffix('s')}", "perplexity")
    output.table(("text", *numeric), rows, numeric)
    if fields["heat"]:
        output.line()
        output.line(fields["heat"])
