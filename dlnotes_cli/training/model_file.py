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
from dlnotes_cli.device import Runtime, choose_runtime
from dlnotes_cli.models.registry import CLASSIFIERS, LANGUAGE_MODELS, build_from_json
from dlnotes_cli.shell import files
from dlnotes_cli.shell.errors import InputError, unreadable
from dlnotes_cli.shell.option_groups import DeviceOptions

FORMAT_VERSION = 1
TYPICAL_HEADER_BYTES = 1 << 16
_MAX_HEADER_BYTES = 64 << 20
_METADATA_KEY = "dlnotes"  # in the header's `__metadata__`
_NO_CHECKSUM = "0" * 64  # written in place of the SHA-256 while it is computed
_CHECKSUM_FIELD = "sha256"

Metadata = dict[str, Any]  # JSON values


@dataclass(frozen=True)
class TrainedModel:
    """A trained classifier and the metadata of its file."""

    path: Path
    network: nn.Module
    name: str  # in the registry
    classes: tuple[str, ...]
    preprocessing: Preprocessing
    metadata: Metadata


@dataclass(frozen=True)
class LanguageModel:
    """A trained character-level language model and the metadata of its file."""

    path: Path
    network: nn.Module
    preprocessing: TextPreprocessing
    metadata: Metadata


def write_tensors(path: Path, tensors: dict[str, Tensor], metadata: Metadata) -> None:
    """Write tensors and metadata, which is extended by the format version and a SHA-256, to one file, atomically."""
    checksum = {_CHECKSUM_FIELD: _NO_CHECKSUM}  # the first field, so that no other value is mistaken for it
    stored = checksum | {"format_version": FORMAT_VERSION} | metadata | checksum
    on_cpu = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    content = bytearray(safetensors.torch.save(on_cpu, {_METADATA_KEY: json.dumps(stored, allow_nan=False)}))
    position = content.index(_NO_CHECKSUM.encode())
    content[position : position + len(_NO_CHECKSUM)] = hashlib.sha256(content).hexdigest().encode()
    files.atomic_write(path, bytes(content))


def read_tensors(path: Path) -> tuple[dict[str, Tensor], Metadata]:
    """Read a file of `write_tensors`: tensors on the CPU, and metadata. Raises InputError, naming an invalid file."""
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
        fix = "use the folder of a run, or its model.safetensors"
        raise unreadable(path, error, fix) from error
    _check_sha256(path, content, str(metadata.get(_CHECKSUM_FIELD, "")))
    try:
        tensors: dict[str, Tensor] = safetensors.torch.load(content)
    except (safetensors.SafetensorError, KeyError, ValueError) as error:
        raise InputError(path, f"is damaged ({error})", _fix_for(path)) from error
    _check_finite(path, tensors)
    return tensors, metadata


def load_classifier(path: str | Path) -> TrainedModel:
    """Load a trained classifier, in evaluation mode, on the CPU.

    A run folder stands for its model.safetensors. Raises InputError as `read_tensors` does, and for a network that is
    not a classifier, a tensor that is missing or has another shape, and incomplete metadata.
    """
    path, network, metadata = _load_network(files.user_path(path), CLASSIFIERS)
    with _metadata_errors(path):
        classes = tuple(str(name) for name in metadata["classes"])
        return TrainedModel(
            path, network, str(metadata["model"]), classes, preprocessing_from_json(metadata["format"]), metadata
        )


def load_language_model(path: str | Path) -> LanguageModel:
    """Load a trained language model, in evaluation mode, on the CPU. Raises InputError as `load_classifier` does."""
    path, network, metadata = _load_network(files.user_path(path), LANGUAGE_MODELS)
    with _metadata_errors(path):
        preprocessing = text_preprocessing_from_json(metadata["format"])
        if preprocessing.vocabulary != metadata["configuration"]["vocabulary"]:
            raise ValueError("vocabulary")
        return LanguageModel(path, network, preprocessing, metadata)


def runtime_for_model(metadata: Metadata, options: DeviceOptions) -> Runtime:
    """Device, precision and threads for a trained model.

    `--precision auto` is the precision of its training, so that the same samples get the same predictions.
    """
    was_bf16 = metadata.get("precision") == "bf16"
    return choose_runtime(options.device, options.precision, options.threads, bf16_pays=was_bf16)


def _load_network(path: Path, accepted: tuple[str, ...]) -> tuple[Path, nn.Module, Metadata]:
    """The file, the network and the metadata of a model, one of the `accepted` names of the registry."""
    path = path / "model.safetensors" if path.is_dir() else path
    tensors, metadata = read_tensors(path)
    if metadata.get("kind") == "run state":
        raise InputError(
            path, "is the checkpoint of a run, not its model", f"use {path.with_name('model.safetensors')}"
        )
    name = str(metadata.get("model"))
    if name not in accepted:
        needed = " or ".join([", ".join(accepted[:-1]), accepted[-1]]) if len(accepted) > 1 else accepted[0]
        raise InputError(path, f"holds a model of kind {name}, this command needs {needed}", "use another model file")
    with _metadata_errors(path):
        network = build_from_json(name, metadata["configuration"])
    load_weights(path, network, tensors)
    return path, network.eval(), metadata


@contextmanager
def _metadata_errors(path: Path) -> Iterator[None]:
    """Raise the errors of missing and malformed metadata as InputError."""
    try:
        yield
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(path, f"its metadata is invalid ({error!r})", "train the model again") from error


def load_weights(path: Path, network: nn.Module, tensors: dict[str, Tensor], *, assign: bool = True) -> None:
    """Load the tensors of a file into a network. Raises InputError naming the first name or shape that differs.

    With `assign` the tensors replace the network's own, which may be on the meta device; without it they are copied.
    """
    state = network.state_dict()
    for name in sorted(set(state) | set(tensors)):
        in_file, in_network = (str(tuple(t[name].shape)) if name in t else "none" for t in (tensors, state))
        if in_file != in_network:
            what = f"tensor {name}: shape {in_file} in the file, {in_network} in the network"
            raise InputError(path, what, "train the model again")
    state.update(tensors)  # a state dict also holds version numbers that some torchvision layers need
    network.load_state_dict(state, strict=True, assign=assign)


def _read_start(stream: IO[bytes]) -> bytes:
    """The length of the header (8 bytes) and the header; fewer bytes where the file is cut."""
    length = stream.read(8)
    return length + stream.read(min(int.from_bytes(length, "little"), _MAX_HEADER_BYTES))


def _read_header(path: Path, content: bytes, size: int) -> tuple[dict[str, Any], Metadata]:
    """The header of a safetensors file and the metadata in it."""
    length = int.from_bytes(content[:8], "little")
    if 0 < size - 8 < length <= _MAX_HEADER_BYTES and content[8:10] == b'{"':
        raise _wrong_size(path, length + 8, size)
    try:
        header = json.loads(content[8:])
        return header, dict(json.loads(header["__metadata__"][_METADATA_KEY]))
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        what = "is empty" if not content else "is not a dlnotes model file"
        raise InputError(path, what, "use a model.safetensors that dlnotes trained") from error


def _check_version(path: Path, metadata: Metadata) -> None:
    version = metadata.get("format_version")
    if version != FORMAT_VERSION:
        what = f"has format version {version}; this dlnotes reads version {FORMAT_VERSION}"
        raise InputError(path, what, "upgrade dlnotes, or train the model again")


def _check_size(path: Path, content: bytes, size: int, header: dict[str, Any]) -> None:
    """Compare the size of a file with the end of the last tensor in its header."""
    tensors = [entry for name, entry in header.items() if name != "__metadata__"]
    try:
        end = max((entry["data_offsets"][1] for entry in tensors), default=0)
        expected = 8 + int.from_bytes(content[:8], "little") + int(end)
    except (KeyError, TypeError, IndexError, ValueError) as error:
        raise InputError(path, "is damaged: its header does not list its tensors", _fix_for(path)) from error
    if expected != size:
        raise _wrong_size(path, expected, size)


def _check_sha256(path: Path, content: bytes, stated: str) -> None:
    """Compare the stated SHA-256 with that of the content, in which zeros stand in its place."""
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


def _wrong_size(path: Path, expected: int, actual: int) -> InputError:
    return InputError(path, f"is damaged: {expected:,} bytes expected, {actual:,} found", _fix_for(path))


def _fix_for(path: Path) -> str:
    """How to replace a damaged file: by the other one of its run, if it exists."""
    other = path.with_name("model.safetensors" if path.name == "last.safetensors" else "last.safetensors")
    if not other.is_file():
        return "use a copy of it, or train again"
    if other.name == "model.safetensors":
        return f"use {other}, the best model so far, or train again with --overwrite"
    return f"restore it from {other.name} with --resume {path.parent}"
