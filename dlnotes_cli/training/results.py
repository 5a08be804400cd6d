"""What a training run reports: the entries of its history, and the result that result.json stores."""

import math
import shlex
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from dlnotes_cli.data.options import TABLE_SUFFIXES
from dlnotes_cli.shell import output
from dlnotes_cli.shell.errors import GateError, InputError
from dlnotes_cli.shell.show import Table
from dlnotes_cli.training.metrics import Balance, Metrics, Monitored


@dataclass(frozen=True, kw_only=True)
class HistoryEntry:
    """A validation, with the training metrics since the one before; a line of metrics.jsonl."""

    epoch: int
    step: int
    train: Metrics
    validation: Metrics


@dataclass(frozen=True, kw_only=True)
class LoopEntry(HistoryEntry):
    """A validation in the training loop."""

    lr: float  # of the last step, the largest of all parameters


@dataclass
class RunningSums:
    """Sums over the samples since the last validation."""

    loss_sum: float = 0.0
    correct: int = 0
    samples: int = 0

    def metrics(self) -> Metrics:
        """Mean loss and accuracy, and the number of samples."""
        count = max(self.samples, 1)
        return Metrics(loss=self.loss_sum / count, accuracy=self.correct / count, samples=self.samples)


@dataclass(frozen=True)
class DecayStart:
    """The point from which a run whose length was changed late continues at the factor that it had reached."""

    start: int  # the first step
    factor: float  # of the step before


@dataclass
class RunProgress:
    """How far a run is: a checkpoint stores it, and a resumed run continues from it."""

    epoch: int = 1
    step_in_epoch: int = 0
    step: int = 0
    samples_seen: int = 0
    elapsed_s: float = 0.0
    spent_s: float = 0.0  # of it, before the first step
    validation_s: float = 0.0  # duration of the last validation
    timed_s: list[float] = field(default_factory=list)  # after each of the steps in `schedule.TIMED`
    total: int | None = None  # number of steps that was chosen for a time budget
    decay_start: DecayStart | None = None  # since the length of the run was changed
    best_index: int | None = None  # of the best validation in `history`
    sums: RunningSums = field(default_factory=RunningSums)
    history: list[Any] = field(default_factory=list)  # of `HistoryEntry`

    @property
    def is_validated(self) -> bool:
        """Whether the last step is validated."""
        return bool(self.history) and self.history[-1].step == self.step

    @property
    def best(self) -> HistoryEntry:
        """The entry of the weights that are kept, once there is one."""
        entry: HistoryEntry = self.history[self.best_index or 0]
        return entry


@dataclass(frozen=True)
class ModelSummary:
    """The network of a run."""

    name: str  # in the registry
    configuration: dict[str, Any]  # JSON values
    parameters: int


@dataclass(frozen=True, kw_only=True)
class ModelScores:
    """One of several models that were trained on the same splits."""

    name: str
    parameters: int
    validation: Metrics
    test: Metrics | None
    train_s: float

    def row(self, title: str) -> tuple[str, ...]:
        """A row of `scores_table`."""
        values = [getattr(m, name, math.nan) for m in (self.validation, self.test) for name in ("accuracy", "loss")]
        return title, f"{self.parameters:,}", *map(_decimals, values), f"{self.train_s:.1f}"


def scores_table(models: Sequence[ModelScores], titles: Mapping[str, str]) -> Table:
    """A row for each model, which has the title of its name."""
    numeric = ("parameters", "validation accuracy", "loss", "test accuracy", "test loss", "seconds")
    return Table(("model", *numeric), [model.row(titles[model.name]) for model in models], numeric, is_result=True)


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

    @property
    def paths(self) -> tuple[str, ...]:
        """The model file and the plots, which `show` prints."""
        return (self.model_file, *self.plots)

    def check(self, config: Any) -> None:
        """Check `--min-accuracy`, if the command has it. Raises GateError."""
        check_accuracy(self.test_accuracy, getattr(config, "min_accuracy", None))


Result = TypeVar("Result", bound=TrainingResult)


@dataclass(frozen=True)
class ClassifierResult(TrainingResult):
    """The result of training a classifier."""

    data: ClassifierData
    monitor: Monitored | None = field(default=None, kw_only=True)  # None without validation samples
    majority: dict[str, float] = field(default_factory=dict, kw_only=True)  # the share of the largest class, by split
    balance: Balance | None = field(default=None, kw_only=True)  # of the test split, else of validation

    @property
    def selection(self) -> str:
        """What validation selected, as text."""
        if self.monitor is None or self.monitor.name == "loss":
            return super().selection
        return f"{super().selection}, by {self.monitor.name} {self.monitor.value:.4f}"

    def table(self) -> Iterator[Table | str]:
        """The metrics of each split, and how the run went."""
        splits = (("train", self.train), ("validation", self.validation), ("test", self.test))
        rows = [
            (name, f"{metrics.samples:,}", *map(_decimals, values))
            for name, metrics in splits
            if metrics is not None and metrics.samples
            for values in [(metrics.loss, metrics.accuracy, self.majority.get(name, math.nan))]
        ]
        numeric = ("samples", "loss", "accuracy", "majority")
        yield Table(("split", *numeric), rows, numeric, is_result=True)
        split = "validation" if self.test is None else "test"
        text = self.balance and self.balance.text(self.majority.get(split, 0.0), len(self.data.classes))
        if text:
            yield f"{split}: {text}"
        timing = self.timing
        yield f"{self.selection}; {timing.train_s:.1f} s training, {timing.samples_per_s:,.0f} samples/s"
        if self.test is None:
            yield "no test split: validation also selected the weights, so its accuracy is optimistic"

    @property
    def next_command(self) -> str:
        """A command that uses the model."""
        has_images = any(plot.endswith("predictions.png") for plot in self.plots)  # those of a list of images, too
        is_table = self.data.name.lower().endswith(tuple(TABLE_SUFFIXES)) and not has_images
        return shlex.join(["dlnotes", "predict", self.out, self.data.name if is_table else "photo.jpg"])


def _decimals(value: float) -> str:
    """A metric with four decimals; a dash where it is not finite."""
    return f"{value:.4f}" if math.isfinite(value) else "-"


def require_test_split(min_accuracy: float | None, data: str, *, has_test_split: bool) -> None:
    """Refuse `--min-accuracy` for data without a test split. Raises InputError."""
    if min_accuracy is not None and not has_test_split:
        raise InputError("--min-accuracy", f"{data} has no test split", "add one, or drop the option")


def check_accuracy(accuracy: float | None, min_accuracy: float | None) -> None:
    """Raise GateError for an accuracy below `--min-accuracy`; call it after the result is printed."""
    if min_accuracy is not None and (accuracy is None or accuracy < min_accuracy):
        measured = "none" if accuracy is None else f"{accuracy:.4f}"
        fix = "train longer, or use a lower --min-accuracy"
        raise GateError("--min-accuracy", f"accuracy {measured} is below {min_accuracy:g}", fix)


def measure_timing(data_s: float, train_s: float, eval_s: float, samples: int, started: float) -> Timing:
    """The timing of a run that began at `started`, on the monotonic clock, and trained on `samples` samples in all."""
    samples_per_s = samples / train_s if train_s else 0.0
    values = (data_s, train_s, eval_s, time.monotonic() - started, samples_per_s)
    return Timing(*(round(value, 3) for value in values))
