"""The evaluation of a trained classifier on labeled data."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from dlnotes_cli.classify.coefficients import Coefficients, coefficients_of
from dlnotes_cli.classify.evaluation_options import EvaluateConfig
from dlnotes_cli.data.dataset import DataSet
from dlnotes_cli.data.labels import list_data
from dlnotes_cli.data.listing import list_folder
from dlnotes_cli.data.paths import check_not_input
from dlnotes_cli.device import RuntimeInfo
from dlnotes_cli.inference.classifier import AnyClassifier, Classifier
from dlnotes_cli.inference.labeled_data import label_columns_of, labeled_data_of, load_split
from dlnotes_cli.inference.opening import open_any_classifier
from dlnotes_cli.shell import files, output
from dlnotes_cli.shell.codec import INLINE, named
from dlnotes_cli.shell.files import user_path
from dlnotes_cli.shell.show import Table, csv_file, csv_text
from dlnotes_cli.shell.stopping import StopRequest
from dlnotes_cli.training.evaluation_plots import draw_evaluation, image_reader
from dlnotes_cli.training.metrics import Balance, ClassScores, Metrics
from dlnotes_cli.training.results import check_accuracy
from dlnotes_cli.training.run_folder import check_outside_data, run_files

_SCORES = ("precision", "recall", "f1")


@dataclass(frozen=True)
class EvaluateResult:
    """Metrics over all samples and per class."""

    model: str = field(metadata=named("model_file"))
    data: str
    split: str
    metrics: Metrics = field(metadata=INLINE)
    majority: float  # the accuracy of always answering the most frequent class
    top_accuracies: dict[int, float] = field(metadata=named("top"))  # by k: the class is among the k most probable
    macro: dict[str, float]  # unweighted means of precision, recall and F1
    balance: Balance = field(metadata=INLINE)
    scores: list[ClassScores] = field(metadata=named("classes"))
    confusion: list[list[int]]  # samples by true class (row) and predicted class (column)
    runtime: RuntimeInfo = field(metadata=INLINE)
    bad_files: tuple[str, ...] = field(metadata=named("skipped"))
    plots: tuple[Path, ...]
    tta: bool
    coefficients: Coefficients | None  # of a linear classifier of a table

    @property
    def paths(self) -> tuple[Path, ...]:
        """The files that were written."""
        return self.plots

    def table(self) -> Iterator[Table | str]:
        """The scores of each class, the weights of a linear classifier, and the totals in one line."""
        rows = [(s.name, f"{s.precision:.4f}", f"{s.recall:.4f}", f"{s.f1:.4f}", f"{s.support:,}") for s in self.scores]
        precision, recall, f1 = (f"{self.macro[name]:.4f}" for name in _SCORES)
        rows.append(("macro average", precision, recall, f1, f"{self.metrics.samples:,}"))
        yield Table(("class", *_SCORES, "support"), rows, numeric=(*_SCORES, "support"))
        if self.coefficients is not None:
            yield self.coefficients.table()
        tops = "".join(f", top-{k} {accuracy:.4f}" for k, accuracy in self.top_accuracies.items())
        totals = (
            f"accuracy {self.metrics.accuracy:.4f} (always the most frequent class: {self.majority:.4f}){tops}, "
            f"loss {self.metrics.loss:.4f}"
        )
        yield f"{totals} on {output.counted(self.metrics.samples, 'sample')} of {self.data} ({self.split})"
        if text := self.balance.text(self.majority, len(self.scores)):
            yield text

    def check(self, config: EvaluateConfig) -> None:
        """Check `--min-accuracy`. Raises GateError."""
        check_accuracy(self.metrics.accuracy, config.min_accuracy)

    def csv(self) -> str:
        """A CSV table with one row per class."""
        rows = [(s.name, s.precision, s.recall, s.f1, s.support) for s in self.scores]
        return csv_text(("class", *_SCORES, "support"), rows)


def evaluate_model(config: EvaluateConfig) -> EvaluateResult:
    """Evaluate a model on labeled data, with classes matched by name, and write plots.

    Raises InputError where the model file, the data or an output is invalid, or the data has a class that the model
    does not have.
    """
    check_outputs(config)
    classifier = open_any_classifier(config, as_trained=True)
    data = _checked_data(config, classifier)
    dataset, split = load_split(config, classifier, data)
    top = tuple(k for k in sorted(set(config.top)) if 1 < k < len(classifier.classes))
    with StopRequest() as stop:
        evaluation = classifier.evaluate(dataset, split, top, stop.poll, keep_predictions=config.out is not None)
    plots: tuple[Path, ...] = ()
    if config.out is not None:
        files.make_folder("--out", config.out)
        images = image_reader(dataset.samples, split.indices) if isinstance(dataset, DataSet) else None
        named = (dataset.name, split.name)
        plots = tuple(draw_evaluation(config.out, evaluation, classifier.classes, images, named))
    return EvaluateResult(
        model=str(classifier.path), data=data, split=split.name, metrics=evaluation.metrics,
        majority=evaluation.majority, macro=evaluation.macro_average(), balance=evaluation.balance,
        scores=evaluation.per_class(classifier.classes),
        top_accuracies={k: count / evaluation.samples for k, count in evaluation.within_top.items()},
        confusion=evaluation.confusion.tolist(), runtime=classifier.runtime,
        bad_files=getattr(dataset, "bad_files", ()), plots=plots, tta=config.tta,
        coefficients=coefficients_of(classifier),
    )  # fmt: skip


def check_outputs(config: EvaluateConfig) -> None:
    """Validate `--csv` and `--out` without writing. Raises InputError."""
    if (path := csv_file(config)) is not None:
        files.check_output_file("--csv", path, overwrite=config.overwrite, made=config.out)
    if config.out is not None:
        files.check_output_folder("--out", config.out, overwrite=config.overwrite)


def _checked_data(config: EvaluateConfig, classifier: AnyClassifier) -> str:
    """What `--data` names, or the training data. Raises InputError for an output among its files."""
    reads_texts = not isinstance(classifier, Classifier)
    data, kind = labeled_data_of(config, classifier)
    root = None if kind == "named" else user_path(data)
    if config.out is not None:
        check_outside_data("--out", config.out, root)
    if (path := csv_file(config)) is not None:
        inputs = [*run_files(classifier.path), *([] if root is None else [root])]
        labels = None if reads_texts else label_columns_of(config, classifier, data)
        if root is not None and (kind == "folder" or labels is not None):
            inputs += list_folder(root, "texts").files if reads_texts else list_data(data, labels).files
        check_not_input("--csv", path, inputs)
    return data
