"""List the layers of a network, by the names that the other commands take."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from dlnotes_cli.inference.inspected_network import NamedLayer, NetworkInfo
from dlnotes_cli.inference.inspection import open_network
from dlnotes_cli.inference.receptive_fields import receptive_fields
from dlnotes_cli.shapes.layer import format_shape
from dlnotes_cli.shapes.receptive_field import ReceptiveField
from dlnotes_cli.shell.codec import INLINE
from dlnotes_cli.shell.show import Table
from dlnotes_cli.visualize.options import LayersConfig


@dataclass(frozen=True)
class LayerDescription:
    """One layer: its name, type and output shape, and how much of the image a value of it sees."""

    name: str
    type: str
    output: tuple[int, ...]
    parameters: int
    receptive_field: tuple[int, ...] | None  # height and width in pixels; None if it is unknown


@dataclass(frozen=True)
class LayersResult:
    """The layers of a network in forward order."""

    network: NetworkInfo = field(metadata=INLINE)
    input: tuple[int, int, int]
    classes: int
    layers: tuple[LayerDescription, ...]
    last_maps: str | None  # the default layer of class activation maps
    output_layer: str

    def table(self) -> Iterator[Table]:
        """The layers."""
        numeric = ("output", "parameters", "receptive field")
        rows = [
            (
                one.name,
                one.type,
                format_shape(one.output),
                f"{one.parameters:,}",
                format_shape(one.receptive_field or ()) or "?",
            )
            for one in self.layers
        ]
        yield Table(("layer", "type", *numeric), rows, numeric, is_result=True)


def list_layers(config: LayersConfig) -> LayersResult:
    """Open a network and list its layers. Raises InputError as `open_network` does."""
    network = open_network(config)
    fields, last = receptive_fields(network), network.cam_layer
    layers = tuple(_described(layer, fields.get(layer.name)) for layer in network.layers)
    return LayersResult(
        network.info, network.input_shape, len(network.classes), layers, last.name if last else None,
        network.output_layer.name,
    )  # fmt: skip


def _described(layer: NamedLayer, seen: ReceptiveField | None) -> LayerDescription:
    return LayerDescription(layer.name, layer.kind, layer.shape, layer.parameters, seen.size if seen else None)
