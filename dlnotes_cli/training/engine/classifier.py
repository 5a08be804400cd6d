"""Training a classifier, whatever its network: data, loop, run folder, test, plots."""

import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

import torch
from torch import Tensor, nn

from dlnotes_cli import plots
from dlnotes_cli.data.batches import Normalizer, batch_bounds, epoch_order, splits_on_device
from dlnotes_cli.data.dataset import DataSet
from dlnotes_cli.data.images.augment import Augmenter
from dlnotes_cli.data.images.augment_parser import is_flippable, parse_augment
from dlnotes_cli.data.images.mix import Mixer
from dlnotes_cli.data.load import load_training_data
from dlnotes_cli.device import Runtime, choose_device, choose_runtime, default_threads, free_memory
from dlnotes_cli.models.registry import build_on_meta
from dlnotes_cli.seeding import seed_everything
from dlnotes_cli.shell import files
from dlnotes_cli.shell.errors import InputError
from dlnotes_cli.shell.stopping import StopRequest
from dlnotes_cli.training.engine.batch_size import LARGEST, largest_batch, step_memory
from dlnotes_cli.training.engine.loop import StepOutput, Trainer
from dlnotes_cli.training.engine.run import TrainingRun, make_trainer
from dlnotes_cli.training.evaluation_plots import EvaluatedModel, draw_evaluation
from dlnotes_cli.training.metrics import Evaluation, evaluate, predict_logits
from dlnotes_cli.training.objective import Objective, balanced_weights
from dlnotes_cli.training.optimizers import OptimizerOptions, make_optimizer
from dlnotes_cli.training.options import ClassifierConfig
from dlnotes_cli.training.recipes import ClassifierRecipe, RunLength, run_length, with_recipe
from dlnotes_cli.training.record import ClassifierRecord, ModelSummary, TrainingResult, check_gate
from dlnotes_cli.training.run_folder import RunFolder

Options = TypeVar("Options", bound=ClassifierConfig)
AnyRecipe = TypeVar("AnyRecipe", bound=ClassifierRecipe)
Network = TypeVar("Network", bound=nn.Module)


class ClassifierTraining(ABC, Generic[Options, AnyRecipe, Network]):
    """What one training command adds to `train_classifier`: its recipe, its data and its network."""

    model_name: ClassVar[str]  # in the registry

    def __init__(self, options: Options, recipe: AnyRecipe) -> None:
        self.options, self.recipe = with_recipe(options, recipe), recipe

    def load(self) -> DataSet:
        """The training data, split and described."""
        options = self.options
        return load_training_data(options, seed=options.seed, threads=options.threads or default_threads())

    @abstractmethod
    def network_config(self, dataset: DataSet) -> Any:
        """The configuration of the network for this data. Raises InputError where none fits."""

    @abstractmethod
    def build(self, config: Any) -> Network:
        """The network of a configuration, with PyTorch's initialization."""

    def initialize(self, network: Network, dataset: DataSet) -> None:
        """Set the initial weights, if they are not PyTorch's."""

    def bf16_pays(self, config: Any, batch_size: int) -> bool:  # noqa: ARG002  # subclasses use them
        """Whether bf16 is faster for this network; convolutions gain at any size."""
        return True

    def start_epoch(self, network: Network, epoch: int, epochs: int | None) -> None:
        """Choose the weights that epoch `epoch` of `epochs` (None: unknown) trains."""

    def lr_factors(self, network: Network) -> dict[str, float]:  # noqa: ARG002  # subclasses use it
        """Factors on the learning rate, by parameter name, where layers differ."""
        return {}

    def details(self, network: Network) -> dict[str, Any]:  # noqa: ARG002  # subclasses use it
        """What the result of this command reports besides."""
        return {}


AnyTraining = ClassifierTraining[Any, Any, Any]


class ClassifierJob:
    """A classifier, its data and its objective, for the training loop."""

    def __init__(
        self, training: AnyTraining, network: nn.Module, dataset: DataSet, runtime: Runtime, length: RunLength
    ) -> None:
        options, recipe = training.options, training.recipe
        self.network, self.runtime, self.classes = network, runtime, dataset.classes
        self.splits = splits_on_device(dataset, runtime.device)
        self.normalizer = Normalizer(dataset.preprocessing, runtime.device)
        self._training, self._epochs = training, length.epochs
        self._seed, self._train = options.seed, self.splits["train"]
        self._bounds = batch_bounds(len(self._train), length.batch_size)
        class_weights = None
        if options.class_weights == "balanced":
            class_weights = balanced_weights(self._train.labels[self._train.indices], len(dataset.classes))
        self._objective = Objective(
            network, label_smoothing=recipe.label_smoothing, class_weights=class_weights, l1=recipe.l1
        )
        flippable = is_flippable(dataset.classes)
        operations = parse_augment(recipe.augment, dataset.preprocessing.shape, flippable=flippable)
        self._augment, self._mix = Augmenter(operations, options.seed), Mixer(operations, options.seed)
        self._epoch, self._order = 0, self._train.indices
        self.carried: dict[str, Tensor] = {}
        self.steps_per_epoch, self.validation_samples = len(self._bounds), len(self.splits["val"])

    def start_epoch(self, epoch: int) -> None:
        """Draw the order of an epoch, and choose the weights that it trains."""
        self._training.start_epoch(self.network, epoch, self._epochs)
        self._epoch, self._order = epoch, epoch_order(self._train.indices, self._seed, epoch)

    def step(self, index: int) -> StepOutput:
        """Forward pass and objective of one batch."""
        start, stop = self._bounds[index]
        indices = self._order[start:stop]
        samples, labels = self._train.take(indices)
        samples = self._augment(samples, indices, self._epoch)
        batch = self._mix(samples, labels, epoch=self._epoch, batch=index)
        logits = predict_logits(self.network, self.normalizer(batch.samples), self.runtime)
        objective, loss = self._objective(logits, batch)
        correct = (logits.detach().argmax(1) == batch.dominant).sum()
        return StepOutput(objective, loss * len(labels), correct, len(labels))

    def validate(self, poll: Callable[[], None]) -> dict[str, float]:
        """Loss and accuracy on the validation split."""
        return self.evaluate("val", poll).as_json()

    def rank(self, metrics: dict[str, float]) -> tuple[float, ...]:
        """Rank by the loss: on a small validation split it is far less noisy than the accuracy."""
        return (-metrics["loss"],)

    def evaluate(self, split: str, poll: Callable[[], None]) -> Evaluation:
        """The evaluation of the network on one split."""
        return evaluate(
            self.network, self.splits[split], self.normalizer, self.runtime, classes=len(self.classes), poll=poll
        )


def train_classifier(training: AnyTraining) -> TrainingResult:
    """Train a classifier, test it and write its run folder.

    Raises InputError before anything is written where options, folder or data are invalid; UnfinishedError on
    divergence or a full disk; StoppedError after a signal, with the run saved.
    """
    started = time.monotonic()
    folder = RunFolder(training.options)
    choose_device(training.options.device)  # before the data is read
    dataset = training.load()
    check_gate(training.options, dataset)
    data_s = time.monotonic() - started
    length = _run_length(training, dataset)
    options = replace(training.options, batch_size=length.batch_size, epochs=length.epochs)
    config = training.network_config(dataset)
    _check_batches(training.model_name, config, dataset, length.batch_size)
    bf16_pays = training.bf16_pays(config, length.batch_size)
    runtime = choose_runtime(options.device, options.precision, options.threads, bf16_pays=bf16_pays)
    seed_everything(options.seed)
    network = training.build(config)
    training.initialize(network, dataset)
    job = ClassifierJob(training, network.to(runtime.device), dataset, runtime, length)
    model = ModelSummary.of(training.model_name, config, network)
    record = ClassifierRecord(options, model, dataset, runtime, training.details(network))
    record.announce()
    recipe = training.recipe
    hyperparameters = OptimizerOptions(recipe.optimizer, recipe.lr, recipe.momentum, recipe.weight_decay)
    optimizer = make_optimizer(network, hyperparameters, training.lr_factors(network))
    with StopRequest() as stop, folder:
        trainer = make_trainer(options, recipe, job, optimizer, stop)
        run = TrainingRun(options, folder, record, trainer, stop)
        finished = run.resume_or_start()
        if finished is not None:
            return finished
        with run.saved_on_stop():
            run.train()
            split = "test" if "test" in job.splits else "val"
            evaluation = job.evaluate(split, stop.poll)
            paths = _draw_plots(folder, trainer, job, split, evaluation)
            return run.finish(evaluation if split == "test" else None, paths, data_s, started)


def _draw_plots(
    folder: RunFolder, trainer: Trainer, job: ClassifierJob, split: str, evaluation: Evaluation
) -> list[Path]:
    """Write the learning curves and the plots of an evaluation; returns their paths."""
    path = folder.file("curves.png")
    files.atomic_write(path, plots.curves(trainer.position.history, trainer.position.best_index))
    model = EvaluatedModel(job.network, job.splits[split], job.normalizer, job.runtime, job.classes)
    return [path, *draw_evaluation(folder.path, evaluation, model)]


def _run_length(training: AnyTraining, dataset: DataSet) -> RunLength:
    """Batch size and epochs; `--batch-size auto` measures how many samples fit into a GPU's memory."""
    options, samples = training.options, dataset.counts["train"]
    device = choose_device(options.device)
    if options.batch_size == 0 and device.type == "cuda":
        config = training.network_config(dataset)
        bf16_pays = training.bf16_pays(config, LARGEST)
        runtime = choose_runtime(options.device, options.precision, options.threads, bf16_pays=bf16_pays)
        measure = step_memory(training.build(config).to(device), dataset.preprocessing.shape, runtime)
        options = replace(options, batch_size=largest_batch(measure, free_memory(device), most=min(LARGEST, samples)))
    return run_length(options, training.recipe.length, samples)


def _check_batches(name: str, config: Any, dataset: DataSet, batch_size: int) -> None:
    """Refuse batches of one sample for a network with batch norm, which needs a variance."""
    count = dataset.counts["train"]
    if min(stop - start for start, stop in batch_bounds(count, batch_size)) > 1:
        return
    try:
        build_on_meta(name, config).train()(torch.empty(1, *dataset.samples.shape[1:], device="meta"))
    except ValueError as error:
        what = "a batch of one sample has no variance for batch norm"
        where, fix = ("--batch-size", "use 2 or more") if count > 1 else ("--data", "use more training samples")
        raise InputError(where, what, fix) from error
