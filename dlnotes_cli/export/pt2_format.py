"""Export with torch.export: a program that PyTorch runs without our code."""

import io
import json
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from dlnotes_cli.export.results import TensorShape
from dlnotes_cli.export.wrapper import BATCH_AXIS, Arrays, ExportedGraph, ExportGraph, not_exportable, silent
from dlnotes_cli.shell import output
from dlnotes_cli.training.model_metadata import Metadata

METADATA_FILE = "dlnotes.json"  # inside the file


def pt2_content(out: Path, graph: ExportGraph, metadata: Metadata) -> bytes:
    """The content of a .pt2 file. Raises UnfinishedError naming `out` for a network that PyTorch cannot export."""
    try:
        with silent():
            program = torch.export.export(graph.module, graph.arguments, dynamic_shapes=graph.dynamic_shapes)
    except MemoryError:
        raise
    except Exception as error:  # the exporter lets errors of any kind through
        raise not_exportable(out, "pt2", error, "use --format state-dict") from error
    stream = io.BytesIO()
    with silent():
        torch.export.save(program, stream, extra_files={METADATA_FILE: json.dumps(metadata, allow_nan=False)})
    output.note(
        f"torch.export.load unpickles parts of a .pt2 file: load only files that you trust, with PyTorch "
        f"{torch.__version__.partition('+')[0]} or one that reads its format"
    )
    return stream.getvalue()


def open_pt2(path: Path, outputs: tuple[str, ...]) -> ExportedGraph:
    """Open an exported file, which this process wrote, with names for its outputs."""
    with silent():
        program = torch.export.load(path)
        module = program.module()

    @torch.no_grad()
    def run(*values: NDArray[Any]) -> Arrays:
        results = module(*map(torch.from_numpy, values))
        return tuple(tensor.numpy() for tensor in (results if isinstance(results, tuple) else (results,)))

    signature, nodes = program.graph_signature, list(program.graph.nodes)
    tensors: dict[str, Tensor] = {node.name: node.meta["val"] for node in nodes if "val" in node.meta}
    inputs = tuple(_shape(str(name), tensors[str(name)]) for name in signature.user_inputs)
    named = zip(outputs, signature.user_outputs, strict=True)
    shapes = tuple(_shape(name, tensors[str(internal)]) for name, internal in named)
    return ExportedGraph(inputs, shapes, sum(node.op == "call_function" for node in nodes), run, path)


def _shape(name: str, tensor: Tensor) -> TensorShape:
    shape = tuple(length if isinstance(length, int) else BATCH_AXIS for length in tensor.shape)
    return TensorShape(name, str(tensor.dtype).removeprefix("torch."), shape)
