"""ONNX files: whole or refused, run by ONNX Runtime on the CPU, and the language models in them, all without torch.

The metadata of an exported file states the SHA-256 of the file, in which zeros stand in its place. It is compared
before ONNX Runtime reads the graph, so that a damaged file is refused and never answers differently. Several marks say
that dlnotes wrote a file: damage to one of them does not make it a file of another program, which has no checksum.
"""

import hashlib
import mmap
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dlnotes_cli.data.paths import check_regular
from dlnotes_cli.data.preprocessing import TextPreprocessing, preprocessing_from_json
from dlnotes_cli.shell import files
from dlnotes_cli.shell.codec import parse_object
from dlnotes_cli.shell.errors import InputError, import_extra, unreadable
from dlnotes_cli.shell.option_groups import OnDevice
from dlnotes_cli.training.model_metadata import Metadata, metadata_errors

EXPORT_VERSION = 1  # of the metadata that dlnotes writes into exported files
METADATA_KEY = "dlnotes"  # of our JSON among the metadata of a file; also the names of graph and producer
NO_CHECKSUM = {"file_sha256": "0" * 64}  # in that JSON, while the SHA-256 is computed
DTYPES = {"float32": "fp32", "float16": "fp16"}  # of exported weights, and the precision that each is
EXPORT_AGAIN = "export the model again, or use a copy of the file"
_STATED_CHECKSUM = re.compile(rb'"file_sha256": "([0-9a-f]{64})"')
_MARKS = (b"\x07dlnotes", b'"exported_by": "dlnotes', b'"model_sha256": "', b'"file_sha256": "')  # \x07: seven letters
_SILENT = 4  # severity from which ONNX Runtime logs: fatal errors, as it raises the others
_MOST_SHOWN = 160  # characters of a message of ONNX Runtime
_NO_CAUSE = re.compile(r"\[ONNXRuntimeError\] : \d+ : \w+ : (Load model from .*? failed: ?)?(Fatal error: )?")
_REFUSALS = (  # marks in messages of ONNX Runtime, what is wrong, in which {} is the message, and how to fix it
    (
        ("Protobuf parsing failed", "does not have a graph", "Missing model IR version", "must have opset"),
        "is damaged, or is not an ONNX file",
        "name the .onnx file of a model, or export it again",
    ),
    (
        ("external data", "External data", "external_data", "cannot get file size"),
        "its weights are in another file, which is missing or cannot be read",
        "put the data file of the model next to it, under the name that it had when the model was saved",
    ),
    (
        ("is not a registered function/op", "No opset import for domain", "Could not find an implementation"),
        "has an operator that ONNX Runtime does not know ({})",
        "export it with standard operators, or upgrade onnxruntime",
    ),
    (("",), "ONNX Runtime does not accept it ({})", EXPORT_AGAIN),
)

States = tuple[NDArray[np.float32], ...]  # h (layers, N, hidden), and for an LSTM c of the same shape


@dataclass(frozen=True)
class TensorType:
    """An input or output of a graph: its name, element type and shape, in which a dynamic size is None."""

    name: str
    dtype: str  # as ONNX writes it: "uint8"
    shape: tuple[int | None, ...]

    def __str__(self) -> str:
        return f"{self.name} {self.dtype} {' x '.join('N' if size is None else str(size) for size in self.shape)}"


@dataclass(frozen=True)
class OnnxGraph:
    """A graph that ONNX Runtime runs, and the metadata of its file by key."""

    path: Path
    is_ours: bool  # whether dlnotes wrote the file, and its checksum is right
    inputs: tuple[TensorType, ...]
    outputs: tuple[TensorType, ...]
    metadata: Mapping[str, str]
    threads: int
    session: Any  # onnxruntime.InferenceSession

    def run(self, *values: NDArray[Any]) -> tuple[NDArray[Any], ...]:
        """The outputs for the values of the inputs, in order. Raises InputError where the graph refuses them."""
        feeds = {tensor.name: value for tensor, value in zip(self.inputs, values, strict=True)}
        try:
            return tuple(self.session.run(None, feeds))
        except Exception as error:  # ONNX Runtime has a class for each kind of failure, and no common one
            raise InputError(self.path, f"cannot run ({_first_line(error)})", EXPORT_AGAIN) from error

    def export_metadata(self) -> Metadata:
        """What dlnotes stored in an exported file. Raises InputError for other files, and for another version."""
        if not self.is_ours:
            raise InputError(self.path, "has no metadata of dlnotes", "export the model with dlnotes export")
        with metadata_errors(self.path, EXPORT_AGAIN):
            metadata = parse_object(self.metadata[METADATA_KEY])
            if str(metadata.get("dtype", "float32")) not in DTYPES:
                raise ValueError("dtype")
        version = metadata.get("export_version")
        if version != EXPORT_VERSION or type(version) is not int:
            what = f"has export version {version!r:.20}; this dlnotes reads version {EXPORT_VERSION}"
            raise InputError(self.path, what, "upgrade dlnotes, or export the model again")
        return metadata


@dataclass(frozen=True)
class OnnxLanguageModel:
    """An exported character-level language model and the metadata of its file: one step of it."""

    path: Path
    preprocessing: TextPreprocessing
    metadata: Metadata
    graph: OnnxGraph

    def initial_states(self, count: int) -> States:
        """The states before the first token of `count` samples: zeros."""
        shapes = [tensor.shape for tensor in self.graph.inputs[1:]]
        return tuple(np.zeros((layers or 0, count, hidden or 0), np.float32) for layers, _, hidden in shapes)

    def step(self, tokens: NDArray[np.int64], states: States) -> tuple[NDArray[np.float32], States]:
        """Logits (N, vocabulary) for tokens (N,) and the states before them, and the states after them."""
        logits, *after = self.graph.run(tokens, *states)
        return logits, tuple(after)


def is_onnx(path: str | Path) -> bool:
    """Whether a path names an ONNX file, by its ending alone."""
    return Path(path).suffix.lower() == ".onnx"


def check_runtime_of_onnx(options: OnDevice, dtype: str = "float32") -> None:
    """Raise InputError for a device or precision that an ONNX file does not run with: it runs on the CPU as exported.

    `dtype` is the element type of its weights.
    """
    if options.device not in {"auto", "cpu"}:
        raise InputError("--device", f"{options.device} has no effect on an ONNX file", "use cpu, or the model file")
    if options.precision not in {"auto", DTYPES[dtype]}:
        what = f"{options.precision} has no effect on an ONNX file with {dtype} weights"
        raise InputError("--precision", what, "drop it, or use the model file")


def with_checksum(content: bytes) -> bytes:
    """A serialized model whose metadata has NO_CHECKSUM, with its SHA-256 in that place."""
    stated = _STATED_CHECKSUM.search(content)
    if stated is None:
        raise ValueError("no place for the checksum")
    start, stop = stated.span(1)
    return content[:start] + _digest(content, start, stop) + content[stop:]


def open_graph(path: str | Path, threads: int) -> OnnxGraph:
    """Open any ONNX file, on the CPU with `threads` threads, after a check of the SHA-256 that dlnotes wrote into it.

    Raises InputError for a file that cannot be read, is damaged or is not an ONNX file, for a graph that ONNX Runtime
    does not accept, and where ONNX Runtime is not installed.
    """
    path = files.user_path(path)
    return open_unverified(path, threads, is_ours=_is_whole(path))


def open_unverified(path: Path, threads: int, *, is_ours: bool = False) -> OnnxGraph:
    """As `open_graph`, without a check of the file."""
    runtime = import_extra("onnxruntime", "onnx", path)
    settings = runtime.SessionOptions()
    settings.intra_op_num_threads, settings.inter_op_num_threads = threads, 1
    settings.log_severity_level = _SILENT
    try:
        session = runtime.InferenceSession(str(path), settings, providers=["CPUExecutionProvider"], enable_fallback=0)
        metadata = session.get_modelmeta().custom_metadata_map
    except Exception as error:  # as in `run`
        raise _refused(path, str(error)) from error
    inputs, outputs = (tuple(map(_tensor_type, tensors)) for tensors in (session.get_inputs(), session.get_outputs()))
    return OnnxGraph(path, is_ours, inputs, outputs, metadata, threads, session)


def load_onnx_language_model(path: str | Path, threads: int) -> OnnxLanguageModel:
    """Open a language model that dlnotes exported.

    Raises InputError as `open_graph` does, for the file of another program or of a classifier, and for metadata that is
    incomplete or contradicts the graph.
    """
    graph = open_graph(path, threads)
    path, metadata = graph.path, graph.export_metadata()
    if kind_of_export(metadata) != TextPreprocessing.kind:
        raise InputError(path, "holds a classifier, but this command needs a language model", "use another model file")
    with metadata_errors(path, EXPORT_AGAIN):
        preprocessing = preprocessing_from_json(metadata["format"], TextPreprocessing)
        states = [("float", tensor.shape) for tensor in graph.inputs[1:]]
        if not states or any(len(shape) != 3 or shape[1] is not None for _, shape in states):  # noqa: PLR2004  # L, N, H
            raise ValueError("states of the graph")
        check_tensors(graph.inputs, [("int64", (None,)), *states])
        check_tensors(graph.outputs, [("float", (None, preprocessing.vocabulary)), *states])
    return OnnxLanguageModel(path, preprocessing, metadata, graph)


def kind_of_export(metadata: Metadata) -> Any:
    """The kind of preprocessing of an exported model."""
    stored = metadata.get("format")
    return stored.get("kind") if isinstance(stored, dict) else None


def check_tensors(tensors: Sequence[TensorType], expected: Sequence[tuple[str, tuple[int | None, ...]]]) -> None:
    """Raise ValueError unless tensors have these element types and shapes; the batch size may be fixed."""
    for tensor, (dtype, shape) in zip(tensors, expected, strict=True):
        is_same = len(tensor.shape) == len(shape) and all(
            size == other or other is None for size, other in zip(tensor.shape, shape, strict=True)
        )
        if tensor.dtype != dtype or not is_same:
            raise ValueError(f"{tensor} in the graph, {TensorType(tensor.name, dtype, shape)} in the metadata")


def _is_whole(path: Path) -> bool:
    """Whether dlnotes wrote a file. Raises InputError if it did, and the file is damaged, or it cannot be read."""
    check_regular(path)
    try:
        if not path.stat().st_size:
            raise InputError(path, "is empty", EXPORT_AGAIN)
        with path.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as content:
            if not any(content.find(mark) >= 0 for mark in _MARKS):
                return False
            stated = _STATED_CHECKSUM.search(content)
            is_right = stated is not None and stated[1] == _digest(content, *stated.span(1))
    except OSError as error:
        raise unreadable(path, error, "name the .onnx file of a model") from error
    if not is_right:
        what = "it has no checksum" if stated is None else "checksum differs"
        raise InputError(path, f"is damaged: {what}", EXPORT_AGAIN)
    return True


def _digest(content: Any, start: int, stop: int) -> bytes:
    """The SHA-256, in hexadecimal digits, of bytes with zeros from `start` to `stop`."""
    digest, view = hashlib.sha256(), memoryview(content)
    for part in (view[:start], b"0" * (stop - start), view[stop:]):
        digest.update(part)
    return digest.hexdigest().encode()


def _tensor_type(tensor: Any) -> TensorType:
    sizes = tuple(size if isinstance(size, int) else None for size in tensor.shape or ())
    return TensorType(tensor.name, tensor.type.removeprefix("tensor(").removesuffix(")"), sizes)


def _refused(path: Path, message: str) -> InputError:
    """The error for a graph that ONNX Runtime does not accept."""
    what, fix = next((what, fix) for marks, what, fix in _REFUSALS if any(mark in message for mark in marks))
    return InputError(path, what.format(_first_line(message)), fix)


def _first_line(message: object) -> str:
    """A message of ONNX Runtime in one line, without the code and the file in front of it."""
    text = _NO_CAUSE.sub("", " ".join(str(message).split()), count=1)
    return text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]}..."
