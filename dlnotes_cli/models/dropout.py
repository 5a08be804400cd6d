"""Dropout with a mask that is cheap to draw on a CPU."""

import torch
from torch import Tensor, nn

_LEVELS = 1 << 16  # values of the 16 random bits that decide over one unit
_DECISIONS = 4  # units that one 64-bit random number decides over


class Dropout(nn.Dropout):
    """Set each unit to zero with probability `p` in training and scale the others by 1 / (1 - p).

    Srivastava et al. 2014. On a CPU, PyTorch draws one random number per unit; here four units share one, which needs a
    third of the time. `p` is rounded to a multiple of 1/65536.
    """

    def forward(self, x: Tensor) -> Tensor:
        """(N, ...) to the same shape."""
        if not self.training or x.device.type != "cpu":
            return super().forward(x)
        return x * self.draw_factors(x)

    def draw_factors(self, x: Tensor) -> Tensor:
        """The factors of units on the CPU, with the shape and type of `x`: 0 or 1 / (1 - p)."""
        numbers = torch.empty(-(-x.numel() // _DECISIONS), dtype=torch.int64).random_(-(1 << 63), None)
        levels = numbers.view(torch.int16)[: x.numel()].view(x.shape)  # -32768 to 32767
        dropped_levels = round(self.p * _LEVELS)
        lowest_kept = dropped_levels - _LEVELS // 2
        factors = torch.full(x.shape, _LEVELS / (_LEVELS - dropped_levels), dtype=torch.float32)
        # The gradient of a threshold keeps the values at which another tensor is above it: one vectorized kernel.
        return torch.ops.aten.threshold_backward(factors, levels.float(), lowest_kept - 0.5).to(x.dtype)
