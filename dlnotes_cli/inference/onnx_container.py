"""The outermost level of an ONNX file, a protocol buffer: its metadata, and whether the file is whole.

A file that dlnotes wrote has JSON metadata with a SHA-256 of the whole file, in which zeros stand in its place. It is
compared before ONNX Runtime reads the graph, so that a damaged file is refused and never answers differently.
"""

import hashlib
import mmap
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from dlnotes_cli.data.paths import check_regular
from dlnotes_cli.shell.errors import InputError, unreadable

SUFFIX = ".onnx"
METADATA_KEY = "dlnotes"  # of our JSON among the metadata of a file
CHECKSUM_FIELD = "file_sha256"  # of that JSON
NO_CHECKSUM = "0" * 64  # written in place of the SHA-256 while it is computed
_STATED_CHECKSUM = re.compile(rb'"file_sha256": "([0-9a-f]{64})"')
_EXPORT_AGAIN = "export the model again, or use a copy of the file"
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5  # wire types of protocol buffers
_WIDTHS = {_FIXED64: 8, _FIXED32: 4}
_MAX_VARINT_BYTES = 10
_IR_VERSION, _GRAPH, _METADATA = 1, 7, 14  # fields of ModelProto in onnx.proto
_FIELDS = {1, 2, 3, 4, 5, 6, 7, 8, 14, 20, 25, 26}  # all of them
_KEY, _VALUE = 1, 2  # fields of StringStringEntryProto
_CHUNK = 1 << 20  # bytes that are hashed at a time


class _Field(NamedTuple):
    """One field of a message: its content is `start` to `stop` of the file."""

    number: int
    start: int
    stop: int


def read_metadata(path: Path) -> dict[str, str]:
    """The metadata of an ONNX file by key, after a check that the file is whole.

    Raises InputError for a file that cannot be read, is not an ONNX file, is cut short, or whose SHA-256 differs.
    """
    with _content(path) as content:
        fields = list(_fields(path, content, 0, len(content)))
        if not {_IR_VERSION, _GRAPH} <= {field.number for field in fields}:
            raise _not_onnx(path)
        entries = [_entry(path, content, field) for field in fields if field.number == _METADATA]
        values = {content[key.start : key.stop]: value for key, value in entries}
        ours = values.get(METADATA_KEY.encode())
        if ours is not None:
            _check_sha256(path, content, ours)
        try:
            return {key.decode(): content[value.start : value.stop].decode() for key, value in values.items()}
        except UnicodeDecodeError as error:
            raise _damaged(path) from error


def with_checksum(content: bytes) -> bytes:
    """A serialized model whose metadata states NO_CHECKSUM, with its SHA-256 in that place."""
    position = content.rindex(f'"{CHECKSUM_FIELD}": "{NO_CHECKSUM}"'.encode()) + len(CHECKSUM_FIELD) + len('"": "')
    digest = hashlib.sha256(content).hexdigest().encode()
    return content[:position] + digest + content[position + len(digest) :]


@contextmanager
def _content(path: Path) -> Iterator[Any]:
    """The bytes of a file, mapped into memory. Raises InputError if it cannot be read or is empty."""
    check_regular(path)
    try:
        with path.open("rb") as stream:
            if not path.stat().st_size:
                raise InputError(path, "is empty", _EXPORT_AGAIN)
            with mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as content:
                yield content
    except OSError as error:
        raise unreadable(path, error, "name the .onnx file of a model") from error


def _fields(path: Path, content: Any, start: int, stop: int) -> Iterator[_Field]:
    """The fields of a message. Raises InputError for bytes that are none, or that end in the middle of one."""
    position = start
    while position < stop:
        tag, position = _varint(path, content, position, stop)
        number, wire_type = tag >> 3, tag & 7
        if wire_type == _VARINT:
            end = _varint(path, content, position, stop)[1]
        elif wire_type == _BYTES:
            length, position = _varint(path, content, position, stop)
            end = position + length
        elif wire_type in _WIDTHS:
            end = position + _WIDTHS[wire_type]
        else:
            raise _not_onnx(path)
        if number not in _FIELDS:
            raise _not_onnx(path)
        if end > stop:
            raise InputError(path, f"is damaged: at least {end:,} bytes expected, {stop:,} found", _EXPORT_AGAIN)
        yield _Field(number, position, end)
        position = end


def _varint(path: Path, content: Any, position: int, stop: int) -> tuple[int, int]:
    """A number in base 128, lowest digit first, and the position after it."""
    value = 0
    for shift in range(_MAX_VARINT_BYTES):
        if position >= stop:
            raise _damaged(path)
        byte = content[position]
        value |= (byte & 0x7F) << 7 * shift
        position += 1
        if byte < 0x80:  # noqa: PLR2004  # the bit that says whether another byte follows
            return value, position
    raise _not_onnx(path)


def _entry(path: Path, content: Any, field: _Field) -> tuple[_Field, _Field]:
    """The key and the value of one entry of the metadata."""
    parts = {part.number: part for part in _fields(path, content, field.start, field.stop)}
    empty = _Field(0, field.stop, field.stop)
    return parts.get(_KEY, empty), parts.get(_VALUE, empty)


def _check_sha256(path: Path, content: Any, value: _Field) -> None:
    """Compare the SHA-256 in our metadata with that of the file. Raises InputError."""
    stated = _STATED_CHECKSUM.search(content, value.start, value.stop)
    if stated is None:
        raise _damaged(path)
    digest = hashlib.sha256()
    start, stop = stated.span(1)
    for first, last in ((0, start), (stop, len(content))):
        for position in range(first, last, _CHUNK):
            digest.update(content[position : min(position + _CHUNK, last)])
        if first == 0:
            digest.update(NO_CHECKSUM.encode())
    if digest.hexdigest().encode() != stated[1]:
        raise InputError(path, "is damaged: checksum differs", _EXPORT_AGAIN)


def _not_onnx(path: Path) -> InputError:
    return InputError(path, "is not an ONNX file", "name the .onnx file of a model")


def _damaged(path: Path) -> InputError:
    return InputError(path, "is damaged", _EXPORT_AGAIN)
