"""Description of a kernel from its weights: sum, frequency response, separability, direction."""

import cmath
import math
from dataclasses import dataclass
from typing import Any, Literal

from dlnotes_cli.filter.kernels.kernel import Kernel, separate, weight_sum
from dlnotes_cli.shell.matrix import Matrix

Passes = Literal["low-pass", "high-pass", "high-boost", "all-pass", "mixed", "nothing"]

PASSES: dict[str, str] = {
    "low-pass": "keeps low spatial frequencies and attenuates high ones: a blur",
    "high-pass": "flat areas give 0, high spatial frequencies remain: edges and detail",
    "high-boost": "keeps flat areas and amplifies high spatial frequencies: sharpens",
    "all-pass": "keeps every frequency at the same magnitude",
    "mixed": "amplifies some frequencies and attenuates others",
    "nothing": "every result is 0",
}
_FREQUENCY_STEPS = 12  # from 0 to half a cycle per pixel along each axis
_RELATIVE_TOLERANCE = 1e-6
_AXES = ((0, "horizontal"), (45, "falling diagonal"), (90, "vertical"), (135, "rising diagonal"), (180, "horizontal"))
_SIDES = {
    0: "right", 45: "lower right", 90: "bottom", 135: "lower left", 180: "left",
    -45: "upper right", -90: "top", -135: "upper left", -180: "left",
}  # fmt: skip
_ANGLE_TOLERANCE = 5.0  # degrees between a direction and the axis or side that it is named after


@dataclass(frozen=True)
class KernelDescription:
    """Properties of one kernel; `separable` is the column and the row of a separable one."""

    kernel: Kernel
    total: float
    passes: Passes
    separable: tuple[tuple[float, ...], tuple[float, ...]] | None
    direction: str

    def as_json(self) -> dict[str, Any]:
        """One entry of `kernels` in JSON."""
        kernel = self.kernel
        return {
            "name": kernel.name,
            "matrix": _as_lists(kernel.matrix),
            **({"second_matrix": _as_lists(kernel.second_matrix)} if kernel.second_matrix is not None else {}),
            "size": [len(kernel.matrix), len(kernel.matrix[0])],
            "sum": self.total,
            "passes": self.passes,
            "separable": self.separable is not None,
            **({"column": list(self.separable[0]), "row": list(self.separable[1])} if self.separable else {}),
            "direction": self.direction,
            "purpose": kernel.purpose,
        }


def describe(kernel: Kernel) -> KernelDescription:
    """Describe a kernel; of two matrices the first, because the second is the same rotated by 90 degrees."""
    matrix = kernel.matrix
    direction = _direction(matrix) if kernel.second_matrix is None else "all directions: magnitude of two responses"
    return KernelDescription(kernel, weight_sum(matrix), _passes(matrix), separate(matrix), direction)


def _passes(matrix: Matrix) -> Passes:
    """The kind of filter, from the frequency response |H(u, v)| = |sum k(y, x) exp(-i(uy + vx))|."""
    at_zero = abs(weight_sum(matrix))
    magnitudes = _frequency_response(matrix)
    largest, smallest = max(magnitudes), min(magnitudes)
    tolerance = _RELATIVE_TOLERANCE * largest
    if largest == 0:
        return "nothing"
    if largest - smallest <= tolerance:
        return "all-pass"
    if at_zero <= tolerance:
        return "high-pass"
    if largest <= at_zero + tolerance:
        return "low-pass"
    return "high-boost" if smallest >= at_zero - tolerance else "mixed"


def _frequency_response(matrix: Matrix) -> list[float]:
    """|H(u, v)| on a grid: v from 0 to pi, u from -pi to pi; the other half is its mirror image."""
    upward, downward = (
        [math.pi * step / _FREQUENCY_STEPS * sign for step in range(_FREQUENCY_STEPS + 1)] for sign in (1, -1)
    )
    row_spectra = [[sum(w * cmath.exp(-1j * v * x) for x, w in enumerate(row) if w) for row in matrix] for v in upward]
    return [
        abs(sum(s * cmath.exp(-1j * u * y) for y, s in enumerate(spectra) if s))
        for spectra in row_spectra
        for u in (*upward, *downward)
    ]


def _direction(matrix: Matrix) -> str:
    """The direction of the weights, from their first moments, or from their second moments if those vanish."""
    center_y, center_x = (len(matrix) - 1) / 2, (len(matrix[0]) - 1) / 2
    weights = [(w, y - center_y, x - center_x) for y, row in enumerate(matrix) for x, w in enumerate(row) if w]
    scale = sum(abs(w) * math.hypot(y, x) for w, y, x in weights)
    moment_y, moment_x = sum(w * y for w, y, x in weights), sum(w * x for w, y, x in weights)
    if math.hypot(moment_y, moment_x) > _RELATIVE_TOLERANCE * scale:
        angle = math.degrees(math.atan2(moment_y, moment_x))
        return _edge_direction(angle) if weight_sum(matrix) == 0 else f"heavier {_side(angle)}"
    return _principal_axis(weights)


def _principal_axis(weights: list[tuple[float, float, float]]) -> str:
    """The axis along which (weight, y, x) extend most, from their second moments."""
    yy, xx = sum(w * y * y for w, y, x in weights), sum(w * x * x for w, y, x in weights)
    xy = sum(w * x * y for w, y, x in weights)
    scale = sum(abs(w) * (y * y + x * x) for w, y, x in weights)
    if math.hypot(xx - yy, 2 * xy) <= _RELATIVE_TOLERANCE * scale:
        return "none: all directions alike" if weights else "none: all weights are 0"
    angle = math.degrees(math.atan2(2 * xy, xx - yy)) / 2
    return f"most along the {_axis(angle if xx + yy > 0 else angle + 90)}"


def _edge_direction(gradient: float) -> str:
    """Edges lie across the gradient of brightness; degrees clockwise from the right, as rows go down."""
    return f"{_axis(gradient + 90)} edges; brighter {_side(gradient)} gives positive values"


def _side(degrees: float) -> str:
    """The name of a direction, in degrees clockwise from the right."""
    nearest = min(_SIDES, key=lambda side: abs(degrees - side))
    if abs(nearest - degrees) <= _ANGLE_TOLERANCE:
        return f"to the {_SIDES[nearest]}"
    return f"{degrees:.0f} degrees below the right"


def _axis(degrees: float) -> str:
    """The name of an axis, in degrees clockwise from the right."""
    angle = degrees % 180
    nearest, name = min(_AXES, key=lambda axis: abs(axis[0] - angle))
    return name if abs(nearest - angle) <= _ANGLE_TOLERANCE else f"{angle:.0f}-degree"


def _as_lists(matrix: Matrix) -> list[list[float]]:
    return [list(row) for row in matrix]
