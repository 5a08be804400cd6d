"""Texts to tokens and back: newlines, encodings, chunks, vocabularies, and invalid text."""

import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlnotes_cli.data import text as module
from dlnotes_cli.data.preprocessing import TextPreprocessing
from dlnotes_cli.data.text import (
    Encoder,
    TextSource,
    decode_tokens,
    encode_text,
    find_sources,
    python_help,
    read_text,
    readable,
)
from dlnotes_cli.shell.errors import InputError

CHARS = TextPreprocessing("chars")
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=60)


@given(TEXTS, st.integers(1, 7), st.sampled_from(["translate", "keep"]), st.sampled_from(["utf-8", "utf-16", "utf-32"]))
def test_text_is_read_as_python_reads_it_whatever_the_chunks(
    text: str, chunk: int, newline: str, encoding: str
) -> None:
    preprocessing = TextPreprocessing("chars", newline=newline)  # type: ignore[arg-type]
    content = text.encode(encoding)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_CHUNK", chunk)
        text_read, preprocessing = read_text([TextSource("x", None, content)], preprocessing, encoding)
    expected = io.TextIOWrapper(io.BytesIO(content), encoding, newline=None if newline == "translate" else "").read()
    if newline == "translate":
        expected = expected.removeprefix("\ufeff")
    assert decode_tokens(text_read.tokens, preprocessing) == expected
    assert preprocessing.characters == "".join(sorted(set(expected)))


@given(TEXTS | st.text("ΟΔΣ aİ", min_size=1), st.integers(1, 7))
def test_each_character_is_lowercased_alone(text: str, chunk: int) -> None:
    preprocessing = TextPreprocessing("chars", lower=True, newline="keep")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_CHUNK", chunk)
        text_read, preprocessing = read_text([TextSource("x", None, text.encode())], preprocessing, None)
    assert decode_tokens(text_read.tokens, preprocessing) == "".join(character.lower() for character in text)


def test_the_fingerprint_covers_tokens_and_vocabulary() -> None:
    fingerprints = set()
    for content in (b"abab", b"cdcd", b"abba"):
        text_read, preprocessing = read_text([TextSource("x", None, content)], CHARS, None)
        fingerprints.add(text_read.fingerprint(preprocessing))
    assert len(fingerprints) == 3


@pytest.mark.parametrize("content", [b"", b"ab\xff\x00", bytes(range(256))])
def test_bytes_round_trip_and_are_shown_as_utf_8_where_valid(content: bytes) -> None:
    preprocessing = TextPreprocessing("bytes")
    text_read, _ = read_text([TextSource("x", None, content)], preprocessing, None)
    assert text_read.tokens.tobytes() == content
    assert decode_tokens(text_read.tokens, preprocessing).encode(errors="surrogateescape") == content
    assert readable(decode_tokens(text_read.tokens, preprocessing)) == content.decode(errors="replace")


def test_a_file_with_a_wrong_size_is_read_completely(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "grown.txt"
    path.write_bytes(b"abc" * 100)
    monkeypatch.setattr(TextSource, "size", 0)
    for preprocessing in (CHARS, TextPreprocessing("bytes")):
        assert len(read_text([TextSource("x", path)], preprocessing, None)[0]) == 300


def test_a_read_error_names_the_file() -> None:
    path = Path("/proc/self/mem")
    if not path.exists():
        pytest.skip("no such file on this system")
    with pytest.raises(InputError, match="/proc/self/mem: cannot be read"):
        read_text([TextSource("mem", path)], CHARS, None)


@pytest.mark.parametrize(("content", "hint"), [(b"\xff\xfea\0b\0", "utf-16"), (b"a\x92b", "cp1252")])
def test_the_error_suggests_a_likely_encoding(content: bytes, hint: str) -> None:
    with pytest.raises(InputError, match=f"--encoding \\({hint} for example"):
        read_text([TextSource("x", None, content)], CHARS, None)


@given(st.lists(st.binary(max_size=40), min_size=1, max_size=4))
def test_bytes_are_not_changed(contents: list[bytes]) -> None:
    sources = [TextSource(str(i), None, content) for i, content in enumerate(contents)]
    text_read, preprocessing = read_text(sources, TextPreprocessing("bytes", newline="keep"), None)
    assert text_read.tokens.tobytes() == b"".join(contents)
    assert preprocessing.vocabulary == 256
    assert text_read.bounds == tuple(np.cumsum([0, *map(len, contents)]).tolist())


@given(st.lists(TEXTS, min_size=1, max_size=4), st.integers(0, 200), st.integers(0, 200))
def test_a_slice_keeps_the_bounds_of_its_texts(texts: list[str], start: int, length: int) -> None:
    sources = [TextSource(str(i), None, text.encode()) for i, text in enumerate(texts)]
    text_read, _ = read_text(sources, TextPreprocessing("chars", newline="keep"), None)
    start = min(start, len(text_read))
    stop = min(start + length, len(text_read))
    piece = text_read.slice(start, stop)
    inside = {bound - start for bound in text_read.bounds if start < bound < stop}
    assert set(piece.bounds[1:-1]) == inside
    assert piece.bounds[-1] == len(piece) == stop - start
    assert len(piece.names) == len(piece.bounds) - 1


def test_a_large_vocabulary_needs_wider_tokens() -> None:
    for count, kind in ((256, np.uint8), (257, np.uint16), (70_000, np.uint32)):
        text = "".join(map(chr, (code for code in range(32, 80_000) if not 0xD800 <= code < 0xE000)))[:count]
        text_read, preprocessing = read_text(
            [TextSource("x", None, text.encode())], TextPreprocessing("chars", newline="keep"), None
        )
        assert text_read.tokens.dtype == kind
        assert decode_tokens(text_read.tokens, preprocessing) == text


def test_characters_outside_the_vocabulary_are_named_or_skipped() -> None:
    preprocessing = TextPreprocessing("chars", "abc")
    with pytest.raises(InputError, match=r"x: has characters outside the model's vocabulary: 'd' \(U\+0064\); .*skip"):
        encode_text([TextSource("x", None, b"abcd")], preprocessing, None, on_unknown="error")
    skipped = encode_text([TextSource("x", None, b"adbdc")], preprocessing, None, on_unknown="skip")
    assert skipped.tokens.tolist() == [0, 1, 2]
    assert Encoder(TextPreprocessing("bytes")).encode("é", "--prime", "error").tolist() == [0xC3, 0xA9]
    assert Encoder(TextPreprocessing("chars", "abc", lower=True)).encode("ABC", "--prime", "error").tolist() == [
        0,
        1,
        2,
    ]


@pytest.mark.parametrize(
    ("content", "encoding", "message"),
    [
        (b"it\x92s", None, r"x: byte 0x92 at offset 2 is not utf-8; give its --encoding \(cp1252"),
        ("é".encode()[:1], None, "x: byte 0xc3 at offset 0 is not utf-8"),
        (b"a" * 10 + b"\xff", None, "offset 10 is"),
        (b"abc", "utf-16", "is not utf-16"),
        (b"abc", "utf-99", "--encoding: unknown encoding 'utf-99'"),
        (b"abc", "rot13", "--encoding: 'rot13' does not decode bytes to text"),
        (b"abc", "zlib", "--encoding: 'zlib' does not decode bytes to text"),
    ],
)
def test_invalid_bytes_and_encodings_are_refused(content: bytes, encoding: str | None, message: str) -> None:
    for chunk in (1, 3, 1 << 20):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(module, "_CHUNK", chunk)
            with pytest.raises(InputError, match=message):
                read_text([TextSource("x", None, content)], CHARS, encoding)


def test_a_folder_stands_for_its_text_files_in_order(tmp_path: Path) -> None:
    for name in ("b.txt", "a.md", ".hidden.txt", "image.png", "more/c.TXT"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    assert [Path(source.name).name for source in find_sources([str(tmp_path)])] == ["a.md", "b.txt", "c.TXT"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="is a folder without text files"):
        find_sources([str(tmp_path), str(tmp_path / "empty")])
    with pytest.raises(InputError, match=r"none\.txt: cannot be read"):
        find_sources([str(tmp_path / "none.txt")])
    with pytest.raises(InputError, match="TEXT: - is repeated, but stdin"):
        find_sources(["-", "-"])


def test_the_python_help_is_english_text() -> None:
    text_read, preprocessing = read_text([python_help()], CHARS, None)
    assert len(text_read) > 300_000
    assert set("etaoin \n") <= set(preprocessing.characters)
