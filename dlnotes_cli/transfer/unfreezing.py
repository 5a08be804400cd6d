"""Which layers of a pretrained network train, from which epoch on, and how fast."""

from typing import Any

from torch import nn

from dlnotes_cli.models.backbones import Transferred, blocks

_SHALLOWEST, _DEEPEST = -1.0, -2.0  # exponents of the learning-rate factors of the last and the first block
_ALL = 1 << 30


def layers_of(network: Transferred, fine_tune: str | None) -> list[dict[str, Any]]:
    """Each block and the head: name, parameters, whether it trains, and the factor on its learning rate."""
    found = list(blocks(network.backbone))
    first = len(found) - count_blocks(fine_tune, len(found))
    rows = [
        {
            "name": name,
            "parameters": _parameters(block),
            "trains": i >= first,
            "lr_factor": _factor(i, len(found)) if i >= first else None,
        }
        for i, (name, block) in enumerate(found)
    ]
    return [*rows, {"name": "head", "parameters": _parameters(network.head), "trains": True, "lr_factor": 1.0}]


def thaw(network: Transferred, count: int) -> None:
    """Let the last `count` blocks of a backbone train, and the head; all of it where there are no more."""
    found = [block for _, block in blocks(network.backbone)]
    for parameter in network.backbone.parameters():
        parameter.requires_grad_(count >= len(found))
    for block in found[max(0, len(found) - count) :]:
        block.requires_grad_(True)


def thawed(count: int, epoch: int, epochs: int | None) -> int:
    """How many of `count` blocks train in an epoch, counted from 1: all of them from half time on.

    >>> [thawed(9, epoch, 6) for epoch in range(1, 7)], thawed(9, 1, 1), thawed(9, 1, None)
    ([3, 6, 9, 9, 9, 9], 9, 9)
    """
    if epochs is None:
        return count
    return min(count, -(-count * epoch // max(1, epochs // 2)))


def lr_factors(network: Transferred) -> dict[str, float]:
    """By parameter: 1 in the head, a tenth in the last block, falling evenly on a logarithmic scale to a hundredth."""
    found = list(blocks(network.backbone))
    factors = {name: 10**_DEEPEST for name, _ in network.named_parameters() if name.startswith("backbone.")}
    for i, (name, block) in enumerate(found):
        factors |= {f"backbone.{name}.{inner}": _factor(i, len(found)) for inner, _ in block.named_parameters()}
    return factors


def _factor(position: int, count: int) -> float:
    """The learning-rate factor of a block."""
    depth = (count - 1 - position) / max(count - 1, 1)
    return round(10 ** (_SHALLOWEST + (_DEEPEST - _SHALLOWEST) * depth), 4)


def count_blocks(fine_tune: str | None, everything: int = _ALL) -> int:
    """How many blocks train: none, the N of `last-N`, or all."""
    if fine_tune is None:
        return 0
    return everything if fine_tune == "all" else min(int(fine_tune.removeprefix("last-")), everything)


def _parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())
