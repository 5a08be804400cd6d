"""The formats of exported files: ONNX, torch.export and state dicts, each written and opened again."""

import io
import json
import logging
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812  # PyTorch's own abbreviation
from numpy.typing import NDArray
from torch import Tensor, nn

from dlnotes_cli import __version__
from dlnotes_cli.data.preprocessing import ImagePreprocessing
from dlnotes_cli.export.graph import BATCH_AXIS, Arrays, ExportedGraph, ExportGraph
from dlnotes_cli.export.results import TensorShape
from dlnotes_cli.inference.onnx_classifier import load_onnx_classifier
from dlnotes_cli.inference.onnx_file import METADATA_KEY, NO_CHECKSUM, load_onnx_language_model, with_checksum
from dlnotes_cli.networks.backbones import (
    BackboneConfig,
    TransferModel,
    build_torchvision_classifier,
    torchvision_code,
    torchvision_weights,
)
from dlnotes_cli.networks.embedded import EMBEDDED_NAME
from dlnotes_cli.networks.registry import build_on_meta, config_from_json
from dlnotes_cli.networks.torch_imports import meta_device
from dlnotes_cli.shell import output
from dlnotes_cli.shell.errors import InputError, UnfinishedError, import_extra
from dlnotes_cli.training.foreign_weights import loading_code, read_safetensors, weights_content
from dlnotes_cli.training.model_file import LanguageModel, TextModel, TrainedModel
from dlnotes_cli.training.model_metadata import Metadata

AnyModel = TrainedModel | LanguageModel | TextModel
METADATA_FILE = "dlnotes.json"  # inside a .pt2 file
_MAX_BYTES = (1 << 31) - (1 << 20)  # of a protocol buffer, with room for everything that is no weight
_PIXEL_FORMATS = {1: "Gray8", 3: "Rgb8"}  # by number of channels
_NUMPY_NAMES = {"float": "float32", "double": "float64"}  # of ONNX's element types, where they differ
_OPERATOR = re.compile(r"torch\.ops\.(aten\.\w+)")  # in a message of PyTorch
_MOST_SHOWN = 160  # characters of a message of PyTorch
_VERSIONED = "mnasnet"  # networks of torchvision with a version number in their state dict


@contextmanager
def silent() -> Iterator[None]:
    """Drop the warnings and log lines of PyTorch's exporters, which are about PyTorch itself."""
    level = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)


@contextmanager
def _exporting(path: object, what: str, fix: str) -> Iterator[None]:
    """Run one of PyTorch's exporters. Raises UnfinishedError for a network that it refuses, with errors of any kind."""
    try:
        with silent():
            yield
    except MemoryError:
        raise
    except Exception as error:
        text = " ".join(str(error.__cause__ or error).split())
        operator = _OPERATOR.search(text)
        reason = operator[1] if operator else text[:_MOST_SHOWN]
        raise UnfinishedError(path, f"PyTorch cannot export this network to {what} ({reason})", fix) from error


def check_packages() -> None:
    """Raise InputError with the command that installs it if a package is missing that the export to ONNX needs."""
    for package in ("onnx", "onnxscript", "onnxruntime"):
        import_extra(package, "onnx", "--format onnx")


def onnx_content(out: object, graph: ExportGraph, opset: int, metadata: Metadata, preprocessing: object) -> bytes:
    """The content of an ONNX file: the graph, its weights and our metadata.

    Raises InputError for weights that do not fit into one file, and UnfinishedError naming `out` for a layer that
    PyTorch cannot export.
    """
    nbytes = sum(tensor.nbytes for tensor in graph.module.state_dict().values())
    if nbytes > _MAX_BYTES:
        what = f"the weights have {output.size(nbytes)}, and an ONNX file has at most 2 GB"
        raise InputError("--format onnx", what, "use --dtype float16, or --format pt2")
    with _exporting(out, "ONNX", "use --format pt2 or --format state-dict"):
        program: Any = torch.onnx.export(
            graph.module, tuple(graph.inputs.values()), input_names=list(graph.inputs),
            output_names=list(graph.outputs), opset_version=opset, dynamic_shapes=graph.dynamic_shapes, dynamo=True,
            external_data=False, verbose=False,
        )  # fmt: skip
        proto: Any = program.model_proto
    proto.graph.name = proto.producer_name = "dlnotes"
    proto.producer_version = __version__
    del proto.graph.value_info[:]
    inside = proto.graph
    for part in (proto, inside, *inside.node, *inside.input, *inside.output, *inside.initializer):
        part.doc_string = ""  # where the exporter notes from which line of which file a node is
        del part.metadata_props[:]
    for key, value in _properties(metadata, preprocessing).items():
        proto.metadata_props.add(key=key, value=value)
    return with_checksum(proto.SerializeToString(deterministic=True))


def _properties(metadata: Metadata, preprocessing: object) -> dict[str, str]:
    """The metadata of a file by key: ours, and what other tools read.

    `names` and `imgsz` are as Ultralytics writes them; the `Image.` keys are those of the ONNX metadata proposal.
    """
    properties = {METADATA_KEY: json.dumps(NO_CHECKSUM | metadata, allow_nan=False)}
    if "classes" in metadata:
        properties["names"] = repr(dict(enumerate(metadata["classes"])))
    if isinstance(preprocessing, ImagePreprocessing):
        properties |= {
            "imgsz": repr([preprocessing.height, preprocessing.width]),
            "Image.BitmapPixelFormat": _PIXEL_FORMATS[preprocessing.channels],
            "Image.ColorSpaceGamma": "SRGB",
            "Image.NominalPixelRange": "NominalRange_0_255",
        }
    return properties


def open_onnx(path: Path, threads: int, *, is_language_model: bool) -> ExportedGraph:
    """Open an exported file as commands do that use it. Raises InputError."""
    graph = (load_onnx_language_model if is_language_model else load_onnx_classifier)(path, threads).graph
    inputs, outputs = (
        tuple(
            TensorShape(
                one.name, _NUMPY_NAMES.get(one.dtype, one.dtype),
                tuple(BATCH_AXIS if length is None else length for length in one.shape),
            )
            for one in tensors
        )
        for tensors in (graph.inputs, graph.outputs)
    )  # fmt: skip
    onnx = import_extra("onnx", "onnx", path)
    return ExportedGraph(inputs, outputs, len(onnx.load(path, load_external_data=False).graph.node), graph.run)


def pt2_content(out: object, graph: ExportGraph, metadata: Metadata) -> bytes:
    """The content of a .pt2 file. Raises UnfinishedError naming `out` for a network that PyTorch cannot export."""
    stream = io.BytesIO()
    with _exporting(out, "pt2", "use --format state-dict"):
        program = torch.export.export(graph.module, tuple(graph.inputs.values()), dynamic_shapes=graph.dynamic_shapes)
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

    def shape(name: str, internal: object) -> TensorShape:
        tensor = tensors[str(internal)]
        lengths = tuple(length if isinstance(length, int) else BATCH_AXIS for length in tensor.shape)
        return TensorShape(name, str(tensor.dtype).removeprefix("torch."), lengths)

    inputs = tuple(shape(str(name), name) for name in signature.user_inputs)
    named = tuple(map(shape, outputs, signature.user_outputs))
    return ExportedGraph(inputs, named, sum(node.op == "call_function" for node in nodes), run)


def state_dict_content(model: AnyModel) -> bytes:
    """The content of a .safetensors file with the weights, by the names that plain PyTorch or torchvision expects.

    Raises InputError where torchvision has no such network.
    """
    network = model.network
    if not isinstance(network, TransferModel):
        return weights_content(network.state_dict())
    backbone, fix = model.metadata["configuration"]["backbone"], "use --format onnx or --format pt2"
    if backbone == EMBEDDED_NAME:
        what = f"torchvision has no network {backbone}, which is part of dlnotes"
        raise InputError("--format state-dict", what, fix)
    try:
        return weights_content(torchvision_weights(network, backbone))
    except ValueError as error:
        what = f"torchvision's {backbone} applies ReLU after its last layer, and the trained head has none"
        raise InputError("--format state-dict", what, fix) from error


class _Resized(nn.Module):
    """A network for images of one size, applied to images of any size."""

    def __init__(self, network: nn.Module, size: int) -> None:
        super().__init__()
        self.network, self._size = network, size

    def forward(self, x: Tensor) -> Tensor:
        """Logits (N, classes) of normalized images (N, 3, H, W)."""
        if x.shape[2:] != (self._size, self._size):
            x = F.interpolate(x, (self._size, self._size), mode="bilinear", antialias=True)
        logits: Tensor = self.network(x)
        return logits


def open_state_dict(path: Path, model: AnyModel) -> nn.Module:
    """The network of plain PyTorch or torchvision with the weights of a file, all of which it must have."""
    name = model.metadata["model"]
    config = config_from_json(name, model.metadata["configuration"])
    is_backbone = isinstance(config, BackboneConfig)
    with meta_device():
        network = build_torchvision_classifier(config) if is_backbone else build_on_meta(name, config)
    tensors, state = read_safetensors(path), network.state_dict()
    if tensors.keys() != state.keys():
        raise ValueError("names of tensors")
    state.update(tensors)  # the state dict of MNASNet also has a version number, which it needs
    network.load_state_dict(state, strict=True, assign=True)
    return (_Resized(network, config.size) if is_backbone else network).eval()


def code_to_load(out: Path, model: AnyModel) -> str | None:
    """Python code that loads the weights without dlnotes; None where the network has layers of its own."""
    config, network = config_from_json(model.metadata["model"], model.metadata["configuration"]), model.network
    if isinstance(config, BackboneConfig):
        needs_version = config.backbone.startswith(_VERSIONED)
        return loading_code(out, torchvision_code(config), "torchvision", needs_version=needs_version)
    layers = list(network.named_children())
    is_plain = all(hasattr(nn, type(layer).__name__) and not list(layer.children()) for _, layer in layers)
    if not isinstance(network, nn.Sequential) or not is_plain:
        return None
    start, end, keys = "collections.OrderedDict(", "))", [f"{name}=" for name, _ in layers]
    if all(name.isdecimal() for name, _ in layers):
        start, end, keys = "", ")", [""] * len(layers)
    lines = [f"    {key}torch.nn.{layer!r}," for key, (_, layer) in zip(keys, layers, strict=True)]
    return loading_code(out, [f"model = torch.nn.Sequential({start}", *lines, end], "collections")
