"""The receptive field of each layer of a network, by the rules of `conv-shape`."""

from dlnotes_cli.inference.inspected_network import InspectedNetwork, on_meta
from dlnotes_cli.networks.module_trace import trace_module
from dlnotes_cli.shapes.receptive_field import ReceptiveField


def receptive_fields(network: InspectedNetwork) -> dict[str, ReceptiveField]:
    """The field of each layer by name, in pixels of the network's input; layers where it is unknown are left out.

    Operations whose rule is not known, such as attention, make the field of what follows unknown.
    """
    fields = trace_module(network.network, [network.input_shape], on_meta(network.network)).fields
    return {layer.name: one for layer in network.layers if (one := fields.get(layer.module)) and one.size is not None}
