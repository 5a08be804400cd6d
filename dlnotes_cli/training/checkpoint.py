"""Model files: one safetensors file holds the weights and all metadata that is needed to use them, with a SHA-256.

A file is checked in this order: size, header, format version, registry name, SHA-256, finite values, then names and
shapes of the tensors against the network. No pickle is written or read, and nothing in a file names code.
"""

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import safetensors.torch
import torch
from torch import Tensor, nn

from dlnotes_cli.data.paths import check_regular
from dlnotes_cli.data.preprocessing import (
    Preprocessing,
    TextPreprocessing,
    preprocessing_from_json,
    text_preprocessing_from_json,
)
from dlnotes_cli.models.registry import CLASSIFIERS, LANGUAGE_MODELS, build_from_json
from dlnotes_cli.shell import files
from dlnotes_cli.shell.errors import InputError, unreadable

FORMAT_VERSION = 1
HEADER_BYTES = 1 << 16  # estimate of a header's size
_HEADER_CAP = 64 << 20
_KEY = "dlnotes"
_NO_CHECKSUM = "0" * 64
_CHECKSUM_FIELD = "sha256"

Metadata = dict[str, Any]  # of a file, as JSON values


@dataclass(frozen=True)
class TrainedModel:
    """A trained classifier with the metadata of its file."""

    path: Path
    network: nn.Module
    name: str
    classes: tuple[str, ...]
    preprocessing: Preprocessing
    metadata: Metadata


def write_tensors(path: Path, tensors: dict[str, Tensor], metadata: Metadata) -> None:
    """Write tensors and metadata to one file with its SHA-256, atomically."""
    checksum = {_CHECKSUM_FIELD: _NO_CHECKSUM}  # comes first, so that no other value is mistaken for it
    stored = checksum | {"format_version": FORMAT_VERSION} | metadata | checksum
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    content = bytearray(safetensors.torch.save(plain, {_KEY: json.dumps(stored, allow_nan=False)}))
    position = content.index(_NO_CHECKSUM.encode())
    content[position : position + len(_NO_CHECKSUM)] = hashlib.sha256(content).hexdigest().encode()
    files.atomic_write(path, bytes(content))


def read_tensors(path: Path) -> tuple[dict[str, Tensor], Metadata]:
    """Read a file of `write_tensors`. Raises InputError, naming the file, where it is invalid."""
    check_regular(path)
    try:
        with path.open("rb") as stream:
            size = os.fstat(stream.fileno()).st_size
            content = _read_start(stream)
            header, metadata = _read_header(path, content, size)
            _check_version(path, metadata)
            _check_size(path, content, size, header)
            stream.seek(0)
            content = stream.read()
    except OSError as error:
        fix = "give the folder of a run, or its model.safetensors"
        raise unreadable(path, error, fix) from error
    _check_sha256(path, content, str(metadata.get(_CHECKSUM_FIELD, "")))
    try:
        tensors: dict[str, Tensor] = safetensors.torch.load(content)
    except (safetensors.SafetensorError, KeyError, ValueError) as error:
        raise InputError(path, f"is damaged ({error})", _fix_for(path)) from error
    _check_finite(path, tensors)
    return tensors, metadata


@dataclass(frozen=True)
class LanguageModel:
    """A trained character model with the metadata of its file."""

    path: Path
    network: nn.Module
    preprocessing: TextPreprocessing
    metadata: Metadata


def load_classifier(path: str | Path) -> TrainedModel:
    """Load a trained classifier, in evaluation mode, on the CPU.

    A run folder stands for its model.safetensors. Raises InputError as `read_tensors` does, and for a network of
    another kind, a tensor that is missing or has another shape, and incomplete metadata.
    """
    path, network, metadata = _load_network(files.user_path(path), CLASSIFIERS)
    with _valid_metadata(path):
        classes = tuple(str(entry) for entry in metadata["classes"])
        return TrainedModel(
            path, network, str(metadata["model"]), classes, preprocessing_from_json(metadata["format"]), metadata
        )


def load_language_model(path: str | Path) -> LanguageModel:
    """Load a trained language model, as `load_classifier` does a classifier."""
    path, network, metadata = _load_network(files.user_path(path), LANGUAGE_MODELS)
    with _valid_metadata(path):
        preprocessing = text_preprocessing_from_json(metadata["format"])
        if preprocessing.vocabulary != metadata["configuration"]["vocabulary"]:
            raise ValueError("vocabulary")
        return LanguageModel(path, network, preprocessing, metadata)


def _load_network(path: Path, needs: tuple[str, ...]) -> tuple[Path, nn.Module, Metadata]:
    path = path / "model.safetensors" if path.is_dir() else path
    tensors, metadata = read_tensors(path)
    if metadata.get("kind") == "run state":
        raise InputError(
            path, "is the checkpoint of a run, not its model", f"use {path.with_name('model.safetensors')}"
        )
    name = str(metadata.get("model"))
    if name not in needs:
        needed = " or ".join([", ".join(needs[:-1]), needs[-1]]) if len(needs) > 1 else needs[0]
        raise InputError(path, f"holds a model of kind {name}, this command needs {needed}", "give another model file")
    with _valid_metadata(path):
        network = build_from_json(name, metadata["configuration"])
    load_weights(path, network, tensors)
    return path, network.eval(), metadata


@contextmanager
def _valid_metadata(path: Path) -> Iterator[None]:
    """Report invalid metadata as an InputError."""
    try:
        yield
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(path, f"its metadata is invalid ({error!r})", "train the model again") from error


def load_weights(path: Path, network: nn.Module, tensors: dict[str, Tensor], *, assign: bool = True) -> None:
    """Load `tensors` into a network with exactly these names and shapes; otherwise raise InputError naming the first.

    With `assign` they become the network's own, which may be on the meta device; without it they are copied.
    """
    expected = network.state_dict()
    for name in sorted(set(expected) | set(tensors)):
        have, need = (str(tuple(t[name].shape)) if name in t else "none" for t in (tensors, expected))
        if have != need:
            what = f"tensor {name}: shape {have} in the file, {need} in the network"
            raise InputError(path, what, "train the model again")
    expected.update(tensors)  # a state dict also holds version numbers that some torchvision layers need
    network.load_state_dict(expected, strict=True, assign=assign)


def _read_start(stream: IO[bytes]) -> bytes:
    """The length of the header and the header, as far as the file has them."""
    length = stream.read(8)
    return length + stream.read(min(int.from_bytes(length, "little"), _HEADER_CAP))


def _read_header(path: Path, content: bytes, size: int) -> tuple[dict[str, Any], Metadata]:
    length = int.from_bytes(content[:8], "little")
    if 0 < size - 8 < length <= _HEADER_CAP and content[8:10] == b'{"':
        raise _cut_short(path, length + 8, size)
    try:
        header = json.loads(content[8:])
        return header, dict(json.loads(header["__metadata__"][_KEY]))
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        what = "is empty" if not content else "is not a dlnotes model file"
        raise InputError(path, what, "give a model.safetensors that dlnotes trained") from error


def _check_version(path: Path, metadata: Metadata) -> None:
    version = metadata.get("format_version")
    if version != FORMAT_VERSION:
        what = f"has format version {version}; this dlnotes reads version {FORMAT_VERSION}"
        raise InputError(path, what, "upgrade dlnotes, or train the model again")


def _check_size(path: Path, content: bytes, size: int, header: dict[str, Any]) -> None:
    tensors = [entry for name, entry in header.items() if name != "__metadata__"]
    try:
        end = max((entry["data_offsets"][1] for entry in tensors), default=0)
        expected = 8 + int.from_bytes(content[:8], "little") + int(end)
    except (KeyError, TypeError, IndexError, ValueError) as error:
        raise InputError(path, "is damaged (its table of tensors)", _fix_for(path)) from error
    if expected != size:
        raise _cut_short(path, expected, size)


def _check_sha256(path: Path, content: bytes, stated: str) -> None:
    position = content.find(stated.encode()) if len(stated) == len(_NO_CHECKSUM) else -1
    digest = hashlib.sha256()
    if position >= 0:
        digest.update(content[:position])
        digest.update(_NO_CHECKSUM.encode())
        digest.update(memoryview(content)[position + len(stated) :])
    if position < 0 or digest.hexdigest() != stated:
        raise InputError(path, "is damaged: checksum differs", _fix_for(path))


def _check_finite(path: Path, tensors: dict[str, Tensor]) -> None:
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise InputError(path, f"tensor {name} has values that are not finite", _fix_for(path))


def _cut_short(path: Path, expected: int, found: int) -> InputError:
    return InputError(path, f"is damaged: {expected:,} bytes expected, {found:,} found", _fix_for(path))


def _fix_for(path: Path) -> str:
    other = path.with_name("model.safetensors" if path.name == "last.safetensors" else "last.safetensors")
    if not other.is_file():
        return "use a copy of it, or train again"
    if other.name == "model.safetensors":
        return f"use {other}, the best model so far, or train again with --overwrite"
    return f"restore it from {other.name} with --resume {path.parent}"
