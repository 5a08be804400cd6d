"""The training of a convolutional network."""

from dataclasses import replace

import torch
from torch import nn

from dlnotes_cli.classify.from_scratch import ScratchTask, best_restart
from dlnotes_cli.classify.options import TrainCnnConfig
from dlnotes_cli.classify.recipes import NORM_BIAS_LR, SCORE_LR, CnnRecipe, ScratchRecipe
from dlnotes_cli.data.batches import Normalizer
from dlnotes_cli.data.dataset import DataSet
from dlnotes_cli.data.images.augment_parser import parse_augment
from dlnotes_cli.data.load import TrainingImages, check_images, training_images
from dlnotes_cli.data.splits import SplitRule
from dlnotes_cli.models.choices import parse_init
from dlnotes_cli.models.cnn import CnnConfig, first_convolution, initialize_as_identity, initialize_cnn, whiten
from dlnotes_cli.models.cnn_architectures import ARCHITECTURES, CnnArchitecture, CnnSpec
from dlnotes_cli.models.initialization import initialize
from dlnotes_cli.models.registry import build_on_meta
from dlnotes_cli.models.validation import InvalidNetworkError
from dlnotes_cli.shapes.layer import Shape, format_shape
from dlnotes_cli.shapes.parsing.layer_files import layers_text
from dlnotes_cli.shapes.report import NetworkReport, analyze
from dlnotes_cli.shell import output
from dlnotes_cli.shell.errors import InputError
from dlnotes_cli.training.distributed import joined
from dlnotes_cli.training.fit import fit
from dlnotes_cli.training.recipes import MOMENTUM_OPTIMIZERS
from dlnotes_cli.training.results import ClassifierResult

_WHITENING_SAMPLES = 2000  # images from which the statistics of patches are computed
_WHITENING_BIAS_EPOCHS = 3  # after which the first convolution needs no gradient, which saves time
_MAX_SIDE = 1024  # the largest size that an error proposes


def train_cnn(options: TrainCnnConfig) -> ClassifierResult:
    """Train a convolutional network on images, test it and write its run folder. Raises errors as `fit`."""
    options = _validated(options)
    with joined(options) as processes:
        return best_restart(options, lambda restart: fit(CnnTask(restart, options.resolved(), processes)))


def report_network(options: TrainCnnConfig) -> NetworkReport:
    """Shapes, parameters and cost of the network that `train_cnn` would train."""
    options = _validated(options)
    recipe = options.resolved()
    images = training_images(options, SplitRule(recipe.val_split, options.test_split, options.seed, options.limit))
    recipe = options.resolved(images)
    config = _network_config(options, recipe, images)
    parse_augment(recipe.augment, images.shape, flippable=True)  # raises InputError as in training
    return analyze(config.parsed_layers, config.shape)


class CnnTask(ScratchTask):
    """The training of a convolutional network."""

    model_name = "cnn"
    memory_options = "--arch, --width, --size or --batch-size"
    options: TrainCnnConfig

    def configure(self, dataset: DataSet) -> CnnConfig:
        """The configuration of the network for a data set, after the choice of what depends on the data.

        That is the architecture, and its width for the time budget. Raises InputError where no network fits the data.
        """
        options, images = self.options, TrainingImages.of(dataset)
        self.recipe = options.resolved(images)
        if isinstance(self.recipe, CnnRecipe) and options.width is None and self.recipe.width != 1:
            width, count = f"--width {self.recipe.width:g}", f"{images.count:,} images"
            output.note(f"this time budget and {count} default to {width}; to repeat the run with --max-steps, add it")
        return _network_config(options, self.recipe, images)

    def initialize(self, network: nn.Module) -> None:
        """Apply the initialization that `--init` names, then the weights of `--init-from`.

        By default it is that of the architecture; `notes` keeps PyTorch's.
        """
        initialize(network, parse_init(self.options.init))
        if self._start == "identity":
            initialize_as_identity(network)
        elif self._start is not None:
            initialize_cnn(network)
        if self._start in {"whitened", "identity"}:
            dataset = self.dataset
            chosen = dataset.splits["train"][:: max(1, dataset.counts["train"] // _WHITENING_SAMPLES)]
            normalizer = Normalizer(dataset.preprocessing, torch.device("cpu"))
            whiten(first_convolution(network), normalizer(torch.from_numpy(dataset.samples[chosen])))
        self.start_from(network)

    def start_epoch(self, epoch: int, epochs: int | None) -> None:
        """Fix the whitening filters of a network that starts as the identity, and after three epochs their biases."""
        super().start_epoch(epoch, epochs)
        if self._start == "identity":
            first = first_convolution(self.network)
            first.weight.requires_grad_(False)
            if first.bias is not None:
                first.bias.requires_grad_(epoch <= _WHITENING_BIAS_EPOCHS)

    def lr_factors(self) -> dict[str, float]:
        """Factors for a network that starts as the identity, with SGD, whose steps depend on the scale of a weight."""
        if self._start != "identity" or self.recipe.optimizer not in MOMENTUM_OPTIMIZERS:
            return {}
        factors = {}
        for name, module in self.network.named_modules():
            if isinstance(module, nn.BatchNorm2d):
                factors[f"{name}.bias"] = NORM_BIAS_LR
            elif isinstance(module, nn.Linear):
                factors |= {f"{name}.weight": SCORE_LR, f"{name}.bias": SCORE_LR}
        return factors

    @property
    def _start(self) -> str | None:
        """The initialization of the architecture, where it is used."""
        if self.options.recipe == "notes" or parse_init(self.options.init).name != "default":
            return None
        return ARCHITECTURES[self.recipe.arch].start if isinstance(self.recipe, CnnRecipe) else "he"


def _validated(options: TrainCnnConfig) -> TrainCnnConfig:
    """The options with the text of `--layers`. Raises InputError for tables."""
    check_images(options, "a convolutional network")
    if options.layers is None:
        return options
    return replace(options, layers=layers_text(options.layers))


def _network_config(options: TrainCnnConfig, recipe: ScratchRecipe, images: TrainingImages) -> CnnConfig:
    shape, classes = images.shape, images.classes
    if options.layers is not None:
        return _custom_network(options.layers, shape, classes)
    if not isinstance(recipe, CnnRecipe):
        raise TypeError("a network without --layers needs a CnnRecipe")
    architecture, (channels, height, width) = ARCHITECTURES[recipe.arch], shape
    spec = CnnSpec(channels, height, width, classes, recipe.dropout, recipe.batch_norm, recipe.width)
    try:
        return CnnConfig(architecture.layers(spec), shape, classes)
    except InvalidNetworkError as error:
        what = f"{format_shape(shape[1:])} is too small for --arch {recipe.arch}: {error.where}: {error.what}"
        raise InputError("--size", what, f"use at least {_min_size(architecture, spec)}") from error


def _custom_network(layers: str, shape: Shape, classes: int) -> CnnConfig:
    """A network from `--layers`, validated by layer arithmetic, then by a forward pass on the meta device."""
    config = CnnConfig(layers, shape, classes)
    try:
        _run_on_meta(config)
    # NotImplementedError is a RuntimeError; the others are what the layers of torch.nn raise for inputs they reject
    except (RuntimeError, TypeError, ValueError, AttributeError) as error:
        reason = str(error).partition("\n")[0]
        raise InputError("--layers", f"PyTorch rejects the layers on images: {reason}", "use other layers") from error
    return config


def _run_on_meta(config: CnnConfig) -> None:
    """Run two images through the network on the meta device, which holds no data; raises what PyTorch raises."""
    logits = build_on_meta("cnn", config).train()(torch.empty(2, *config.shape, device="meta"))
    if not isinstance(logits, torch.Tensor):
        raise TypeError(f"the last layer returns a {type(logits).__name__}")


def _min_size(architecture: CnnArchitecture, spec: CnnSpec) -> str:
    """The smallest square size for which an architecture has layers that fit."""
    for side in range(spec.side + 1, _MAX_SIDE):
        larger = spec._replace(height=side, width=side)
        try:
            CnnConfig(architecture.layers(larger), (spec.in_channels, side, side), spec.classes)
        except InvalidNetworkError:
            continue
        return format_shape((side, side))
    return f"{_MAX_SIDE} pixels on a side"
