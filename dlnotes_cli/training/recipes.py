"""Recipes: values for the options that a user leaves open, resolved once into a type without None."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Literal, Protocol, TypeVar

from dlnotes_cli.shell import output
from dlnotes_cli.shell.option import Config

OptimizerName = Literal["sgd", "adam", "adamw", "rmsprop"]
ScheduleName = Literal["one-cycle", "cosine", "step", "constant"]

LONG_BUDGET_S = 600.0  # time budgets from here on pay for a larger network
_SMALL_SET = 10_000  # training samples below which batches are small
_MAX_EPOCHS = 300
# Learning rate and weight decay of an optimizer other than the recipe's; adamw alone decouples its weight decay.
_OPTIMIZER_DEFAULTS: dict[str, dict[str, float]] = {
    "sgd": {"lr": 0.1, "weight_decay": 5e-4},
    "adam": {"lr": 3e-3, "weight_decay": 1e-4},
    "adamw": {"lr": 3e-3, "weight_decay": 0.05},
    "rmsprop": {"lr": 1e-3, "weight_decay": 0.0},
}


@dataclass(frozen=True)
class LengthRule:
    """How batch size and epochs follow from the number of training samples."""

    epochs: int
    batch_size: int
    min_steps: int = 0  # small sets get more epochs until a run has this many steps
    small_batch_size: int | None = None  # for fewer than 10,000 samples; None: the same as for more
    is_fixed: bool = False  # the epochs limit the run next to a time budget or a number of steps, too


@dataclass(frozen=True)
class RunLength:
    """Batch size and epochs of one run; without epochs, a time budget or a number of steps ends it."""

    batch_size: int
    epochs: int | None


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What every recipe for gradient training decides."""

    optimizer: OptimizerName
    lr: float
    schedule: ScheduleName
    weight_decay: float
    ema: float
    length: LengthRule


@dataclass(frozen=True, kw_only=True)
class ClassifierRecipe(Recipe):
    """What every recipe for training a classifier decides."""

    momentum: float
    l1: float
    label_smoothing: float
    augment: str
    val_split: float


class LengthOptions(Protocol):
    """The options that decide how long a run takes."""

    @property
    def batch_size(self) -> int | None:
        """Samples per step; None or 0: by the rule."""

    @property
    def epochs(self) -> int | None:
        """Passes over the training samples; None: by the rule."""

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
    """The recipe, a dataclass, with each of its values replaced by the option of the same name where that is set.

    An optimizer other than the recipe's brings its own learning rate and weight decay.
    """
    names = [field.name for field in fields(recipe)]  # type: ignore[arg-type]  # a dataclass
    chosen = {name: value for name in names if (value := getattr(options, name, None)) is not None}
    optimizer = chosen.get("optimizer")
    if optimizer not in {None, getattr(recipe, "optimizer", None)}:
        chosen = {**optimizer_defaults.get(str(optimizer), {}), **chosen}
    return replace(recipe, **chosen)  # type: ignore[type-var]  # a dataclass


def with_recipe(options: AnyConfig, recipe: Any) -> AnyConfig:
    """The options with the values of a resolved recipe, as config.json stores them."""
    known = {field.name for field in fields(options)}
    return replace(options, **{f.name: getattr(recipe, f.name) for f in fields(recipe) if f.name in known})


def run_length(options: LengthOptions, rule: LengthRule, samples: int) -> RunLength:
    """Batch size and epochs for a number of training samples; options that are set win."""
    small = rule.batch_size if rule.small_batch_size is None else rule.small_batch_size
    batch_size = options.batch_size or (small if samples < _SMALL_SET else rule.batch_size)
    if options.epochs is not None:
        return RunLength(batch_size, options.epochs)
    if not rule.is_fixed and (options.time_budget or options.max_steps):
        return RunLength(batch_size, None)
    steps_per_epoch = max(1, samples // batch_size)
    return RunLength(batch_size, min(max(rule.epochs, rule.min_steps // steps_per_epoch), _MAX_EPOCHS))


def has_long_budget(recipe: str, time_budget: float | None) -> bool:
    """Whether a run of the best recipe has time for a larger network."""
    return recipe == "best" and (time_budget or 0) >= LONG_BUDGET_S


def note_long_budget(defaults: Mapping[str, Any]) -> None:
    """Report the defaults that a long time budget changes, since repeating the run by --max-steps needs them."""
    if defaults:
        flags = " ".join(f"--{name.replace('_', '-')} {value}" for name, value in defaults.items())
        output.note(f"note   time budgets of 10 minutes or more default to {flags}; repeat the run with these options")
