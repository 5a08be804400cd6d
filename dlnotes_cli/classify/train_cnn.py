"""The training of a convolutional network."""

from dataclasses import replace

import torch
from torch import nn

from dlnotes_cli.classify.options_cnn import TrainCnnConfig
from dlnotes_cli.classify.recipes import CnnRecipe, ScratchRecipe, cnn_recipe, default_arch
from dlnotes_cli.data.batches import Normalizer
from dlnotes_cli.data.dataset import DataSet
from dlnotes_cli.data.load import check_images, image_form
from dlnotes_cli.models.cnn import CnnConfig, build_cnn, first_convolution, initialize, whiten
from dlnotes_cli.models.cnn_architectures import ARCHITECTURES, Form
from dlnotes_cli.models.registry import build_on_meta
from dlnotes_cli.shapes.layer import Shape, dims
from dlnotes_cli.shapes.parsing.parser import parse_layers
from dlnotes_cli.shapes.parsing.source import layers_text
from dlnotes_cli.shapes.report import Report, analyze
from dlnotes_cli.shapes.stack import trace
from dlnotes_cli.shell.errors import InputError
from dlnotes_cli.training.engine.classifier import ClassifierTraining, train_classifier
from dlnotes_cli.training.recipes import has_long_budget, note_long_budget
from dlnotes_cli.training.record import TrainingResult

_ARCH_OPTIONS = ("arch", "width", "dropout", "batch_norm")  # without effect with --layers
_WHITENING_SAMPLES = 2000  # images whose patches are whitened
_MAX_TRIED_SIZE = 1024  # when the smallest size for a network is searched


def train_cnn(options: TrainCnnConfig) -> TrainingResult:
    """Train a convolutional network on images, test it and write its run folder.

    Raises InputError before anything is written where options, folder or data are invalid; UnfinishedError on
    divergence or a full disk; StoppedError after a signal, with the run saved.
    """
    options = _validated(options)
    if options.layers is None and options.arch is None and has_long_budget(options.recipe, options.time_budget):
        note_long_budget({"arch": default_arch(options)})
    return train_classifier(CnnTraining(options, cnn_recipe(options)))


def report_network(options: TrainCnnConfig) -> Report:
    """Shapes, parameters and cost of the network that `train_cnn` would train. Raises InputError as `train_cnn`."""
    options = _validated(options)
    config = _network_config(options, cnn_recipe(options), *image_form(options))
    return analyze(parse_layers(config.layers), config.shape)


class CnnTraining(ClassifierTraining[TrainCnnConfig, ScratchRecipe, nn.Sequential]):
    """The training of a convolutional network."""

    model_name = "cnn"

    def network_config(self, dataset: DataSet) -> CnnConfig:
        """The configuration of the network for a data set. Raises InputError where no network fits the data."""
        return _network_config(self.options, self.recipe, dataset.preprocessing.shape, len(dataset.classes))

    def build(self, config: CnnConfig) -> nn.Sequential:
        """The network of a configuration, with PyTorch's initialization."""
        return build_cnn(config)

    def initialize(self, network: nn.Sequential, dataset: DataSet) -> None:
        """Apply He initialization, and whiten the first convolution of some architectures; `notes` keeps PyTorch's."""
        if self.options.recipe == "notes":
            return
        initialize(network)
        if isinstance(self.recipe, CnnRecipe) and ARCHITECTURES[self.recipe.arch].is_whitened:
            chosen = dataset.splits["train"][:: max(1, dataset.counts["train"] // _WHITENING_SAMPLES)]
            normalizer = Normalizer(dataset.preprocessing, torch.device("cpu"))
            whiten(first_convolution(network), normalizer(torch.from_numpy(dataset.samples[chosen])))


def _validated(options: TrainCnnConfig) -> TrainCnnConfig:
    """The options with the text of `--layers`. Raises InputError for options that have no effect and for tables."""
    check_images(options, "a convolutional network")
    if options.layers is None:
        return options
    for name in _ARCH_OPTIONS:
        if getattr(options, name) is not None:
            flag = f"--{name.replace('_', '-')}"
            raise InputError(flag, "has no effect with --layers", f"drop {flag}, or write it into the layer list")
    return replace(options, layers=layers_text(options.layers))


def _network_config(options: TrainCnnConfig, recipe: ScratchRecipe, shape: Shape, classes: int) -> CnnConfig:
    if options.layers is not None:
        return _config_of_layers(options.layers, shape, classes)
    if not isinstance(recipe, CnnRecipe):
        raise TypeError("a network without --layers needs a CnnRecipe")
    channels, height, width = shape
    form = Form(channels, height, width, classes, recipe.dropout, recipe.batch_norm, recipe.width)
    layers = ARCHITECTURES[recipe.arch].build(form)
    try:
        trace(parse_layers(layers), shape)
    except InputError as error:
        what = f"{dims(shape[1:])} is too small for --arch {recipe.arch}: {error.where}: {error.what}"
        raise InputError("--size", what, f"use at least {_smallest_size(recipe.arch, form)}") from error
    return CnnConfig(layers, shape, classes)


def _config_of_layers(layers: str, shape: Shape, classes: int) -> CnnConfig:
    """The configuration of the network in `--layers`, validated by shape arithmetic and on the meta device."""
    output = trace(parse_layers(layers), shape)[-1].output
    if output != (classes,):
        what = f"the layers end in {dims(output)}, and the data has {classes} classes"
        raise InputError("--layers", what, f"end with Flatten() and Linear(..., {classes})")
    config = CnnConfig(layers, shape, classes)
    try:
        _run_on_meta(config)
    except (RuntimeError, TypeError, ValueError, AttributeError, NotImplementedError) as error:
        reason = str(error).partition("\n")[0]
        raise InputError("--layers", f"PyTorch refuses the layers: {reason}", "use other layers") from error
    return config


def _run_on_meta(config: CnnConfig) -> None:
    """Run a batch of two images through the network on the meta device. Raises the errors of PyTorch's layers."""
    logits = build_on_meta("cnn", config).train()(torch.empty(2, *config.shape, device="meta"))
    if not isinstance(logits, torch.Tensor):
        raise TypeError(f"the output is a {type(logits).__name__}")


def _smallest_size(arch: str, form: Form) -> str:
    """The smallest image size that an architecture accepts, as text."""
    for side in range(form.side + 1, _MAX_TRIED_SIZE):
        try:
            larger = form._replace(height=side, width=side)
            trace(parse_layers(ARCHITECTURES[arch].build(larger)), (form.channels, side, side))
        except InputError:
            continue
        return dims((side, side))
    return f"{_MAX_TRIED_SIZE} pixels per side"
