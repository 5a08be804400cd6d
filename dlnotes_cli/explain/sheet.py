"""The contact sheet of `explain`: image, heat map and both together for every class, and the test of each map."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dlnotes_cli.explain.check import MapCheck
from dlnotes_cli.explain.heat import Floats, TopRegion
from dlnotes_cli.explain.methods import Wording
from dlnotes_cli.explain.options import TRUE
from dlnotes_cli.plots.figure import GRAY, Sheet
from dlnotes_cli.plots.names import columns, plain, shortened, words_in_lines
from dlnotes_cli.shell import output

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_HEAT, _UNSEEN = "inferno", (221, 221, 221)  # colors of a heat map, and of what the network does not see
_DELETION, _INSERTION = "#D55E00", "#0072B2"  # vermilion and blue of Okabe and Ito, distinct for any color vision
_SMALL = 0.0005  # probability below which two digits are shown
_SIDE, _GAP = 2.7, 0.16  # inches of a plot, and between two
_LOWEST, _HIGHEST = 0.45, 1.4  # height of a plot in its width
_LINE = 0.165  # inches of a line of small text
_CURVES = 2.0  # inches of the plot of curves
_PER_INCH = 17.0  # characters of small text
_GOOD = (
    "good if deletion falls faster and insertion rises faster than for random maps, and the rank correlation is near 0"
)


@dataclass(frozen=True)
class ClassMap:
    """The map of a class for an image, its summary, and the tests of `--check`."""

    requested: str  # the value of --class
    class_name: str
    probability: float
    is_predicted: bool  # whether it is the class that the network predicts
    values: Floats  # (h, w), as the method returns them
    at_input: Floats  # (H, W), resampled to the network's input
    region: TopRegion | None
    check: MapCheck | None = None
    randomized: Floats | None = None  # the map (h, w) of re-initialized weights

    @property
    def role(self) -> str:
        """What the class is, in a label."""
        roles = (("predicted", self.is_predicted), (TRUE, self.requested == TRUE))
        return ", ".join(name for name, is_so in roles if is_so) or "class"


@dataclass(frozen=True)
class ExplanationPanels:
    """A map on an image: heat (H, W) in 0..1, nan where the network sees nothing, the overlay, and a box."""

    one: ClassMap
    heat: Floats
    overlay: NDArray[np.uint8]
    box: tuple[float, ...] | None  # x0, y0, x1, y1 in pixels
    is_part: bool = False  # whether it is around the largest connected part only
    randomized: Floats | None = None  # heat of the map of re-initialized weights


@dataclass(frozen=True)
class ExplanationRow:
    """An image uint8 (H, W, 3), the part of it that the network sees, in pixels, and the maps of its classes."""

    name: str
    image: NDArray[np.uint8]
    seen: tuple[float, ...]
    panels: Sequence[ExplanationPanels]


@cache
def heat_colors() -> NDArray[np.uint8]:
    """The colors (256, 3) of a heat map, from black to yellow with rising lightness, which any color vision reads."""
    from matplotlib import colormaps

    return np.asarray(np.rint(colormaps[_HEAT](np.arange(256))[:, :3] * 255), np.uint8)


def draw_explanations(rows: Sequence[ExplanationRow], wording: Wording) -> bytes:
    """A contact sheet with a row for each image and class: the image once, then heat map, overlay and tests."""
    return _Drawing(rows, wording).png()


class _Drawing:
    """The sheet, drawn from top to bottom."""

    def __init__(self, rows: Sequence[ExplanationRow], wording: Wording) -> None:
        self._rows, self._wording = rows, wording
        panels = [panel for row in rows for panel in row.panels]
        self._is_checked = any(panel.randomized is not None for panel in panels)
        self._columns = 5 if self._is_checked else 3
        self._width = self._columns * (_SIDE + _GAP) - _GAP
        heights = sum((self._height(row) + 0.62) * len(row.panels) for row in rows)
        self._sheet = Sheet(self._width, heights + 0.6)
        self._top = 0.0

    def png(self) -> bytes:
        self._text_lines(self._wording.title, 12, per_inch=9.5, fontweight="bold")
        self._top += 0.12
        for row in self._rows:
            for i, panel in enumerate(row.panels):
                self._draw(row, panel, is_first=i == 0)
        self._draw_scale()
        self._top += 0.1
        for text in self._captions():
            self._text_lines(text, 8, color="#444444")
        return self._sheet.png()

    def _height(self, row: ExplanationRow) -> float:
        """Inches of a row of plots."""
        height = _SIDE * float(min(max(row.image.shape[0] / row.image.shape[1], _LOWEST), _HIGHEST))
        return max(height, _CURVES) if self._is_checked else height

    def _text_lines(self, text: str, size: float, *, per_inch: float = _PER_INCH, **style: Any) -> None:
        for line in words_in_lines(text, int(self._width * per_inch)):
            self._sheet.text(0, self._top, plain(line), fontsize=size, **style)
            self._top += _LINE * size / 8

    def _draw(self, row: ExplanationRow, panel: ExplanationPanels, *, is_first: bool) -> None:
        top, height = self._top + _LINE + 0.03, self._height(row)
        left = _SIDE + _GAP
        if is_first:
            self._label(0, _fitted(row.name, _SIDE))
            where = self._sheet.image(row.image.transpose(2, 0, 1), 0, top, _SIDE, height)
            if not _is_whole(row):
                self._frame(row.seen, row.image, (0, top, height), where)
        digits = ".1f" if panel.one.probability >= _SMALL else ".2g"
        label = f"{panel.one.role}: {{}} ({100 * panel.one.probability:{digits}} %)"
        name = _fitted(panel.one.class_name, 2 * _SIDE + _GAP, columns(label))
        self._label(left, label.format(name), fontweight="bold")
        self._sheet.image(_colored(panel.heat).transpose(2, 0, 1), left, top, _SIDE, height)
        left += _SIDE + _GAP
        where = self._sheet.image(panel.overlay.transpose(2, 0, 1), left, top, _SIDE, height)
        if panel.box is not None:
            self._frame(panel.box, panel.overlay, (left, top, height), where, is_part=panel.is_part)
        below = 0.2
        if panel.one.check is not None and panel.randomized is not None:
            self._draw_check(panel.one.check, panel.randomized, (left + _SIDE + _GAP, top), height)
            below = 0.42
        self._top = top + height + below

    def _label(self, left: float, text: str, **style: Any) -> None:
        self._sheet.text(left, self._top, plain(text), **style)

    def _frame(
        self,
        box: tuple[float, ...],
        pixels: NDArray[np.uint8],
        cell: tuple[float, float, float],
        shown: tuple[float, float],
        *,
        is_part: bool | None = None,
    ) -> None:
        """A frame on an image in a cell (left, top, height): dashed, dotted around a part, or a line (None)."""
        (left, top, height), (image_width, image_height) = cell, shown
        scale = image_width / pixels.shape[1]
        left, top = left + (_SIDE - image_width) / 2, top + (height - image_height) / 2
        x0, x1 = (left + scale * x for x in box[::2])
        y0, y1 = (top + scale * y for y in box[1::2])
        lines = [("black", "-", 1.3), ("white", (0, (1, 1) if is_part else (4, 3)), 1.3)]
        if is_part is None:
            lines = [("black", "-", 1.8), ("white", "-", 0.7)]
        for color, style, width in lines:
            self._sheet.canvas.plot(
                [x0, x1, x1, x0, x0], [y0, y0, y1, y1, y0], linestyle=style, color=color, linewidth=width
            )

    def _draw_check(self, check: MapCheck, randomized: Floats, at: tuple[float, float], height: float) -> None:
        (left, top), rank = at, check.rank_correlation
        found = f"rank correlation {rank:.2f}" if math.isfinite(rank) else "no map"
        self._label(left, f"map of random weights: {found}")
        self._sheet.image(_colored(randomized).transpose(2, 0, 1), left, top, _SIDE, height)
        left += _SIDE + _GAP + 0.42
        axes = self._sheet.axes(left, top, _SIDE - 0.42, height - 0.34)
        _show_curves(axes, check)
        self._sheet.text(_SIDE + _GAP, top + height + 0.08, plain(f"Check: {check.verdict}."), fontsize=9)

    def _draw_scale(self) -> None:
        left = _SIDE + _GAP
        axes = self._sheet.axes(left, self._top, 2 * _SIDE + _GAP, 0.13)
        axes.imshow(heat_colors()[None], aspect="auto", extent=(0, 1, 0, 1))
        axes.set_yticks([])
        axes.set_xticks([])
        self._top += 0.17
        for x, text, align in (
            (left, "0 or less", "left"),
            (left + _SIDE + _GAP / 2, self._wording.scale, "center"),
            (left + 2 * _SIDE + _GAP, "maximum", "right"),
        ):
            self._sheet.text(x, self._top, plain(text), fontsize=8, ha=align)
        self._top += _LINE

    def _captions(self) -> list[str]:
        """What the heat, the frames and the gray parts are."""
        panels = [panel for row in self._rows for panel in row.panels]
        captions = [
            "From left to right: image, heat, heat over the image in gray"
            + (", heat of the network with re-initialized weights, curves." if self._is_checked else "."),
            f"Heat: {self._wording.heat}.",
            "Each map is scaled to its own maximum (its highest 0.5%), so that the colors of two maps do not compare.",
            *self._wording.notes,
        ]
        if any(not _is_whole(row) for row in self._rows):
            captions.append(
                "Only the part in the thin frame on the image reached the network; what is plain gray in the heat map "
                "and dark next to it did not."
            )
        if any(panel.box and not panel.is_part for panel in panels):
            captions.append("Dashed: box around the highest 20% of the map, of its values above 0 only.")
        if any(panel.box and panel.is_part for panel in panels):
            captions.append(
                "Dotted: box around the largest connected part of the highest 20%, where a box around all of them "
                "covers more than half of the input."
            )
        if any(panel.box is None and np.nanmax(panel.heat) > 0 for panel in panels):
            captions.append("No box: the highest 20% of this map are spread over more than half of the input.")
        if any(not np.nanmax(panel.heat) > 0 for panel in panels):
            captions.append("Black map: it has no value above 0.")
        if self._is_checked:
            captions.append(
                "Curves: probability of the class while the hottest pixels are deleted, or inserted into a blurred "
                f"image, first; bands: range of the random maps. Check: {_GOOD}."
            )
        return captions


def _is_whole(row: ExplanationRow) -> bool:
    x0, y0, x1, y1 = row.seen
    height, width = row.image.shape[:2]
    return bool(max(x0, y0, width - x1, height - y1) < 1)


def _colored(heat: Floats) -> NDArray[np.uint8]:
    """Heat (H, W) in 0..1 in colors; nan is light gray."""
    pixels = heat_colors()[np.rint(np.nan_to_num(heat) * 255).astype(np.uint8)]
    return np.where(np.isnan(heat)[..., None], np.array(_UNSEEN, np.uint8), pixels)


def _show_curves(axes: "Axes", check: MapCheck) -> None:
    """The probability of a class over the share of its pixels, with the range of random maps as a band."""
    for name, color in (("deletion", _DELETION), ("insertion", _INSERTION)):
        values = getattr(check.curves, f"{name}_curve")
        random = np.array([getattr(curves, f"{name}_curve") for curves in check.random])
        shares = np.linspace(0, 100, len(values))
        axes.plot(shares, values, color=color, label=f"{name} {getattr(check.curves, name):.2f}")
        band = f"random {getattr(check, f'random_{name}'):.2f}"
        axes.fill_between(shares, random.min(0), random.max(0), color=color, alpha=0.2, lw=0, label=band)
    axes.set_xlim(0, 100)
    axes.set_ylim(-0.02, 1.4)
    axes.set_yticks([0, 0.5, 1])
    axes.set_xlabel("% of the pixels deleted or inserted", fontsize=8, labelpad=1)
    axes.set_ylabel("probability", fontsize=8, labelpad=1)
    axes.tick_params(labelsize=8, color=GRAY)
    axes.legend(
        fontsize=7.5, ncols=2, loc="upper center", frameon=False, borderaxespad=0.1, columnspacing=0.8, handlelength=1.4
    )
    axes.spines[["top", "right"]].set_visible(False)


def _fitted(name: str, room: float, used: int = 0) -> str:
    """A name on a line of so many inches, of which some characters are used; a longer one is cut in the middle."""
    return shortened(output.printable(name), max(8, int(room * 13) - used))
