"""Installed fonts with characters that matplotlib's own lacks are found; otherwise a warning says what is missing."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from fontTools.fontBuilder import FontBuilder  # type: ignore[import-untyped]
from fontTools.pens.ttGlyphPen import TTGlyphPen  # type: ignore[import-untyped]
from matplotlib import font_manager

from dlnotes_cli.plots import fonts
from dlnotes_cli.plots.figure import new_figure, png


def make_font(path: Path, name: str, characters: str) -> Path:
    """A font in which each character is a triangle."""
    builder = FontBuilder(1000, isTTF=True)
    glyphs = [".notdef", *(f"g{i}" for i in range(len(characters)))]
    builder.setupGlyphOrder(glyphs)
    builder.setupCharacterMap({ord(character): f"g{i}" for i, character in enumerate(characters)})
    pen = TTGlyphPen(None)
    for draw, point in ((pen.moveTo, (0, 0)), (pen.lineTo, (400, 800)), (pen.lineTo, (800, 0))):
        draw(point)
    pen.closePath()
    builder.setupGlyf(dict.fromkeys(glyphs, pen.glyph()))
    builder.setupHorizontalMetrics(dict.fromkeys(glyphs, (1000, 0)))
    builder.setupHorizontalHeader(ascent=800, descent=-200)
    builder.setupNameTable({"familyName": name, "styleName": "Regular"})
    builder.setupOS2(sTypoAscender=800)
    builder.setupPost()
    builder.save(path)
    return path


@pytest.fixture(autouse=True)
def installed(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The paths of the installed fonts besides those of matplotlib: none, until a test adds some."""
    paths: list[str] = []
    own = [font for font in font_manager.fontManager.ttflist if "mpl-data" in font.fname]
    monkeypatch.setattr(font_manager.fontManager, "ttflist", own)
    monkeypatch.setattr(font_manager, "findSystemFonts", lambda: paths)
    for function in (fonts._fallbacks, fonts._warn):
        function.cache_clear()
    yield paths
    for function in (fonts._fallbacks, fonts._warn):
        function.cache_clear()


def test_an_installed_font_is_found_and_used(
    installed: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fonts.families(["cat", "Ünïcödé", "кошка"]) == ["DejaVu Sans"]
    installed += map(
        str, (make_font(tmp_path / "a.ttf", "Some Han", "猫狗"), make_font(tmp_path / "b.ttf", "Thai", "ก"))
    )
    (tmp_path / "broken.ttf").write_bytes(b"no font")
    installed.append(str(tmp_path / "broken.ttf"))
    assert fonts.families(["猫", "cat"]) == ["DejaVu Sans", "Some Han"]
    assert fonts.families(["猫 ก"]) == ["DejaVu Sans", "Some Han", "Thai"]
    figure = new_figure(1, 1)
    figure.suptitle("猫")
    with_glyph = png(figure)
    assert capsys.readouterr().err == ""
    figure.suptitle("狗")  # the same triangle in this font
    assert png(figure) == with_glyph
    figure.suptitle("犬")  # a box
    assert png(figure) != with_glyph
    assert "no installed font has '犬'" in capsys.readouterr().err


def test_a_preferred_font_comes_before_others(installed: list[str], tmp_path: Path) -> None:
    installed += [
        str(make_font(tmp_path / "a.ttf", "A Calligraphy", "猫")),
        str(make_font(tmp_path / "z.ttf", "WenQuanYi Zen Hei", "猫")),
    ]
    assert fonts.families(["猫"]) == ["DejaVu Sans", "WenQuanYi Zen Hei"]


@pytest.mark.parametrize(
    ("text", "suggestion"),
    [
        ("猫", "Noto Sans CJK"),
        ("ひらがな", "Noto Sans CJK"),
        ("한국어", "Noto Sans CJK"),
        ("ภาษาไทย", "Noto Sans Thai"),
        ("🦊", "Noto Emoji"),
        ("हिन्दी 🦊", "Noto Emoji, Noto Sans Devanagari"),
        ("\U0010fffd", "a font that has them"),
    ],
)
def test_missing_characters_are_noted_once(text: str, suggestion: str, capsys: pytest.CaptureFixture[str]) -> None:
    for _ in range(2):
        assert fonts.families([text]) == ["DejaVu Sans"]
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("dlnotes: warning: no installed font has '")
    assert line.endswith(f"are drawn as boxes; install {suggestion}")
