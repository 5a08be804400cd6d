"""The drawings of `trace`: a network or cell, the norms of the gradient, curves, and the gates of a text."""

from typing import TYPE_CHECKING

import numpy as np

from dlnotes_cli.lessons.trace import diagrams
from dlnotes_cli.lessons.trace.cells import LABELS
from dlnotes_cli.lessons.trace.results import Curve, TraceResult, norm
from dlnotes_cli.lessons.trace.text_trace import TextTrace
from dlnotes_cli.plots.figure import COLORS, new_figure, png
from dlnotes_cli.plots.names import plain, shortened

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MOST_NAMES = 10  # layers below an axis
_NAME_COLUMNS = 14
_MOST_CHARACTERS = 150
_SIGMOIDS = "iforz"  # gates between 0 and 1; the others have both signs
_SPECIAL = {"\n": "¶", " ": "␣", "\t": "→"}
_STYLES = ("-", "--", "-.", ":")


def draw(result: TraceResult | TextTrace) -> bytes:
    """The curves of activations; the gates of a text; or the network or cell, and the norm of the gradient."""
    if isinstance(result, TextTrace):
        return _draw_text(result)
    if result.curves:
        return _draw_curves(result.curves)
    cell = next((layer for layer in result.layers if layer.steps), None)
    is_drawable = cell is None and diagrams.is_drawable(result)
    width, height = diagrams.size(result) if is_drawable else (diagrams.CELL_WIDTH if cell else 0.0, 0.0)
    ratios = [width] if width else []
    if len(result.layers) > 1 or not width:
        ratios.append(5.0)
    figure = new_figure(sum(ratios), max(5.0, height))
    grid = list(figure.subplots(1, len(ratios), squeeze=False, width_ratios=ratios)[0])
    if cell is not None:
        diagrams.draw_cell(grid.pop(0), cell, result.config)
    elif is_drawable:
        diagrams.draw_network(grid.pop(0), result)
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
    axes.set_xticks(range(1, count + 1, -(-count // _MOST_NAMES)))
    if count <= _MOST_NAMES:
        shown = [f"{i} {plain(shortened(name, _NAME_COLUMNS))}" for i, name in enumerate(names, 1)]
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


def _draw_text(result: TextTrace) -> bytes:
    """The gates of the chosen units for the first characters of the text."""
    count = min(len(next(iter(result.units[0].gates.values()))), _MOST_CHARACTERS)
    names = list(result.units[0].gates)
    figure = new_figure(max(0.105 * count + 3.4, 7.5), len(names) * (0.17 * len(result.units) + 0.55) + 0.6)
    panels = figure.subplots(len(names), 1, squeeze=False, sharex=True)[:, 0]
    rows = [f"layer {unit.layer}, {unit.unit}: {unit.follows} {unit.correlation:+.2f}" for unit in result.units]
    shown = [_SPECIAL.get(c, c if c.isprintable() else "·") for c in result.text[:count].ljust(count)]
    for axes, name in zip(panels, names, strict=True):
        values = np.array([unit.gates[name][:count] for unit in result.units])
        largest = 1.0 if name in _SIGMOIDS else max(1.0, float(np.abs(values).max()))
        low, colors = (0.0, "cividis") if name in _SIGMOIDS else (-largest, "RdBu_r")
        image = axes.imshow(values, aspect="auto", cmap=colors, vmin=low, vmax=largest, interpolation="nearest")
        figure.colorbar(image, ax=axes, fraction=0.02, pad=0.01).ax.tick_params(labelsize=6)
        axes.set_yticks(range(len(rows)), rows, fontsize=7)
        axes.set_title(f"{LABELS[name]} {name}", fontsize=9, loc="left")
        axes.set_xticks(range(count), [plain(c) for c in shown], fontsize=6.5)
        axes.tick_params(axis="x", length=0, labelbottom=True)
    state = "cell state" if "c" in names else "hidden state"
    title = f"layer, unit, and the feature of the text that its {state} follows, with the correlation"
    figure.suptitle(title, fontsize=9)
    return png(figure)
