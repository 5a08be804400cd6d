"""The layers of a network, by the names that the other commands take, and the units of a layer."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from dlnotes_cli.data.images.decode import decode_image
from dlnotes_cli.data.images.image_io import sample_image
from dlnotes_cli.inference.inspected_network import InspectedNetwork, NamedLayer, NetworkInfo, receptive_fields
from dlnotes_cli.inference.inspection import open_network
from dlnotes_cli.shapes.layer import format_shape
from dlnotes_cli.shell.codec import INLINE
from dlnotes_cli.shell.errors import InputError
from dlnotes_cli.shell.show import Table
from dlnotes_cli.visualize.options import TOP_UNITS, LayersConfig

SAMPLES = ("china.jpg", "flower.jpg")  # of scikit-learn
SAMPLE_PIXELS = 10**7  # more than they have
_GRAY = 128


@dataclass(frozen=True)
class NetworkResult:
    """What every result has: the network, and the files that were written, which are its paths."""

    network: NetworkInfo = field(metadata=INLINE)

    @property
    def paths(self) -> list[Path]:
        """The files that were written."""
        return [value for value in vars(self).values() if isinstance(value, Path)]


@dataclass(frozen=True)
class LayerDescription:
    """One layer: its name, type and output shape, and how much of the image a value of it sees."""

    name: str
    type: str
    output: tuple[int, ...]
    parameters: int
    receptive_field: tuple[int, ...] | None  # height and width in pixels; None if it is unknown


@dataclass(frozen=True)
class LayersResult(NetworkResult):
    """The layers of a network in forward order."""

    input: tuple[int, int, int]
    classes: int
    layers: tuple[LayerDescription, ...]
    last_maps: str | None  # the default layer of class activation maps
    output_layer: str

    def table(self) -> Iterator[Table]:
        """The layers."""
        numeric = ("output", "parameters", "receptive field")
        rows = [
            (one.name, one.type, format_shape(one.output), f"{one.parameters:,}", format_shape(seen) or "?")
            for one in self.layers
            for seen in [one.receptive_field or ()]
        ]
        yield Table(("layer", "type", *numeric), rows, numeric, is_result=True)


def list_layers(config: LayersConfig) -> LayersResult:
    """Open a network and list its layers. Raises InputError as `open_network` does."""
    network = open_network(config)
    fields, last = receptive_fields(network), network.cam_layer
    sizes = {name: one.size for name, one in fields.items()}
    layers = tuple(
        LayerDescription(one.name, one.kind, one.shape, one.parameters, sizes.get(one.name)) for one in network.layers
    )
    return LayersResult(
        network.info, network.input_shape, len(network.classes), layers, last.name if last else None,
        network.output_layer.name,
    )  # fmt: skip


def parse_units(network: InspectedNetwork, layer: NamedLayer, named: tuple[str, ...]) -> list[int] | None:
    """The units of a layer, without repetition; None for `top`. A unit of the output layer may be named by its class.

    Raises InputError for a unit that does not exist.
    """
    if named == (TOP_UNITS,):
        return None
    return list(dict.fromkeys(_unit(network, layer, name) for name in named))


def _unit(network: InspectedNetwork, layer: NamedLayer, name: str) -> int:
    is_output = layer == network.output_layer
    if name.isascii() and name.isdecimal() and int(name) < layer.units:
        return int(name)
    if is_output and not name.isdecimal():
        return network.class_index(name, "--unit")
    fix = f"use 0 to {layer.units - 1}" + (", or the name of a class" if is_output else f", or {TOP_UNITS}")
    raise InputError("--unit", f"{layer.name} has no unit {name}", fix)


def layer_title(network: InspectedNetwork, layer: NamedLayer) -> str:
    """A layer in the title of a sheet: the output layer by what its units are."""
    return "the output classes" if layer == network.output_layer else layer.name


def unit_name(network: InspectedNetwork, layer: NamedLayer, unit: int) -> str:
    """How a unit is called: its class in the output layer, otherwise its number."""
    return network.classes[unit] if layer == network.output_layer else f"unit {unit}"


@torch.no_grad()
def active_units(network: InspectedNetwork, layer: NamedLayer, count: int) -> list[int]:
    """The `count` units that two images excite most, compared with plain gray; in the output layer the first."""
    if layer == network.output_layer:
        return list(range(min(count, layer.units)))
    shape = network.preprocessing.image_shape
    images = [decode_image(sample_image(name, "--unit"), shape, SAMPLE_PIXELS) for name in SAMPLES]
    gray = torch.full(network.preprocessing.shape, _GRAY, dtype=torch.uint8)
    x = network.prepare(torch.stack([gray, *map(torch.tensor, images)]))
    means = unit_means(network.activations(x, [layer])[layer.name])
    excess = means[1:].amax(dim=0) - means[0]
    return excess.argsort(descending=True, stable=True)[:count].tolist()


def unit_means(output: Tensor) -> Tensor:
    """The mean activation (N, units) of an output (N, units, ...)."""
    return output.float().flatten(2).mean(dim=2) if output.ndim > 2 else output.float()  # noqa: PLR2004  # (N, units)
