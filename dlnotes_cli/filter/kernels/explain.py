"""What a kernel does, read off its weights: sum, frequencies that it passes, direction, passes that it needs."""

import cmath
import math
from dataclasses import dataclass
from typing import Any, Literal

from dlnotes_cli.filter.kernels.kernel import Kernel, Matrix, separated, total

Passes = Literal["low-pass", "high-pass", "high-boost", "all-pass", "mixed", "nothing"]

PASSES: dict[str, str] = {
    "low-pass": "keeps slow changes of brightness, weakens fast ones: a blur",
    "high-pass": "flat areas give 0, fast changes of brightness stay: edges and detail",
    "high-boost": "keeps flat areas and strengthens fast changes: sharper",
    "all-pass": "every frequency passes alike",
    "mixed": "strengthens some frequencies and weakens others",
    "nothing": "every answer is 0",
}
_STEPS = 12  # frequencies from 0 to half a cycle per pixel along each axis
_SLACK = 1e-6
_AXES = ((0, "horizontal"), (45, "falling diagonal"), (90, "vertical"), (135, "rising diagonal"), (180, "horizontal"))
_NEAR = 5.0  # degrees up to which a direction has a name


@dataclass(frozen=True)
class Explanation:
    """What can be said of one kernel."""

    kernel: Kernel
    total: float
    passes: Passes
    separable: tuple[tuple[float, ...], tuple[float, ...]] | None
    direction: str

    def as_json(self) -> dict[str, Any]:
        """The fields of a kernel in JSON."""
        kernel = self.kernel
        return {
            "name": kernel.name,
            "matrix": _lists(kernel.rows),
            **({"second_matrix": _lists(kernel.partner)} if kernel.partner is not None else {}),
            "size": [len(kernel.rows), len(kernel.rows[0])],
            "sum": self.total,
            "passes": self.passes,
            "separable": self.separable is not None,
            **({"column": list(self.separable[0]), "row": list(self.separable[1])} if self.separable else {}),
            "direction": self.direction,
            "purpose": kernel.purpose,
        }


def explain(kernel: Kernel) -> Explanation:
    """Describe a kernel; of a pair, its first matrix, whose partner is the same turned by 90 degrees."""
    direction = _direction(kernel.rows) if kernel.partner is None else "every direction: the magnitude of two answers"
    return Explanation(kernel, total(kernel.rows), _passes(kernel.rows), separated(kernel.rows), direction)


def _passes(matrix: Matrix) -> Passes:
    """Which frequencies pass, from the size of the response |H(u, v)| = |sum k(y, x) exp(-i(uy + vx))|."""
    flat = abs(total(matrix))
    sizes = _responses(matrix)
    largest, smallest = max(sizes), min(sizes)
    slack = _SLACK * largest
    if largest == 0:
        return "nothing"
    if largest - smallest <= slack:
        return "all-pass"
    if flat <= slack:
        return "high-pass"
    if largest <= flat + slack:
        return "low-pass"
    return "high-boost" if smallest >= flat - slack else "mixed"


def _responses(matrix: Matrix) -> list[float]:
    across = [[math.pi * step / _STEPS * sign for step in range(_STEPS + 1)] for sign in (1, -1)]
    columns = [[sum(w * cmath.exp(-1j * v * x) for x, w in enumerate(row) if w) for row in matrix] for v in across[0]]
    return [
        abs(sum(s * cmath.exp(-1j * u * y) for y, s in enumerate(sums) if s))
        for sums in columns
        for u in (*across[0], *across[1])
    ]


def _direction(matrix: Matrix) -> str:
    """The direction in which a kernel looks or leans, from its first moments, else from its second."""
    middle_y, middle_x = (len(matrix) - 1) / 2, (len(matrix[0]) - 1) / 2
    weights = [(w, y - middle_y, x - middle_x) for y, row in enumerate(matrix) for x, w in enumerate(row) if w]
    reach = sum(abs(w) * math.hypot(y, x) for w, y, x in weights)
    rise_y, rise_x = sum(w * y for w, y, x in weights), sum(w * x for w, y, x in weights)
    if math.hypot(rise_y, rise_x) > _SLACK * reach:
        rise = math.degrees(math.atan2(rise_y, rise_x))
        return _edges(rise) if total(matrix) == 0 else f"heavier {_side(rise)}"
    yy, xx = sum(w * y * y for w, y, x in weights), sum(w * x * x for w, y, x in weights)
    xy = sum(w * x * y for w, y, x in weights)
    if math.hypot(xx - yy, 2 * xy) <= _SLACK * sum(abs(w) * (y * y + x * x) for w, y, x in weights):
        return "none: all directions alike" if weights else "none: all weights are 0"
    angle = math.degrees(math.atan2(2 * xy, xx - yy)) / 2
    return f"most along the {_axis(angle if xx + yy > 0 else angle + 90)}"


def _edges(rise: float) -> str:
    """Edges lie across the direction in which brightness rises; degrees clockwise from the right, as rows go down."""
    return f"{_axis(rise + 90)} edges; brighter {_side(rise)} gives positive values"


def _side(rise: float) -> str:
    """A direction in words, from degrees clockwise from the right."""
    to = {0: "right", 45: "lower right", 90: "bottom", 135: "lower left", 180: "left"}
    to |= {-45: "upper right", -90: "top", -135: "upper left", -180: "left"}
    near = min(to, key=lambda degrees: abs(degrees - rise))
    return f"to the {to[near]}" if abs(near - rise) <= _NEAR else f"{rise:.0f} degrees below the right"


def _axis(degrees: float) -> str:
    turned = degrees % 180
    near, name = min(_AXES, key=lambda axis: abs(axis[0] - turned))
    return name if abs(near - turned) <= _NEAR else f"{turned:.0f}-degree"


def _lists(matrix: Matrix) -> list[list[float]]:
    return [list(row) for row in matrix]
