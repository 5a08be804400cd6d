"""Dropout whose mask is cheap to draw on a CPU."""

import torch
from torch import Tensor, nn

_LEVELS = 1 << 16  # a unit is kept or dropped by 16 random bits
_SPARE = 4  # decisions that one 64-bit random number makes


class Dropout(nn.Dropout):
    """Drops each unit with probability `p` while training and scales the others by 1 / (1 - p).

    Srivastava et al. 2014. On a CPU, PyTorch draws one random number for each unit; four units share one here, which
    takes a third of the time. `p` is met to 1 / 65536.
    """

    def forward(self, x: Tensor) -> Tensor:
        """(N, ...) to the same shape."""
        if not self.training or x.device.type != "cpu":
            return super().forward(x)
        draws = torch.empty(-(-x.numel() // _SPARE), dtype=torch.int64).random_(-(1 << 63), None)
        levels = draws.view(torch.int16)[: x.numel()].view(x.shape)  # -32768 to 32767
        dropped = round(self.p * _LEVELS)
        kept = levels >= dropped - _LEVELS // 2
        return x * (kept.to(x.dtype) * (_LEVELS / (_LEVELS - dropped)))
