"""Dropout with a mask that is cheap to draw on a CPU."""

import torch
from torch import Tensor, nn

_LEVELS = 1 << 16  # values of the 16 random bits that decide over one unit
_DECISIONS = 4  # units that one 64-bit random number decides over
threshold_backward = torch.ops.aten.threshold_backward  # keeps values where another tensor is above a threshold


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
        levels = Levels(x.shape).draw()
        factors: Tensor = threshold_backward(torch.full(x.shape, self.factor), levels, self.threshold)
        return factors.to(x.dtype)

    @property
    def threshold(self) -> float:
        """The level above which a unit is kept."""
        return self._dropped_levels - _LEVELS // 2 - 0.5

    @property
    def factor(self) -> float:
        """What multiplies a unit that is kept: 1 / (1 - p)."""
        return _LEVELS / (_LEVELS - self._dropped_levels)

    @property
    def _dropped_levels(self) -> int:
        return round(self.p * _LEVELS)


class Levels:
    """Memory for random levels of one shape, -32768 to 32767, each of which decides over one unit."""

    def __init__(self, shape: torch.Size) -> None:
        units = shape.numel()
        self.shape = shape
        self._numbers = torch.empty(-(-units // _DECISIONS), dtype=torch.int64)
        self._levels = self._numbers.view(torch.int16)[:units].view(shape)

    def draw(self) -> Tensor:
        """New levels as float32, which is exact."""
        self._numbers.random_(-(1 << 63), None)
        return self._levels.float()
