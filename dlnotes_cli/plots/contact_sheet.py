"""Contact sheets: labeled images in a grid, pixel by pixel, for print and screen."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dlnotes_cli.plots.figure import png
from dlnotes_cli.plots.fonts import families
from dlnotes_cli.plots.names import plain

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_DPI = 144
_MARGIN = 24  # pixels around the sheet
_GAP = 14  # pixels between panels, and between a panel and its label
_TITLE_PT, _SECTION_PT, _LABEL_PT, _NOTE_PT = 12.0, 9.5, 7.5, 6.5
_LINE = 1.32  # height of a line of text in its font size
_MOST_LINES = 2  # of a label
_INK, _SOFT = "#1a1a1a", "#5f5f5f"
_PANELS_WIDE = 5  # panels that a title has room for at least

Pixels = NDArray[np.uint8]  # (H, W, 3)


@dataclass(frozen=True)
class Panel:
    """An image with a label and a smaller note below it."""

    pixels: Pixels
    label: str = ""
    note: str = ""
    is_marked: bool = False  # with a frame


@dataclass(frozen=True)
class Section:
    """Panels under a heading."""

    panels: Sequence[Panel]
    heading: str = ""
    columns: int | None = None  # by default those of the sheet


@dataclass(frozen=True)
class ContactSheet:
    """Sections of panels below each other; a small image is enlarged by whole pixels to about `side` pixels."""

    title: str
    sections: Sequence[Section]
    caption: str = ""
    columns: int = 8
    side: int = 144
    is_smooth: bool = False  # whether enlarged images are interpolated

    def png(self) -> bytes:
        """The sheet as a PNG file."""
        return _SheetDrawing(self).png()


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


def short_number(value: float) -> str:
    """A number in three digits for a label, without an exponent where it is not very large or small.

    >>> short_number(184.3), short_number(0.01234), short_number(-2.0), short_number(1234.5)
    ('184', '0.0123', '-2', '1234')
    """
    if 1000 <= abs(value) < 1e6:  # noqa: PLR2004  # as an integer
        return f"{value:.0f}"
    return f"{value:.3g}"


@dataclass
class _SheetDrawing:
    """The layout of a sheet, computed from top to bottom."""

    sheet: ContactSheet
    images: list[tuple[int, int, Pixels]] = field(default_factory=list)  # top, left
    texts: list[tuple[float, float, str, float, str, bool]] = field(default_factory=list)  # x, y, text, size, color

    def png(self) -> bytes:
        """The sheet as a PNG file."""
        from matplotlib.figure import Figure

        sheet = self.sheet
        columns = max((section.columns or sheet.columns for section in sheet.sections), default=sheet.columns)
        used = max((min(len(s.panels), s.columns or sheet.columns) for s in sheet.sections), default=1)
        columns = max(min(columns, used), min(_PANELS_WIDE, columns))
        self.width = 2 * _MARGIN + columns * (sheet.side + _GAP) - _GAP
        self.y = float(_MARGIN)
        self._text(sheet.title, _TITLE_PT, _INK, is_bold=True)
        self._text(sheet.caption, _NOTE_PT + 0.5, _SOFT)
        for section in sheet.sections:
            self._section(section)
        height = round(self.y) + _MARGIN - _GAP
        figure = Figure(figsize=(self.width / _DPI, height / _DPI), dpi=_DPI)
        canvas = np.full((height, self.width, 3), 255, np.uint8)
        for top, left, pixels in self.images:
            canvas[top : top + pixels.shape[0], left : left + pixels.shape[1]] = pixels
        figure.figimage(canvas, origin="upper")
        self._write(figure, height)
        return png(figure)

    def _section(self, section: Section) -> None:
        columns = section.columns or self.sheet.columns
        self._text(section.heading, _SECTION_PT, _INK, is_bold=True)
        for start in range(0, len(section.panels), columns):
            self._row(section.panels[start : start + columns])

    def _row(self, panels: Sequence[Panel]) -> None:
        scaled = [_scaled(panel.pixels, self.sheet.side, smooth=self.sheet.is_smooth) for panel in panels]
        tallest = max(image.shape[0] for image in scaled)
        top, below = round(self.y), 0.0
        for column, (panel, image) in enumerate(zip(panels, scaled, strict=True)):
            left = _MARGIN + column * (self.sheet.side + _GAP)
            inset = (self.sheet.side - image.shape[1]) // 2
            y0 = top + (tallest - image.shape[0])
            if panel.is_marked:
                self.images.append((y0 - 3, left + inset - 3, _frame(image)))
            self.images.append((y0, left + inset, image))
            below = max(below, self._label(panel, left + self.sheet.side / 2, top + tallest + 5))
        self.y = top + tallest + below + _GAP

    def _label(self, panel: Panel, center: float, y: float) -> float:
        """Write label and note below a panel; returns their height."""
        room, start = self.sheet.side + _GAP - 8, y
        for text, size, color in ((panel.label, _LABEL_PT, _INK), (panel.note, _NOTE_PT, _SOFT)):
            for line in _wrapped(text, size, room, _MOST_LINES):
                self.texts.append((center, y, line, size, color, False))
                y += size * _LINE * _DPI / 72
        return y - start + (5 if y > start else 0)

    def _text(self, text: str, size: float, color: str, *, is_bold: bool = False) -> None:
        lines = _wrapped(text, size, self.width - 2 * _MARGIN, 4)
        for line in lines:
            self.texts.append((-_MARGIN, self.y, line, size, color, is_bold))
            self.y += size * _LINE * _DPI / 72
        self.y += 7 if lines else 0

    def _write(self, figure: "Figure", height: int) -> None:
        for x, y, text, size, color, is_bold in self.texts:
            figure.text(
                abs(x) / self.width, 1 - y / height, plain(text), fontsize=size, color=color, va="top",
                ha="left" if x < 0 else "center", fontweight="bold" if is_bold else "normal",
            )  # fmt: skip


def _scaled(pixels: Pixels, side: int, *, smooth: bool) -> Pixels:
    """An image that fits into a square: enlarged by whole pixels, or resized where these would leave much room."""
    from PIL import Image

    largest = max(pixels.shape[:2])
    if largest > side // 2 or smooth:
        size = [max(1, round(length * side / largest)) for length in pixels.shape[1::-1]]
        return np.asarray(Image.fromarray(pixels).resize((size[0], size[1]), Image.Resampling.LANCZOS))
    factor = side // largest
    return pixels.repeat(factor, axis=0).repeat(factor, axis=1)


def _frame(image: Pixels) -> Pixels:
    frame = np.empty((image.shape[0] + 6, image.shape[1] + 6, 3), np.uint8)
    frame[:] = (213, 94, 0)
    return frame


def _wrapped(text: str, size: float, room: float, most: int) -> list[str]:
    """A text in at most `most` lines of `room` pixels, broken between words where possible; ends in … if cut."""
    if not text:
        return []
    lines: list[str] = []
    rest = text
    while rest and len(lines) < most:
        count = _fitting(rest, size, room)
        if count < len(rest):
            space = rest.rfind(" ", 0, count + 1)
            count = space if space > 0 else count
        lines.append(rest[:count].rstrip())
        rest = rest[count:].lstrip()
    if rest:
        last = lines[-1] + "…"
        while len(last) > 2 and _width(last, size) > room:  # noqa: PLR2004  # one character and the ellipsis
            last = last[:-2].rstrip() + "…"
        lines[-1] = last
    return lines


def _fitting(text: str, size: float, room: float) -> int:
    """How many characters of a text fit into `room` pixels; at least one."""
    if _width(text, size) <= room:
        return len(text)
    low, high = 1, len(text)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if _width(text[:middle], size) <= room else (low, middle)
    return low


@cache
def _width(text: str, size: float) -> float:
    """The width of a text in pixels. Fonts without outlines of a character count as wide as high."""
    return sum(_advance(character) for character in plain(text).replace(r"\$", "$")) * size * _DPI / 72


@cache
def _advance(character: str) -> float:
    """The advance of a character in its font size, in the first font that has it."""
    from matplotlib.font_manager import FontProperties, findfont, get_font
    from matplotlib.ft2font import LoadFlags

    for name in families((character,)):
        font = get_font(findfont(FontProperties(family=name)))
        if font.get_char_index(ord(character)):
            font.set_size(100, 72)
            return float(font.load_char(ord(character), LoadFlags.NO_HINTING).linearHoriAdvance) / 65536 / 100
    return 1.25  # of the box that stands for it
