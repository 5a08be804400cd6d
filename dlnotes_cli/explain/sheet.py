"""The sheet of `explain`: image, heat map and both together for every class, and the test of each map."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dlnotes_cli.data.images.decode import Region
from dlnotes_cli.explain.attribution import occlusion_window
from dlnotes_cli.explain.check import MapCheck
from dlnotes_cli.explain.heat import COLORS, Floats, TopRegion, heat_on, largest_part, overlay, smoothed
from dlnotes_cli.explain.options import PIXEL_METHODS, TRUE, ExplainConfig
from dlnotes_cli.inference.inspected_network import InspectedNetwork
from dlnotes_cli.inference.inspection import PlacedImage
from dlnotes_cli.plots.figure import FRAME, GRAY, new_figure, png
from dlnotes_cli.plots.names import columns, plain, shortened, words_in_lines
from dlnotes_cli.shell import output

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_TEXTS: Mapping[str, tuple[str, str]] = {  # the name of a method, and what its heat is
    "layercam": ("LayerCAM", "the activations of {layer}, each weighted by its own positive gradient"),
    "gradcam": ("Grad-CAM", "the activations of {layer}, each channel weighted by its mean gradient"),
    "gradcam++": ("Grad-CAM++", "the activations of {layer}, each channel weighted by its positive gradients"),
    "scorecam": (
        "Score-CAM", "the activations of {layer}, each channel weighted by the score of the image that it masks",
    ),
    "saliency": ("saliency", "the largest absolute gradient of the class's score over the colors of a pixel"),
    "smoothgrad": (
        "SmoothGrad", "the largest absolute mean gradient of the class's score over noisy copies of the image",
    ),
    "integrated-gradients": (
        "integrated gradients", "what a pixel adds to the class's score on the way from a black image",
    ),
    "occlusion": (
        "occlusion",
        (
            "the drop of the class's score while a window of {window}x{window} pixels of the input is covered, moved "
            "by {stride}; each pixel has the mean of the windows that cover it"
        ),
    ),
}  # fmt: skip
_SMOOTHED = (
    "Single pixels are drawn slightly smoothed, except those of small inputs, so that they are visible; the files of "
    "--maps are not."
)
_UNSEEN = "#dddddd"  # color of what the network does not see
_DELETION, _INSERTION = "#D55E00", "#0072B2"  # vermilion and blue of Okabe and Ito, distinct for any color vision
_SMALL = 0.0005  # probability below which two digits are shown
_SIDE, _GAP = 2.7, 0.15  # inches of a plot, and between two
_LOWEST, _HIGHEST = 0.15, 1.4  # height of a plot in its width
_CURVES = 1.9  # inches of the plot of curves
_LABELS, _BELOW = 0.3, 0.4  # inches above a row of plots, and below one with tests
_PER_INCH = 16  # characters of small text
_LARGEST_SIDE, _SMALLEST_SIDE = 480, 160  # pixels of an image
_WIDE = 0.5  # part of the input that a box must not exceed
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
    def label(self) -> str:
        """What the class is, with its name and its probability."""
        roles = (("predicted", self.is_predicted), (TRUE, self.requested == TRUE))
        role = ", ".join(name for name, is_so in roles if is_so) or "class"
        label = f"{role}: {{}} ({100 * self.probability:{'.1f' if self.probability >= _SMALL else '.2g'}} %)"
        return label.format(_fitted(self.class_name, 2 * _SIDE, columns(label)))


class Row:
    """An image on the sheet, and one of its maps on it."""

    def __init__(self, image: PlacedImage, pixels: NDArray[np.uint8], one: ClassMap, method: str) -> None:
        """`pixels` (H, W, 3) are those of the upright image."""
        self.path, self.one, self.pixels = image.path, one, _on_sheet(pixels)
        self._geometry, self._method = image.geometry, method
        self.heat = self._heat(one.values)
        self.randomized = None if one.randomized is None else self._heat(one.randomized)
        width, height = image.geometry.input
        x0, y0, x1, y1 = self.seen = self._on_pixels((0.0, 0.0, float(width), float(height)))
        self.is_whole = max(x0, y0, self.pixels.shape[1] - x1, self.pixels.shape[0] - y1) < 1
        box, self.is_part = self._box()
        self.box = None if box is None else self._on_pixels(box)

    def _heat(self, values: Floats) -> Floats:
        size = (self.pixels.shape[0], self.pixels.shape[1])
        return heat_on(values, self._geometry, size, self._method)

    def _on_pixels(self, box: Region) -> tuple[float, ...]:
        """A box of the network's input in pixels of the image on the sheet."""
        scale = self.pixels.shape[1] / self._geometry.upright[0]
        return tuple(scale * edge for edge in self._geometry.box_in_upright(box))

    def _box(self) -> tuple[Region | None, bool]:
        """The box to draw: of the highest 20%, or where it is wide, of their largest part."""
        values, region = self.one.at_input, self.one.region
        if region is None or not _is_wide(region.box, values):
            return (None if region is None else region.box), False
        part = largest_part(smoothed(values) if self._method in PIXEL_METHODS else values)
        return (None if part is None or _is_wide(part, values) else part), True


def draw_sheet(rows: Sequence[Row], config: ExplainConfig, network: InspectedNetwork, layer_name: str | None) -> bytes:
    """A sheet as a PNG file, with the image at the first of its rows, then heat map, overlay and tests."""
    from matplotlib.cm import ScalarMappable

    where = layer_name or "the input"
    is_checked = any(row.one.check is not None for row in rows)
    count = 5 if is_checked else 3
    lowest = _CURVES / _SIDE if is_checked else _LOWEST
    heights = [_SIDE * float(np.clip(row.pixels.shape[0] / row.pixels.shape[1], lowest, _HIGHEST)) for row in rows]
    width = count * (_SIDE + _GAP)
    lines = [
        line
        for caption in _captions(rows, config, network, where)
        for line in words_in_lines(caption, int(width * _PER_INCH))
    ]
    labels = _LABELS + (_BELOW if is_checked else 0)
    figure = new_figure(width, sum(heights) + len(rows) * labels + 0.14 * len(lines) + 0.9)
    margin = _GAP / 2 / width
    figure.set_layout_engine("constrained", rect=(margin, 0, 1 - 2 * margin, 1))
    grid = figure.subplots(len(rows), count, squeeze=False, gridspec_kw={"height_ratios": heights})
    for row, before, cells in zip(rows, [None, *rows], grid, strict=False):
        _draw(row, cells, is_first=before is None or before.path != row.path)
    question = f"Why the {network.title} answers: {_TEXTS[config.method][0]} of {where}"
    title = "\n".join(map(plain, words_in_lines(question, int(width * 9))))
    figure.suptitle(title, x=margin, ha="left", fontsize=12, fontweight="bold")
    scale = figure.colorbar(
        ScalarMappable(cmap=COLORS), ax=grid[-1:, 1:3], location="bottom", aspect=50, pad=0.02, panchor=False
    )
    scale.set_ticks([0, 1], labels=["0 or less", "maximum"], fontsize=8)
    first, last = scale.ax.get_xticklabels()
    first.set_horizontalalignment("left")
    last.set_horizontalalignment("right")
    measure = "drop of the score" if config.method == "occlusion" else "heat"
    scale.set_label(f"{measure}, relative to the map's own maximum", fontsize=8, labelpad=-8)
    figure.supxlabel("\n".join(map(plain, lines)), x=margin, ha="left", fontsize=8, color="#444444")
    return png(figure, margin=0.12)


def _draw(row: Row, cells: "Sequence[Axes]", *, is_first: bool) -> None:
    """A row of plots."""
    whole, heat, both, *tests = cells
    if is_first:
        _show(whole, row.pixels, _fitted("/".join(row.path.parts[-2:]), _SIDE))
        if not row.is_whole:
            _frame(whole, row.seen, ("black", "-", 1.8), ("white", "-", 0.7))
    else:
        whole.set_axis_off()
    _show(heat, row.heat, row.one.label, weight="bold")
    _show(both, overlay(row.pixels, row.heat))
    if row.box is not None:
        _frame(both, row.box, ("black", "-", 1.3), ("white", (0, (1, 1) if row.is_part else (4, 3)), 1.3))
    if row.one.check is not None and row.randomized is not None:
        rank = row.one.check.rank_correlation
        found = f"rank correlation {rank:.2f}" if math.isfinite(rank) else "no map"
        _show(tests[0], row.randomized, f"map of random weights: {found}")
        _show_curves(tests[1], row.one.check)
        verdict = heat.set_xlabel(plain(f"Check: {row.one.check.verdict}."), loc="left", fontsize=9)
        verdict.set_in_layout(False)  # it is as wide as several columns


def _show(axes: "Axes", pixels: NDArray[np.generic], label: str = "", weight: str = "normal") -> None:
    """Pixels (H, W, 3), or heat (H, W) in colors, below a label."""
    height, width = pixels.shape[:2]
    axes.imshow(pixels, extent=(0, width, height, 0), cmap=COLORS, vmin=0, vmax=1)
    axes.set(xticks=[], yticks=[], facecolor=_UNSEEN, anchor="NW")
    axes.spines[:].set(color=FRAME, linewidth=0.5)
    axes.set_title(plain(label), loc="left", fontsize=9, fontweight=weight)


def _frame(axes: "Axes", box: tuple[float, ...], *lines: tuple[str, object, float]) -> None:
    """Lines on top of each other around a box x0, y0, x1, y1, each with its color, style and width."""
    from matplotlib.patches import Rectangle

    x0, y0, x1, y1 = box
    for color, style, width in lines:
        patch = Rectangle((x0, y0), x1 - x0, y1 - y0, fill=False, edgecolor=color, linestyle=style, linewidth=width)
        axes.add_patch(patch).set_clip_on(False)


def _show_curves(axes: "Axes", check: MapCheck) -> None:
    """The probability of a class over the share of its pixels, with the range of random maps as a band."""
    for name, color in (("deletion", _DELETION), ("insertion", _INSERTION)):
        values = getattr(check.curves, f"{name}_curve")
        random = np.array([getattr(curves, f"{name}_curve") for curves in check.random])
        shares = np.linspace(0, 100, len(values))
        axes.plot(shares, values, color=color, label=f"{name} {getattr(check.curves, name):.2f}")
        band = f"random {getattr(check, f'random_{name}'):.2f}"
        axes.fill_between(shares, random.min(0), random.max(0), color=color, alpha=0.2, lw=0, label=band)
    axes.set(xlim=(0, 100), ylim=(-0.02, 1.4), yticks=[0, 0.5, 1])
    axes.set_xlabel("% of the pixels deleted or inserted", fontsize=8, labelpad=1)
    axes.set_ylabel("probability", fontsize=8, labelpad=1)
    axes.tick_params(labelsize=8, color=GRAY)
    axes.legend(
        fontsize=7.5, ncols=2, loc="upper center", frameon=False, borderaxespad=0.1, columnspacing=0.8, handlelength=1.4
    )
    axes.spines[["top", "right"]].set_visible(False)


def _captions(rows: Sequence[Row], config: ExplainConfig, network: InspectedNetwork, where: str) -> Iterator[str]:
    """What the heat, the frames and the gray parts are."""
    is_checked = any(row.one.check is not None for row in rows)
    more = ", heat of the network with re-initialized weights, curves" if is_checked else ""
    yield f"From left to right: image, heat, heat over the image in gray{more}."
    window, stride = occlusion_window(config, network) if config.method == "occlusion" else (0, 0)
    yield f"Heat: {_TEXTS[config.method][1].format(layer=where, window=window, stride=stride)}."
    yield "Each map is scaled to its own maximum (its highest 0.5%), so that the colors of two maps do not compare."
    if config.method in PIXEL_METHODS:
        yield _SMOOTHED
    if not all(row.is_whole for row in rows):
        yield (
            "Only the part in the thin frame on the image reached the network; what is plain gray in the heat map "
            "and dark next to it did not."
        )
    if any(row.box and not row.is_part for row in rows):
        yield "Dashed: box around the highest 20% of the map, of its values above 0 only."
    if any(row.box and row.is_part for row in rows):
        yield (
            "Dotted: box around the largest connected part of the highest 20%, where a box around all of them "
            "covers more than half of the input."
        )
    if any(row.box is None and np.nanmax(row.heat) > 0 for row in rows):
        yield "No box: the highest 20% of this map are spread over more than half of the input."
    if any(not np.nanmax(row.heat) > 0 for row in rows):
        yield "Black map: it has no value above 0."
    if is_checked:
        yield (
            "Curves: probability of the class while the hottest pixels are deleted, or inserted into a blurred "
            f"image, first; bands: range of the random maps. Check: {_GOOD}."
        )


def _is_wide(box: Region, values: Floats) -> bool:
    x0, y0, x1, y1 = box
    return (x1 - x0) * (y1 - y0) > _WIDE * values.size


def _on_sheet(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """An image (H, W, 3) at its size on the sheet, where the pixels of a tiny image are squares."""
    height, width = pixels.shape[:2]
    longest = max(height, width)
    scale = min(max(longest, _SMALLEST_SIDE), _LARGEST_SIDE) / longest
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    method = Image.Resampling.NEAREST if scale > 1 else Image.Resampling.BOX
    return np.asarray(Image.fromarray(pixels).resize(size, method))


def _fitted(name: str, room: float, used: int = 0) -> str:
    """A name on a line of so many inches, of which some characters are used; a longer one is cut in the middle."""
    return shortened(output.printable(name), max(8, int(room * 13) - used))
