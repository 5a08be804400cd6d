"""How much memory a painting takes, told before it begins."""

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from dlnotes_cli.device import available_memory
from dlnotes_cli.shell import output
from dlnotes_cli.shell.errors import InputError
from dlnotes_cli.style.images import with_longer, with_shorter_at_least
from dlnotes_cli.style.losses import MEMORY
from dlnotes_cli.style.network import Viewer
from dlnotes_cli.style.options import StyleTransferConfig
from dlnotes_cli.training.recipes import given

Size = tuple[int, int]

_FLOAT = 4  # bytes
_BASE = 40_000_000  # bytes that the libraries take for themselves
_KEPT = {"fp32": 2.5, "bf16": 3.6}  # times what the gradient needs: that itself, gradients on their way, losses in fp32
_PICTURES = 10  # of the size that is painted, that we and Adam hold
_SHARE = 0.9  # of what is free
_STEP = 16  # pixels in which sizes are offered


class Forecast:
    """Bytes beyond the network and the images as they were read, a little more than is needed."""

    def __init__(self, config: StyleTransferConfig, viewer: Viewer, styles: Sequence[Size]) -> None:
        self._config, self._viewer, self._styles = config, viewer, styles

    def __call__(self, content: Size, longer: int) -> int:
        """For an image (H, W) painted with `longer` pixels on the longer side."""
        size = with_longer(content, longer)
        looked = [
            with_shorter_at_least(style, max(size) * self._config.style_scale, self._viewer.shortest)
            for style in self._styles
        ]
        return _BASE + max(self._painting(size), *map(self._looking, looked))

    def _painting(self, size: Size) -> int:
        """Of the steps: all that the gradient needs, and the images that the optimizer remembers."""
        kept, _, _ = self._values(size)
        pairs = min(MEMORY, given(self._config.steps)) if self._config.optimizer == "lbfgs" else 0
        images = (2 * pairs + _PICTURES) * 3 * size[0] * size[1] * _FLOAT
        return round(kept * self._each * _KEPT[self._viewer.runtime.precision] + images)

    def _looking(self, size: Size) -> int:
        """Of one look without a gradient: the layers that were asked for, in fp32 too, and those that are at work."""
        _, wanted, largest = self._values(size)
        return wanted * self._each + largest * (self._each + _FLOAT) + 2 * 3 * size[0] * size[1] * _FLOAT

    @property
    def _each(self) -> int:
        return _FLOAT if self._viewer.runtime.precision == "fp32" else _FLOAT // 2

    def _values(self, size: Size) -> tuple[int, int, int]:
        """Numbers at (H, W): those that a gradient needs, those of the wanted layers, those of the largest layer."""
        kept: list[int] = []

        def count(module: nn.Module, inputs: tuple[Tensor], found: Tensor) -> None:
            if not isinstance(module, nn.Conv2d):
                kept.append(found.numel())
            elif module.padding_mode != "zeros":
                kept.append(inputs[0].numel())  # with its frame

        network = copy.deepcopy(self._viewer.network).to("meta")
        for module in network.modules():
            if not next(module.children(), None):
                module.register_forward_hook(count)
        wanted = [
            found.numel()
            for found in network(torch.empty(1, 3, *size, device="meta", dtype=self._viewer.dtype)).values()
        ]
        return sum(kept), sum(wanted), max(*kept, *wanted)


def affordable(config: StyleTransferConfig, viewer: Viewer, content: Size, styles: Sequence[Size]) -> int:
    """The longer side to paint: what is asked for, or with `--fit` as much of it as memory does for.

    Raises InputError naming the size that would do.
    """
    free, forecast = available_memory(viewer.runtime.device), Forecast(config, viewer, styles)
    if free is None or forecast(content, config.size) <= _SHARE * free:
        return config.size
    size = config.size
    while size > _STEP and forecast(content, size) > _SHARE * free:
        size -= max(_STEP, size // 10 // _STEP * _STEP)
    need, have = forecast(content, config.size) / 1e9, free / 1e9
    if not config.fit:
        what = f"{config.size} pixels need about {need:.1f} GB, {have:.1f} GB are free"
        raise InputError("--size", what, f"use --size {size}, or --fit")
    output.warn(f"painting at {size} pixels: {config.size} would need about {need:.1f} GB, {have:.1f} GB are free")
    return size
