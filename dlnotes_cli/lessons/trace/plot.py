"""The drawings of `trace`: which ones belong to a result, and the norm of the gradient at each layer."""

from typing import TYPE_CHECKING

from dlnotes_cli.lessons.trace import gate_diagram, network_diagram
from dlnotes_cli.lessons.trace.activations import Curve
from dlnotes_cli.lessons.trace.results import TraceResult, norm
from dlnotes_cli.lessons.trace.text_plot import draw_text
from dlnotes_cli.lessons.trace.text_trace import TextTrace
from dlnotes_cli.plots.figure import COLORS, new_figure, png
from dlnotes_cli.plots.names import plain, shortened

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MOST_NAMES = 10  # layers below an axis
_NAME_COLUMNS = 14
_STYLES = ("-", "--", "-.", ":")


def draw(result: TraceResult | TextTrace) -> bytes:
    """The curves of activations; the gates of a text; or the network or cell, and the norm of the gradient."""
    if isinstance(result, TextTrace):
        return draw_text(result)
    if result.curves:
        return _draw_curves(result.curves)
    cell = next((layer for layer in result.layers if layer.steps), None)
    is_drawable = network_diagram.is_drawable(result)
    has_norms = len(result.layers) > 1
    width = gate_diagram.WIDTH if cell else network_diagram.width(result) if is_drawable else 0.0
    height = network_diagram.height(result) if is_drawable and not cell else 0.0
    figure = new_figure(width + (5.0 if has_norms or not width else 0.0), max(5.0, height))
    ratios = [size for size in (width, 5.0 if has_norms or not width else 0.0) if size]
    grid = list(figure.subplots(1, len(ratios), squeeze=False, width_ratios=ratios)[0])
    if cell is not None:
        gate_diagram.draw_cell(grid.pop(0), cell, result.config)
    elif is_drawable:
        network_diagram.draw_network(grid.pop(0), result)
    if grid:
        _draw_norms(grid[0], result)
    return png(figure)


def _draw_norms(axes: "Axes", result: TraceResult) -> None:
    """The norm of the gradient with respect to the output of each layer, for each compared activation."""
    lines = {one.activation: one.norms for one in result.comparisons}
    lines = lines or {"": tuple(norm(layer.gradient) for layer in result.layers)}
    for (name, norms), color in zip(lines.items(), COLORS, strict=False):
        axes.plot(range(1, len(norms) + 1), norms, "o-", color=color, label=name, ms=5)
    if min(min(norms) for norms in lines.values()) > 0:
        axes.set_yscale("log")
    names = [layer.text.partition("(")[0] for layer in result.layers]
    if result.comparisons:
        names = ["activation" if layer.cell is None and not layer.parameters else name
                 for layer, name in zip(result.layers, names, strict=True)]  # fmt: skip
        axes.legend(frameon=False)
    count = len(names)
    shown = (
        [f"{i} {plain(shortened(name, _NAME_COLUMNS))}" for i, name in enumerate(names, 1)]
        if count <= _MOST_NAMES
        else None
    )
    axes.set_xticks(range(1, count + 1) if shown else range(1, count + 1, -(-count // _MOST_NAMES)))
    if shown:
        axes.set_xticklabels(shown, rotation=40, ha="right", rotation_mode="anchor", fontsize=8)
    axes.set_xlabel("layer, from the input to the output")
    axes.set_ylabel("norm of the gradient")
    axes.set_title("gradient of the loss with respect to each output", fontsize=10)
    axes.grid(alpha=0.3)


def _draw_curves(curves: tuple[Curve, ...]) -> bytes:
    figure = new_figure(10.0, 4.4)
    left, right = figure.subplots(1, 2)
    for axes, field, title in ((left, "values", "f(x)"), (right, "slopes", "derivative f'(x)")):
        for i, (curve, color) in enumerate(zip(curves, COLORS, strict=False)):
            style = _STYLES[i % len(_STYLES)]  # curves coincide in places
            axes.plot(curve.x, getattr(curve, field), style, color=color, label=curve.name, linewidth=2)
        axes.axhline(0, color="black", linewidth=0.8)
        axes.axvline(0, color="black", linewidth=0.8)
        axes.set_title(title, fontsize=11)
        axes.set_xlabel("x")
        axes.grid(alpha=0.3)
    left.set_ylim(-1.6, 3.2)
    right.set_ylim(-0.25, 1.25)
    left.legend(frameon=False)
    return png(figure)
