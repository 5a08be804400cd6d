"""The training of a convolutional network."""

import time
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from dlnotes_cli.classify.affordable import choose, measure_step_s, resized, usable_s
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
from dlnotes_cli.models.registry import build, build_on_meta
from dlnotes_cli.models.validation import InvalidNetworkError
from dlnotes_cli.shapes.layer import Shape, format_shape
from dlnotes_cli.shapes.parsing.layer_files import layers_text
from dlnotes_cli.shapes.report import NetworkReport, analyze
from dlnotes_cli.shell import output
from dlnotes_cli.shell.errors import InputError
from dlnotes_cli.training.distributed import joined
from dlnotes_cli.training.fit import fit
from dlnotes_cli.training.recipes import MOMENTUM_OPTIMIZERS, RunLength, with_recipe
from dlnotes_cli.training.results import ClassifierResult
from dlnotes_cli.training.schedule import HALVED
from dlnotes_cli.training.task import Batch

_WHITENING_SAMPLES = 2000  # images from which the statistics of patches are computed
_WHITENING_BIAS_EPOCHS = 3  # after which the first convolution needs no gradient, which saves time
_MAX_SIDE = 1024  # the largest size that an error proposes


def train_cnn(options: TrainCnnConfig) -> ClassifierResult:
    """Train a convolutional network on images, test it and write its run folder.

    Raises InputError before anything is written where options, folder or data are invalid; UnfinishedError on
    divergence or a full disk; StoppedError after a signal, with the run saved.
    """
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
    _precision: Any = None  # that was measured to be the fastest, of `--precision`

    def configure(self, dataset: DataSet) -> CnnConfig:
        """The configuration of the network for a data set, after the choice of the architecture for it.

        Raises InputError where no network fits the data.
        """
        images = TrainingImages.of(dataset)
        self.recipe = self.options.resolved(images)
        config = _network_config(self.options, self.recipe, images)
        _check_early_size(self.recipe, config)
        return config

    def adapt(self) -> None:
        """With a time budget, measure steps on this machine, and choose width, precision and the size of early images.

        With `--width` or `--max-steps` only the cost of smaller images is measured, where they are used.
        """
        options, recipe = self.options, self.recipe
        if options.time_budget is None or not isinstance(recipe, CnnRecipe):
            return
        is_fixed = recipe.arch != "large" or options.width is not None or options.max_steps is not None
        if is_fixed and recipe.early_size == 1:
            return
        started = time.monotonic()
        if is_fixed:
            precision = self.processes.runtime(options, bf16_pays=True).precision
            early_s, whole_s = (self._step_s(recipe.width, size, precision) for size in (recipe.early_size, 1.0))
            self.early_cost = self.processes.share(min(early_s / whole_s, 1.0))
        else:
            self._choose(options.time_budget)
        self.spent_s = time.monotonic() - started

    def _choose(self, budget_s: float) -> None:
        """Choose what the time budget affords, and print the options that repeat it."""
        options = self.options
        precision = self.processes.runtime(options, bf16_pays=True).precision
        precisions = (precision, "fp32") if options.precision == "auto" and precision == "bf16" else (precision,)
        batch_size = options.batch_size or self.recipe.length.batch_size_of(self.training_samples)
        steps_per_epoch = self.training_samples / batch_size

        def epochs_of(step_s: float) -> float:
            return usable_s(budget_s) / (step_s * steps_per_epoch)

        chosen = self.processes.share(choose(self._step_s, epochs_of, precisions))
        size = chosen.early_size if options.early_size is None else options.early_size
        self.recipe = replace(self.recipe, width=chosen.width, early_size=size)
        self.network_config = _network_config(options, self.recipe, TrainingImages.of(self.dataset))
        self.early_cost, self._precision = chosen.early_cost, chosen.precision
        early = f" --early-size {size:g}" if size < 1 else ""
        repeat = f"--width {chosen.width:g}{early} --precision {chosen.precision}"
        output.note(f"about {chosen.epochs:.0f} epochs of {repeat} fit into the time budget; --max-steps with these "
                    "options repeats the run")  # fmt: skip

    def _step_s(self, width: float, size: float, precision: str) -> float:
        """The measured seconds of a training step."""
        options, dataset = self.options, self.dataset
        batch_size = options.batch_size or self.recipe.length.batch_size_of(self.training_samples)
        chosen = dataset.splits["train"][: -(-batch_size // self.processes.count)]
        runtime = replace(self.processes.runtime(options, bf16_pays=True), precision=precision)
        config = _network_config(options, replace(self.recipe, width=width), TrainingImages.of(dataset))
        samples = Normalizer(dataset.preprocessing, torch.device("cpu"))(torch.from_numpy(dataset.samples[chosen]))
        return measure_step_s(build("cnn", config), resized(samples, size).to(runtime.device), runtime)

    def bf16_pays(self, batch_size: int) -> bool:  # noqa: ARG002  # the base's signature
        """Whether bf16 is faster for this network, unless fp32 was measured to be."""
        return bool(self._precision != "fp32")

    def stored_options(self, length: RunLength) -> TrainCnnConfig:
        """The options with the values of the recipe and of the run's length, and with the measured precision."""
        stored = with_recipe(with_recipe(self.options, self.recipe), length)
        return stored if self._precision is None else replace(stored, precision=self._precision)

    def batch(self, index: int) -> Batch:
        """Batch `index` of the epoch; before the learning rate decays with smaller images, if the recipe says so."""
        batch, size = super().batch(index), getattr(self.recipe, "early_size", 1.0)
        if size == 1 or not self.is_early:
            return batch
        shares = [each._replace(part=replace(each.part, samples=resized(each.part.samples, size)))
                  for each in batch.shares]  # fmt: skip
        return batch._replace(shares=shares)

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


def _check_early_size(recipe: ScratchRecipe, config: CnnConfig) -> None:
    """Refuse smaller images where they have no effect, or where the network cannot read them. Raises InputError."""
    size = getattr(recipe, "early_size", 1.0)
    if size == 1:
        return
    if recipe.schedule not in HALVED:
        what = f"has no effect with --schedule {recipe.schedule}"
        raise InputError("--early-size", what, f"drop it, or use {' or '.join(HALVED)}")
    images = resized(torch.empty(2, *config.shape, device="meta"), size)
    try:
        build_on_meta("cnn", config).train()(images)
    except (RuntimeError, ValueError) as error:
        what = f"the network does not read images of {format_shape(tuple(images.shape[2:]))}"
        raise InputError("--early-size", what, "use a larger one, or drop it") from error


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
