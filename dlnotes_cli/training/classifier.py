"""The task of a classifier, whatever its network: augmented batches, cross-entropy, evaluation and plots."""

import math
from abc import abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from dlnotes_cli.data.batches import (
    Augmenter,
    Mixer,
    Normalizer,
    TrainingBatch,
    balanced_order,
    batch_bounds,
    epoch_order,
    splits_on_device,
)
from dlnotes_cli.data.dataset import DataSet, SplitRule
from dlnotes_cli.data.images.augment_parser import is_flippable, parse_augment
from dlnotes_cli.data.preprocessing import ImagePreprocessing
from dlnotes_cli.networks.registry import build, build_on_meta
from dlnotes_cli.shell import files, output
from dlnotes_cli.shell.codec import to_json
from dlnotes_cli.shell.errors import InputError
from dlnotes_cli.training.boundary import PlaneClassifier, draw_plane
from dlnotes_cli.training.distributed import ALONE, Processes
from dlnotes_cli.training.evaluation import evaluate, predict_logits
from dlnotes_cli.training.evaluation_plots import draw_evaluation, image_reader
from dlnotes_cli.training.memory import MAX_BATCH_SIZE, largest_fitting_batch_size
from dlnotes_cli.training.metrics import Evaluation, Metrics, Monitor, Monitored
from dlnotes_cli.training.objective import (
    BatchPart,
    Objective,
    class_weights_of,
    in_parts,
    weights_in_order,
    weights_of_classes,
)
from dlnotes_cli.training.options import ClassifierConfig
from dlnotes_cli.training.results import ClassifierData, Result, RunProgress, require_test_split
from dlnotes_cli.training.run_folder import MODEL, RunFolder
from dlnotes_cli.training.similarity import store_similarity
from dlnotes_cli.training.task import Batch, Evaluated, Model, Poll, RunDescription, StepLoss, Task, own_rows

_SPLITS = {"val": "validation"}  # as results name them


class ClassifierDescription(RunDescription[Result]):
    """What a run that trains a classifier records."""

    options: ClassifierConfig
    dataset: DataSet
    monitor: Monitor
    beside: tuple[PlaneClassifier, ...] = ()  # whose regions are drawn next to those of the run
    evaluation: Evaluation  # of the finished network, on the test split if there is one

    def describe(self, dataset: DataSet) -> None:
        """Set the data set, named as `--data` does. Raises InputError for a gate without a test split."""
        self.dataset, self.preprocessing = dataset, dataset.preprocessing
        self.monitor = Monitor.of(self.options.monitor, dataset.counts["val"])
        require_test_split(self.options.min_accuracy, dataset.name, has_test_split="test" in dataset.splits)
        self.data = ClassifierData(
            self.options.data, dataset.fingerprint, tuple(dataset.classes), dataset.counts, len(dataset.bad_files)
        )

    def metadata(self) -> dict[str, Any]:
        """The metadata that model file and checkpoint share: the network and its training data."""
        metadata, dataset = super().metadata(), self.dataset
        if dataset.folders:
            metadata["data"]["class_folders"] = dict(zip(dataset.folders, dataset.classes, strict=True))
        if self.options.labels is not None:
            metadata["data"]["labels"] = to_json(self.options.labels)
        if (groups := self.options.groups) is not None:
            metadata["data"]["groups"] = to_json(groups)
        return metadata

    def announce(self) -> None:
        """Print data, network, device, precision and threads on standard error."""
        super().announce()
        samples = self.dataset.counts["train"]
        if (self.options.batch_size or 0) > samples:
            output.note(f"the batch size is reduced to the {output.counted(samples, 'training sample')}")

    def extra_fields(self, progress: RunProgress) -> dict[str, Any]:
        """The fields of every classifier, and the validation without other measures of `--monitor`."""
        best = progress.best.validation
        return {
            "validation": Metrics(loss=best.loss, accuracy=best.accuracy, samples=best.samples),
            "monitor": Monitored(self.monitor.name, self.monitor.value(best)) if best.samples else None,
            "majority": self._majority(),
            "balance": self.evaluation.balance,
        }

    def _majority(self) -> dict[str, float]:
        """The accuracy of always answering the most frequent class, on each split."""
        labels, splits = self.dataset.labels, self.dataset.splits
        return {
            _SPLITS.get(split, split): float(np.bincount(labels[indices]).max() / len(indices))
            for split, indices in splits.items()
            if len(indices)
        }

    def place(self, device: torch.device) -> None:
        """Bring the data to a device."""
        self.splits = splits_on_device(self.dataset, device)
        self.normalizer = Normalizer(self.dataset.preprocessing, device)

    def evaluate(
        self, split: str, poll: Poll, *, keep_predictions: bool = False, processes: Processes = ALONE
    ) -> Evaluation:
        """The evaluation of the network on one split, which is divided among the processes."""
        return evaluate(
            self.network, self.splits[split], self.normalizer, self.runtime, classes=len(self.dataset.classes),
            keep_predictions=keep_predictions, poll=poll, processes=processes,
        )  # fmt: skip

    def weights_of_training_classes(self, given: Mapping[str, float] | None) -> Tensor | None:
        """The weights (K,) of `--class-weights` on the device of the data, of which a file has the `given` ones."""
        dataset, train = self.dataset, self.splits["train"]
        return weights_of_classes(
            train.labels[train.indices], len(dataset.classes), is_balanced=self.options.class_weights == "balanced",
            given=weights_in_order(given, dataset.classes),
        )  # fmt: skip

    def _answer(self, samples: Tensor) -> Tensor:
        """The logits of samples on the CPU."""
        return predict_logits(self.network, self.normalizer(samples.to(self.runtime.device)), self.runtime)

    def draw(self, folder: RunFolder, poll: Poll, draw_curves: Callable[[], Path] | None = None) -> Evaluated:
        """Evaluate the network on the test split, or on the validation split, and draw curves, if any, and that."""
        split = "test" if "test" in self.splits else "val"
        self.evaluation = evaluation = self.evaluate(split, poll, keep_predictions=True)
        if isinstance(self.dataset.preprocessing, ImagePreprocessing):
            store_similarity(folder.file(MODEL), self.network, self.dataset, self._answer)
        dataset, drawn = self.dataset, [draw_curves()] if draw_curves else []
        images = image_reader(dataset.samples, dataset.splits[split])
        drawn += draw_evaluation(folder.path, evaluation, dataset.classes, images, (dataset.name, split))
        for name, drawing in draw_plane(self.network, dataset, self.beside, self.model.configuration).items():
            drawn.append(folder.file(name))
            files.atomic_write(drawn[-1], drawing)
        return Evaluated(evaluation.metrics if split == "test" else None, drawn)


class ClassifierTask(ClassifierDescription[Result], Task[Result]):
    """The training of a classifier with cross-entropy on augmented batches."""

    @abstractmethod
    def load_dataset(self) -> DataSet:
        """The data, split, with its preprocessing."""

    @abstractmethod
    def configure(self, dataset: DataSet) -> Any:
        """The configuration of the network for a data set. Raises InputError where no network fits the data."""

    @property
    def split_rule(self) -> SplitRule:
        """How the data is split."""
        return self.options.split_rule(self.recipe.val_split)

    def load(self) -> None:
        """Read the data and the class weights, and configure the network for them."""
        self._weights_by_class = class_weights_of(self.options.class_weights)
        self.describe(self.load_dataset())
        self.network_config = self.configure(self.dataset)
        self.training_samples, self.validation_samples = self.dataset.counts["train"], self.dataset.counts["val"]
        self.metrics_type = self.monitor.metrics_type

    def fitting_batch_size(self) -> int | None:
        """With `--batch-size auto` on GPUs, the batch size that fits into their memory together."""
        if self.options.batch_size != 0:  # auto
            return None
        runtime = self.processes.runtime(self.options, bf16_pays=self.bf16_pays(MAX_BATCH_SIZE))
        if runtime.device.type != "cuda":
            return None
        network = build(self.model_name, self.network_config).to(runtime.device)
        samples, count = self.training_samples // self.processes.count, self.processes.count
        return count * largest_fitting_batch_size(network, self.dataset.preprocessing.shape, runtime, samples)

    def sample_inputs(self, network: nn.Module) -> tuple[Any, ...]:  # noqa: ARG002  # the base's signature
        """An image or row."""
        return (torch.empty(1, *self.dataset.samples.shape[1:], device="meta"),)

    def check_batches(self, batch_size: int) -> None:
        """Refuse batches of fewer samples than processes, and of one sample where batch norm needs a variance."""
        super().check_batches(batch_size)
        count, accumulate, processes = self.training_samples, self.options.accumulate, self.processes.count
        smallest = min(stop - start for start, stop in batch_bounds(count, batch_size))
        share = max(1, smallest // processes)
        if share // min(accumulate, share) > 1:
            return
        network = build_on_meta(self.model_name, self.network_config)
        try:
            network.train()(*self.sample_inputs(network))
        except ValueError as error:
            what = "a batch of one sample has no variance for batch norm"
            where, fix = ("--batch-size", "use 2 or more") if count > 1 else ("--data", "use more training samples")
            if share > 1:
                where, fix = "--accumulate", "use fewer parts, or a larger --batch-size"
            elif smallest > 1:
                share_text = f"the share of a process in a batch of {smallest} is one sample"
                where, what = "--devices", f"{share_text}, which has no variance for batch norm"
                fix = "use fewer, or another --batch-size"
            raise InputError(where, what, fix) from error

    def prepare(self, batch_size: int) -> None:
        """Bring the data to the device, and make its augmentation and objective."""
        dataset, recipe, device = self.dataset, self.recipe, self.runtime.device
        self.place(device)
        self._train = self.splits["train"]
        self._bounds = batch_bounds(len(self._train), batch_size)
        self.steps_per_epoch = len(self._bounds)
        operations = parse_augment(recipe.augment, dataset.preprocessing.shape, flippable=is_flippable(dataset.classes))
        self._augment, self._mix = Augmenter(operations, self.options.seed), Mixer(operations, self.options.seed)
        self.class_weights = weights = self.weights_of_training_classes(self._weights_by_class)
        self._objective = Objective(
            self.network, label_smoothing=recipe.label_smoothing, class_weights=weights, l1=recipe.l1
        )

    def start_epoch(self, epoch: int, epochs: int | None) -> None:  # noqa: ARG002  # subclasses use it
        """Shuffle or draw the training samples of an epoch."""
        indices, seed = self._train.indices, self.options.seed
        self._epoch, self._order = epoch, epoch_order(indices, seed, epoch)
        if self.options.sampler == "balanced":
            self._order = balanced_order(indices, self._train.labels[indices], seed, epoch)
        self._places = self._order.to(self._train.samples.device)  # once, as copying indices waits for a GPU

    def batch(self, index: int) -> Batch:
        """Batch `index` of the epoch, augmented, in the shares of this process.

        Where images are mixed, every process augments the whole batch; otherwise each only its own rows.
        """
        start, stop = self._bounds[index]
        indices = self._order[start:stop]
        rows = own_rows(self.processes, len(indices))
        mine = slice(None) if self._mix.is_active else rows
        own, places = indices[mine], self._places[start:stop][mine]
        samples, labels = self._train.take(places), self._train.labels.index_select(0, own)
        batch = self._mix(self._augment(samples, own, self._epoch), labels, epoch=self._epoch, batch=index)
        whole, part = batch, batch
        if not self.processes.is_alone and self._mix.is_active:
            part = batch.rows(rows)
        elif not self.processes.is_alone:
            whole = TrainingBatch(batch.samples[:0], self._train.labels.index_select(0, indices))
        return in_parts(part, whole, self.processes, self.options.accumulate)

    def loss(self, model: Model, part: BatchPart) -> StepLoss:
        """Cross-entropy with label smoothing, class weights and penalties, and the plain loss."""
        logits = predict_logits(model, self.normalizer(part.batch.samples), self.runtime)
        return self._objective(logits, part)

    def validate(self, poll: Poll) -> Metrics:
        """Metrics on the validation split, nan without samples."""
        if not self.validation_samples:
            return Metrics(loss=math.nan, accuracy=math.nan, samples=0)
        return self.monitor.metrics(self.evaluate("val", poll, processes=self.processes))

    def rank(self, metrics: Metrics) -> tuple[float, ...]:
        """A sort key of the metrics of a validation, as `--monitor` says."""
        return self.monitor.rank(metrics)

    def finish(self, folder: RunFolder, progress: RunProgress, poll: Poll) -> Evaluated:
        """Evaluate the network, and draw the curves and that."""
        return self.draw(folder, poll, lambda: self.draw_curves(folder, progress))
