"""Options of data, devices and training that several commands share; each is written once."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from dlnotes_cli.configs.common import ReadImagesOptions, VoiceOptions
from dlnotes_cli.configs.option import DATA, DEVICE, OUTPUT, TRAINING, Config, option
from dlnotes_cli.configs.parse import count_or_auto, duration, words

NAMED_SETS = ("digits", "mnist", "fashion-mnist", "cifar10", "cifar100")
AUGMENT_HELP = (
    "none, notes, standard, strong, or a list of flip, shift:N and crop:N (pixels), rotate:DEGREES, color:X and "
    "erase:P (0 to 1), and one of mixup:A and cutmix:A; 'data preview' shows what they do."
)
_BY_RECIPE = "by recipe"


@dataclass(frozen=True, kw_only=True)
class DeviceOptions(Config):
    """Where and how the arithmetic runs."""

    device: str = option("auto", "auto, cpu, cuda, cuda:N or mps; auto takes the fastest there is.", group=DEVICE)
    precision: Literal["auto", "fp32", "bf16"] = option(
        "auto", "fp32, bf16, or auto: bf16 where the processor has it in hardware and it pays.", group=DEVICE
    )
    threads: int | None = option(
        None, "Processor threads.", group=DEVICE, within="[1, 1024]", shown_default="OMP_NUM_THREADS, else all cores"
    )


@dataclass(frozen=True, kw_only=True)
class DataRootOptions(Config):
    """Where data is looked for."""

    data_root: Path | None = option(None, "A folder that holds named sets.", group=DATA)


@dataclass(frozen=True, kw_only=True)
class FindDataOptions(DataRootOptions):
    """Where data is looked for, and whether it may be downloaded."""

    offline: bool = option(False, "Never download.", group=DATA, names=("--offline",))


@dataclass(frozen=True, kw_only=True)
class SourceOptions(ReadImagesOptions, FindDataOptions):
    """Whatever reading a data set takes besides its name."""


@dataclass(frozen=True, kw_only=True)
class ChosenDataOptions(Config):
    """What is trained on."""

    data: str = option(
        "digits",
        f"A named set ({', '.join(NAMED_SETS)}), a folder of class folders, or a CSV file.",
        group=DATA,
        metavar="NAME|FOLDER|CSV",
        complete=lambda: list(NAMED_SETS),
    )
    target: str | None = option(None, "CSV: the column to predict.", group=DATA, metavar="COLUMN")
    categorical: tuple[str, ...] = option(
        (),
        "CSV: columns to one-hot encode though their cells are numbers.",
        group=DATA,
        parse=words,
        metavar="COLUMN,…",
    )


@dataclass(frozen=True, kw_only=True)
class PictureShapeOptions(Config):
    """The form that a folder's pictures are brought into."""

    size: int | None = option(
        None,
        "Folder: pixels on each side.",
        group=DATA,
        within="[1, 4096]",
        shown_default="the pictures' own if they share one of at most 64, else 32",
    )
    resize: Literal["crop", "squash", "letterbox"] = option("crop", "Folder: how a picture is made square.", group=DATA)
    color: Literal["gray", "rgb"] | None = option(
        None, "Folder: channels.", group=DATA, shown_default="gray if every picture is"
    )


@dataclass(frozen=True, kw_only=True)
class TrainingDataOptions(PictureShapeOptions, ChosenDataOptions):
    """What is trained on, and how a sample becomes numbers."""

    normalize: Literal["standard", "unit", "symmetric"] | None = option(
        None,
        "standard: mean 0, deviation 1 over the training part; unit: 0 to 1; symmetric: -1 to 1.",
        group=DATA,
        shown_default=_BY_RECIPE,
    )
    val_split: float | None = option(
        None, "Part of the training samples kept for validation.", group=DATA, within="(0, 1)", shown_default=_BY_RECIPE
    )
    test_split: float = option(
        0.2, "Part kept for the test, where the data has no test part of its own.", group=DATA, within="(0, 1)"
    )
    limit: int | None = option(
        None, "Train on at most this many samples.", group=DATA, within="[1, 1e12]", shown_default="all"
    )


@dataclass(frozen=True, kw_only=True)
class DataOptions(SourceOptions, TrainingDataOptions):
    """The data of a training run."""


@dataclass(frozen=True, kw_only=True)
class LearningOptions(Config):
    """How long and how fast any network learns."""

    recipe: Literal["best", "notes"] = option(
        "best", "Values of the options marked 'by recipe': best (ours) or notes (the course's).", group=TRAINING
    )
    epochs: int | None = option(
        None, "Passes over the training samples.", group=TRAINING, within="[1, 1e6]", shown_default=_BY_RECIPE
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
        None, "Optimiser steps.", group=TRAINING, within="[1, 1e12]", shown_default="as the epochs give"
    )
    lr: float | None = option(
        None,
        "Learning rate at the schedule's peak, which a run of few hundred steps may not reach.",
        group=TRAINING,
        within="(0, inf)",
        shown_default=_BY_RECIPE,
    )
    schedule: Literal["one-cycle", "cosine", "step", "constant"] | None = option(
        None, "Learning rate over time.", group=TRAINING, shown_default=_BY_RECIPE
    )
    weight_decay: float | None = option(
        None,
        "L2 penalty on the weights (adamw: decoupled).",
        group=TRAINING,
        within="[0, inf)",
        shown_default=_BY_RECIPE,
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
        shown_default=_BY_RECIPE,
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
        shown_default=_BY_RECIPE,
    )
    optimizer: Literal["sgd", "adam", "adamw"] | None = option(
        None, "Optimiser.", group=TRAINING, shown_default=_BY_RECIPE
    )
    momentum: float | None = option(None, "Momentum of sgd.", group=TRAINING, within="[0, 1)", shown_default=_BY_RECIPE)
    l1: float | None = option(
        None, "L1 penalty on the weights.", group=TRAINING, within="[0, inf)", shown_default=_BY_RECIPE
    )
    label_smoothing: float | None = option(
        None, "Part of each label spread over all classes.", group=TRAINING, within="[0, 1)", shown_default=_BY_RECIPE
    )
    augment: str | None = option(
        None,
        AUGMENT_HELP,
        group=TRAINING,
        shown_default=_BY_RECIPE,
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


@dataclass(frozen=True, kw_only=True)
class TrainingRunOptions(RunOptions, LearningOptions):
    """What every training run has: its folder, and how it learns."""


@dataclass(frozen=True, kw_only=True)
class ClassifierConfig(VoiceOptions, TrainingRunOptions, DeviceOptions, TrainingOptions, DataOptions):
    """What every command has that trains a classifier."""


@dataclass(frozen=True, kw_only=True)
class PictureClassifierConfig(ClassifierConfig):
    """What every command has that trains a classifier of pictures alone."""

    data: str = option(
        "digits",
        f"A named set ({', '.join(NAMED_SETS)}) or a folder of class folders.",
        group=DATA,
        metavar="NAME|FOLDER",
        complete=lambda: list(NAMED_SETS),
    )
    target: str | None = None  # of tables
    categorical: tuple[str, ...] = ()
