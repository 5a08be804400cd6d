"""The diagram of a small network: a circle for each number, with the weights on the edges of linear layers."""

from typing import TYPE_CHECKING, Any

from dlnotes_cli.lessons.trace.results import LayerTrace, TraceResult
from dlnotes_cli.plots.figure import COLORS
from dlnotes_cli.plots.names import plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MOST_UNITS, _MOST_COLUMNS = 8, 9
_COLUMN = 2.1  # inches
_RADIUS = 0.27
_ABOVE_AND_BELOW = 0.9  # names and caption
_BROWN = "#B35900"  # of gradients and derivatives
_MOST_WEIGHTS = 40  # of one layer that are written on its edges
_THICK, _THIN = 3.0, 0.5  # points of the largest and smallest weight


def is_drawable(result: TraceResult) -> bool:
    """Whether the first sample goes through few units, by linear layers and layers that keep the number of units."""
    if result.input is None or len(result.layers) > _MOST_COLUMNS - 1:
        return False
    tensors = [result.input, *(layer.output for layer in result.layers)]
    is_flat = all(tensor.ndim == 2 and tensor.shape[-1] <= _MOST_UNITS for tensor in tensors)  # noqa: PLR2004  # N, F
    return is_flat and all(
        layer.text.startswith("Linear") or layer.output.shape == layer.input.shape for layer in result.layers
    )


def width(result: TraceResult) -> float:
    """The width of the diagram in inches."""
    return _COLUMN * (len(result.layers) + 1)


def height(result: TraceResult) -> float:
    """The height in inches at which the circles have the size that their numbers need."""
    sizes = [layer.output.shape[-1] for layer in result.layers]
    return max(sizes + ([] if result.input is None else [result.input.shape[-1]])) + _ABOVE_AND_BELOW


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
