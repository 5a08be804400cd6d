"""The feature maps of one image: how much each position activates each unit of a layer."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from dlnotes_cli.data.images.decode import decode_placed
from dlnotes_cli.data.images.image_io import sample_image, write_npz
from dlnotes_cli.inference.inspected_network import InspectedNetwork, NamedLayer
from dlnotes_cli.inference.inspection import open_network
from dlnotes_cli.plots.sheet import ColorBar, Panel, Section, Sheet, colored, gray_to_rgb, short_number
from dlnotes_cli.shapes.layer import format_shape
from dlnotes_cli.shell import files
from dlnotes_cli.shell.codec import HIDDEN, named
from dlnotes_cli.shell.files import user_path
from dlnotes_cli.shell.show import Detail, Table, check_outputs
from dlnotes_cli.training.model_file import check_finite
from dlnotes_cli.visualize.layers import NetworkResult, layer_title
from dlnotes_cli.visualize.options import ALL_LAYERS, ActivationsConfig

_STRIP = 6  # maps of each layer where all layers are shown
_BLOCKS = 3  # of these strips next to each other
_FEW_LAYERS = 6  # in one block
_BRIGHTEST = 99.0  # percentile of the values shown that has the end of the color scale

Maps = NDArray[np.float32]  # (C, H, W)


@dataclass(frozen=True)
class UnitActivation:
    """The activations of one unit: their mean and maximum over all positions, and where the maximum is."""

    unit: int
    mean: float
    max: float
    position: tuple[int, int]  # row and column


@dataclass(frozen=True)
class LayerActivations:
    """The feature maps of one layer, and the units that are shown."""

    layer: str
    type: str
    shape: tuple[int, ...]
    maps: Maps = field(metadata=HIDDEN)
    units: tuple[UnitActivation, ...]


@dataclass(frozen=True)
class ActivationsResult(NetworkResult):
    """The feature maps of an image, and what the network says it is."""

    image: str = field(metadata=named("file"))
    predicted: str = field(metadata=named("class"))
    probability: float
    layers: tuple[LayerActivations, ...]
    sheet: Path
    out: Path | None

    def table(self) -> Iterator[Table | str]:
        """The units of each layer, and the answer of the network."""
        numeric = ("shape", "unit", "mean", "max")
        rows = [
            (found.layer, format_shape(found.shape), unit.unit, f"{unit.mean:.4f}", f"{unit.max:.4f}")
            for found in self.layers
            for unit in found.units
        ]
        yield Table(("layer", *numeric), rows, numeric)
        yield Detail(f"{self.image}: {self.predicted}, probability {self.probability:.4f}")


def show_activations(config: ActivationsConfig) -> ActivationsResult:
    """Draw the feature maps of an image. Raises InputError for the layer, the image and the output files."""
    check_outputs(config)
    network = open_network(config)
    layers = _chosen(network, config.layer)
    path = user_path(config.image) if config.image else sample_image("flower.jpg", "IMAGE")
    pixels, _ = decode_placed(path, network.preprocessing.image_shape, config.max_pixels)
    probabilities, outputs = _run(network, layers, pixels)
    top = config.top or (_STRIP if config.layer == ALL_LAYERS else None)
    found = tuple(
        LayerActivations(one.name, one.kind, one.shape, outputs[one.name], _strongest(outputs[one.name], top))
        for one in layers
    )
    label = int(probabilities.argmax())
    result = ActivationsResult(
        network.info, str(path), network.classes[label], float(probabilities[label]), found, config.sheet, config.out
    )
    files.atomic_write(config.sheet, _sheet(network, layers, result, pixels).png())
    if config.out is not None:
        write_npz(config.out, **{one.layer: one.maps for one in found})
    return result


def _chosen(network: InspectedNetwork, name: str) -> list[NamedLayer]:
    if name != ALL_LAYERS:
        return [network.layer(name)]
    return [layer for layer in network.layers if layer.is_spatial] or list(network.layers)


@torch.no_grad()
def _run(
    network: InspectedNetwork, layers: Sequence[NamedLayer], pixels: NDArray[np.uint8]
) -> tuple[NDArray[np.float32], dict[str, Maps]]:
    """The probabilities of the classes, and the maps of each layer."""
    x = network.prepare(torch.tensor(pixels)[None])
    with network.capture(layers) as outputs:
        logits = network(x)
    check_finite(Path(network.weights), logits)
    maps = {name: _maps(output[0].float().cpu().numpy()) for name, output in outputs.items()}
    return logits[0].softmax(0).cpu().numpy(), maps


def _maps(output: NDArray[np.float32]) -> Maps:
    """An output as maps; one without positions has maps of one value."""
    return output if output.ndim == 3 else output.reshape(len(output), 1, -1)  # noqa: PLR2004  # (C, H, W)


def _strongest(maps: Maps, top: int | None) -> tuple[UnitActivation, ...]:
    """The units with the largest mean magnitudes, or all in their order."""
    means, magnitudes = (values.mean(axis=(1, 2), dtype=np.float64) for values in (maps, np.abs(maps)))
    order = range(len(maps)) if top is None else np.argsort(-magnitudes, kind="stable")[:top].tolist()
    return tuple(_unit(unit, maps[unit], float(means[unit])) for unit in order)


def _unit(unit: int, values: NDArray[np.float32], mean: float) -> UnitActivation:
    row, column = divmod(int(values.argmax()), values.shape[1])
    return UnitActivation(unit, mean, float(values.max()), (row, column))


def _sheet(
    network: InspectedNetwork, layers: Sequence[NamedLayer], result: ActivationsResult, pixels: NDArray[np.uint8]
) -> Sheet:
    """The image as the network sees it at the left, and a section for each layer."""
    lead = Panel(
        gray_to_rgb(pixels), Path(result.image).name, f"predicted: {result.predicted}\n{result.probability:.1%}"
    )
    sections = [_section(layer) for layer in result.layers]
    has_maps = any(layer.maps[0].size > 1 for layer in result.layers)
    squares = "Each square is one unit, row by row from unit 0; below: mean and maximum of the layer."
    if has_maps:
        squares = (
            "Each image is the map of one unit, at the layer's own size; below: mean and maximum over its positions."
        )
    most = max(len(layer.units) for layer in result.layers)
    if any(len(layer.units) < len(layer.maps) for layer in result.layers) and has_maps:
        squares += f" Of each layer, the {most} units with the largest mean magnitude are shown."
    caption = (
        f"{squares} All units of a layer share the colors of its bar, so that layers do not compare. The ends of a bar "
        f"are the {_BRIGHTEST:g}th percentile of what is shown: the few values beyond have the color of the end. White "
        "is 0 where values are negative too, else black."
    )
    name = layer_title(network, layers[0]) if len(layers) == 1 else f"{len(layers)} layers"
    title = f"{'Feature maps' if has_maps else 'Activations'} of {name}, {network.title}"
    blocks = 1 if len(sections) <= _FEW_LAYERS else _BLOCKS
    return Sheet(title, sections, caption, columns=8, side=96, lead=lead, blocks=blocks)


def _section(found: LayerActivations) -> Section:
    heading = f"{found.layer}  {found.type} {format_shape(found.shape)}"
    shown = found.maps if found.maps[0].size == 1 else found.maps[[unit.unit for unit in found.units]]
    low, high = _scale(shown)
    panels = _value_panel(shown, low, high) if shown[0].size == 1 else _map_panels(found, low, high)
    return Section(panels, heading, bar=_bar(low, high))


def _bar(low: float, high: float) -> ColorBar:
    if low < 0:
        limit = max(-low, high)
        return ColorBar(-limit, limit, f"≤ {short_number(-limit)}", f"≥ {short_number(limit)}")
    return ColorBar(0.0, high, "0", f"≥ {short_number(high)}")


def _map_panels(found: LayerActivations, low: float, high: float) -> list[Panel]:
    return [
        Panel(colored(found.maps[unit.unit], low, high), f"unit {unit.unit}", _range(unit.mean, unit.max))
        for unit in found.units
    ]


def _value_panel(maps: Maps, low: float, high: float) -> list[Panel]:
    """All values of a layer without positions, row by row in one image."""
    values = maps.ravel()
    columns = int(np.ceil(np.sqrt(len(values))))
    rows = -(-len(values) // columns)
    pixels = np.full((rows * columns, 3), 255, np.uint8)
    pixels[: len(values)] = colored(values[None], low, high)[0]
    label = f"{len(values)} units, row by row"
    return [Panel(pixels.reshape(rows, columns, 3), label, _range(float(values.mean()), float(values.max())))]


def _range(mean: float, largest: float) -> str:
    """Mean and maximum on a line each, of so few digits that each fits."""
    return f"mean {short_number(mean, 2)}\nmax {short_number(largest, 2)}"


def _scale(maps: Maps) -> tuple[float, float]:
    """The values at the ends of the color scale of the maps that are shown."""
    low = float(np.percentile(maps, 100 - _BRIGHTEST)) if maps.min() < 0 else 0.0
    return min(low, 0.0), max(float(np.percentile(maps, _BRIGHTEST)), 1e-12)
