"""Which units of a layer are shown: those that the user names, or the most active ones."""

import torch
from torch import Tensor

from dlnotes_cli.data.images.decode import decode_image
from dlnotes_cli.data.images.sample_images import sample_image
from dlnotes_cli.inference.inspected_network import InspectedNetwork, NamedLayer
from dlnotes_cli.shell.errors import InputError
from dlnotes_cli.visualize.options import TOP_UNITS

_IMAGES = ("china.jpg", "flower.jpg")
_MAX_PIXELS = 10**7
_GRAY = 128


def parse_units(network: InspectedNetwork, layer: NamedLayer, named: tuple[str, ...]) -> list[int] | None:
    """The units of a layer, without repetition; None for `top`. A unit of the output layer may be named by its class.

    Raises InputError for a unit that does not exist.
    """
    if named == (TOP_UNITS,):
        return None
    return list(dict.fromkeys(_unit(network, layer, name) for name in named))


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
    images = [decode_image(sample_image(name, "--unit"), shape, _MAX_PIXELS) for name in _IMAGES]
    gray = torch.full(network.preprocessing.shape, _GRAY, dtype=torch.uint8)
    x = network.prepare(torch.stack([gray, *map(torch.tensor, images)]))
    means = unit_means(network.activations(x, [layer])[layer.name])
    excess = means[1:].amax(dim=0) - means[0]
    return excess.argsort(descending=True, stable=True)[:count].tolist()


def unit_means(output: Tensor) -> Tensor:
    """The mean activation (N, units) of an output (N, units, ...)."""
    return output.float().flatten(2).mean(dim=2) if output.ndim > 2 else output.float()  # noqa: PLR2004  # (N, units)


def _unit(network: InspectedNetwork, layer: NamedLayer, name: str) -> int:
    is_output = layer == network.output_layer
    if name.isascii() and name.isdecimal() and int(name) < layer.units:
        return int(name)
    if is_output and not name.isdecimal():
        return network.class_index(name, "--unit")
    fix = f"use 0 to {layer.units - 1}" + (", or the name of a class" if is_output else f", or {TOP_UNITS}")
    raise InputError("--unit", f"{layer.name} has no unit {name}", fix)
