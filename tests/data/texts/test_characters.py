"""Texts of files as tokens: which files are found, how bytes are decoded, vocabularies, and the way back."""

import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from dlnotes_cli.data.preprocessing import TextPreprocessing
from dlnotes_cli.data.texts import characters
from dlnotes_cli.data.texts.characters import (
    Text,
    Tokenizer,
    decode_tokens,
    read_and_build_vocabulary,
    read_with_vocabulary,
    without_surrogates,
)
from dlnotes_cli.data.texts.files import TextSource, find_text_sources
from dlnotes_cli.shell.errors import InputError

CHARS, BYTES = TextPreprocessing("chars"), TextPreprocessing("bytes", newline="keep")
STRINGS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=60)


def source(content: bytes, name: str = "x") -> TextSource:
    return TextSource(name, None, content)


def read(*contents: bytes, encoding: str | None = None, **settings: object) -> tuple[Text, TextPreprocessing]:
    """Texts with their own vocabulary, which are unchanged unless `settings` say so."""
    preprocessing = TextPreprocessing(**{"unit": "chars", "newline": "keep", **settings})  # type: ignore[arg-type]
    return read_and_build_vocabulary([source(one, str(i)) for i, one in enumerate(contents)], preprocessing, encoding)


@given(STRINGS, st.sampled_from(["translate", "keep"]), st.sampled_from(["utf-8", "utf-16", "utf-32"]))
def test_text_is_decoded_as_python_does_and_its_vocabulary_is_sorted(text: str, newline: str, encoding: str) -> None:
    content = text.encode(encoding)
    expected = io.TextIOWrapper(io.BytesIO(content), encoding, newline=None if newline == "translate" else "").read()
    if newline == "translate":
        expected = expected.removeprefix("\ufeff")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(characters, "_CHUNK", 7)
        tokens, preprocessing = read(content, encoding=encoding, newline=newline)
    assert decode_tokens(tokens.tokens, preprocessing) == expected
    assert preprocessing.characters == "".join(sorted(set(expected)))


@given(STRINGS | st.text("ΟΔΣ aİ", min_size=1))
def test_characters_are_lowercased_one_by_one(text: str) -> None:
    tokens, preprocessing = read(text.encode(), lower=True)
    assert decode_tokens(tokens.tokens, preprocessing) == "".join(character.lower() for character in text)


@pytest.mark.parametrize(
    ("content", "encoding", "message"),
    [
        (b"it\x92s", None, r"x: line 1: byte 0x92 at offset 2 is not UTF-8; pass --encoding \(cp1252"),
        ("é".encode()[:1], None, "x: line 1: byte 0xc3 at offset 0 is not UTF-8"),
        (b"a" * 10 + b"\n\xff", None, "line 2: byte 0xff at offset 11 is"),
        (b"a\x81", "cp1252", r"byte 0x81 at offset 1 is not CP1252; pass --encoding \(latin-1"),
        (b"abc", "utf-16", "is not UTF-16"),
        (b"abc", "utf-99", "--encoding: unknown encoding 'utf-99'"),
        (b"abc", "rot13", "--encoding: unknown encoding 'rot13'"),
        (rb"\ud83d", "unicode_escape", r"x: contains U\+D83D, an unpaired surrogate"),
    ],
)
def test_bytes_that_cannot_be_decoded_are_an_error(content: bytes, encoding: str | None, message: str) -> None:
    with pytest.raises(InputError, match=message):
        source(content).read(CHARS, encoding)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_a_byte_order_mark_names_the_encoding(encoding: str) -> None:
    assert source("h\u00e9\n".encode(encoding)).read(CHARS, None) == "h\u00e9\n"


def test_a_folder_gives_its_texts_sorted_by_name(tmp_path: Path) -> None:
    for name in ("b.txt", "a.md", ".hidden.txt", "image.png", "more/c.TXT"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    assert [Path(found.name).name for found in find_text_sources([str(tmp_path)])] == ["a.md", "b.txt", "c.TXT"]


def test_sources_that_cannot_be_read_are_errors(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with (tmp_path / "sparse.txt").open("wb") as stream:
        stream.truncate(5_000_000_000)
    for names, message in (
        (["empty"], "contains no text files"),
        (["none.txt"], r"none\.txt: no such file"),
        (["-", "-"], "TEXT: - appears twice"),
        (["sparse.txt"], "TEXT: 5,000,000,000 bytes of text, more than the 2,147,483,648 that are read into memory"),
    ):
        with pytest.raises(InputError, match=message):
            find_text_sources([name if name == "-" else str(tmp_path / name) for name in names])


def test_the_fingerprint_depends_on_the_characters_their_order_and_the_bounds_of_texts() -> None:
    texts = (read(b"abab"), read(b"cdcd"), read(b"abba"), read(b"ab", b"ab"))
    assert len({text.fingerprint(preprocessing) for text, preprocessing in texts}) == 4


@given(st.lists(st.binary(max_size=40), min_size=1, max_size=4))
def test_bytes_are_their_own_tokens_and_shown_as_text_where_they_are_utf_8(contents: list[bytes]) -> None:
    text, preprocessing = read(*contents, unit="bytes")
    joined = b"".join(contents)
    assert (text.tokens.tobytes(), preprocessing.vocabulary) == (joined, 256)
    assert text.bounds == tuple(np.cumsum([0, *map(len, contents)]).tolist())
    decoded = decode_tokens(text.tokens, preprocessing)
    assert decoded.encode(errors="surrogateescape") == joined
    assert without_surrogates(decoded) == joined.decode(errors="replace")


@example(["ab", "cd", "ef"], 2, 2)
@given(st.lists(STRINGS, min_size=1, max_size=4), st.integers(0, 200), st.integers(0, 200))
def test_a_slice_keeps_the_bounds_of_texts(strings: list[str], start: int, length: int) -> None:
    text, _ = read(*(string.encode() for string in strings))
    start = min(start, len(text))
    stop = min(start + length, len(text))
    sliced = text.slice(start, stop)
    assert set(sliced.bounds[1:-1]) == {bound - start for bound in text.bounds if start < bound < stop}
    assert sliced.bounds[-1] == len(sliced) == stop - start
    assert len(sliced.names) == len(sliced.bounds) - 1


def test_larger_vocabularies_use_wider_tokens() -> None:
    for count, dtype in ((256, np.uint8), (257, np.uint16), (70_000, np.uint32)):
        codes = [code for code in range(32, 80_000) if not 0xD800 <= code < 0xE000][:count]
        text, preprocessing = read("".join(map(chr, codes)).encode())
        assert text.tokens.dtype == dtype
        assert text.tokens.tolist() == list(range(count))
        assert preprocessing.vocabulary == count


def test_characters_outside_the_vocabulary_are_an_error_or_are_skipped(capsys: pytest.CaptureFixture[str]) -> None:
    preprocessing = TextPreprocessing("chars", "abc")
    message = r"x: has characters that are not in the model's vocabulary: 'd' \(U\+0064\); .*skip"
    with pytest.raises(InputError, match=message):
        read_with_vocabulary([source(b"abcd")], preprocessing, None, on_unknown="error")
    text = read_with_vocabulary([source(b"adbdc")], preprocessing, None, on_unknown="skip")
    assert text.tokens.tolist() == [0, 1, 2]
    assert "x: skipped 2 characters" in capsys.readouterr().err


def test_strings_are_preprocessed_before_they_are_encoded() -> None:
    for preprocessing, string, tokens in (
        (BYTES, "é", [0xC3, 0xA9]),
        (TextPreprocessing("chars", "abc", lower=True), "ABC", [0, 1, 2]),
        (TextPreprocessing("chars", "\nab"), "a\r\nb\r", [1, 0, 2, 0]),
    ):
        assert Tokenizer(preprocessing).encode(string, "--prime").tolist() == tokens
