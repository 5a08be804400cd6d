"""Names in plots: escaped, and shortened or wrapped to a width so that different names stay different."""

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence

from dlnotes_cli.shell import output

_ELLIPSIS = "…"
_HEADS = (1 / 2, 2 / 3, 1 / 3)  # fractions of a shortened name in front of the ellipsis, tried in turn
_RIGHT_TO_LEFT = re.compile(r"[\u0590-\u08ff]+([\s\d]*[\u0590-\u08ff]+)*\s*")  # words of Hebrew and Arabic
_BREAK_AFTER = re.compile(r"(?<=[\s_\-/])|(?<=[.,:])(?!\d)")  # not in a number


def plain(text: str) -> str:
    """Escape a text for matplotlib: one line, without math mode.

    Words that are read from right to left end with a mark, so that what follows them is not drawn in front of them.
    """
    return _RIGHT_TO_LEFT.sub("\\g<0>\u200e", output.printable(text).replace("$", r"\$"))


def distinct_names(names: Sequence[str], width: int) -> list[str]:
    """Printable names of at most `width` columns, long ones shortened in the middle.

    Different names stay different: where the usual cut makes them equal, it is elsewhere, what they have in common is
    left out, or a number is appended.
    """
    printable = [output.printable(name) for name in names]
    shown = list(printable)
    equal = [i for i, name in enumerate(printable) if columns(name) > width]
    for head in _HEADS:
        for i in equal:
            shown[i] = shortened(printable[i], width, head)
        equal = _repeated(shown, equal)
    for same in {shown[i]: [j for j in equal if shown[j] == shown[i]] for i in equal}.values():
        for i, text in zip(same, _differences([printable[i] for i in same]), strict=True):
            shown[i] = shortened(text, width)
    for i in _repeated(shown, equal):
        suffix = f" #{i + 1}"
        shown[i] = shortened(printable[i], width - len(suffix)) + suffix
    return shown


def _repeated(names: Sequence[str], positions: Sequence[int]) -> list[int]:
    """Those of some positions whose name is not the only one of its kind."""
    counts = Counter(names)
    return [i for i in positions if counts[names[i]] > 1]


def _differences(names: Sequence[str]) -> list[str]:
    """Long names without the start and the end that they have in common."""
    if len(set(names)) < 2:  # noqa: PLR2004  # nothing to compare
        return list(names)
    start = _common_start(names)
    end = min(_common_start([name[::-1] for name in names]), min(map(len, names)) - start)
    return [_ELLIPSIS * (start > 0) + name[start : len(name) - end] + _ELLIPSIS * (end > 0) for name in names]


def _common_start(names: Sequence[str]) -> int:
    """The number of characters with which all names start; the first and the last in order have least in common."""
    first, last = min(names), max(names)
    return next((i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), len(first))


def shortened(text: str, width: int, head: float = 1 / 2) -> str:
    """A text of at most `width` columns; an ellipsis replaces its middle, with a fraction `head` of the rest before it.

    >>> shortened("golden retriever", 9), shortened("cat", 9)
    ('gold…ever', 'cat')
    """
    if columns(text) <= width:
        return text
    room = width - 1
    left = round(room * head)
    start = _fitting(text, left)
    rest = room - columns(text[:start])
    return text[:start] + _ELLIPSIS + text[len(text) - _fitting(text[::-1], rest) :]


def wrapped(text: str, width: int, lines: int) -> list[str]:
    """A text of at most `width * lines` columns in at most `lines` lines, broken between words where that fits.

    >>> wrapped("great white shark", 12, 2), wrapped("a" * 6, 4, 2)
    (['great white', 'shark'], ['aaaa', 'aa'])
    """
    rows = words_in_lines(text, width)
    if len(rows) <= lines and all(columns(row) <= width for row in rows):
        return rows
    rows = []
    while text:
        end = max(_fitting(text, width), 1) if len(rows) < lines - 1 else len(text)
        rows.append(text[:end])
        text = text[end:]
    return rows


def words_in_lines(text: str, width: int) -> list[str]:
    """A text in lines of at most `width` columns, broken between words only; a longer word has a line of its own.

    >>> words_in_lines("great white_shark of 1,234.5 kg", 8)
    ['great', 'white_', 'shark of', '1,234.5', 'kg']
    """
    rows = [""]
    for word in _BREAK_AFTER.split(text):
        if rows[-1] and columns((rows[-1] + word).rstrip()) > width:
            rows.append("")
        rows[-1] += word
    return [row.rstrip() for row in rows]


def columns(text: str) -> int:
    r"""The width of a text on a terminal: 2 for each Chinese character or emoji, 0 for combining marks.

    >>> columns("cat"), columns("猫"), columns("e\u0301")
    (3, 2, 1)
    """
    return len(text) if text.isascii() else sum(map(_columns, text))


def _columns(character: str) -> int:
    if unicodedata.category(character) in {"Mn", "Me", "Cf"}:
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def _fitting(text: str, width: int) -> int:
    """The number of characters at the start of a text that fit into so many columns."""
    used = 0
    for i, character in enumerate(text):
        used += _columns(character)
        if used > width:
            return i
    return len(text)
