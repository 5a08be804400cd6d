"""`runs compare`: trained classifiers on the same test samples, and whether their differences are more than chance."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dlnotes_cli.inference.labeled_data import labeled_data_of, load_split
from dlnotes_cli.inference.opening import open_any_classifier
from dlnotes_cli.inference.options import LabeledDataOptions
from dlnotes_cli.plots.curves import draw_learning_curves
from dlnotes_cli.runs.options import CompareConfig
from dlnotes_cli.runs.records import read_history, read_run
from dlnotes_cli.runs.significance import SampleDifference, compare_samples, f1_columns, macro_f1
from dlnotes_cli.shell import files, output
from dlnotes_cli.shell.codec import INLINE
from dlnotes_cli.shell.errors import GateError, InputError
from dlnotes_cli.shell.show import Table, check_outputs
from dlnotes_cli.shell.stopping import StopRequest
from dlnotes_cli.training.metrics import Predictions

_SHARED = (
    "data", "split", "data_root", "offline", "skip_bad", "max_pixels", "threads", "device", "precision",
)  # fmt: skip  # options of `evaluate`
_FIX = "pass --data with labeled samples that no run was trained on"


@dataclass(frozen=True)
class RunScores:
    """The metrics of one run."""

    run: str
    model_file: str
    accuracy: float
    loss: float  # cross-entropy in nats
    macro_f1: float


@dataclass(frozen=True)
class RunDifference:
    """The difference of one metric between a run and the first one."""

    run: str
    metric: str
    found: SampleDifference = field(metadata=INLINE)

    @property
    def verdict(self) -> str:
        """How the run is compared with the first: "better", "worse", or "no more than chance"."""
        if not self.found.is_more_than_chance:
            return "no more than chance"
        return "better" if (self.found.difference > 0) != (self.metric == "loss") else "worse"

    @property
    def cells(self) -> tuple[str, ...]:
        """Difference, interval, p-value and verdict as text."""
        found = self.found
        p_value = "-" if found.p_value is None else f"{found.p_value:.2g}"
        return f"{found.difference:+.4f}", f"{found.low:+.4f} to {found.high:+.4f}", p_value, self.verdict


@dataclass(frozen=True)
class CompareResult:
    """The metrics of several runs on the same samples, and the differences from the first run."""

    data: str
    split: str
    samples: int
    confidence: float  # of all comparisons of a metric together
    confidence_of_each: float
    runs: tuple[RunScores, ...]
    differences: tuple[RunDifference, ...]
    plot: Path | None

    @property
    def paths(self) -> list[Path]:
        """The plot, where there is one."""
        return [] if self.plot is None else [self.plot]

    def table(self) -> Iterator[Table | str]:
        """The metrics of each run, then the differences from the first."""
        names = ("accuracy", "loss", "macro-F1")
        rows = [(r.run, *(f"{value:.4f}" for value in (r.accuracy, r.loss, r.macro_f1))) for r in self.runs]
        yield Table(("run", *names), rows, numeric=names, is_result=True)
        numeric = ("difference", f"{self.confidence_of_each * 100:.4g} % interval", "p")
        differences = [(one.run, one.metric, *one.cells) for one in self.differences]
        yield Table(("run", "metric", *numeric, f"than {self.runs[0].run}"), differences, numeric, is_result=True)
        yield f"{output.counted(self.samples, 'sample')} of {self.data} ({self.split})"

    def check(self, config: CompareConfig) -> None:
        """Check `--fail-if-worse`. Raises GateError."""
        for one in self.differences:
            if config.fail_if_worse and one.metric == "accuracy" and one.verdict == "worse":
                what = f"{one.run} has a lower accuracy than {self.runs[0].run} by {-one.found.difference:.4f}"
                raise GateError("--fail-if-worse", f"{what} (p {one.found.p_value:.2g})", "keep the first run")


@dataclass(frozen=True)
class _Answers:
    """What one run predicts for each sample."""

    data: str
    split: str
    fingerprint: str
    indices: NDArray[np.int64]
    classes: tuple[str, ...]
    predictions: Predictions
    scores: RunScores


def compare_runs(config: CompareConfig) -> CompareResult:
    """Evaluate runs on the same samples, compare each with the first, and draw their learning curves.

    Raises InputError where a model file, the data or an output is invalid, where the runs have other test samples or
    classes, and for a single run.
    """
    if len(config.runs) < 2:  # noqa: PLR2004
        raise InputError("RUNS", "names one run", "name two or more")
    check_outputs(config)
    curves = {} if config.plot is None else _histories(config.runs)
    with StopRequest() as stop:
        answers = [_evaluated(config, path, stop.poll) for path in config.runs]
    first, *others = answers
    for path, one in zip(config.runs[1:], others, strict=True):
        _check_same(path, one, first)
    each = 1 - (1 - config.confidence) / len(others)
    differences = tuple(
        RunDifference(one.scores.run, metric, found)
        for one in others
        for metric, found in _differences(first, one, each, config.seed)
    )
    if config.plot is not None:
        files.atomic_write(config.plot, draw_learning_curves(curves))
    scores = tuple(one.scores for one in answers)
    return CompareResult(
        first.data, first.split, len(first.indices), config.confidence, round(each, 6), scores, differences, config.plot
    )


def _evaluated(config: CompareConfig, path: Path, poll: Any) -> _Answers:
    shared = {name: getattr(config, name) for name in _SHARED}
    options = LabeledDataOptions(model=path, **shared)
    classifier = open_any_classifier(options, as_trained=True)
    data, _ = labeled_data_of(options, classifier)
    dataset, split = load_split(options, classifier, data)
    evaluation = classifier.evaluate(dataset, split, (), poll, keep_predictions=True)
    if evaluation.predictions is None:
        raise InputError("--data", f"{data} has no samples in the split {split.name}", "name another --split")
    metrics = evaluation.metrics
    scores = RunScores(
        str(path), str(classifier.path), metrics.accuracy, metrics.loss, evaluation.macro_average()["f1"]
    )
    return _Answers(
        data, split.name, dataset.fingerprint, split.indices, classifier.classes, evaluation.predictions, scores
    )


def _check_same(path: Path, one: _Answers, first: _Answers) -> None:
    """Raise InputError unless two runs have the same classes and were tested on the same samples."""
    if set(one.classes) != set(first.classes):
        raise InputError(path, f"has other classes than {first.scores.run}", "compare runs with the same classes")
    if one.fingerprint != first.fingerprint or not np.array_equal(one.indices, first.indices):
        what = f"has other test samples than {first.scores.run}"
        raise InputError(path, f"{what} (another data set, --seed or --test-split)", _FIX)


def _differences(
    first: _Answers, other: _Answers, confidence: float, seed: int
) -> Iterator[tuple[str, SampleDifference]]:
    """The difference of each metric."""
    settings: Any = {"confidence": confidence, "seed": seed}
    one, two = first.predictions, other.predictions
    yield "accuracy", compare_samples(one.is_correct, two.is_correct, **settings)
    yield "loss", compare_samples(one.losses, two.losses, **settings)
    columns = [f1_columns(p.labels, p.predicted, len(first.classes)) for p in (one, two)]
    yield "macro-F1", compare_samples(*columns, **settings, score=macro_f1)


def _histories(paths: tuple[Path, ...]) -> dict[str, list[dict[str, Any]]]:
    """The validations of each run. Raises InputError for a run without any."""
    found = {str(path): read_history(read_run(path)) for path in paths}
    for path, history in found.items():
        if not history:
            raise InputError("--plot", f"{path} has no validations", "drop --plot")
    return found
