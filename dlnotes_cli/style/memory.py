"""Forecast the memory of style transfer before it starts, and find the largest image size that fits."""

import torch
from torch import Tensor, nn

from dlnotes_cli.device import available_memory
from dlnotes_cli.shell import output
from dlnotes_cli.shell.errors import InputError
from dlnotes_cli.style.images import Size, scaled_to
from dlnotes_cli.style.objective import MARGIN, StyleSetup
from dlnotes_cli.style.optimization import LBFGS_HISTORY

_FLOAT_BYTES = 4
_LIBRARY_BYTES = 40_000_000  # workspaces that PyTorch allocates
_GRADIENT_FACTOR = {"fp32": 2.5, "bf16": 3.6}  # bytes of activations, their gradients and fp32 losses / of activations
_IMAGE_COPIES = 10  # of the optimized image: the best, the gradient, the moments of Adam, temporaries
_USABLE_FRACTION = 0.9  # of the free memory
_SIZE_STEP = 16  # pixels between the sizes that are tried


def needed_bytes(setup: StyleSetup, content_size: Size, longer_side: int) -> int:
    """An upper estimate of what stylizing takes beyond the network and the input images.

    The content image (H, W) is scaled to `longer_side` pixels. The most memory is needed for the steps, or for the
    features of a larger style image.
    """
    height, width = scaled_to(content_size, longer_side)
    value_bytes = setup.network.dtype.itemsize
    needed = [_optimization_bytes(setup, (height + 2 * MARGIN, width + 2 * MARGIN), value_bytes)]
    for style in setup.styles:
        size = setup.style_size(style, (height, width))
        activations, features = _count_values(setup, _largest_crop(setup, size))
        largest = max(*activations, *features.values()) * (value_bytes + _FLOAT_BYTES)
        needed.append(sum(features.values()) * value_bytes + largest + 2 * _image_bytes(size))
    return _LIBRARY_BYTES + max(needed)


def _optimization_bytes(setup: StyleSetup, size: Size, value_bytes: int) -> int:
    """For the activations of the gradient, and the copies of the image (H, W) that the optimizer keeps."""
    counts, features = _count_values(setup, _largest_crop(setup, size))
    regions = len(setup.masks.names) if setup.masks else 0
    activations = sum(counts) + regions * sum(features.values())  # which each region weights for its Gram matrix
    pairs = min(LBFGS_HISTORY, setup.recipe.steps) if setup.recipe.optimizer == "lbfgs" else 0
    needed = activations * value_bytes * _GRADIENT_FACTOR[setup.network.runtime.precision]
    needed += (2 * pairs + _IMAGE_COPIES) * _image_bytes(size)
    if setup.config.tile is not None:  # tiles do not divide the content's features
        needed += _count_values(setup, size)[1][setup.network.layers.content] * _FLOAT_BYTES
    return round(needed)


def _image_bytes(size: Size) -> int:
    return 3 * size[0] * size[1] * _FLOAT_BYTES


def _largest_crop(setup: StyleSetup, size: Size) -> Size:
    """(H, W) of the largest tile of an image, with the surroundings that its features depend on."""
    tiles = setup.tiles(*size)
    rows = max(len(range(size[0])[tile.rows.low : tile.rows.high]) for tile in tiles)
    return rows, max(len(range(size[1])[tile.columns.low : tile.columns.high]) for tile in tiles)


def _count_values(setup: StyleSetup, size: Size) -> tuple[list[int], dict[str, int]]:
    """Numbers of values for an image (H, W): of the activations that a gradient needs, and of each requested layer."""
    activations: list[int] = []

    def count(module: nn.Module, inputs: tuple[Tensor], result: Tensor) -> None:
        if not isinstance(module, nn.Conv2d):
            activations.append(result.numel())
        elif module.padding_mode != "zeros":
            activations.append(inputs[0].numel())  # copied to be padded

    network = setup.network.truncated
    leaves = [module for module in network.modules() if not next(module.children(), None)]
    handles = [module.register_forward_hook(count) for module in leaves]
    features = network.on_meta(torch.empty(1, 3, *size, device="meta"))
    for handle in handles:
        handle.remove()
    return activations, {name: values.numel() for name, values in features.items()}


def size_that_fits(setup: StyleSetup, content_size: Size) -> int:
    """The longer side of the result: `--size`, or with `--fit` the largest that fits in free memory.

    Raises InputError with that size if `--size` does not fit and `--fit` is not set.
    """
    config, size = setup.config, setup.config.size
    free = available_memory(setup.network.runtime.device)
    needed = needed_bytes(setup, content_size, size)
    if free is None or needed <= _USABLE_FRACTION * free:
        return size
    while size > _SIZE_STEP and needed_bytes(setup, content_size, size) > _USABLE_FRACTION * free:
        size -= max(_SIZE_STEP, size // 10 // _SIZE_STEP * _SIZE_STEP)
    what = f"about {needed / 1e9:.1f} GB, {free / 1e9:.1f} GB are free"
    if not config.fit:
        tiles = "" if config.tile else ", --tile 256"
        raise InputError("--size", f"{config.size} pixels need {what}", f"use --size {size}{tiles}, or --fit")
    output.warn(f"--size {config.size} needs {what}; using {size} pixels")
    return size
