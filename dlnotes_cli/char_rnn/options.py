"""The options of `dlnotes char-rnn train`, `sample` and `score`."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

from dlnotes_cli.char_rnn.recipes import BEST, BEST_LONG, NOTES, CharRnnRecipe
from dlnotes_cli.models.choices import CellType
from dlnotes_cli.shell.errors import InputError
from dlnotes_cli.shell.files import check_png
from dlnotes_cli.shell.option import (
    Config,
    Range,
    flag,
    option,
    option_group,
    option_like,
    options_of,
)
from dlnotes_cli.shell.option_groups import DeviceOptions, OutputOptions, OverwriteOption, SeedOption
from dlnotes_cli.training.options import (
    DropoutOption,
    InitFromOption,
    LearningOptions,
    ModelArgument,
    TrainingRunOptions,
)
from dlnotes_cli.training.recipes import LONG_BUDGET, resolve


@option_group
class TextFilesOptions(Config):
    """Text files, and how they are decoded."""

    texts: tuple[str, ...] = option(
        (),
        "Text files, folders of text files, or - for standard input.",
        panel="Data",
        is_argument=True,
        metavar="TEXT",
    )
    encoding: str | None = option(
        None, "Encoding of the files, such as utf-8 or cp1252.", panel="Data", shown_default="utf-8"
    )


@option_group
class OnUnknownOption(Config):
    """What is done with characters outside the model's vocabulary."""

    on_unknown: Literal["error", "skip"] = option(
        "error", "What to do with characters that the model does not know", panel="Data"
    )


@option_group
class TrainingTextOptions(TextFilesOptions):
    """The training texts, and how they become tokens."""

    texts: tuple[str, ...] = option_like(TextFilesOptions, "texts", shown_default="Python's own help texts")
    vocab: Literal["chars", "bytes"] = option(
        "chars", "Vocabulary: the characters of the text (chars), or bytes.", panel="Data"
    )
    lower: bool = option(False, "Lowercase the text.", panel="Data")
    newline: Literal["translate", "keep"] = option(
        "translate",
        "translate: every line end becomes \\n, and a byte-order mark is dropped; keep: leave the text unchanged.",
        panel="Data",
    )
    val_split: float = option(
        0.1, "Fraction of the text, at its end, to hold out for validation.", panel="Data", within="(0, 1)"
    )


@option_group
class RnnOptions(InitFromOption):
    """The network."""

    cell: CellType = option("lstm", "Recurrent cell", panel="Model")
    layers: int | None = option(None, "Recurrent layers.", panel="Model", within="[1, 64]", name="--num-layers")
    hidden: int | None = option(
        None,
        "Hidden size of each layer.",
        panel="Model",
        within="[1, 1e5]",
        name="--hidden-size",
    )
    embed: int | None = option(None, "Embedding size; 0 for one-hot input.", panel="Model", within="[0, 1e5]")
    dropout: float | None = option_like(DropoutOption, "dropout", help="Dropout probability between layers.")
    init_from: Path | None = option_like(
        InitFromOption,
        "init_from",
        help="Start from the weights of this run or model file, of the same architecture; characters are matched.",
    )
    tied: bool = option(False, "Tie the weights of the output layer to those of the embedding.", panel="Model")
    residual: bool | None = option(
        None, "Add the input of each recurrent layer but the first to its output.", panel="Model"
    )


@option_group
class SequenceOptions(LearningOptions):
    """How the network is trained."""

    seq_len: int | None = option(
        None,
        "Sequence length of truncated backpropagation through time.",
        panel="Training",
        within="[1, 1e6]",
    )
    batch_size: int | None = option_like(  # here of sequences; `auto` measures only classifiers
        LearningOptions,
        "batch_size",
        help="Sequences per step: the text is cut into N streams that are read in parallel.",
        within=Range("[1, 1e6]"),
        parse=None,
    )
    epochs: int | None = option_like(LearningOptions, "epochs", help="Passes over the text.")
    reset_state: float | None = option(
        None,
        "Probability of resetting a stream's hidden state at the start of a sequence; with 0 the hidden state can "
        "diverge.",
        panel="Training",
        within="[0, 1]",
    )
    eval_every: int | None = option(
        None,
        "Validate every N steps, for long texts.",
        panel="Training",
        within="[1, 1e9]",
        shown_default="once per epoch",
    )
    sample: int = option(
        200, "Characters to sample and print after each validation; 0 for none.", panel="Output", within="[0, 1e6]"
    )


@dataclass(frozen=True, kw_only=True)
class CharRnnTrainConfig(OutputOptions, SequenceOptions, TrainingRunOptions, RnnOptions, TrainingTextOptions):
    """Every option of `char-rnn train`."""

    command: ClassVar[str] = "char-rnn train"
    recipes: ClassVar[Mapping[str, object]] = {"": BEST, LONG_BUDGET: BEST_LONG, "notes": NOTES}

    def __post_init__(self) -> None:
        """Validate each option, then their combination."""
        super().__post_init__()
        if self.vocab == "bytes" and (self.lower or self.encoding):
            name = "--lower" if self.lower else "--encoding"
            raise InputError(name, "has no effect with --vocab bytes", f"drop {name}, or use --vocab chars")
        if self.devices > 1 and "-" in self.texts:
            raise InputError("--devices", "only one process can read standard input", "save the text to a file")

    def resolved(self) -> CharRnnRecipe:
        """The recipe of the run, in which options that are set replace values."""
        return resolve(self, self._recipe)

    def long_run_defaults(self) -> dict[str, Any]:
        """The defaults that a long time budget changes, by the names of options in the shell."""
        if self._recipe is not BEST_LONG:
            return {}
        long, usual = (vars(recipe) | {"batch_size": recipe.length.batch_size} for recipe in (BEST_LONG, BEST))
        changed = {name: value for name, value in long.items() if value != usual[name] and name != "length"}
        options = options_of(type(self))
        return {flag(name, options[name]): value for name, value in changed.items() if getattr(self, name) is None}

    @property
    def _recipe(self) -> CharRnnRecipe:
        if self.recipe == "notes":
            return NOTES
        return BEST_LONG if self.has_long_budget else BEST


@option_group
class SampleOptions(Config):
    """What is sampled, and how."""

    prime: str | None = option(
        None, "Text to continue.", panel="Data", metavar="TEXT", shown_default="a line end, or the first character"
    )
    length: int = option(500, "Characters to sample.", panel="Model", within="[1, 1e9]")
    temperature: float = option(
        1.0,
        "Sampling temperature, which divides the logits: below 1 for safer text, above 1 for bolder; 0 always takes "
        "the most probable character.",
        panel="Model",
        within="[0, 1e3]",
    )
    top_k: int | None = option(
        None, "Sample from the k most probable characters.", panel="Model", within="[1, 1e7]", shown_default="all"
    )
    top_p: float | None = option(
        None,
        "Sample from the most probable characters whose probabilities add up to X (nucleus sampling).",
        panel="Model",
        within="(0, 1]",
        shown_default="all",
    )
    count: int = option(1, "Number of samples, drawn in parallel.", panel="Output", within="[1, 1e5]")
    stop: str | None = option(None, "End a sample at this text, which is not printed.", panel="Model", metavar="TEXT")


@dataclass(frozen=True, kw_only=True)
class CharRnnSampleConfig(OutputOptions, DeviceOptions, SeedOption, SampleOptions, OnUnknownOption, ModelArgument):
    """Every option of `char-rnn sample`."""

    command: ClassVar[str] = "char-rnn sample"


@option_group
class ScoreOptions(OnUnknownOption, TextFilesOptions):
    """What is scored."""

    lines: bool = option(False, "Score each line separately.", panel="Data")
    heat: Path | None = option(
        None,
        "Plot the start of the text, with each character colored by its surprisal.",
        panel="Output",
        metavar="FILE.png",
    )


@dataclass(frozen=True, kw_only=True)
class CharRnnScoreConfig(OutputOptions, OverwriteOption, DeviceOptions, ScoreOptions, ModelArgument):
    """Every option of `char-rnn score`."""

    command: ClassVar[str] = "char-rnn score"

    def __post_init__(self) -> None:
        """Validate each option, then that there is a text and the name of the plot."""
        super().__post_init__()
        if not self.texts:
            raise InputError("TEXT", "no text given", "name files or folders, or - for standard input")
        if self.heat is not None:
            check_png("--heat", self.heat)
