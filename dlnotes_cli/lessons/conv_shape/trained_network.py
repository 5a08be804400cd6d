"""`conv-shape --model`: the layers of a trained network, from the configuration in its model file."""

import json
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dlnotes_cli.data.paths import check_regular
from dlnotes_cli.networks import embedded
from dlnotes_cli.shapes.layer import Layer, Shape
from dlnotes_cli.shapes.parsing.layer_list import LayerList, parse_list
from dlnotes_cli.shell.errors import InputError, unreadable
from dlnotes_cli.shell.files import user_path

if TYPE_CHECKING:
    from torch import nn

_ACTIVATIONS = {"relu": "ReLU", "sigmoid": "Sigmoid", "tanh": "Tanh", "leaky-relu": "LeakyReLU", "gelu": "GELU"}
_CELLS = {"lstm": "LSTM", "gru": "GRU", "rnn": "RNN"}
_LENGTH_BYTES = 8  # in front of the header of a model file
_MAX_HEADER_BYTES = 64 << 20
_FORMAT_VERSION = 1
_FIX = "use the folder of a run, or its model.safetensors"


def trained_network(path: Path) -> "tuple[LayerList | nn.Module, Shape]":
    """The network of a model file or run folder, and the shape of the samples on which it was trained.

    It is a list of layers, which needs no torch, or with a backbone of torchvision a module on the meta device. A
    language model reads one token. Raises InputError for a file that is none.
    """
    path = user_path(path)
    file = path / "model.safetensors" if path.is_dir() else path
    metadata = _read_metadata(file)
    try:
        return _network(metadata, metadata["configuration"])
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise InputError(file, f"its metadata is invalid ({error!r:.200})", "train the model again") from error


def _network(metadata: dict[str, Any], configuration: dict[str, Any]) -> "tuple[LayerList | nn.Module, Shape]":
    name = metadata["model"]
    if name == "mlp":
        image = [metadata["format"].get(size) for size in ("channels", "height", "width")]  # a row of a table has none
        return parse_list(_perceptron(configuration)), tuple(image) if image[0] else (configuration["inputs"],)
    if name == "cnn":
        return parse_list(configuration["layers"]), tuple(configuration["shape"])
    if name == "char_rnn":
        return _language_model(configuration)
    if name == "backbone":
        size = configuration["size"]
        return _transfer_model(configuration), (3, size, size)
    raise ValueError(f"unknown network {name!r}")


def _perceptron(configuration: dict[str, Any]) -> str:
    """The layers of `networks.mlp`: linear, batch norm, activation and dropout for each hidden layer."""
    widths = [configuration["inputs"], *configuration["hidden"]]
    layers = ["Flatten()"]
    for inputs, units in pairwise(widths):
        has_norm = configuration["batch_norm"]
        layers.append(f"Linear({inputs}, {units}{', bias=False' if has_norm else ''})")
        layers += [f"BatchNorm1d({units})"] if has_norm else []
        layers.append(f"{_ACTIVATIONS[configuration['activation']]}()")
        layers += [f"Dropout({configuration['dropout']})"] if configuration["dropout"] else []
    return "; ".join([*layers, f"Linear({widths[-1]}, {configuration['classes']})"])


def _language_model(configuration: dict[str, Any]) -> tuple[LayerList, Shape]:
    """The layers of `networks.char_rnn`: embedding or one-hot input, recurrent layers with dropout, output layer."""
    vocabulary, hidden, embed = (configuration[name] for name in ("vocabulary", "hidden", "embed"))
    layers = [f"Embedding({vocabulary}, {embed})"] if embed else []
    for inputs in [embed or vocabulary] + [hidden] * (configuration["layers"] - 1):
        layers.append(f"{_CELLS[configuration['cell']]}({inputs}, {hidden}, batch_first=True)")
        layers += [f"Dropout({configuration['dropout']})"] if configuration["dropout"] else []
    shape = (1,) if embed else (1, vocabulary)
    if not configuration["tied"]:
        parsed = parse_list("; ".join([*layers, f"Linear({hidden}, {vocabulary})"]))
        return parsed._replace(is_code=True), shape
    layers += [f"Linear({hidden}, {embed})"] if embed != hidden else []
    text = f"Linear({embed}, {vocabulary}), the weights of the embedding"
    output = Layer("Linear", (embed, vocabulary), (), text, tied=embed * vocabulary)
    return LayerList((*parse_list("; ".join(layers)).layers, output), is_code=True), shape


def _transfer_model(configuration: dict[str, Any]) -> "LayerList | nn.Module":
    """A backbone of `transfer` with the head of `networks.backbones`: linear layers with ReLU between."""
    backbone, hidden, classes = (configuration[name] for name in ("backbone", "hidden", "classes"))
    if backbone == embedded.EMBEDDED_NAME:
        sizes = [embedded.CHANNELS, *hidden]
        layers = [embedded.FEATURES, *(f"Linear({before}, {after}); ReLU()" for before, after in pairwise(sizes))]
        return parse_list("; ".join([*layers, f"Linear({sizes[-1]}, {classes})"]))
    from dlnotes_cli.networks.registry import build_on_meta, config_from_json  # loads torch

    return build_on_meta("backbone", config_from_json("backbone", configuration))


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
