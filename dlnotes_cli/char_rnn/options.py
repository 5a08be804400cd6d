"""The options of `dlnotes char-rnn train`, `sample` and `score`."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from dlnotes_cli.models.choices import Cell
from dlnotes_cli.shell.option import DATA, MODEL, OUTPUT, TRAINING, Config, option
from dlnotes_cli.shell.option_groups import DeviceOptions, OutputOptions
from dlnotes_cli.training.options import LearningOptions, ModelArgument, TrainingRunOptions

_BY_RECIPE = "by recipe"
_TEXTS = "Text files, folders of them, or - for stdin."


@dataclass(frozen=True, kw_only=True)
class TextOptions(Config):
    """The texts that are trained on, and how they become characters."""

    texts: tuple[str, ...] = option(
        (),
        f"{_TEXTS} None: the help texts of Python itself.",
        group=DATA,
        is_argument=True,
        metavar="TEXT",
    )
    vocab: Literal["chars", "bytes"] = option(
        "chars", "What is predicted: the characters that the text has, or bytes.", group=DATA
    )
    lower: bool = option(False, "Make all letters small.", group=DATA, names=("--lower",))
    encoding: str | None = option(
        None, "Encoding of the files, utf-8 or cp1252 for example.", group=DATA, shown_default="utf-8"
    )
    newline: Literal["translate", "keep"] = option(
        "translate",
        "translate: every end of line becomes one \\n, a byte-order mark is dropped; keep: nothing is changed.",
        group=DATA,
    )
    val_split: float = option(
        0.1, "Part at the end of the text that is kept for validation.", group=DATA, within="(0, 1)"
    )


@dataclass(frozen=True, kw_only=True)
class RnnOptions(Config):
    """The network."""

    cell: Cell = option("lstm", "Kind of cell.", group=MODEL)
    layers: int | None = option(None, "Layers of cells.", group=MODEL, within="[1, 64]", shown_default=_BY_RECIPE)
    hidden: int | None = option(None, "Cells in a layer.", group=MODEL, within="[1, 1e5]", shown_default=_BY_RECIPE)
    embed: int | None = option(
        None, "Numbers that a character becomes; 0: one-hot.", group=MODEL, within="[0, 1e5]", shown_default=_BY_RECIPE
    )
    dropout: float | None = option(
        None,
        "Part of what passes from layer to layer dropped in each step.",
        group=MODEL,
        within="[0, 1)",
        shown_default=_BY_RECIPE,
    )
    tied: bool = option(False, "Use the embedding again, transposed, as output layer.", group=MODEL, names=("--tied",))


@dataclass(frozen=True, kw_only=True)
class SequenceOptions(LearningOptions):
    """How it is trained."""

    seq_len: int | None = option(
        None,
        "Characters through which an error is traced back; the state is carried on from batch to batch.",
        group=TRAINING,
        within="[1, 1e6]",
        shown_default=_BY_RECIPE,
    )
    batch_size: int | None = option(
        None, "Streams read side by side.", group=TRAINING, within="[1, 1e6]", shown_default=_BY_RECIPE
    )
    reset_state: float | None = option(
        None,
        "Probability that a stream begins a window with zeros; without it a state may run away and never come back.",
        group=TRAINING,
        within="[0, 1]",
        shown_default=_BY_RECIPE,
    )
    eval_every: int | None = option(
        None,
        "Steps between validations within an epoch, for a long text.",
        group=TRAINING,
        within="[1, 1e9]",
        shown_default="once an epoch",
    )
    patience: int | None = option(
        None,
        "Stop after this many validations without a better one.",
        group=TRAINING,
        within="[1, 1e6]",
        shown_default="never",
    )
    grad_clip: float | None = option(
        None, "Largest norm of the gradient; 0: any.", group=TRAINING, within="[0, inf)", shown_default=_BY_RECIPE
    )
    optimizer: Literal["adamw", "adam", "rmsprop"] | None = option(
        None, "Optimizer.", group=TRAINING, shown_default=_BY_RECIPE
    )
    sample: int = option(200, "Characters sampled after each validation; 0: none.", group=OUTPUT, within="[0, 1e6]")


@dataclass(frozen=True, kw_only=True)
class CharRnnTrainConfig(OutputOptions, SequenceOptions, TrainingRunOptions, DeviceOptions, RnnOptions, TextOptions):
    """Every option of `char-rnn train`."""

    command: ClassVar[str] = "char-rnn train"


@dataclass(frozen=True, kw_only=True)
class SampleOptions(Config):
    """What is sampled, and how."""

    prime: str | None = option(
        None, "Text to go on from.", group=MODEL, metavar="TEXT", shown_default="a line's end, or the first character"
    )
    length: int = option(500, "Characters to sample.", group=MODEL, within="[1, 1e9]")
    temperature: float = option(
        1.0,
        "Divides the logits: below 1 safer, above 1 bolder, 0 always the most probable.",
        group=MODEL,
        within="[0, 1e3]",
    )
    top_k: int | None = option(
        None, "Choose among the k most probable.", group=MODEL, within="[1, 1e7]", shown_default="all"
    )
    top_p: float | None = option(
        None,
        "Choose among the most probable that together have this probability.",
        group=MODEL,
        within="(0, 1]",
        shown_default="all",
    )
    count: int = option(1, "Samples, drawn side by side.", group=MODEL, within="[1, 1e5]")
    stop: str | None = option(
        None, "End a sample where this text has come; it is not shown.", group=MODEL, metavar="TEXT", shown_default="no"
    )
    on_unknown: Literal["error", "skip"] = option(
        "error", "What to do with characters of the prime that the model does not know.", group=MODEL
    )
    seed: int = option(0, "Seed of what is drawn.", group=MODEL, within="[0, 9e15]")


@dataclass(frozen=True, kw_only=True)
class CharRnnSampleConfig(OutputOptions, DeviceOptions, SampleOptions, ModelArgument):
    """Every option of `char-rnn sample`."""

    command: ClassVar[str] = "char-rnn sample"


@dataclass(frozen=True, kw_only=True)
class ScoreOptions(Config):
    """What is scored."""

    texts: tuple[str, ...] = option((), _TEXTS, group=DATA, is_argument=True, metavar="TEXT")
    lines: bool = option(False, "Score each line by itself.", group=DATA, names=("--lines",))
    encoding: str | None = option(
        None, "Encoding of the files, utf-8 or cp1252 for example.", group=DATA, shown_default="utf-8"
    )
    on_unknown: Literal["error", "skip"] = option(
        "error", "What to do with characters that the model does not know.", group=DATA
    )
    heat: Path | None = option(
        None,
        "Draw the start of the text with each character colored by its surprise.",
        group=OUTPUT,
        metavar="FILE.png",
        shown_default="no",
    )
    overwrite: bool = option(False, "Replace a file that exists.", group=OUTPUT, names=("--overwrite",))


@dataclass(frozen=True, kw_only=True)
class CharRnnScoreConfig(OutputOptions, DeviceOptions, ScoreOptions, ModelArgument):
    """Every option of `char-rnn score`."""

    command: ClassVar[str] = "char-rnn score"
