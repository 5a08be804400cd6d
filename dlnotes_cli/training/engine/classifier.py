"""The training of a classifier, whatever its network: data, loop, run folder, test, plots."""

import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

import torch
from torch import Tensor, nn

from dlnotes_cli.data.batches import Normalizer, batch_bounds, epoch_order, splits_on_device
from dlnotes_cli.data.dataset import DataSet
from dlnotes_cli.data.images.augment import Augmenter
from dlnotes_cli.data.images.augment_parser import is_flippable, parse_augment
from dlnotes_cli.data.images.mix import Mixer, TrainingBatch
from dlnotes_cli.data.splits import SplitRule
from dlnotes_cli.device import Runtime, check_device
from dlnotes_cli.models.registry import build, build_on_meta
from dlnotes_cli.plots.curves import draw_curves
from dlnotes_cli.seeding import seed_everything
from dlnotes_cli.shell import files
from dlnotes_cli.shell.errors import InputError
from dlnotes_cli.shell.stopping import StopRequest
from dlnotes_cli.training.boundary import (
    BOUNDARIES,
    BOUNDARY,
    PlaneClassifier,
    boundary_plot,
    boundary_sheet,
    hidden_layers,
    plane_of,
)
from dlnotes_cli.training.class_weights import class_weights_of, weights_in_order
from dlnotes_cli.training.engine.batch_size import MAX_BATCH_SIZE, largest_fitting_batch_size
from dlnotes_cli.training.engine.distributed import ALONE, Processes
from dlnotes_cli.training.engine.launch import announce_processes, check_batch_size, runtime_of
from dlnotes_cli.training.engine.loop import Trainer
from dlnotes_cli.training.engine.memory import TrainingMemory
from dlnotes_cli.training.engine.run import TrainingRun, make_trainer, poll_of
from dlnotes_cli.training.engine.step_forward import StepForward
from dlnotes_cli.training.engine.step_values import StepOutput, UncountedPredictions
from dlnotes_cli.training.evaluation import evaluate, predict_logits
from dlnotes_cli.training.evaluation_plots import draw_evaluation, image_reader
from dlnotes_cli.training.gate import require_test_split
from dlnotes_cli.training.history import history_to_json
from dlnotes_cli.training.metrics import Evaluation, Metrics
from dlnotes_cli.training.monitor import Monitor
from dlnotes_cli.training.objective import Objective, balanced_weights
from dlnotes_cli.training.optimizers import make_optimizer
from dlnotes_cli.training.options import ClassifierConfig
from dlnotes_cli.training.recipes import ClassifierRecipe, RunLength, with_recipe
from dlnotes_cli.training.record import ClassifierRecord, ClassifierResult, ModelSummary, Result
from dlnotes_cli.training.run_folder import FollowedFolder, RunFolder
from dlnotes_cli.training.scatter import SCATTER, scatter_plot

Options = TypeVar("Options", bound=ClassifierConfig)
AnyRecipe = TypeVar("AnyRecipe", bound=ClassifierRecipe)
Network = TypeVar("Network", bound=nn.Module)


class ClassifierTraining(ABC, Generic[Options, AnyRecipe, Network, Result]):
    """What differs between the commands that train a classifier: recipe, data, network and result.

    A value that a recipe has is read from `recipe`; `options` has it only where the user set it.
    """

    model_name: ClassVar[str]  # in the registry
    result_type: type[Result]
    memory_options: ClassVar[str]  # that reduce the memory of training

    def __init__(self, options: Options, recipe: AnyRecipe) -> None:
        self.options, self.recipe = options, recipe
        self.class_weights = class_weights_of(options)  # by class name, of a file
        self.beside: tuple[PlaneClassifier, ...] = ()  # whose regions are drawn next to those of the run

    @property
    def split_rule(self) -> SplitRule:
        """How the data is split."""
        options = self.options
        return SplitRule(self.recipe.val_split, options.test_split, options.seed, options.limit)

    @property
    def init_seed(self) -> int:
        """The seed of the initial weights, and of what dropout draws."""
        return self.options.seed

    @abstractmethod
    def load(self) -> DataSet:
        """The data, split, with its preprocessing."""

    def complete_recipe(self, dataset: DataSet) -> None:
        """Choose what depends on the data; the recipe before has everything that loading needs."""

    @abstractmethod
    def network_config(self, dataset: DataSet) -> Any:
        """The configuration of the network for a data set. Raises InputError where no network fits the data."""

    @property
    def trains_all(self) -> bool:
        """Whether every layer is trained at some time."""
        return True

    def initialize(self, network: Network, dataset: DataSet) -> None:
        """Replace PyTorch's initialization; the default keeps it."""

    def bf16_pays(self, config: Any, batch_size: int) -> bool:  # noqa: ARG002  # subclasses use them
        """Whether bf16 is faster for this network; it is for convolutions of any size."""
        return True

    def start_epoch(self, network: Network, epoch: int, epochs: int | None) -> None:
        """Freeze and unfreeze parameters for epoch `epoch`, counted from 1, of `epochs` (None: unknown)."""

    def has_all_layers(self, network: Network, epoch: int, epochs: int | None) -> bool:  # noqa: ARG002  # likewise
        """Whether no more parameters are unfrozen after the start of epoch `epoch`."""
        return True

    def lr_factors(self, network: Network) -> dict[str, float]:  # noqa: ARG002  # subclasses use it
        """Factors on the learning rate by parameter name; 1 for parameters that are not in it."""
        return {}

    @abstractmethod
    def complete(self, result: ClassifierResult, network: Network) -> Result:
        """The result of a run, with the fields that `result_type` adds to those of every classifier."""


AnyTraining = ClassifierTraining[Any, Any, Any, Any]


class ClassifierJob:
    """A classifier with its data and objective, as a TrainingJob."""

    def __init__(
        self, training: AnyTraining, network: nn.Module, dataset: DataSet, runtime: Runtime, length: RunLength,
        processes: Processes = ALONE,
    ) -> None:  # fmt: skip
        options, recipe = training.options, training.recipe
        self.network, self.runtime, self.classes = network, runtime, dataset.classes
        self.splits = splits_on_device(dataset, runtime.device)
        self.normalizer = Normalizer(dataset.preprocessing, runtime.device)
        self._training, self._epochs, self._processes = training, length.epochs, processes
        self._seed, self._train = options.seed, self.splits["train"]
        self._bounds = batch_bounds(len(self._train), length.batch_size)
        class_weights = None
        if training.class_weights is not None:
            in_order = weights_in_order(training.class_weights, dataset.classes)
            class_weights = torch.tensor(in_order, device=runtime.device)
        elif options.class_weights == "balanced":
            class_weights = balanced_weights(self._train.labels[self._train.indices], len(dataset.classes))
        self._objective = Objective(
            network, label_smoothing=recipe.label_smoothing, class_weights=class_weights, l1=recipe.l1
        )
        flippable = is_flippable(dataset.classes)
        operations = parse_augment(recipe.augment, dataset.preprocessing.shape, flippable=flippable)
        self._augment, self._mix = Augmenter(operations, options.seed), Mixer(operations, options.seed)
        self.forward = StepForward.of(network, options.compile, runtime)
        self._epoch = 0
        self._order = self._train.indices
        self.recurrent_state: dict[str, Tensor] = {}
        self.batch_samples = 0
        self.steps_per_epoch, self.validation_samples = len(self._bounds), len(self.splits["val"])
        self._monitor = Monitor.of(options.monitor, self.validation_samples)
        self.metrics_type = self._monitor.metrics_type

    def start_epoch(self, epoch: int) -> None:
        """Shuffle the training samples for an epoch, and freeze and unfreeze parameters."""
        self._training.start_epoch(self.network, epoch, self._epochs)
        self.forward.is_held = not self._training.has_all_layers(self.network, epoch, self._epochs)
        self._epoch, self._order = epoch, epoch_order(self._train.indices, self._seed, epoch)

    def _own_rows(self, start: int, stop: int) -> slice:
        """The rows of the batch from `start` to `stop` that this process reads: where images are mixed, all."""
        if self._mix.is_active:
            return slice(start, stop)
        rank, count = self._processes.place.rank, self._processes.count
        return slice(start + rank, stop, count) if rank < stop - start else slice(start, start + 1)

    def step(self, index: int) -> Iterator[StepOutput]:
        """The forward passes of batch `index` of the epoch, augmented, one for each part that `--accumulate` makes.

        Of several processes each computes its share of the batch, or where none is left, a sample that does not count.
        """
        start, stop = self._bounds[index]
        self.batch_samples = stop - start
        whole, batch = self._batch(index, start, stop)
        weight = int(self._processes.place.rank < self.batch_samples)
        for part in batch.parts(self._training.options.accumulate):
            logits = predict_logits(self.forward, self.normalizer(part.samples), self.runtime)
            objective, loss = self._objective(logits, part, None if part is whole else whole)
            correct = UncountedPredictions(logits.detach(), part.dominant).counted_if_large()
            output = StepOutput(objective, loss * len(part.labels), correct, len(part.labels))
            yield output if weight else output.without_weight()

    def _batch(self, index: int, start: int, stop: int) -> tuple[TrainingBatch, TrainingBatch]:
        """Batch `index`, of the samples from `start` to `stop` of the epoch's order, and the share of this process.

        Without mixing, which needs all samples, the samples of other processes are left out.
        """
        own = self._order[self._own_rows(start, stop)]
        samples, labels = self._train.take(own), self._train.labels.index_select(0, own)
        samples = self._augment(samples, own, self._epoch)
        if self._processes.is_alone or self._mix.is_active:
            whole = self._mix(samples, labels, epoch=self._epoch, batch=index)
            return whole, whole if self._processes.is_alone else whole.rows(self._rows_of(stop - start))
        all_labels = self._train.labels.index_select(0, self._order[start:stop])
        return TrainingBatch(samples[:0], all_labels), TrainingBatch(samples, labels)

    def _rows_of(self, samples: int) -> slice:
        """The rows of this process in a batch; one that does not count where there are too few."""
        return self._processes.rows if self._processes.place.rank < samples else slice(1)

    def complete_recurrent_state(self) -> None:
        """Nothing, since a classifier has no such state."""

    def validate(self, poll: Callable[[], None]) -> Metrics:
        """Metrics on the validation split, nan without samples; `poll` is called between batches."""
        if not self.validation_samples:
            return Metrics(loss=math.nan, accuracy=math.nan, samples=0)
        return self._monitor.metrics(self.evaluate("val", poll))

    def rank(self, metrics: Metrics) -> tuple[float, ...]:
        """A sort key of the metrics of a validation, as `--monitor` says; the best validation has the largest."""
        return self._monitor.rank(metrics)

    def evaluate(self, split: str, poll: Callable[[], None], *, keep_predictions: bool = False) -> Evaluation:
        """The evaluation of the network on one split; `poll` is called between batches."""
        return evaluate(
            self.network, self.splits[split], self.normalizer, self.runtime, classes=len(self.classes),
            keep_predictions=keep_predictions, poll=poll, processes=self._processes,
        )  # fmt: skip


def train_classifier(training: ClassifierTraining[Any, Any, Any, Result], processes: Processes = ALONE) -> Result:
    """Train a classifier, test it and write its run folder; of several `processes`, the main one writes.

    Raises InputError before anything is written where options, folder or data are invalid; UnfinishedError on
    divergence or a full disk; StoppedError after a signal, with the run saved.
    """
    started = time.monotonic()
    folder = RunFolder(training.options) if processes.is_main else FollowedFolder(training.options)
    check_device(training.options.device)
    with processes.main_first(f"data of {folder.path}"):
        dataset = training.load()
    processes.check_same("data", f"{dataset.fingerprint} {dataset.counts}")
    training.complete_recipe(dataset)
    min_accuracy = training.options.min_accuracy
    require_test_split(min_accuracy, dataset.name, has_test_split="test" in dataset.splits)
    data_s = time.monotonic() - started
    config = training.network_config(dataset)
    fitting = processes.share(_fitting_batch_size(training, config, dataset, processes))
    length = training.options.run_length(training.recipe.length, dataset.counts["train"], fitting)
    stored = with_recipe(with_recipe(training.options, training.recipe), length)
    parts = training.options.accumulate * processes.count
    check_batch_size(processes, min(length.batch_size, dataset.counts["train"]))
    _check_batches(training, config, dataset, length.batch_size, processes)
    runtime = _runtime(training, config, length.batch_size, processes)
    _check_memory(training, config, dataset, -(-length.batch_size // parts), runtime)
    seed_everything(training.init_seed)
    network = build(training.model_name, config)
    training.initialize(network, dataset)
    on_device = announce_processes(processes, network.to(runtime.device), runtime)
    job = ClassifierJob(training, on_device, dataset, runtime, length, processes)
    model = ModelSummary.of(training.model_name, config, job.network)
    record = ClassifierRecord(
        stored, model, dataset, job.runtime, training.result_type, lambda result: training.complete(result, network)
    )
    record.announce()
    optimizer = make_optimizer(job.network, training.recipe, training.lr_factors(job.network))
    with StopRequest() as stop, folder:
        trainer = make_trainer(training.recipe, length, job, optimizer, stop, processes=processes)
        run = TrainingRun(stored, folder, record, trainer, stop)
        finished = run.resume_or_start()
        if finished is not None:
            return finished
        with run.saved_on_stop():
            run.train()
            split = "test" if "test" in job.splits else "val"
            evaluation = job.evaluate(split, poll_of(processes, stop), keep_predictions=True)
            if not processes.is_main:
                return run.followed()
            paths = _draw_plots(folder, trainer, dataset, split, evaluation)
            for name, drawing in _boundaries(training, model, job.network, dataset).items():
                paths.append(folder.file(name))
                files.atomic_write(paths[-1], drawing)
            return run.finish(evaluation if split == "test" else None, paths, data_s, started)


def _boundaries(training: AnyTraining, model: ModelSummary, network: nn.Module, dataset: DataSet) -> dict[str, bytes]:
    """For a table of two numeric columns: the regions of the classes, and next to those of earlier runs, if any.

    With a categorical column too, the points and regions of each category.
    """
    scatter = scatter_plot(network, dataset)
    if scatter is not None:
        return {SCATTER: scatter}
    plane = plane_of(dataset.preprocessing)
    boundary = boundary_plot(network, dataset)
    if plane is None or boundary is None:
        return {}
    earlier = training.beside
    if not earlier:
        return {BOUNDARY: boundary}
    own = PlaneClassifier(hidden_layers(model.configuration), network, plane)
    return {BOUNDARY: boundary, BOUNDARIES: boundary_sheet([*earlier, own], dataset, plane)}


def _fitting_batch_size(training: AnyTraining, config: Any, dataset: DataSet, processes: Processes) -> int | None:
    """With `--batch-size auto` on a GPU, the batch size that fits into its memory; None where the options decide.

    Each process has a GPU, so that all together take a multiple of what fits into one.
    """
    if not training.options.has_auto_batch_size:
        return None
    runtime = _runtime(training, config, MAX_BATCH_SIZE, processes)
    if runtime.device.type != "cuda":
        return None
    network = build(training.model_name, config).to(runtime.device)
    samples = dataset.counts["train"] // processes.count
    return processes.count * largest_fitting_batch_size(network, dataset.preprocessing.shape, runtime, samples)


def _runtime(training: AnyTraining, config: Any, batch_size: int, processes: Processes) -> Runtime:
    bf16_pays = training.bf16_pays(config, -(-batch_size // processes.count))
    return runtime_of(processes, training.options, bf16_pays=bf16_pays)


def _check_batches(training: AnyTraining, config: Any, dataset: DataSet, batch_size: int, processes: Processes) -> None:
    """Refuse batches of one sample for a network with batch norm, which needs a variance. Raises InputError."""
    count, accumulate = dataset.counts["train"], training.options.accumulate
    smallest = min(stop - start for start, stop in batch_bounds(count, batch_size))
    share = max(1, smallest // processes.count)
    if share // min(accumulate, share) > 1:
        return
    try:
        build_on_meta(training.model_name, config).train()(torch.empty(1, *dataset.samples.shape[1:], device="meta"))
    except ValueError as error:
        what = "a batch of one sample has no variance for batch norm"
        where, fix = ("--batch-size", "use 2 or more") if count > 1 else ("--data", "use more training samples")
        if share > 1:
            where, fix = "--accumulate", "use fewer parts, or a larger --batch-size"
        elif smallest > 1:
            what = (
                f"the share of a process in a batch of {smallest} is one sample, which has no variance for batch norm"
            )
            where, fix = "--devices", "use fewer, or another --batch-size"
        raise InputError(where, what, fix) from error


def _check_memory(training: AnyTraining, config: Any, dataset: DataSet, batch_size: int, runtime: Runtime) -> None:
    """Refuse a network and a batch that cannot fit into memory together. Raises UnfinishedError."""
    sample = torch.empty(1, *dataset.samples.shape[1:], device="meta")
    forecast = TrainingMemory.of(
        build_on_meta(training.model_name, config), (sample,), min(batch_size, dataset.counts["train"]),
        training.recipe, runtime.precision, trains_all=training.trains_all,
    )  # fmt: skip
    forecast.check(runtime, training.memory_options)


def _draw_plots(
    folder: RunFolder, trainer: Trainer, dataset: DataSet, split: str, evaluation: Evaluation
) -> list[Path]:
    """Write the learning curves and the plots of an evaluation; returns their paths."""
    path = folder.file("curves.png")
    history = history_to_json(trainer.state.history)
    images = image_reader(dataset.samples, dataset.splits[split])
    files.atomic_write(path, draw_curves(history, trainer.state.best_index, folder.name))
    return [path, *draw_evaluation(folder.path, evaluation, dataset.classes, images)]
