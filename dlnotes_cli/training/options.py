"""Options that several training commands share, and those of trained models."""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from glob import escape, glob
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from dlnotes_cli.data import options as data_options
from dlnotes_cli.shell.cores import default_threads
from dlnotes_cli.shell.errors import InputError, unknown_choice
from dlnotes_cli.shell.files import user_path
from dlnotes_cli.shell.option import (
    REQUIRED,
    Config,
    option,
)
from dlnotes_cli.shell.parse import count_or_auto, duration
from dlnotes_cli.training.recipes import (
    LONG_BUDGET_S,
    MOMENTUM_OPTIMIZERS,
    LengthDefaults,
    RunLength,
    defaults_text,
)

if TYPE_CHECKING:
    from dlnotes_cli.shell.option_groups import Precision

Monitor = Literal["auto", "loss", "accuracy", "macro-f1"]
WEIGHT_FILES = (".csv", ".json")  # of --class-weights
_CLASS_WEIGHTS = ("none", "balanced")
_AUTO_BATCH_SIZE = 0  # the value of --batch-size auto


RECIPE = option(
    "best",
    "Set of defaults: best (the best known ones) or notes (those of the course notebooks).",
    panel="Training",
)


TIME_BUDGET = option(
    None,
    "Wall-clock limit: 90s, 5m, 1h or seconds. A learning-rate schedule is fitted to it.",
    panel="Training",
    within="(0, 1e7]",
    parse=duration,
    metavar="TIME",
    shown_default="no limit",
)


EPOCHS = option(None, "Passes over the training samples.", panel="Training", within="[1, 1e6]")
MAX_STEPS = option(
    None, "Stop after N optimizer steps.", panel="Training", within="[1, 1e12]", shown_default="no limit"
)
LR = option(
    None,
    "Peak learning rate of the schedule; a run stopped early may not reach it.",
    panel="Training",
    within="(0, inf)",
)
SCHEDULE = option(None, "Learning-rate schedule", panel="Training")
OPTIMIZER = option(
    None,
    "Optimizer; it decides the default --lr and --weight-decay (docs/guide.md has a table).",
    panel="Training",
)
MOMENTUM = option(None, "Momentum of sgd and nesterov; of muon without its filters.", panel="Training", within="[0, 1)")
WEIGHT_DECAY = option(
    None,
    "Weight decay: L2 penalty on the weights (decoupled with adamw).",
    panel="Training",
    within="[0, 1e6]",
)
PATIENCE = option(
    None,
    "Stop after N consecutive validations (one per epoch by default) without improvement.",
    panel="Training",
    within="[1, 1e6]",
    shown_default="never",
)
EMA = option(
    None,
    "Decay of the moving average (EMA) of the weights, used if it validates better; 0 disables it.",
    panel="Training",
    within="[0, 1)",
)
GRAD_CLIP = option(
    None,
    "Gradient-norm clipping threshold; 0 disables it.",
    panel="Training",
    within="[0, inf)",
)
BATCH_SIZE = option(
    None,
    "Samples per step; auto (or 0): as many as fit in GPU memory; on a CPU, the recipe's default.",
    panel="Training",
    within="[0, 1e6]",
    parse=count_or_auto,
)
ACCUMULATE = option(
    1,
    "Compute the gradient of a step in N parts, for less memory; batch norm sees each part alone.",
    panel="Training",
    within="[1, 4096]",
)


DROPOUT = option(None, "Dropout probability.", panel="Model", within="[0, 1)")


AUGMENT = option(
    None,
    "Augmentation: none, notes, light, standard, strong, or a list such as flip,shift:4,mixup:0.2.",
    panel="Training",
    metavar="NAME|LIST",
)


MIN_ACCURACY = option(
    None,
    "Exit with code 4 if the accuracy is below X (0 to 1).",
    panel="Output",
    within="[0, 1]",
)


L1 = option(None, "L1 penalty on the weights.", panel="Training", within="[0, inf)")
LABEL_SMOOTHING = option(
    None,
    "Label smoothing: fraction of each label that is spread over all classes.",
    panel="Training",
    within="[0, 1)",
)
CLASS_WEIGHTS = option(
    "none",
    "Class weights in the loss: none, balanced (inverse frequency), or a CSV or JSON file.",
    panel="Training",
    metavar="none|balanced|FILE",
    complete=lambda: list(_CLASS_WEIGHTS),
)
MONITOR = option(
    "auto",
    "Validation metric that chooses the best epoch and that --patience watches; auto: by their number.",
    panel="Training",
)


OUT = option(None, "Run folder to create.", panel="Output", metavar="FOLDER", shown_default="runs/<command>-<n>")
RESUME = option(
    None, "Resume the interrupted run in this folder, with its options; auto: that in --out, or start it.",
    panel="Output", metavar="FOLDER|auto",
)  # fmt: skip


DEVICES = option(
    1,
    "Train on N GPUs, or with --device cpu in N processes, which share each batch and the threads.",
    panel="Runtime",
    within="[1, 1000]",
)
COMPILE = option(
    False,
    "Compile the training steps with torch.compile, which needs a C++ compiler and about a minute.",
    panel="Runtime",
)


@dataclass(frozen=True, kw_only=True)
class TrainingConfig(Config):
    """The methods of every training command's config, which lists the fields itself."""

    recipes: ClassVar[Mapping[str, object]] = {}  # by the conditions under which they apply

    if TYPE_CHECKING:  # the defaults are those of the fields
        recipe: Literal["best", "notes"] = REQUIRED
        time_budget: float | None = REQUIRED
        epochs: int | None = REQUIRED
        max_steps: int | None = REQUIRED
        patience: int | None = REQUIRED
        batch_size: int | None = REQUIRED
        accumulate: int = REQUIRED
        out: Path | None = REQUIRED
        resume: Path | None = REQUIRED
        overwrite: bool = REQUIRED
        quiet: bool = REQUIRED
        devices: int = REQUIRED
        compile: bool = REQUIRED
        seed: int = REQUIRED
        threads: int | None = REQUIRED
        device: str = REQUIRED
        precision: Precision = REQUIRED

    @classmethod
    def shown_default(cls, name: str) -> str:
        """The default of an option as the help shows it, which may depend on the recipe."""
        return super().shown_default(name) or defaults_text(cls.recipes, name)

    @classmethod
    def from_options(cls, values: Mapping[str, Any]) -> Self:
        """Create a config; with `resume`, from the stored run's options and the few in `values` that may change.

        `resume` is `auto` to continue the run in `out`, or to start it there.
        """
        from dlnotes_cli.training.resumed_options import has_started, resumed_config

        is_auto = values.get("resume") == "auto"
        if is_auto and "out" not in values:
            raise InputError("--resume", "auto needs the folder of the run", "add --out")
        if is_auto and getattr(cls(**{**values, "resume": None}), "restarts", 1) > 1:
            raise InputError("--restarts", "cannot be combined with --resume auto", "drop one of them")
        if is_auto and has_started(user_path(values["out"]), cls.command):
            values = {**values, "resume": user_path(values["out"])}
        elif "resume" not in values or is_auto:
            values = {name: value for name, value in values.items() if name != "resume"}
            config = cls(**values)
            config.check_given(values)
            return config
        return resumed_config(cls, values)

    def check_given(self, values: Mapping[str, Any]) -> None:
        """Refuse options of a command line, `values`, that have no effect. Raises InputError."""
        optimizer = getattr(self.resolved(), "optimizer", None) if "momentum" in values else None
        if optimizer not in {None, *MOMENTUM_OPTIMIZERS}:
            what = f"has no effect with --optimizer {optimizer}"
            raise InputError("--momentum", what, f"drop it, or use {' or '.join(MOMENTUM_OPTIMIZERS)}")

    def resolved(self) -> object:
        """The recipe of the run, in which options that are set replace values."""
        raise NotImplementedError("every training command has its own recipes")

    @property
    def thread_count(self) -> int:
        """The number of threads, by default OMP_NUM_THREADS or one per core."""
        return self.threads or default_threads()

    @property
    def data_folder(self) -> Path | None:
        """The folder of training images, in which nothing may be written; None for other data."""
        return None

    @property
    def has_long_budget(self) -> bool:
        """Whether a run of the recipe `best` has time to train a larger network."""
        return self.recipe == "best" and (self.time_budget or 0) >= LONG_BUDGET_S

    @property
    def has_auto_batch_size(self) -> bool:
        """Whether `--batch-size` is auto."""
        return self.batch_size == _AUTO_BATCH_SIZE

    def run_length(self, defaults: LengthDefaults, samples: int, batch_size: int | None = None) -> RunLength:
        """The length of a run on a number of training samples: the options that are set, otherwise the defaults.

        `batch_size` is that of the run where the device decides it.
        """
        batch_size = batch_size or self.batch_size or defaults.batch_size_of(samples)
        epochs = self.epochs
        if epochs is None and (defaults.is_fixed or not (self.time_budget or self.max_steps)):
            epochs = defaults.epochs_of(samples, batch_size)
        return RunLength(batch_size, epochs, self.max_steps, self.time_budget, self.patience)


@dataclass(frozen=True, kw_only=True)
class ClassifierConfig(TrainingConfig):
    """The methods of the configs that train a classifier of images or tables."""

    reads_in_own_shape: ClassVar[bool] = True  # whether named sets keep the shape of their images

    if TYPE_CHECKING:  # the defaults are those of the fields
        data: str = REQUIRED
        target: str | None = REQUIRED
        categorical: tuple[str, ...] = REQUIRED
        missing: data_options.Missing = REQUIRED
        size: int | None = REQUIRED
        resize: Literal["crop", "squash", "letterbox"] = REQUIRED
        color: Literal["gray", "rgb"] | None = REQUIRED
        class_names: Path | None = REQUIRED
        data_root: Path | None = REQUIRED
        normalize: data_options.Normalization | None = REQUIRED
        val_split: float | None = REQUIRED
        test_split: float = REQUIRED
        limit: int | None = REQUIRED
        offline: bool = REQUIRED
        skip_bad: bool = REQUIRED
        max_pixels: int = REQUIRED
        ema: float | None = REQUIRED
        augment: str | None = REQUIRED
        l1: float | None = REQUIRED
        label_smoothing: float | None = REQUIRED
        class_weights: str = REQUIRED
        monitor: Monitor = REQUIRED
        min_accuracy: float | None = REQUIRED
        json: bool = REQUIRED

    def __post_init__(self) -> None:
        """Validate each option, then their combination."""
        super().__post_init__()
        if self.class_weights not in _CLASS_WEIGHTS and not self.class_weights.lower().endswith(WEIGHT_FILES):
            see = f"choose from {', '.join(_CLASS_WEIGHTS)}, or name a file that ends in {' or '.join(WEIGHT_FILES)}"
            raise unknown_choice("--class-weights", self.class_weights, _CLASS_WEIGHTS, see=see)
        needing = {
            "--patience": self.patience is not None, "--monitor": self.monitor != "auto", "--ema": bool(self.ema),
            "--restarts": getattr(self, "restarts", 1) > 1,
        }  # fmt: skip
        for name, is_set in needing.items():
            if is_set and self.val_split == 0:
                raise InputError(name, "needs validation samples, and --val-split is 0", f"drop {name} or --val-split")

    def check_given(self, values: Mapping[str, Any]) -> None:
        """Refuse options of a command line, `values`, that have no effect, as on this kind of data."""
        super().check_given(values)
        data_options.check_data_options(self.data, values, resizes_all=not self.reads_in_own_shape)

    @property
    def data_folder(self) -> Path | None:
        """The value of `--data`, unless it is a named set; a CSV file is no folder, but nothing is inside it either."""
        return None if self.data in data_options.NAMED_SETS else user_path(self.data)


def complete_models(incomplete: str) -> list[str]:
    """Runs and model files that start with `incomplete`, and the runs in `runs/`; no name that needs shell quotes."""
    return _completions(incomplete, ("model.safetensors",))


def complete_models_and_onnx(incomplete: str) -> list[str]:
    """As `complete_models`, with ONNX files."""
    return _completions(incomplete, ("model.safetensors", ".onnx"))


def _completions(incomplete: str, endings: tuple[str, ...]) -> list[str]:
    patterns = (f"{escape(incomplete)}*", "runs/*")
    paths = {path for pattern in patterns for path in glob(pattern)}  # noqa: PTH207  # names stay as they were typed
    models = [path for path in paths if Path(path, "model.safetensors").is_file() or path.endswith(endings)]
    return sorted(path for path in models if shlex.quote(path) == path)


MODEL = option(
    REQUIRED, "Model file, or the run folder that holds it.", panel="Model", is_argument=True, metavar="MODEL",
    complete=complete_models,
)  # fmt: skip


INIT_FROM = option(
    None,
    "Start from the weights of this run or model file; classes are matched by name.",
    panel="Model",
    metavar="RUN",
    complete=complete_models,
)


CourseArch = Literal["notes-mlp", "notes-cnn"]


ARCH = option(
    None,
    "MODEL is a state dict (.pt) of the course's notebooks: notes-mlp (MNIST) or notes-cnn (CIFAR-10).",
    panel="Model",
)


WEIGHTS_HELP = "Weights: default (downloaded once), a torchvision name, a .pth or .safetensors file, none (random)."


WEIGHTS = option(
    "default",
    WEIGHTS_HELP,
    panel="Model",
    shown_default="",
    metavar="NAME|FILE",
    complete=lambda: ["default", "none"],
)
