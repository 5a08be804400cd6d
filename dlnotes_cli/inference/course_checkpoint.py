"""Checkpoints of the course's notebooks: bare state dicts, whose networks `--arch` names, as classifiers."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from dlnotes_cli.data.preprocessing import ImagePreprocessing, preprocessing_to_json
from dlnotes_cli.data.published import NAMED
from dlnotes_cli.networks.cnn import CnnConfig
from dlnotes_cli.networks.cnn_architectures import ARCHITECTURES, CnnSpec
from dlnotes_cli.networks.mlp import MlpConfig
from dlnotes_cli.networks.registry import build_on_meta
from dlnotes_cli.shell import files
from dlnotes_cli.shell.codec import to_json
from dlnotes_cli.shell.errors import InputError
from dlnotes_cli.training.foreign_weights import file_sha256, read_weights
from dlnotes_cli.training.model_file import TrainedModel, load_weights
from dlnotes_cli.training.options import CourseArch

Loaded = TypeVar("Loaded")
_PYTORCH_SUFFIXES = {".pt", ".pth"}


class _Notebook(NamedTuple):
    """A network of the course: its data, the mean of its pixels, and its layers in their order."""

    data: str
    mean: float
    layers: tuple[str, ...]


_NOTEBOOKS: Mapping[CourseArch, _Notebook] = {
    "notes-mlp": _Notebook("mnist", 0.0, ("fc1", "fc2", "fc3")),
    "notes-cnn": _Notebook("cifar10", 0.5, ("conv1", "conv2", "conv3", "fc1", "fc2")),
}


def load_named_model(
    path: str | Path, arch: CourseArch | None, load: Callable[[Path], Loaded]
) -> Loaded | TrainedModel:
    """A model file of dlnotes, as `load` reads it, or with `--arch` a checkpoint of the course.

    Raises InputError as `load` and `load_course_classifier` do, and for a checkpoint of PyTorch without `--arch`.
    """
    path = files.user_path(path)
    if arch is not None:
        return load_course_classifier(path, arch)
    if path.suffix.lower() in _PYTORCH_SUFFIXES and path.is_file():
        fix = "use a model file that dlnotes trained, or for a state dict of the course --arch notes-mlp or notes-cnn"
        raise InputError(path, "is not a dlnotes model file", fix)
    return load(path)


def load_course_classifier(path: str | Path, arch: CourseArch) -> TrainedModel:
    """A network of the course with the weights of a state dict, on the CPU.

    Raises InputError naming the file if it is damaged, is not a state dict, or has other tensors.
    """
    path = files.user_path(path)
    if path.is_dir():
        raise InputError(path, "is a folder", "name the file of the state dict")
    weights, (data, mean, layers) = read_weights(path), _NOTEBOOKS[arch]
    published = NAMED[data]
    (channels, height, width), classes = published.shape, published.classes
    name: str
    config: Any
    if arch == "notes-mlp":
        name, config = "mlp", MlpConfig(channels * height * width, len(classes), (512, 512), dropout=0.2)
    else:
        architecture = ARCHITECTURES[arch]
        spec = CnnSpec(*published.shape, len(classes), architecture.dropout, architecture.batch_norm)
        name, config = "cnn", CnnConfig(architecture.layers(spec), published.shape, len(classes))
    network = build_on_meta(name, config).eval()
    own = [name for name, layer in network.named_children() if list(layer.parameters())]
    tensors = {}
    for tensor_name, tensor in weights.items():
        layer, _, parameter = tensor_name.rpartition(".")
        if layer not in layers:
            what = f"has a tensor {tensor_name}, and the layers of {arch} are {', '.join(layers)}"
            raise InputError(path, what, "use another --arch, or a checkpoint of that network")
        tensors[f"{own[layers.index(layer)]}.{parameter}"] = tensor
    load_weights(path, network, tensors, fix="use another --arch, or a checkpoint of the notebook's own network")
    scale = (mean,) * channels, (mean or 1.0,) * channels
    preprocessing = ImagePreprocessing(channels, height, width, "crop", *scale)
    metadata: dict[str, Any] = {
        "kind": "model", "model": name, "configuration": to_json(config), "classes": list(classes),
        "format": preprocessing_to_json(preprocessing), "data": {"name": data}, "source": path.name,
        "sha256": file_sha256(path),
    }  # fmt: skip
    return TrainedModel(path, network, name, classes, preprocessing, metadata)
