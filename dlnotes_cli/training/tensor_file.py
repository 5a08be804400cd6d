"""The file format of models and checkpoints: safetensors, whose metadata holds JSON values and a SHA-256 of the rest.

The SHA-256 is compared before anything else in a file is interpreted. No pickle is written or read. Files are written
and read one tensor at a time, so that no second copy of their content is in memory.
"""

import hashlib
import json
import math
import os
import re
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import IO, Any, NamedTuple

import torch
from torch import Tensor

from dlnotes_cli.data.paths import check_regular
from dlnotes_cli.shell import files
from dlnotes_cli.shell.errors import InputError, unreadable
from dlnotes_cli.training.model_metadata import Metadata
from dlnotes_cli.training.stored_values import parse_object

FORMAT_VERSION = 1
CHECKPOINT_VERSION = 2  # of the names and values in checkpoints, which are files of this format
TYPICAL_HEADER_BYTES = 1 << 16
_MAX_HEADER_BYTES = 64 << 20
_MAX_TENSORS = 1 << 16
_MAX_DIMENSIONS = 16
_MAX_VALUES = 1 << 48  # of a tensor
_LENGTH_BYTES = 8  # in front of the header
_CHUNK = 1 << 20  # bytes that are read for the SHA-256 at a time
_METADATA_KEY = "dlnotes"  # in the header's `__metadata__`
_CHECKSUM_FIELD = "sha256"
_NO_CHECKSUM = b"0" * 64  # written in place of the SHA-256 while it is computed
_STATED_CHECKSUM = re.compile(rb'\\"sha256\\": \\"([0-9a-f]{64})\\"')  # JSON inside a JSON string
_DTYPES = {  # in the order in which safetensors stores them: no tensor is misaligned
    "I64": torch.int64, "F64": torch.float64, "F32": torch.float32, "I32": torch.int32, "BF16": torch.bfloat16,
    "F16": torch.float16, "I16": torch.int16, "I8": torch.int8, "U8": torch.uint8, "BOOL": torch.bool,
}  # fmt: skip
_DTYPE_NAMES = {dtype: name for name, dtype in _DTYPES.items()}
_ORDER = {dtype: position for position, dtype in enumerate(_DTYPES.values())}


class _Entry(NamedTuple):
    """One tensor in a header: its offsets are in bytes after the header."""

    name: str
    dtype: torch.dtype
    shape: tuple[int, ...]
    start: int
    stop: int


def write_tensors(
    path: Path, tensors: dict[str, Tensor], metadata: Metadata, check: Callable[[Path], object] = lambda _: None
) -> None:
    """Write tensors and metadata, which is extended by the format version and a SHA-256, to one file, atomically.

    `check` may refuse the complete temporary file by raising.
    """
    checksum = {_CHECKSUM_FIELD: _NO_CHECKSUM.decode()}  # the first field, so that no other value is mistaken for it
    stored = checksum | {"format_version": FORMAT_VERSION} | metadata | checksum
    ordered = sorted(tensors.items(), key=lambda item: (_ORDER[item[1].dtype], item[0].encode()))
    header = _header(ordered, stored)
    digest = hashlib.sha256(header)
    needed = len(header) + sum(tensor.nbytes for tensor in tensors.values())
    with files.atomic_stream(path, needed, check) as stream:
        stream.write(header)
        for _, tensor in ordered:
            content = _bytes_of(tensor.detach().cpu().contiguous())
            digest.update(content)
            stream.write(content)
        stream.seek(header.index(_NO_CHECKSUM))
        stream.write(digest.hexdigest().encode())


def read_tensors(path: Path) -> tuple[dict[str, Tensor], Metadata]:
    """Read a file of `write_tensors`: tensors on the CPU, and metadata. Raises InputError, naming an invalid file."""
    check_regular(path)
    try:
        with path.open("rb") as stream:
            size = os.fstat(stream.fileno()).st_size
            start = _read_start(path, stream, size)
            _check_sha256(path, stream, start, size)
            entries, metadata = _parse(path, start, size)
            stream.seek(len(start))
            return {entry.name: _read_tensor(path, stream, entry) for entry in entries}, metadata
    except OSError as error:
        fix = "use the folder of a run, or its model.safetensors"
        raise unreadable(path, error, fix) from error


def read_checkpoint(path: Path) -> tuple[dict[str, Tensor], Metadata]:
    """Read a checkpoint as `read_tensors` does. Raises InputError too for a checkpoint of another version."""
    tensors, metadata = read_tensors(path)
    version = metadata.get("checkpoint_version", 1)
    if version != CHECKPOINT_VERSION:
        what = f"is a checkpoint of format version {version!r:.20}; this dlnotes reads version {CHECKPOINT_VERSION}"
        raise InputError(path, what, "start a new run in another --out")
    return tensors, metadata


def fix_for(path: Path) -> str:
    """How to replace a damaged file: by the other one of its run, if it exists."""
    other = path.with_name("model.safetensors" if path.name == "last.safetensors" else "last.safetensors")
    if not other.is_file():
        return "use a copy of it, or train again"
    if other.name == "model.safetensors":
        return f"use {other}, the best model so far, or train again with --overwrite"
    return f"restore it from {other.name} with --resume {path.parent}"


def _header(ordered: list[tuple[str, Tensor]], metadata: Metadata) -> bytes:
    """The length of the header and the header, byte for byte as the safetensors library writes them."""
    header: dict[str, Any] = {"__metadata__": {_METADATA_KEY: json.dumps(metadata, allow_nan=False)}}
    end = 0
    for name, tensor in ordered:
        start, end = end, end + tensor.nbytes
        header[name] = {"dtype": _DTYPE_NAMES[tensor.dtype], "shape": [*tensor.shape], "data_offsets": [start, end]}
    content = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    content += b" " * (-len(content) % _LENGTH_BYTES)
    return len(content).to_bytes(_LENGTH_BYTES, "little") + content


def _read_start(path: Path, stream: IO[bytes], size: int) -> bytes:
    """The length of the header, and the header. Raises InputError if this is not the start of a file of dlnotes."""
    start = stream.read(_LENGTH_BYTES)
    length = int.from_bytes(start, "little")
    start += stream.read(min(length, _MAX_HEADER_BYTES))
    is_json = start[_LENGTH_BYTES : _LENGTH_BYTES + 2] == b'{"'
    if is_json and len(start) < _LENGTH_BYTES + length <= _LENGTH_BYTES + _MAX_HEADER_BYTES:
        raise _wrong_size(path, _LENGTH_BYTES + length, size)
    if not is_json or length > _MAX_HEADER_BYTES or _METADATA_KEY.encode() not in start[:_CHUNK]:
        if path.suffix.lower() == ".onnx":
            raise InputError(path, "is an ONNX file, which this command cannot read", "use the model file")
        what = "is not a dlnotes model file" if start else "is empty"
        raise InputError(path, what, "use a model.safetensors that dlnotes trained")
    return start


def _check_sha256(path: Path, stream: IO[bytes], start: bytes, size: int) -> None:
    """Compare the stated SHA-256 with that of the file, in which zeros stand in its place. Raises InputError."""
    stated = _STATED_CHECKSUM.search(start)
    if stated is not None:
        digest = hashlib.sha256(start[: stated.start(1)] + _NO_CHECKSUM + start[stated.end(1) :])
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
        if digest.hexdigest().encode() == stated[1]:
            return
    try:
        entries, _ = _parse_header(start)
    except (ValueError, RecursionError):
        entries = []
    expected = len(start) + entries[-1].stop if entries else size
    raise (
        InputError(path, "is damaged: checksum differs", fix_for(path))
        if expected == size
        else _wrong_size(path, expected, size)
    )


def _parse(path: Path, start: bytes, size: int) -> tuple[list[_Entry], Metadata]:
    """The tensors and the metadata in a header. Raises InputError."""
    try:
        entries, metadata = _parse_header(start)
    except (ValueError, RecursionError) as error:
        raise InputError(path, "is damaged: its header does not list its tensors", fix_for(path)) from error
    version = metadata.get("format_version")
    if version != FORMAT_VERSION or type(version) is not int:
        what = f"has format version {version!r:.20}; this dlnotes reads version {FORMAT_VERSION}"
        raise InputError(path, what, "upgrade dlnotes, or train the model again")
    expected = len(start) + (entries[-1].stop if entries else 0)
    if expected != size:
        raise _wrong_size(path, expected, size)
    return entries, metadata


def _parse_header(start: bytes) -> tuple[list[_Entry], Metadata]:
    """The tensors, in the order of their bytes, and the metadata. Raises ValueError or RecursionError."""
    header = parse_object(str(start[_LENGTH_BYTES:], "utf-8"))
    library_metadata = header.pop("__metadata__", None)
    if not isinstance(library_metadata, dict) or not isinstance(library_metadata.get(_METADATA_KEY), str):
        raise ValueError("metadata")  # noqa: TRY004  # callers expect one type
    if len(header) > _MAX_TENSORS:
        raise ValueError("number of tensors")
    entries = sorted((_entry(name, stored) for name, stored in header.items()), key=lambda entry: entry[-2:])
    if (entries and entries[0].start != 0) or any(one.stop != other.start for one, other in pairwise(entries)):
        raise ValueError("gap or overlap between tensors")
    return entries, parse_object(library_metadata[_METADATA_KEY])


def _entry(name: str, stored: Any) -> _Entry:
    """One tensor of a header, from its JSON value. Raises ValueError."""
    if not isinstance(stored, dict) or stored.keys() != {"dtype", "shape", "data_offsets"}:
        raise ValueError(name)
    dtype_name, shape, offsets = stored["dtype"], stored["shape"], stored["data_offsets"]
    if not isinstance(dtype_name, str) or dtype_name not in _DTYPES or not _are_sizes(shape) or not _are_sizes(offsets):
        raise ValueError(name)
    if math.prod(max(size, 1) for size in shape) > _MAX_VALUES or len(offsets) != 2:  # noqa: PLR2004  # start, stop
        raise ValueError(name)
    dtype, (start, stop) = _DTYPES[dtype_name], offsets
    if stop - start != math.prod(shape) * dtype.itemsize:
        raise ValueError(name)
    return _Entry(name, dtype, tuple(shape), start, stop)


def _are_sizes(values: Any) -> bool:
    return (
        isinstance(values, list)
        and len(values) <= _MAX_DIMENSIONS
        and all(type(value) is int and 0 <= value <= _MAX_VALUES for value in values)
    )


def _read_tensor(path: Path, stream: IO[bytes], entry: _Entry) -> Tensor:
    """The next tensor of a file. Raises InputError if the file ends in it, or for values that are not finite."""
    tensor = torch.empty(entry.shape, dtype=entry.dtype, device="cpu")
    if stream.readinto(_bytes_of(tensor)) != tensor.nbytes:  # type: ignore[attr-defined]  # binary files have it
        raise InputError(path, "is damaged: it became shorter while it was read", fix_for(path))
    if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
        raise InputError(path, f"tensor {entry.name} has values that are not finite", fix_for(path))
    return tensor


def _bytes_of(tensor: Tensor) -> memoryview:
    """The bytes of a contiguous tensor on the CPU, without a copy."""
    return tensor.reshape(-1).view(torch.uint8).numpy().data


def _wrong_size(path: Path, expected: int, actual: int) -> InputError:
    return InputError(path, f"is damaged: {expected:,} bytes expected, {actual:,} found", fix_for(path))
