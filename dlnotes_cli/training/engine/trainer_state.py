"""Saving where a run stands and taking it up again: weights, optimizer, random state, position and history."""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dlnotes_cli.seeding import random_state, restore_random_state
from dlnotes_cli.shell.errors import InputError
from dlnotes_cli.training.checkpoint import load_weights, read_tensors, write_tensors
from dlnotes_cli.training.engine.loop import Position, Tally, Trainer

_NETWORK, _BEST, _AVERAGE, _OPTIMIZER, _RANDOM, _CARRIED = (
    "network.", "best.", "average.", "optimizer.", "random.", "carried.",
)  # fmt: skip


def save_state(path: Path, trainer: Trainer, device: torch.device, metadata: dict[str, Any]) -> None:
    """Write everything that `restore_state` needs to one model file."""
    slots = {
        f"{parameter}.{name}": value
        for parameter, slot in trainer.optimizer.state_dict()["state"].items()
        for name, value in slot.items()
        if isinstance(value, Tensor)
    }
    tensors = {
        **_prefixed(_NETWORK, trainer.job.network.state_dict()),
        **_prefixed(_BEST, trainer.best_weights),
        **_prefixed(_AVERAGE, trainer.average.tensors if trainer.average else {}),
        **_prefixed(_OPTIMIZER, slots),
        **_prefixed(_RANDOM, random_state(device)),
        **_prefixed(_CARRIED, trainer.job.carried),
    }
    standing = {"kind": "run state", "limits": trainer.horizon.limits, "position": asdict(trainer.position)}
    write_tensors(path, tensors, metadata | standing)


def restore_state(
    path: Path, trainer: Trainer, device: torch.device, check: Callable[[dict[str, Any]], None] = lambda _metadata: None
) -> None:
    """Put a trainer back to where `save_state` found it, once `check` has seen the card that was saved with it.

    A total that a time budget chose is kept where budget and limit are still the same. Raises InputError where the file
    does not fit the run.
    """
    tensors, metadata = read_tensors(path)
    check(metadata)
    network = trainer.job.network
    load_weights(path, network, {name: t.to(device) for name, t in _below(_NETWORK, tensors).items()}, assign=False)
    trainer.best_weights = {name: t.to(device) for name, t in _below(_BEST, tensors).items()}
    trainer.job.carried = {name: t.to(device) for name, t in _below(_CARRIED, tensors).items()}
    if trainer.average is not None:
        trainer.average.tensors = {name: t.to(device) for name, t in _below(_AVERAGE, tensors).items()}
    try:
        stored = dict(metadata["position"])
        trainer.position = Position(**stored | {"tally": Tally(**stored["tally"])})
        if trainer.horizon.total is None and metadata["limits"] == trainer.horizon.limits:
            trainer.horizon.total = trainer.position.total
        _restore_optimizer(trainer.optimizer, _below(_OPTIMIZER, tensors))
        restore_random_state(_below(_RANDOM, tensors), device)
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise InputError(path, f"is not a state of this run ({error!r})", "start a new run in another --out") from error


def _restore_optimizer(optimizer: torch.optim.Optimizer, slots: dict[str, Tensor]) -> None:
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in slots.items():
        parameter, _, name = key.partition(".")
        state.setdefault(int(parameter), {})[name] = value
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})


def _prefixed(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {prefix + name: tensor for name, tensor in tensors.items()}


def _below(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
