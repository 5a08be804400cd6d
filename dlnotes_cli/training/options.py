"""Options that several training commands share, and those of trained models."""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from glob import escape, glob
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from dlnotes_cli.data import options as data_options
from dlnotes_cli.shell.errors import InputError
from dlnotes_cli.shell.files import user_path
from dlnotes_cli.shell.option import REQUIRED, option
from dlnotes_cli.shell.option_groups import OVERWRITE, SEED, OnDevice
from dlnotes_cli.shell.parse import count_or_auto, duration
from dlnotes_cli.training.recipes import MOMENTUM_OPTIMIZERS, LengthDefaults, OptimizerName, RunLength, ScheduleName

if TYPE_CHECKING:
    from dlnotes_cli.data.dataset import SplitRule

Monitor = Literal["auto", "loss", "accuracy", "macro-f1"]
WEIGHT_FILES = (".csv", ".json")  # of --class-weights
_CLASS_WEIGHTS = ("none", "balanced")
_WITHOUT_VALIDATION = ("val_split=0",)


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
BATCH_SIZE = option(
    None,
    "Samples per step; auto (or 0): as many as fit in GPU memory; on a CPU, the recipe's default.",
    panel="Training",
    within="[0, 1e6]",
    parse=count_or_auto,
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


LABEL_SMOOTHING = option(
    None,
    "Label smoothing: fraction of each label that is spread over all classes.",
    panel="Training",
    within="[0, 1)",
)


def _class_weights(text: str) -> str:
    """Validate a value of `--class-weights`."""
    if text not in _CLASS_WEIGHTS and not text.lower().endswith(WEIGHT_FILES):
        raise ValueError(f"'{text}' is neither none, balanced nor a file that ends in {' or '.join(WEIGHT_FILES)}")
    return text


DEVICES = option(
    1,
    "Train on N GPUs, or with --device cpu in N processes, which share each batch and the threads.",
    panel="Runtime",
    within="[1, 1000]",
)


@dataclass(frozen=True, kw_only=True)
class TrainingConfig(OnDevice):
    """The options of every command that trains in steps."""

    repeated_by: ClassVar[str] = "training.seeds:train_seeds -> SeedsResult"  # the function for several seeds

    recipe: Literal["best", "notes"] = RECIPE
    time_budget: float | None = TIME_BUDGET
    epochs: int | None = EPOCHS
    max_steps: int | None = option(
        None, "Stop after N optimizer steps.", panel="Training", within="[1, 1e12]", shown_default="no limit"
    )
    lr: float | None = option(
        None,
        "Peak learning rate of the schedule; a run stopped early may not reach it.",
        panel="Training",
        within="(0, inf)",
    )
    schedule: ScheduleName | None = option(None, "Learning-rate schedule", panel="Training")
    optimizer: OptimizerName | None = option(
        None,
        "Optimizer; it decides the default --lr and --weight-decay (docs/guide.md has a table).",
        panel="Training",
    )
    momentum: float | None = option(
        None, "Momentum of sgd and nesterov; of muon without its filters.", panel="Training", within="[0, 1)"
    )
    weight_decay: float | None = option(
        None,
        "Weight decay: L2 penalty on the weights (decoupled with adamw).",
        panel="Training",
        within="[0, 1e6]",
    )
    patience: int | None = option(
        None,
        "Stop after N consecutive validations (one per epoch by default) without improvement.",
        panel="Training",
        within="[1, 1e6]",
        shown_default="never",
        conflicts=_WITHOUT_VALIDATION,
    )
    ema: float | None = option(
        None,
        "Decay of the moving average (EMA) of the weights, used if it validates better; 0 disables it.",
        panel="Training",
        within="[0, 1)",
    )
    grad_clip: float | None = option(
        None,
        "Gradient-norm clipping threshold; 0 disables it.",
        panel="Training",
        within="[0, inf)",
    )
    batch_size: int | None = BATCH_SIZE
    accumulate: int = option(
        1,
        "Compute the gradient of a step in N parts, for less memory; batch norm sees each part alone.",
        panel="Training",
        within="[1, 4096]",
    )
    out: Path | None = option(
        None, "Run folder to create.", panel="Output", metavar="FOLDER", shown_default="runs/<command>-<n>"
    )
    resume: Path | None = option(
        None, "Resume the interrupted run in this folder, with its options; auto: that in --out, or start it.",
        panel="Output", metavar="FOLDER|auto",
    )  # fmt: skip
    overwrite: bool = OVERWRITE
    devices: int = DEVICES
    compile: bool = option(
        False,
        "Compile the training steps with torch.compile, which needs a C++ compiler and about a minute.",
        panel="Runtime",
    )
    seed: int = SEED
    seeds: int = option(
        1, "Train with N seeds from --seed on, each in a folder of --out; print mean and standard deviation.",
        panel="Runtime", within="[1, 1000]", needs=("out",), conflicts=("resume", "devices", "print", "list_backbones"),
    )  # fmt: skip

    @classmethod
    def from_options(cls, values: Mapping[str, Any]) -> Self:
        """A config from the options of a command line, which must have an effect.

        With `resume` it has the options of the stored run, and the few in `values` that may change; `auto` continues
        the run in `out`, or starts it there. Raises InputError.
        """
        from dlnotes_cli.training.resumed_options import has_started, resumed_config

        resume = values.get("resume")
        if resume == "auto":
            new = {name: value for name, value in values.items() if name != "resume"}
            if "out" not in values:
                raise InputError("--resume", "auto needs the folder of the run", "add --out")
            for name in ("restarts", "seeds"):
                if getattr(cls(**new), name, 1) > 1:
                    raise InputError(f"--{name}", "cannot be combined with --resume auto", "drop one of them")
            resume = user_path(values["out"]) if has_started(user_path(values["out"]), cls.command) else None
            values = new
        if resume is not None:
            return resumed_config(cls, {**values, "resume": resume})
        config: Any = cls(**values)
        optimizer = getattr(config.resolved(), "optimizer", None) if "momentum" in values else None
        if optimizer not in {None, *MOMENTUM_OPTIMIZERS}:
            what = f"has no effect with --optimizer {optimizer}"
            raise InputError("--momentum", what, f"drop it, or use {' or '.join(MOMENTUM_OPTIMIZERS)}")
        config.check_given(values)
        made: Self = config
        return made

    def check_given(self, values: Mapping[str, Any]) -> None:
        """Refuse options of a command line, `values`, that have no effect on this kind of data. Raises InputError."""


@dataclass(frozen=True, kw_only=True)
class ClassifierConfig(TrainingConfig, data_options.DatasetOptions):
    """The options of every command that trains a classifier of images or tables."""

    resizes_all: ClassVar[bool] = False  # whether also the images of named sets are resized

    normalize: data_options.Normalization | None = data_options.NORMALIZE
    val_split: float | None = data_options.VAL_SPLIT
    test_split: float = data_options.TEST_SPLIT
    limit: int | None = data_options.LIMIT
    augment: str | None = AUGMENT
    l1: float | None = option(None, "L1 penalty on the weights.", panel="Training", within="[0, inf)")
    label_smoothing: float | None = LABEL_SMOOTHING
    class_weights: str = option(
        "none",
        "Class weights in the loss: none, balanced (inverse frequency), or a CSV or JSON file.",
        panel="Training",
        parse=_class_weights,
        metavar="none|balanced|FILE",
        complete=lambda: list(_CLASS_WEIGHTS),
    )
    sampler: Literal["all", "balanced"] = option(
        "all", "Samples of an epoch: all, or balanced: as many, drawn with every class equally likely.",
        panel="Training", conflicts=("class_weights",),
    )  # fmt: skip
    monitor: Monitor = option(
        "auto",
        "Validation metric that chooses the best epoch and that --patience watches; auto: by their number.",
        panel="Training",
        conflicts=_WITHOUT_VALIDATION,
    )
    min_accuracy: float | None = MIN_ACCURACY

    def split_rule(self, val_split: float) -> "SplitRule":
        """How the data is split, with a validation split of this size. Raises InputError for groups of the target."""
        from dlnotes_cli.data.dataset import SplitRule
        from dlnotes_cli.data.groups import Grouping

        if self.group_column is not None and self.group_column == self.target:
            raise InputError("--group-column", f"'{self.target}' is the target, too", "name another column")
        grouping = None if self.groups is None else Grouping(data=self.data, labels=self.labels, **vars(self.groups))
        return SplitRule(val_split, self.test_split, self.seed, self.limit, grouping)

    def check_given(self, values: Mapping[str, Any]) -> None:
        """Refuse options of a command line, `values`, that have no effect on this kind of data. Raises InputError."""
        data_options.check_data_options(self.data, values, resizes_all=self.resizes_all)


def run_length(
    options: TrainingConfig, defaults: LengthDefaults, samples: int, batch_size: int | None = None
) -> RunLength:
    """The length of a run on a number of training samples: the options that are set, otherwise the defaults.

    `batch_size` is that of the run where the device decides it.
    """
    batch_size = batch_size or options.batch_size or defaults.batch_size_of(samples)
    epochs = options.epochs
    if epochs is None and (defaults.is_fixed or not (options.time_budget or options.max_steps)):
        epochs = defaults.epochs_of(samples, batch_size)
    return RunLength(batch_size, epochs, options.max_steps, options.time_budget, options.patience)


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


WEIGHTS = option(
    "default",
    "Weights: default (downloaded once), a torchvision name, a .pth or .safetensors file, none (random).",
    panel="Model",
    shown_default="",
    metavar="NAME|FILE",
    complete=lambda: ["default", "none"],
)
