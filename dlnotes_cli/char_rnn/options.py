"""The options of `dlnotes char-rnn train`, `sample` and `score`, and the recipes of training."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Literal

from dlnotes_cli.networks.choices import CellType
from dlnotes_cli.shell import option_groups as common
from dlnotes_cli.shell.option import REQUIRED, Range, flag, option, options_of
from dlnotes_cli.training import options as training
from dlnotes_cli.training.recipes import LONG_BUDGET, LONG_BUDGET_S, LengthDefaults, Recipe, resolve


@dataclass(frozen=True, kw_only=True)
class CharRnnRecipe(Recipe):
    """What training a character model decides as well."""

    layers: int
    hidden: int
    embed: int  # embedding size; 0: one-hot
    residual: bool
    dropout: float
    seq_len: int
    reset_state: float  # probability that a row starts a chunk with a zero state
    random_offset: bool  # cut the text at different positions in each epoch; not an option of the command


# Short chunks and a narrow network give a short run the many steps it needs: a processor core runs 32 rows of 32
# characters faster than 16 rows of 64, and its cache holds the weights of 320 units. Samples are chunks.
BEST = CharRnnRecipe(
    optimizer="adamw", lr=6e-3, momentum=0.9, schedule="one-cycle", weight_decay=0.05, ema=0.0, grad_clip=1.0,
    layers=2, hidden=320, embed=64, residual=True, dropout=0.15, seq_len=32, reset_state=0.02, random_offset=True,
    length=LengthDefaults(epochs=5, batch_size=32, min_steps=1000),
)  # fmt: skip
# A long run has the time for longer sequences, from which a network learns more. It reads the text so often that it
# needs more dropout and weight decay against overfitting.
BEST_LONG = replace(
    BEST, hidden=384, dropout=0.3, weight_decay=0.1, seq_len=64, length=replace(BEST.length, batch_size=16)
)
# The course's notebook on Anna Karenina.
NOTES = CharRnnRecipe(
    optimizer="adam", lr=1e-3, momentum=0.0, schedule="constant", weight_decay=0.0, ema=0.0, grad_clip=5.0,
    layers=2, hidden=512, embed=0, residual=False, dropout=0.5, seq_len=100, reset_state=0.0, random_offset=False,
    length=LengthDefaults(epochs=20, batch_size=128, is_fixed=True),
)  # fmt: skip

TEXTS = option(
    REQUIRED, "Text files, folders of text files, or - for standard input.", panel="Data", is_argument=True,
    metavar="TEXT",
)  # fmt: skip
ENCODING = option(
    None, "Encoding of the files, such as cp1252.", panel="Data", shown_default="that of a byte-order mark, else utf-8"
)
ON_UNKNOWN = option("error", "What to do with characters that the model does not know", panel="Data")


@dataclass(frozen=True, kw_only=True)
class CharRnnTrainConfig(training.TrainingConfig, command="char-rnn train"):
    """Every option of `char-rnn train`."""

    recipes: ClassVar[Mapping[str, object]] = {"": BEST, LONG_BUDGET: BEST_LONG, "notes": NOTES}

    texts: tuple[str, ...] = replace(TEXTS, default=(), shown_default="Python's own help texts")
    # Data
    encoding: str | None = replace(ENCODING, unused_with=("vocab=bytes",))
    vocab: Literal["chars", "bytes"] = option(
        "chars", "Vocabulary: the characters of the text (chars), or bytes.", panel="Data"
    )
    lower: bool = option(False, "Lowercase the text.", panel="Data", unused_with=("vocab=bytes",))
    newline: Literal["translate", "keep"] = option(
        "translate", "translate: every line end as \\n, and no byte-order mark; keep: leave the text unchanged.",
        panel="Data",
    )  # fmt: skip
    val_split: float = option(
        0.1, "Fraction of the text, at its end, to hold out for validation.", panel="Data", within="(0, 1)"
    )
    # Model
    init_from: Path | None = replace(
        training.INIT_FROM,
        help="Start from the weights of this run or model file, of the same architecture; characters are matched.",
    )
    cell: CellType = option("lstm", "Recurrent cell", panel="Model")
    layers: int | None = option(None, "Recurrent layers.", panel="Model", within="[1, 64]", name="--num-layers")
    hidden: int | None = option(
        None, "Hidden size of each layer.", panel="Model", within="[1, 1e5]", name="--hidden-size"
    )
    embed: int | None = option(None, "Embedding size; 0 for one-hot input.", panel="Model", within="[0, 1e5]")
    dropout: float | None = replace(training.DROPOUT, help="Dropout probability between layers.")
    tied: bool = option(False, "Tie the weights of the output layer to those of the embedding.", panel="Model")
    residual: bool | None = option(
        None, "Add the input of each recurrent layer but the first to its output.", panel="Model"
    )
    # Training
    epochs: int | None = replace(training.EPOCHS, help="Passes over the text.")
    batch_size: int | None = replace(  # of sequences; `auto` measures only classifiers
        training.BATCH_SIZE,
        help="Sequences per step: the text is cut into N streams that are read in parallel.",
        within=Range("[1, 1e6]"),
        parse=None,
    )
    seq_len: int | None = option(
        None, "Sequence length of truncated backpropagation through time.", panel="Training", within="[1, 1e6]"
    )
    reset_state: float | None = option(
        None, "Probability of resetting a stream's hidden state at the start of a sequence; with 0 it can diverge.",
        panel="Training", within="[0, 1]",
    )  # fmt: skip
    eval_every: int | None = option(
        None, "Validate every N steps, for long texts.", panel="Training", within="[1, 1e9]",
        shown_default="once per epoch",
    )  # fmt: skip
    # Output
    sample: int = option(
        200, "Characters to sample and print after each validation; 0 for none.", panel="Output", within="[0, 1e6]"
    )
    # Runtime
    devices: int = replace(training.DEVICES, conflicts=("texts=-",))  # one process can read standard input

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
        return BEST_LONG if (self.time_budget or 0) >= LONG_BUDGET_S else BEST


@dataclass(frozen=True, kw_only=True)
class CharRnnSampleConfig(common.OnDevice, command="char-rnn sample"):
    """Every option of `char-rnn sample`."""

    model: Path = training.MODEL
    # Data
    on_unknown: Literal["error", "skip"] = ON_UNKNOWN
    prime: str | None = option(
        None, "Text to continue.", panel="Data", metavar="TEXT", shown_default="a line end, or the first character"
    )
    # Model
    length: int = option(500, "Characters to sample.", panel="Model", within="[1, 1e9]")
    temperature: float = option(
        1.0, "Divides the logits: below 1 for safer text, above 1 for bolder; 0 takes the most probable character.",
        panel="Model", within="[0, 1e3]",
    )  # fmt: skip
    top_k: int | None = option(
        None, "Sample from the k most probable characters.", panel="Model", within="[1, 1e7]", shown_default="all"
    )
    top_p: float | None = option(
        None, "Sample from the most probable characters whose probabilities add up to X (nucleus sampling).",
        panel="Model", within="(0, 1]", shown_default="all",
    )  # fmt: skip
    stop: str | None = option(None, "End a sample at this text, which is not printed.", panel="Model", metavar="TEXT")
    # Output
    count: int = option(1, "Number of samples, drawn as parallel streams.", panel="Output", within="[1, 1e5]")
    # Runtime
    seed: int = common.SEED


@dataclass(frozen=True, kw_only=True)
class CharRnnScoreConfig(common.OnDevice, command="char-rnn score"):
    """Every option of `char-rnn score`."""

    model: Path = training.MODEL
    texts: tuple[str, ...] = TEXTS
    # Data
    encoding: str | None = ENCODING
    on_unknown: Literal["error", "skip"] = ON_UNKNOWN
    lines: bool = option(False, "Score each line separately.", panel="Data")
    # Output
    heat: Path | None = common.png_option("Plot the start of the text, with each character colored by its surprisal.")
    overwrite: bool = common.OVERWRITE
