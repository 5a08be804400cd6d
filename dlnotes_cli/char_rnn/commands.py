"""`dlnotes char-rnn train`, `sample` and `score`."""

from typing import TYPE_CHECKING

from dlnotes_cli.char_rnn.options import CharRnnSampleConfig, CharRnnScoreConfig, CharRnnTrainConfig
from dlnotes_cli.shell import output
from dlnotes_cli.shell.binding import command
from dlnotes_cli.shell.codec import to_json

if TYPE_CHECKING:
    from dlnotes_cli.char_rnn.score import Score
    from dlnotes_cli.char_rnn.train import CharRnnResult

_RULE = "-" * 15  # below each of several samples


@command(
    panel="Train",
    task="char_rnn.train:train_char_rnn -> CharRnnResult",
    examples=(
        "dlnotes char-rnn train --hidden-size 64 --max-steps 40 --out runs/help",
        "dlnotes char-rnn train --recipe notes --hidden-size 32 --max-steps 5 --json",
    ),
)
def train(config: CharRnnTrainConfig) -> None:
    """Train a character-level language model (LSTM, GRU or plain RNN) on text.

    The end of the text is held out; validation loss is reported in bits per character.
    """
    from dlnotes_cli.char_rnn.train import train_char_rnn

    result = train_char_rnn(config)
    if config.json:
        output.document(config.command, to_json(result))
    else:
        _print_training(result)


def _print_training(result: "CharRnnResult") -> None:
    validation, timing, unit = result.validation, result.timing, result.data.unit
    rows = [
        ("train", f"{result.train.samples:,}", f"{result.train.loss:.4f}", "", ""),
        (
            "validation", f"{validation.samples:,}", f"{validation.loss:.4f}",
            f"{validation.bits_per_char:.4f}", f"{validation.perplexity:.3f}",
        ),
    ]  # fmt: skip
    numeric = (f"predicted {unit}", "loss", f"bits per {unit.removesuffix('s')}", "perplexity")
    output.table(("split", *numeric), rows, numeric)
    output.line()
    output.line(
        f"best epoch {result.best_epoch} of {result.epochs}, "
        f"step {result.best_step:,} of {result.steps:,}; "
        f"{timing.train_s:.1f} s training, {timing.samples_per_s:,.0f} {unit}/s"
    )
    for path in (result.model_file, *result.plots):
        output.line(path)


@command(
    panel="Use",
    task="char_rnn.sample:CharRnnSampler -> SampleResult",
    also=("char_rnn.sample:Sample",),
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

    sampler = CharRnnSampler(config)
    if config.json:
        output.document(config.command, sampler.sample().as_json())
    elif config.count == 1:
        output.raw(sampler.prime)
        for piece in sampler.stream():
            output.raw(piece)
        output.raw("\n")
    else:
        result = sampler.sample()
        for one in result.samples:
            output.raw(f"{result.prime}{one.text}\n{_RULE}\n")


@command(
    panel="Use",
    task="char_rnn.score:score_texts -> ScoreResult",
    also=("char_rnn.score:Score",),
    examples=(
        "dlnotes char-rnn score runs/help runs/help/config.json",
        "dlnotes char-rnn score runs/help runs/help/config.json --lines --json",
    ),
)
def score(config: CharRnnScoreConfig) -> None:
    """Score texts with a trained character-level language model: loss, bits per character and perplexity."""
    from dlnotes_cli.char_rnn.score import score_texts

    result = score_texts(config)
    if config.json:
        output.document(config.command, result.as_json())
        return
    scores = [*result.texts, *([("all", result.total)] if len(result.texts) > 1 else [])]
    numeric = ("predicted", "loss", f"bits per {result.unit.removesuffix('s')}", "perplexity")
    output.table(("text", *numeric), [_row(*entry) for entry in scores], numeric)
    if result.heat is not None:
        output.line()
        output.line(str(result.heat))


def _row(name: str, score: "Score") -> tuple[str, ...]:
    metrics = (score.loss, score.bits_per_char, score.perplexity)
    return name, f"{score.predicted:,}", *(f"{metric:.4f}" if score.predicted else "-" for metric in metrics)
