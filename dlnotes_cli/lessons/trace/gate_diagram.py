"""The diagram of a recurrent cell at its last time step, with the number on every edge."""

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

from dlnotes_cli.lessons.trace.options import TraceConfig
from dlnotes_cli.lessons.trace.results import LayerTrace
from dlnotes_cli.plots.figure import COLORS
from dlnotes_cli.plots.names import plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WIDTH = 9.0  # inches
_BUS, _GATE, _LINE = 0.0, 1.6, 4.2  # heights of event and hidden state, of the gates, and of the line of the memory
_SIGMA, _TIMES = "\N{GREEK SMALL LETTER SIGMA}", "\N{MULTIPLICATION SIGN}"
_GRAY, _DARK = "#666666", "#222222"
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
    middle = (_GATE + _LINE) / 2 + 0.2
    drawing.bus((f, i, g, o), before["h"])
    for x, function, key, name, color in (
        (f, _SIGMA, "f", "forget", orange), (i, _SIGMA, "i", "input", blue), (g, "tanh", "g", "candidate", green),
        (o, _SIGMA, "o", "output", purple),
    ):  # fmt: skip
        drawing.box((x, _GATE), function, name, gates[key], color)
    drawing.text((-0.55, _LINE), "c old")
    drawing.number((0.5, _LINE + 0.28), before["c"])
    drawing.path((-0.1, _LINE), (f - 0.22, _LINE))
    drawing.path((f, _GATE + 0.68), (f, _LINE - 0.22))
    drawing.circle((f, _LINE), _TIMES)
    drawing.path((f + 0.22, _LINE), (g - 0.22, _LINE))
    drawing.number(((f + g) / 2, _LINE + 0.28), gates["f"] * before["c"], "f c = ")
    drawing.path((i, _GATE + 0.68), (i, middle), (g - 0.22, middle))
    drawing.path((g, _GATE + 0.68), (g, middle - 0.22))
    drawing.circle((g, middle), _TIMES)
    drawing.path((g, middle + 0.22), (g, _LINE - 0.22))
    drawing.number((g + 0.75, middle + 0.35), gates["i"] * gates["g"], "i g = ")
    drawing.circle((g, _LINE), "+")
    drawing.path((g + 0.22, _LINE), (9.4, _LINE))
    drawing.number((o, _LINE + 0.28), gates["c"])
    drawing.text((9.85, _LINE), "c new")
    if "u" in gates:
        squashed, label = gates["u"], "tanh W"
        drawing.path((f + 0.6, _LINE), (f + 0.6, _LINE + 0.7), (out, _LINE + 0.7), (out, middle + 0.3))
    else:
        squashed, label = gates["h"] / gates["o"] if gates["o"] else 0.0, "tanh"
        drawing.path((out, _LINE), (out, middle + 0.3))
    drawing.box((out, middle), label, "", squashed, green)
    drawing.path((out, middle - 0.3), (out, _GATE + 0.22))
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
    middle = (_GATE + _LINE) / 2 + 0.2
    drawing.bus((r, z, n), before["h"])
    for x, function, key, name, color in (
        (r, _SIGMA, "r", "reset", orange), (z, _SIGMA, "z", "update", blue), (n, "tanh", "n", "candidate", green),
    ):  # fmt: skip
        drawing.box((x, _GATE), function, name, gates[key], color)
    corners = ((r + 0.46, _GATE), (r + 1.2, _GATE), (r + 1.2, 0.7), (n - 0.25, 0.7), (n - 0.25, _GATE - 0.3))
    drawing.path(*corners, style="--", color=orange)
    drawing.text((5.75, 0.45), "r scales what n sees of h", fontsize=8, color=_GRAY)
    drawing.text((-0.55, _LINE), "h old")
    drawing.number((1.4, _LINE + 0.28), before["h"])
    drawing.path((-0.1, _LINE), (z - 0.22, _LINE))
    drawing.path((z, _GATE + 0.68), (z, _LINE - 0.22))
    drawing.circle((z, _LINE), _TIMES)
    drawing.path((z + 0.22, _LINE), (n - 0.22, _LINE))
    drawing.number(((z + n) / 2, _LINE + 0.28), gates["z"] * before["h"], "z h = ")
    drawing.path((z, middle), (n - 0.22, middle))
    drawing.number(((z + n) / 2, middle + 0.26), 1 - gates["z"], "1 - z = ")
    drawing.path((n, _GATE + 0.68), (n, middle - 0.22))
    drawing.circle((n, middle), _TIMES)
    drawing.path((n, middle + 0.22), (n, _LINE - 0.22))
    drawing.number((n + 1.0, middle + 0.35), (1 - gates["z"]) * gates["n"], "(1 - z) n = ")
    drawing.circle((n, _LINE), "+")
    drawing.path((n + 0.22, _LINE), (9.4, _LINE))
    drawing.number((8.5, _LINE + 0.28), gates["h"])
    drawing.text((9.85, _LINE), "h new")


def _rnn(drawing: _GateDrawing, gates: dict[str, float], before: dict[str, float]) -> None:
    blue, *_ = COLORS
    drawing.bus((4.4,), before["h"])
    drawing.box((4.4, _GATE), "tanh", "of W x + W h + b", gates["h"], blue)
    drawing.path((4.4, _GATE + 0.68), (4.4, 3.2), (9.4, 3.2))
    drawing.text((9.85, 3.2), "h new")
    drawing.number((7.6, 3.48), gates["h"])
