"""The weights of a layer as images: kernels in color, deeper ones channel by channel, input weights of an MLP."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from dlnotes_cli.inference.inspected_network import InspectedNetwork, NamedLayer
from dlnotes_cli.inference.inspection import open_network
from dlnotes_cli.plots.sheet import ColorBar, Panel, Pixels, Section, Sheet, colored, gray_to_rgb, short_number
from dlnotes_cli.shapes.layer import format_shape
from dlnotes_cli.shell import files, output
from dlnotes_cli.shell.errors import InputError
from dlnotes_cli.shell.show import Detail, Table, check_outputs
from dlnotes_cli.visualize.layers import NetworkResult
from dlnotes_cli.visualize.options import FiltersConfig

_CONVOLUTIONS = (nn.Conv2d, nn.ConvTranspose2d)
_COLORS = 3
_GRID_LINE = 205  # light gray


@dataclass(frozen=True)
class FilterInfo:
    """The weights of one unit."""

    unit: int
    norm: float  # Euclidean
    min: float
    max: float
    mean: float


@dataclass(frozen=True)
class FiltersResult(NetworkResult):
    """The filters of a layer that are shown, those with the largest weights first."""

    layer: str
    kernel: tuple[int, ...]  # (C, H, W) of the weights of one unit
    units: int
    filters: tuple[FilterInfo, ...]
    sheet: Path

    def table(self) -> Iterator[Table | str]:
        """The weights of each filter."""
        columns = ("unit", "norm", "min", "max", "mean")
        rows = [
            (one.unit, *(f"{value:.4f}" for value in (one.norm, one.min, one.max, one.mean))) for one in self.filters
        ]
        yield Table(columns, rows, columns)
        shown = f"{len(rows)} of {output.counted(self.units, 'filter')} of {self.layer}"
        yield Detail(f"{shown}, {format_shape(self.kernel)} weights each")


def show_filters(config: FiltersConfig) -> FiltersResult:
    """Draw the weights of a layer. Raises InputError for a layer without weights that are images, and for the sheet."""
    check_outputs(config)
    network = open_network(config)
    layer = network.layer(config.layer) if config.layer else _first_with_weights(network)
    weights = _weights(network, layer)
    norms = weights.flatten(1).norm(dim=1)
    order = norms.argsort(descending=True, stable=True)[: config.top].tolist()
    infos = tuple(_info(unit, weights[unit], float(norms[unit])) for unit in order)
    panels = [
        Panel(
            _image(weights[one.unit].numpy()), f"unit {one.unit}", f"{short_number(one.min)} to {short_number(one.max)}"
        )
        for one in infos
    ]
    files.atomic_write(config.sheet, _sheet(network, layer, weights, panels).png())
    return FiltersResult(network.info, layer.name, tuple(weights.shape[1:]), len(weights), infos, config.sheet)


def _first_with_weights(network: InspectedNetwork) -> NamedLayer:
    return next(layer for layer in network.layers if isinstance(layer.module, (*_CONVOLUTIONS, nn.Linear)))


def _weights(network: InspectedNetwork, layer: NamedLayer) -> Tensor:
    """The weights (units, C, H, W) of a convolution, or of a linear layer that reads the image itself."""
    module = layer.module
    is_first = network.kind == "mlp" and layer == _first_with_weights(network)
    if isinstance(module, _CONVOLUTIONS) or (isinstance(module, nn.Linear) and is_first):
        weights: Tensor = module.weight.detach().float().cpu()
        if isinstance(module, nn.ConvTranspose2d):
            return weights.transpose(0, 1)
        return weights.view(-1, *network.preprocessing.shape) if isinstance(module, nn.Linear) else weights
    what = f"{layer.name} is of type {layer.kind}, which has no filters"
    if isinstance(module, nn.Linear):
        what = f"{layer.name} reads {module.in_features} values, not an image, so that its weights are no image"
    names = [other.name for other in network.layers if isinstance(other.module, _CONVOLUTIONS)]
    known = ", ".join(names[:5]) or _first_with_weights(network).name
    raise InputError("--layer", what, f"name a layer with filters, such as {known}")


def _info(unit: int, weights: Tensor, norm: float) -> FilterInfo:
    return FilterInfo(unit, norm, float(weights.min()), float(weights.max()), float(weights.mean()))


def _image(weights: NDArray[np.float32]) -> Pixels:
    """A filter of 3 channels in color, of 1 channel in two colors, of more as a grid of its channels."""
    limit = float(np.abs(weights).max()) or 1.0
    if len(weights) == _COLORS:
        return gray_to_rgb(np.rint(127.5 + 127.5 * weights / limit).astype(np.uint8))
    if len(weights) == 1:
        return colored(weights[0], -limit, limit)
    return _grid([colored(channel, -limit, limit) for channel in weights])


def _grid(images: list[Pixels]) -> Pixels:
    """Images of one size next to each other in a square, with a gray line between them."""
    columns = int(np.ceil(np.sqrt(len(images))))
    framed = np.pad(images, ((0, -len(images) % columns), (0, 1), (0, 1), (0, 0)), constant_values=_GRID_LINE)
    rows = framed.reshape(-1, columns, *framed.shape[1:]).transpose(0, 2, 1, 3, 4)
    return rows.reshape(rows.shape[0] * rows.shape[1], -1, 3)[:-1, :-1]


def _sheet(network: InspectedNetwork, layer: NamedLayer, weights: Tensor, panels: list[Panel]) -> Sheet:
    count, channels, height, width = weights.shape
    shown = f"{len(panels)} of {count}" if len(panels) < count else f"{count}"
    is_dense = isinstance(layer.module, nn.Linear)
    what = "units: the weights of each, reshaped to the input" if is_dense else "filters"
    caption = f"{height}x{width} weights each, sorted by their norm. "
    bar = None
    if channels == _COLORS:
        caption += "Color: gray is 0; each channel of a color is stretched by the filter's largest absolute weight."
    else:
        caption += f"Each small square is one of {channels} input channels. " if channels > 1 else ""
        caption += "Each is stretched by its own largest absolute weight, so that colors of two do not compare."
        bar = ColorBar(-1.0, 1.0, "-largest absolute weight", "+largest;  white is 0")
    caption += " Below: range of the weights."
    if layer != _first_with_weights(network):
        caption += (
            " Filters beyond the first layer normally have no recognizable structure: they combine channels, not "
            "colors of the image."
        )
    side = 4 * int(np.ceil(np.sqrt(channels))) * (width + 1)  # pixels of a grid of channels
    title = f"{shown} {what}, {layer.name} of {network.title}"
    if channels > _COLORS:
        return Sheet(title, [Section(panels, bar=bar)], caption, columns=6, side=min(max(144, side), 220))
    return Sheet(title, [Section(panels, bar=bar)], caption, columns=8, side=144)
