"""Forecast of the memory that training takes, so that a run which cannot fit ends before it begins."""

from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F  # noqa: N812  # PyTorch's own abbreviation
from torch import Tensor, nn

from dlnotes_cli.device import Runtime, available_memory, free_memory, peak_memory
from dlnotes_cli.networks.registry import build_on_meta
from dlnotes_cli.shell import output
from dlnotes_cli.shell.errors import UnfinishedError

if TYPE_CHECKING:
    from dlnotes_cli.training.task import Task

MIN_BATCH_SIZE, MAX_BATCH_SIZE = 64, 2048  # of `--batch-size auto`
_MEMORY_FRACTION = 0.6  # of the free memory that a step may use
_FLOAT_BYTES, _HALF_BYTES = 4, 2
_MOMENTS = {  # tensors of the optimizer for each parameter
    "sgd": 0, "nesterov": 1, "muon": 1, "rmsprop": 1, "adagrad": 1, "adadelta": 2, "adam": 2, "adamw": 2
}  # fmt: skip
_COPIES = 3  # of each parameter besides: the weights, their gradients, the weights of the best validation
_COUNTED = (nn.Conv2d, nn.Linear, nn.RNNBase)  # a gradient needs their outputs, or the activations of these


def check_memory(task: "Task[Any]", batch_size: int, runtime: Runtime) -> None:
    """Refuse a network and a batch that cannot fit into main memory together. Raises UnfinishedError.

    The forecast is a lower bound: a run that fits is never refused. Other devices report that their memory is full.
    """
    if runtime.device.type != "cpu":
        return
    network, batch = forecast(task, batch_size, runtime.precision)
    free = available_memory(runtime.device, swap=True)
    if free is not None and network + batch > free:
        parts = f"{output.size(network)} for the network, {output.size(batch)} for a batch"
        what = f"training needs at least {output.size(network + batch)} ({parts}), {output.size(free)} are available"
        raise UnfinishedError("memory", what, f"use a smaller {task.memory_options}")


def forecast(task: "Task[Any]", batch_size: int, precision: str) -> tuple[int, int]:
    """The bytes for a network with gradients, optimizer and averages, and for the activations of a batch, at least."""
    recipe, trains_all = task.recipe, not task.has_frozen_layers
    network = build_on_meta(task.model_name, task.network_config)
    copies = _COPIES + _MOMENTS[recipe.optimizer] + bool(recipe.ema)
    copies += recipe.optimizer == "sgd" and bool(recipe.momentum)
    weights = sum(tensor.nbytes for tensor in network.state_dict().values())
    values = _count_outputs(network, task.sample_inputs(network))
    value_bytes = _FLOAT_BYTES if precision == "fp32" else _HALF_BYTES
    activations = sum(values) if trains_all else max(values, default=0)  # frozen layers keep none
    return weights * (copies if trains_all else 1), activations * batch_size * value_bytes


def _count_outputs(network: nn.Module, inputs: tuple[Any, ...]) -> list[int]:
    """The number of values that each counted layer returns for one sample."""
    counts: list[int] = []

    def count(_module: nn.Module, _inputs: Any, result: Any) -> None:
        counts.append((result if isinstance(result, Tensor) else result[0]).numel())

    for module in network.modules():
        if isinstance(module, _COUNTED):
            module.register_forward_hook(count)
    with torch.no_grad():
        network.eval()(*inputs)
    return counts


def largest_fitting_batch_size(network: nn.Module, shape: tuple[int, ...], runtime: Runtime, samples: int) -> int:
    """The largest power of two, from 64 to 2048 and at most `samples`, whose step fits into the memory of a GPU.

    `shape` is that of one sample. Memory grows linearly with the batch size, so two small steps are measured.
    """
    measured = [_step_bytes(network, shape, runtime, size) for size in (MIN_BATCH_SIZE, 2 * MIN_BATCH_SIZE)]
    free = free_memory(runtime.device)
    return extrapolated_batch_size(measured[0], measured[1], free, limit=min(MAX_BATCH_SIZE, samples))


def extrapolated_batch_size(first: int, second: int, free_bytes: int, *, limit: int = MAX_BATCH_SIZE) -> int:
    """The largest power of two, from 64 to `limit` samples, whose step uses at most 60 % of the free memory.

    A step of 64 samples uses `first` bytes, and one of 128 samples `second`.
    """
    per_sample = max(second - first, 1) / MIN_BATCH_SIZE
    fixed = first - MIN_BATCH_SIZE * per_sample
    batch_size = MIN_BATCH_SIZE
    while 2 * batch_size <= limit and fixed + 2 * batch_size * per_sample <= _MEMORY_FRACTION * free_bytes:
        batch_size *= 2
    return batch_size


def _step_bytes(network: nn.Module, shape: tuple[int, ...], runtime: Runtime, batch_size: int) -> int:
    """The peak memory in bytes of a forward and backward pass on `batch_size` samples of `shape`, on a GPU."""

    def step() -> None:
        with runtime.autocast():
            logits = network(torch.zeros(batch_size, *shape, device=runtime.device))
        labels = torch.zeros(batch_size, dtype=torch.int64, device=runtime.device)
        F.cross_entropy(logits.float(), labels).backward()
        network.zero_grad()

    return peak_memory(runtime.device, step)
