"""Export to ONNX: one file with the graph, its weights and our metadata."""

import json
from pathlib import Path
from typing import Any

import torch

from dlnotes_cli import __version__
from dlnotes_cli.data.preprocessing import ImagePreprocessing, Preprocessing, TextPreprocessing
from dlnotes_cli.export.results import TensorShape
from dlnotes_cli.export.wrapper import BATCH_AXIS, ExportedGraph, ExportGraph, not_exportable, silent
from dlnotes_cli.inference.onnx_classifier import load_onnx_classifier
from dlnotes_cli.inference.onnx_file import (
    METADATA_KEY,
    NO_CHECKSUM,
    TensorType,
    load_onnx_language_model,
    with_checksum,
)
from dlnotes_cli.shell.errors import InputError, import_extra
from dlnotes_cli.shell.output import size
from dlnotes_cli.training.model_metadata import Metadata

_MAX_BYTES = (1 << 31) - (1 << 20)  # of a protocol buffer, with room for everything that is no weight
_PIXEL_FORMATS = {1: "Gray8", 3: "Rgb8"}  # by number of channels
_NUMPY_NAMES = {"float": "float32", "double": "float64"}  # of ONNX's element types, where they differ
_OTHER_FORMAT = "use --format pt2 or --format state-dict"


def check_packages() -> None:
    """Raise InputError with the command that installs it if a package is missing that the export needs."""
    for package in ("onnx", "onnxscript", "onnxruntime"):
        import_extra(package, "onnx", "--format onnx")


def onnx_content(
    out: Path, graph: ExportGraph, opset: int, metadata: Metadata, preprocessing: Preprocessing | TextPreprocessing
) -> bytes:
    """The content of an ONNX file.

    Raises InputError for weights that do not fit into one file, and UnfinishedError naming `out` for a layer that
    PyTorch cannot export.
    """
    if graph.parameters_nbytes > _MAX_BYTES:
        what = f"the weights have {size(graph.parameters_nbytes)}, and an ONNX file has at most 2 GB"
        raise InputError("--format onnx", what, "use --dtype float16, or --format pt2")
    try:
        with silent():
            program = torch.onnx.export(
                graph.module, graph.arguments, input_names=list(graph.inputs), output_names=list(graph.outputs),
                opset_version=opset, dynamic_shapes=graph.dynamic_shapes, dynamo=True, external_data=False,
                verbose=False,
            )  # fmt: skip
    except MemoryError:
        raise
    except Exception as error:  # the exporter lets errors of any kind through
        raise not_exportable(out, "ONNX", error, _OTHER_FORMAT) from error
    if program is None:
        raise TypeError("no program")
    proto = program.model_proto
    _strip(proto)
    proto.producer_name, proto.producer_version = "dlnotes", __version__
    for key, value in _props(metadata, preprocessing).items():
        proto.metadata_props.add(key=key, value=value)
    return with_checksum(proto.SerializeToString(deterministic=True))


def open_onnx(path: Path, threads: int, *, is_language_model: bool) -> ExportedGraph:
    """Open an exported file as commands do that use it. Raises InputError."""
    graph = (load_onnx_language_model if is_language_model else load_onnx_classifier)(path, threads).graph
    inputs, outputs = (tuple(map(_shape, tensors)) for tensors in (graph.inputs, graph.outputs))
    onnx = import_extra("onnx", "onnx", path)
    nodes = len(onnx.load(path, load_external_data=False).graph.node)
    return ExportedGraph(inputs, outputs, nodes, graph.run, path)


def _props(metadata: Metadata, preprocessing: Preprocessing | TextPreprocessing) -> dict[str, str]:
    """The metadata of a file by key: ours, and what other tools read.

    `names` and `imgsz` are as Ultralytics writes them; the `Image.` keys are those of the ONNX metadata proposal.
    """
    props = {METADATA_KEY: json.dumps(NO_CHECKSUM | metadata, allow_nan=False)}
    if "classes" in metadata:
        props["names"] = repr(dict(enumerate(metadata["classes"])))
    if isinstance(preprocessing, ImagePreprocessing):
        props |= {
            "imgsz": repr([preprocessing.height, preprocessing.width]),
            "Image.BitmapPixelFormat": _PIXEL_FORMATS[preprocessing.channels],
            "Image.ColorSpaceGamma": "SRGB",
            "Image.NominalPixelRange": "NominalRange_0_255",
        }
    return props


def _strip(proto: Any) -> None:
    """Delete what the exporter notes about where each node comes from: it has paths of this machine."""
    proto.doc_string, proto.graph.name = "", "dlnotes"
    del proto.metadata_props[:]
    _strip_graph(proto.graph)


def _strip_graph(graph: Any) -> None:
    """Do the same for a graph, and for those inside its nodes."""
    for part in (graph, *graph.node, *graph.input, *graph.output, *graph.initializer):
        part.doc_string = ""
        del part.metadata_props[:]
    del graph.value_info[:]
    for attribute in (attribute for node in graph.node for attribute in node.attribute):
        for inner in (*attribute.graphs, *([attribute.g] if attribute.HasField("g") else [])):
            _strip_graph(inner)


def _shape(tensor: TensorType) -> TensorShape:
    shape = tuple(BATCH_AXIS if length is None else length for length in tensor.shape)
    return TensorShape(tensor.name, _NUMPY_NAMES.get(tensor.dtype, tensor.dtype), shape)
