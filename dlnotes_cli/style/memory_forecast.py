"""Forecast the memory of style transfer before it starts, and find the largest image size that fits."""

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from dlnotes_cli.device import available_memory
from dlnotes_cli.shell import output
from dlnotes_cli.shell.errors import InputError
from dlnotes_cli.style.feature_network import FeatureNetwork
from dlnotes_cli.style.images import MARGIN, Size, scaled_to, scaled_to_at_least
from dlnotes_cli.style.optimization import LBFGS_HISTORY
from dlnotes_cli.style.options import StyleTransferConfig
from dlnotes_cli.style.recipes import StyleRecipe
from dlnotes_cli.style.tiles import make_tiles

_FLOAT_BYTES = 4
_LIBRARY_BYTES = 40_000_000  # workspaces that PyTorch allocates
_GRADIENT_FACTOR = {"fp32": 2.5, "bf16": 3.6}  # bytes of activations, their gradients and fp32 losses / of activations
_IMAGE_COPIES = 10  # of the optimized image: the best, the gradient, the moments of Adam, temporaries
_USABLE_FRACTION = 0.9  # of the free memory
_SIZE_STEP = 16  # pixels between the sizes that are tried


class MemoryForecast:
    """Bytes that stylizing takes beyond the network and the input images; an upper estimate.

    `regions` is the number of regions that have Gram matrices of their own.
    """

    def __init__(
        self,
        network: FeatureNetwork,
        recipe: StyleRecipe,
        config: StyleTransferConfig,
        style_sizes: Sequence[Size],
        regions: int = 0,
    ) -> None:
        self._network, self._recipe = network, recipe
        self._tile, self._regions = config.tile, regions
        self._style_scale, self._style_sizes = config.style_scale, style_sizes

    def needed_bytes(self, content_size: Size, longer_side: int) -> int:
        """For a content image (H, W) that is scaled to `longer_side` pixels."""
        size = scaled_to(content_size, longer_side)
        style_sizes = [
            scaled_to_at_least(style_size, max(size) * self._style_scale, self._network.min_side)
            for style_size in self._style_sizes
        ]
        return _LIBRARY_BYTES + max(self._optimization_bytes(size), *map(self._extraction_bytes, style_sizes))

    def _optimization_bytes(self, size: Size) -> int:
        """For the steps: activations for the gradient, and the image copies of the optimizer."""
        size = size[0] + 2 * MARGIN, size[1] + 2 * MARGIN
        activations, features, _ = self._count_values(self._largest_crop(size))
        activations += self._regions * sum(features.values())  # which each region weights for its Gram matrix
        pairs = min(LBFGS_HISTORY, self._recipe.steps) if self._recipe.optimizer == "lbfgs" else 0
        images = (2 * pairs + _IMAGE_COPIES) * 3 * size[0] * size[1] * _FLOAT_BYTES
        needed = round(activations * self._value_bytes * _GRADIENT_FACTOR[self._network.runtime.precision] + images)
        return needed if self._tile is None else needed + self._content_bytes(size)

    def _largest_crop(self, size: Size) -> Size:
        """(H, W) of the largest tile of an image, with the surroundings that its features depend on."""
        tiles = make_tiles(*size, self._tile, self._network.truncated.windows())
        crops = [[range(length)[part] for length, part in zip(size, tile.crop, strict=True)] for tile in tiles]
        return max(len(rows) for rows, _ in crops), max(len(columns) for _, columns in crops)

    def _content_bytes(self, size: Size) -> int:
        """For the content's features, which tiles do not divide."""
        _, features, _ = self._count_values(size)
        return features[self._network.layers.content] * _FLOAT_BYTES

    def _extraction_bytes(self, size: Size) -> int:
        """For one pass without gradient: the requested features, the largest layer in both precisions, the image."""
        _, features, largest = self._count_values(self._largest_crop(size))
        image = 2 * 3 * size[0] * size[1] * _FLOAT_BYTES
        return sum(features.values()) * self._value_bytes + largest * (self._value_bytes + _FLOAT_BYTES) + image

    @property
    def _value_bytes(self) -> int:
        return _FLOAT_BYTES if self._network.runtime.precision == "fp32" else _FLOAT_BYTES // 2

    def _count_values(self, size: Size) -> tuple[int, dict[str, int], int]:
        """Values at (H, W) of the activations that a gradient needs, each requested layer, and the largest layer."""
        activations: list[int] = []

        def count(module: nn.Module, inputs: tuple[Tensor], result: Tensor) -> None:
            if not isinstance(module, nn.Conv2d):
                activations.append(result.numel())
            elif module.padding_mode != "zeros":
                activations.append(inputs[0].numel())  # copied to be padded

        network = copy.deepcopy(self._network.truncated).to("meta")
        for module in network.modules():
            if not next(module.children(), None):
                module.register_forward_hook(count)
        image = torch.empty(1, 3, *size, device="meta", dtype=self._network.dtype)
        features = {name: layer.numel() for name, layer in network(image).items()}
        return sum(activations), features, max(*activations, *features.values())


def size_that_fits(
    config: StyleTransferConfig, network: FeatureNetwork, forecast: MemoryForecast, content_size: Size
) -> int:
    """The longer side of the result: `--size`, or with `--fit` the largest that fits in free memory.

    Raises InputError with that size if `--size` does not fit and `--fit` is not set.
    """
    free = available_memory(network.runtime.device)
    if free is None or forecast.needed_bytes(content_size, config.size) <= _USABLE_FRACTION * free:
        return config.size
    size = config.size
    while size > _SIZE_STEP and forecast.needed_bytes(content_size, size) > _USABLE_FRACTION * free:
        size -= max(_SIZE_STEP, size // 10 // _SIZE_STEP * _SIZE_STEP)
    needed_gb, free_gb = forecast.needed_bytes(content_size, config.size) / 1e9, free / 1e9
    if not config.fit:
        what = f"{config.size} pixels need about {needed_gb:.1f} GB, {free_gb:.1f} GB are free"
        tiles = "" if config.tile else ", --tile 256"
        raise InputError("--size", what, f"use --size {size}{tiles}, or --fit")
    output.warn(f"--size {config.size} needs about {needed_gb:.1f} GB, {free_gb:.1f} GB are free; using {size} pixels")
    return size
