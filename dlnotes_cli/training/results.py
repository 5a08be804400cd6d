"""What a training run reports: the entries of its history, and the result that result.json stores."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self, TypeVar

from dlnotes_cli.shell import output
from dlnotes_cli.shell.codec import build
from dlnotes_cli.shell.errors import InputError
from dlnotes_cli.training.metrics import Metrics
from dlnotes_cli.training.monitor import Monitored


@dataclass(frozen=True, kw_only=True)
class HistoryEntry:
    """A validation, with the training metrics since the one before; a line of metrics.jsonl."""

    epoch: int
    step: int
    train: Metrics
    validation: Metrics

    def as_json(self) -> dict[str, Any]:
        """The fields as JSON values; nan and inf become None."""
        return dict(output.finite(asdict(self)))


@dataclass(frozen=True, kw_only=True)
class LoopEntry(HistoryEntry):
    """A validation in the training loop."""

    lr: float  # of the last step, the largest of all parameters


def history_to_json(history: Sequence[HistoryEntry]) -> list[dict[str, Any]]:
    """The entries as JSON values."""
    return [entry.as_json() for entry in history]


@dataclass(frozen=True)
class ModelSummary:
    """The network of a run."""

    name: str  # in the registry
    configuration: dict[str, Any]  # JSON values
    parameters: int


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
            return build(cls, values)
        except TypeError as error:
            fix = "restore it, or start a new run in another --out"
            raise InputError(path, f"is damaged ({error})", fix) from error


Result = TypeVar("Result", bound=TrainingResult)


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


def measure_timing(data_s: float, train_s: float, eval_s: float, samples: int, started: float) -> Timing:
    """The timing of a run that began at `started`, on the monotonic clock, and trained on `samples` samples in all."""
    samples_per_s = samples / train_s if train_s else 0.0
    values = (data_s, train_s, eval_s, time.monotonic() - started, samples_per_s)
    return Timing(*(round(value, 3) for value in values))
