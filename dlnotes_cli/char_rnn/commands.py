"""`dlnotes char-rnn train`, `dlnotes char-rnn sample` and `dlnotes char-rnn score`."""

from typing import TYPE_CHECKING

import typer

from dlnotes_cli.char_rnn.options import CharRnnSampleConfig, CharRnnScoreConfig, CharRnnTrainConfig
from dlnotes_cli.shell import output
from dlnotes_cli.shell.binding import add_command
from dlnotes_cli.shell.startup import PlainGroup

if TYPE_CHECKING:
    from dlnotes_cli.char_rnn.score import Score
    from dlnotes_cli.training.record import TrainingResult

TRAIN_EXAMPLES = (
    "dlnotes char-rnn train --hidden 64 --max-steps 40 --out runs/help",
    "dlnotes char-rnn train --recipe notes --hidden 32 --max-steps 5 --json",
)
SAMPLE_EXAMPLES = (
    'dlnotes char-rnn sample runs/help --prime "The " --length 100',
    "dlnotes char-rnn sample runs/help --count 3 --length 20 --json",
)
SCORE_EXAMPLES = (
    "dlnotes char-rnn score runs/help runs/help/config.json",
    "dlnotes char-rnn score runs/help runs/help/config.json --lines --json",
)
_RULE = "-" * 15


def train(config: CharRnnTrainConfig) -> None:
    """Train a recurrent network (LSTM, GRU or plain) to continue a text, character by character.

    The end of the text validates, all of it, in bits per character.
    """
    from dlnotes_cli.char_rnn.train import train_char_rnn

    result = train_char_rnn(config)
    if config.json:
        output.document(config.command, result.as_json())
    else:
        _print_training(result)


def sample(config: CharRnnSampleConfig) -> None:
    """Continue a text with a trained character model, on stdout as it is made.

    Several samples are drawn side by side, and shown one below the other.
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
        for sample in result.samples:
            output.raw(f"{result.prime}{sample.text}\n{_RULE}\n")


def score(config: CharRnnScoreConfig) -> None:
    """Say how well a trained character model predicts texts: its loss, bits per character and perplexity."""
    from dlnotes_cli.char_rnn.score import score_texts

    result = score_texts(config)
    if config.json:
        output.document(config.command, result.as_json())
        return
    scores = [*result.texts, *([("all", result.total)] if len(result.texts) > 1 else [])]
    unit = result.unit.removesuffix("s")
    output.table(("text", "predicted", "loss", f"bits per {unit}", "perplexity"), [_row(*entry) for entry in scores])
    if result.heat is not None:
        output.line()
        output.line(str(result.heat))


def _print_training(result: "TrainingResult") -> None:
    validation, timing, unit = result.validation, result.timing, result.data["unit"]
    rows = [
        ("train", f"{result.train['samples']:,}", f"{result.train['loss']:.4f}", "", ""),
        (
            "validation", f"{validation['samples']:,}", f"{validation['loss']:.4f}",
            f"{validation['bits_per_char']:.4f}", f"{validation['perplexity']:.3f}",
        ),
    ]  # fmt: skip
    output.table(("split", f"predicted {unit}", "loss", f"bits per {unit.removesuffix('s')}", "perplexity"), rows)
    output.line()
    output.line(
        f"best epoch {result.best_epoch} of {result.epochs}, "
        f"step {result.details['best_step']:,} of {result.steps:,}; "
        f"{timing.train_s:.1f} s training, {timing.samples_per_s:,.0f} {unit}/s"
    )
    for path in (result.model_file, *result.plots):
        output.line(path)


def _row(name: str, score: "Score") -> tuple[str, ...]:
    metrics = (score.loss, score.bits_per_char, score.perplexity)
    return name, f"{score.predicted:,}", *(f"{metric:.4f}" if score.predicted else "-" for metric in metrics)


def register(app: typer.Typer) -> None:
    """Add the commands to the app."""
    group = typer.Typer(cls=PlainGroup, help="Character models: train, sample, score.", no_args_is_help=False)
    add_command(group, train, panel="Train", examples=TRAIN_EXAMPLES)
    add_command(group, sample, panel="Use", examples=SAMPLE_EXAMPLES)
    add_command(group, score, panel="Use", examples=SCORE_EXAMPLES)
    app.add_typer(group, name="char-rnn", rich_help_panel="Train")
