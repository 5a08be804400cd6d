"""Recipes: values for the options that a user leaves open, resolved once into a type without None."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Literal, TypeVar

from dlnotes_cli.shell import output
from dlnotes_cli.shell.errors import InputError
from dlnotes_cli.shell.option import Config

OptimizerName = Literal["sgd", "nesterov", "muon", "adam", "adamw", "rmsprop", "adagrad", "adadelta"]
MOMENTUM_OPTIMIZERS = ("sgd", "nesterov", "muon")  # those with a momentum that can be set
ScheduleName = Literal["one-cycle", "cosine", "step", "constant"]

LONG_BUDGET = "--time-budget 10m or more"  # in the help
LONG_BUDGET_S = 600.0  # seconds of training from which a larger network is more accurate
SMALL_SET = 10_000  # training samples below which batches are small
_MAX_EPOCHS = 300
# For an optimizer other than the recipe's; the weight decay of adamw alone is decoupled, hence its larger value.
_OPTIMIZER_DEFAULTS: dict[str, dict[str, float]] = {
    "sgd": {"lr": 0.1, "weight_decay": 5e-4},
    "nesterov": {"lr": 0.1, "weight_decay": 5e-4, "momentum": 0.9},
    "muon": {"lr": 0.1, "weight_decay": 5e-4, "momentum": 0.9},
    "adam": {"lr": 3e-3, "weight_decay": 1e-4},
    "adamw": {"lr": 3e-3, "weight_decay": 0.05},
    "rmsprop": {"lr": 1e-3, "weight_decay": 0.0},
    "adagrad": {"lr": 1e-2, "weight_decay": 0.0},
    "adadelta": {"lr": 1.0, "weight_decay": 0.0},
}


@dataclass(frozen=True)
class LengthDefaults:
    """Batch size and epochs of a recipe, which depend on the number of training samples."""

    epochs: int
    batch_size: int
    min_steps: int = 0  # small data sets get more epochs, until a run has this many steps
    small_batch_size: int | None = None  # for fewer than 10,000 samples; None: `batch_size`
    is_fixed: bool = False  # whether `epochs` also limits runs with a time budget or a number of steps

    @property
    def batch_size_text(self) -> str:
        """The batch size, for the help."""
        small = self.small_batch_size
        return f"{self.batch_size}" if small is None else f"{self.batch_size}, below {SMALL_SET:,} samples {small}"

    @property
    def epochs_text(self) -> str:
        """The epochs, for the help."""
        if not self.min_steps:
            return f"{self.epochs}"
        return f"{self.epochs}, on small data up to {_MAX_EPOCHS} (until {self.min_steps:,} steps)"

    def batch_size_of(self, samples: int) -> int:
        """The batch size for a number of training samples."""
        return self.batch_size if self.small_batch_size is None or samples >= SMALL_SET else self.small_batch_size

    def epochs_of(self, samples: int, batch_size: int) -> int:
        """The epochs for a number of training samples."""
        steps_per_epoch = max(1, samples // batch_size)
        return min(max(self.epochs, self.min_steps // steps_per_epoch), _MAX_EPOCHS)


@dataclass(frozen=True)
class RunLength:
    """Batch size and limits of one run; None is no limit, and each run has one."""

    batch_size: int
    epochs: int | None = None
    max_steps: int | None = None
    time_budget: float | None = None  # seconds
    patience: int | None = None  # validations in a row without improvement


@dataclass(frozen=True)
class OptimizerSettings:
    """An optimizer and its hyperparameters."""

    optimizer: OptimizerName
    lr: float
    momentum: float  # used by sgd, nesterov and muon only
    weight_decay: float


@dataclass(frozen=True, kw_only=True, init=False, repr=False, eq=False)  # never instantiated
class Recipe(OptimizerSettings):
    """Settings of every recipe for gradient training."""

    schedule: ScheduleName
    ema: float
    grad_clip: float = 0.0  # gradient-norm clipping threshold; 0: no clipping
    length: LengthDefaults


@dataclass(frozen=True, kw_only=True, init=False, repr=False, eq=False)  # never instantiated
class ClassifierRecipe(Recipe):
    """Settings of every recipe for the gradient training of a classifier."""

    l1: float
    label_smoothing: float
    augment: str
    val_split: float


AnyRecipe = TypeVar("AnyRecipe")
AnyConfig = TypeVar("AnyConfig", bound=Config)


def resolve(
    options: Config, recipe: AnyRecipe, optimizer_defaults: Mapping[str, Mapping[str, Any]] = _OPTIMIZER_DEFAULTS
) -> AnyRecipe:
    """A recipe (a dataclass) in which options that are not None replace the values of the same name.

    An optimizer other than the recipe's has its own default learning rate and weight decay; with the recipe `notes` it
    has no weight decay, as in the course. Without validation samples no moving average of the weights can be compared:
    raises InputError for one that is set.
    """
    names = [field.name for field in fields(recipe)]  # type: ignore[arg-type]  # a dataclass
    chosen = {name: value for name in names if (value := getattr(options, name, None)) is not None}
    optimizer = chosen.get("optimizer")
    if optimizer not in {None, getattr(recipe, "optimizer", None)}:
        defaults = dict(optimizer_defaults.get(str(optimizer), {}))
        if getattr(options, "recipe", None) == "notes":
            defaults.pop("weight_decay", None)
        chosen = defaults | chosen
    if chosen.get("val_split") == 0 and "ema" in names and chosen.setdefault("ema", 0.0):
        raise InputError("--ema", "cannot be combined with --val-split 0", "drop one of them")
    return replace(recipe, **chosen)  # type: ignore[type-var]  # a dataclass


def with_recipe(options: AnyConfig, resolved: Any) -> AnyConfig:
    """The options with the values of a resolved recipe or of a run's length, as config.json stores them."""
    names = {field.name for field in fields(options)} & {field.name for field in fields(resolved)}
    return replace(options, **{name: getattr(resolved, name) for name in names})


def note_long_budget(defaults: Mapping[str, Any]) -> None:
    """Print the defaults, by option, that a long time budget changes; a run that repeats it must set them."""
    if defaults:
        flags = " ".join(f"{flag} {value}" for flag, value in defaults.items())
        output.note(
            f"time budgets of 10 minutes or more default to {flags}; to repeat the run with --max-steps, add them"
        )
