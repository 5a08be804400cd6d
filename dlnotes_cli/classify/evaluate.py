"""The evaluation of a trained classifier on labeled data."""

import csv
import io
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from dlnotes_cli.classify.options import EvaluateConfig
from dlnotes_cli.classify.tta import with_tta
from dlnotes_cli.data.batches import Normalizer, Split, splits_on_device
from dlnotes_cli.data.folder import list_folder
from dlnotes_cli.data.load import load_for_model
from dlnotes_cli.data.options import NAMED_SETS
from dlnotes_cli.data.paths import check_not_input, kind_of
from dlnotes_cli.device import Runtime
from dlnotes_cli.shell import files
from dlnotes_cli.shell.files import user_path
from dlnotes_cli.shell.stopping import StopRequest
from dlnotes_cli.training.course_checkpoint import open_classifier
from dlnotes_cli.training.evaluation_plots import draw_evaluation, image_reader
from dlnotes_cli.training.metrics import ClassScores, Evaluation, evaluate
from dlnotes_cli.training.model_data import choose_split, split_as_in_training, training_data
from dlnotes_cli.training.model_file import check_finite, runtime_for_model
from dlnotes_cli.training.run_folder import check_outside_data, run_files


@dataclass(frozen=True)
class EvaluateResult:
    """Metrics over all samples and per class."""

    model: str  # the path of the model file
    data: str
    split: str
    classes: tuple[str, ...]
    evaluation: Evaluation
    runtime: Runtime
    bad_files: tuple[str, ...]  # skipped
    plots: tuple[Path, ...]
    tta: bool = False

    @property
    def scores(self) -> list[ClassScores]:
        """Precision, recall, F1 and support of each class."""
        return self.evaluation.per_class(self.classes)

    @property
    def top_accuracies(self) -> dict[int, float]:
        """Top-k accuracy by k: the fraction of the samples whose class is among the k most probable."""
        return {k: count / self.evaluation.samples for k, count in self.evaluation.within_top.items()}

    def as_json(self) -> dict[str, Any]:
        """The document of `--json`."""
        return {
            "model_file": self.model,
            "data": self.data,
            "split": self.split,
            "tta": self.tta,
            **self.runtime.as_json(),
            **asdict(self.evaluation.metrics),
            "top": {str(k): accuracy for k, accuracy in self.top_accuracies.items()},
            "macro": self.evaluation.macro_average(),
            "classes": [vars(score) for score in self.scores],
            "confusion": self.evaluation.confusion.tolist(),
            "skipped": list(self.bad_files),
            "plots": [str(path) for path in self.plots],
        }

    def as_csv(self) -> str:
        """A CSV table with one row per class."""
        stream = io.StringIO()
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(("class", "precision", "recall", "f1", "support"))
        writer.writerows((s.name, s.precision, s.recall, s.f1, s.support) for s in self.scores)
        return stream.getvalue()


def evaluate_model(config: EvaluateConfig) -> EvaluateResult:
    """Evaluate a model on labeled data, with classes matched by name, and write plots and CSV.

    Raises InputError where the model file, the data or an output is invalid, or the data has a class that the model
    does not have.
    """
    _check_outputs(config)
    model = open_classifier(config.model, config.arch)
    runtime = runtime_for_model(model.metadata, config)
    network = model.network.to(runtime.device)
    if config.tta:
        network = with_tta(network, model.preprocessing, model.classes)
    data = config.data or training_data(model.metadata)
    if config.out is not None:
        check_outside_data("--out", config.out, None if data in NAMED_SETS else user_path(data))
    if config.csv_file is not None:
        check_not_input("--csv", config.csv_file, [*run_files(model.path), *_input_files(data)])
    threads = config.thread_count
    dataset = load_for_model(data, config, model.preprocessing, model.classes, threads=threads)
    dataset = split_as_in_training(data, dataset, model.metadata)
    split_name, indices = choose_split(dataset, config.split)
    split = splits_on_device(replace(dataset, splits={split_name: indices}), runtime.device)[split_name]
    normalizer = Normalizer(model.preprocessing, runtime.device)
    ks = tuple(k for k in sorted(set(config.top)) if 1 < k < len(model.classes))
    with StopRequest() as stop:
        evaluation = evaluate(
            network, split, normalizer, runtime, classes=len(model.classes), top=ks,
            keep_predictions=config.out is not None, poll=stop.poll,
        )  # fmt: skip
    check_finite(model.path, torch.tensor(evaluation.loss))
    result = EvaluateResult(
        str(model.path), data, split_name, model.classes, evaluation, runtime, dataset.bad_files,
        _draw_plots(config.out, evaluation, model.classes, split), config.tta,
    )  # fmt: skip
    if config.csv_file is not None:
        files.write_text(config.csv_file, result.as_csv())
    return result


def _check_outputs(config: EvaluateConfig) -> None:
    """Validate `--csv` and `--out` without writing. Raises InputError."""
    if config.csv_file is not None:
        files.check_output_file("--csv", config.csv_file, overwrite=config.overwrite, made=config.out)
    if config.out is not None:
        files.check_output_folder("--out", config.out, overwrite=config.overwrite)


def _input_files(data: str) -> tuple[Path, ...]:
    """The table, or the images, that `--data` names."""
    kind = kind_of(data)
    if kind == "folder":
        return list_folder(user_path(data)).files
    return (user_path(data),) if kind == "table" else ()


def _draw_plots(
    folder: Path | None, evaluation: Evaluation, classes: tuple[str, ...], split: Split
) -> tuple[Path, ...]:
    """The paths of the plots, drawn into a new folder; none without a folder."""
    if folder is None:
        return ()
    files.make_folder("--out", folder)
    return tuple(draw_evaluation(folder, evaluation, classes, image_reader(split)))
