"""List the layers of a network, by the names that the other commands take."""

from dataclasses import dataclass
from typing import Any

from dlnotes_cli.shapes.receptive_field import ReceptiveField
from dlnotes_cli.training.inspection.layers import NamedLayer
from dlnotes_cli.training.inspection.network import InspectedNetwork
from dlnotes_cli.training.inspection.opening import open_network
from dlnotes_cli.training.inspection.receptive_fields import receptive_fields
from dlnotes_cli.visualize.options import LayersConfig


@dataclass(frozen=True)
class LayerDescription:
    """One layer: its name, type and output shape, and how much of the image a value of it sees."""

    name: str
    type: str
    output: tuple[int, ...]
    parameters: int
    receptive_field: tuple[int, ...] | None  # height and width in pixels; None if it is unknown

    def as_json(self) -> dict[str, Any]:
        """An entry of `layers`."""
        field = self.receptive_field
        return vars(self) | {"output": list(self.output), "receptive_field": list(field) if field else None}


@dataclass(frozen=True)
class LayersResult:
    """The layers of a network in forward order."""

    network: InspectedNetwork
    layers: tuple[LayerDescription, ...]

    def as_json(self) -> dict[str, Any]:
        """The fields of the document."""
        last = self.network.cam_layer
        return described(self.network) | {
            "input": list(self.network.input_shape),
            "classes": len(self.network.classes),
            "layers": [layer.as_json() for layer in self.layers],
            "last_maps": last and last.name,
            "output_layer": self.network.output_layer.name,
        }


def list_layers(config: LayersConfig) -> LayersResult:
    """Open a network and list its layers. Raises InputError as `open_network` does."""
    network = open_network(config)
    fields = receptive_fields(network)
    return LayersResult(network, tuple(_info(layer, fields.get(layer.name)) for layer in network.layers))


def described(network: InspectedNetwork) -> dict[str, Any]:
    """The fields of every result that say which network was looked at, and where it ran."""
    return {"model": network.name, "weights": network.weights, **network.runtime.as_json()}


def layer_title(network: InspectedNetwork, layer: NamedLayer) -> str:
    """A layer in the title of a sheet: the output layer by what its units are."""
    return "the output classes" if layer == network.output_layer else layer.name


def _info(layer: NamedLayer, field: ReceptiveField | None) -> LayerDescription:
    return LayerDescription(layer.name, layer.kind, layer.shape, layer.parameters, field.size if field else None)
