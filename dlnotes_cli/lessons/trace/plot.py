"""The drawings of `trace`: a network or cell, the norms of the gradient, curves, and the gates of a text."""

from itertools import pairwise, product
from typing import TYPE_CHECKING, Any

import numpy as np

from dlnotes_cli.lessons.trace.network import LABELS
from dlnotes_cli.lessons.trace.results import Curve, LayerTrace, TraceResult
from dlnotes_cli.lessons.trace.text_trace import TextTrace
from dlnotes_cli.plots.figure import BLUE, COLORS, GRAY, ORANGE, new_figure, png
from dlnotes_cli.plots.names import plain, shortened

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Position = tuple[float, float]
_GREEN, _PURPLE, _BROWN, _DARK = "#009E73", "#CC79A7", "#B35900", "#222222"  # brown is for gradients and derivatives
_MOST_NAMES = 10  # layers below an axis
_NAME_COLUMNS = 14
_MOST_CHARACTERS = 150
_SIGMOIDS = "iforz"  # gates between 0 and 1; the others have both signs
_SPECIAL = {"\n": "¶", " ": "␣", "\t": "→"}
_STYLES = ("-", "--", "-.", ":")
_MOST_UNITS, _MOST_COLUMNS = 8, 9  # of a network that is drawn
_COLUMN, _RADIUS = 2.1, 0.27  # inches
_ABOVE_AND_BELOW = 0.9  # names and caption
_MOST_WEIGHTS = 40  # of one layer that are written on its edges
_THICK, _THIN = 3.0, 0.5  # points of the largest and smallest weight
_CELL_WIDTH, _LOWEST = 9.0, 5.0  # inches
_BUS, _GATE, _LINE, _END = 0.0, 1.6, 4.2, 9.4  # heights of events, gates and memory, and the right end
_MIDDLE = (_GATE + _LINE) / 2 + 0.2
_SIGMA, _TIMES = "\N{GREEK SMALL LETTER SIGMA}", "\N{MULTIPLICATION SIGN}"
_CENTERED: dict[str, Any] = {"ha": "center", "va": "center"}
_ON_EDGE: dict[str, Any] = {**_CENTERED, "bbox": {"facecolor": "white", "edgecolor": "none", "pad": 0.6, "alpha": 0.9}}
_GATES = {  # of each cell: position, function, name, meaning and color
    "LSTM": (
        (1.6, _SIGMA, "f", "forget", ORANGE), (3.4, _SIGMA, "i", "input", BLUE),
        (5.2, "tanh", "g", "candidate", _GREEN), (7.2, _SIGMA, "o", "output", _PURPLE),
    ),
    "GRU": (
        (1.9, _SIGMA, "r", "reset", ORANGE), (4.4, _SIGMA, "z", "update", BLUE),
        (7.2, "tanh", "n", "candidate", _GREEN),
    ),
    "RNN": ((4.4, "tanh", "h", "of W x + W h + b", BLUE),),
}  # fmt: skip


def draw(result: TraceResult | TextTrace) -> bytes:
    """The curves of activations; the gates of a text; or the network or cell, and the norm of the gradient."""
    if isinstance(result, TextTrace):
        return _draw_text(result)
    if result.curves:
        return _draw_curves(result.curves)
    cell = next((layer for layer in result.layers if layer.steps), None)
    columns = _columns(result)
    is_drawable = cell is None and _is_drawable(result, columns)
    widths = [_COLUMN * len(columns)] if is_drawable else [_CELL_WIDTH] if cell else []
    height = max(map(len, columns)) + _ABOVE_AND_BELOW if is_drawable else 0.0
    if len(result.layers) > 1 or not widths:
        widths.append(5.0)
    figure = new_figure(sum(widths), max(_LOWEST, height))
    grid = list(figure.subplots(1, len(widths), squeeze=False, width_ratios=widths)[0])
    if cell is not None:
        _draw_cell(grid.pop(0), cell)
    elif is_drawable:
        _draw_network(grid.pop(0), result, columns)
    if grid:
        _draw_norms(grid[0], result)
    return png(figure)


def _columns(result: TraceResult) -> list[list[float]]:
    """The input and the outputs of the first sample."""
    tensors = [] if result.input is None else [result.input, *(layer.output for layer in result.layers)]
    return [tensor[0].flatten().tolist() for tensor in tensors]


def _is_drawable(result: TraceResult, columns: list[list[float]]) -> bool:
    """Whether the first sample goes through few units, by linear layers and layers that keep the number of units."""
    return len(columns) <= _MOST_COLUMNS and all(
        layer.input.ndim == layer.output.ndim == 2  # noqa: PLR2004  # N, F
        and max(layer.input.shape[-1], layer.output.shape[-1]) <= _MOST_UNITS
        and (layer.text.startswith("Linear") or layer.output.shape == layer.input.shape)
        for layer in result.layers
    )


def _draw_network(axes: "Axes", result: TraceResult, columns: list[list[float]]) -> None:
    """The first sample: each output in its circle, and below it the gradient of the loss by it."""
    from matplotlib.patches import Circle

    for i, layer in enumerate(result.layers):
        _draw_edges(axes, i * _COLUMN + _RADIUS, (i + 1) * _COLUMN - _RADIUS, layer)
    names = ["input", *(layer.text for layer in result.layers)]
    gradients = [result.input_gradient, *(layer.gradient for layer in result.layers)]
    top = max(map(len, columns)) / 2
    for i, (values, gradient) in enumerate(zip(columns, gradients, strict=True)):
        x = i * _COLUMN
        axes.text(x, top + 0.15, plain(names[i]), ha="center", va="bottom", fontsize=9, weight="bold")
        for j, (value, y) in enumerate(zip(values, _heights(len(values)), strict=True)):
            axes.add_patch(Circle((x, y), _RADIUS, facecolor="white", edgecolor="black", linewidth=1.2, zorder=4))
            axes.text(x, y, f"{value:.3g}", fontsize=8, zorder=5, **_CENTERED)
            if gradient is not None:
                label = f"{gradient[0, j]:.3g}"
                axes.text(x, y - _RADIUS - 0.03, label, ha="center", va="top", fontsize=7.5, color=_BROWN, zorder=5)
    right = (len(columns) - 1) * _COLUMN
    caption = f"{result.loss} {result.value:.4g}; below each circle: the gradient of the loss by it"
    axes.text(right / 2, -top - 0.15, caption, ha="center", va="top", fontsize=8.5)
    axes.set(xlim=(-0.7, right + 0.7), ylim=(-top - _ABOVE_AND_BELOW / 2, top + _ABOVE_AND_BELOW / 2), aspect="equal")
    axes.set_axis_off()


def _heights(count: int) -> list[float]:
    """The vertical positions of the units of a column."""
    return [(count - 1) / 2 - i for i in range(count)]


def _draw_edges(axes: "Axes", left: float, right: float, layer: LayerTrace) -> None:
    before, after = _heights(layer.input.shape[-1]), _heights(layer.output.shape[-1])
    parameters = {one.name.partition(".")[2]: one.value for one in layer.parameters}
    if not layer.text.startswith("Linear"):
        for j, y in enumerate(after):
            axes.plot([left, right], [y, y], color=GRAY, linewidth=1)
            if layer.derivative is not None and layer.derivative.shape == layer.output.shape:
                slope = f"{_TIMES} {layer.derivative[0, j]:.3g}"
                axes.text((left + right) / 2, y, slope, fontsize=7, color=_BROWN, **_ON_EDGE)
        return
    largest = float(parameters["weight"].abs().max()) or 1.0
    for (j, y1), (i, y0) in product(enumerate(after), enumerate(before)):
        value = float(parameters["weight"][j, i])
        thickness = _THIN + (_THICK - _THIN) * abs(value) / largest
        axes.plot([left, right], [y0, y1], color=BLUE if value >= 0 else ORANGE, linewidth=thickness, alpha=0.75)
        if parameters["weight"].numel() <= _MOST_WEIGHTS:
            t = 0.2 + 0.6 * (i + 0.5) / len(before)
            axes.text(left + t * (right - left), y0 + t * (y1 - y0), f"{value:.3g}", fontsize=7, zorder=3, **_ON_EDGE)
    for y, bias in zip(after, parameters.get("bias", ()), strict=False):
        style: dict[str, Any] = {"ha": "center", "va": "bottom", "fontsize": 7, "color": "#444444"}
        axes.text(right + _RADIUS, y + _RADIUS + 0.02, f"b {bias:.3g}", **style)


def _draw_cell(axes: "Axes", layer: LayerTrace) -> None:
    """The last step of a cell, for the first unit and sample."""
    count, kind = len(layer.steps), str(layer.cell)
    before = layer.steps[-2] if count > 1 else dict(zip("hc", layer.states, strict=True))
    new, old = ({name: float(values[0, 0]) for name, values in one.items()} for one in (layer.steps[-1], before))
    units = layer.steps[-1]["h"].shape[1]
    unit = "" if units == 1 else f", unit 1 of {units}"
    axes.set_title(f"{plain(layer.text)}: step {count} of {count}{unit}", fontsize=11)
    event = layer.input[0, -1].tolist()
    shown = ", ".join(f"{value:.3g}" for value in event[:3]) + (", …" if len(event) > 3 else "")  # noqa: PLR2004
    diagram, places = _Diagram(axes), [place for place, *_ in _GATES[kind]]
    diagram.text((0.1, _BUS - 0.62), f"event x = {shown}", ha="left")
    diagram.text((-0.55, _BUS), "h old")
    diagram.number((0.35, _BUS + 0.24), old["h"])
    diagram.path((-0.1, _BUS), (places[-1], _BUS), (places[-1], _GATE - 0.3))
    for x in places[:-1]:
        diagram.path((x, _BUS), (x, _GATE - 0.3))
    diagram.path((1.0, _BUS - 0.45), (1.0, _BUS))
    for x, function, name, meaning, color in _GATES[kind]:
        diagram.box((x, _GATE), function, meaning, new[name], color)
    if kind == "LSTM":
        is_peephole = any(one.name.endswith("weight_ch") for one in layer.parameters)
        _draw_lstm(diagram, places, new, old, is_peephole=is_peephole)
    elif kind == "GRU":
        _draw_gru(diagram, places, new, old)
    else:
        diagram.path((places[0], _GATE + 0.68), (places[0], 3.2), (_END, 3.2))
        diagram.text((_END + 0.45, 3.2), "h new")
        diagram.number((7.6, 3.48), new["h"])
    axes.set(xlim=(-1.0, 10.4), ylim=(-1.0, 5.2), aspect="equal")
    axes.set_axis_off()


class _Diagram:
    """Boxes, circles and arrows with numbers on a pair of axes."""

    def __init__(self, axes: "Axes") -> None:
        self._axes = axes

    def text(self, at: Position, text: str, **style: Any) -> None:
        """A text, centered unless `style` says otherwise."""
        self._axes.text(*at, text, **{**_CENTERED, "fontsize": 9, "zorder": 6, **style})

    def box(self, at: Position, function: str, name: str, value: float, color: str) -> None:
        """A gate: its function, its name below, and its value above; without a name, the value is next to it."""
        from matplotlib.patches import FancyBboxPatch

        (x, y), style = at, "round,pad=0.04"
        corner = x - 0.42, y - 0.24
        patch = FancyBboxPatch(corner, 0.84, 0.48, boxstyle=style, facecolor=color, edgecolor=_DARK, zorder=4)
        self._axes.add_patch(patch)
        self.text(at, function, color="white", weight="bold")
        self.text((x + 0.12, y - 0.46), name, ha="left", fontsize=8, color=GRAY)
        self.number((x, y + 0.46) if name else (x + 0.9, y), value)

    def circle(self, at: Position, sign: str) -> None:
        """An operation on two numbers."""
        from matplotlib.patches import Circle

        self._axes.add_patch(Circle(at, 0.22, facecolor="white", edgecolor=_DARK, linewidth=1.3, zorder=4))
        self.text(at, sign, fontsize=11)

    def number(self, at: Position, value: float, label: str = "") -> None:
        """A number on an edge, on a white ground."""
        self.text(at, f"{label}{value:.4f}", fontsize=8.5, bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.8})

    def path(self, *points: Position, style: str = "-", color: str = GRAY) -> None:
        """A line through points, with an arrow at its end."""
        for start, end in pairwise(points[:-1]):
            self._axes.plot([start[0], end[0]], [start[1], end[1]], style, color=color, linewidth=1.3, zorder=2)
        arrow = {"arrowstyle": "-|>", "color": color, "linestyle": style, "shrinkA": 0, "shrinkB": 0, "linewidth": 1.3}
        self._axes.annotate("", xy=points[-1], xytext=points[-2], arrowprops=arrow, zorder=2)

    def memory(self, keep: float, add: float, name: str, old: float, **terms: float) -> None:
        """The line of a state: the gate at `keep` scales the old one, and what rises at `add` is added to it.

        The two `terms` are the kept part and the added one.
        """
        (kept, kept_value), (added, added_value) = terms.items()
        self.text((-0.55, _LINE), f"{name} old")
        self.number((0.5, _LINE + 0.28), old)
        self.path((-0.1, _LINE), (keep - 0.22, _LINE))
        self.path((keep, _GATE + 0.68), (keep, _LINE - 0.22))
        self.circle((keep, _LINE), _TIMES)
        self.path((keep + 0.22, _LINE), (add - 0.22, _LINE))
        self.number(((keep + add) / 2, _LINE + 0.28), kept_value, f"{kept} = ")
        self.path((add, _GATE + 0.68), (add, _MIDDLE - 0.22))
        self.circle((add, _MIDDLE), _TIMES)
        self.path((add, _MIDDLE + 0.22), (add, _LINE - 0.22))
        self.number((add + 0.4 + 0.09 * len(added), _MIDDLE + 0.35), added_value, f"{added} = ")
        self.circle((add, _LINE), "+")
        self.path((add + 0.22, _LINE), (_END, _LINE))
        self.text((_END + 0.45, _LINE), f"{name} new")


def _draw_lstm(
    diagram: _Diagram, places: list[float], new: dict[str, float], old: dict[str, float], *, is_peephole: bool
) -> None:
    (f, i, g, o), out = places, 8.6
    diagram.memory(f, g, "c", old["c"], **{"f c": new["f"] * old["c"], "i g": new["i"] * new["g"]})
    diagram.path((i, _GATE + 0.68), (i, _MIDDLE), (g - 0.22, _MIDDLE))
    diagram.number((o, _LINE + 0.28), new["c"])
    if "u" in new:
        squashed, label, above = new["u"], "tanh W", f + 0.6
        diagram.path((above, _LINE), (above, _LINE + 0.7), (out, _LINE + 0.7), (out, _MIDDLE + 0.3))
    else:
        squashed, label = new["h"] / new["o"] if new["o"] else 0.0, "tanh"
        diagram.path((out, _LINE), (out, _MIDDLE + 0.3))
    diagram.box((out, _MIDDLE), label, "", squashed, _GREEN)
    diagram.path((out, _MIDDLE - 0.3), (out, _GATE + 0.22))
    diagram.path((o + 0.46, _GATE), (out - 0.22, _GATE))
    diagram.circle((out, _GATE), _TIMES)
    diagram.path((out + 0.22, _GATE), (_END, _GATE))
    diagram.text((_END + 0.45, _GATE), "h new")
    diagram.number((9.3, _GATE - 0.3), new["h"])
    for x in (f, i, o) if is_peephole else ():
        corners = ((0.0, _LINE), (0.0, 2.62), (x - 0.3, 2.62), (x - 0.3, _GATE + 0.28))
        diagram.path(*corners, style="--", color="#AA3377")
        diagram.text((0.05, 2.42), "peephole", ha="left", fontsize=8, color="#AA3377")


def _draw_gru(diagram: _Diagram, places: list[float], new: dict[str, float], old: dict[str, float]) -> None:
    r, z, n = places
    corners = ((r + 0.46, _GATE), (r + 1.2, _GATE), (r + 1.2, 0.7), (n - 0.25, 0.7), (n - 0.25, _GATE - 0.3))
    diagram.path(*corners, style="--", color=ORANGE)
    diagram.text((5.75, 0.45), "r scales what n sees of h", fontsize=8, color=GRAY)
    diagram.memory(z, n, "h", old["h"], **{"z h": new["z"] * old["h"], "(1 - z) n": (1 - new["z"]) * new["n"]})
    diagram.path((z, _MIDDLE), (n - 0.22, _MIDDLE))
    diagram.number(((z + n) / 2, _MIDDLE + 0.26), 1 - new["z"], "1 - z = ")
    diagram.number((8.5, _LINE + 0.28), new["h"])


def _draw_norms(axes: "Axes", result: TraceResult) -> None:
    """The norm of the gradient with respect to the output of each layer, for each compared activation."""
    lines = {one.activation: one.norms for one in result.comparisons}
    lines = lines or {"": tuple(layer.gradient_norm for layer in result.layers)}
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
    axes.set(xlabel="layer, from the input to the output", ylabel="norm of the gradient")
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
    names = list(result.units[0].gates)
    count = min(len(result.units[0].gates[names[0]]), _MOST_CHARACTERS)
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
