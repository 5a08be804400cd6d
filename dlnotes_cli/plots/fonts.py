"""Fonts with the characters that matplotlib's own font does not have: Chinese, Thai and emoji, for example."""

import logging
import unicodedata
from collections.abc import Iterable, Iterator
from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING

from dlnotes_cli.shell import output

if TYPE_CHECKING:
    from matplotlib.font_manager import FontEntry

_OWN = "DejaVu Sans"  # comes with matplotlib
_PREFERRED = (  # before other fonts with the same characters
    "Noto Sans CJK SC", "Noto Sans CJK JP", "Noto Sans CJK KR", "Source Han Sans", "WenQuanYi Zen Hei", "IPAGothic",
    "Hiragino Sans", "PingFang SC", "Microsoft YaHei", "Arial Unicode MS", "Noto Emoji", "Noto Sans",
)  # fmt: skip
_PLACEHOLDERS = "Last Resort"  # a font of matplotlib that draws a box for every character
_REGULAR = 400  # weight
_EMOJI = 0x1F000  # and above: pictographs
_CJK = {"CJK", "HIRAGANA", "KATAKANA", "HANGUL", "BOPOMOFO", "IDEOGRAPHIC", "FULLWIDTH", "HALFWIDTH"}


def families(texts: Iterable[str]) -> list[str]:
    """The font families that draw some texts: matplotlib's own, then installed ones with the characters it lacks.

    Characters that no installed font has are drawn as boxes; a warning says so once.
    """
    missing = frozenset(character for character in set().union(*texts) if ord(character) not in _own_characters())
    return [_OWN, *_fallbacks(missing)] if missing else [_OWN]


@cache
def _own_characters() -> frozenset[int]:
    from matplotlib.font_manager import findfont

    return frozenset([*_characters(findfont(_OWN)), *map(ord, "\n")])


@cache
def _fallbacks(missing: frozenset[str]) -> tuple[str, ...]:
    """The names of as few installed fonts as have the missing characters, in the order of preference."""
    names, left = [], set(missing)
    for font in _candidates():
        with suppress(OSError, RuntimeError):  # a font file that was deleted or that FreeType cannot read
            characters = _characters(font.fname)
            if found := {character for character in left if ord(character) in characters}:
                names.append(font.name)
                left -= found
        if not left:
            return tuple(names)
    _warn(min(left), _suggestion(left))
    return tuple(names)


def _candidates() -> Iterator["FontEntry"]:
    """The installed fonts, also those that matplotlib's cache of its last start does not know."""
    from matplotlib.font_manager import findSystemFonts, fontManager

    logging.getLogger("matplotlib.font_manager").setLevel(logging.ERROR)  # no warning of a font without bold type
    known = {font.fname for font in fontManager.ttflist}
    for path in findSystemFonts():
        if path not in known:
            with suppress(OSError, RuntimeError, NotImplementedError, ValueError):  # fonts of bitmaps, damaged files
                fontManager.addfont(path)

    def rank(font: "FontEntry") -> tuple[int, bool, str, str]:
        preference = _PREFERRED.index(font.name) if font.name in _PREFERRED else len(_PREFERRED)
        return preference, font.weight != _REGULAR or font.style != "normal", font.name, font.fname

    return (font for font in sorted(fontManager.ttflist, key=rank) if not font.name.startswith(_PLACEHOLDERS))


def _characters(path: str) -> Iterable[int]:
    from matplotlib.ft2font import FT2Font

    return FT2Font(path).get_charmap().keys()


def _suggestion(characters: set[str]) -> str:
    """The names of fonts with some characters, by their scripts."""
    names = set()
    for character in characters:
        script = unicodedata.name(character, "").split(" ")[0].split("-")[0]
        if ord(character) >= _EMOJI and unicodedata.category(character) == "So":
            names.add("Noto Emoji")
        elif script in _CJK:
            names.add("Noto Sans CJK")
        elif script and unicodedata.category(character)[0] in "LM":
            names.add(f"Noto Sans {script.capitalize()}")
    return ", ".join(sorted(names)) or "a font that has them"


@cache
def _warn(example: str, suggestion: str) -> None:
    output.warn(
        f"no installed font has '{example}' or others of the characters in a plot, which are drawn as boxes; "
        f"install {suggestion}"
    )
