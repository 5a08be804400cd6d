"""Training a convolutional network."""

from dataclasses import replace
from typing import Any

import torch

from dlnotes_cli.classify.options_cnn import TrainCnnConfig
from dlnotes_cli.data.batches import Normalizer
from dlnotes_cli.data.dataset import DataSet
from dlnotes_cli.data.load import check_images, image_form
from dlnotes_cli.models.cnn import CnnConfig, InvalidCnnError, build_cnn, first_convolution, initialize, whiten
from dlnotes_cli.models.cnn_architectures import ARCHITECTURES, CnnArchitecture, CnnSpec
from dlnotes_cli.shapes.layer import Shape, format_shape
from dlnotes_cli.shapes.parsing.layer_files import layers_text
from dlnotes_cli.shapes.report import Report, analyze
from dlnotes_cli.shell.errors import InputError
from dlnotes_cli.training.engine.classifier import Architecture, train_classifier
from dlnotes_cli.training.engine.run import tell_longer
from dlnotes_cli.training.recipes import (
    BEST_CNN,
    CNN_LENGTH,
    LONG_CNN,
    LR_WITHOUT_NORM,
    NOTES_CNN,
    for_long,
    given,
    with_recipe,
)
from dlnotes_cli.training.record import TrainingResult

_NETWORK_OPTIONS = ("arch", "width", "dropout", "batch_norm")  # replaced by --layers
_WHITENING_IMAGES = 2000  # of whose patches whitening takes the statistics
_MAX_SIDE = 1024  # the largest size that an error proposes


def train_cnn(config: TrainCnnConfig) -> TrainingResult:
    """Train a CNN on images, test it and write its run folder.

    Raises InputError before anything is written where options, folder or data are invalid; UnfinishedError on
    divergence or a full disk; StoppedError after a signal, with the run saved.
    """
    config = _validated(config)
    if config.layers is None:
        tell_longer(for_long(config, LONG_CNN))
    return train_classifier(config, Architecture("cnn", _recipe, _describe, _initialize, _bf16_pays, CNN_LENGTH))


def report_network(config: TrainCnnConfig) -> Report:
    """Shapes, parameters and cost of the network that `train_cnn` would train."""
    config = _validated(config)
    network = _network_config(with_recipe(config, _recipe(config)), *image_form(config))
    return analyze(network.parsed_layers, network.shape)


def _validated(config: TrainCnnConfig) -> TrainCnnConfig:
    """The options with `layers` as text; raises InputError where they exclude each other."""
    check_images(config, "a convolutional network")
    if config.layers is None:
        return config
    for name in _NETWORK_OPTIONS:
        if getattr(config, name) is not None:
            flag = f"--{name.replace('_', '-')}"
            raise InputError(flag, "has no effect with --layers", f"drop {flag}, or write it into the list")
    return replace(config, layers=layers_text(config.layers))


def _recipe(config: TrainCnnConfig) -> dict[str, Any]:
    recipe = NOTES_CNN if config.recipe == "notes" else BEST_CNN | for_long(config, LONG_CNN)
    if config.layers is not None:
        recipe = {name: value for name, value in recipe.items() if name not in _NETWORK_OPTIONS}
        has_norm = "BatchNorm" in config.layers
    else:
        architecture = ARCHITECTURES[config.arch or recipe["arch"]]
        recipe = recipe | {"dropout": architecture.dropout, "batch_norm": architecture.batch_norm}
        has_norm = architecture.batch_norm if config.batch_norm is None else config.batch_norm
    return recipe if has_norm or config.recipe == "notes" else recipe | {"lr": LR_WITHOUT_NORM}


def _describe(config: TrainCnnConfig, dataset: DataSet) -> CnnConfig:
    return _network_config(config, dataset.preprocessing.shape, len(dataset.classes))


def _network_config(config: TrainCnnConfig, shape: Shape, classes: int) -> CnnConfig:
    if config.layers is not None:
        return _custom_network(config.layers, shape, classes)
    name = given(config.arch)
    architecture, (channels, height, width) = ARCHITECTURES[name], shape
    dropout, batch_norm = given(config.dropout), given(config.batch_norm)
    spec = CnnSpec(channels, height, width, classes, dropout, batch_norm, given(config.width))
    try:
        return CnnConfig(architecture.layers(spec), shape, classes)
    except InvalidCnnError as error:
        what = f"{format_shape(shape[1:])} is too small for --arch {name}: {error.where}: {error.what}"
        raise InputError("--size", what, f"use at least {_min_size(architecture, spec)}") from error


def _custom_network(layers: str, shape: Shape, classes: int) -> CnnConfig:
    """A network from `--layers`, validated by layer arithmetic, then by a forward pass on the meta device."""
    config = CnnConfig(layers, shape, classes)
    try:
        _run_on_meta(config)
    except (RuntimeError, TypeError, ValueError, AttributeError, NotImplementedError) as error:
        reason = str(error).partition("\n")[0]
        raise InputError("--layers", f"PyTorch rejects the layers on images: {reason}", "use other layers") from error
    return config


def _run_on_meta(config: CnnConfig) -> None:
    """Run the network on the meta device, which holds no data; raises what PyTorch raises."""
    with torch.device("meta"):
        network = build_cnn(config).train()
        logits = network(torch.empty(2, *config.shape))
    if not isinstance(logits, torch.Tensor):
        raise TypeError(f"the last layer returns a {type(logits).__name__}")


def _min_size(architecture: CnnArchitecture, spec: CnnSpec) -> str:
    """The smallest square size for which an architecture has layers that fit."""
    for side in range(spec.side + 1, _MAX_SIDE):
        larger = spec._replace(height=side, width=side)
        try:
            CnnConfig(architecture.layers(larger), (spec.in_channels, side, side), spec.classes)
        except InvalidCnnError:
            continue
        return format_shape((side, side))
    return f"{_MAX_SIDE} pixels on a side"


def _initialize(network: torch.nn.Module, config: TrainCnnConfig, dataset: DataSet) -> None:
    if config.recipe == "notes":
        return
    initialize(network)
    if config.arch is not None and ARCHITECTURES[config.arch].whitens:
        chosen = dataset.splits["train"][:: max(1, dataset.counts["train"] // _WHITENING_IMAGES)]
        normalizer = Normalizer(dataset.preprocessing, torch.device("cpu"))
        whiten(first_convolution(network), normalizer(torch.from_numpy(dataset.samples[chosen])))


def _bf16_pays(_network: CnnConfig, _batch_size: int) -> bool:
    return True  # convolutions gain at any size
