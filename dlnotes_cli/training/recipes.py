"""Defaults that belong together: the best recipe we know, and the course's own."""

import dataclasses
from typing import Any, NamedTuple, TypeVar

from dlnotes_cli.shell.option import Config

AnyConfig = TypeVar("AnyConfig", bound=Config)
Value = TypeVar("Value")

# The course's notebooks (MNIST MLP with validation): plain SGD, no schedule, pixels from 0 to 1.
NOTES_MLP: dict[str, Any] = {
    "epochs": 50, "batch_size": 20, "optimizer": "sgd", "lr": 0.01, "momentum": 0.0, "schedule": "constant",
    "weight_decay": 0.0, "l1": 0.0, "label_smoothing": 0.0, "augment": "none", "dropout": 0.2, "batch_norm": False,
    "normalize": "unit", "val_split": 0.2, "ema": 0.0,
}  # fmt: skip
BEST_MLP: dict[str, Any] = {
    "optimizer": "adamw", "lr": 3e-3, "momentum": 0.9, "schedule": "one-cycle",
    "weight_decay": 0.05, "l1": 0.0, "label_smoothing": 0.1, "augment": "standard", "dropout": 0.0, "batch_norm": True,
    "normalize": "standard", "val_split": 0.1, "ema": 0.0,
}  # fmt: skip
BEST_MLP_ON_TABLES = BEST_MLP | {"lr": 1e-3, "dropout": 0.2, "batch_norm": False, "augment": "none"}

# The course's CIFAR-10 notebooks, the one with augmentation.
NOTES_CNN = NOTES_MLP | {"arch": "notes-cnn", "epochs": 30, "augment": "notes", "normalize": "symmetric", "width": 1.0}
BEST_CNN = BEST_MLP | {"arch": "fast", "lr": 6e-3, "ema": 0.995, "width": 1.0}
# A pretrained network: its last layers alone, or more of it with small steps.
BEST_FINE_TUNE: dict[str, Any] = {
    "backbone": "resnet18", "optimizer": "adamw", "lr": 1e-3, "momentum": 0.9, "schedule": "one-cycle",
    "weight_decay": 0.05, "l1": 0.0, "label_smoothing": 0.1, "augment": "standard", "val_split": 0.2, "ema": 0.0,
    "batch_size": 32,
}  # fmt: skip
BEST_HEAD: dict[str, Any] = {
    "backbone": "resnet18", "epochs": 100, "label_smoothing": 0.0, "augment": "standard", "val_split": 0.2,
}  # fmt: skip
# The course's flowers notebook.
NOTES_TRANSFER: dict[str, Any] = {
    "backbone": "vgg16", "optimizer": "sgd", "lr": 1e-3, "momentum": 0.0, "schedule": "constant", "weight_decay": 0.0,
    "l1": 0.0, "label_smoothing": 0.0, "augment": "none", "val_split": 0.2, "ema": 0.0, "batch_size": 20, "epochs": 2,
}  # fmt: skip
# Paintings: what is minimized, and how.
PAINTING_RATES: dict[str, dict[str, Any]] = {"lbfgs": {"lr": 1.0}, "adam": {"lr": 0.02}}
BEST_PAINTING: dict[str, Any] = {
    "optimizer": "lbfgs", "lr": 1.0, "steps": 100, "scales": 3, "ratio": 0.03, "tv": 0.1, "pooling": "avg",
}  # fmt: skip
BEST_SMALL_PAINTING = BEST_PAINTING | {"tv": 0.3}  # against the weave that few layers see nothing wrong with
NOTES_PAINTING: dict[str, Any] = {
    "optimizer": "adam", "lr": 0.003, "steps": 2000, "scales": 1, "ratio": 1e-6, "tv": 0.0, "pooling": "max",
}  # fmt: skip
# Character models: a small batch makes the many steps that a short run needs.
BEST_CHAR_RNN: dict[str, Any] = {
    "optimizer": "adamw", "lr": 6e-3, "schedule": "one-cycle", "weight_decay": 0.05, "ema": 0.0, "grad_clip": 1.0,
    "layers": 2, "hidden": 384, "embed": 64, "dropout": 0.1, "seq_len": 64, "batch_size": 16,
    "reset_state": 0.02,
}  # fmt: skip
# The course's notebook on Anna Karenina.
NOTES_CHAR_RNN: dict[str, Any] = {
    "optimizer": "adam", "lr": 1e-3, "schedule": "constant", "weight_decay": 0.0, "ema": 0.0, "grad_clip": 5.0,
    "layers": 2, "hidden": 512, "embed": 0, "dropout": 0.5, "seq_len": 100, "batch_size": 128, "epochs": 20,
    "reset_state": 0.0,
}  # fmt: skip
LONG_S = 600.0  # a time budget from which on a larger network pays
LONG_CNN: dict[str, Any] = {"arch": "large"}
LONG_CHAR_RNN: dict[str, Any] = {"hidden": 512, "dropout": 0.3}  # reads a text so often that it would know it by heart
LR_WITHOUT_NORM = 1e-3  # which a deep network without batch norm bears

# What suits an optimizer other than the recipe's own: adamw alone takes its weight decay apart from the gradient.
_OF_OPTIMIZER: dict[str, dict[str, Any]] = {
    "sgd": {"lr": 0.1, "weight_decay": 5e-4},
    "adam": {"lr": 3e-3, "weight_decay": 1e-4},
    "adamw": {"lr": 3e-3, "weight_decay": 0.05},
    "rmsprop": {"lr": 1e-3, "weight_decay": 0.0},
}
_SMALL_SET = 10_000  # training samples below which batches are small
_SMALL_BATCH = 64
_MOST_EPOCHS = 300


class Length(NamedTuple):
    """How long a kind of network trains where nothing else is said, and in which steps."""

    epochs: int
    fewest_steps: int  # to which small sets come by more epochs
    batch_size: int  # of sets that are not small


MLP_LENGTH, CNN_LENGTH = Length(60, 1200, 256), Length(30, 600, 128)
CHAR_RNN_LENGTH = Length(5, 1000, 16)  # its samples are windows
FINE_TUNE_LENGTH = Length(8, 100, 32)


def for_long(config: Config, longer: dict[str, Any]) -> dict[str, Any]:
    """Which of the options `longer`, left open, a time budget that is long enough changes in the best recipe."""
    is_long = getattr(config, "recipe", "") == "best" and (getattr(config, "time_budget", None) or 0) >= LONG_S
    return {name: value for name, value in longer.items() if is_long and getattr(config, name) is None}


def filled(config: AnyConfig, defaults: dict[str, Any]) -> AnyConfig:
    """Replace the options that were not given (None) by `defaults`."""
    missing = {name: value for name, value in defaults.items() if getattr(config, name) is None}
    return dataclasses.replace(config, **missing)


def with_recipe(
    config: AnyConfig, recipe: dict[str, Any], of_optimizer: dict[str, dict[str, Any]] = _OF_OPTIMIZER
) -> AnyConfig:
    """Fill in a recipe; an optimizer other than the recipe's brings its own learning rate and weight decay."""
    optimizer = getattr(config, "optimizer", None)
    if optimizer not in {None, recipe.get("optimizer")}:
        recipe = recipe | of_optimizer.get(str(optimizer), {})
    return filled(config, recipe)


def with_length(config: AnyConfig, samples: int, length: Length) -> AnyConfig:
    """Fill in batch size and epochs for `samples` samples; a time budget or step limit leaves the epochs open."""
    stops_itself = getattr(config, "time_budget", None) or getattr(config, "max_steps", None)
    config = filled(config, {"batch_size": _SMALL_BATCH if samples < _SMALL_SET else length.batch_size})
    steps_per_epoch = max(1, samples // getattr(config, "batch_size", 1))
    epochs = min(max(length.epochs, length.fewest_steps // steps_per_epoch), _MOST_EPOCHS)
    return config if stops_itself else filled(config, {"epochs": epochs})


def given(value: Value | None) -> Value:
    """An option that the recipe has filled in."""
    if value is None:
        raise ValueError("the recipe leaves an option open")
    return value
