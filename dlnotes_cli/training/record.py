"""Records of a training run: the metadata of its model file and checkpoint, and its result."""

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Generic, Self, TypeVar

import numpy as np
import torch
from torch import nn

from dlnotes_cli import __version__
from dlnotes_cli.data.dataset import DataSet
from dlnotes_cli.data.preprocessing import preprocessing_to_json
from dlnotes_cli.device import Runtime
from dlnotes_cli.models.registry import config_to_json, count_parameters
from dlnotes_cli.shell import output
from dlnotes_cli.shell.errors import InputError
from dlnotes_cli.training import run_folder
from dlnotes_cli.training.history import HistoryEntry
from dlnotes_cli.training.metrics import Evaluation, Metrics
from dlnotes_cli.training.monitor import Monitor, Monitored, MonitorName
from dlnotes_cli.training.options import ClassifierConfig, TrainingRunOptions
from dlnotes_cli.training.run_folder import RunFolder
from dlnotes_cli.training.stored_values import build_stored

_SPLITS = {"val": "validation"}  # as results name them


@dataclass(frozen=True)
class ModelSummary:
    """The network of a run."""

    name: str  # in the registry
    configuration: dict[str, Any]  # JSON values
    parameters: int

    @classmethod
    def of(cls, name: str, config: object, network: nn.Module) -> Self:
        """The summary of a network that was built as `name` from `config`."""
        return cls(name, config_to_json(config), count_parameters(network))


@dataclass(frozen=True)
class Timing:
    """Seconds of the phases of a run, and training samples per second of training."""

    data_s: float
    train_s: float
    eval_s: float
    total_s: float
    samples_per_s: float


@dataclass(frozen=True)
class DataSummary:
    """The training data of a run."""

    name: str
    fingerprint: str  # a checksum


@dataclass(frozen=True)
class ClassifierData(DataSummary):
    """The training data of a classifier."""

    classes: tuple[str, ...]
    counts: dict[str, int]  # samples of each split
    skipped: int  # files that could not be read


@dataclass(frozen=True)
class TrainingResult:
    """The result of a training run, as result.json stores it and `--json` prints it."""

    command: str
    version: str
    seed: int
    device: str
    precision: str
    threads: int
    compiled: bool  # whether the forward pass of the steps was compiled
    data: DataSummary
    model: ModelSummary
    epochs: int
    best_epoch: int
    steps: int
    train: Metrics  # of the best epoch
    validation: Metrics
    test: Metrics | None
    timing: Timing
    out: str
    model_file: str
    plots: tuple[str, ...]

    @property
    def test_accuracy(self) -> float | None:
        """Accuracy on the test split; None if there is none."""
        return None if self.test is None else self.test.accuracy

    @property
    def selection(self) -> str:
        """What validation selected, as text."""
        if not self.validation.samples:
            return f"the last weights of {output.counted(self.epochs, 'epoch')}, {output.counted(self.steps, 'step')}"
        return f"best epoch {self.best_epoch} of {self.epochs}, {output.counted(self.steps, 'step')}"

    def as_json(self) -> dict[str, Any]:
        """The fields as JSON values; nan and inf become None."""
        return dict(output.finite({"schema_version": output.SCHEMA_VERSION, **asdict(self)}))

    @classmethod
    def from_json(cls, stored: Mapping[str, Any], path: Path) -> Self:
        """Rebuild a result from `as_json`, read from `path`.

        Raises InputError naming the file where a field is missing or of another type.
        """
        values = {name: stored[name] for name in stored if name in cls.__dataclass_fields__}
        try:
            return build_stored(cls, values)
        except TypeError as error:
            raise InputError(
                path, f"is damaged ({error})", "restore it, or start a new run in another --out"
            ) from error


@dataclass(frozen=True)
class ClassifierResult(TrainingResult):
    """The result of training a classifier."""

    data: ClassifierData
    monitor: Monitored | None = field(default=None, kw_only=True)  # None without validation samples
    majority: dict[str, float] = field(default_factory=dict, kw_only=True)  # the share of the largest class, by split

    @property
    def selection(self) -> str:
        """What validation selected, as text."""
        if self.monitor is None or self.monitor.name == "loss":
            return super().selection
        return f"{super().selection}, by {self.monitor.name} {self.monitor.value:.4f}"


Result = TypeVar("Result", bound=TrainingResult)


@dataclass(frozen=True)
class Outcome:
    """The outcome of a training run, from which a record makes its result."""

    history: Sequence[HistoryEntry]
    best_index: int  # of the best entry in `history`
    steps: int
    test: Evaluation | None
    plots: Sequence[Path]
    timing: Timing
    compiled: bool = False


class RunRecord(ABC, Generic[Result]):
    """Metadata and result of a training run; a subclass describes the training data and completes the result."""

    result_type: type[Result]

    def __init__(self, options: TrainingRunOptions, model: ModelSummary, runtime: Runtime) -> None:
        self.command, self.seed, self.model, self.runtime = options.command, options.seed, model, runtime

    @property
    @abstractmethod
    def data(self) -> DataSummary:
        """The training data."""

    @abstractmethod
    def complete(self, result: TrainingResult, outcome: Outcome) -> Result:
        """The result of a run, with the fields that `result_type` adds to those of every training run."""

    def identity(self) -> dict[str, Any]:
        """The metadata that model file and checkpoint share: the network and its training data."""
        return {
            "model": self.model.name,
            "configuration": self.model.configuration,
            "data": {"name": self.data.name, "fingerprint": self.data.fingerprint},
            "seed": self.seed,
            "precision": self.runtime.precision,
            "versions": {"dlnotes": __version__, "torch": torch.__version__},
        }

    def model_metadata(self, entry: HistoryEntry) -> dict[str, Any]:
        """The metadata of the model file, for the weights of one entry of the history."""
        return self.identity() | {
            "kind": "model",
            "epoch": entry.epoch,
            "metrics": {"validation": output.finite(asdict(entry.validation))},
        }

    def announce(self) -> None:
        """Print model, device, precision and threads on standard error."""
        name = self.model.configuration.get("backbone", self.model.name)
        output.status("model", f"{name}, {self.model.parameters:,} parameters")
        runtime = self.runtime
        output.status("device", f"{runtime.device} in {runtime.precision}, {output.counted(runtime.threads, 'thread')}")

    def finish(self, folder: RunFolder, outcome: Outcome) -> Result:
        """Write the result of the finished run to its folder, and return it."""
        history, best = outcome.history, outcome.history[outcome.best_index]
        common = TrainingResult(
            command=self.command, version=__version__, seed=self.seed, **self.runtime.as_json(),
            compiled=outcome.compiled, data=self.data, model=self.model,
            epochs=history[-1].epoch, best_epoch=best.epoch, steps=outcome.steps,
            train=best.train, validation=best.validation,
            test=None if outcome.test is None else outcome.test.metrics,
            timing=outcome.timing, out=str(folder.path), model_file=str(folder.file(run_folder.MODEL)),
            plots=tuple(map(str, outcome.plots)),
        )  # fmt: skip
        result = self.complete(common, outcome)
        folder.write_result(result.as_json())
        return result


class ClassifierRecord(RunRecord[Result]):
    """Metadata and result of a run that trains a classifier; `complete` adds the fields of `result_type`."""

    def __init__(
        self,
        options: ClassifierConfig,
        model: ModelSummary,
        dataset: DataSet,
        runtime: Runtime,
        result_type: type[Result],
        complete: Callable[[ClassifierResult], Result],
        monitor: MonitorName | None = None,  # None: what `--monitor` says
    ) -> None:
        super().__init__(options, model, runtime)
        self._monitor = Monitor(monitor) if monitor else Monitor.of(options.monitor, dataset.counts["val"])
        self.result_type = result_type
        self._options, self._dataset, self._complete = options, dataset, complete

    @property
    def data(self) -> ClassifierData:
        """The data set, named as `--data` does."""
        dataset = self._dataset
        return ClassifierData(
            self._options.data, dataset.fingerprint, tuple(dataset.classes), dataset.counts, len(dataset.bad_files)
        )

    def complete(self, result: TrainingResult, outcome: Outcome) -> Result:
        """The result of a run, with the fields that `result_type` adds to those of every training run."""
        best = outcome.history[outcome.best_index].validation
        values = vars(result) | {"validation": Metrics(loss=best.loss, accuracy=best.accuracy, samples=best.samples)}
        monitored = Monitored(self._monitor.name, self._monitor.value(best)) if best.samples else None
        return self._complete(ClassifierResult(**values, monitor=monitored, majority=self._majority()))

    def _majority(self) -> dict[str, float]:
        """The accuracy of always answering the most frequent class, on each split."""
        labels, splits = self._dataset.labels, self._dataset.splits
        return {
            _SPLITS.get(split, split): float(np.bincount(labels[indices]).max() / len(indices))
            for split, indices in splits.items()
            if len(indices)
        }

    def announce(self) -> None:
        """Print data, model, device, precision and threads on standard error."""
        counts = ", ".join(f"{count:,} {split}" for split, count in self._dataset.counts.items())
        classes = output.counted(len(self._dataset.classes), "class", "classes")
        output.status("data", f"{self._dataset.name}, {counts}; {classes}")
        super().announce()
        samples = self._dataset.counts["train"]
        if (self._options.batch_size or 0) > samples:
            output.note(f"the batch size is reduced to the {output.counted(samples, 'training sample')}")

    def identity(self) -> dict[str, Any]:
        """The metadata that model file and checkpoint share: the network and its training data."""
        identity = super().identity()
        splits: dict[str, Any] = {"val_split": self._options.val_split, "test_split": self._options.test_split}
        if self._dataset.folders:
            splits["class_folders"] = dict(zip(self._dataset.folders, self._dataset.classes, strict=True))
        return identity | {
            "classes": list(self._dataset.classes),
            "format": preprocessing_to_json(self._dataset.preprocessing),
            "data": identity["data"] | splits,
        }


def measure_timing(data_s: float, train_s: float, eval_s: float, samples: int, started: float) -> Timing:
    """The timing of a run that began at `started`, on the monotonic clock, and trained on `samples` samples in all."""
    samples_per_s = samples / train_s if train_s else 0.0
    values = (data_s, train_s, eval_s, time.monotonic() - started, samples_per_s)
    return Timing(*(round(value, 3) for value in values))
