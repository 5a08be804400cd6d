"""`dlnotes visualize layers`, `filters`, `activations`, `maximize`, `dream`, `patches`, `neighbors`, `embedding`."""

from typing import TYPE_CHECKING

from dlnotes_cli.shell import output
from dlnotes_cli.shell.binding import command
from dlnotes_cli.visualize.options import FiltersConfig, LayersConfig

if TYPE_CHECKING:
    from pathlib import Path

_PANEL = "Understand"


@command(
    panel=_PANEL, examples=("dlnotes visualize layers", "dlnotes visualize layers squeezenet1_1 --weights none --json")
)
def layers(config: LayersConfig) -> None:
    """List the layers of a network: name, type, output shape, parameters and receptive field in pixels.

    Layers that run more than once are left out: they have no single output.
    """
    from dlnotes_cli.visualize.layers import list_layers

    result = list_layers(config)
    if config.json:
        output.document(config.command, result.as_json())
        return
    rows = [
        (layer.name, layer.type, _shape(layer.output), f"{layer.parameters:,}", _shape(layer.receptive_field) or "?")
        for layer in result.layers
    ]
    numeric = ("output", "parameters", "receptive field")
    output.table(("layer", "type", *numeric), rows, numeric)


def _shape(sizes: tuple[int, ...] | None) -> str:
    return "x".join(map(str, sizes or ()))
