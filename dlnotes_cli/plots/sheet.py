"""The sheet of labeled images in a grid, pixel by pixel, for print and screen; all commands that draw grids use it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dlnotes_cli.plots.figure import png
from dlnotes_cli.plots.names import columns, plain, shortened, wrapped
from dlnotes_cli.shell import output

_DPI = 144
_MARGIN = 24  # pixels around the sheet
_GAP = 14  # pixels between panels, and between a panel and its label
_TITLE_PT, _SECTION_PT, _LABEL_PT, _NOTE_PT = 12.0, 9.5, 7.5, 6.5
_BOLD = 1.12  # width of bold text in that of regular text
_COLUMN = 0.62  # width of a column of text in its font size; two for a Chinese character
_ASCENT = 0.76  # height of a letter such as l in its font size
_LINE = 1.32  # height of a line of text in its font size
_MOST_LINES, _MOST_TEXT = 2, 12  # of a label, and of another text
_INK, _SOFT, _MARK = "#1a1a1a", "#5f5f5f", (213, 94, 0)
_NARROWEST = 620  # pixels, of a sheet with a caption
_BLOCK_GAP, _SECTION_GAP = 44, 12  # pixels between sections next to each other, and more of them above a section
_BAR_WIDTH, _BAR_HEIGHT = 150, 11  # of a color bar

Pixels = NDArray[np.uint8]  # (H, W, 3)


@dataclass(frozen=True)
class Panel:
    """An image with a label and a smaller note below it."""

    pixels: Pixels
    label: str = ""
    note: str = ""
    is_marked: bool = False  # with a frame
    color: str = ""  # of a bold label


@dataclass(frozen=True)
class ColorBar:
    """The colors of values from `low` to `high` as `colored` chooses them, with a text at each end."""

    low: float
    high: float
    start: str
    end: str


@dataclass(frozen=True)
class Section:
    """Panels under a heading, in rows of almost the same number."""

    panels: Sequence[Panel]
    heading: str = ""
    columns: int | None = None  # of a row at most; by default those of the sheet
    bar: ColorBar | None = None  # below the heading


@dataclass(frozen=True)
class Sheet:
    """Sections of panels, `blocks` of them next to each other, each read from top to bottom.

    A small image is enlarged by whole pixels to about `side` pixels.
    """

    title: str
    sections: Sequence[Section]
    caption: str = ""
    columns: int = 8
    side: int = 144
    is_smooth: bool = False  # whether enlarged images are interpolated
    lead: Panel | None = None  # to the left of all sections
    blocks: int = 1

    def png(self) -> bytes:
        """The sheet as a PNG file."""
        return _Drawing(self).png()


def gray_to_rgb(image: NDArray[np.uint8]) -> Pixels:
    """An image (C, H, W) or (H, W) with 1 or 3 channels as (H, W, 3)."""
    channels = image if image.ndim == 3 else image[None]  # noqa: PLR2004  # dimensions
    return np.ascontiguousarray(np.broadcast_to(channels, (3, *channels.shape[1:])).transpose(1, 2, 0))


def colored(values: NDArray[np.floating[Any]], low: float, high: float) -> Pixels:
    """Values (H, W) as colors: from dark to bright, or with negative values from blue over white to red."""
    from matplotlib import colormaps

    if low < 0:
        limit = max(-low, high) or 1.0
        name, low, high = "RdBu_r", -limit, limit
    else:
        name = "magma"
    shares = np.clip((values - low) / ((high - low) or 1.0), 0, 1)
    return np.asarray(colormaps[name](shares, bytes=True)[..., :3])


def short_number(value: float, digits: int = 3) -> str:
    """A number in some digits for a label, without an exponent where it is not very large or small.

    >>> short_number(184.3), short_number(0.01234), short_number(-2.0), short_number(1234.5), short_number(1.26, 2)
    ('184', '0.0123', '-2', '1234', '1.3')
    """
    if 10**digits <= abs(value) < 1e6:  # noqa: PLR2004  # as an integer
        return f"{value:.0f}"
    return f"{value:.{digits}g}"


def in_rows(count: int, columns: int) -> int:
    """How many of `count` panels are in a row, so that as few rows as with `columns` have almost the same number.

    >>> in_rows(8, 5), in_rows(64, 8), in_rows(3, 8), in_rows(0, 8)
    (4, 8, 3, 1)
    """
    rows = -(-count // columns)
    return -(-count // rows) if rows else 1


@dataclass
class _Drawing:
    """The layout of a sheet, computed from top to bottom."""

    sheet: Sheet
    images: list[tuple[int, int, Pixels]] = field(default_factory=list)  # top, left
    texts: list[tuple[float, float, str, dict[str, Any]]] = field(default_factory=list)  # left, top, text, style

    def png(self) -> bytes:
        from matplotlib.figure import Figure

        sheet, pitch = self.sheet, self.sheet.side + _GAP
        lead = pitch + _BLOCK_GAP // 2 if sheet.lead else 0
        widths = [in_rows(len(one.panels), one.columns or sheet.columns) * pitch - _GAP for one in sheet.sections]
        block = max([*widths, *map(_heading_width, sheet.sections), 0])
        title = min(_width(sheet.title, _TITLE_PT * _BOLD), 2 * _NARROWEST)
        narrowest = max(title, _NARROWEST if sheet.caption else 0)
        self.width = 2 * _MARGIN + max(lead + sheet.blocks * (block + _BLOCK_GAP) - _BLOCK_GAP, narrowest)
        self.left, self.y = _MARGIN, float(_MARGIN)
        self._lines(sheet.title, _TITLE_PT, self.width - 2 * _MARGIN, fontweight="bold")
        self._lines(sheet.caption, _NOTE_PT + 0.5, self.width - 2 * _MARGIN, color=_SOFT)
        top = lowest = self.y
        if sheet.lead is not None:
            self._row([sheet.lead])
            lowest = self.y
        in_block = max(-(-len(sheet.sections) // sheet.blocks), 1)
        for start in range(0, len(sheet.sections), in_block):
            self.left, self.y = _MARGIN + lead + start // in_block * (block + _BLOCK_GAP), top
            for number, section in enumerate(sheet.sections[start : start + in_block]):
                self.y += _SECTION_GAP if number else 0
                self._section(section, block if sheet.blocks > 1 else self.width - 2 * _MARGIN)
            lowest = max(lowest, self.y)
        height = round(lowest) + _MARGIN - _GAP
        figure = Figure(figsize=(self.width / _DPI, height / _DPI), dpi=_DPI)
        canvas = np.full((height, self.width, 3), 255, np.uint8)
        for y, x, pixels in self.images:
            canvas[y : y + pixels.shape[0], x : x + pixels.shape[1]] = pixels
        figure.figimage(canvas, origin="upper")
        for left, top, text, style in self.texts:
            baseline = top + _ASCENT * style["fontsize"] * _DPI / 72
            figure.text(left / self.width, 1 - baseline / height, plain(text), **{"color": _INK, **style})
        return png(figure)

    def _section(self, section: Section, room: int) -> None:
        per_row = in_rows(len(section.panels), section.columns or self.sheet.columns)
        self._lines(section.heading, _SECTION_PT, room, fontweight="bold")
        if section.bar is not None:
            self._color_bar(section.bar)
        for start in range(0, len(section.panels), per_row):
            self._row(section.panels[start : start + per_row])

    def _color_bar(self, bar: ColorBar) -> None:
        low = -max(-bar.low, bar.high) if bar.low < 0 else 0.0
        shades = colored(np.linspace(low, bar.high, _BAR_WIDTH)[None], low, bar.high).repeat(_BAR_HEIGHT, axis=0)
        shades[[0, -1]] = shades[:, [0, -1]] = 140
        left, style = self.left + _width(bar.start, _NOTE_PT) + 8, {"fontsize": _NOTE_PT, "color": _SOFT}
        self.texts.append((left - 8, self.y - 1, bar.start, {**style, "ha": "right"}))
        self.images.append((round(self.y), left, shades))
        self.texts.append((left + _BAR_WIDTH + 8, self.y - 1, bar.end, style))
        self.y += _BAR_HEIGHT + 9

    def _row(self, panels: Sequence[Panel]) -> None:
        side = self.sheet.side
        scaled = [_scaled(panel.pixels, side, smooth=self.sheet.is_smooth) for panel in panels]
        tallest = max(image.shape[0] for image in scaled)
        top, below = round(self.y), 0.0
        for column, (panel, image) in enumerate(zip(panels, scaled, strict=True)):
            left = self.left + column * (side + _GAP)
            y, x = top + (tallest - image.shape[0]), left + (side - image.shape[1]) // 2
            if panel.is_marked:
                frame = np.full((image.shape[0] + 6, image.shape[1] + 6, 3), _MARK, np.uint8)
                self.images.append((y - 3, x - 3, frame))
            self.images.append((y, x, image))
            below = max(below, self._label(panel, left + side / 2, top + tallest + 5))
        self.y = top + tallest + below + _GAP

    def _label(self, panel: Panel, center: float, y: float) -> float:
        """Write label and note below a panel; returns their height."""
        room, start = self.sheet.side + _GAP - 8, y
        label = {"color": panel.color, "fontweight": "bold"} if panel.color else {}
        for text, size, style in ((panel.label, _LABEL_PT, label), (panel.note, _NOTE_PT, {"color": _SOFT})):
            width = size * (_BOLD if "fontweight" in style else 1)
            for line in (line for part in text.split("\n") for line in label_lines(part, width, room)):
                self.texts.append((center, y, line, {"fontsize": size, "ha": "center", **style}))
                y += size * _LINE * _DPI / 72
        return y - start + (5 if y > start else 0)

    def _lines(self, text: str, size: float, room: int, **style: Any) -> None:
        """Write a text in lines of so many pixels, broken between words."""
        if text:
            count = _columns(size * (_BOLD if style.get("fontweight") else 1), room)
            for line in wrapped(shortened(output.printable(text), _MOST_TEXT * count), count, _MOST_TEXT):
                self.texts.append((self.left, self.y, line, {"fontsize": size, **style}))
                self.y += size * _LINE * _DPI / 72
            self.y += 7


def _columns(size: float, room: float) -> int:
    """How many columns of text of a font size fit into so many pixels; at least two."""
    return max(int(room / (_COLUMN * size * _DPI / 72)), 2)


def _width(text: str, size: float) -> int:
    """The pixels of a text of a font size."""
    return int(columns(output.printable(text)) * _COLUMN * size * _DPI / 72) + 1


def _heading_width(section: Section) -> int:
    """Pixels that the heading and the color bar of a section need; a very long heading has several lines."""
    heading, bar = min(_width(section.heading, _SECTION_PT * _BOLD), _NARROWEST // 2), section.bar
    return max(heading, _width(bar.start + bar.end, _NOTE_PT) + _BAR_WIDTH + 24 if bar else 0)


def label_lines(text: str, size: float, room: float) -> list[str]:
    """A label in two lines at most; a longer one is shortened in the middle, as names often differ at the end."""
    width = _columns(size, room)
    return wrapped(shortened(output.printable(text), width * _MOST_LINES), width, _MOST_LINES) if text else []


def _scaled(pixels: Pixels, side: int, *, smooth: bool) -> Pixels:
    """An image that fits into a square: enlarged by whole pixels, or resized where these would leave much room."""
    from PIL import Image

    largest = max(pixels.shape[:2])
    if largest > side // 2 or smooth:
        size = [max(1, round(length * side / largest)) for length in pixels.shape[1::-1]]
        return np.asarray(Image.fromarray(pixels).resize((size[0], size[1]), Image.Resampling.LANCZOS))
    factor = side // largest
    return pixels.repeat(factor, axis=0).repeat(factor, axis=1)
