"""The checkpoint of a training run: weights, optimizer, random state, position and history."""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dlnotes_cli.seeding import random_state, restore_random_state
from dlnotes_cli.shell.errors import InputError
from dlnotes_cli.training.engine.loop import Position, RunningSums, Trainer
from dlnotes_cli.training.model_file import load_weights, read_tensors, write_tensors

_NETWORK, _BEST, _AVERAGE, _OPTIMIZER, _RANDOM, _CARRIED = (
    "network.", "best.", "average.", "optimizer.", "random.", "carried.",
)  # fmt: skip


def save_checkpoint(path: Path, trainer: Trainer, device: torch.device, metadata: dict[str, Any]) -> None:
    """Write the state of a trainer and the random generators, with `metadata`, to one file."""
    optimizer_state = {
        f"{parameter}.{name}": value
        for parameter, values in trainer.optimizer.state_dict()["state"].items()
        for name, value in values.items()
        if isinstance(value, Tensor)
    }
    tensors = {
        **_with_prefix(_NETWORK, trainer.job.network.state_dict()),
        **_with_prefix(_BEST, trainer.best_weights),
        **_with_prefix(_AVERAGE, trainer.average.tensors if trainer.average else {}),
        **_with_prefix(_OPTIMIZER, optimizer_state),
        **_with_prefix(_RANDOM, random_state(device)),
        **_with_prefix(_CARRIED, trainer.job.carried),
    }
    position = {"kind": "run state", "limits": trainer.budget.limits, "position": asdict(trainer.position)}
    write_tensors(path, tensors, metadata | position)


def restore_checkpoint(
    path: Path, trainer: Trainer, device: torch.device, check: Callable[[dict[str, Any]], None] = lambda _metadata: None
) -> None:
    """Restore a trainer from a file of `save_checkpoint`; `check` is called first and may refuse its metadata.

    The number of steps that was chosen for a time budget is kept if the limits are still the same. Raises InputError
    where the file does not fit the run.
    """
    tensors, metadata = read_tensors(path)
    check(metadata)

    def section(prefix: str) -> dict[str, Tensor]:
        return {name: tensor.to(device) for name, tensor in _without_prefix(prefix, tensors).items()}

    load_weights(path, trainer.job.network, section(_NETWORK), assign=False)
    trainer.best_weights, trainer.job.carried = section(_BEST), section(_CARRIED)
    if trainer.average is not None:
        trainer.average.tensors = section(_AVERAGE)
    try:
        trainer.position = _position(metadata["position"])
        if trainer.budget.total is None and metadata["limits"] == trainer.budget.limits:
            trainer.budget.total = trainer.position.total
        _restore_optimizer(trainer.optimizer, _without_prefix(_OPTIMIZER, tensors))
        restore_random_state(_without_prefix(_RANDOM, tensors), device)
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        what = f"is not a checkpoint of this run ({error!r})"
        raise InputError(path, what, "start a new run in another --out") from error


def _position(stored: dict[str, Any]) -> Position:
    """The position from its JSON values; version 0.1 counted the best entry from 1 and named the sums `tally`."""
    values = dict(stored)
    if "tally" in values:
        best = values.pop("best_entry")
        values |= {"sums": values.pop("tally"), "best_index": None if best is None else best - 1}
    return Position(**values | {"sums": RunningSums(**values["sums"])})


def _restore_optimizer(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    """Load the optimizer's tensors by the names `<parameter>.<name>`; learning rates are set in each step."""
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        parameter, _, name = key.partition(".")
        state.setdefault(int(parameter), {})[name] = value
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})


def _with_prefix(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {prefix + name: tensor for name, tensor in tensors.items()}


def _without_prefix(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
