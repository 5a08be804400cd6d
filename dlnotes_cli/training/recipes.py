"""Recipes: values for the options that a user leaves open, resolved once into a type without None."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Literal, Protocol, TypeVar

from dlnotes_cli.shell import output
from dlnotes_cli.shell.option import Config

OptimizerName = Literal["sgd", "adam", "adamw", "rmsprop"]
ScheduleName = Literal["one-cycle", "cosine", "step", "constant"]

LONG_BUDGET_S = 600.0  # seconds of training from which a larger network is more accurate
_SMALL_SET = 10_000  # training samples below which batches are small
_MAX_EPOCHS = 300
# For an optimizer other than the recipe's; the weight decay of adamw alone is decoupled, hence its larger value.
_OPTIMIZER_DEFAULTS: dict[str, dict[str, float]] = {
    "sgd": {"lr": 0.1, "weight_decay": 5e-4},
    "adam": {"lr": 3e-3, "weight_decay": 1e-4},
    "adamw": {"lr": 3e-3, "weight_decay": 0.05},
    "rmsprop": {"lr": 1e-3, "weight_decay": 0.0},
}


@dataclass(frozen=True)
class LengthRule:
    """How batch size and epochs depend on the number of training samples."""

    epochs: int
    batch_size: int
    min_steps: int = 0  # small data sets get more epochs, until a run has this many steps
    small_batch_size: int | None = None  # for fewer than 10,000 samples; None: `batch_size`
    is_fixed: bool = False  # whether `epochs` also limits runs with a time budget or a number of steps


@dataclass(frozen=True)
class RunLength:
    """Batch size and epochs of one run."""

    batch_size: int
    epochs: int | None  # None: a time budget or a number of steps ends the run


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Settings of every recipe for gradient training."""

    optimizer: OptimizerName
    lr: float
    schedule: ScheduleName
    weight_decay: float
    ema: float
    length: LengthRule


@dataclass(frozen=True, kw_only=True)
class ClassifierRecipe(Recipe):
    """Settings of every recipe for the gradient training of a classifier."""

    momentum: float
    l1: float
    label_smoothing: float
    augment: str
    val_split: float


class LengthOptions(Protocol):
    """The options that determine the length of a run."""

    @property
    def batch_size(self) -> int | None:
        """Samples per step; None or 0: as the rule states."""

    @property
    def epochs(self) -> int | None:
        """Passes over the training samples; None: as the rule states."""

    @property
    def max_steps(self) -> int | None:
        """Optimizer steps; None: no limit."""

    @property
    def time_budget(self) -> float | None:
        """Seconds of training and validation; None: no limit."""


AnyRecipe = TypeVar("AnyRecipe")
AnyConfig = TypeVar("AnyConfig", bound=Config)


def resolve(
    options: Config, recipe: AnyRecipe, optimizer_defaults: Mapping[str, Mapping[str, Any]] = _OPTIMIZER_DEFAULTS
) -> AnyRecipe:
    """A recipe (a dataclass) in which options that are not None replace the values of the same name.

    An optimizer other than the recipe's has its own default learning rate and weight decay.
    """
    names = [field.name for field in fields(recipe)]  # type: ignore[arg-type]  # a dataclass
    chosen = {name: value for name in names if (value := getattr(options, name, None)) is not None}
    optimizer = chosen.get("optimizer")
    if optimizer not in {None, getattr(recipe, "optimizer", None)}:
        chosen = {**optimizer_defaults.get(str(optimizer), {}), **chosen}
    return replace(recipe, **chosen)  # type: ignore[type-var]  # a dataclass


def with_recipe(options: AnyConfig, recipe: Any) -> AnyConfig:
    """The options with the values of a resolved recipe, as config.json stores them."""
    names = {field.name for field in fields(options)} & {field.name for field in fields(recipe)}
    return replace(options, **{name: getattr(recipe, name) for name in names})


def run_length(options: LengthOptions, rule: LengthRule, samples: int) -> RunLength:
    """Batch size and epochs for a number of training samples: the options where they are set, otherwise the rule."""
    small = rule.batch_size if rule.small_batch_size is None else rule.small_batch_size
    batch_size = options.batch_size or (small if samples < _SMALL_SET else rule.batch_size)
    if options.epochs is not None:
        return RunLength(batch_size, options.epochs)
    if not rule.is_fixed and (options.time_budget or options.max_steps):
        return RunLength(batch_size, None)
    steps_per_epoch = max(1, samples // batch_size)
    return RunLength(batch_size, min(max(rule.epochs, rule.min_steps // steps_per_epoch), _MAX_EPOCHS))


def has_long_budget(recipe: str, time_budget: float | None) -> bool:
    """Whether a run of the recipe `best` has time to train a larger network."""
    return recipe == "best" and (time_budget or 0) >= LONG_BUDGET_S


def note_long_budget(defaults: Mapping[str, Any]) -> None:
    """Print the defaults that a long time budget changes; a run that repeats it with --max-steps must set them."""
    if defaults:
        flags = " ".join(f"--{name.replace('_', '-')} {value}" for name, value in defaults.items())
        output.note(f"time budgets of 10 minutes or more default to {flags}; repeat the run with these options")
