"""Image classifiers in ONNX files of other programs, as far as their input can be understood.

The names of the classes, the size and the range of the pixels are taken from the options, else from the graph and from
metadata that other programs write: `names` and `imgsz` of Ultralytics, and the image format of the ONNX standard.
"""

import ast
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dlnotes_cli.data.preprocessing import ImagePreprocessing
from dlnotes_cli.device import RuntimeInfo
from dlnotes_cli.inference.onnx_classifier import OnnxClassifier
from dlnotes_cli.inference.onnx_file import OnnxGraph, TensorType
from dlnotes_cli.inference.options import ForeignModelOptions, PixelScaling
from dlnotes_cli.shell import output
from dlnotes_cli.shell.errors import InputError
from dlnotes_cli.shell.files import read_file, user_path
from dlnotes_cli.training.metrics import softmax

Layout = Literal["NCHW", "NHWC"]

_DTYPES = {"uint8": np.uint8, "float": np.float32, "float16": np.float16}
_IMAGE_RANK = 4
_RANGE_KEY = "Image.NominalPixelRange"  # of the ONNX standard
_RANGES: Mapping[str, PixelScaling] = {"Normalized_0_1": "unit", "Normalized_1_1": "symmetric"}
_FULL_RANGE = "NominalRange_0_255"
_CROP_PCT = 0.875  # of torchvision's and timm's preprocessing for ImageNet
_LARGEST_LIST = 1 << 24  # bytes of class names
_SUM_TOLERANCE = 1e-3  # of probabilities that sum to 1


class _Scale(NamedTuple):
    """Mean and standard deviation per channel, of pixels scaled to 0..1, with which pixels become inputs."""

    mean: tuple[float, float, float]
    std: tuple[float, float, float]


_SCALES: Mapping[PixelScaling, _Scale] = {
    "imagenet": _Scale((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "unit": _Scale((0.0,) * 3, (1.0,) * 3),
    "symmetric": _Scale((0.5,) * 3, (0.5,) * 3),
}
_PIXELS = _Scale((0.0,) * 3, (1 / 255,) * 3)  # inputs are pixels 0..255


@dataclass(frozen=True, kw_only=True)
class ForeignClassifier(OnnxClassifier):
    """An image classifier of another program; outputs that are logits go through a softmax."""

    output: int  # position of the output that has the classes
    layout: Layout
    preprocessing: ImagePreprocessing

    def plain_probabilities(self, samples: NDArray[np.generic]) -> NDArray[np.float32]:
        """Probabilities (N, classes) of uint8 images (N, C, H, W). Raises InputError where they are not finite."""
        values = super().plain_probabilities(samples)
        is_distribution = (values >= 0).all() and (abs(values.sum(axis=1) - 1) <= _SUM_TOLERANCE).all()
        return values if is_distribution else softmax(values)

    def run(self, batch: NDArray[np.generic]) -> NDArray[np.float32]:
        """The outputs (n, classes) of the graph for uint8 images (n, C, H, W)."""
        dtype, scale = _DTYPES[self.graph.inputs[0].dtype], self.preprocessing
        if dtype is not np.uint8:
            mean, std = (np.asarray(values, np.float32)[:, None, None] for values in (scale.mean, scale.std))
            batch = ((batch.astype(np.float32) / 255 - mean) / std).astype(dtype)
        images = batch if self.layout == "NCHW" else batch.transpose(0, 2, 3, 1)
        values = self.graph.run(np.ascontiguousarray(images))[self.output]
        return values.astype(np.float32).reshape(len(batch), -1)


def foreign_classifier(graph: OnnxGraph, options: ForeignModelOptions) -> ForeignClassifier:
    """The classifier in an ONNX file of another program.

    Raises InputError for a graph whose input is not one batch of images or whose output is not one row of classes per
    image; where size or range of the pixels is not known; and for a file of class names that does not fit.
    """
    tensor = _image_input(graph)
    layout, channels = _layout(graph, tensor)
    spatial = tensor.shape[2:] if layout == "NCHW" else tensor.shape[1:3]
    height, width = _size(graph, spatial, options.size)
    scaling = _scaling(graph, tensor, options.normalize)
    scale = _PIXELS if scaling is None else _SCALES[scaling]
    preprocessing = ImagePreprocessing(
        channels, height, width, "crop", scale.mean[:channels], scale.std[:channels],
        crop_pct=_CROP_PCT if scaling == "imagenet" else 1.0,
    )  # fmt: skip
    position, count = _class_output(graph)
    classes = _classes(graph, count, options.classes)
    output.note(f"{graph.path} is of another program and has no checksum that could be verified")
    return ForeignClassifier(
        path=graph.path, classes=classes, preprocessing=preprocessing, metadata={}, graph=graph, output=position,
        layout=layout, runtime=RuntimeInfo("cpu", "fp32", graph.threads),
    )  # fmt: skip


def _image_input(graph: OnnxGraph) -> TensorType:
    """The input, which must be the only one."""
    tensor = graph.inputs[0] if len(graph.inputs) == 1 else None
    if tensor is None or len(tensor.shape) != _IMAGE_RANK or tensor.dtype not in _DTYPES:
        found = ", ".join(map(str, graph.inputs)) or "none"
        what = f"its input is not one batch of images (inputs: {found})"
        raise InputError(graph.path, what, "use a classifier of images, or a file that dlnotes exported")
    return tensor


def _layout(graph: OnnxGraph, tensor: TensorType) -> tuple[Layout, Literal[1, 3]]:
    """The order of the axes, and the number of channels."""
    layouts: tuple[tuple[Layout, int], ...] = (("NCHW", 1), ("NHWC", 3))
    for layout, axis in layouts:
        channels = tensor.shape[axis]
        if channels == 1:
            return layout, 1
        if channels == 3:  # noqa: PLR2004  # red, green, blue
            return layout, 3
    raise InputError(graph.path, f"its input {tensor} has neither 1 nor 3 channels", "use a classifier of images")


def _size(graph: OnnxGraph, spatial: tuple[int | None, ...], size: int | None) -> tuple[int, int]:
    """(H, W) of the input: of the graph, else of the option, else of the metadata."""
    stated = _stated_size(graph)
    chosen = [known or size or other for known, other in zip(spatial, stated, strict=True)]
    height, width = chosen
    if height is None or width is None:
        raise InputError("--size", f"{graph.path} accepts images of any size", "pass the size it was trained with")
    if size is not None and (height, width) != (size, size):
        raise InputError("--size", f"{graph.path} needs images of {height}x{width} pixels", "drop --size")
    return height, width


def _stated_size(graph: OnnxGraph) -> tuple[int | None, int | None]:
    """(H, W) of `imgsz` in the metadata, which Ultralytics writes."""
    with suppress(ValueError, SyntaxError, TypeError):
        height, width = ast.literal_eval(graph.metadata.get("imgsz", ""))
        if type(height) is int and type(width) is int and min(height, width) > 0:
            return height, width
    return None, None


def _scaling(graph: OnnxGraph, tensor: TensorType, normalize: PixelScaling | None) -> PixelScaling | None:
    """How pixels become inputs; None for a graph that reads pixels 0..255."""
    if _DTYPES[tensor.dtype] is np.uint8:
        if normalize is not None:
            raise InputError("--normalize", f"{graph.path} reads uint8 pixels", "drop --normalize")
        return None
    if normalize is not None:
        return normalize
    stated = graph.metadata.get(_RANGE_KEY, "")
    if stated == _FULL_RANGE:
        return None
    if stated in _RANGES:
        return _RANGES[stated]
    if "imgsz" in graph.metadata and "names" in graph.metadata:  # Ultralytics, whose inputs are 0..1
        return "unit"
    what = f"{graph.path} does not say how its input is scaled"
    raise InputError("--normalize", what, "pass imagenet, unit or symmetric, as it was trained")


def _class_output(graph: OnnxGraph) -> tuple[int, int]:
    """The position of the output with one row of classes per image, and the number of classes."""
    for position, tensor in enumerate(graph.outputs):
        sizes = tensor.shape[1:]
        count = sizes[0] if sizes else None
        if tensor.dtype in _DTYPES and count is not None and count > 1 and all(size == 1 for size in sizes[1:]):
            return position, count
    found = ", ".join(map(str, graph.outputs)) or "none"
    what = f"its output is not one row of classes per image (outputs: {found})"
    raise InputError(graph.path, what, "use a classifier of images")


def _classes(graph: OnnxGraph, count: int, path: Path | None) -> tuple[str, ...]:
    """The class names of a file, else of the metadata, else numbers."""
    if path is not None:
        names = _listed_classes(path)
        if len(names) != count:
            raise InputError(
                "--classes", f"{path} has {len(names)} names for {count} classes", "use one line per class"
            )
        return names
    stated = _stated_classes(graph)
    if len(stated) == count:
        return stated
    found = f"{len(stated)} class names for {count} classes" if stated else "no class names"
    output.note(f"{graph.path} has {found}, so that classes are numbered; --classes FILE names them")
    return tuple(map(str, range(count)))


def _listed_classes(path: Path) -> tuple[str, ...]:
    content = read_file(user_path(path), _LARGEST_LIST, "use a file with one class name per line")
    try:
        names = [line.strip() for line in content.decode("utf-8-sig").splitlines()]
    except UnicodeDecodeError as error:
        raise InputError("--classes", f"{path} is not UTF-8 text", "save it as UTF-8") from error
    while names and not names[-1]:
        names.pop()
    repeated = next((name for i, name in enumerate(names) if name in names[:i]), None)
    if repeated is not None:
        raise InputError("--classes", f"{path} has '{repeated}' twice", "give each class its own name")
    return tuple(names)


def _stated_classes(graph: OnnxGraph) -> tuple[str, ...]:
    """The class names of `names` in the metadata, a Python dictionary by index, or a list."""
    with suppress(ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        stated = ast.literal_eval(graph.metadata.get("names", ""))
        if isinstance(stated, dict):
            stated = [stated[i] for i in range(len(stated))] if set(stated) == set(range(len(stated))) else []
        names = tuple(map(str, stated))
        return names if len(set(names)) == len(names) else ()
    return ()
