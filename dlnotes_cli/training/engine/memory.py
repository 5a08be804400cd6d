"""Forecast of the memory that training takes, so that a run which cannot fit ends before it begins."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from dlnotes_cli.device import Runtime, available_memory
from dlnotes_cli.shell import output
from dlnotes_cli.shell.errors import UnfinishedError
from dlnotes_cli.training.recipes import ClassifierRecipe, Recipe

_FLOAT_BYTES, _HALF_BYTES = 4, 2
_MOMENTS = {  # tensors of the optimizer for each parameter
    "sgd": 0, "nesterov": 1, "rmsprop": 1, "adagrad": 1, "adadelta": 2, "adam": 2, "adamw": 2
}  # fmt: skip
_COPIES = 3  # of each parameter besides: the weights, their gradients, the weights of the best validation
_COUNTED = (nn.Conv2d, nn.Linear, nn.RNNBase)  # a gradient needs their outputs, or the activations of these


@dataclass(frozen=True)
class TrainingMemory:
    """A lower bound of the bytes that training takes: a run that fits is never refused."""

    network: int  # weights, gradients, state of the optimizer, best and averaged weights
    batch: int  # activations of one batch

    @classmethod
    def of(
        cls, network: nn.Module, sample: tuple[Any, ...], batch_size: int, recipe: Recipe, precision: str,
        *, trains_all: bool = True,
    ) -> "TrainingMemory":  # fmt: skip
        """The forecast for a network on the meta device; `sample` are its inputs for one sample.

        Without `trains_all` some layers may be frozen, which keep no gradients and activations.
        """
        copies = _COPIES + _MOMENTS[recipe.optimizer] + bool(recipe.ema)
        if isinstance(recipe, ClassifierRecipe) and recipe.optimizer == "sgd" and recipe.momentum:
            copies += 1
        weights = sum(tensor.nbytes for tensor in network.state_dict().values())
        values = _count_outputs(network, sample)
        value_bytes = _FLOAT_BYTES if precision == "fp32" else _HALF_BYTES
        return cls(
            weights * (copies if trains_all else 1),
            (sum(values) if trains_all else max(values, default=0)) * batch_size * value_bytes,
        )

    def check(self, runtime: Runtime, options: str) -> None:
        """Raise UnfinishedError naming `options`, which make it smaller, if this cannot fit into main memory."""
        if runtime.device.type != "cpu":  # others report that their memory is full
            return
        free, needed = available_memory(runtime.device, swap=True), self.network + self.batch
        if free is not None and needed > free:
            parts = f"{output.size(self.network)} for the network, {output.size(self.batch)} for a batch"
            what = f"training needs at least {output.size(needed)} ({parts}), {output.size(free)} are available"
            raise UnfinishedError("memory", what, f"use a smaller {options}")


def _count_outputs(network: nn.Module, sample: tuple[Any, ...]) -> list[int]:
    """The number of values that each counted layer returns for one sample."""
    counts: list[int] = []

    def count(_module: nn.Module, _inputs: Any, result: Any) -> None:
        counts.append((result if isinstance(result, Tensor) else result[0]).numel())

    for module in network.modules():
        if isinstance(module, _COUNTED):
            module.register_forward_hook(count)
    with torch.no_grad():
        network.eval()(*sample)
    return counts
