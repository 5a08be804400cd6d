"""The options of `dlnotes train-text`, and its recipes."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

from dlnotes_cli.data import options as data_options
from dlnotes_cli.data.options import EMBEDDED_TEXTS
from dlnotes_cli.networks.choices import GatedCell, TokenPooling
from dlnotes_cli.shell.binding import command
from dlnotes_cli.shell.errors import InputError
from dlnotes_cli.shell.option import Range, option
from dlnotes_cli.training import options as training
from dlnotes_cli.training.recipes import LengthDefaults, Recipe, resolve

_OF_NETWORK = (  # options without effect on the linear model
    "tokenizer", "vocab_size", "max_length", "cell", "layers", "hidden", "embed", "bidirectional", "pooling",
    "dropout", "head_dropout", "epochs", "batch_size", "label_smoothing", "time_budget", "max_steps", "lr",
    "schedule", "optimizer", "momentum", "weight_decay", "patience", "ema", "grad_clip", "devices", "compile",
)  # fmt: skip
_BYTES = 256  # the fewest tokens of byte pairs


@dataclass(frozen=True, kw_only=True)
class TextRecipe(Recipe):
    """Settings of `train-text`, which include those of the network and of its tokens."""

    val_split: float
    label_smoothing: float
    tokenizer: str
    vocab_size: int  # words or pairs of bytes; 0: every word of the training texts
    max_length: int
    cell: GatedCell
    layers: int
    hidden: int
    embed: int
    bidirectional: bool
    pooling: TokenPooling
    embed_dropout: float  # not an option of the command
    dropout: float
    head_dropout: float
    is_course: bool = False  # the notebook's words, padding and single output


BEST = TextRecipe(
    optimizer="adamw", lr=3e-3, momentum=0.9, schedule="one-cycle", weight_decay=0.05, ema=0.0, grad_clip=1.0,
    val_split=0.1, label_smoothing=0.0, tokenizer="words", vocab_size=20_000, max_length=512, cell="lstm", layers=1,
    hidden=128, embed=128, bidirectional=True, pooling="max", embed_dropout=0.3, dropout=0.3, head_dropout=0.3,
    length=LengthDefaults(epochs=6, batch_size=64, min_steps=600, small_batch_size=32),
)  # fmt: skip
# The course's notebook on film reviews: 20,000 of 25,000 for training, 2,500 for validation, 2,500 for the test.
NOTES = TextRecipe(
    optimizer="adam", lr=1e-3, momentum=0.0, schedule="constant", weight_decay=0.0, ema=0.0, grad_clip=5.0,
    val_split=1 / 9, label_smoothing=0.0, tokenizer="words", vocab_size=0, max_length=200, cell="lstm", layers=2,
    hidden=256, embed=400, bidirectional=False, pooling="last", embed_dropout=0.0, dropout=0.5, head_dropout=0.3,
    is_course=True, length=LengthDefaults(epochs=4, batch_size=50, is_fixed=True),
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class TrainTextConfig(training.TrainingConfig, command="train-text"):
    """Every option of `train-text`."""

    recipes: ClassVar[Mapping[str, object]] = {"": BEST, "notes": NOTES}
    changes: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        name: {"unused_with": ("model=linear",)} for name in _OF_NETWORK
    }

    # Data
    data: str = option(
        EMBEDDED_TEXTS,
        f"A CSV file, a folder with one subfolder of .txt files per class, or {EMBEDDED_TEXTS}: generated sentences.",
        panel="Data",
        metavar="NAME|FOLDER|CSV",
        complete=lambda: [EMBEDDED_TEXTS],
    )
    text_column: str | None = replace(
        data_options.TEXT_COLUMN, help="CSV: column of the texts.", shown_default="the only one besides --target"
    )
    target: str | None = data_options.TARGET
    encoding: str | None = option(
        None, "Encoding of the files, such as cp1252.", panel="Data", unused_with=(f"data={EMBEDDED_TEXTS}",),
        shown_default="that of a byte-order mark, else utf-8",
    )  # fmt: skip
    val_split: float | None = replace(
        data_options.VAL_SPLIT, help="Fraction of the training texts to hold out for validation.",
        within=Range("(0, 1)"),
    )  # fmt: skip
    test_split: float | None = replace(
        data_options.TEST_SPLIT, default=None, shown_default="0.2; notes: 0.1",
        help="Fraction of the texts to hold out for testing if the data has no test split.",
    )  # fmt: skip
    limit: int | None = replace(data_options.LIMIT, help="Use at most N training texts.")
    # Model
    tokenizer: Literal["words", "bpe"] | None = option(
        None, "Tokens of the network: words, or bpe (byte pairs, fitted to the texts; needs the extra text).",
        panel="Model",
    )  # fmt: skip
    vocab_size: int | None = option(
        None, "Most frequent tokens of the training texts that the network knows; 0 for every word.", panel="Model",
        within="[0, 1e7]", shown_default="20000, words if used twice; notes: 0",
    )  # fmt: skip
    max_length: int | None = option(
        None, "Tokens that the network reads of a text: the first N.", panel="Model", within="[1, 1048576]",
    )  # fmt: skip
    model: Literal["auto", "rnn", "linear"] = option(
        "auto", "A network (rnn), TF-IDF with logistic regression (linear), or of both the better one (auto).",
        panel="Model",
    )  # fmt: skip
    cell: GatedCell | None = option(None, "Recurrent cell", panel="Model")
    layers: int | None = option(None, "Recurrent layers.", panel="Model", within="[1, 64]", name="--num-layers")
    hidden: int | None = option(
        None, "Hidden size of each layer and direction.", panel="Model", within="[1, 1e5]", name="--hidden-size",
    )  # fmt: skip
    embed: int | None = option(None, "Embedding size.", panel="Model", within="[1, 1e5]")
    bidirectional: bool | None = option(None, "Read each text in both directions.", panel="Model")
    pooling: TokenPooling | None = option(
        None, "How the outputs for all tokens become one: last, mean, max, or attention (learned weights).",
        panel="Model",
    )  # fmt: skip
    dropout: float | None = replace(training.DROPOUT, help="Dropout probability between recurrent layers.")
    head_dropout: float | None = option(
        None, "Dropout probability in front of the output layer.", panel="Model", within="[0, 1)",
    )  # fmt: skip
    # Training
    epochs: int | None = replace(training.EPOCHS, help="Passes over the training texts.")
    batch_size: int | None = replace(
        training.BATCH_SIZE, help="Texts per step, which have similar lengths.", within=Range("[1, 1e6]"), parse=None
    )
    label_smoothing: float | None = training.LABEL_SMOOTHING
    class_weights: Literal["none", "balanced"] = option(
        "none", "Weights of the classes in the loss: none, or balanced (inversely proportional to their frequency).",
        panel="Training",
    )  # fmt: skip
    recipe: Literal["best", "notes"] = replace(training.RECIPE, conflicts=("tokenizer=bpe",))  # the course reads words
    # Output
    min_accuracy: float | None = replace(
        training.MIN_ACCURACY, help="Exit with code 4 if the test accuracy is below X (0 to 1)."
    )

    def __post_init__(self) -> None:
        """Validate each option, then their combination."""
        super().__post_init__()
        if self.tokenizer == "bpe" and self.vocab_size is not None and self.vocab_size < _BYTES:
            raise InputError("--vocab-size", f"{self.vocab_size} is less than the 256 bytes", "use 256 or more")

    def resolved(self) -> TextRecipe:
        """The recipe of the run, in which options that are set replace values."""
        return resolve(self, NOTES if self.recipe == "notes" else BEST)

    @property
    def held_out(self) -> float:
        """The fraction of the texts that is held out for testing."""
        return self.test_split or (0.1 if self.recipe == "notes" else 0.2)


@command(
    panel="Train",
    task="text.train_text:train_text -> TextResult",
    also=("training.results:ModelScores",),
    examples=(
        "dlnotes train-text --max-steps 40 --out runs/remarks",
        "dlnotes train-text --model linear --json",
    ),
)
def train_text(config: TrainTextConfig) -> None:
    """Train a text classifier (sentiment, topic): a recurrent network, and a linear baseline on the same texts."""
