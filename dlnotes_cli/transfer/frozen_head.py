"""The frozen transfer: features computed once, a head solved on them, its weight decay chosen by validation."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from dlnotes_cli import plots
from dlnotes_cli.data.batches import Normalizer, Split
from dlnotes_cli.data.dataset import DataSet
from dlnotes_cli.data.images.augment_parser import is_flippable, parse_augment
from dlnotes_cli.data.images.decode import decode_image
from dlnotes_cli.data.load import load_view, named_images
from dlnotes_cli.device import Runtime, choose_device
from dlnotes_cli.models.backbones import Transferred
from dlnotes_cli.models.registry import config_to_json
from dlnotes_cli.shell import files, output
from dlnotes_cli.shell.errors import StoppedError, UnfinishedError
from dlnotes_cli.shell.stopping import StopRequest
from dlnotes_cli.training import run_folder
from dlnotes_cli.training.checkpoint import read_tensors, write_tensors
from dlnotes_cli.training.evaluation_plots import Viewed, draw_evaluation
from dlnotes_cli.training.metrics import Evaluation
from dlnotes_cli.training.recipes import given
from dlnotes_cli.training.record import ClassifierRecord, TrainingResult, timing_fields
from dlnotes_cli.training.run_folder import RunFolder
from dlnotes_cli.transfer.features import View, draw_map, export_features, extraction_of
from dlnotes_cli.transfer.head_fit import WEIGHT_DECAYS, HeadOptions
from dlnotes_cli.transfer.head_search import HeadSearch, Solved, evaluate_head
from dlnotes_cli.transfer.options import TransferConfig
from dlnotes_cli.transfer.plan import Plan, warn_of_few


@dataclass(frozen=True)
class _Trained:
    """A network with its solved head, and the data as its features."""

    plan: Plan
    network: Transferred
    dataset: DataSet
    runtime: Runtime
    solved: Solved
    rows: int  # of features that a pass goes over

    @property
    def part(self) -> str:
        """The part that the result is told of."""
        return "test" if "test" in self.dataset.splits else "val"


def train_head(plan: Plan) -> TrainingResult:
    """Solve, test and document a head in its run folder.

    A run that was stopped goes on from the features that are kept, and one that is finished is solved again.
    """
    started = time.monotonic()
    config = plan.config
    folder = RunFolder(config)
    choose_device(config.device)
    runtime = plan.runtime()
    with StopRequest() as stop, folder:
        try:
            network, dataset, views = _features(plan, runtime, stop.poll)
            _check_unchanged(folder, dataset)
            data_s, begun = time.monotonic() - started, time.monotonic()
            solved = _solve(plan, dataset, views, runtime, stop.poll)
        except StoppedError as request:
            if not folder.is_resumed:  # what is finished stays as it was
                _write_options(folder, config)
            what = "the features made so far are kept"
            raise StoppedError(request.exit_code, what, f"continue with --resume {folder.path}") from request
        timing = {"data_s": data_s, "train_s": time.monotonic() - begun}
        network.head = solved.head
        rows = len(dataset.splits["train"]) + sum(map(len, views))
        return _document(_Trained(plan, network, dataset, runtime, solved, rows), folder, timing, started)


def _check_unchanged(folder: RunFolder, dataset: DataSet) -> None:
    """Refuse to go on with a run whose data is another now."""
    model = folder.file(run_folder.MODEL)
    if folder.is_resumed and model.exists():
        folder.check_same_data(read_tensors(model)[1], dataset.name, dataset.fingerprint)


def _write_options(folder: RunFolder, config: TransferConfig) -> None:
    """Say what the run is, and that it has no results yet."""
    folder.write_options(config)
    folder.clear_results()
    files.remove(folder.file(run_folder.LAST))  # of another kind of run


def _document(trained: _Trained, folder: RunFolder, timing: dict[str, float], started: float) -> TrainingResult:
    """Write options, model, history, images and result."""
    plan, solved, dataset, network = trained.plan, trained.solved, trained.dataset, trained.network
    config, tested = plan.config, time.monotonic()
    description = config_to_json(plan.describe(len(dataset.classes)))
    record = ClassifierRecord(config, "backbone", description, dataset, trained.runtime, network, plan.details(network))
    _write_options(folder, config)
    record.announce()
    chosen = solved.history[solved.best - 1]
    write_tensors(folder.file(run_folder.MODEL), network.state_dict(), record.metadata(chosen))
    folder.write_history(solved.history)
    final = evaluate_head(solved.head, dataset, dataset.splits[trained.part], trained.runtime)
    images = _draw(trained, folder, final)
    if config.map_file is not None:
        draw_map(config.map_file, dataset, config.map_method, config.seed)
        images.append(config.map_file)
    if config.export_features is not None:
        export_features(config.export_features, dataset)
    timing |= {"eval_s": time.monotonic() - tested}
    fields = {
        "schema_version": output.SCHEMA_VERSION,
        "command": config.command,
        **record.result(solved.history, solved.best, solved.passes, final if trained.part == "test" else None),
        "epochs": solved.passes,
        "best_epoch": chosen["epoch"],
        "weight_decay": chosen["weight_decay"],
        "folds": solved.folds,
        "features": config.export_features and str(config.export_features),
        "timing": timing_fields(timing, solved.passes * trained.rows, started),
        "out": str(folder.path),
        "model_file": str(folder.file(run_folder.MODEL)),
        "plots": [str(path) for path in images],
    }
    fields = output.finite(fields)
    files.write_json(folder.file(run_folder.RESULT), fields)
    return TrainingResult(fields)


def solve_head(plan: Plan, poll: Callable[[], None]) -> Solved:
    """The head with which fine-tuning begins: solved as if nothing else were trained."""
    runtime = plan.runtime()
    alone = replace(plan.config, epochs=None, max_steps=None, weight_decay=None, time_budget=None)
    frozen = replace(plan, config=alone)
    _, dataset, views = _features(frozen, runtime, poll)
    return _solve(frozen, dataset, views, runtime, poll)


def _features(
    plan: Plan, runtime: Runtime, poll: Callable[[], None]
) -> tuple[Transferred, DataSet, list[NDArray[np.float32]]]:
    """The network, the data as its features, and those of further views of the training split."""
    network = plan.build(classes=1)
    dataset = plan.load_features(network, runtime, poll)
    views = [_view(plan, network, dataset, runtime, number, poll) for number in range(1, plan.config.views)]
    for features in (dataset.samples, *views):
        if not np.isfinite(features).all():
            raise UnfinishedError(
                "--weights", "give features that are not finite", "use other weights, or --precision fp32"
            )
    warn_of_few(dataset)
    return network, dataset, views


def _view(
    plan: Plan, network: Transferred, dataset: DataSet, runtime: Runtime, number: int, poll: Callable[[], None]
) -> NDArray[np.float32]:
    config = plan.config
    operations = parse_augment(given(config.augment), plan.preprocessing.shape, flippable=is_flippable(dataset.classes))
    view = View(number, operations, config.seed)
    extraction = extraction_of(network, plan.name, plan.preprocessing, runtime, view)
    return load_view(config, dataset, plan.preprocessing, replace(plan.reading, poll=poll), extraction)


def _solve(
    plan: Plan, dataset: DataSet, views: list[NDArray[np.float32]], runtime: Runtime, poll: Callable[[], None]
) -> Solved:
    """Fit a head for each weight decay and choose the one that validates best, in one part or in folds."""
    config = plan.config
    options = HeadOptions(
        len(dataset.classes), config.hidden, given(config.label_smoothing), config.class_weights == "balanced",
        config.epochs or HeadOptions.passes, config.max_steps,
        time.monotonic() + (config.time_budget or math.inf), config.seed,
    )  # fmt: skip
    decays = WEIGHT_DECAYS if config.weight_decay is None else (config.weight_decay,)
    work = HeadSearch(dataset, views, options, decays, runtime, poll)
    return work.in_folds(config.folds, config.seed) if config.folds else work.by_validation()


def _draw(trained: _Trained, folder: RunFolder, final: Evaluation) -> list[Path]:
    """Curves over the weight decay, the confusion matrix, and some images as the whole network sees them."""
    dataset, runtime = trained.dataset, trained.runtime
    curves = folder.file("curves.png")
    files.atomic_write(curves, plots.curves(trained.solved.history, trained.solved.best, over="weight_decay"))
    indices = dataset.splits[trained.part]
    count = min(plots.PREDICTIONS_SHOWN, len(indices))
    shown = indices[[i * len(indices) // count for i in range(count)]]
    samples, labels = (
        torch.from_numpy(array).to(runtime.device)
        for array in (_pixels(trained.plan, dataset, shown), dataset.labels[shown])
    )
    seen = Split(samples, labels, torch.arange(count, device=runtime.device))
    viewed = Viewed(trained.network, seen, Normalizer(dataset.preprocessing, runtime.device), runtime, dataset.classes)
    return [curves, *draw_evaluation(folder.path, final, viewed)]


def _pixels(plan: Plan, dataset: DataSet, indices: NDArray[np.int64]) -> NDArray[np.uint8]:
    """A few images of a data set whose samples are features."""
    if dataset.files:
        return np.stack(
            [
                decode_image(Path(dataset.files[i]), plan.preprocessing.image_shape, plan.config.max_pixels)
                for i in indices
            ]
        )
    return named_images(dataset, indices)
