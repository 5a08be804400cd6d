"""Exported models in ONNX files: opened with ONNX Runtime on the CPU, without torch.

A file is checked in this order: it is whole (see `onnx_container`), our metadata is complete, ONNX Runtime accepts its
graph, and the inputs and outputs of the graph agree with the metadata.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dlnotes_cli.data.preprocessing import (
    ImagePreprocessing,
    Preprocessing,
    TextPreprocessing,
    preprocessing_from_json,
    text_preprocessing_from_json,
)
from dlnotes_cli.device import RuntimeOptions
from dlnotes_cli.inference.onnx_container import METADATA_KEY, SUFFIX, read_metadata
from dlnotes_cli.shell import files
from dlnotes_cli.shell.errors import InputError
from dlnotes_cli.shell.extras import import_extra
from dlnotes_cli.training.metrics import inference_batch_size
from dlnotes_cli.training.model_metadata import Metadata, check_data, class_names, metadata_errors
from dlnotes_cli.training.stored_values import parse_object

EXPORT_VERSION = 1  # of the metadata that dlnotes writes into exported files
DTYPES = {"float32": "fp32", "float16": "fp16"}  # of exported weights, and the precision that each is
_SILENT = 4  # severity from which ONNX Runtime logs: fatal errors, as it raises the others
_EXPORT_AGAIN = "export the model again"
_MOST_SHOWN = 160  # characters of a message of ONNX Runtime
_UNKNOWN_OPERATOR = (
    "is not a registered function/op",
    "No opset import for domain",
    "Could not find an implementation",
)
_NO_CAUSE = re.compile(r"\[ONNXRuntimeError\] : \d+ : \w+ : (Load model from .*? failed: ?)?(Fatal error: )?")
_EXTERNAL_DATA = ("external data", "External data", "external_data", "cannot get file size")

States = tuple[NDArray[np.float32], ...]  # h (layers, N, hidden), and for an LSTM c of the same shape


@dataclass(frozen=True)
class TensorType:
    """An input or output of a graph: its name, element type and shape, in which a dynamic size is None."""

    name: str
    dtype: str  # as ONNX Runtime writes it: "tensor(uint8)"
    shape: tuple[int | None, ...]

    def __str__(self) -> str:
        sizes = " x ".join("N" if size is None else str(size) for size in self.shape)
        return f"{self.name} {self.dtype.removeprefix('tensor(').removesuffix(')')} {sizes}"


@dataclass(frozen=True)
class OnnxGraph:
    """A graph that ONNX Runtime runs, and the metadata of its file by key."""

    path: Path
    inputs: tuple[TensorType, ...]
    outputs: tuple[TensorType, ...]
    metadata: Mapping[str, str]
    session: Any  # onnxruntime.InferenceSession

    def run(self, *values: NDArray[Any]) -> tuple[NDArray[Any], ...]:
        """The outputs for the values of the inputs, in order. Raises InputError where the graph refuses them."""
        feeds = {tensor.name: value for tensor, value in zip(self.inputs, values, strict=True)}
        try:
            return tuple(self.session.run(None, feeds))
        except Exception as error:  # ONNX Runtime has a class for each kind of failure, and no common one
            raise InputError(self.path, f"cannot run ({_first_line(error)})", _EXPORT_AGAIN) from error


@dataclass(frozen=True)
class OnnxClassifier:
    """An exported classifier and the metadata of its file."""

    path: Path
    name: str  # of the network, in the registry
    classes: tuple[str, ...]
    preprocessing: Preprocessing
    metadata: Metadata
    graph: OnnxGraph

    def probabilities(self, samples: NDArray[np.generic]) -> NDArray[np.float32]:
        """Probabilities (N, classes) of samples as `data` reads them.

        Samples are uint8 images (N, C, H, W), or float64 table rows (N, F) of `data.table.encode_raw`. Raises
        InputError where they are not finite.
        """
        batches = [
            self.graph.run(padded)[0][:count]
            for padded, count in padded_batches(np.ascontiguousarray(samples), self.graph.inputs[0].shape[0])
        ]
        probabilities = np.concatenate([np.empty((0, len(self.classes)), np.float32), *batches])
        if not np.isfinite(probabilities).all():
            fix = "use the model file, or export it again from a model that was trained with a lower --lr"
            raise InputError(self.path, "its outputs are not finite for this input", fix)
        return probabilities


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
    return Path(path).suffix.lower() == SUFFIX


def check_runtime_of_onnx(options: RuntimeOptions, dtype: str = "float32") -> None:
    """Raise InputError for a device or precision that an ONNX file does not run with: it runs on the CPU as exported.

    `dtype` is the element type of its weights.
    """
    if options.device not in {"auto", "cpu"}:
        raise InputError("--device", f"{options.device} has no effect on an ONNX file", "use cpu, or the model file")
    if options.precision not in {"auto", DTYPES[dtype]}:
        what = f"{options.precision} has no effect on an ONNX file with {dtype} weights"
        raise InputError("--precision", what, "drop it, or use the model file")


def open_graph(path: str | Path, threads: int) -> OnnxGraph:
    """Open any ONNX file, on the CPU with `threads` threads.

    Raises InputError for a file that cannot be read, is damaged or is not an ONNX file, for a graph that ONNX Runtime
    does not accept, and where ONNX Runtime is not installed.
    """
    path = files.user_path(path)
    metadata = read_metadata(path)
    runtime = import_extra("onnxruntime", "onnx", path)
    settings = runtime.SessionOptions()
    settings.intra_op_num_threads, settings.inter_op_num_threads = threads, 1
    settings.log_severity_level = _SILENT
    try:
        session = runtime.InferenceSession(str(path), settings, providers=["CPUExecutionProvider"])
    except Exception as error:  # as in `run`
        raise _refused(path, str(error)) from error
    inputs, outputs = (tuple(map(_tensor_type, tensors)) for tensors in (session.get_inputs(), session.get_outputs()))
    return OnnxGraph(path, inputs, outputs, metadata, session)


def load_onnx_classifier(path: str | Path, threads: int) -> OnnxClassifier:
    """Open a classifier that dlnotes exported.

    Raises InputError as `open_graph` does, for the file of another program or of a language model, and for metadata
    that is incomplete or contradicts the graph.
    """
    metadata = read_export_metadata(path)
    path = files.user_path(path)
    if _kind(metadata) == TextPreprocessing.kind:
        raise InputError(path, "holds a language model, but this command needs a classifier", "use another model file")
    with metadata_errors(path, _EXPORT_AGAIN):
        preprocessing = preprocessing_from_json(metadata["format"])
        name = metadata["model"]
        if not isinstance(name, str):
            raise TypeError("model")
        _check_dtype(metadata)
        check_data(metadata)
    graph = open_graph(path, threads)
    with metadata_errors(path, _EXPORT_AGAIN):
        dtype = "uint8" if isinstance(preprocessing, ImagePreprocessing) else "double"
        _check_tensors(graph.inputs, [(dtype, (None, *preprocessing.shape))])
        outputs = graph.outputs[0].shape[-1]
        classes = class_names(metadata["classes"], outputs or 0)
        _check_tensors(graph.outputs, [("float", (None, outputs))])
    return OnnxClassifier(path, name, classes, preprocessing, metadata, graph)


def load_onnx_language_model(path: str | Path, threads: int) -> OnnxLanguageModel:
    """Open a language model that dlnotes exported. Raises InputError as `load_onnx_classifier` does."""
    metadata = read_export_metadata(path)
    path = files.user_path(path)
    if _kind(metadata) != TextPreprocessing.kind:
        raise InputError(path, "holds a classifier, but this command needs a language model", "use another model file")
    with metadata_errors(path, _EXPORT_AGAIN):
        preprocessing = text_preprocessing_from_json(metadata["format"])
        _check_dtype(metadata)
    graph = open_graph(path, threads)
    with metadata_errors(path, _EXPORT_AGAIN):
        states = [("float", tensor.shape) for tensor in graph.inputs[1:]]
        if not states or any(len(shape) != 3 or shape[1] is not None for _, shape in states):  # noqa: PLR2004  # L, N, H
            raise ValueError("states of the graph")
        _check_tensors(graph.inputs, [("int64", (None,)), *states])
        _check_tensors(graph.outputs, [("float", (None, preprocessing.vocabulary)), *states])
    return OnnxLanguageModel(path, preprocessing, metadata, graph)


def read_export_metadata(path: str | Path) -> Metadata:
    """The metadata that dlnotes wrote into an exported file, without opening its graph.

    Raises InputError for a file that cannot be read or is damaged, of another program, or of a newer dlnotes.
    """
    path = files.user_path(path)
    stored = read_metadata(path).get(METADATA_KEY)
    if stored is None:
        raise InputError(path, "has no metadata of dlnotes", "export the model with dlnotes export")
    with metadata_errors(path, _EXPORT_AGAIN):
        metadata = parse_object(stored)
    version = metadata.get("export_version")
    if version != EXPORT_VERSION or type(version) is not int:
        what = f"has export version {version!r:.20}; this dlnotes reads version {EXPORT_VERSION}"
        raise InputError(path, what, "upgrade dlnotes, or export the model again")
    return metadata


def _check_dtype(metadata: Metadata) -> None:
    """Raise ValueError for an element type that dlnotes does not export."""
    if str(metadata.get("dtype", "float32")) not in DTYPES:
        raise ValueError("dtype")


def _kind(metadata: Metadata) -> Any:
    stored = metadata.get("format")
    return stored.get("kind") if isinstance(stored, dict) else None


def padded_batches(samples: NDArray[np.generic], fixed: int | None) -> list[tuple[NDArray[np.generic], int]]:
    """Batches of samples, each with its number of samples; a graph with a `fixed` batch size gets zeros after them."""
    step = fixed or inference_batch_size(samples.shape[1:])
    batches = [samples[start : start + step] for start in range(0, len(samples), step)]
    if fixed is None:
        return [(batch, len(batch)) for batch in batches]
    missing = [(fixed - len(batch), *batch.shape[1:]) for batch in batches]
    return [
        (np.concatenate([batch, np.zeros(shape, batch.dtype)]), len(batch))
        for batch, shape in zip(batches, missing, strict=True)
    ]


def _check_tensors(tensors: Sequence[TensorType], expected: Sequence[tuple[str, tuple[int | None, ...]]]) -> None:
    """Raise ValueError unless tensors have these element types and shapes; the batch size may be fixed."""
    for tensor, (dtype, shape) in zip(tensors, expected, strict=True):
        is_same = len(tensor.shape) == len(shape) and all(
            size == other or other is None for size, other in zip(tensor.shape, shape, strict=True)
        )
        if tensor.dtype != f"tensor({dtype})" or not is_same:
            raise ValueError(f"{tensor} in the graph, {TensorType(tensor.name, dtype, shape)} in the metadata")


def _tensor_type(tensor: Any) -> TensorType:
    sizes = tuple(size if isinstance(size, int) else None for size in tensor.shape or ())
    return TensorType(tensor.name, tensor.type, sizes)


def _refused(path: Path, message: str) -> InputError:
    """The error for a graph that ONNX Runtime does not accept."""
    if any(mark in message for mark in _EXTERNAL_DATA):
        fix = "put the data file of the model next to it, under the name that it had when the model was saved"
        return InputError(path, "its weights are in another file, which is missing or cannot be read", fix)
    if any(mark in message for mark in _UNKNOWN_OPERATOR):
        what = f"has an operator that ONNX Runtime does not know ({_first_line(message)})"
        return InputError(path, what, "export it with standard operators, or upgrade onnxruntime")
    return InputError(path, f"ONNX Runtime does not accept it ({_first_line(message)})", _EXPORT_AGAIN)


def _first_line(message: object) -> str:
    """A message of ONNX Runtime in one line, without the code and the file in front of it."""
    text = _NO_CAUSE.sub("", " ".join(str(message).split()), count=1)
    return text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]}..."
