"""Training a classifier, whatever its network: data, loop, run folder, test, images."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from dlnotes_cli import plots
from dlnotes_cli.data.batches import Normalizer, Split, batch_bounds, epoch_order, splits_on_device
from dlnotes_cli.data.dataset import DataSet
from dlnotes_cli.data.images.augment import Augmenter
from dlnotes_cli.data.images.augment_parser import is_flippable, parse_augment
from dlnotes_cli.data.images.mix import Mixer
from dlnotes_cli.data.load import load_training_data
from dlnotes_cli.device import Runtime, choose_device, choose_runtime, default_threads, free_memory
from dlnotes_cli.models.registry import build, build_empty, config_to_json
from dlnotes_cli.seeding import seed_everything
from dlnotes_cli.shell import files
from dlnotes_cli.shell.errors import InputError
from dlnotes_cli.shell.stopping import StopRequest
from dlnotes_cli.training.engine.batch_size import LARGEST, largest_batch, step_memory
from dlnotes_cli.training.engine.loop import StepOutput
from dlnotes_cli.training.engine.run import TrainingRun
from dlnotes_cli.training.evaluation_plots import Viewed, draw_evaluation
from dlnotes_cli.training.metrics import Evaluation, evaluate, predict_logits
from dlnotes_cli.training.optimizers import Objective, OptimizerOptions, balanced_weights, make_optimizer
from dlnotes_cli.training.options import ClassifierConfig
from dlnotes_cli.training.recipes import Length, given, with_length, with_recipe
from dlnotes_cli.training.record import ClassifierRecord, TrainingResult, check_gate
from dlnotes_cli.training.run_folder import RunFolder

AnyConfig = TypeVar("AnyConfig", bound=ClassifierConfig)


def _load(config: ClassifierConfig) -> DataSet:
    return load_training_data(config, seed=config.seed, threads=config.threads or default_threads())


@dataclass(frozen=True)
class Architecture:
    """What a command adds to the training of a classifier: its network and the defaults that suit it."""

    name: str  # in the registry
    recipe: Callable[[Any], dict[str, Any]]  # options to the defaults of those that were not given
    describe: Callable[[Any, DataSet], Any]  # options and data to the network's configuration
    initialize: Callable[[nn.Module, Any, DataSet], None]
    bf16_pays: Callable[[Any, int], bool]  # configuration and batch size to the fixed rule
    length: Length
    load: Callable[[Any], DataSet] = _load  # options to data: some networks ask for a form of their own
    unfreeze: Callable[[nn.Module, int, int | None], None] | None = None  # which weights epoch n of N (if known) trains
    lr_factor: Callable[[nn.Module], dict[str, float]] | None = None  # by parameter name, where layers differ
    details: Callable[[nn.Module], dict[str, Any]] = lambda _network: {}  # what the result says besides


class ClassifierJob:
    """A network, its data and its objective, as the training loop sees them."""

    def __init__(
        self,
        config: ClassifierConfig,
        network: nn.Module,
        dataset: DataSet,
        runtime: Runtime,
        unfreeze: Callable[[nn.Module, int, int | None], None] | None = None,
    ) -> None:
        self._unfreeze, self._epochs = unfreeze, config.epochs
        self.network, self.runtime, self.classes = network, runtime, dataset.classes
        self.splits = splits_on_device(dataset, runtime.device)
        self.normalizer = Normalizer(dataset.preprocessing, runtime.device)
        self._seed, self._train = config.seed, self.splits["train"]
        self._bounds = batch_bounds(len(self._train), given(config.batch_size))
        self._objective = _make_objective(config, network, self._train, len(dataset.classes))
        shape, flippable = dataset.preprocessing.shape, is_flippable(dataset.classes)
        operations = parse_augment(given(config.augment), shape, flippable=flippable)
        self._augment, self._mix = Augmenter(operations, config.seed), Mixer(operations, config.seed)
        self._epoch, self._order = 0, self._train.indices
        self.carried: dict[str, Tensor] = {}
        self.steps_per_epoch, self.validation_samples = len(self._bounds), len(self.splits["val"])

    def start_epoch(self, epoch: int) -> None:
        """Draw the epoch's order, and thaw what it trains."""
        if self._unfreeze is not None:
            self._unfreeze(self.network, epoch, self._epochs)
        self._epoch, self._order = epoch, epoch_order(self._train.indices, self._seed, epoch)

    def step(self, index: int) -> StepOutput:
        """Forward pass and objective of one batch."""
        start, stop = self._bounds[index]
        indices = self._order[start:stop]
        samples, labels = self._train.take(indices)
        samples = self._augment(samples, indices, self._epoch)
        mixed = self._mix(samples, labels, epoch=self._epoch, batch=index)
        logits = predict_logits(self.network, self.normalizer(mixed.samples), self.runtime)
        objective, loss = self._objective(logits, mixed)
        correct = (logits.detach().argmax(1) == mixed.dominant).sum()
        return StepOutput(objective, loss * len(labels), correct, len(labels))

    def validate(self, poll: Callable[[], None]) -> dict[str, float]:
        """Loss and accuracy on the validation split."""
        return self.evaluate("val", poll).as_json()

    def rank(self, scores: dict[str, float]) -> tuple[float, ...]:
        """The loss decides: on a small validation split it is far less noisy than the accuracy."""
        return (-scores["loss"],)

    def evaluate(self, part: str, poll: Callable[[], None]) -> Evaluation:
        """The network on one part."""
        return evaluate(
            self.network, self.splits[part], self.normalizer, self.runtime, classes=len(self.classes), poll=poll
        )


def train_classifier(config: AnyConfig, architecture: Architecture) -> TrainingResult:
    """Train, test and document a classifier in its run folder.

    Raises InputError before anything is written where options, folder or data are not right; UnfinishedError on
    divergence or a full disk; StoppedError after a signal, with the run saved.
    """
    started = time.monotonic()
    config = with_recipe(config, architecture.recipe(config))
    folder = RunFolder(config)
    choose_device(config.device)
    dataset = architecture.load(config)
    check_gate(config, dataset)
    data_s = time.monotonic() - started
    if config.batch_size == 0:
        config = replace(config, batch_size=_automatic_batch(config, architecture, dataset))
        config = with_recipe(config, architecture.recipe(config))
    config = with_length(config, dataset.counts["train"], architecture.length)
    model_config = architecture.describe(config, dataset)
    _check_batches(config, architecture.name, model_config, dataset)
    runtime = choose_runtime(
        config.device, config.precision, config.threads,
        bf16_pays=architecture.bf16_pays(model_config, given(config.batch_size)),
    )  # fmt: skip
    seed_everything(config.seed)
    network = build(architecture.name, model_config)
    architecture.initialize(network, config, dataset)
    job = ClassifierJob(config, network.to(runtime.device), dataset, runtime, architecture.unfreeze)
    record = ClassifierRecord(
        config,
        architecture.name,
        config_to_json(model_config),
        dataset,
        runtime,
        network,
        architecture.details(network),
    )
    record.announce()
    optimizer = OptimizerOptions(
        given(config.optimizer), given(config.lr), given(config.momentum), given(config.weight_decay)
    )
    with StopRequest() as stop, folder:
        factors = architecture.lr_factor(network) if architecture.lr_factor else {}
        run = TrainingRun(config, folder, job, record, stop, make_optimizer(job.network, optimizer, factors))
        return TrainingResult(run.execute(data_s, started, lambda: _conclude(job, run, record)))


def _conclude(job: ClassifierJob, run: TrainingRun, record: ClassifierRecord) -> tuple[dict[str, Any], list[Path]]:
    """Test the best model and draw the images of a run."""
    part = "test" if "test" in job.splits else "val"
    final = job.evaluate(part, run.poll)
    position, path = run.trainer.position, run.folder.file("curves.png")
    files.atomic_write(path, plots.curves(position.history, position.best_entry))
    viewed = Viewed(job.network, job.splits[part], job.normalizer, job.runtime, job.classes)
    images = [path, *draw_evaluation(run.folder.path, final, viewed)]
    test = final if part == "test" else None
    return record.result(position.history, position.best_entry or 0, position.step, test), images


def _automatic_batch(config: ClassifierConfig, architecture: Architecture, dataset: DataSet) -> int | None:
    """As many samples as a GPU's memory takes; on other devices nothing, which leaves the choice to the recipe."""
    device = choose_device(config.device)
    if device.type != "cuda":
        return None
    described = architecture.describe(config, dataset)
    pays = architecture.bf16_pays(described, LARGEST)
    runtime = choose_runtime(config.device, config.precision, config.threads, bf16_pays=pays)
    network = build(architecture.name, described).to(device)
    measure = step_memory(network, dataset.preprocessing.shape, runtime)
    return largest_batch(measure, free_memory(device), most=min(LARGEST, dataset.counts["train"]))


def _make_objective(config: ClassifierConfig, network: nn.Module, train: Split, classes: int) -> Objective:
    weights = None
    if config.class_weights == "balanced":
        weights = balanced_weights(train.labels[train.indices], classes)
    return Objective(network, label_smoothing=given(config.label_smoothing), class_weights=weights, l1=given(config.l1))


def _check_batches(config: ClassifierConfig, name: str, model_config: Any, dataset: DataSet) -> None:
    """Refuse batches of one sample for a network that has no variance to normalize by in one."""
    count = dataset.counts["train"]
    if min(stop - start for start, stop in batch_bounds(count, given(config.batch_size))) > 1:
        return
    try:
        build_empty(name, config_to_json(model_config)).train()(
            torch.empty(1, *dataset.samples.shape[1:], device="meta")
        )
    except ValueError as error:
        what = "a batch of one sample has no variance for batch norm"
        place, fix = ("--batch-size", "give 2 or more") if count > 1 else ("--data", "train on more samples")
        raise InputError(place, what, fix) from error
