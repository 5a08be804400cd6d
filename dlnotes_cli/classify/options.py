"""The options of `dlnotes train-mlp` and `train-cnn`."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

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
from dlnotes_cli.data import options as data_options
from dlnotes_cli.networks.choices import INITIALIZATIONS, Activation, init_text
from dlnotes_cli.networks.cnn_architectures import ARCHITECTURES
from dlnotes_cli.shell.errors import InputError
from dlnotes_cli.shell.option import defaults_text, option
from dlnotes_cli.shell.parse import integers, items
from dlnotes_cli.training import options as training
from dlnotes_cli.training.recipes import SMALL_SET, resolve

if TYPE_CHECKING:
    from dlnotes_cli.data.load import TrainingSize

_BATCH_NORM_BY_ARCH, _DROPOUT_BY_ARCH = (
    defaults_text({f"--arch {name}": arch for name, arch in ARCHITECTURES.items()}, option)
    for option in ("batch_norm", "dropout")
)
INIT = option(
    "default",
    "Initial weights: default (PyTorch's), zeros, ones, uniform, normal, constant, xavier or he.",
    panel="Model",
    parse=init_text,
    metavar="NAME[:NUMBERS]",
    complete=lambda: list(INITIALIZATIONS),
)
RESTARTS = option(
    1, "Train N times from other initial weights, into subfolders of --out; keep the lowest validation loss.",
    panel="Training", within="[1, 1000]", needs=("out",), conflicts=("init_from", "resume", "val_split=0"),
)  # fmt: skip
INIT_SEED = option(
    None, "Seed of only the initial weights and dropout.", panel="Training", within="[0, 9e15]", shown_default="--seed"
)


ModelName = Literal["auto", "mlp", "linear", "boosted"]
_OF_NETWORK = (  # options of what network is trained, which is then trained alone
    "hidden", "activation", "dropout", "batch_norm", "init", "init_from", "init_seed", "restarts", "beside", "recipe",
    "l1", "label_smoothing", "sampler",
)  # fmt: skip
_OF_STEPS = (  # options of how long and in what steps, which have no effect on the other models of a table
    "time_budget", "epochs", "max_steps", "lr", "schedule", "optimizer", "momentum", "weight_decay", "patience", "ema",
    "grad_clip", "batch_size", "accumulate", "augment", "devices", "compile",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class TrainMlpConfig(training.ClassifierConfig, command="train-mlp"):
    """Every option of `train-mlp`."""

    changes: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        name: {"unused_with": ("model=linear|boosted",)} for name in _OF_NETWORK + _OF_STEPS
    }
    recipes: ClassVar[Mapping[str, object]] = {
        "": MLP_BEST,
        "tables": MLP_BEST_ON_TABLES,
        f"tables below {SMALL_TABLE_LINES:,} lines": MLP_BEST_ON_SMALL_TABLES,
        "notes": MLP_NOTES,
    }

    data: str = data_options.DATA
    target: str | None = data_options.TARGET
    categorical: tuple[str, ...] = data_options.CATEGORICAL
    missing: data_options.Missing = data_options.MISSING
    model: ModelName | None = option(
        None,
        "Tables: mlp, linear (logistic regression), boosted (gradient-boosted trees) or auto (what validates best).",
        panel="Model",
        shown_default="auto; with options of the network, such as --hidden: mlp",
    )
    hidden: tuple[int, ...] | None = option(
        None,
        "Units of each hidden layer; '' for no hidden layer.",
        panel="Model",
        parse=integers,
        within="[1, 1e6]",
        metavar="N,N,…",
    )
    activation: Activation = option("relu", "Activation function", panel="Model")
    dropout: float | None = training.DROPOUT
    batch_norm: bool | None = option(None, "Apply batch normalization to each hidden layer.", panel="Model")
    init: str = INIT
    init_from: Path | None = training.INIT_FROM
    restarts: int = RESTARTS
    init_seed: int | None = INIT_SEED
    beside: tuple[str, ...] = option(
        (), "Tables of two numeric columns: draw the regions of these runs, too, in boundaries.png.",
        panel="Output", parse=items, metavar="RUN,RUN,…",
    )  # fmt: skip

    @property
    def table_models(self) -> tuple[str, ...]:
        """The models of a table that are fitted instead of the network, or with `auto` next to it."""
        from dlnotes_cli.data.paths import kind_of

        if kind_of(self.data) != "table" or self.labels is not None or self.chosen_model == "mlp":
            return ()
        return ("linear", "boosted") if self.chosen_model == "auto" else (self.chosen_model,)

    @property
    def chosen_model(self) -> ModelName:
        """The value of `--model`, or what its default stands for."""
        return self.model or ("mlp" if any(map(self._is_set, _OF_NETWORK)) else "auto")

    def check_given(self, values: Mapping[str, Any]) -> None:
        """Refuse options of a command line, `values`, that have no effect on this kind of data. Raises InputError."""
        super().check_given(values)
        if self.model in {"linear", "boosted"} and not self.table_models:
            raise InputError("--model", f"{self.model} is for tables, and {self.data} has images", "drop it")

    def resolved(self) -> MlpRecipe:
        """The recipe of the run, for images or for a table, in which options that are set replace values."""
        from dlnotes_cli.data.paths import kind_of
        from dlnotes_cli.data.table import has_fewer_lines
        from dlnotes_cli.shell.files import user_path

        if self.recipe == "notes":
            return resolve(self, MLP_NOTES)
        if kind_of(self.data) != "table" or self.labels is not None:
            return resolve(self, MLP_BEST)
        is_small = has_fewer_lines(user_path(self.data), SMALL_TABLE_LINES)
        return resolve(self, MLP_BEST_ON_SMALL_TABLES if is_small else MLP_BEST_ON_TABLES)


@dataclass(frozen=True, kw_only=True)
class TrainCnnConfig(training.ClassifierConfig, command="train-cnn"):
    """Every option of `train-cnn`."""

    recipes: ClassVar[Mapping[str, object]] = {
        "": with_arch(CNN_BEST, "fast"),
        "large": with_arch(CNN_LARGE, "large"),
        "without batch norm": CNN_BEST_WITHOUT_BATCH_NORM,
        "notes": with_arch(CNN_NOTES, "notes-cnn"),
    }

    arch: str | None = option(
        None,
        "fast (small, whitened first layer), large (10,000 images or more), notes-cnn or resnet.",
        panel="Model",
        choices=ARCHITECTURES,
        shown_default=f"fast; {SMALL_SET:,} training images or more: large; notes: notes-cnn",
        unused_with=("layers",),
    )
    layers: str | None = option(
        None, "Your own network: layers as conv-shape reads them, a file of them, or - for standard input.",
        panel="Model", metavar="LAYERS|FILE|-",
    )  # fmt: skip
    width: float | None = option(
        None,
        "Multiply the channels of --arch by X.",
        panel="Model",
        within="[0.1, 32]",
        shown_default="1; large in a time budget: what this machine can train in it",
        unused_with=("layers",),
    )
    dropout: float | None = option(
        None, "Dropout probability in front of linear layers.", panel="Model", within="[0, 1)",
        shown_default=_DROPOUT_BY_ARCH, unused_with=("layers",),
    )  # fmt: skip
    batch_norm: bool | None = option(
        None, "Apply batch normalization after each convolution.", panel="Model", shown_default=_BATCH_NORM_BY_ARCH,
        unused_with=("layers",),
    )  # fmt: skip
    init: str = INIT
    init_from: Path | None = training.INIT_FROM
    early_size: float | None = option(
        None,
        "Side of the images in the first 60 % of the steps, as a fraction (progressive resizing).",
        panel="Training",
        within="[0.25, 1]",
        shown_default="1; large in a short time budget: 0.625",
        unused_with=("layers",),
    )
    restarts: int = RESTARTS
    init_seed: int | None = INIT_SEED
    print: bool = option(False, "Print the layer table and exit without training.", panel="Output")

    def resolved(self, images: "TrainingSize | None" = None) -> ScratchRecipe:
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

    def _default_arch(self, images: "TrainingSize | None") -> str:
        if self.recipe == "notes":
            return "notes-cnn"
        return "large" if images is not None and images.count >= SMALL_SET else "fast"
