"""Text sources: which files are found, and how bytes are decoded whatever the chunk size."""

import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlnotes_cli.data.preprocessing import TextPreprocessing
from dlnotes_cli.data.texts import files as module
from dlnotes_cli.data.texts.files import TextSource, find_text_sources, python_help, read_code_points
from dlnotes_cli.shell.errors import InputError

CHARS = TextPreprocessing("chars")
STRINGS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=60)


def read(content: bytes, preprocessing: TextPreprocessing, encoding: str | None = None, *, chunk: int = 1 << 20) -> str:
    """The characters of `content`, read `chunk` bytes at a time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_CHUNK", chunk)
        arrays = list(read_code_points(TextSource("x", None, content), preprocessing, encoding))
    return "".join(map(chr, np.concatenate(arrays).tolist() if arrays else []))


@given(
    STRINGS, st.integers(1, 7), st.sampled_from(["translate", "keep"]), st.sampled_from(["utf-8", "utf-16", "utf-32"])
)
def test_text_is_decoded_as_python_does_for_every_chunk_size(
    text: str, chunk: int, newline: str, encoding: str
) -> None:
    content = text.encode(encoding)
    preprocessing = TextPreprocessing("chars", newline=newline)  # type: ignore[arg-type]
    expected = io.TextIOWrapper(io.BytesIO(content), encoding, newline=None if newline == "translate" else "").read()
    if newline == "translate":
        expected = expected.removeprefix("\ufeff")
    assert read(content, preprocessing, encoding, chunk=chunk) == expected


@given(STRINGS | st.text("ΟΔΣ aİ", min_size=1), st.integers(1, 7))
def test_characters_are_lowercased_one_by_one(text: str, chunk: int) -> None:
    preprocessing = TextPreprocessing("chars", lower=True, newline="keep")
    assert read(text.encode(), preprocessing, chunk=chunk) == "".join(character.lower() for character in text)


def test_a_file_that_fails_while_it_is_read_is_named() -> None:
    path = Path("/proc/self/mem")
    if not path.exists():
        pytest.skip("no such file on this system")
    with pytest.raises(InputError, match="/proc/self/mem: cannot be read"):
        list(TextSource("mem", path).chunks())


@pytest.mark.parametrize("chunk", [1, 3, 1 << 20])
@pytest.mark.parametrize(
    ("content", "encoding", "message"),
    [
        (b"it\x92s", None, r"x: byte 0x92 at offset 2 is not valid utf-8; pass --encoding \(cp1252"),
        ("é".encode()[:1], None, "x: byte 0xc3 at offset 0 is not valid utf-8"),
        (b"a" * 10 + b"\xff", None, "offset 10 is"),
        (b"abc", "utf-16", "is not valid utf-16"),
        (b"abc", "utf-99", "--encoding: unknown encoding 'utf-99'"),
        (b"abc", "rot13", "--encoding: 'rot13' does not decode bytes to text"),
        (b"abc", "zlib", "--encoding: 'zlib' does not decode bytes to text"),
    ],
)
def test_bytes_that_cannot_be_decoded_are_an_error(
    content: bytes, encoding: str | None, message: str, chunk: int
) -> None:
    with pytest.raises(InputError, match=message):
        read(content, CHARS, encoding, chunk=chunk)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("chunk", [1, 3, 1 << 20])
def test_a_byte_order_mark_names_the_encoding(encoding: str, chunk: int) -> None:
    assert read("h\u00e9\n".encode(encoding), CHARS, chunk=chunk) == "h\u00e9\n"


def test_a_folder_gives_its_texts_sorted_by_name(tmp_path: Path) -> None:
    for name in ("b.txt", "a.md", ".hidden.txt", "image.png", "more/c.TXT"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    assert [Path(source.name).name for source in find_text_sources([str(tmp_path)])] == ["a.md", "b.txt", "c.TXT"]


def test_a_folder_without_texts_a_missing_file_and_a_second_dash_are_errors(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="contains no text files"):
        find_text_sources([str(tmp_path)])
    with pytest.raises(InputError, match=r"none\.txt: no such file"):
        find_text_sources([str(tmp_path / "none.txt")])
    with pytest.raises(InputError, match="TEXT: - appears twice"):
        find_text_sources(["-", "-"])


def test_the_help_of_python_is_english_text() -> None:
    text = read(python_help().content, CHARS)
    assert len(text) > 300_000
    assert set("etaoin \n") <= set(text)


def test_texts_beyond_the_memory_limit_are_refused(tmp_path: Path) -> None:
    with (tmp_path / "sparse.txt").open("wb") as stream:
        stream.truncate(5_000_000_000)
    what = "TEXT: 5,000,000,000 bytes of text, more than the 2,147,483,648 that are read into memory; name a shorter"
    with pytest.raises(InputError, match=what):
        find_text_sources([str(tmp_path)])
