"""The layers of a pretrained network that are trained, their epochs and their learning rates."""

from dataclasses import dataclass

from dlnotes_cli.networks.backbones import TransferModel, named_blocks
from dlnotes_cli.networks.registry import count_parameters

_LAST_EXPONENT, _FIRST_EXPONENT = -1.0, -2.0  # log10 of the learning-rate factors of the last and the first block
_UNKNOWN = 1 << 30  # more blocks than any network has


@dataclass(frozen=True)
class LayerSummary:
    """A block of the backbone, or the head."""

    name: str
    parameters: int
    trains: bool
    lr_factor: float | None  # None: frozen


def summarize_layers(network: TransferModel, fine_tune: str | None) -> list[LayerSummary]:
    """Each block of the backbone, then the head, as `--fine-tune` trains them."""
    blocks = list(named_blocks(network.backbone))
    first = len(blocks) - count_blocks(fine_tune, len(blocks))
    layers = [
        LayerSummary(name, count_parameters(block), i >= first, _lr_factor(i, len(blocks)) if i >= first else None)
        for i, (name, block) in enumerate(blocks)
    ]
    return [*layers, LayerSummary("head", count_parameters(network.head), trains=True, lr_factor=1.0)]


def unfreeze(network: TransferModel, count: int) -> None:
    """Unfreeze the last `count` blocks of the backbone and freeze the others; the head is never frozen."""
    blocks = [block for _, block in named_blocks(network.backbone)]
    for parameter in network.backbone.parameters():
        parameter.requires_grad_(count >= len(blocks))
    for block in blocks[max(0, len(blocks) - count) :]:
        block.requires_grad_(True)


def unfrozen_blocks(count: int, epoch: int, epochs: int | None) -> int:
    """The number of blocks, of `count`, that train in epoch `epoch`, counted from 1: all from half of the epochs on.

    >>> [unfrozen_blocks(9, epoch, 6) for epoch in range(1, 7)], unfrozen_blocks(9, 1, 1), unfrozen_blocks(9, 1, None)
    ([3, 6, 9, 9, 9, 9], 9, 9)
    """
    if epochs is None:
        return count
    return min(count, -(-count * epoch // max(1, epochs // 2)))


def lr_factors(network: TransferModel) -> dict[str, float]:
    """Learning-rate factors of the backbone by parameter name: 0.1 in the last block, 0.01 in the first.

    Between them they are evenly spaced on a logarithmic scale. The head has no factor.
    """
    blocks = list(named_blocks(network.backbone))
    factors = {name: 10**_FIRST_EXPONENT for name, _ in network.named_parameters() if name.startswith("backbone.")}
    for i, (name, block) in enumerate(blocks):
        factors |= {f"backbone.{name}.{inner}": _lr_factor(i, len(blocks)) for inner, _ in block.named_parameters()}
    return factors


def count_blocks(fine_tune: str | None, available: int = _UNKNOWN) -> int:
    """The number of blocks that `--fine-tune` trains: 0 (None), N (`last-N`), or `available` (`all`), at most these."""
    if fine_tune is None:
        return 0
    return available if fine_tune == "all" else min(int(fine_tune.removeprefix("last-")), available)


def _lr_factor(index: int, count: int) -> float:
    """The learning-rate factor of block `index`, counted from 0, of `count`."""
    distance = (count - 1 - index) / max(count - 1, 1)  # from the last block, 0 to 1
    return round(10 ** (_LAST_EXPONENT + (_FIRST_EXPONENT - _LAST_EXPONENT) * distance), 4)
