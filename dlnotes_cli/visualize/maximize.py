"""Feature maximization: images that excite units of a layer, found by gradient ascent from almost gray."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from dlnotes_cli.data.images.image_io import LoadedImage, save_image
from dlnotes_cli.inference.inspected_network import InspectedNetwork, NamedLayer, NetworkInfo
from dlnotes_cli.inference.inspection import open_network
from dlnotes_cli.plots.sheet import Panel, Section, Sheet, gray_to_rgb, short_number
from dlnotes_cli.shell import files, output
from dlnotes_cli.shell.codec import HIDDEN, INLINE, in_json, named
from dlnotes_cli.shell.errors import InputError, UnfinishedError
from dlnotes_cli.shell.show import Table, check_outputs
from dlnotes_cli.visualize.fourier import FourierImages, transformed
from dlnotes_cli.visualize.options import DEFAULT_TOP, LARGE_TOP, MaximizeConfig
from dlnotes_cli.visualize.units import active_units, layer_title, parse_units, unit_means, unit_name

_LR = 0.1
_SMOOTH = 24  # pixels per side from which an image is interpolated on the sheet
_LARGER = 64  # pixels per side, to show the texture of a map in a network that was trained on smaller images
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
class MaximizeResult:
    """The images of the units of a layer."""

    network: NetworkInfo = field(metadata=INLINE)
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
    units = units or active_units(
        network, layer, config.top or (DEFAULT_TOP if max(shape[1:]) <= _LARGER else LARGE_TOP)
    )
    found = _optimized(network, layer, units, shape, config)
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
    written = []
    for unit in units:
        path = folder / f"unit{unit.unit}.png"
        save_image(path, LoadedImage(unit.pixels.transpose(1, 2, 0)))
        written.append(replace(unit, file=path))
    return tuple(written)


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
