"""DeepDream: gradient ascent on an image that amplifies what a layer finds in it, from coarse to fine.

After Mordvintsev, Olah and Tyka, "Inceptionism", 2015: octaves, random shifts, normalized gradients, guide images.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812  # PyTorch's own abbreviation
from torch import Tensor, nn

from dlnotes_cli.data.images.decode import without_skipping
from dlnotes_cli.data.images.image_io import FORMATS, LoadedImage, holds_alpha, read_image, sample_image, save_image
from dlnotes_cli.inference.inspected_network import InspectedNetwork, NamedLayer, check_spatial
from dlnotes_cli.inference.inspection import blurred, open_network
from dlnotes_cli.plots.sheet import Panel, Section, Sheet, gray_to_rgb, short_number
from dlnotes_cli.shell import files, output
from dlnotes_cli.shell.codec import named
from dlnotes_cli.shell.errors import InputError, UnfinishedError
from dlnotes_cli.shell.files import user_path
from dlnotes_cli.shell.show import Detail, check_outputs
from dlnotes_cli.visualize.layers import NetworkResult
from dlnotes_cli.visualize.options import DreamConfig

_TILE = 512  # pixels per side whose activations are in memory at once
_HEADROOM = 64.0  # distance from black or white, of 255, from which on a pixel moves less
_LARGEST = 4.0  # change of a value in standard deviations
_SMOOTHING = (0.5, 1.0, 2.0)  # standard deviations in pixels of the averages of a gradient
_MIN_SIDE = 16  # of the coarsest octave
_GUIDE_SIDE = 256  # pixels of the longer side of a guide image
_DEPTH = 0.8  # of the default layer, among those with maps
_SHOWN = 640  # pixels per side on the sheet

HeightAndWidth = tuple[int, int]  # height and width


@dataclass(frozen=True)
class DreamResult(NetworkResult):
    """The image that was written, and how much more it activates the layer."""

    layer: str
    image: str = field(metadata=named("file"))
    guide: str | None
    size: HeightAndWidth
    octaves: tuple[HeightAndWidth, ...]  # from coarse to fine
    start: float  # mean square of the activations
    end: float
    out: Path
    sheet: Path | None
    seed: int

    def table(self) -> Iterator[str]:
        """What was amplified, and how much."""
        height, width = self.size
        yield Detail(f"{self.layer} of {self.network.model}, {width}x{height}")
        yield Detail(f"mean square of the activations  {self.start:.4g} to {self.end:.4g}")


def dream(config: DreamConfig) -> DreamResult:
    """Dream on an image and write the result, upright and with the transparency of the original.

    Raises InputError for an unreadable image, a layer without maps, and output files; UnfinishedError where the image
    is not finite.
    """
    path = user_path(config.image) if config.image else sample_image("china.jpg", "IMAGE")
    out = config.out or Path(f"{path.stem}-dream.png")
    format_ = FORMATS.get(out.suffix.lower(), "NPY")
    if format_ == "NPY":
        known = ", ".join(suffix for suffix in FORMATS if suffix != ".npy")
        raise InputError("--out", f"{out}: no image format has the suffix '{out.suffix}'", f"use {known}")
    files.check_output_file("--out", out, overwrite=config.overwrite)
    check_outputs(config)
    network = open_network(config)
    layer = _layer(network, config.layer)
    original = _read(network, path, config)
    ascent = _Ascent(network, layer, _guide(network, layer, config), config)
    image = _tensor(original)
    octaves = tuple(_octaves((image.shape[2], image.shape[3]), config))
    dreamed = _dreamed(ascent, image, octaves, config)
    start, end = ascent.strength(image), ascent.strength(dreamed)
    if not bool(torch.isfinite(dreamed).all()):
        raise UnfinishedError(str(path), "the image is not finite", "use a smaller --strength")
    written = replace(original, values=dreamed[0].round().byte().permute(1, 2, 0).contiguous().numpy())
    if original.alpha is not None and not holds_alpha(format_):
        output.warn(f"{out}: a {format_} file has no transparency; name a .png file to keep it")
    save_image(out, written)
    result = DreamResult(
        network.info, layer.name, str(path), config.guide, octaves[-1], octaves, start, end, out, config.sheet,
        config.seed,
    )  # fmt: skip
    if config.sheet is not None:
        title = f"DeepDream of {layer.name}, {network.title}"
        files.atomic_write(config.sheet, _sheet(title, result, config, (original, written)).png())
    return result


class _Ascent:
    """Steps of gradient ascent on the activations of a layer, tile by tile, so that memory stays bounded."""

    def __init__(self, network: InspectedNetwork, layer: NamedLayer, guide: Tensor | None, config: DreamConfig) -> None:
        self._network, self._layer, self._guide = network, layer, guide
        self._strength = config.strength
        self._generator = torch.Generator().manual_seed(config.seed)

    def step(self, image: Tensor) -> Tensor:
        """The image (1, C, H, W) after one step.

        It is cut into tiles, shifted at random beforehand: this hides their seams and the grid of the pooling layers.
        """
        shift = [int(torch.randint(0, side, (), generator=self._generator)) for side in image.shape[2:]]
        with torch.enable_grad():
            shifted = image.roll(shift, (2, 3)).requires_grad_()
            for tile in _tiles(shifted):
                self._score(self._activations(tile)).backward()
        if shifted.grad is None:
            raise RuntimeError("no gradient")
        change = _evened(shifted.grad.roll([-one for one in shift], (2, 3))).mul_(self._strength)
        room = torch.where(change > 0, 255 - image, image).div_(_HEADROOM).clamp_(0, 1)
        return change.mul_(room).add_(image)

    @torch.no_grad()
    def strength(self, image: Tensor) -> float:
        """The mean square of the activations for an image."""
        total, count = 0.0, 0
        for tile in _tiles(image):
            squares = self._activations(tile).square()
            total, count = total + float(squares.sum(dtype=torch.float64)), count + squares.numel()
        return total / count

    def _activations(self, tile: Tensor) -> Tensor:
        return self._network.activations(self._network.normalized(tile), [self._layer])[self._layer.name].float()

    def _score(self, activations: Tensor) -> Tensor:
        """Half the sum of squares; with a guide the product with its most similar features at each position."""
        if self._guide is None:
            return activations.square().sum() / 2
        features = activations[0].flatten(1)  # (units, positions)
        nearest = (self._guide.T @ features.detach()).argmax(dim=0)
        return (features * self._guide[:, nearest]).sum()


def _tiles(image: Tensor) -> list[Tensor]:
    """Parts of an image (1, C, H, W) of almost equal size, of at most 512 pixels per side, row by row."""
    rows = image.tensor_split(-(-image.shape[2] // _TILE), 2)
    return [tile for row in rows for tile in row.tensor_split(-(-image.shape[3] // _TILE), 3)]


def _evened(gradient: Tensor) -> Tensor:
    """A gradient with the same weight for fine and coarse structures, a standard deviation of 1 and no outliers."""
    total = torch.zeros_like(gradient)
    for sigma in _SMOOTHING:
        smooth = blurred(gradient, sigma)
        total += smooth.div_(_deviation(smooth))
    return total.div_(_deviation(total)).clamp_(-_LARGEST, _LARGEST)


def _deviation(values: Tensor) -> float:
    return max(float(values.std()), 1e-12)


@torch.no_grad()
def _dreamed(ascent: _Ascent, image: Tensor, octaves: tuple[HeightAndWidth, ...], config: DreamConfig) -> Tensor:
    """The image with what each octave added, enlarged from octave to octave."""
    base = dreamed = _resized(image, octaves[0])
    with output.progress("dream") as bar:
        for number, size in enumerate(octaves):
            before, base = base, _resized(image, size)
            dreamed = _resized(dreamed - before, size).add_(base).clamp_(0, 255)
            label = f"{size[1]}x{size[0]}"
            for step in range(config.steps):
                dreamed = ascent.step(dreamed)
                bar.update((number + (step + 1) / config.steps) / len(octaves), label.__str__)
    return dreamed


def _octaves(size: HeightAndWidth, config: DreamConfig) -> Iterator[HeightAndWidth]:
    """Heights and widths from coarse to fine, without octaves that are too small for the network."""
    for octave in range(config.octaves - 1, -1, -1):
        height, width = (max(1, round(side / config.octave_scale**octave)) for side in size)
        if octave == 0 or min(height, width) >= _MIN_SIDE:
            yield height, width


def _resized(image: Tensor, size: HeightAndWidth) -> Tensor:
    if image.shape[2:] == size:
        return image
    return F.interpolate(image, size, mode="bicubic", antialias=True, align_corners=False)


def _layer(network: InspectedNetwork, name: str | None) -> NamedLayer:
    if name is not None:
        layer = network.layer(name)
        check_spatial(layer)
        return layer
    if network.cam_layer is None:
        fix = "name another --model, such as small"
        raise InputError("--model", f"{network.name} has no layer with maps, which DeepDream amplifies", fix)
    maps = [layer for layer in network.layers[: network.layers.index(network.cam_layer) + 1] if layer.is_spatial]
    activated = [layer for layer in maps if not isinstance(layer.module, nn.Conv2d | nn.BatchNorm2d)] or maps
    return activated[round(_DEPTH * (len(activated) - 1))]


def _read(network: InspectedNetwork, path: Path, config: DreamConfig) -> LoadedImage:
    with without_skipping():
        image = read_image(path, "gray" if network.input_shape[0] == 1 else "rgb", config.max_pixels)
    height, width = image.values.shape[:2]
    if min(height, width) < _MIN_SIDE:
        raise InputError(
            path, f"{width}x{height} pixels are too few", f"use an image of at least {_MIN_SIDE}x{_MIN_SIDE}"
        )
    if image.values.dtype != np.uint8:
        image = replace(image, values=(image.values // 257).astype(np.uint8))
    return image


def _guide(network: InspectedNetwork, layer: NamedLayer, config: DreamConfig) -> Tensor | None:
    """The features (units, positions) of the guide image."""
    if config.guide is None:
        return None
    image = _tensor(_read(network, user_path(config.guide), config))
    scale = min(1.0, _GUIDE_SIDE / max(image.shape[2:]))
    small = _resized(image, (max(1, round(image.shape[2] * scale)), max(1, round(image.shape[3] * scale))))
    with torch.no_grad():
        outputs = network.activations(network.normalized(small), [layer])
    return outputs[layer.name][0].float().flatten(1)


def _tensor(image: LoadedImage) -> Tensor:
    """Pixels (1, C, H, W) as float32."""
    return torch.tensor(image.values.transpose(2, 0, 1)[None], dtype=torch.float32)


def _sheet(title: str, result: DreamResult, config: DreamConfig, images: tuple[LoadedImage, LoadedImage]) -> Sheet:
    panels = [
        Panel(gray_to_rgb(image.values.transpose(2, 0, 1)), label)
        for image, label in zip(images, ("original", "dream"), strict=True)
    ]
    height, width = result.octaves[0]
    sizes = f"{len(result.octaves)} octaves, from {width}x{height}" if len(result.octaves) > 1 else "1 octave"
    aim = "to amplify what the layer finds" if result.guide is None else f"to resemble {Path(result.guide).name}"
    caption = (
        f"Gradient ascent on the image {aim}: {sizes} to {result.size[1]}x{result.size[0]} pixels, {config.steps} "
        f"steps in each, strength {config.strength:g}. Mean square of the activations: {short_number(result.start)} in "
        f"the original, {short_number(result.end)} in the dream."
    )
    return Sheet(title, [Section(panels)], caption, columns=2, side=min(_SHOWN, max(images[0].values.shape)))
