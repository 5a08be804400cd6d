"""Texts to tokens and back: newlines, encodings, chunks, vocabularies, and what is no text."""

import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlnotes_cli.data import text as module
from dlnotes_cli.data.preprocessing import TextPreprocessing
from dlnotes_cli.data.text import Encoder, Source, decoded, encode_text, find_sources, help_texts, read_text, readable
from dlnotes_cli.shell.errors import InputError

CHARS = TextPreprocessing("chars")
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=60)


@given(TEXTS, st.integers(1, 7), st.sampled_from(["translate", "keep"]), st.sampled_from(["utf-8", "utf-16", "utf-32"]))
def test_text_is_read_as_python_reads_it_whatever_the_chunks(
    text: str, chunk: int, newline: str, encoding: str
) -> None:
    form = TextPreprocessing("chars", newline=newline)  # type: ignore[arg-type]
    content = text.encode(encoding)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_CHUNK", chunk)
        found, form = read_text([Source("x", None, content)], form, encoding)
    expected = io.TextIOWrapper(io.BytesIO(content), encoding, newline=None if newline == "translate" else "").read()
    if newline == "translate":
        expected = expected.removeprefix("\ufeff")
    assert decoded(found.tokens, form) == expected
    assert form.characters == "".join(sorted(set(expected)))


@given(TEXTS | st.text("ΟΔΣ aİ", min_size=1), st.integers(1, 7))
def test_letters_are_made_small_one_by_one(text: str, chunk: int) -> None:
    form = TextPreprocessing("chars", lower=True, newline="keep")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_CHUNK", chunk)
        found, form = read_text([Source("x", None, text.encode())], form, None)
    assert decoded(found.tokens, form) == "".join(character.lower() for character in text)


def test_what_the_tokens_stand_for_is_in_the_fingerprint() -> None:
    prints = set()
    for content in (b"abab", b"cdcd", b"abba"):
        found, form = read_text([Source("x", None, content)], CHARS, None)
        prints.add(found.fingerprint(form))
    assert len(prints) == 3


@pytest.mark.parametrize("content", [b"", b"ab\xff\x00", bytes(range(256))])
def test_bytes_are_kept_and_shown_as_text_where_they_are_that(content: bytes) -> None:
    form = TextPreprocessing("bytes")
    found, _ = read_text([Source("x", None, content)], form, None)
    assert found.tokens.tobytes() == content
    assert decoded(found.tokens, form).encode(errors="surrogateescape") == content
    assert readable(decoded(found.tokens, form)) == content.decode(errors="replace")


def test_a_file_that_says_it_is_empty_is_read_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "grown.txt"
    path.write_bytes(b"abc" * 100)
    monkeypatch.setattr(Source, "size", 0)
    for form in (CHARS, TextPreprocessing("bytes")):
        assert len(read_text([Source("x", path)], form, None)[0]) == 300


def test_a_file_that_fails_while_it_is_read_is_named() -> None:
    path = Path("/proc/self/mem")
    if not path.exists():
        pytest.skip("no such file on this system")
    with pytest.raises(InputError, match="/proc/self/mem: cannot be read"):
        read_text([Source("mem", path)], CHARS, None)


@pytest.mark.parametrize(("content", "hint"), [(b"\xff\xfea\0b\0", "utf-16"), (b"a\x92b", "cp1252")])
def test_the_likely_encoding_is_named(content: bytes, hint: str) -> None:
    with pytest.raises(InputError, match=f"--encoding \\({hint} for example"):
        read_text([Source("x", None, content)], CHARS, None)


@given(st.lists(st.binary(max_size=40), min_size=1, max_size=4))
def test_bytes_are_taken_as_they_are(contents: list[bytes]) -> None:
    sources = [Source(str(i), None, content) for i, content in enumerate(contents)]
    found, form = read_text(sources, TextPreprocessing("bytes", newline="keep"), None)
    assert found.tokens.tobytes() == b"".join(contents)
    assert form.vocabulary == 256
    assert found.bounds == tuple(np.cumsum([0, *map(len, contents)]).tolist())


@given(st.lists(TEXTS, min_size=1, max_size=4), st.integers(0, 200), st.integers(0, 200))
def test_a_part_keeps_where_texts_begin(texts: list[str], start: int, length: int) -> None:
    sources = [Source(str(i), None, text.encode()) for i, text in enumerate(texts)]
    found, _ = read_text(sources, TextPreprocessing("chars", newline="keep"), None)
    start = min(start, len(found))
    stop = min(start + length, len(found))
    part = found.part(start, stop)
    inside = {bound - start for bound in found.bounds if start < bound < stop}
    assert set(part.bounds[1:-1]) == inside
    assert part.bounds[-1] == len(part) == stop - start
    assert len(part.names) == len(part.bounds) - 1


def test_many_characters_take_wider_tokens() -> None:
    for count, kind in ((256, np.uint8), (257, np.uint16), (70_000, np.uint32)):
        text = "".join(map(chr, (code for code in range(32, 80_000) if not 0xD800 <= code < 0xE000)))[:count]
        found, form = read_text([Source("x", None, text.encode())], TextPreprocessing("chars", newline="keep"), None)
        assert found.tokens.dtype == kind
        assert decoded(found.tokens, form) == text


def test_a_known_vocabulary_names_what_is_not_in_it() -> None:
    form = TextPreprocessing("chars", "abc")
    with pytest.raises(InputError, match=r"x: has characters that the model does not know: 'd' \(U\+0064\); .*skip"):
        encode_text([Source("x", None, b"abcd")], form, None, on_unknown="error")
    skipped = encode_text([Source("x", None, b"adbdc")], form, None, on_unknown="skip")
    assert skipped.tokens.tolist() == [0, 1, 2]
    assert Encoder(TextPreprocessing("bytes")).encode("é", "--prime", "error").tolist() == [0xC3, 0xA9]
    assert Encoder(TextPreprocessing("chars", "abc", lower=True)).encode("ABC", "--prime", "error").tolist() == [
        0,
        1,
        2,
    ]


@pytest.mark.parametrize(
    ("content", "encoding", "told"),
    [
        (b"it\x92s", None, r"x: byte 0x92 at offset 2 is not utf-8; give its --encoding \(cp1252"),
        ("é".encode()[:1], None, "x: byte 0xc3 at offset 0 is not utf-8"),
        (b"a" * 10 + b"\xff", None, "offset 10 is"),
        (b"abc", "utf-16", "is not utf-16"),
        (b"abc", "utf-99", "--encoding: unknown encoding 'utf-99'"),
        (b"abc", "rot13", "--encoding: 'rot13' does not make text of bytes"),
        (b"abc", "zlib", "--encoding: 'zlib' does not make text of bytes"),
    ],
)
def test_what_is_not_text(content: bytes, encoding: str | None, told: str) -> None:
    for chunk in (1, 3, 1 << 20):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(module, "_CHUNK", chunk)
            with pytest.raises(InputError, match=told):
                read_text([Source("x", None, content)], CHARS, encoding)


def test_a_folder_gives_its_texts_in_order(tmp_path: Path) -> None:
    for name in ("b.txt", "a.md", ".hidden.txt", "image.png", "more/c.TXT"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    assert [Path(source.name).name for source in find_sources([str(tmp_path)])] == ["a.md", "b.txt", "c.TXT"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="is a folder without texts"):
        find_sources([str(tmp_path), str(tmp_path / "empty")])
    with pytest.raises(InputError, match=r"none\.txt: cannot be read"):
        find_sources([str(tmp_path / "none.txt")])
    with pytest.raises(InputError, match="TEXT: - is given twice"):
        find_sources(["-", "-"])


def test_python_s_help_is_english() -> None:
    found, form = read_text([help_texts()], CHARS, None)
    assert len(found) > 300_000
    assert set("etaoin \n") <= set(form.characters)
