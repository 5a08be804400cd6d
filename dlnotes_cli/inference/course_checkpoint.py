"""Checkpoints of the course's notebooks: bare state dicts, whose networks `--arch` names, as classifiers."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from torch import Tensor

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
_MLP_LAYERS = {"fc1": "linear1", "fc2": "linear2", "fc3": "output"}  # names in the notebook and in our network
_CNN_LAYERS = ("conv1", "conv2", "conv3", "fc1", "fc2")  # in the order of the network
_MLP_HIDDEN, _MLP_DROPOUT = (512, 512), 0.2
_CNN_NAME = "notes-cnn"


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

    Layers have the names of the notebooks: fc1, fc2, fc3 for MNIST; conv1, conv2, conv3, fc1, fc2 for CIFAR-10. Raises
    InputError naming the file if it is damaged, is not a state dict, or has other tensors.
    """
    path = files.user_path(path)
    if path.is_dir():
        raise InputError(path, "is a folder", "name the file of the state dict")
    weights = read_weights(path)
    data, mean = ("mnist", 0.0) if arch == "notes-mlp" else ("cifar10", 0.5)
    published = NAMED[data]
    channels, height, width = published.shape
    scale = (mean,) * channels, (mean or 1.0,) * channels
    preprocessing = ImagePreprocessing(channels, height, width, "crop", *scale)
    name, config, layers = _network(arch, published.shape, len(published.classes))
    network = build_on_meta(name, config).eval()
    tensors = _renamed(path, arch, weights, layers)
    load_weights(path, network, tensors, fix="use another --arch, or a checkpoint of the notebook's own network")
    metadata: dict[str, Any] = {
        "kind": "model", "model": name, "configuration": to_json(config), "classes": list(published.classes),
        "format": preprocessing_to_json(preprocessing), "data": {"name": data}, "source": path.name,
        "sha256": file_sha256(path),
    }  # fmt: skip
    return TrainedModel(path, network, name, published.classes, preprocessing, metadata)


def _network(arch: CourseArch, shape: tuple[int, int, int], classes: int) -> tuple[str, Any, dict[str, str]]:
    """Registry name and configuration of a network, and the names of its layers by those of the notebook."""
    if arch == "notes-mlp":
        channels, height, width = shape
        config = MlpConfig(channels * height * width, classes, _MLP_HIDDEN, dropout=_MLP_DROPOUT)
        return "mlp", config, _MLP_LAYERS
    described = ARCHITECTURES[_CNN_NAME]
    spec = CnnSpec(*shape, classes, described.dropout, described.batch_norm)
    cnn = CnnConfig(described.layers(spec), shape, classes)
    weighted = [name for name, layer in build_on_meta("cnn", cnn).named_children() if list(layer.parameters())]
    return "cnn", cnn, dict(zip(_CNN_LAYERS, weighted, strict=True))


def _renamed(path: Path, arch: str, weights: dict[str, Tensor], layers: dict[str, str]) -> dict[str, Tensor]:
    """The tensors by the names in our network. Raises InputError for a layer that the notebook's network lacks."""
    renamed = {}
    for name, tensor in weights.items():
        layer, _, parameter = name.rpartition(".")
        if layer not in layers:
            what = f"has a tensor {name}, and the layers of {arch} are {', '.join(layers)}"
            raise InputError(path, what, "use another --arch, or a checkpoint of that network")
        renamed[f"{layers[layer]}.{parameter}"] = tensor
    return renamed
