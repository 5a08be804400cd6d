"""The file format of models and checkpoints: safetensors, whose metadata holds JSON values and a SHA-256 of the rest.

The SHA-256 is compared before anything else in a file is interpreted. No pickle is written or read.
"""

import hashlib
import json
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor

from dlnotes_cli.data.paths import check_regular
from dlnotes_cli.shell import files
from dlnotes_cli.shell.codec import parse_object
from dlnotes_cli.shell.errors import InputError, unreadable
from dlnotes_cli.training.model_metadata import Metadata

FORMAT_VERSION = 1
CHECKPOINT_VERSION = 2  # of the names and values in checkpoints, which are files of this format
TYPICAL_HEADER_BYTES = 1 << 16
_LENGTH_BYTES = 8  # in front of the header
_START = b'{"__metadata__":{"dlnotes":"'  # of the header of every file of dlnotes
_START_BYTES = _LENGTH_BYTES + len(_START)
_LARGEST = 1 << 62  # bytes that a header may state
_NO_CHECKSUM = b"0" * 64  # written in place of the SHA-256 while it is computed
_STATED_CHECKSUM = re.compile(rb'\\"sha256\\": ?\\"([0-9a-f]{64})\\"')  # JSON inside a JSON string
_DTYPES = {
    torch.int64, torch.float64, torch.float32, torch.int32, torch.bfloat16, torch.float16, torch.int16, torch.int8,
    torch.uint8, torch.bool,
}  # fmt: skip


def write_tensors(
    path: Path, tensors: dict[str, Tensor], metadata: Metadata, check: Callable[[Path], object] = lambda _: None
) -> None:
    """Write tensors and metadata, which is extended by the format version and a SHA-256, to one file, atomically.

    `check` may refuse the complete temporary file by raising.
    """
    checksum = {"sha256": _NO_CHECKSUM.decode()}  # the first field, so that no other value is mistaken for it
    stored = json.dumps(checksum | {"format_version": FORMAT_VERSION} | metadata | checksum, allow_nan=False)
    own = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    uses = Counter(tensor.untyped_storage().data_ptr() for tensor in own.values())
    own = {  # safetensors refuses tensors that share their memory
        name: tensor.clone() if uses[tensor.untyped_storage().data_ptr()] > 1 else tensor
        for name, tensor in own.items()
    }
    content = memoryview(safetensors.torch.save(own, {"dlnotes": stored}))
    start = bytes(content[: _START_BYTES + len(stored)]).index(_NO_CHECKSUM)
    with files.atomic_stream(path, len(content), check) as stream:
        stream.write(content[:start])
        stream.write(hashlib.sha256(content).hexdigest().encode())
        stream.write(content[start + len(_NO_CHECKSUM) :])


def read_tensors(path: Path) -> tuple[dict[str, Tensor], Metadata]:
    """Read a file of `write_tensors`: tensors on the CPU, and metadata. Raises InputError, naming an invalid file."""
    check_regular(path)
    try:
        with path.open("rb") as stream:
            _check_start(path, stream.read(_START_BYTES))
            stream.seek(0)
            content = stream.read()
    except OSError as error:
        raise unreadable(path, error, "use the folder of a run, or its model.safetensors") from error
    _check_sha256(path, content)
    try:
        header = parse_object(str(_header(content), "utf-8"))
        metadata = parse_object(header["__metadata__"]["dlnotes"])
        tensors = safetensors.torch.load(content)
    except MemoryError:
        raise
    except Exception as error:  # what the library raises depends on the damage
        raise InputError(path, "is damaged: its header does not list its tensors", fix_for(path)) from error
    version = metadata.get("format_version")
    if version != FORMAT_VERSION or type(version) is not int:
        what = f"has format version {version!r:.20}; this dlnotes reads version {FORMAT_VERSION}"
        raise InputError(path, what, "upgrade dlnotes, or train the model again")
    for name, tensor in tensors.items():
        if tensor.dtype not in _DTYPES:
            raise InputError(path, f"is damaged: tensor {name} is of type {tensor.dtype}", fix_for(path))
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise InputError(path, f"tensor {name} has values that are not finite", fix_for(path))
    return tensors, metadata


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


def _header(content: bytes) -> memoryview:
    """The header of a file, without its length, which may be more than there is."""
    length = int.from_bytes(content[:_LENGTH_BYTES], "little")
    return memoryview(content)[_LENGTH_BYTES : _LENGTH_BYTES + length]


def _check_start(path: Path, start: bytes) -> None:
    """Raise InputError if this is not the start of a file of dlnotes; a start that is cut is."""
    header = start[_LENGTH_BYTES:]
    if not header or not _START.startswith(header):
        if path.suffix.lower() == ".onnx":
            raise InputError(path, "is an ONNX file, which this command cannot read", "use the model file")
        what = "is not a dlnotes model file" if start else "is empty"
        raise InputError(path, what, "use a model.safetensors that dlnotes trained")


def _check_sha256(path: Path, content: bytes) -> None:
    """Compare the stated SHA-256 with that of the file, in which zeros stand in its place. Raises InputError."""
    stated = _STATED_CHECKSUM.search(_header(content))
    if stated is not None:
        start, stop = (_LENGTH_BYTES + position for position in stated.span(1))
        digest = hashlib.sha256(memoryview(content)[:start])
        digest.update(_NO_CHECKSUM)
        digest.update(memoryview(content)[stop:])
        if digest.hexdigest().encode() == stated[1]:
            return
    expected, size = _stated_size(content), len(content)
    if expected != size:
        raise InputError(path, f"is damaged: {expected:,} bytes expected, {size:,} found", fix_for(path))
    raise InputError(path, "is damaged: checksum differs", fix_for(path))


def _stated_size(content: bytes) -> int:
    """The size of a file in bytes that its start states; its own size where that states none."""
    end = _LENGTH_BYTES + int.from_bytes(content[:_LENGTH_BYTES], "little")
    if end < _LARGEST and end > len(content):
        return end
    try:
        header = json.loads(bytes(_header(content)))
        stops = [entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"]
        return end + max(stop for stop in stops if 0 <= stop < _LARGEST and type(stop) is int)
    except (ValueError, LookupError, TypeError, RecursionError):
        return len(content)
