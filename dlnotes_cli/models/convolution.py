"""Convolutions whose weight gradient is fast for small maps on CPUs with bf16 matrix instructions."""

from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

_MAX_SIDE = 8  # positions in a row up to which rows of several images are laid side by side
_MIN_CHANNELS = 96
_BATCH_DIMENSIONS = 4  # N, C, H, W
_ROW_IMAGES = 32  # images in one row


class Conv2d(nn.Conv2d):
    """A convolution as torch.nn has it, whose training is faster for small maps in bf16 on a CPU."""

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, C', H', W')."""
        if not self._has_slow_gradient(x):
            return super().forward(x)
        half = torch.bfloat16
        output: Tensor = SideBySide.apply(x.to(half), self.weight.to(half))  # type: ignore[no-untyped-call]
        return output if self.bias is None else output + self.bias.to(torch.bfloat16).view(-1, 1, 1)

    def _has_slow_gradient(self, x: Tensor) -> bool:
        """Whether `SideBySide` is faster: on AMX tiles, for rows that are shorter than a tile."""
        return (
            self.training
            and self.weight.requires_grad
            and x.device.type == "cpu"
            and torch.is_autocast_enabled("cpu")
            and torch.get_autocast_dtype("cpu") is torch.bfloat16
            and x.ndim == _BATCH_DIMENSIONS
            and x.shape[-1] <= _MAX_SIDE
            and min(self.in_channels, self.out_channels) >= _MIN_CHANNELS
            and len(x) % _ROW_IMAGES == 0
            and self._keeps_size
            and not torch.compiler.is_compiling()
            and _has_amx()
        )

    @property
    def _keeps_size(self) -> bool:
        """Whether this is a plain 3x3 convolution with a padding of one zero."""
        return (self.kernel_size, self.padding, self.padding_mode) == ((3, 3), (1, 1), "zeros") and (
            self.stride, self.dilation, self.groups) == ((1, 1), (1, 1), 1)  # fmt: skip


class SideBySide(torch.autograd.Function):
    """A 3x3 convolution with a padding of 1, whose weight gradient is that of wide images.

    The gradient sums products over all positions of all images. oneDNN multiplies row by row in tiles of 32 positions,
    of which a row of 8 fills a quarter. Rows of 32 images, laid side by side with one column of zeros after each, fill
    them; the zeros are the padding of both neighbors, and contribute nothing.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        """Images (N, C, H, W), N a multiple of 32, and weights (C', C, 3, 3) to (N, C', H, W)."""
        ctx.save_for_backward(x, weight)
        return torch.conv2d(x, weight, padding=1)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor]:
        """The gradients with respect to the images and the weights."""
        x, weight = ctx.saved_tensors
        gradient = gradients[0].contiguous(memory_format=torch.channels_last)
        of_x = _gradients(gradient, x, weight, 0) if ctx.needs_input_grad[0] else None
        of_weight = _gradients(side_by_side(gradient), side_by_side(x), weight, 1)
        return of_x, of_weight


def side_by_side(images: Tensor) -> Tensor:
    """Images (N, C, H, W) as (N / 32, C, H, 32 (W + 1)): each followed by a column of zeros; channels last."""
    count, channels, height, width = images.shape
    rows = images.new_zeros(count // _ROW_IMAGES, height, _ROW_IMAGES, width + 1, channels)
    grouped = images.permute(0, 2, 3, 1).reshape(count // _ROW_IMAGES, _ROW_IMAGES, height, width, channels)
    rows[:, :, :, :width] = grouped.transpose(1, 2)
    return rows.flatten(2, 3).permute(0, 3, 1, 2)


def _gradients(gradient: Tensor, x: Tensor, weight: Tensor, which: int) -> Tensor:
    """The gradient with respect to the input (`which` 0) or the weight (1) of a 3x3 convolution with a padding of 1."""
    wanted = [which == 0, which == 1, False]
    found = torch.ops.aten.convolution_backward(
        gradient, x, weight, None, (1, 1), (1, 1), (1, 1), False, (0, 0), 1, wanted  # its signature
    )  # fmt: skip
    result: Tensor = found[which]
    return result


@cache
def _has_amx() -> bool:
    """Whether this processor multiplies tiles of bf16 numbers."""
    capabilities: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()  # PyTorch 2.10 has no such function
    return bool(capabilities.get("amx_bf16"))
