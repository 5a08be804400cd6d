"""The robustness of trained classifiers: their accuracy on shifted, rotated, scaled, noisy and blurred images."""

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dlnotes_cli.classify.evaluate import check_outputs, load_split
from dlnotes_cli.classify.evaluation_options import EvaluateConfig
from dlnotes_cli.classify.shifts import WHERE, ShiftKind, check_reach, parse_shifts
from dlnotes_cli.data.dataset import DataSet
from dlnotes_cli.data.options import NAMED_SETS
from dlnotes_cli.data.preprocessing import ImagePreprocessing
from dlnotes_cli.device import RuntimeInfo
from dlnotes_cli.inference.classifier import Classifier
from dlnotes_cli.inference.opening import open_classifier
from dlnotes_cli.plots.curves import AccuracyCurve, draw_robustness
from dlnotes_cli.shell import files, output
from dlnotes_cli.shell.codec import INLINE
from dlnotes_cli.shell.errors import InputError
from dlnotes_cli.shell.files import user_path
from dlnotes_cli.shell.show import Table, csv_text
from dlnotes_cli.shell.stopping import StopRequest
from dlnotes_cli.training.metrics import Evaluation
from dlnotes_cli.training.model_metadata import ChosenSplit, training_data
from dlnotes_cli.training.run_folder import check_outside_data

PLOT = "shift-test.png"
_SEED = 0  # of the noise


@dataclass(frozen=True)
class ShiftPoint:
    """The metrics on images that are changed by one amount; for a shift the means over four directions."""

    amount: float
    accuracy: float
    loss: float


@dataclass(frozen=True)
class ShiftCurve:
    """The metrics of one model against the amounts of one change."""

    name: str
    unit: str
    points: tuple[ShiftPoint, ...]


@dataclass(frozen=True)
class ModelShifts:
    """The shift test of one model."""

    model_file: str
    name: str  # a short one, different for each model
    runtime: RuntimeInfo = field(metadata=INLINE)
    accuracy: float  # of the images as they are
    shifts: tuple[ShiftCurve, ...]

    @property
    def rows(self) -> list[tuple[str, ShiftPoint]]:
        """Each change by its name, with each of its points."""
        return [(curve.name, point) for curve in self.shifts for point in curve.points]


@dataclass(frozen=True)
class ShiftTestResult:
    """The shift tests of all models on one data set."""

    data: str
    split: str
    samples: int
    models: tuple[ModelShifts, ...]
    plots: tuple[Path, ...]

    @property
    def paths(self) -> tuple[Path, ...]:
        """The files that were written."""
        return self.plots

    def table(self) -> Iterator[Table | str]:
        """The accuracy of every model by change and amount, and that of the unchanged images."""
        names = tuple(model.name for model in self.models)
        rows = [
            (points[0][0], f"{points[0][1].amount:g}", *(f"{point.accuracy:.4f}" for _, point in points))
            for points in zip(*(model.rows for model in self.models), strict=True)
        ]
        yield Table(("change", "amount", *names), rows, numeric=("amount", *names))
        samples = output.counted(self.samples, "sample")
        for model in self.models:
            yield f"{model.name}: accuracy {model.accuracy:.4f} on {samples} of {self.data} ({self.split})"

    def csv(self) -> str:
        """A CSV table with one row for each model, change and amount."""
        rows = [(m.name, change, p.amount, p.accuracy, p.loss) for m in self.models for change, p in m.rows]
        return csv_text(("model", "change", "amount", "accuracy", "loss"), rows)


@dataclass(frozen=True)
class _Subject:
    """A classifier with the images that it is tested on."""

    classifier: Classifier
    dataset: DataSet
    split: ChosenSplit

    @property
    def images(self) -> NDArray[np.uint8]:
        """The images (N, C, H, W) of the split."""
        return np.asarray(self.dataset.samples[self.split.indices], np.uint8)

    def evaluate(self, images: NDArray[np.uint8], stop: StopRequest) -> Evaluation:
        """The evaluation on changed images."""
        everything = np.arange(len(images))
        dataset = replace(self.dataset, samples=images, labels=self.dataset.labels[self.split.indices], splits={})
        return self.classifier.evaluate(
            dataset, ChosenSplit(self.split.name, everything), (), stop.poll, keep_predictions=False
        )


def shift_test(config: EvaluateConfig) -> ShiftTestResult:
    """Evaluate one or more classifiers of images on changed images, and write the plot.

    Raises InputError where a model file, the data or an output is invalid, or a model reads tables.
    """
    kinds = parse_shifts(config.shift_test or "")
    check_outputs(config)
    data, subjects = _open(config, kinds)
    names = distinct([_short_name(subject.classifier.path) for subject in subjects])
    done, total = itertools.count(1), len(subjects) * sum(len(kind.amounts) for kind in kinds)
    with StopRequest() as stop, output.progress("changes") as bar:

        def advance() -> None:
            bar.update(next(done) / total)

        models = [_test(name, subject, kinds, stop, advance) for name, subject in zip(names, subjects, strict=True)]
    split = subjects[0].split
    plots = _draw(config.out, models, f"{data} ({split.name}), {len(split.indices):,} images")
    return ShiftTestResult(data, split.name, len(split.indices), tuple(models), plots)


def _open(config: EvaluateConfig, kinds: tuple[ShiftKind, ...]) -> tuple[str, list[_Subject]]:
    """The data that all models are tested on, and the models, each with its images."""
    subjects: list[_Subject] = []
    data = config.data
    for path in (config.model, *config.others):
        classifier = open_classifier(replace(config, model=path), as_trained=True)
        if not isinstance(classifier.preprocessing, ImagePreprocessing):
            raise InputError(WHERE, f"{path} reads tables, and only images can be shifted", "name models of images")
        check_reach(kinds, classifier.preprocessing.shape)
        data = data or training_data(classifier.metadata)
        subjects.append(_Subject(classifier, *load_split(config, classifier, data)))
    if config.out is not None:
        check_outside_data("--out", config.out, None if data in NAMED_SETS else user_path(str(data)))
    _compare_samples(subjects)
    return str(data), subjects


def _compare_samples(subjects: Sequence[_Subject]) -> None:
    """Warn where two models are not tested on the same samples, or see them at another size."""
    first = subjects[0]
    for subject in subjects[1:]:
        if not np.array_equal(subject.split.indices, first.split.indices):
            what = "was trained with another split, and is tested on other samples"
        elif subject.dataset.preprocessing.shape[1:] != first.dataset.preprocessing.shape[1:]:
            what = "sees the images at another size, and its shifts and blurs are in its own pixels"
        else:
            continue
        output.warn(f"{subject.classifier.path} {what}")


def _test(
    name: str, subject: _Subject, kinds: tuple[ShiftKind, ...], stop: StopRequest, advance: Callable[[], None]
) -> ModelShifts:
    images, classifier = subject.images, subject.classifier
    unchanged = subject.evaluate(images, stop)
    curves = []
    for kind in kinds:
        points = []
        for amount in kind.amounts:
            variants = [images] if kind.is_neutral(amount) else kind.variants(images, amount, _SEED)
            found = [unchanged if variant is images else subject.evaluate(variant, stop) for variant in variants]
            accuracy, loss = (float(np.mean([getattr(one, field) for one in found])) for field in ("accuracy", "loss"))
            points.append(ShiftPoint(amount, accuracy, loss))
            advance()
        curves.append(ShiftCurve(kind.name, kind.unit, tuple(points)))
    return ModelShifts(str(classifier.path), name, classifier.runtime, unchanged.accuracy, tuple(curves))


def _short_name(path: Path) -> str:
    """The name of a run, or of a model file without a run."""
    return path.parent.name or path.stem if path.name == "model.safetensors" else path.stem


def distinct(names: Sequence[str]) -> list[str]:
    """The names, numbered where several are equal.

    >>> distinct(["run", "cnn", "run"])
    ['run', 'cnn', 'run (2)']
    """
    before = [names[:i].count(name) for i, name in enumerate(names)]
    return [f"{name} ({count + 1})" if count else name for name, count in zip(names, before, strict=True)]


def _draw(folder: Path | None, models: Sequence[ModelShifts], title: str) -> tuple[Path, ...]:
    """The path of the plot, drawn into a new folder; none without a folder."""
    if folder is None:
        return ()
    files.make_folder("--out", folder)
    panels = []
    for i, curve in enumerate(models[0].shifts):
        curves = [
            AccuracyCurve(
                model.name,
                [point.amount for point in model.shifts[i].points],
                [point.accuracy for point in model.shifts[i].points],
            )
            for model in models
        ]
        panels.append((f"{curve.name} ({curve.unit})", curves))
    files.atomic_write(folder / PLOT, draw_robustness(panels, title))
    return (folder / PLOT,)
