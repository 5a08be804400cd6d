"""The robustness of trained classifiers: their accuracy on shifted, rotated, scaled, noisy and blurred images.

Outside of the image is black, as with the augmentation of the same names.
"""

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dlnotes_cli.classify.evaluate import check_outputs
from dlnotes_cli.classify.evaluation_options import EvaluateConfig
from dlnotes_cli.data.dataset import DataSet
from dlnotes_cli.data.options import NAMED_SETS
from dlnotes_cli.data.preprocessing import ImagePreprocessing
from dlnotes_cli.device import RuntimeInfo
from dlnotes_cli.inference.classifier import Classifier, evaluate_probabilities
from dlnotes_cli.inference.labeled_data import load_split
from dlnotes_cli.inference.opening import open_classifier
from dlnotes_cli.plots.curves import AccuracyCurve, draw_robustness
from dlnotes_cli.shell import files, output
from dlnotes_cli.shell.codec import INLINE
from dlnotes_cli.shell.errors import InputError, unknown_choice
from dlnotes_cli.shell.files import user_path
from dlnotes_cli.shell.show import Table, csv_text
from dlnotes_cli.shell.stopping import StopRequest
from dlnotes_cli.training.metrics import Evaluation, inference_batch_size
from dlnotes_cli.training.model_metadata import ChosenSplit, training_data
from dlnotes_cli.training.run_folder import check_outside_data

PLOT = "shift-test.png"
Images = NDArray[np.uint8]  # (N, C, H, W)
_WHERE = "--shift-test"
_SEED = 0  # of the noise
_MOST_SHIFTS, _MOST_AMOUNTS, _FEWER_AMOUNTS = 8, 9, 6
_DIRECTIONS = ((0, 1), (0, -1), (1, 0), (-1, 0))  # right, left, down, up
_BLUR_REACH = 3  # standard deviations


class _Limits(NamedTuple):
    """The unit of the amounts of a change, their range and an example, and the amount that changes nothing."""

    unit: str
    low: float
    high: float
    example: str
    neutral: float = 0.0


_LIMITS: Mapping[str, _Limits] = {
    "shift": _Limits("pixels", 1, 4096, "4"),
    "rotate": _Limits("degrees", 1, 180, "20"),
    "scale": _Limits("factor", 0.1, 10, "0.8-1.2", neutral=1.0),
    "noise": _Limits("standard deviation, white is 1", 0.001, 1, "0.2"),
    "blur": _Limits("standard deviation in pixels", 0.05, 20, "2"),
}


@dataclass(frozen=True)
class Change:
    """A kind of change with the amounts that are tested, in ascending order."""

    name: str
    amounts: tuple[float, ...]

    def variants(self, amount: float) -> list[Callable[[Images], Images]]:
        """How images are changed by an amount: for a shift in each of four directions, otherwise in one way.

        Rotations are counter-clockwise. The noise of the images, in their order, is the same for every amount.
        """
        import torch
        import torch.nn.functional as F  # noqa: N812  # PyTorch's own abbreviation

        from dlnotes_cli.data.images.transforms import blurred, rotated, scaled

        generator = torch.Generator().manual_seed(_SEED)

        def changed(images: Images, down: int = 0, right: int = 0) -> Images:
            x = torch.from_numpy(images).float()
            amounts = torch.full((len(x),), amount)
            if self.name == "shift":
                x = F.pad(x, (right, -right, down, -down))
            elif self.name == "rotate":
                x = rotated(x, amounts.deg2rad())
            elif self.name == "scale":
                x = scaled(x, amounts)
            elif self.name == "blur":
                x = blurred(x, amounts, radius=max(1, math.ceil(_BLUR_REACH * amount)))
            else:
                x = x + 255 * amount * torch.randn(x.shape, generator=generator)
            return np.asarray(x.round().clamp(0, 255).to(torch.uint8).numpy())

        if amount == _LIMITS[self.name].neutral:
            return [lambda images: images]
        if self.name != "shift":
            return [changed]
        return [partial(changed, down=down * int(amount), right=right * int(amount)) for down, right in _DIRECTIONS]


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

    def evaluate(self, change: Callable[[Images], Images], poll: Callable[[], None]) -> Evaluation:
        """The evaluation on changed images."""
        samples: Any = self.dataset.samples
        return evaluate_probabilities(
            lambda indices: self.classifier.probabilities(change(samples[indices])), self.dataset.labels,
            self.split.indices, classes=len(self.classifier.classes), batch=inference_batch_size(samples.shape[1:]),
            poll=poll,
        )  # fmt: skip


def shift_test(config: EvaluateConfig) -> ShiftTestResult:
    """Evaluate one or more classifiers of images on changed images, and write the plot.

    Raises InputError where a model file, the data or an output is invalid, or a model reads tables.
    """
    changes = parse_shifts(config.shift_test or "")
    check_outputs(config)
    data, subjects = _open(config, changes)
    names = distinct([_short_name(subject.classifier.path) for subject in subjects])
    done, total = itertools.count(1), len(subjects) * sum(len(change.amounts) for change in changes)
    models = []
    with StopRequest() as stop, output.progress("changes") as bar:
        for name, subject in zip(names, subjects, strict=True):
            curves = []
            for change in changes:
                points = []
                for amount in change.amounts:
                    found = [subject.evaluate(variant, stop.poll) for variant in change.variants(amount)]
                    accuracy, loss = (float(np.mean([getattr(e, key) for e in found])) for key in ("accuracy", "loss"))
                    points.append(ShiftPoint(amount, accuracy, loss))
                    bar.update(next(done) / total)
                curves.append(ShiftCurve(change.name, _LIMITS[change.name].unit, tuple(points)))
            unchanged = subject.evaluate(lambda images: images, stop.poll)
            path, runtime = str(subject.classifier.path), subject.classifier.runtime
            models.append(ModelShifts(path, name, runtime, unchanged.accuracy, tuple(curves)))
    split = subjects[0].split
    plots: tuple[Path, ...] = ()
    if config.out is not None:
        files.make_folder("--out", config.out)
        title = f"{data} ({split.name}), {len(split.indices):,} images"
        files.atomic_write(config.out / PLOT, draw_robustness(_panels(models), title))
        plots = (config.out / PLOT,)
    return ShiftTestResult(data, split.name, len(split.indices), tuple(models), plots)


def _open(config: EvaluateConfig, changes: Sequence[Change]) -> tuple[str, list[_Subject]]:
    """The data that all models are tested on, and the models, each with its images.

    Warns where two models are not tested on the same samples, or see them at another size.
    """
    subjects: list[_Subject] = []
    data = config.data
    for path in (config.model, *config.others):
        classifier = open_classifier(replace(config, model=path), as_trained=True)
        if not isinstance(classifier.preprocessing, ImagePreprocessing):
            raise InputError(_WHERE, f"{path} reads tables, and only images can be shifted", "name models of images")
        sides = classifier.preprocessing.shape[1:]
        reach = max((change.amounts[-1] for change in changes if change.name == "shift"), default=0)
        if reach >= min(sides):
            what = f"'shift:{reach:g}' moves images of {'x'.join(map(str, sides))} out of sight"
            raise InputError(_WHERE, what, "use a smaller shift")
        data = data or training_data(classifier.metadata)
        subjects.append(_Subject(classifier, *load_split(config, classifier, data)))
    if config.out is not None:
        check_outside_data("--out", config.out, None if data in NAMED_SETS else user_path(str(data)))
    first, *others = subjects
    for subject in others:
        if not np.array_equal(subject.split.indices, first.split.indices):
            what = "was trained with another split, and is tested on other samples"
        elif subject.dataset.preprocessing.shape[1:] != first.dataset.preprocessing.shape[1:]:
            what = "sees the images at another size, and its shifts and blurs are in its own pixels"
        else:
            continue
        output.warn(f"{subject.classifier.path} {what}")
    return str(data), subjects


def _panels(models: Sequence[ModelShifts]) -> list[tuple[str, list[AccuracyCurve]]]:
    """The curves of all models by change."""
    panels = []
    for of_change in zip(*(model.shifts for model in models), strict=True):
        points = [([point.amount for point in c.points], [point.accuracy for point in c.points]) for c in of_change]
        curves = [AccuracyCurve(model.name, *pair) for model, pair in zip(models, points, strict=True)]
        panels.append((f"{of_change[0].name} ({of_change[0].unit})", curves))
    return panels


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


def parse_shifts(text: str) -> tuple[Change, ...]:
    """The changes in a value of `--shift-test`. Raises InputError."""
    changes = tuple(_parse(item.strip()) for item in text.split(",") if item.strip())
    names = [change.name for change in changes]
    repeated = next((name for i, name in enumerate(names) if name in names[:i]), None)
    if repeated or not changes:
        what = f"'{repeated}' is listed twice" if repeated else "names no change"
        raise InputError(_WHERE, what, "write shift:4,rotate:20,scale:0.8-1.2")
    return changes


def _parse(text: str) -> Change:
    name, _, digits = text.partition(":")
    if name not in _LIMITS:
        raise unknown_choice(_WHERE, name, _LIMITS, kind="change")
    limits = _LIMITS[name]
    try:
        numbers = [float(part) for part in (digits.split("-") if name == "scale" else [digits])]
    except ValueError:
        numbers = [math.nan]
    is_valid = all(limits.low <= number <= limits.high for number in numbers)
    if name == "shift":
        is_valid, what = is_valid and numbers[0].is_integer(), "a whole number"
    elif name == "scale":
        is_valid = is_valid and len(numbers) == 2 and numbers[0] < numbers[1]  # noqa: PLR2004
        what = "two numbers, the lower first,"
    else:
        what = "a number"
    if not is_valid:
        needed = f"'{text}' needs {what} from {limits.low:g} to {limits.high:g}"
        raise InputError(_WHERE, needed, f"write {name}:{limits.example}")
    return Change(name, _amounts(name, numbers))


def _amounts(name: str, numbers: Sequence[float]) -> tuple[float, ...]:
    """The amounts to test, with the one that changes nothing if it lies between the others."""
    if name == "shift":
        count = min(int(numbers[0]), _MOST_SHIFTS)
        return tuple(float(round(numbers[0] * i / count)) for i in range(count + 1))
    low = {"scale": numbers[0], "rotate": -numbers[0]}.get(name, 0)
    steps = np.linspace(low, numbers[-1], _FEWER_AMOUNTS if name in {"noise", "blur"} else _MOST_AMOUNTS)
    amounts = {round(float(amount), 6) for amount in steps}
    return tuple(sorted(amounts | ({1.0} if name == "scale" and low < 1 < numbers[1] else set())))
