"""How much memory a painting takes, told before it begins."""

import copy

import torch
from torch import Tensor, nn

from dlnotes_cli import output
from dlnotes_cli.configs.style_transfer import StyleTransferConfig
from dlnotes_cli.device import available_memory
from dlnotes_cli.errors import InputError
from dlnotes_cli.tasks.style_network import Viewer
from dlnotes_cli.tasks.style_pictures import Canvas
from dlnotes_cli.training.style import MEMORY

_FLOAT = 4  # bytes
_KEPT = 2.2  # times the values of all layers: kept for the gradient, and the gradients on their way back
_PICTURES = 2 * MEMORY + 10  # of the size that is painted, that L-BFGS and we hold
_SHARE = 0.9  # of what is free
_STEP = 16  # pixels in which sizes are offered


def forecast(viewer: Viewer, size: tuple[int, int]) -> int:
    """Bytes that painting at (H, W) takes beyond the network, a little more than is needed."""
    values = 0

    def count(_module: nn.Module, _inputs: object, found: Tensor) -> None:
        nonlocal values
        values += found.numel()

    network = copy.deepcopy(viewer.network).to("meta")
    for module in network.modules():
        if not next(module.children(), None):
            module.register_forward_hook(count)
    network(torch.empty(1, 3, *size, device="meta", dtype=viewer.dtype))
    each = _FLOAT if viewer.machine.precision == "fp32" else _FLOAT / 2
    return round(values * each * _KEPT + _PICTURES * 3 * size[0] * size[1] * _FLOAT)


def affordable(config: StyleTransferConfig, viewer: Viewer, canvas: Canvas) -> int:
    """The longer side to paint: what is asked for, or with `--fit` as much of it as memory does for.

    Raises InputError naming the size that would do.
    """
    free = available_memory(viewer.machine.device)
    if free is None or forecast(viewer, canvas.sized(config.size)) <= _SHARE * free:
        return config.size
    size = config.size
    while size > _STEP and forecast(viewer, canvas.sized(size)) > _SHARE * free:
        size -= max(_STEP, size // 10 // _STEP * _STEP)
    need, have = forecast(viewer, canvas.sized(config.size)) / 1e9, free / 1e9
    if not config.fit:
        what = f"{config.size} pixels need about {need:.1f} GB, {have:.1f} GB are free"
        raise InputError("--size", what, f"use --size {size}, or --fit")
    output.warn(f"painting at {size} pixels: {config.size} would need about {need:.1f} GB, {have:.1f} GB are free")
    return size
