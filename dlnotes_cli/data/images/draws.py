"""Random draws of augmentation: each a function of seed, epoch and index alone."""

from torch import Tensor

from dlnotes_cli.seeding import derived_seed

_MIX = (-0x40A7B892E31B1A47, -0x6B2FB644ECCEEE15)  # the two multipliers of splitmix64 as signed integers


class Draws:
    """Counter-based uniform draws for each sample of a batch; an index has the same draws in any batch."""

    def __init__(self, indices: Tensor, seed: int) -> None:
        self._indices, self._seed, self._count = indices, seed, 0

    def uniform(self) -> Tensor:
        """The next draw of each sample, float32 (N,) in [0, 1), by the output function of splitmix64."""
        self._count += 1
        z = self._indices * -0x61C8864680B583EB + (derived_seed(self._seed, self._count))
        z = (z ^ _shifted(z, 30)) * _MIX[0]
        z = (z ^ _shifted(z, 27)) * _MIX[1]
        return _shifted(z ^ _shifted(z, 31), 40).float() * 2.0**-24

    def within(self, low: float, high: float) -> Tensor:
        """The next draw of each sample, float32 (N,) from `low` to `high`."""
        return low + (high - low) * self.uniform()


def _shifted(z: Tensor, bits: int) -> Tensor:
    """Logical right shift: torch has no unsigned 64-bit arithmetic."""
    return (z >> bits) & ((1 << (64 - bits)) - 1)
