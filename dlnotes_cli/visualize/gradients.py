"""Gradients of units in the image, with the ReLUs of guided backpropagation or of a deconvnet.

Zeiler and Fergus 2014 (arXiv:1311.2901); Springenberg et al. 2015 (arXiv:1412.6806).
"""

from collections.abc import Callable, Sequence
from typing import Any, Literal

import torch
import torch.nn.functional as F  # noqa: N812  # PyTorch's own abbreviation
from torch import Tensor
from torch.overrides import TorchFunctionMode

from dlnotes_cli.inference.inspected_network import InspectedNetwork, NamedLayer

GradientRule = Literal["guided", "deconvnet"]
CAVEAT = (
    "guided and deconvnet gradients mostly repeat the edges of the patch, whichever unit is chosen, and say little "
    "about a single neuron (Nie et al. 2018, arXiv:1805.07039)"
)
_RELUS = (F.relu, torch.relu, torch.relu_, Tensor.relu, Tensor.relu_)


def unit_gradients(
    network: InspectedNetwork,
    layer: NamedLayer,
    samples: Tensor,
    units: Sequence[tuple[int, tuple[int, int]]],
    rule: GradientRule,
) -> Tensor:
    """The gradient (N, C, H, W) of one unit for each of N samples, a channel and its row and column, in its pixels."""
    pixels = samples.float().requires_grad_()
    with torch.enable_grad(), _Relus(rule):
        outputs = network.activations(network.prepare(pixels), [layer])[layer.name]
        maps = outputs if outputs.ndim == 4 else outputs.reshape(*outputs.shape[:2], 1, -1)  # noqa: PLR2004  # maps
        score = torch.stack([maps[i, unit, row, column] for i, (unit, (row, column)) in enumerate(units)]).sum()
        (gradient,) = torch.autograd.grad(score, pixels)
    return gradient.cpu()


class _Relus(TorchFunctionMode):
    """Inside the block, ReLUs let only positive gradients pass: all of them, or with `guided` those of active units."""

    def __init__(self, rule: GradientRule) -> None:
        super().__init__()
        self._is_guided = rule == "guided"

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func not in _RELUS:
            return func(*args, **(kwargs or {}))
        x: Tensor = args[0]
        output = torch.relu(x) if self._is_guided else x + (torch.relu(x) - x).detach()
        if output.requires_grad:
            output.register_hook(lambda gradient: gradient.clamp(min=0))
        return output
