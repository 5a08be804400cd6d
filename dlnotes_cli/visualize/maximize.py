"""Feature maximization: images that excite units of a layer, found by gradient ascent from almost gray.

They are optimized as spectra, a parametrization in which gradient ascent finds smooth images with natural colors, after
Olah, Mordvintsev and Schubert, "Feature visualization", 2017 (doi:10.23915/distill.00007).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from math import pi
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812  # PyTorch's own abbreviation
from numpy.typing import NDArray
from torch import Tensor, nn

from dlnotes_cli.data.images.decode import decode_image
from dlnotes_cli.data.images.image_io import LoadedImage, sample_image, save_image
from dlnotes_cli.data.preprocessing import ImageShape
from dlnotes_cli.inference.inspected_network import InspectedNetwork, NamedLayer
from dlnotes_cli.inference.inspection import open_network
from dlnotes_cli.plots.sheet import Panel, Section, Sheet, gray_to_rgb, short_number
from dlnotes_cli.shell import files, output
from dlnotes_cli.shell.codec import HIDDEN, in_json, named
from dlnotes_cli.shell.errors import InputError, UnfinishedError
from dlnotes_cli.shell.show import Table, check_outputs
from dlnotes_cli.visualize.layers import (
    SAMPLE_PIXELS,
    SAMPLES,
    NetworkResult,
    active_units,
    layer_title,
    parse_units,
    unit_means,
    unit_name,
)
from dlnotes_cli.visualize.options import DEFAULT_TOP, LARGE_TOP, MaximizeConfig

_LR = 0.1
_SMOOTH = 24  # pixels per side from which an image is interpolated on the sheet
_LARGER = 64  # pixels per side, to show the texture of a map in a network that was trained on smaller images
_START = 0.01  # standard deviation of the spectrum at the start: almost gray
_COLORS_SIDE = 128  # of the images whose colors are taken as natural
_DECAY = 1.4  # exponent of the frequency, by which its weight falls
_ZOOM = (0.8, 1.25)
_ROTATION = pi / 18  # 10 degrees to each side
_SHIFT = 1 / 8  # of a side, to each side
_SMALLER = 128  # pixels per side of the images of networks that were trained on larger ones, to save time


@dataclass(frozen=True)
class MaximizedUnit:
    """An image that excites a unit, and the unit's mean activation before and after the optimization."""

    unit: int
    name: str  # of its class, or "unit N"
    start: float
    end: float
    pixels: NDArray[np.uint8] = field(metadata=HIDDEN)  # (C, H, W)
    file: Path | None = None

    @property
    @in_json
    def growth(self) -> float | None:
        """End over start; None where the unit was not active at the start."""
        return self.end / self.start if self.start > 0 else None


@dataclass(frozen=True)
class MaximizeResult(NetworkResult):
    """The images of the units of a layer."""

    layer: str
    steps: int
    size: tuple[int, int]  # height and width
    units: tuple[MaximizedUnit, ...] = field(metadata=named("results"))
    seed: int
    sheet: Path

    def table(self) -> Iterator[Table]:
        """The activation of each unit, before and after."""
        numeric = ("unit", "start", "end", "growth")
        rows = [
            (u.unit, u.name, f"{u.start:.4f}", f"{u.end:.4f}", f"{u.growth:.1f}x" if u.growth else "-")
            for u in self.units
        ]
        yield Table(("unit", "name", "start", "end", "growth"), rows, numeric)

    @property
    def paths(self) -> list[Path]:
        """The files that were written."""
        return [*(unit.file for unit in self.units if unit.file), self.sheet]


def maximize(config: MaximizeConfig) -> MaximizeResult:
    """Optimize one image for each unit, all in one batch, and draw them.

    Raises InputError for an unknown layer, unit, size or output file; UnfinishedError if an activation overflows.
    """
    network = open_network(config)
    layer = network.layer(config.layer) if config.layer else network.output_layer
    units = parse_units(network, layer, config.unit)
    shape = (network.input_shape[0], *_size(network, layer, config.size))
    check_outputs(config)
    if config.out is not None:
        files.check_output_folder("--out", config.out, overwrite=config.overwrite)
    top = config.top or (DEFAULT_TOP if max(shape[1:]) <= _LARGER else LARGE_TOP)
    found = _optimized(network, layer, units or active_units(network, layer, top), shape, config)
    if config.out is not None:
        found = _written(found, config.out)
    title = f"What excites {layer_title(network, layer)} of {network.title}"
    files.atomic_write(config.sheet, _sheet(title, found, config.steps).png())
    return MaximizeResult(network.info, layer.name, config.steps, shape[1:], found, config.seed, config.sheet)


def _size(network: InspectedNetwork, layer: NamedLayer, requested: int | None) -> tuple[int, int]:
    """Height and width of the images: as requested, else the network's own, within limits where it accepts others."""
    height, width = network.input_shape[1:]
    if requested is not None:
        if (height, width) != (requested, requested) and not network.accepts(requested, requested):
            what = f"{network.name} does not accept images of {requested}x{requested}"
            raise InputError("--size", what, f"drop it: the network was trained on {height}x{width}")
        return requested, requested
    if layer.is_spatial and max(height, width) < _LARGER and network.accepts(_LARGER, _LARGER):
        return _LARGER, _LARGER
    if max(height, width) > _SMALLER and network.accepts(_SMALLER, _SMALLER):
        return _SMALLER, _SMALLER
    return height, width


def _optimized(
    network: InspectedNetwork, layer: NamedLayer, units: list[int], shape: tuple[int, int, int], config: MaximizeConfig
) -> tuple[MaximizedUnit, ...]:
    generator = torch.Generator().manual_seed(config.seed)
    images = FourierImages(len(units), shape, generator, network.runtime.device)
    optimizer = torch.optim.Adam([images.spectrum], _LR)
    own = torch.arange(len(units)), torch.tensor(units)
    start = _activation(network, layer, images().detach())[own]
    with output.progress("maximize") as bar:
        for step in range(config.steps):
            optimizer.zero_grad()
            scores = _scores(network, layer, transformed(images(), generator))
            (-scores[own].sum()).backward()
            optimizer.step()
            bar.update((step + 1) / config.steps)
    pixels = images().detach().round()
    end = _activation(network, layer, pixels)[own]
    if not bool(torch.isfinite(end).all()):
        raise UnfinishedError(layer.name, "its activation is not finite", "use fewer --steps, or another --layer")
    arrays = pixels.to(torch.uint8).cpu().numpy()
    return tuple(
        MaximizedUnit(unit, unit_name(network, layer, unit), float(start[i]), float(end[i]), arrays[i])
        for i, unit in enumerate(units)
    )


@torch.no_grad()
def _activation(network: InspectedNetwork, layer: NamedLayer, samples: Tensor) -> Tensor:
    """The mean activation (N, units)."""
    return unit_means(network.activations(network.normalized(samples), [layer])[layer.name]).cpu()


def _scores(network: InspectedNetwork, layer: NamedLayer, samples: Tensor) -> Tensor:
    """What is maximized (N, units): the mean of the output, of a ReLU that of its input.

    A unit that a ReLU sets to 0 has no gradient behind it.
    """
    inputs: list[Tensor] = []
    handle = layer.module.register_forward_pre_hook(lambda _module, args: inputs.append(args[0]))
    try:
        outputs = network.activations(network.normalized(samples), [layer])
    finally:
        handle.remove()
    return unit_means(inputs[0] if isinstance(layer.module, nn.ReLU) else outputs[layer.name])


def _written(units: tuple[MaximizedUnit, ...], folder: Path) -> tuple[MaximizedUnit, ...]:
    """The units with the files that their images are written to."""
    files.make_folder("--out", folder)
    written = tuple(replace(unit, file=folder / f"unit{unit.unit}.png") for unit in units)
    for unit in written:
        save_image(Path(str(unit.file)), LoadedImage(unit.pixels.transpose(1, 2, 0)))
    return written


def _sheet(title: str, units: Sequence[MaximizedUnit], steps: int) -> Sheet:
    panels = [
        Panel(gray_to_rgb(unit.pixels), unit.name, f"{short_number(unit.start)} to {short_number(unit.end)}")
        for unit in units
    ]
    caption = (
        f"Each image was optimized in {steps} steps to excite one unit; below: the unit's mean activation at "
        "the start, almost gray, and at the end. It shows what activates the unit most, not what it usually sees."
    )
    is_smooth = min(units[0].pixels.shape[1:]) >= _SMOOTH
    return Sheet(title, [Section(panels)], caption, columns=5, side=224, is_smooth=is_smooth)


class FourierImages:
    """Images (N, C, H, W) in 0..255 that are computed from a spectrum, which is what is optimized.

    Low frequencies have more weight, as in natural images, and the channels of the spectrum are uncorrelated colors.
    """

    def __init__(
        self, count: int, shape: tuple[int, int, int], generator: torch.Generator, device: torch.device
    ) -> None:
        channels, height, width = shape
        rows, columns = torch.fft.fftfreq(height)[:, None], torch.fft.rfftfreq(width)[None]
        frequency = (rows**2 + columns**2).sqrt().clamp(min=1 / max(height, width))
        longest = max(height, width)
        self._weight = (longest**0.5 / (longest * frequency) ** _DECAY).to(device)
        self._size = (height, width)
        self._colors = (natural_colors() if channels == 3 else torch.eye(channels)).to(device)  # noqa: PLR2004  # RGB
        start = torch.randn(count, channels, *frequency.shape, 2, generator=generator)
        self.spectrum = (_START * start).to(device).requires_grad_()

    def __call__(self) -> Tensor:
        """The images."""
        weighted = torch.view_as_complex(self.spectrum) * self._weight
        decorrelated = torch.fft.irfft2(weighted, s=self._size, norm="ortho")
        return 255 * torch.einsum("nkhw,ck->nchw", decorrelated, self._colors).sigmoid()


@cache
def natural_colors() -> Tensor:
    """A matrix (3, 3) from independent values to colors that vary together as in two images.

    Its product with its transpose is their covariance, scaled to a largest column norm of 1.
    """
    shape = ImageShape(3, _COLORS_SIDE, _COLORS_SIDE, "crop")
    images = [decode_image(sample_image(name, "scikit-learn"), shape, SAMPLE_PIXELS) for name in SAMPLES]
    pixels = np.concatenate([image.reshape(3, -1) for image in images], axis=1)
    variances, directions = np.linalg.eigh(np.cov(pixels / 255))
    root = directions * np.sqrt(variances)
    return torch.tensor(root / np.linalg.norm(root, axis=0).max(), dtype=torch.float32)


def transformed(images: Tensor, generator: torch.Generator) -> Tensor:
    """Images (N, C, H, W), each shifted, zoomed and rotated a little at random, so that no single pixel matters."""
    count = len(images)
    draws = torch.rand(count, 4, generator=generator)
    zoom = _ZOOM[0] + (_ZOOM[1] - _ZOOM[0]) * draws[:, 0]
    angle = _ROTATION * (2 * draws[:, 1] - 1)
    shift = 2 * _SHIFT * (2 * draws[:, 2:] - 1)  # in the coordinates of affine_grid, where a side is 2 long
    cosine, sine = angle.cos() / zoom, angle.sin() / zoom
    rows = [torch.stack([cosine, -sine, shift[:, 0]], 1), torch.stack([sine, cosine, shift[:, 1]], 1)]
    grid = F.affine_grid(torch.stack(rows, 1).to(images.device), list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, mode="bilinear", padding_mode="reflection", align_corners=False)
