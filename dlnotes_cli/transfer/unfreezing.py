"""Which layers of a pretrained network are trained, from which epoch on, and at which learning rate."""

from dataclasses import asdict, dataclass
from typing import Any

from torch import nn

from dlnotes_cli.models.backbones import TransferModel, blocks

_LAST_EXPONENT, _FIRST_EXPONENT = -1.0, -2.0  # of ten: learning-rate factors of the last and the first block
_ALL = 1 << 30


@dataclass(frozen=True)
class LayerSummary:
    """One block of the backbone, or the head."""

    name: str
    parameters: int
    trains: bool
    lr_factor: float | None  # on the learning rate; None: frozen

    def as_json(self) -> dict[str, Any]:
        """The entry in a result."""
        return asdict(self)


def layers_of(network: TransferModel, fine_tune: str | None) -> list[LayerSummary]:
    """Each block of the backbone, then the head."""
    named = list(blocks(network.backbone))
    first = len(named) - count_blocks(fine_tune, len(named))
    layers = [
        LayerSummary(name, _parameters(block), i >= first, _lr_factor(i, len(named)) if i >= first else None)
        for i, (name, block) in enumerate(named)
    ]
    return [*layers, LayerSummary("head", _parameters(network.head), trains=True, lr_factor=1.0)]


def unfreeze(network: TransferModel, count: int) -> None:
    """Train the last `count` blocks of the backbone and freeze the others; the head always trains."""
    modules = [block for _, block in blocks(network.backbone)]
    for parameter in network.backbone.parameters():
        parameter.requires_grad_(count >= len(modules))
    for block in modules[max(0, len(modules) - count) :]:
        block.requires_grad_(True)


def unfrozen_blocks(count: int, epoch: int, epochs: int | None) -> int:
    """How many of `count` blocks train in an epoch, counted from 1: all of them from half of the epochs on.

    >>> [unfrozen_blocks(9, epoch, 6) for epoch in range(1, 7)], unfrozen_blocks(9, 1, 1), unfrozen_blocks(9, 1, None)
    ([3, 6, 9, 9, 9, 9], 9, 9)
    """
    if epochs is None:
        return count
    return min(count, -(-count * epoch // max(1, epochs // 2)))


def lr_factors(network: TransferModel) -> dict[str, float]:
    """Learning-rate factors by parameter: 1 in the head, from 0.1 in the last block to 0.01 in the first.

    Between those they are spaced evenly on a logarithmic scale.
    """
    named = list(blocks(network.backbone))
    factors = {name: 10**_FIRST_EXPONENT for name, _ in network.named_parameters() if name.startswith("backbone.")}
    for i, (name, block) in enumerate(named):
        factors |= {f"backbone.{name}.{inner}": _lr_factor(i, len(named)) for inner, _ in block.named_parameters()}
    return factors


def count_blocks(fine_tune: str | None, available: int = _ALL) -> int:
    """How many blocks `--fine-tune` trains: none, the N of `last-N`, or all."""
    if fine_tune is None:
        return 0
    return available if fine_tune == "all" else min(int(fine_tune.removeprefix("last-")), available)


def _lr_factor(position: int, count: int) -> float:
    depth = (count - 1 - position) / max(count - 1, 1)
    return round(10 ** (_LAST_EXPONENT + (_FIRST_EXPONENT - _LAST_EXPONENT) * depth), 4)


def _parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())
