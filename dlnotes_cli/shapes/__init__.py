"""Layer arithmetic: shapes, parameters, cost and receptive field of a stack, without torch.

>>> from dlnotes_cli.shapes import analyze
>>> analyze("Conv2d(3, 10, 3); MaxPool2d(4, 4)", (3, 130, 130)).output
(10, 32, 32)
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dlnotes_cli.shapes.course_remarks import remarks as remarks
    from dlnotes_cli.shapes.layer import Layer as Layer
    from dlnotes_cli.shapes.networks import known_network as known_network
    from dlnotes_cli.shapes.parsing.parser import parse_layers as parse_layers
    from dlnotes_cli.shapes.report import Report as Report
    from dlnotes_cli.shapes.report import analyze as analyze
    from dlnotes_cli.shapes.solver import Setting as Setting
    from dlnotes_cli.shapes.solver import solve as solve
    from dlnotes_cli.shapes.stack import trace as trace

_HOMES = {
    "Layer": "layer",
    "Report": "report",
    "Setting": "solver",
    "analyze": "report",
    "known_network": "networks",
    "parse_layers": "parsing.parser",
    "remarks": "course_remarks",
    "solve": "solver",
    "trace": "stack",
}
__all__ = ["Layer", "Report", "Setting", "analyze", "known_network", "parse_layers", "remarks", "solve", "trace"]


def __getattr__(name: str) -> Any:
    """Load a public name when it is first touched."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
