"""Classifiers from ONNX files, which run in ONNX Runtime, without torch.

For a file of another program the names of the classes, the size and the range of the pixels are taken from the options,
else from the graph and from metadata that other programs write: `names` and `imgsz` of Ultralytics, and the image
format of the ONNX standard.
"""

import ast
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dlnotes_cli.data.preprocessing import (
    ImagePreprocessing,
    TablePreprocessing,
    TextPreprocessing,
    preprocessing_from_json,
)
from dlnotes_cli.device import RuntimeInfo
from dlnotes_cli.inference.classifier import Classifier
from dlnotes_cli.inference.onnx_file import (
    DTYPES,
    EXPORT_AGAIN,
    OnnxGraph,
    check_runtime_of_onnx,
    check_tensors,
    kind_of_export,
    open_graph,
)
from dlnotes_cli.inference.options import OpensClassifier, check_no_foreign_options
from dlnotes_cli.networks.embedded import MEAN, STD
from dlnotes_cli.shell import output
from dlnotes_cli.shell.cores import default_threads
from dlnotes_cli.shell.errors import InputError
from dlnotes_cli.shell.files import read_file
from dlnotes_cli.training.metrics import inference_batch_size, softmax
from dlnotes_cli.training.model_metadata import check_data, class_names, metadata_errors

_FOREIGN_DTYPES = {"uint8": np.uint8, "float": np.float32, "float16": np.float16}
_IMAGE_RANK = 4
_RANGE_KEY = "Image.NominalPixelRange"  # of the ONNX standard
_RANGES = {"Normalized_0_1": "unit", "Normalized_1_1": "symmetric", "NominalRange_0_255": "pixels"}
_SCALES: Mapping[str, tuple[tuple[float, ...], tuple[float, ...]]] = {  # mean and deviation of pixels scaled to 0..1
    "imagenet": (MEAN, STD),
    "unit": ((0.0,) * 3, (1.0,) * 3),
    "symmetric": ((0.5,) * 3, (0.5,) * 3),
    "pixels": ((0.0,) * 3, (1 / 255,) * 3),  # inputs are pixels 0..255
}
_CROP_PCT = 0.875  # of torchvision's and timm's preprocessing for ImageNet
_LARGEST_LIST = 1 << 24  # bytes of class names
_SUM_TOLERANCE = 1e-3  # of probabilities that sum to 1


@dataclass(frozen=True, kw_only=True)
class OnnxClassifier(Classifier):
    """An exported classifier, which reads samples as `data` does: uint8 images, or float64 rows of `encode_raw`."""

    reads_raw_rows = True

    graph: OnnxGraph

    def compute(self, samples: NDArray[np.generic]) -> NDArray[np.floating]:
        """Probabilities (N, classes) of samples (N, ...); a graph with a fixed batch size gets zeros after them."""
        fixed = self.graph.inputs[0].shape[0]
        step = fixed or inference_batch_size(samples.shape[1:])
        outputs = [np.empty((0, len(self.classes)), np.float32)]
        for start in range(0, len(samples), step):
            batch = samples[start : start + step]
            missing = (fixed or len(batch)) - len(batch)
            padded = np.pad(batch, ((0, missing), *((0, 0),) * (batch.ndim - 1)))
            outputs.append(self.run(padded)[: len(batch)])
        return np.concatenate(outputs)

    def run(self, batch: NDArray[np.generic]) -> NDArray[np.float32]:
        """The outputs (n, classes) of the graph for a batch."""
        return self.graph.run(np.ascontiguousarray(batch))[0]


@dataclass(frozen=True, kw_only=True)
class ForeignClassifier(OnnxClassifier):
    """An image classifier of another program; outputs that are logits go through a softmax."""

    preprocessing: ImagePreprocessing
    output: int  # position of the output that has the classes
    has_channels_last: bool

    def compute(self, samples: NDArray[np.generic]) -> NDArray[np.floating]:
        """Probabilities (N, classes) of uint8 images (N, C, H, W)."""
        values = super().compute(samples)
        is_distribution = (values >= 0).all() and (abs(values.sum(axis=1) - 1) <= _SUM_TOLERANCE).all()
        return values if is_distribution else softmax(values)

    def run(self, batch: NDArray[np.generic]) -> NDArray[np.float32]:
        """The outputs (n, classes) of the graph for uint8 images (n, C, H, W)."""
        dtype = _FOREIGN_DTYPES[self.graph.inputs[0].dtype]
        if dtype is not np.uint8:
            scale = (self.preprocessing.mean, self.preprocessing.std)
            mean, std = (np.asarray(values, np.float32)[:, None, None] for values in scale)
            batch = ((batch.astype(np.float32) / 255 - mean) / std).astype(dtype)
        images = batch.transpose(0, 2, 3, 1) if self.has_channels_last else batch
        values = self.graph.run(np.ascontiguousarray(images))[self.output]
        return values.astype(np.float32).reshape(len(batch), -1)


def open_onnx_classifier(options: OpensClassifier) -> OnnxClassifier:
    """The classifier in an ONNX file, exported by dlnotes or by another program, on the CPU.

    Raises InputError as `open_graph`, `exported_classifier` and `_foreign_classifier` do, and for options that do not
    apply to it.
    """
    if options.arch is not None:
        raise InputError("--arch", "an ONNX file has its own network", "drop --arch")
    graph = open_graph(options.model, options.threads or default_threads())
    if graph.is_ours:
        check_no_foreign_options(options, "an ONNX file")
    classifier = exported_classifier(graph, tta=options.tta) if graph.is_ours else _foreign_classifier(graph, options)
    check_runtime_of_onnx(options, str(classifier.metadata.get("dtype", "float32")))
    return classifier


def load_onnx_classifier(path: str | Path, threads: int) -> OnnxClassifier:
    """Open a classifier that dlnotes exported. Raises InputError as `open_graph` and `exported_classifier` do."""
    return exported_classifier(open_graph(path, threads))


def exported_classifier(graph: OnnxGraph, *, tta: bool = False) -> OnnxClassifier:
    """The classifier in a file of dlnotes.

    Raises InputError for the file of another program or of a language model, and for metadata that is incomplete or
    contradicts the graph.
    """
    path, metadata = graph.path, graph.export_metadata()
    if kind_of_export(metadata) == TextPreprocessing.kind:
        raise InputError(path, "holds a language model, but this command needs a classifier", "use another model file")
    with metadata_errors(path, EXPORT_AGAIN):
        preprocessing = preprocessing_from_json(metadata["format"], ImagePreprocessing, TablePreprocessing)
        if not isinstance(metadata["model"], str):
            raise TypeError("model")
        check_data(metadata)
        dtype = "uint8" if isinstance(preprocessing, ImagePreprocessing) else "double"
        check_tensors(graph.inputs, [(dtype, (None, *preprocessing.shape))])
        outputs = graph.outputs[0].shape[-1]
        classes = class_names(metadata["classes"], outputs or 0)
        check_tensors(graph.outputs, [("float", (None, outputs))])
    runtime = RuntimeInfo("cpu", DTYPES[str(metadata.get("dtype", "float32"))], graph.threads)
    return OnnxClassifier(
        path=path, classes=classes, preprocessing=preprocessing, metadata=metadata, graph=graph, runtime=runtime,
        tta=tta,
    )  # fmt: skip


class _Images(NamedTuple):
    """The input of a graph, a batch of images; a size is None that the graph leaves open."""

    dtype: str
    has_channels_last: bool
    channels: Any  # 1 or 3
    size: tuple[int | None, ...]  # (H, W)


def _foreign_classifier(graph: OnnxGraph, options: OpensClassifier) -> ForeignClassifier:
    """The classifier in an ONNX file of another program.

    Raises InputError for a graph whose input is not one batch of images or whose output is not one row of classes per
    image; where size or range of the pixels is not known; and for a file of class names that does not fit.
    """
    images = _image_input(graph)
    height, width = _size(graph, images, options.size)
    scaling = _scaling(graph, images, options.normalize)
    mean, std = (values[: images.channels] for values in _SCALES[scaling])
    crop_pct = _CROP_PCT if scaling == "imagenet" else 1.0
    preprocessing = ImagePreprocessing(images.channels, height, width, "crop", mean, std, crop_pct)
    position, count = _class_output(graph)
    classes = _classes(graph, count, options.classes)
    output.note(f"{graph.path} is of another program and has no checksum that could be verified")
    return ForeignClassifier(
        path=graph.path, classes=classes, preprocessing=preprocessing, metadata={}, graph=graph, output=position,
        has_channels_last=images.has_channels_last, runtime=RuntimeInfo("cpu", "fp32", graph.threads), tta=options.tta,
    )  # fmt: skip


def _image_input(graph: OnnxGraph) -> _Images:
    """The input, which must be the only one."""
    tensor = graph.inputs[0] if len(graph.inputs) == 1 else None
    if tensor is None or len(tensor.shape) != _IMAGE_RANK or tensor.dtype not in _FOREIGN_DTYPES:
        what = f"its input is not one batch of images (inputs: {_listed(graph.inputs)})"
        raise InputError(graph.path, what, "use a classifier of images, or a file that dlnotes exported")
    _, *axes = tensor.shape
    for has_channels_last in (False, True):
        channels, size = (axes[2], axes[:2]) if has_channels_last else (axes[0], axes[1:])
        if channels in {1, 3}:
            return _Images(tensor.dtype, has_channels_last, channels, tuple(size))
    raise InputError(graph.path, f"its input {tensor} has neither 1 nor 3 channels", "use a classifier of images")


def _size(graph: OnnxGraph, images: _Images, size: int | None) -> tuple[int, int]:
    """(H, W) of the input: of the graph, else of the option, else of `imgsz`, which Ultralytics writes."""
    stated: tuple[Any, ...] = (None, None)
    with suppress(ValueError, SyntaxError, TypeError):
        height, width = ast.literal_eval(graph.metadata.get("imgsz", ""))
        if type(height) is int and type(width) is int and min(height, width) > 0:
            stated = height, width
    height, width = (known or size or other for known, other in zip(images.size, stated, strict=True))
    if height is None or width is None:
        raise InputError("--size", f"{graph.path} accepts images of any size", "pass the size it was trained with")
    if size is not None and (height, width) != (size, size):
        raise InputError("--size", f"{graph.path} needs images of {height}x{width} pixels", "drop --size")
    return height, width


def _scaling(graph: OnnxGraph, images: _Images, normalize: str | None) -> str:
    """How pixels become inputs: a key of `_SCALES`."""
    if images.dtype == "uint8" and normalize is not None:
        raise InputError("--normalize", f"{graph.path} reads uint8 pixels", "drop --normalize")
    if images.dtype == "uint8" or normalize is not None:
        return normalize or "pixels"
    if (stated := graph.metadata.get(_RANGE_KEY)) in _RANGES:
        return _RANGES[stated]
    if "imgsz" in graph.metadata and "names" in graph.metadata:  # Ultralytics, whose inputs are 0..1
        return "unit"
    what = f"{graph.path} does not say how its input is scaled"
    raise InputError("--normalize", what, "pass imagenet, unit or symmetric, as it was trained")


def _class_output(graph: OnnxGraph) -> tuple[int, int]:
    """The position of the output with one row of classes per image, and the number of classes."""
    for position, tensor in enumerate(graph.outputs):
        count = (*tensor.shape[1:], None)[0]
        if tensor.dtype in _FOREIGN_DTYPES and count is not None and count > 1 and set(tensor.shape[2:]) <= {1}:
            return position, count
    what = f"its output is not one row of classes per image (outputs: {_listed(graph.outputs)})"
    raise InputError(graph.path, what, "use a classifier of images")


def _listed(tensors: tuple[object, ...]) -> str:
    return ", ".join(map(str, tensors)) or "none"


def _classes(graph: OnnxGraph, count: int, path: Path | None) -> tuple[str, ...]:
    """The class names of a file, else those of the metadata, else numbers."""
    if path is not None:
        names = _listed_classes(path)
        if len(names) != count:
            what = f"{path} has {len(names)} names for {count} classes"
            raise InputError("--classes", what, "use one line per class")
        return names
    stated = _stated_classes(graph)
    if len(stated) == count:
        return stated
    found = f"{len(stated)} class names for {count} classes" if stated else "no class names"
    output.note(f"{graph.path} has {found}, so that classes are numbered; --classes FILE names them")
    return tuple(map(str, range(count)))


def _listed_classes(path: Path) -> tuple[str, ...]:
    content = read_file(path, _LARGEST_LIST, "use a file with one class name per line")
    try:
        names = [line.strip() for line in content.decode("utf-8-sig").rstrip().splitlines()]
    except UnicodeDecodeError as error:
        raise InputError("--classes", f"{path} is not UTF-8 text", "save it as UTF-8") from error
    repeated = next((name for i, name in enumerate(names) if name in names[:i]), None)
    if repeated is not None:
        raise InputError("--classes", f"{path} has '{repeated}' twice", "give each class its own name")
    return tuple(names)


def _stated_classes(graph: OnnxGraph) -> tuple[str, ...]:
    """The class names of `names` in the metadata, a Python dictionary by index, or a list; empty for others."""
    with suppress(ValueError, SyntaxError, TypeError, LookupError, MemoryError, RecursionError):
        stated = ast.literal_eval(graph.metadata.get("names", ""))
        if isinstance(stated, dict):
            stated = [stated[i] for i in range(len(stated))]
        names = tuple(map(str, stated))
        return names if len(set(names)) == len(names) else ()
    return ()
