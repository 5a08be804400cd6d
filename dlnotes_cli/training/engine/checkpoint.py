"""The checkpoint of a training run: weights, optimizer, random state, trainer state and history."""

import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dlnotes_cli.seeding import random_state, restore_random_state
from dlnotes_cli.shell import output
from dlnotes_cli.shell.errors import InputError
from dlnotes_cli.training.engine.loop import Trainer, TrainerState
from dlnotes_cli.training.history import LoopEntry
from dlnotes_cli.training.metrics import Metrics
from dlnotes_cli.training.model_file import load_weights
from dlnotes_cli.training.model_metadata import Metadata
from dlnotes_cli.training.stored_values import build_stored
from dlnotes_cli.training.tensor_file import CHECKPOINT_VERSION, write_tensors

_NETWORK, _BEST, _AVERAGE, _OPTIMIZER, _RANDOM, _RECURRENT_STATE = (
    "network.", "best.", "average.", "optimizer.", "random.", "carried.",
)  # fmt: skip
_LOSS_SCALE = "loss_scale"  # in the metadata


def save_checkpoint(path: Path, trainer: Trainer, device: torch.device, metadata: dict[str, Any]) -> None:
    """Write the state of a trainer and the random generators, with `metadata`, to one file."""
    tensors, position = checkpoint_of(trainer, device)
    write_tensors(path, tensors, metadata | position)


def checkpoint_of(trainer: Trainer, device: torch.device) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The state of a trainer and the random generators: tensors, and metadata of JSON values."""
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
        **_with_prefix(_RECURRENT_STATE, trainer.job.recurrent_state),
    }
    state = output.finite(asdict(trainer.state))
    metadata = {
        "kind": "checkpoint", "checkpoint_version": CHECKPOINT_VERSION, "limits": trainer.budget.limits,
        "position": state,
    }  # fmt: skip
    return tensors, metadata if trainer.scaling is None else metadata | {_LOSS_SCALE: trainer.scaling.state()}


def restore_checkpoint(
    path: Path, tensors: dict[str, Tensor], metadata: Metadata, trainer: Trainer, device: torch.device
) -> None:
    """Restore a trainer from tensors and metadata that were read from `path`, a file of `save_checkpoint`.

    The number of steps that was chosen for a time budget is kept if the limits are still the same. Raises InputError
    where the file does not fit the run.
    """

    def section(prefix: str) -> dict[str, Tensor]:
        return {name: tensor.to(device) for name, tensor in _without_prefix(prefix, tensors).items()}

    network = trainer.job.network
    load_weights(path, network, section(_NETWORK), assign=False)
    trainer.best_weights, trainer.job.recurrent_state = section(_BEST), section(_RECURRENT_STATE)
    if trainer.average is not None:
        trainer.average.tensors = section(_AVERAGE)
    try:
        state = _trainer_state(metadata["position"], trainer.job.metrics_type)
        _check_state(state, trainer.job.steps_per_epoch)
        if state.best_index is not None:
            _check_shapes(trainer.best_weights, network.state_dict())
        trainer.resume(state, metadata["limits"])
        _restore_optimizer(trainer.optimizer, _without_prefix(_OPTIMIZER, tensors))
        restore_random_state(_without_prefix(_RANDOM, tensors), device)
        if trainer.scaling is not None and _LOSS_SCALE in metadata:
            trainer.scaling.restore(metadata[_LOSS_SCALE])
    except (AttributeError, KeyError, TypeError, ValueError, RuntimeError) as error:
        what = f"is not a checkpoint of this run ({error!r})"
        raise InputError(path, what, "start a new run in another --out") from error


def _trainer_state(stored: dict[str, Any], metrics_type: type[Metrics]) -> TrainerState:
    """The trainer state from its JSON values."""
    history = [
        build_stored(LoopEntry, {**entry, "validation": build_stored(metrics_type, entry["validation"])})
        for entry in stored["history"]
    ]
    return build_stored(TrainerState, {**stored, "history": history})


def _check_state(state: TrainerState, steps_per_epoch: int) -> None:
    """Raise ValueError where the numbers of a trainer state are impossible."""
    history, best = state.history, state.best_index
    counts = (state.step, state.samples_seen, state.elapsed_s, state.validation_s, state.sums.samples)
    if state.epoch < 1 or not 0 <= state.step_in_epoch <= steps_per_epoch or min(counts) < 0:
        raise ValueError("position")
    if (state.total is not None and state.total < 1) or (best is not None and not 0 <= best < len(history)):
        raise ValueError("total or best_index")
    if best is not None and history[best].validation.samples and not math.isfinite(history[best].validation.loss):
        raise ValueError("best_index")


def _check_shapes(tensors: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    """Raise ValueError where tensors have other names or shapes than expected."""
    if {name: t.shape for name, t in tensors.items()} != {name: t.shape for name, t in expected.items()}:
        raise ValueError("weights")


def _restore_optimizer(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    """Load the optimizer's tensors by the names `<parameter>.<name>`; learning rates are set in each step."""
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        parameter, _, name = key.partition(".")
        state.setdefault(int(parameter), {})[name] = value
    _check_optimizer(optimizer, state)
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})


def _check_optimizer(optimizer: torch.optim.Optimizer, state: dict[int, dict[str, Tensor]]) -> None:
    """Raise ValueError where a step would use other names, types or shapes: PyTorch does not check them and crashes."""
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    for index, tensors in state.items():
        if not 0 <= index < len(parameters) or tensors.keys() != next(iter(state.values())).keys():
            raise ValueError("optimizer")
        for tensor in tensors.values():
            if not tensor.is_floating_point() or tensor.shape not in {(), parameters[index].shape}:
                raise ValueError("optimizer")


def _with_prefix(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {prefix + name: tensor for name, tensor in tensors.items()}


def _without_prefix(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
