"""The checkpoint of a training run: weights, optimizer, random state, progress and history."""

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dlnotes_cli.seeding import random_state, restore_random_state
from dlnotes_cli.shell.codec import build, to_json
from dlnotes_cli.shell.errors import InputError
from dlnotes_cli.training.metrics import Metrics
from dlnotes_cli.training.model_file import load_weights
from dlnotes_cli.training.model_metadata import Metadata
from dlnotes_cli.training.results import LoopEntry
from dlnotes_cli.training.schedule import Continuation
from dlnotes_cli.training.tensor_file import CHECKPOINT_VERSION

_NETWORK, _BEST, _AVERAGE, _OPTIMIZER, _RANDOM, _STATE = (
    "network.", "best.", "average.", "optimizer.", "random.", "state.",
)  # fmt: skip


@dataclass
class RunningSums:
    """Sums over the samples since the last validation."""

    loss_sum: float = 0.0
    correct: int = 0
    samples: int = 0

    def metrics(self) -> Metrics:
        """Mean loss and accuracy, and the number of samples."""
        count = max(self.samples, 1)
        return Metrics(loss=self.loss_sum / count, accuracy=self.correct / count, samples=self.samples)


@dataclass
class RunProgress:
    """How far a run is: a checkpoint stores it, and a resumed run continues from it."""

    epoch: int = 1
    step_in_epoch: int = 0
    step: int = 0
    samples_seen: int = 0
    elapsed_s: float = 0.0
    spent_s: float = 0.0  # of it, before the first step
    validation_s: float = 0.0  # duration of the last validation
    timed_s: list[float] = field(default_factory=list)  # of a `StepBudget`
    total: int | None = None  # number of steps that was chosen for a time budget
    continuation: Continuation | None = None  # of the schedule, since the length of the run was changed
    best_index: int | None = None  # of the best validation in `history`
    sums: RunningSums = field(default_factory=RunningSums)
    history: list[LoopEntry] = field(default_factory=list)

    @property
    def is_validated(self) -> bool:
        """Whether the last step is validated."""
        return bool(self.history) and self.history[-1].step == self.step


Contents = tuple[dict[str, Tensor], Metadata]


def checkpoint_of(run: Any) -> Contents:
    """The state of a `TrainingRun` and of the random generators: tensors, and metadata of JSON values."""
    optimizer_state = {
        f"{parameter}.{name}": value
        for parameter, values in run.optimizer.state_dict()["state"].items()
        for name, value in values.items()
        if isinstance(value, Tensor)
    }
    sections = {
        _NETWORK: run.task.network.state_dict(), _BEST: run.best_weights,
        _AVERAGE: run.average.tensors if run.average else {}, _OPTIMIZER: optimizer_state,
        _RANDOM: random_state(run.device), _STATE: run.task.state,
    }  # fmt: skip
    tensors = {prefix + name: tensor for prefix, section in sections.items() for name, tensor in section.items()}
    metadata = {
        "kind": "checkpoint", "checkpoint_version": CHECKPOINT_VERSION, "limits": run.budget.limits,
        "position": to_json(run.progress), "loss_scale": run.scaler.state_dict(),
    }  # fmt: skip
    return tensors, metadata


def restore_checkpoint(path: Path, contents: Contents, run: Any) -> None:
    """Restore a `TrainingRun` from what was read from `path`.

    The number of steps that was chosen for a time budget is kept if the limits are still the same. Raises InputError
    where the contents do not fit the run.
    """
    tensors, metadata = contents

    def section(prefix: str) -> dict[str, Tensor]:
        return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}

    def on_device(prefix: str) -> dict[str, Tensor]:
        return {name: tensor.to(run.device) for name, tensor in section(prefix).items()}

    network = run.task.network
    load_weights(path, network, on_device(_NETWORK), assign=False)
    run.best_weights, run.task.state = on_device(_BEST), on_device(_STATE)
    if run.average is not None:
        run.average.tensors = on_device(_AVERAGE)
    try:
        progress = _progress(metadata["position"], run.task.metrics_type)
        _check_progress(progress, run.task.steps_per_epoch)
        if progress.best_index is not None:
            _check_shapes(run.best_weights, network.state_dict())
        run.resume(progress, metadata["limits"])
        _restore_optimizer(run.optimizer, section(_OPTIMIZER))
        restore_random_state(section(_RANDOM), run.device)
        if run.scaler.is_enabled():
            run.scaler.load_state_dict(metadata["loss_scale"])
            if not 0 < run.scaler.get_scale() < math.inf:
                raise ValueError("loss_scale")  # noqa: TRY301  # as the others
    except (AttributeError, KeyError, TypeError, ValueError, RuntimeError) as error:
        what = f"is not a checkpoint of this run ({error!r})"
        raise InputError(path, what, "start a new run in another --out") from error


def _progress(stored: dict[str, Any], metrics_type: type[Metrics]) -> RunProgress:
    """The progress from its JSON values."""
    history = [
        build(LoopEntry, {**entry, "validation": build(metrics_type, entry["validation"])})
        for entry in stored["history"]
    ]
    return build(RunProgress, {**stored, "history": history})


def _check_progress(progress: RunProgress, steps_per_epoch: int) -> None:
    """Raise ValueError where the numbers are impossible."""
    history, best = progress.history, progress.best_index
    counts = (
        progress.step, progress.samples_seen, progress.elapsed_s, progress.validation_s, progress.sums.samples,
    )  # fmt: skip
    if progress.epoch < 1 or not 0 <= progress.step_in_epoch <= steps_per_epoch or min(counts) < 0:
        raise ValueError("position")
    if (progress.total is not None and progress.total < 1) or (best is not None and not 0 <= best < len(history)):
        raise ValueError("total or best_index")
    if best is not None and history[best].validation.samples and not math.isfinite(history[best].validation.loss):
        raise ValueError("best_index")


def _check_shapes(tensors: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    """Raise ValueError where tensors have other names or shapes than expected."""
    if {name: t.shape for name, t in tensors.items()} != {name: t.shape for name, t in expected.items()}:
        raise ValueError("weights")


def _restore_optimizer(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    """Load the optimizer's tensors by the names `<parameter>.<name>`; learning rates are set in each step.

    Raises ValueError where a step would use other names, types or shapes: PyTorch does not check them and crashes.
    """
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        parameter, _, name = key.partition(".")
        state.setdefault(int(parameter), {})[name] = value
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    for index, values in state.items():
        if not 0 <= index < len(parameters) or values.keys() != next(iter(state.values())).keys():
            raise ValueError("optimizer")
        if any(not t.is_floating_point() or t.shape not in {(), parameters[index].shape} for t in values.values()):
            raise ValueError("optimizer")
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
