"""Export to ONNX: one file with the graph, its weights and our metadata."""

import json
import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from dlnotes_cli import __version__
from dlnotes_cli.data.preprocessing import ImagePreprocessing, Preprocessing
from dlnotes_cli.export.wrapper import ExportGraph
from dlnotes_cli.shell.errors import InputError, UnfinishedError
from dlnotes_cli.shell.extras import import_extra
from dlnotes_cli.shell.output import size
from dlnotes_cli.training.model_metadata import Metadata
from dlnotes_cli.training.onnx_container import CHECKSUM_FIELD, METADATA_KEY, NO_CHECKSUM, with_checksum

_MAX_BYTES = (1 << 31) - (1 << 20)  # of a protocol buffer, with room for everything that is no weight
_MOST_SHOWN = 160  # characters of a message of PyTorch
_PIXEL_FORMATS = {1: "Gray8", 3: "Rgb8"}  # by number of channels


def check_packages() -> None:
    """Raise InputError with the command that installs them if a package is missing that the export needs."""
    for package in ("onnx", "onnxscript", "onnxruntime"):
        import_extra(package, "onnx", "--format onnx")


def check_size(graph: ExportGraph) -> None:
    """Raise InputError for weights that do not fit into one ONNX file."""
    if graph.parameters_nbytes > _MAX_BYTES:
        what = f"the weights have {size(graph.parameters_nbytes)}, and an ONNX file has at most 2 GB"
        raise InputError("--format onnx", what, "use --dtype float16, or --format pt2")


def export_onnx(path: Path, graph: ExportGraph, opset: int, metadata: Mapping[str, str]) -> bytes:
    """The content of an ONNX file. Raises UnfinishedError naming `path` for a layer that PyTorch cannot export."""
    try:
        with _silent():
            program = torch.onnx.export(
                graph.module, tuple(graph.inputs.values()), input_names=list(graph.inputs),
                output_names=list(graph.outputs), opset_version=opset, dynamic_shapes=graph.dynamic_shapes,
                dynamo=True, external_data=False, verbose=False,
            )  # fmt: skip
    except MemoryError:
        raise
    except Exception as error:  # the exporter lets errors of any kind through
        text = " ".join(str(error.__cause__ or error).split())[:_MOST_SHOWN]
        what = f"PyTorch cannot export this network to ONNX ({text})"
        raise UnfinishedError(path, what, "use --format pt2 or --format state-dict") from error
    proto = program.model_proto
    _strip(proto)
    proto.producer_name, proto.producer_version = "dlnotes", __version__
    for key, value in metadata.items():
        proto.metadata_props.add(key=key, value=value)
    return with_checksum(proto.SerializeToString(deterministic=True))


def metadata_props(metadata: Metadata, preprocessing: Preprocessing | None) -> dict[str, str]:
    """The metadata of a file by key: ours, and what other tools read.

    `names` and `imgsz` are as Ultralytics writes them; the `Image.` keys are those of the ONNX metadata proposal.
    """
    props = {METADATA_KEY: json.dumps({CHECKSUM_FIELD: NO_CHECKSUM} | metadata, allow_nan=False)}
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


def count_nodes(path: Path) -> int:
    """The number of nodes of the graph in an ONNX file."""
    onnx = import_extra("onnx", "onnx", path)
    return len(onnx.load(path, load_external_data=False).graph.node)


def _strip(proto: Any) -> None:
    """Delete what the exporter notes about where each node comes from: it has paths of this machine."""
    graph = proto.graph
    proto.doc_string = graph.doc_string = ""
    graph.name = "dlnotes"
    del graph.metadata_props[:], proto.metadata_props[:]
    for part in (*graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer):
        part.doc_string = ""
        del part.metadata_props[:]
    del graph.value_info[:]


@contextmanager
def _silent() -> Iterator[None]:
    """Drop the warnings and log lines of the exporter, which are about PyTorch itself."""
    level = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)
