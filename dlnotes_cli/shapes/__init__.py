"""Layer arithmetic: output shapes, parameters, cost and receptive field of a stack of layers, without torch.

>>> from dlnotes_cli.shapes import analyze
>>> analyze("Conv2d(3, 10, 3); MaxPool2d(4, 4)", (3, 130, 130)).output
(10, 32, 32)
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dlnotes_cli.shapes.networks import named_network as named_network
    from dlnotes_cli.shapes.parsing.layer_list import parse_layers as parse_layers
    from dlnotes_cli.shapes.report import analyze as analyze
    from dlnotes_cli.shapes.solver import WindowSpec as WindowSpec
    from dlnotes_cli.shapes.solver import solve as solve
    from dlnotes_cli.shapes.tracing import trace as trace

_MODULES = {
    "WindowSpec": "solver",
    "analyze": "report",
    "named_network": "networks",
    "parse_layers": "parsing.layer_list",
    "solve": "solver",
    "trace": "tracing",
}
__all__ = [
    "WindowSpec",
    "analyze",
    "named_network",
    "parse_layers",
    "solve",
    "trace",
]


if not TYPE_CHECKING:  # a type checker would accept any name

    def __getattr__(name: str) -> Any:
        """Import the module of a public name on first use."""
        if name not in _MODULES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
