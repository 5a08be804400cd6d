"""Options of training runs that several commands share."""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from glob import escape, glob
from pathlib import Path
from typing import Any, Literal, Self

from dlnotes_cli.data.options import BY_RECIPE, NAMED_SETS, DataOptions
from dlnotes_cli.shell.option import DATA, MODEL, OUTPUT, REQUIRED, TRAINING, Config, option
from dlnotes_cli.shell.option_groups import DeviceOptions, OutputOptions
from dlnotes_cli.shell.parse import count_or_auto, duration

AUGMENT_HELP = (
    "none, notes, standard, strong, or a list of flip, shift:N and crop:N (pixels), rotate:DEGREES, color:X and "
    "erase:P (0 to 1), and one of mixup:A and cutmix:A; 'data preview' shows what they do."
)


@dataclass(frozen=True, kw_only=True)
class LearningOptions(Config):
    """How long and how fast any network learns."""

    recipe: Literal["best", "notes"] = option(
        "best", "Values of the options marked 'by recipe': best (ours) or notes (the course's).", group=TRAINING
    )
    epochs: int | None = option(
        None, "Passes over the training samples.", group=TRAINING, within="[1, 1e6]", shown_default=BY_RECIPE
    )
    time_budget: float | None = option(
        None,
        "Seconds of training and validation (90s, 5m); the schedule ends at it.",
        group=TRAINING,
        within="(0, 1e7]",
        parse=duration,
        metavar="TIME",
        shown_default="none",
    )
    max_steps: int | None = option(
        None, "Optimizer steps.", group=TRAINING, within="[1, 1e12]", shown_default="as the epochs give"
    )
    lr: float | None = option(
        None,
        "Learning rate at the schedule's peak, which a run of few hundred steps may not reach.",
        group=TRAINING,
        within="(0, inf)",
        shown_default=BY_RECIPE,
    )
    schedule: Literal["one-cycle", "cosine", "step", "constant"] | None = option(
        None, "Learning rate over time.", group=TRAINING, shown_default=BY_RECIPE
    )
    weight_decay: float | None = option(
        None,
        "L2 penalty on the weights (adamw: decoupled).",
        group=TRAINING,
        within="[0, inf)",
        shown_default=BY_RECIPE,
    )
    patience: int | None = option(
        None,
        "Stop after this many epochs without a better validation.",
        group=TRAINING,
        within="[1, 1e6]",
        shown_default="never",
    )
    ema: float | None = option(
        None,
        "Decay of an average of the weights, kept beside them and used where it validates better; 0: none.",
        group=TRAINING,
        within="[0, 1)",
        shown_default=BY_RECIPE,
    )
    grad_clip: float | None = option(
        None, "Largest norm of the gradient.", group=TRAINING, within="(0, inf)", shown_default="none"
    )
    seed: int = option(0, "Seed of everything drawn at random.", group=TRAINING, within="[0, 9e15]")


@dataclass(frozen=True, kw_only=True)
class TrainingOptions(LearningOptions):
    """How a classifier is trained."""

    batch_size: int | None = option(
        None,
        "Samples in a step; auto (or 0): as many as a GPU's memory takes, on a CPU those of the recipe.",
        group=TRAINING,
        within="[0, 1e6]",
        parse=count_or_auto,
        shown_default=BY_RECIPE,
    )
    optimizer: Literal["sgd", "adam", "adamw"] | None = option(
        None, "Optimizer.", group=TRAINING, shown_default=BY_RECIPE
    )
    momentum: float | None = option(None, "Momentum of sgd.", group=TRAINING, within="[0, 1)", shown_default=BY_RECIPE)
    l1: float | None = option(
        None, "L1 penalty on the weights.", group=TRAINING, within="[0, inf)", shown_default=BY_RECIPE
    )
    label_smoothing: float | None = option(
        None, "Part of each label spread over all classes.", group=TRAINING, within="[0, 1)", shown_default=BY_RECIPE
    )
    augment: str | None = option(
        None,
        AUGMENT_HELP,
        group=TRAINING,
        shown_default=BY_RECIPE,
        metavar="WORDS",
    )
    class_weights: Literal["none", "balanced"] = option(
        "none", "none, or balanced: rare classes count as much as frequent ones.", group=TRAINING
    )
    min_accuracy: float | None = option(
        None, "Exit with 4 if the test accuracy is lower.", group=TRAINING, within="[0, 1]", shown_default="no gate"
    )


@dataclass(frozen=True, kw_only=True)
class RunOptions(Config):
    """The folder of a training run."""

    out: Path | None = option(None, "Run folder.", group=OUTPUT, shown_default="runs/<command>-<n>")
    overwrite: bool = option(False, "Replace an earlier run in --out.", group=OUTPUT, names=("--overwrite",))
    resume: Path | None = option(
        None, "Go on with this run folder, with its options.", group=OUTPUT, metavar="RUN", shown_default="no"
    )

    @classmethod
    def from_given(cls, values: Mapping[str, Any]) -> Self:
        """The given options; with `--resume`, those of the stored run, with the given ones that may change."""
        if "resume" not in values:
            return super().from_given(values)
        from dlnotes_cli.training.resumed_options import resumed_config

        return resumed_config(cls, values)


@dataclass(frozen=True, kw_only=True)
class TrainingRunOptions(RunOptions, LearningOptions):
    """What every training run has: its folder, and how it learns."""


@dataclass(frozen=True, kw_only=True)
class ClassifierConfig(OutputOptions, TrainingRunOptions, DeviceOptions, TrainingOptions, DataOptions):
    """What every command has that trains a classifier."""


@dataclass(frozen=True, kw_only=True)
class ImageClassifierConfig(ClassifierConfig):
    """What every command has that trains a classifier of images alone."""

    data: str = option(
        "digits",
        f"A named set ({', '.join(NAMED_SETS)}) or a folder of class folders.",
        group=DATA,
        metavar="NAME|FOLDER",
        complete=lambda: list(NAMED_SETS),
    )
    target: str | None = None  # of tables
    categorical: tuple[str, ...] = ()


def _model_paths(incomplete: str) -> list[str]:
    """Runs and model files that begin so, and the runs of `runs/`; names that a shell must quote are left to it."""
    patterns = (f"{escape(incomplete)}*", "runs/*")
    found = {path for pattern in patterns for path in glob(pattern)}  # noqa: PTH207  # words stay as they were typed
    models = [path for path in found if Path(path, "model.safetensors").is_file() or path.endswith("model.safetensors")]
    return sorted(path for path in models if shlex.quote(path) == path)


@dataclass(frozen=True, kw_only=True)
class ModelArgument(Config):
    """The model that a command uses."""

    model: Path = option(
        REQUIRED, "A model file, or the folder of the run that made it.", group=MODEL, is_argument=True,
        metavar="MODEL", complete=_model_paths,
    )  # fmt: skip
