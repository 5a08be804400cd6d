"""The diagrams of `trace`: a small network, and a recurrent cell at its last time step, with their numbers."""

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from dlnotes_cli.lessons.trace.options import TraceConfig
from dlnotes_cli.lessons.trace.results import LayerTrace, TraceResult
from dlnotes_cli.plots.figure import COLORS
from dlnotes_cli.plots.names import plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes

CELL_WIDTH = 9.0  # inches
_BUS, _GATE, _LINE = 0.0, 1.6, 4.2  # heights of event and hidden state, of the gates, and of the line of the memory
_MIDDLE = (_GATE + _LINE) / 2 + 0.2
_SIGMA, _TIMES = "\N{GREEK SMALL LETTER SIGMA}", "\N{MULTIPLICATION SIGN}"
_GRAY, _DARK = "#666666", "#222222"
_MOST_UNITS, _MOST_COLUMNS = 8, 9
_COLUMN = 2.1  # inches
_RADIUS = 0.27
_ABOVE_AND_BELOW = 0.9  # names and caption
_BROWN = "#B35900"  # of gradients and derivatives
_MOST_WEIGHTS = 40  # of one layer that are written on its edges
_THICK, _THIN = 3.0, 0.5  # points of the largest and smallest weight
Position = tuple[float, float]


def draw_cell(axes: "Axes", layer: LayerTrace, config: TraceConfig) -> None:
    """The last step of a cell, for the first unit and sample."""
    gates = {name: values[0].tolist()[0] for name, values in layer.steps[-1].items()}
    before = _state_before(layer)
    unit = "" if layer.steps[-1]["h"].shape[1] == 1 else f", unit 1 of {layer.steps[-1]['h'].shape[1]}"
    axes.set_title(f"{plain(layer.text)}: step {len(layer.steps)} of {len(layer.steps)}{unit}", fontsize=11)
    event = layer.input[0][-1].tolist()
    shown = ", ".join(f"{value:.3g}" for value in event[:3]) + (", …" if len(event) > 3 else "")  # noqa: PLR2004
    drawing = _GateDrawing(axes)
    if layer.cell == "LSTM":
        _lstm(drawing, gates, before, config)
    elif layer.cell == "GRU":
        _gru(drawing, gates, before)
    else:
        _rnn(drawing, gates, before)
    drawing.text((0.1, _BUS - 0.62), f"event x = {shown}", ha="left")
    axes.set_xlim(-1.0, 10.4)
    axes.set_ylim(-1.0, 5.2)
    axes.set_aspect("equal")
    axes.set_axis_off()


def _state_before(layer: LayerTrace) -> dict[str, float]:
    """Hidden state and cell state of the first unit and sample before the last step."""
    if len(layer.steps) > 1:
        return {name: layer.steps[-2][name][0].tolist()[0] for name in ("h", "c") if name in layer.steps[-2]}
    return {name: state[0].tolist()[0] for name, state in zip(("h", "c"), layer.states, strict=True)}


class _GateDrawing:
    """Boxes, circles and arrows with numbers on a pair of axes."""

    def __init__(self, axes: "Axes") -> None:
        self._axes = axes

    def text(self, at: Position, text: str, **style: object) -> None:
        """A text, centered unless `style` says otherwise."""
        options: dict[str, object] = {"ha": "center", "va": "center", "fontsize": 9, "zorder": 6, **style}
        self._axes.text(*at, text, **options)  # type: ignore[arg-type]

    def box(self, at: Position, function: str, name: str, value: float, color: str) -> None:
        """A gate: its function, its name below, and its value above; without a name, the value is next to it."""
        from matplotlib.patches import FancyBboxPatch

        x, y = at
        patch = FancyBboxPatch(
            (x - 0.42, y - 0.24), 0.84, 0.48, boxstyle="round,pad=0.04", facecolor=color, edgecolor=_DARK, zorder=4
        )
        self._axes.add_patch(patch)
        self.text(at, function, color="white", weight="bold")
        self.text((x + 0.12, y - 0.46), name, ha="left", fontsize=8, color=_GRAY)
        self.number((x, y + 0.46) if name else (x + 0.9, y), value)

    def circle(self, at: Position, sign: str) -> None:
        """An operation on two numbers."""
        from matplotlib.patches import Circle

        self._axes.add_patch(Circle(at, 0.22, facecolor="white", edgecolor=_DARK, linewidth=1.3, zorder=4))
        self.text(at, sign, fontsize=11)

    def number(self, at: Position, value: float, label: str = "") -> None:
        """A number on an edge, on a white ground."""
        box = {"facecolor": "white", "edgecolor": "none", "pad": 0.8}
        self.text(at, f"{label}{value:.4f}", fontsize=8.5, bbox=box)

    def path(self, *points: Position, style: str = "-", color: str = _GRAY) -> None:
        """A line through points, with an arrow at its end."""
        for start, end in pairwise(points[:-1]):
            self._axes.plot([start[0], end[0]], [start[1], end[1]], style, color=color, linewidth=1.3, zorder=2)
        arrow = {"arrowstyle": "-|>", "color": color, "linestyle": style, "shrinkA": 0, "shrinkB": 0, "linewidth": 1.3}
        self._axes.annotate("", xy=points[-1], xytext=points[-2], arrowprops=arrow, zorder=2)

    def memory(
        self, keep: float, add: float, name: str, old: float, kept: tuple[str, float], added: tuple[str, float]
    ) -> None:
        """The line of a state: the gate at `keep` scales the old one, and what rises at `add` is added to it."""
        self.text((-0.55, _LINE), f"{name} old")
        self.number((0.5, _LINE + 0.28), old)
        self.path((-0.1, _LINE), (keep - 0.22, _LINE))
        self.path((keep, _GATE + 0.68), (keep, _LINE - 0.22))
        self.circle((keep, _LINE), _TIMES)
        self.path((keep + 0.22, _LINE), (add - 0.22, _LINE))
        self.number(((keep + add) / 2, _LINE + 0.28), kept[1], f"{kept[0]} = ")
        self.path((add, _GATE + 0.68), (add, _MIDDLE - 0.22))
        self.circle((add, _MIDDLE), _TIMES)
        self.path((add, _MIDDLE + 0.22), (add, _LINE - 0.22))
        self.number((add + 0.4 + 0.09 * len(added[0]), _MIDDLE + 0.35), added[1], f"{added[0]} = ")
        self.circle((add, _LINE), "+")
        self.path((add + 0.22, _LINE), (9.4, _LINE))
        self.text((9.85, _LINE), f"{name} new")

    def bus(self, gates: Sequence[float], h: float) -> None:
        """Event and old hidden state, which every gate sees."""
        self.text((-0.55, _BUS), "h old")
        self.number((0.35, _BUS + 0.24), h)
        self.path((-0.1, _BUS), (gates[-1], _BUS), (gates[-1], _GATE - 0.3))
        for x in gates[:-1]:
            self.path((x, _BUS), (x, _GATE - 0.3))
        self.path((1.0, _BUS - 0.45), (1.0, _BUS))


def _lstm(drawing: _GateDrawing, gates: dict[str, float], before: dict[str, float], config: TraceConfig) -> None:
    blue, orange, green, purple, *_ = COLORS
    f, i, g, o, out = 1.6, 3.4, 5.2, 7.2, 8.6
    drawing.bus((f, i, g, o), before["h"])
    for x, function, key, name, color in (
        (f, _SIGMA, "f", "forget", orange), (i, _SIGMA, "i", "input", blue), (g, "tanh", "g", "candidate", green),
        (o, _SIGMA, "o", "output", purple),
    ):  # fmt: skip
        drawing.box((x, _GATE), function, name, gates[key], color)
    drawing.memory(f, g, "c", before["c"], ("f c", gates["f"] * before["c"]), ("i g", gates["i"] * gates["g"]))
    drawing.path((i, _GATE + 0.68), (i, _MIDDLE), (g - 0.22, _MIDDLE))
    drawing.number((o, _LINE + 0.28), gates["c"])
    if "u" in gates:
        squashed, label = gates["u"], "tanh W"
        drawing.path((f + 0.6, _LINE), (f + 0.6, _LINE + 0.7), (out, _LINE + 0.7), (out, _MIDDLE + 0.3))
    else:
        squashed, label = gates["h"] / gates["o"] if gates["o"] else 0.0, "tanh"
        drawing.path((out, _LINE), (out, _MIDDLE + 0.3))
    drawing.box((out, _MIDDLE), label, "", squashed, green)
    drawing.path((out, _MIDDLE - 0.3), (out, _GATE + 0.22))
    drawing.path((o + 0.46, _GATE), (out - 0.22, _GATE))
    drawing.circle((out, _GATE), _TIMES)
    drawing.path((out + 0.22, _GATE), (9.4, _GATE))
    drawing.text((9.85, _GATE), "h new")
    drawing.number((9.3, _GATE - 0.3), gates["h"])
    if config.peephole:
        for x in (f, i, o):
            corners = ((0.0, _LINE), (0.0, 2.62), (x - 0.3, 2.62), (x - 0.3, _GATE + 0.28))
            drawing.path(*corners, style="--", color="#AA3377")
        drawing.text((0.05, 2.42), "peephole", ha="left", fontsize=8, color="#AA3377")


def _gru(drawing: _GateDrawing, gates: dict[str, float], before: dict[str, float]) -> None:
    blue, orange, green, *_ = COLORS
    r, z, n = 1.9, 4.4, 7.2
    drawing.bus((r, z, n), before["h"])
    for x, function, key, name, color in (
        (r, _SIGMA, "r", "reset", orange), (z, _SIGMA, "z", "update", blue), (n, "tanh", "n", "candidate", green),
    ):  # fmt: skip
        drawing.box((x, _GATE), function, name, gates[key], color)
    corners = ((r + 0.46, _GATE), (r + 1.2, _GATE), (r + 1.2, 0.7), (n - 0.25, 0.7), (n - 0.25, _GATE - 0.3))
    drawing.path(*corners, style="--", color=orange)
    drawing.text((5.75, 0.45), "r scales what n sees of h", fontsize=8, color=_GRAY)
    added = "(1 - z) n", (1 - gates["z"]) * gates["n"]
    drawing.memory(z, n, "h", before["h"], ("z h", gates["z"] * before["h"]), added)
    drawing.path((z, _MIDDLE), (n - 0.22, _MIDDLE))
    drawing.number(((z + n) / 2, _MIDDLE + 0.26), 1 - gates["z"], "1 - z = ")
    drawing.number((8.5, _LINE + 0.28), gates["h"])


def _rnn(drawing: _GateDrawing, gates: dict[str, float], before: dict[str, float]) -> None:
    blue, *_ = COLORS
    drawing.bus((4.4,), before["h"])
    drawing.box((4.4, _GATE), "tanh", "of W x + W h + b", gates["h"], blue)
    drawing.path((4.4, _GATE + 0.68), (4.4, 3.2), (9.4, 3.2))
    drawing.text((9.85, 3.2), "h new")
    drawing.number((7.6, 3.48), gates["h"])


def is_drawable(result: TraceResult) -> bool:
    """Whether the first sample goes through few units, by linear layers and layers that keep the number of units."""
    if result.input is None or len(result.layers) > _MOST_COLUMNS - 1:
        return False
    tensors = [result.input, *(layer.output for layer in result.layers)]
    is_flat = all(tensor.ndim == 2 and tensor.shape[-1] <= _MOST_UNITS for tensor in tensors)  # noqa: PLR2004  # N, F
    return is_flat and all(
        layer.text.startswith("Linear") or layer.output.shape == layer.input.shape for layer in result.layers
    )


def size(result: TraceResult) -> tuple[float, float]:
    """Width and height in inches of the diagram of a network, in which circles hold their numbers."""
    inputs = [] if result.input is None else [result.input.shape[-1]]
    units = max([layer.output.shape[-1] for layer in result.layers] + inputs)
    return _COLUMN * (len(result.layers) + 1), units + _ABOVE_AND_BELOW


def draw_network(axes: "Axes", result: TraceResult) -> None:
    """The first sample: each output in its circle, and below it the gradient of the loss by it."""
    from matplotlib.patches import Circle

    if result.input is None:
        return
    gradients = [result.input_gradient, *(layer.gradient for layer in result.layers)]
    columns = [result.input[0].tolist(), *(layer.output[0].tolist() for layer in result.layers)]
    for i, layer in enumerate(result.layers):
        _draw_edges(axes, i, len(columns[i]), len(columns[i + 1]), layer)
    names = ["input", *(layer.text for layer in result.layers)]
    top = max(map(len, columns)) / 2
    for i, (values, gradient) in enumerate(zip(columns, gradients, strict=True)):
        axes.text(i * _COLUMN, top + 0.15, plain(names[i]), ha="center", va="bottom", fontsize=9, weight="bold")
        for j, value in enumerate(values):
            x, y = i * _COLUMN, _height(j, len(values))
            axes.add_patch(Circle((x, y), _RADIUS, facecolor="white", edgecolor="black", linewidth=1.2, zorder=4))
            axes.text(x, y, f"{value:.3g}", ha="center", va="center", fontsize=8, zorder=5)
            if gradient is not None:
                label = f"{gradient[0].tolist()[j]:.3g}"
                axes.text(x, y - _RADIUS - 0.03, label, ha="center", va="top", fontsize=7.5, color=_BROWN, zorder=5)
    bottom = -max(map(len, columns)) / 2
    caption = f"{result.config.chosen_loss} {result.value:.4g}; below each circle: the gradient of the loss by it"
    axes.text((len(columns) - 1) * _COLUMN / 2, bottom - 0.15, caption, ha="center", va="top", fontsize=8.5)
    axes.set_xlim(-0.7, (len(columns) - 1) * _COLUMN + 0.7)
    axes.set_ylim(bottom - _ABOVE_AND_BELOW / 2, top + _ABOVE_AND_BELOW / 2)
    axes.set_aspect("equal")
    axes.set_axis_off()


def _height(j: int, count: int) -> float:
    """The vertical position of unit j of a column."""
    return (count - 1) / 2 - j


def _draw_edges(axes: "Axes", column: int, inputs: int, outputs: int, layer: LayerTrace) -> None:
    blue, orange, *_ = COLORS
    left, right = column * _COLUMN + _RADIUS, (column + 1) * _COLUMN - _RADIUS
    weight = next((parameter.value for parameter in layer.parameters if parameter.name.endswith("weight")), None)
    if not layer.text.startswith("Linear") or weight is None:
        for j in range(outputs):
            y = _height(j, outputs)
            axes.plot([left, right], [y, y], color="#666666", linewidth=1)
            if layer.derivative is not None and layer.derivative.shape == layer.output.shape:
                slope = f"\N{MULTIPLICATION SIGN} {layer.derivative[0].tolist()[j]:.3g}"
                axes.text((left + right) / 2, y, slope, fontsize=7, color=_BROWN, **_ON_EDGE)
        return
    matrix = weight.tolist()
    largest = max(abs(value) for row in matrix for value in row) or 1.0
    for j in range(outputs):
        for i in range(inputs):
            value = matrix[j][i]
            y0, y1 = _height(i, inputs), _height(j, outputs)
            thickness = _THIN + (_THICK - _THIN) * abs(value) / largest
            axes.plot([left, right], [y0, y1], color=blue if value >= 0 else orange, linewidth=thickness, alpha=0.75)
            if inputs * outputs <= _MOST_WEIGHTS:
                t = 0.2 + 0.6 * (i + 0.5) / inputs
                at = left + t * (right - left), y0 + t * (y1 - y0)
                axes.text(*at, f"{value:.3g}", fontsize=7, zorder=3, **_ON_EDGE)
    bias = next((parameter.value for parameter in layer.parameters if parameter.name.endswith("bias")), None)
    for j, value in enumerate([] if bias is None else bias.tolist()):
        y = _height(j, outputs) + _RADIUS
        axes.text(right + _RADIUS, y + 0.02, f"b {value:.3g}", ha="center", va="bottom", fontsize=7, color="#444444")


_ON_EDGE: dict[str, Any] = {
    "ha": "center",
    "va": "center",
    "bbox": {"facecolor": "white", "edgecolor": "none", "pad": 0.6, "alpha": 0.9},
}
