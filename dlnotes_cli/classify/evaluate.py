"""How good a trained classifier is on labeled data."""

import csv
import io
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from dlnotes_cli.classify.options import EvaluateConfig
from dlnotes_cli.data.batches import Normalizer, Split, splits_on_device
from dlnotes_cli.data.dataset import DataSet
from dlnotes_cli.data.load import load_for_model
from dlnotes_cli.data.splits import complete_splits
from dlnotes_cli.device import Runtime, default_threads
from dlnotes_cli.shell import files, output
from dlnotes_cli.shell.errors import InputError
from dlnotes_cli.shell.stopping import StopRequest
from dlnotes_cli.training.checkpoint import TrainedModel, load_classifier
from dlnotes_cli.training.evaluation_plots import EvaluatedModel, draw_evaluation
from dlnotes_cli.training.metrics import ClassScores, Evaluation, evaluate, with_views
from dlnotes_cli.training.model_runtime import runtime_for_model


@dataclass(frozen=True)
class EvaluateResult:
    """Scores over all samples and per class."""

    model: str
    data: str
    split: str
    classes: tuple[str, ...]
    evaluation: Evaluation
    runtime: Runtime
    bad_files: tuple[str, ...]
    images: tuple[Path, ...]
    tta: bool = False

    @property
    def scores(self) -> list[ClassScores]:
        """Precision, recall, F1 and support of each class."""
        return self.evaluation.per_class(self.classes)

    @property
    def top_accuracies(self) -> dict[int, float]:
        """Part of the samples whose class is among the k most probable."""
        return {k: count / self.evaluation.samples for k, count in self.evaluation.within_top.items()}

    def as_json(self) -> dict[str, Any]:
        """The document of `--json`."""
        return {
            "model_file": self.model,
            "data": self.data,
            "split": self.split,
            "tta": self.tta,
            **self.runtime.as_json(),
            **self.evaluation.as_json(),
            "top": {str(k): accuracy for k, accuracy in self.top_accuracies.items()},
            "macro": self.evaluation.macro_average(),
            "classes": [vars(score) for score in self.scores],
            "confusion": self.evaluation.confusion.tolist(),
            "skipped": list(self.bad_files),
            "plots": [str(path) for path in self.images],
        }

    def as_csv(self) -> str:
        """One row per class."""
        stream = io.StringIO()
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(("class", "precision", "recall", "f1", "support"))
        writer.writerows((s.name, s.precision, s.recall, s.f1, s.support) for s in self.scores)
        return stream.getvalue()


def evaluate_model(config: EvaluateConfig) -> EvaluateResult:
    """Run a model over labeled data, classes matched by name.

    Raises InputError where the model file, the data or an output is not right, or the data has a class that the model
    does not know.
    """
    _check_outputs(config)
    model = load_classifier(config.model)
    runtime = runtime_for_model(model.metadata, config)
    network = model.network.to(runtime.device)
    if config.tta:
        network = with_views(network, model.preprocessing, model.classes)
    data = config.data or str(model.metadata.get("data", {}).get("name", "digits"))
    dataset = load_for_model(data, config, model.preprocessing, threads=config.threads or default_threads())
    dataset = replace(_with_trained_parts(data, dataset, model), labels=_labels_by_name(dataset, model.classes))
    split, part = _choose_part(dataset, config.split, runtime)
    normalizer = Normalizer(model.preprocessing, runtime.device)
    top = tuple(k for k in sorted(set(config.top)) if 1 < k < len(model.classes))
    with StopRequest() as stop:
        outcome = evaluate(network, part, normalizer, runtime, classes=len(model.classes), top=top, poll=stop.poll)
    images: tuple[Path, ...] = ()
    if config.out is not None:
        files.make_folder("--out", config.out)
        viewed = EvaluatedModel(network, part, normalizer, runtime, model.classes)
        images = tuple(draw_evaluation(config.out, outcome, viewed))
    result = EvaluateResult(
        str(model.path), data, split, model.classes, outcome, runtime, dataset.bad_files, images, config.tta
    )
    if config.csv not in {None, "-"}:
        files.write_text(files.user_path(str(config.csv)), result.as_csv())
    return result


def _check_outputs(config: EvaluateConfig) -> None:
    if config.csv not in {None, "-"}:
        path = files.user_path(str(config.csv))
        files.check_output_file("--csv", path, overwrite=config.overwrite, made=config.out)
    if config.out is not None:
        files.check_output_folder("--out", config.out, overwrite=config.overwrite)


def _labels_by_name(dataset: DataSet, known: tuple[str, ...]) -> NDArray[np.int64]:
    present = np.unique(dataset.labels)
    for index in present:
        if dataset.classes[index] not in known:
            what = f"class '{dataset.classes[index]}' is not known to the model"
            raise InputError("--data", what, f"known are {', '.join(known)}")
    position = np.array([known.index(name) if name in known else -1 for name in dataset.classes])
    return np.asarray(position[dataset.labels], dtype=np.int64)


def _with_trained_parts(data: str, dataset: DataSet, model: TrainedModel) -> DataSet:
    """Split the data as in training, where it is the very data that the model was trained on."""
    trained_on = model.metadata.get("data", {})
    if trained_on.get("fingerprint") != dataset.fingerprint:
        if trained_on.get("name") == data:
            output.warn(f"{data} has changed since the training, which may have seen some of these samples")
        return dataset
    parts = complete_splits(
        dataset.splits, dataset.labels, seed=int(model.metadata["seed"]),
        val_split=float(trained_on["val_split"]), test_split=float(trained_on["test_split"]),
    )  # fmt: skip
    return replace(dataset, splits=parts)


def _choose_part(dataset: DataSet, split: str, runtime: Runtime) -> tuple[str, Split]:
    parts = splits_on_device(dataset, runtime.device)
    if split == "auto":
        split = next((name for name in ("test", "val") if name in parts), "all")
    if split == "all" and "all" not in parts:
        some = next(iter(parts.values()))
        return split, replace(some, indices=torch.cat([part.indices for part in parts.values()]).sort().values)
    if split not in parts:
        raise InputError("--split", f"{dataset.name} has no part '{split}'", f"choose from {', '.join(parts)}, all")
    return split, parts[split]
