"""The feature maps of one image: how much each position activates each unit of a layer."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from dlnotes_cli.data.array_files import write_npz
from dlnotes_cli.data.images.geometry import decode_placed
from dlnotes_cli.data.images.sample_images import sample_image
from dlnotes_cli.plots.contact_sheet import ColorBar, ContactSheet, Panel, Section, colored, gray_to_rgb, short_number
from dlnotes_cli.shell import files
from dlnotes_cli.shell.files import user_path
from dlnotes_cli.training.inspection.layers import NamedLayer
from dlnotes_cli.training.inspection.network import InspectedNetwork
from dlnotes_cli.training.inspection.opening import open_network
from dlnotes_cli.training.model_file import check_finite
from dlnotes_cli.visualize.layers import described, layer_title
from dlnotes_cli.visualize.options import ALL_LAYERS, ActivationsConfig

_STRIP = 6  # maps of each layer where all layers are shown
_BLOCKS = 3  # of these strips next to each other
_FEW_LAYERS = 6  # in one block
_BRIGHTEST = 99.8  # percentile of a layer's values that has the end of the color scale

Maps = NDArray[np.float32]  # (C, H, W)


@dataclass(frozen=True)
class UnitActivation:
    """The activations of one unit: their mean and maximum over all positions, and where the maximum is."""

    unit: int
    mean: float
    max: float
    position: tuple[int, int]  # row and column

    def as_json(self) -> dict[str, Any]:
        """An entry of `units`."""
        return vars(self) | {"position": list(self.position)}


@dataclass(frozen=True)
class LayerActivations:
    """The feature maps of one layer, and the units that are shown."""

    layer: NamedLayer
    maps: Maps
    shown: tuple[UnitActivation, ...]

    def as_json(self) -> dict[str, Any]:
        """An entry of `layers`."""
        return {
            "layer": self.layer.name,
            "type": self.layer.kind,
            "shape": list(self.layer.shape),
            "units": [unit.as_json() for unit in self.shown],
        }


@dataclass(frozen=True)
class ActivationsResult:
    """The feature maps of an image, and what the network says it is."""

    network: InspectedNetwork
    image: str
    predicted: str
    probability: float
    layers: tuple[LayerActivations, ...]
    sheet: str
    out: str | None

    def as_json(self) -> dict[str, Any]:
        """The fields of the document."""
        return described(self.network) | {
            "file": self.image,
            "class": self.predicted,
            "probability": self.probability,
            "layers": [layer.as_json() for layer in self.layers],
            "sheet": self.sheet,
            "out": self.out,
        }


def show_activations(config: ActivationsConfig) -> ActivationsResult:
    """Draw the feature maps of an image. Raises InputError for the layer, the image and the output files."""
    files.check_output_file("--sheet", config.sheet, overwrite=config.overwrite)
    if config.out is not None:
        files.check_output_file("--out", config.out, overwrite=config.overwrite)
    network = open_network(config)
    layers = _chosen(network, config.layer)
    path = user_path(config.image) if config.image else sample_image("flower.jpg", "IMAGE")
    pixels, _ = decode_placed(path, network.preprocessing.image_shape, config.max_pixels)
    probabilities, outputs = _run(network, layers, pixels)
    top = config.top or (_STRIP if config.layer == ALL_LAYERS else None)
    found = tuple(
        LayerActivations(layer, outputs[layer.name], _strongest(outputs[layer.name], top)) for layer in layers
    )
    label = int(probabilities.argmax())
    result = ActivationsResult(
        network, str(path), network.classes[label], float(probabilities[label]), found, str(config.sheet),
        str(config.out) if config.out else None,
    )  # fmt: skip
    files.atomic_write(config.sheet, _sheet(result, path, pixels).png())
    if config.out is not None:
        _export(config.out, found)
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
    """The units with the largest means, or all in their order."""
    means = maps.mean(axis=(1, 2), dtype=np.float64)
    order = range(len(maps)) if top is None else np.argsort(-means, kind="stable")[:top].tolist()
    return tuple(_unit(unit, maps[unit], float(means[unit])) for unit in order)


def _unit(unit: int, values: NDArray[np.float32], mean: float) -> UnitActivation:
    row, column = divmod(int(values.argmax()), values.shape[1])
    return UnitActivation(unit, mean, float(values.max()), (row, column))


def _sheet(result: ActivationsResult, path: Path, pixels: NDArray[np.uint8]) -> ContactSheet:
    """The image as the network sees it at the left, and a section for each layer."""
    lead = Panel(gray_to_rgb(pixels), path.name, f"predicted: {result.predicted}\n{result.probability:.1%}")
    sections = [_section(layer) for layer in result.layers]
    one = len(result.layers) == 1
    has_maps = any(layer.maps[0].size > 1 for layer in result.layers)
    squares = "Each square is one unit, row by row from unit 0; below: mean and maximum of the layer."
    if has_maps:
        squares = (
            "Each image is the map of one unit, at the layer's own size; below: mean and maximum over its positions."
        )
    most = max(len(layer.shown) for layer in result.layers)
    if any(len(layer.shown) < len(layer.maps) for layer in result.layers) and has_maps:
        squares += f" Of each layer, the {most} units with the largest mean are shown."
    caption = (
        f"{squares} All units of a layer share the colors of its bar, so that layers do not compare. The ends of a bar "
        f"are the layer's {_BRIGHTEST:g}th percentile: the few values beyond have the color of the end. White is 0 "
        "where values are negative too, else black."
    )
    network = result.network
    name = layer_title(network, result.layers[0].layer) if one else f"{len(result.layers)} layers"
    title = f"{'Feature maps' if has_maps else 'Activations'} of {name}, {network.title}"
    blocks = 1 if len(sections) <= _FEW_LAYERS else _BLOCKS
    return ContactSheet(title, sections, caption, columns=8, side=96, lead=lead, blocks=blocks)


def _section(found: LayerActivations) -> Section:
    shape = "x".join(map(str, found.layer.shape))
    heading, bar = f"{found.layer.name}  {found.layer.kind} {shape}", _bar(found.maps)
    if found.maps[0].size == 1:
        return Section(_value_panel(found.maps), heading, bar=bar)
    return Section(_map_panels(found), heading, bar=bar)


def _bar(maps: Maps) -> ColorBar:
    low, high = _scale(maps)
    if low < 0:
        limit = max(-low, high)
        return ColorBar(-limit, limit, f"≤ {short_number(-limit)}", f"≥ {short_number(limit)}")
    return ColorBar(0.0, high, "0", f"≥ {short_number(high)}")


def _map_panels(found: LayerActivations) -> list[Panel]:
    low, high = _scale(found.maps)
    return [
        Panel(colored(found.maps[unit.unit], low, high), f"unit {unit.unit}", _range(unit.mean, unit.max))
        for unit in found.shown
    ]


def _value_panel(maps: Maps) -> list[Panel]:
    """All values of a layer without positions, row by row in one image."""
    values = maps.ravel()
    columns = int(np.ceil(np.sqrt(len(values))))
    rows = -(-len(values) // columns)
    pixels = np.full((rows * columns, 3), 255, np.uint8)
    pixels[: len(values)] = colored(values[None], *_scale(maps))[0]
    label = f"{len(values)} units, row by row"
    return [Panel(pixels.reshape(rows, columns, 3), label, _range(float(values.mean()), float(values.max())))]


def _range(mean: float, largest: float) -> str:
    """Mean and maximum on a line each, of so few digits that each fits."""
    return f"mean {short_number(mean, 2)}\nmax {short_number(largest, 2)}"


def _scale(maps: Maps) -> tuple[float, float]:
    """The values at the ends of the color scale of a layer."""
    low = float(np.percentile(maps, 100 - _BRIGHTEST)) if maps.min() < 0 else 0.0
    return min(low, 0.0), max(float(np.percentile(maps, _BRIGHTEST)), 1e-12)


def _export(path: Path, found: Sequence[LayerActivations]) -> None:
    write_npz(path, **{layer.layer.name: layer.maps for layer in found})
