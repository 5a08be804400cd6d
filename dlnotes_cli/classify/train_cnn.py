"""The training of a convolutional network."""

import math
import time
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from dlnotes_cli.classify.affordable import EARLY_SIZE, MEASURING, USABLE, Affordable, choose, measure_step_s, resized
from dlnotes_cli.classify.from_scratch import ScratchTask, best_restart
from dlnotes_cli.classify.options import TrainCnnConfig
from dlnotes_cli.classify.recipes import FILTER_LR, NORM_BIAS_LR, SCORE_LR, CnnRecipe, ScratchRecipe
from dlnotes_cli.data.batches import Normalizer
from dlnotes_cli.data.dataset import DataSet
from dlnotes_cli.data.images.augment_parser import parse_augment
from dlnotes_cli.data.load import TrainingSize, check_images, training_size
from dlnotes_cli.device import Runtime
from dlnotes_cli.networks.choices import InvalidNetworkError, parse_init
from dlnotes_cli.networks.cnn import CnnConfig, first_convolution, initialize_as_identity, initialize_cnn, whiten
from dlnotes_cli.networks.cnn_architectures import ARCHITECTURES, CnnArchitecture, CnnSpec
from dlnotes_cli.networks.registry import build, build_on_meta, initialize
from dlnotes_cli.shapes.layer import Shape, format_shape
from dlnotes_cli.shapes.parsing.layer_list import layers_text
from dlnotes_cli.shapes.report import NetworkReport, analyze
from dlnotes_cli.shell import output
from dlnotes_cli.shell.errors import InputError
from dlnotes_cli.training.distributed import ALONE, Processes, process_group
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
    affordable: Affordable | None = None
    with process_group(options) as processes:

        def train(restart: TrainCnnConfig) -> ClassifierResult:
            nonlocal affordable
            task = CnnTask(restart, restart.resolved(), processes, affordable)
            result = fit(task)
            affordable = task.affordable
            return result

        return best_restart(options, train)


def report_network(options: TrainCnnConfig) -> NetworkReport:
    """Shapes, parameters and cost of the network that `train_cnn` would train."""
    options = _validated(options)
    recipe = options.resolved()
    images = training_size(options, options.split_rule(recipe.val_split))
    recipe = options.resolved(images)
    config = _network_config(options, recipe, images)
    parse_augment(recipe.augment, images.shape, flippable=True)  # raises InputError as in training
    if _measures_width(options, recipe):
        output.note("--time-budget: training measures this machine and chooses --width; this is the network of width 1")
    return analyze(config.parsed_layers, config.shape)


class CnnTask(ScratchTask[ClassifierResult]):
    """The training of a convolutional network."""

    result_type = ClassifierResult
    model_name = "cnn"
    memory_options = "--arch, --width, --size or --batch-size"
    options: TrainCnnConfig

    def __init__(
        self, options: TrainCnnConfig, recipe: ScratchRecipe, processes: Processes = ALONE,
        affordable: Affordable | None = None,
    ) -> None:  # fmt: skip
        """With what an earlier restart found `affordable`, nothing is measured."""
        super().__init__(options, recipe, processes)
        self.affordable = affordable

    def configure(self, dataset: DataSet) -> CnnConfig:
        """The configuration of the network for a data set, after the choice of the architecture for it.

        Raises InputError where no network fits the data.
        """
        images = TrainingSize.of(dataset)
        self.recipe = self.options.resolved(images)
        config = _network_config(self.options, self.recipe, images)
        _check_early_size(self.recipe, config)
        return config

    def adapt(self) -> None:
        """With a time budget, measure steps on this machine, and choose width, precision and the size of early images.

        With `--width` or `--max-steps` nothing is measured. A restart has what the first one chose.
        """
        options, started = self.options, time.monotonic()
        if options.time_budget is not None and _measures_width(options, self.recipe):
            self.affordable = self.affordable or self.processes.broadcast(self._choose(options.time_budget))
            self.recipe = replace(self.recipe, width=self.affordable.width, early_size=self.affordable.early_size)
            self.network_config = _network_config(options, self.recipe, TrainingSize.of(self.dataset))
            self._note_choice(self.affordable)
            self.spent_s = time.monotonic() - started
        self.has_early_steps = _early_size(self.recipe) < 1

    def _choose(self, budget_s: float) -> Affordable:
        """What the time budget affords."""
        options, precision, started = self.options, self._runtime().precision, time.monotonic()
        precisions = (precision, "fp32") if options.precision == "auto" and precision == "bf16" else (precision,)
        size = options.early_size or (EARLY_SIZE if self.recipe.schedule in HALVED else 1.0)
        steps_per_epoch = self.training_samples / self._batch_size

        def epochs_of(step_s: float) -> float:
            return USABLE * budget_s / (step_s * steps_per_epoch)

        def may_measure() -> bool:
            return time.monotonic() - started < MEASURING * budget_s

        chosen = choose(self._step_s, epochs_of, precisions, size, may_measure)
        return chosen if options.early_size is None else chosen._replace(early_size=options.early_size)

    def _note_choice(self, chosen: Affordable) -> None:
        """Print the options that repeat the run."""
        repeat = f"--width {chosen.width:g}"
        if chosen.early_size < 1:
            repeat += f" --early-size {chosen.early_size:g}"
        if self.options.precision == "auto":
            repeat += f" --precision {chosen.precision}"
        epochs = f"about {chosen.epochs:.0f} epochs of {repeat}"
        output.note(f"{epochs} fit into the time budget; with these options, --max-steps repeats the run")

    def _runtime(self) -> Runtime:
        return self.processes.runtime(self.options, bf16_pays=True)

    @property
    def _batch_size(self) -> int:
        return self.options.batch_size or int(self.recipe.length.batch_size_of(self.training_samples))

    def _step_s(self, width: float, size: float, precision: str) -> float:
        """The measured seconds of a training step; infinite for a network that cannot be trained on such images."""
        dataset, runtime = self.dataset, replace(self._runtime(), precision=precision)
        chosen = dataset.splits["train"][: -(-self._batch_size // self.processes.count)]
        config = _network_config(self.options, replace(self.recipe, width=width), TrainingSize.of(dataset))
        samples = Normalizer(dataset.preprocessing, torch.device("cpu"))(torch.from_numpy(dataset.samples[chosen]))
        try:
            return measure_step_s(build("cnn", config), resized(samples, size).to(runtime.device), runtime)
        except RuntimeError:  # as of torch for too small images, and for too little memory
            return math.inf

    def bf16_pays(self, batch_size: int) -> bool:  # noqa: ARG002  # the base's signature
        """Whether bf16 is faster for this network, unless fp32 was measured to be."""
        return self.affordable is None or self.affordable.precision != "fp32"

    def stored_options(self, length: RunLength) -> TrainCnnConfig:
        """The options with the values of the recipe and of the run's length, and with the measured precision."""
        stored = with_recipe(with_recipe(self.options, self.recipe), length)
        precision: Any = self.runtime.precision
        return replace(stored, precision=precision) if self.affordable and precision in {"bf16", "fp32"} else stored

    def batch(self, index: int) -> Batch:
        """Batch `index` of the epoch; with smaller images in the first steps, if the recipe says so."""
        batch, size = super().batch(index), _early_size(self.recipe)
        if size == 1 or not self.is_early:
            return batch
        parts = [each._replace(batch=replace(each.batch, samples=resized(each.batch.samples, size)))
                  for each in batch.parts]  # fmt: skip
        return batch._replace(parts=parts)

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
            elif isinstance(module, nn.Conv2d) and self.recipe.optimizer == "muon":
                factors[f"{name}.weight"] = FILTER_LR
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
    if options.layers == "-" and options.devices > 1:
        raise InputError("--devices", "only one process can read standard input", "save the layers to a file")
    return replace(options, layers=layers_text(options.layers))


def _network_config(options: TrainCnnConfig, recipe: ScratchRecipe, images: TrainingSize) -> CnnConfig:
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


def _measures_width(options: TrainCnnConfig, recipe: ScratchRecipe) -> bool:
    """Whether a run measures which width its time budget affords."""
    is_open = options.width is None and options.max_steps is None and options.layers is None
    return is_open and options.time_budget is not None and isinstance(recipe, CnnRecipe) and recipe.arch == "large"


def _early_size(recipe: ScratchRecipe) -> float:
    return recipe.early_size if isinstance(recipe, CnnRecipe) else 1.0


def _check_early_size(recipe: ScratchRecipe, config: CnnConfig) -> None:
    """Refuse smaller images where they have no effect, or where the network cannot read them. Raises InputError."""
    size = _early_size(recipe)
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
