"""The options of `dlnotes train-mlp` and `train-cnn`."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from dlnotes_cli.classify.recipes import (
    CNN_BEST,
    CNN_BEST_WITHOUT_BATCH_NORM,
    CNN_LARGE,
    CNN_NOTES,
    MLP_BEST,
    MLP_BEST_ON_SMALL_TABLES,
    MLP_BEST_ON_TABLES,
    MLP_NOTES,
    SMALL_TABLE_LINES,
    MlpRecipe,
    ScratchRecipe,
    with_arch,
)
from dlnotes_cli.models.choices import INITIALIZATIONS, Activation, init_text
from dlnotes_cli.models.cnn_architectures import ARCHITECTURES
from dlnotes_cli.shell.errors import InputError
from dlnotes_cli.shell.option import (
    Config,
    check_at_most_one,
    flag,
    option,
    option_group,
    option_like,
    options_of,
)
from dlnotes_cli.shell.parse import integers, items
from dlnotes_cli.training.options import (
    ClassifierConfig,
    DropoutOption,
    ImageClassifierConfig,
    InitFromOption,
)
from dlnotes_cli.training.recipes import SMALL_SET, defaults_text, resolve

if TYPE_CHECKING:
    from dlnotes_cli.data.load import TrainingImages

_BY_ARCH = {f"--arch {name}": architecture for name, architecture in ARCHITECTURES.items()}


@option_group
class InitOptions(InitFromOption):
    """The initial weights."""

    init: str = option(
        "default",
        "Weight initialization: default (PyTorch's; He's for train-cnn with the recipe best), zeros, ones, "
        "uniform:A,B, uniform (within 1/sqrt(inputs) of 0), normal:STD, normal (1/sqrt(inputs)), constant:X, xavier "
        "or he.",
        panel="Model",
        parse=init_text,
        metavar="NAME[:NUMBERS]",
        complete=lambda: list(INITIALIZATIONS),
    )


@option_group
class RestartOptions(InitOptions):
    """Random restarts from other initial weights."""

    restarts: int = option(
        1, "Train N times from different initial weights, into subfolders of --out; keep the run with the lowest "
        "validation loss. --epochs, --max-steps and --time-budget apply to each run.", panel="Training",
        within="[1, 1000]",
    )  # fmt: skip
    init_seed: int | None = option(
        None, "Seed of only the initial weights and dropout.", panel="Training", within="[0, 9e15]",
        shown_default="--seed",
    )  # fmt: skip

    def check_restarts(self, out: Path | None, *, is_resumed: bool) -> None:
        """Raise InputError for restarts without a folder for all of them."""
        if self.restarts > 1 and (is_resumed or out is None):
            what = "needs a new --out, whose subfolders are the runs"
            raise InputError("--restarts", what, "add --out, or resume one of the subfolders")
        if self.restarts > 1:
            check_at_most_one({"--init-from": self.init_from is not None, "--restarts": True})


@option_group
class MlpOptions(Config):
    """The network of `train-mlp`."""

    hidden: tuple[int, ...] | None = option(
        None,
        "Units of each hidden layer; '' for no hidden layer.",
        panel="Model",
        parse=integers,
        within="[1, 1e6]",
        metavar="N,N,…",
    )
    activation: Activation = option("relu", "Activation function", panel="Model")
    dropout: float | None = option_like(DropoutOption, "dropout", help="Dropout probability of the hidden units.")
    batch_norm: bool | None = option(None, "Apply batch normalization to each hidden layer.", panel="Model")


@option_group
class BesideOption(Config):
    """Earlier runs to compare with."""

    beside: tuple[str, ...] = option(
        (), "Tables of two numeric columns: also draw the regions of these runs on the same table and of the new one "
        "side by side, into boundaries.png.", panel="Output", parse=items, metavar="RUN,RUN,…",
    )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class TrainMlpConfig(ClassifierConfig, BesideOption, RestartOptions, MlpOptions):
    """Every option of `train-mlp`."""

    command: ClassVar[str] = "train-mlp"
    recipes: ClassVar[Mapping[str, object]] = {
        "": MLP_BEST,
        "tables": MLP_BEST_ON_TABLES,
        f"tables below {SMALL_TABLE_LINES:,} lines": MLP_BEST_ON_SMALL_TABLES,
        "notes": MLP_NOTES,
    }

    def __post_init__(self) -> None:
        """Validate each option, then their combination."""
        super().__post_init__()
        self.check_restarts(self.out, is_resumed=self.resume is not None)

    def resolved(self) -> MlpRecipe:
        """The recipe of the run, for images or for a table, in which options that are set replace values."""
        from dlnotes_cli.data.paths import has_fewer_lines, kind_of
        from dlnotes_cli.shell.files import user_path

        if self.recipe == "notes":
            return resolve(self, MLP_NOTES)
        if kind_of(self.data) != "table":
            return resolve(self, MLP_BEST)
        is_small = has_fewer_lines(user_path(self.data), SMALL_TABLE_LINES)
        return resolve(self, MLP_BEST_ON_SMALL_TABLES if is_small else MLP_BEST_ON_TABLES)


@option_group
class CnnOptions(Config):
    """The network of `train-cnn`."""

    arch: str | None = option(
        None,
        "Architecture: " + "; ".join(f"{name}: {arch.summary}" for name, arch in ARCHITECTURES.items()) + ".",
        panel="Model",
        choices=ARCHITECTURES,
        shown_default=f"fast; {SMALL_SET:,} training images or more: large; notes: notes-cnn",
    )
    layers: str | None = option(
        None,
        "Your own network in place of --arch: layers as conv-shape reads them, a file of them, or - for standard "
        "input.",
        panel="Model",
        metavar="LAYERS|FILE|-",
    )
    width: float | None = option(
        None,
        "Multiply the channels of --arch by X.",
        panel="Model",
        within="[0.1, 32]",
        shown_default="1; large in a time budget: what this machine can train in it",
    )
    early_size: float | None = option(
        None,
        "Side of the images in the first 60 % of the steps, as a fraction (progressive resizing).",
        panel="Training",
        within="[0.25, 1]",
        shown_default="1; large in a short time budget: 0.625",
    )
    dropout: float | None = option_like(
        DropoutOption,
        "dropout",
        help="Dropout probability in front of linear layers.",
        shown_default=defaults_text(_BY_ARCH, "dropout"),
    )
    batch_norm: bool | None = option_like(
        MlpOptions,
        "batch_norm",
        help="Apply batch normalization after each convolution.",
        shown_default=defaults_text(_BY_ARCH, "batch_norm"),
    )
    print: bool = option(False, "Print the layer table and exit without training.", panel="Output")


@dataclass(frozen=True, kw_only=True)
class TrainCnnConfig(ImageClassifierConfig, RestartOptions, CnnOptions):
    """Every option of `train-cnn`."""

    command: ClassVar[str] = "train-cnn"
    recipes: ClassVar[Mapping[str, object]] = {
        "": with_arch(CNN_BEST, "fast"),
        "large": with_arch(CNN_LARGE, "large"),
        "without batch norm": CNN_BEST_WITHOUT_BATCH_NORM,
        "notes": with_arch(CNN_NOTES, "notes-cnn"),
    }

    def __post_init__(self) -> None:
        """Validate each option, then their combination."""
        super().__post_init__()
        self.check_restarts(self.out, is_resumed=self.resume is not None)
        if self.layers is None:
            return
        for name in ("arch", "width", "early_size", "dropout", "batch_norm"):
            if getattr(self, name) is not None:
                unused = flag(name, options_of(type(self))[name])
                fix = f"drop {unused}, or write it into the layer list"
                raise InputError(unused, "has no effect with --layers", fix)

    def resolved(self, images: "TrainingImages | None" = None) -> ScratchRecipe:
        """The recipe of the run, in which options that are set replace values.

        It is a CnnRecipe, unless `--layers` describes the network. The architecture depends on the `images`; the recipe
        without them has everything that loading needs.
        """
        arch = self.arch or self._default_arch(images)
        if self.layers is not None:
            has_batch_norm = "BatchNorm" in self.layers
        else:
            has_batch_norm = ARCHITECTURES[arch].batch_norm if self.batch_norm is None else self.batch_norm
        if self.recipe == "notes":
            recipe = CNN_NOTES
        elif not has_batch_norm:
            recipe = CNN_BEST_WITHOUT_BATCH_NORM
        else:
            recipe = CNN_LARGE if arch == "large" and self.layers is None else CNN_BEST
        if self.layers is not None:
            return resolve(self, recipe)
        return resolve(self, with_arch(recipe, arch))

    def _default_arch(self, images: "TrainingImages | None") -> str:
        if self.recipe == "notes":
            return "notes-cnn"
        return "large" if images is not None and images.count >= SMALL_SET else "fast"
