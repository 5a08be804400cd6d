"""Training a convolutional network."""

from dataclasses import replace
from typing import Any

import torch

from dlnotes_cli.classify.options_cnn import Arch, TrainCnnConfig
from dlnotes_cli.data.batches import Normalizer
from dlnotes_cli.data.dataset import DataSet
from dlnotes_cli.data.load import check_images, image_data_shape
from dlnotes_cli.models.cnn import CnnConfig, first_convolution, initialize, whiten
from dlnotes_cli.models.cnn_architectures import NETWORKS, Form
from dlnotes_cli.models.registry import build_empty, config_to_json
from dlnotes_cli.shapes.layer import Shape, dims
from dlnotes_cli.shapes.parsing.parser import parse_layers
from dlnotes_cli.shapes.parsing.source import layers_text
from dlnotes_cli.shapes.report import Report, analyze
from dlnotes_cli.shapes.stack import trace
from dlnotes_cli.shell.errors import InputError
from dlnotes_cli.training.engine.classifier import Architecture, train_classifier
from dlnotes_cli.training.engine.run import tell_longer
from dlnotes_cli.training.recipes import (
    BEST_CNN,
    BY_ARCH,
    CNN_LENGTH,
    LONG_CNN,
    LR_WITHOUT_NORM,
    NOTES_CNN,
    for_long,
    given,
    with_recipe,
)
from dlnotes_cli.training.record import TrainingResult

_NETWORK = ("arch", "width", "dropout", "batch_norm")  # options that --layers replaces
_LOOKED_AT = 2000  # images, for the statistics of their patches
_LARGEST_SIDE = 1024  # that is tried when an error names the size that a network needs


def train_cnn(config: TrainCnnConfig) -> TrainingResult:
    """Train a CNN on images, test and document it in its run folder.

    Raises InputError before anything is written where options, folder or data are not right; UnfinishedError on
    divergence or a full disk; StoppedError after a signal, with the run saved.
    """
    config = _checked(config)
    if config.layers is None:
        tell_longer(for_long(config, LONG_CNN))
    return train_classifier(config, Architecture("cnn", _recipe, _describe, _initialize, _bf16_pays, CNN_LENGTH))


def report_network(config: TrainCnnConfig) -> Report:
    """Shapes, parameters and cost of the network that `train_cnn` would train."""
    config = _checked(config)
    described = _network(with_recipe(config, _recipe(config)), *image_data_shape(config))
    return analyze(parse_layers(described.layers), described.shape)


def _checked(config: TrainCnnConfig) -> TrainCnnConfig:
    """Options that fit together, `layers` as text."""
    check_images(config, "a convolutional network")
    if config.layers is None:
        return config
    for name in _NETWORK:
        if getattr(config, name) is not None:
            flag = f"--{name.replace('_', '-')}"
            raise InputError(flag, "says nothing of a network from --layers", f"drop {flag}, or write it into the list")
    return replace(config, layers=layers_text(config.layers))


def _recipe(config: TrainCnnConfig) -> dict[str, Any]:
    recipe = NOTES_CNN if config.recipe == "notes" else BEST_CNN | for_long(config, LONG_CNN)
    if config.layers is not None:
        recipe = {name: value for name, value in recipe.items() if name not in _NETWORK}
        is_normal = "BatchNorm" in config.layers
    else:
        recipe = recipe | BY_ARCH[config.arch or recipe["arch"]]
        is_normal = bool(recipe["batch_norm"] if config.batch_norm is None else config.batch_norm)
    return recipe if is_normal or config.recipe == "notes" else recipe | {"lr": LR_WITHOUT_NORM}


def _describe(config: TrainCnnConfig, dataset: DataSet) -> CnnConfig:
    return _network(config, dataset.preprocessing.shape, len(dataset.classes))


def _network(config: TrainCnnConfig, shape: Shape, classes: int) -> CnnConfig:
    channels, height, width = shape
    if config.layers is not None:
        return _own_network(config.layers, shape, classes)
    form = Form(channels, height, width, classes, given(config.dropout), given(config.batch_norm), given(config.width))
    layers = NETWORKS[given(config.arch)](form)
    try:
        trace(parse_layers(layers), shape)
    except InputError as error:
        what = f"{dims(shape[1:])} is too small for --arch {config.arch}: {error.where}: {error.what}"
        raise InputError("--size", what, f"use at least {_smallest(given(config.arch), form)}") from error
    return CnnConfig(layers, shape, classes)


def _own_network(layers: str, shape: Shape, classes: int) -> CnnConfig:
    """A network from `--layers`, checked by arithmetic, then by an empty batch on a device without memory."""
    output = trace(parse_layers(layers), shape)[-1].output
    if output != (classes,):
        what = f"the list ends in {dims(output)}, and the data has {classes} classes"
        raise InputError("--layers", what, f"end it with Flatten() and Linear(..., {classes})")
    config = CnnConfig(layers, shape, classes)
    try:
        _try_out(config)
    except (RuntimeError, TypeError, ValueError, AttributeError, NotImplementedError) as error:
        reason = str(error).partition("\n")[0]
        raise InputError("--layers", f"PyTorch refuses the list on images: {reason}", "use other layers") from error
    return config


def _try_out(config: CnnConfig) -> None:
    """Run an empty batch through the network on the device that has no memory."""
    network = build_empty("cnn", config_to_json(config)).train()
    scores = network(torch.empty(2, *config.shape, device="meta"))
    if not isinstance(scores, torch.Tensor):
        raise TypeError(f"{type(scores).__name__} comes out")


def _smallest(arch: Arch, form: Form) -> str:
    for side in range(form.side + 1, _LARGEST_SIDE):
        try:
            larger = form._replace(height=side, width=side)
            trace(parse_layers(NETWORKS[arch](larger)), (form.channels, side, side))
        except InputError:
            continue
        return dims((side, side))
    return f"{_LARGEST_SIDE} pixels on a side"


def _initialize(network: torch.nn.Module, config: TrainCnnConfig, dataset: DataSet) -> None:
    if config.recipe == "notes":
        return
    initialize(network)
    if config.arch in {"fast", "large"}:
        chosen = dataset.splits["train"][:: max(1, dataset.counts["train"] // _LOOKED_AT)]
        normalizer = Normalizer(dataset.preprocessing, torch.device("cpu"))
        whiten(first_convolution(network), normalizer(torch.from_numpy(dataset.samples[chosen])))


def _bf16_pays(_network: CnnConfig, _batch_size: int) -> bool:
    return True  # convolutions gain at any size that trains
