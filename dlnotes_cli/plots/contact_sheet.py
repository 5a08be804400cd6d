"""Contact sheets: labeled images in a grid, pixel by pixel, for print and screen."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dlnotes_cli.plots.figure import png
from dlnotes_cli.plots.fonts import families
from dlnotes_cli.plots.names import columns, plain, shortened
from dlnotes_cli.shell import output

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_DPI = 144
_MARGIN = 24  # pixels around the sheet
_GAP = 14  # pixels between panels, and between a panel and its label
_TITLE_PT, _SECTION_PT, _LABEL_PT, _NOTE_PT = 12.0, 9.5, 7.5, 6.5
_BOLD = 1.15  # width of bold text in that of regular text
_LINE = 1.32  # height of a line of text in its font size
_MOST_LINES = 2  # of a label
_CAPTION_LINES = 12
_INK, _SOFT = "#1a1a1a", "#5f5f5f"
_NARROWEST = 620  # pixels, of a sheet with a caption
_BLOCK_GAP = 44  # pixels between sections next to each other
_SECTION_GAP = 12  # pixels above a section, next to the usual gap
_BAR = (150, 11)  # width and height of a color bar

Pixels = NDArray[np.uint8]  # (H, W, 3)


@dataclass(frozen=True)
class Panel:
    """An image with a label and a smaller note below it."""

    pixels: Pixels
    label: str = ""
    note: str = ""
    is_marked: bool = False  # with a frame


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
class ContactSheet:
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
class _SheetDrawing:
    """The layout of a sheet, computed from top to bottom."""

    sheet: ContactSheet
    images: list[tuple[int, int, Pixels]] = field(default_factory=list)  # top, left
    texts: list[tuple[float, float, str, float, str, bool, str]] = field(default_factory=list)  # x, y, text, size, ...

    def png(self) -> bytes:
        """The sheet as a PNG file."""
        from matplotlib.figure import Figure

        sheet = self.sheet
        pitch = sheet.side + _GAP
        lead = pitch + _BLOCK_GAP // 2 if sheet.lead else 0
        used = max((self._columns(section) for section in sheet.sections), default=1)
        block = max(used * pitch - _GAP, *map(self._heading_room, sheet.sections), 0)
        self.width = 2 * _MARGIN + max(lead + sheet.blocks * (block + _BLOCK_GAP) - _BLOCK_GAP, self._narrowest())
        self.left, self.y = float(_MARGIN), float(_MARGIN)
        self._text(sheet.title, _TITLE_PT, _INK, is_bold=True)
        self._text(sheet.caption, _NOTE_PT + 0.5, _SOFT)
        top = lowest = self.y
        if sheet.lead is not None:
            self._row([sheet.lead])
            lowest = self.y
        in_block = -(-len(sheet.sections) // sheet.blocks)
        for start in range(0, len(sheet.sections), max(in_block, 1)):
            self.left, self.y = _MARGIN + lead + start // in_block * (block + _BLOCK_GAP), top
            for number, section in enumerate(sheet.sections[start : start + in_block]):
                self.y += _SECTION_GAP if number else 0
                self._section(section, block)
            lowest = max(lowest, self.y)
        height = round(lowest) + _MARGIN - _GAP
        figure = Figure(figsize=(self.width / _DPI, height / _DPI), dpi=_DPI)
        canvas = np.full((height, self.width, 3), 255, np.uint8)
        for y, x, pixels in self.images:
            canvas[y : y + pixels.shape[0], x : x + pixels.shape[1]] = pixels
        figure.figimage(canvas, origin="upper")
        self._write(figure, height)
        return png(figure)

    def _narrowest(self) -> int:
        """Pixels that the title needs on one line, and some for a caption."""
        title = min(int(_width(self.sheet.title, _TITLE_PT * _BOLD)) + 1, 2 * _NARROWEST)
        return max(title, _NARROWEST if self.sheet.caption else 0)

    def _heading_room(self, section: Section) -> int:
        """Pixels that the heading and the color bar of a section need; a very long heading has several lines."""
        bar = section.bar
        heading = min(int(_width(section.heading, _SECTION_PT * _BOLD)) + 1, _NARROWEST // 2)
        return max(heading, int(_width(bar.start + bar.end, _NOTE_PT)) + _BAR[0] + 24 if bar else 0)

    def _columns(self, section: Section) -> int:
        return in_rows(len(section.panels), section.columns or self.sheet.columns)

    def _section(self, section: Section, room: float) -> None:
        columns = self._columns(section)
        self._text(section.heading, _SECTION_PT, _INK, is_bold=True, room=room)
        if section.bar is not None:
            self._color_bar(section.bar)
        for start in range(0, len(section.panels), columns):
            self._row(section.panels[start : start + columns])

    def _color_bar(self, bar: ColorBar) -> None:
        width, height = _BAR
        shades = colored(np.linspace(min(bar.low, 0.0), bar.high, width)[None], bar.low, bar.high)
        if bar.low < 0:
            limit = max(-bar.low, bar.high)
            shades = colored(np.linspace(-limit, limit, width)[None], -limit, limit)
        left = self.left + _width(bar.start, _NOTE_PT) + 8
        self.texts.append((self.left, self.y - 1, bar.start, _NOTE_PT, _SOFT, False, "left"))
        self.images.append((round(self.y), round(left), _edged(shades.repeat(height, axis=0))))
        self.texts.append((left + width + 8, self.y - 1, bar.end, _NOTE_PT, _SOFT, False, "left"))
        self.y += height + 9

    def _row(self, panels: Sequence[Panel]) -> None:
        scaled = [_scaled(panel.pixels, self.sheet.side, smooth=self.sheet.is_smooth) for panel in panels]
        tallest = max(image.shape[0] for image in scaled)
        top, below = round(self.y), 0.0
        for column, (panel, image) in enumerate(zip(panels, scaled, strict=True)):
            left = round(self.left) + column * (self.sheet.side + _GAP)
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
            for line in (line for part in text.split("\n") for line in _label_lines(part, size, room)):
                self.texts.append((center, y, line, size, color, False, "center"))
                y += size * _LINE * _DPI / 72
        return y - start + (5 if y > start else 0)

    def _text(self, text: str, size: float, color: str, *, is_bold: bool = False, room: float | None = None) -> None:
        lines = _wrapped(text, size * (_BOLD if is_bold else 1), room or self.width - 2 * _MARGIN, _CAPTION_LINES)
        for line in lines:
            self.texts.append((self.left, self.y, line, size, color, is_bold, "left"))
            self.y += size * _LINE * _DPI / 72
        self.y += 7 if lines else 0

    def _write(self, figure: "Figure", height: int) -> None:
        for x, y, text, size, color, is_bold, align in self.texts:
            figure.text(
                x / self.width, 1 - y / height, plain(text), fontsize=size, color=color, va="top", ha=align,
                fontweight="bold" if is_bold else "normal",
            )  # fmt: skip


def _edged(image: Pixels) -> Pixels:
    """An image whose border is gray."""
    edged = image.copy()
    edged[[0, -1]] = edged[:, [0, -1]] = 140
    return edged


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


def _label_lines(text: str, size: float, room: float) -> list[str]:
    """A label in few lines; a longer one is shortened in the middle, as names often differ at the end."""
    width = columns(text)
    lines = _wrapped(text, size, room, _MOST_LINES + 1)
    while len(lines) > _MOST_LINES:
        width -= 1
        lines = _wrapped(shortened(text, width), size, room, _MOST_LINES + 1)
    return lines


def _wrapped(text: str, size: float, room: float, most: int) -> list[str]:
    """A text in at most `most` lines of `room` pixels, broken between words; a longer word after a mark such as _.

    It ends in … if it is cut.
    """
    if not text:
        return []
    lines: list[str] = []
    rest = text
    while rest and len(lines) < most:
        count = _fitting(rest, size, room)
        if count < len(rest):
            space = rest.rfind(" ", 0, count + 1)
            mark = max(rest.rfind(mark, 0, count) for mark in "_-/") + 1
            count = next((place for place in (space, mark) if place > 0), count)
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
    return sum(_advance(character) for character in output.printable(text)) * size * _DPI / 72


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
