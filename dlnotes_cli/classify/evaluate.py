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
from dlnotes_cli.data.dataset import DataSet
from dlnotes_cli.data.folder import list_folder
from dlnotes_cli.data.load import load_for_model
from dlnotes_cli.data.options import NAMED_SETS
from dlnotes_cli.data.paths import check_not_input, kind_of
from dlnotes_cli.data.splits import complete_splits
from dlnotes_cli.device import Runtime
from dlnotes_cli.shell import files, output
from dlnotes_cli.shell.errors import InputError
from dlnotes_cli.shell.files import user_path
from dlnotes_cli.shell.stopping import StopRequest
from dlnotes_cli.training.evaluation_plots import draw_evaluation, image_reader
from dlnotes_cli.training.metrics import ClassScores, Evaluation, evaluate
from dlnotes_cli.training.model_file import TrainedModel, check_finite, load_classifier, runtime_for_model
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
    model = load_classifier(config.model)
    runtime = runtime_for_model(model.metadata, config)
    network = model.network.to(runtime.device)
    if config.tta:
        network = with_tta(network, model.preprocessing, model.classes)
    data = config.data or _training_data(model)
    if config.out is not None:
        check_outside_data("--out", config.out, None if data in NAMED_SETS else user_path(data))
    if config.csv_file is not None:
        check_not_input("--csv", config.csv_file, [*run_files(model.path), *_input_files(data)])
    threads = config.thread_count
    dataset = load_for_model(data, config, model.preprocessing, model.classes, threads=threads)
    dataset = _split_as_in_training(data, dataset, model)
    split_name, split = _choose_split(dataset, config.split, runtime)
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


def _training_data(model: TrainedModel) -> str:
    """The data that a model was trained on, as its `--data` was. Raises InputError if that leads nowhere from here."""
    data = str(model.metadata.get("data", {}).get("name", "digits"))
    try:
        kind_of(data)
    except InputError as error:
        where = user_path(data).absolute()
        what = f"the model was trained on '{data}', and {where} does not exist"
        raise InputError("--data", what, "pass --data with the path of the data") from error
    return data


def _input_files(data: str) -> tuple[Path, ...]:
    """The table, or the images, that `--data` names."""
    kind = kind_of(data)
    if kind == "folder":
        return list_folder(user_path(data)).files
    return (user_path(data),) if kind == "table" else ()


def _split_as_in_training(data: str, dataset: DataSet, model: TrainedModel) -> DataSet:
    """Split a data set as in training if the model was trained on the same data; otherwise return it unchanged."""
    trained_on = model.metadata.get("data", {})
    if trained_on.get("fingerprint") != dataset.fingerprint:
        if trained_on.get("name") == data:
            output.warn(f"{data} has changed since the training: some of these samples may be training samples")
        return dataset
    splits = complete_splits(
        dataset.splits, dataset.labels, seed=int(model.metadata["seed"]),
        val_split=float(trained_on["val_split"]), test_split=float(trained_on["test_split"]),
    )  # fmt: skip
    return replace(dataset, splits=splits)


def _choose_split(dataset: DataSet, name: str, runtime: Runtime) -> tuple[str, Split]:
    """The name and the samples of the split that `--split` names. Raises InputError if the data does not have it."""
    splits = splits_on_device(dataset, runtime.device)
    if name == "auto":
        name = next((candidate for candidate in ("test", "val") if candidate in splits), "all")
    if name == "all" and "all" not in splits:
        indices = torch.cat([split.indices for split in splits.values()]).sort().values
        return name, replace(next(iter(splits.values())), indices=indices)
    if name not in splits:
        choices = ", ".join(dict.fromkeys([*splits, "all"]))
        raise InputError("--split", f"{dataset.name} has no split '{name}'", f"choose from {choices}")
    return name, splits[name]


def _draw_plots(
    folder: Path | None, evaluation: Evaluation, classes: tuple[str, ...], split: Split
) -> tuple[Path, ...]:
    """The paths of the plots, drawn into a new folder; none without a folder."""
    if folder is None:
        return ()
    files.make_folder("--out", folder)
    return tuple(draw_evaluation(folder, evaluation, classes, image_reader(split)))
