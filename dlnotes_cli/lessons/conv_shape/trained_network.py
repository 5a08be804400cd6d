"""`conv-shape --model`: the layers of a trained network, from the configuration in its model file."""

import json
from itertools import pairwise
from pathlib import Path
from typing import Any, get_args

from dlnotes_cli.data.paths import check_regular
from dlnotes_cli.models import embedded
from dlnotes_cli.shapes.branched_networks import branched_network
from dlnotes_cli.shapes.choices import BranchedName
from dlnotes_cli.shapes.graph import OPERATION_PREFIX, Network, Node
from dlnotes_cli.shapes.layer import Layer, Shape
from dlnotes_cli.shapes.networks import named_network
from dlnotes_cli.shapes.parsing.layer_list import parse_network
from dlnotes_cli.shell.errors import InputError, unreadable
from dlnotes_cli.shell.files import user_path
from dlnotes_cli.training.model_metadata import metadata_errors

_ACTIVATIONS = {"relu": "ReLU", "sigmoid": "Sigmoid", "tanh": "Tanh", "leaky-relu": "LeakyReLU", "gelu": "GELU"}
_CELLS = {"lstm": "LSTM", "gru": "GRU", "rnn": "RNN"}
_LISTED_BACKBONES = ("alexnet", "vgg11", "vgg13", "vgg16", "vgg19")
_LAST_LAYER = "Linear(4096, 1000)"  # of these
_LENGTH_BYTES = 8  # in front of the header of a model file
_MAX_HEADER_BYTES = 64 << 20
_FORMAT_VERSION = 1
_FIX = "use the folder of a run, or its model.safetensors"


def trained_network(path: Path) -> tuple[Network, Shape]:
    """The network of a model file or run folder, and the shape of the samples on which it was trained.

    A language model reads one token. Raises InputError for a file that is none, and for a backbone whose layers are
    not known without torch.
    """
    file = _model_path(user_path(path))
    metadata = _read_metadata(file)
    with metadata_errors(file):
        name, configuration = metadata["model"], metadata["configuration"]
        if name == "mlp":
            return parse_network(_perceptron(configuration)), _sample_shape(metadata, configuration)
        if name == "cnn":
            return parse_network(configuration["layers"]), tuple(configuration["shape"])
        if name == "char_rnn":
            return _language_model(configuration)
        if name == "backbone":
            size = configuration["size"]
            return _transfer_model(file, configuration), (3, size, size)
        raise ValueError(f"unknown network {name!r}")


def _sample_shape(metadata: dict[str, Any], configuration: dict[str, Any]) -> Shape:
    """The shape of an image, or the number of inputs that a row of a table becomes."""
    stored = metadata["format"]
    if "channels" in stored:
        return stored["channels"], stored["height"], stored["width"]
    return (configuration["inputs"],)


def _perceptron(configuration: dict[str, Any]) -> str:
    """The layers of `models.mlp`: linear, batch norm, activation and dropout for each hidden layer."""
    widths = [configuration["inputs"], *configuration["hidden"]]
    layers = ["Flatten()"]
    for inputs, units in pairwise(widths):
        has_norm = configuration["batch_norm"]
        layers.append(f"Linear({inputs}, {units}{', bias=False' if has_norm else ''})")
        layers += [f"BatchNorm1d({units})"] if has_norm else []
        layers.append(f"{_ACTIVATIONS[configuration['activation']]}()")
        layers += [f"Dropout({configuration['dropout']})"] if configuration["dropout"] else []
    return "; ".join([*layers, f"Linear({widths[-1]}, {configuration['classes']})"])


def _language_model(configuration: dict[str, Any]) -> tuple[Network, Shape]:
    """The layers of `models.char_rnn`: embedding or one-hot input, recurrent layers with dropout, output layer."""
    vocabulary, hidden, embed = (configuration[name] for name in ("vocabulary", "hidden", "embed"))
    layers = [f"Embedding({vocabulary}, {embed})"] if embed else []
    for inputs in [embed or vocabulary] + [hidden] * (configuration["layers"] - 1):
        layers.append(f"{_CELLS[configuration['cell']]}({inputs}, {hidden}, batch_first=True)")
        layers += [f"Dropout({configuration['dropout']})"] if configuration["dropout"] else []
    shape = (1,) if embed else (1, vocabulary)
    if not configuration["tied"]:
        network = parse_network("; ".join([*layers, f"Linear({hidden}, {vocabulary})"]))
        return network._replace(is_code=True), shape
    layers += [f"Linear({hidden}, {embed})"] if embed != hidden else []
    network = parse_network("; ".join(layers))
    text = f"Linear({embed}, {vocabulary}), the weights of the embedding"
    output = Node(Layer(f"{OPERATION_PREFIX}tied_linear", (vocabulary,), (), text), (len(network.nodes) - 1,))
    return Network((*network.nodes, output), is_code=True), shape


def _transfer_model(file: Path, configuration: dict[str, Any]) -> Network:
    """A backbone of `transfer` whose last layer is the head of `models.backbones`: linear layers with ReLU between."""
    backbone, hidden, classes = (configuration[name] for name in ("backbone", "hidden", "classes"))

    def head(inputs: int) -> str:
        layers = [f"Linear({before}, {after}); ReLU()" for before, after in pairwise([inputs, *hidden])]
        return "; ".join([*layers, f"Linear({[inputs, *hidden][-1]}, {classes})"])

    if backbone == embedded.EMBEDDED_NAME:
        return parse_network(f"{embedded.FEATURES}; {head(embedded.CHANNELS)}")
    if backbone in get_args(BranchedName):
        return branched_network(backbone, head)
    if backbone in _LISTED_BACKBONES:
        body = named_network(backbone).layers.rstrip().removesuffix(_LAST_LAYER)
        return parse_network(f"{body}{head(4096)}")
    known = ", ".join((embedded.EMBEDDED_NAME, *_LISTED_BACKBONES, *get_args(BranchedName)))
    what = f"its backbone {backbone} is not one whose layers are known without torch ({known})"
    raise InputError(file, what, f"use dlnotes visualize layers {file}")


def _model_path(path: Path) -> Path:
    """The model file that a run folder stands for, or the path itself."""
    return path / "model.safetensors" if path.is_dir() else path


def _read_metadata(path: Path) -> dict[str, Any]:
    """The metadata of a model file that dlnotes wrote: JSON values. Raises InputError for another or damaged file.

    The checksum of the file is not compared, since that would read all weights.
    """
    check_regular(path)
    try:
        with path.open("rb") as stream:
            length = int.from_bytes(stream.read(_LENGTH_BYTES), "little")
            content = stream.read(length) if length <= _MAX_HEADER_BYTES else b""
    except OSError as error:
        raise unreadable(path, error, _FIX) from error
    try:
        metadata = json.loads(json.loads(content)["__metadata__"]["dlnotes"])
        version = metadata["format_version"]
    except (ValueError, LookupError, TypeError, RecursionError) as error:
        raise InputError(path, "is not a dlnotes model file", _FIX) from error
    if version != _FORMAT_VERSION:
        what = f"has format version {version!r:.20}; this dlnotes reads version {_FORMAT_VERSION}"
        raise InputError(path, what, "upgrade dlnotes, or train the model again")
    return dict(metadata)
