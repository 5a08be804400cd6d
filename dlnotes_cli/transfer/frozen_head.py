"""Training a head on a frozen backbone: features are computed once, and validation chooses the weight decay."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dlnotes_cli.data.dataset import DataSet
from dlnotes_cli.data.images.augment_parser import is_flippable, parse_augment
from dlnotes_cli.data.images.decode import decode_image
from dlnotes_cli.data.load import load_view, named_images
from dlnotes_cli.device import Runtime
from dlnotes_cli.models.backbones import TransferModel
from dlnotes_cli.plots.curves import draw_curves
from dlnotes_cli.shell import files
from dlnotes_cli.shell.errors import StoppedError, UnfinishedError
from dlnotes_cli.shell.stopping import StopRequest
from dlnotes_cli.training import run_folder
from dlnotes_cli.training.class_weights import class_weights_of, weights_in_order
from dlnotes_cli.training.evaluation_plots import draw_evaluation
from dlnotes_cli.training.history import history_to_json
from dlnotes_cli.training.metrics import Evaluation
from dlnotes_cli.training.record import ClassifierRecord, ClassifierResult, ModelSummary, Outcome, measure_timing
from dlnotes_cli.training.run_folder import RunFolder
from dlnotes_cli.training.tensor_file import read_tensors, write_tensors
from dlnotes_cli.transfer.features import View, draw_map, export_features, feature_extraction
from dlnotes_cli.transfer.head_fit import WEIGHT_DECAYS, HeadOptions
from dlnotes_cli.transfer.head_search import FittedHead, HeadSearch, evaluate_head
from dlnotes_cli.transfer.options import TransferConfig
from dlnotes_cli.transfer.plan import TransferPlan, warn_about_few_samples
from dlnotes_cli.transfer.recipes import FROZEN, FrozenRecipe
from dlnotes_cli.transfer.results import FrozenResult


@dataclass(frozen=True)
class BackboneFeatures:
    """A data set as the features of a network's backbone."""

    network: TransferModel
    dataset: DataSet  # whose samples are features, float32 (N, F)
    views: list[NDArray[np.float32]]  # features (n, F) of the augmented training split, in its order
    runtime: Runtime

    @property
    def training_samples(self) -> int:
        """The number of training samples with all their views."""
        return len(self.dataset.splits["train"]) + sum(map(len, self.views))

    @property
    def evaluated_split(self) -> str:
        """The split on which the trained model is evaluated."""
        return "test" if "test" in self.dataset.splits else "val"


def train_head(plan: TransferPlan, recipe: FrozenRecipe) -> FrozenResult:
    """Fit a head to the features, test it and write its run folder.

    A stopped run is resumed with the cached features; a resumed run that is finished is fitted again. Raises errors as
    `train_classifier`.
    """
    started = time.monotonic()
    folder = RunFolder(plan.stored)
    runtime = plan.runtime()
    with StopRequest() as stop, folder:
        try:
            features = _compute_features(plan, runtime, recipe.augment, stop.poll)
            _check_same_data(folder, features.dataset)
            data_s, fit_started = time.monotonic() - started, time.monotonic()
            fitted = _fit(plan.options, recipe, features, stop.poll)
        except StoppedError as request:
            fix = f"continue with --resume {folder.path}"
            if not folder.is_resumed:
                if folder.has_model:  # of the run that this one would have replaced
                    fix = "run the same command again to continue"
                else:
                    folder.start(plan.stored, runtime.threads)
            raise StoppedError(request.exit_code, "the features computed so far are cached", fix) from request
        train_s, fitted_at = time.monotonic() - fit_started, time.monotonic()
        features.network.head = fitted.head
        record = _record(plan, features, fitted)
        evaluation, paths = _write_run(plan, features, fitted, record, folder)
        eval_s = time.monotonic() - fitted_at
        timing = measure_timing(data_s, train_s, eval_s, fitted.passes * features.training_samples, started)
        test = evaluation if features.evaluated_split == "test" else None
        outcome = Outcome(fitted.history, fitted.best_index, fitted.passes, test, paths, timing)
        return record.finish(folder, outcome)


def fit_initial_head(plan: TransferPlan, label_smoothing: float, poll: Callable[[], None]) -> FittedHead:
    """The head with which fine-tuning starts: fitted as to a frozen backbone, without the limits of the run."""
    recipe = replace(FROZEN, label_smoothing=label_smoothing)
    features = _compute_features(plan, plan.runtime(), recipe.augment, poll)
    return _fit(replace(plan.options, max_steps=None, time_budget=None), recipe, features, poll)


def _compute_features(plan: TransferPlan, runtime: Runtime, augment: str, poll: Callable[[], None]) -> BackboneFeatures:
    """The data set and the views of its training split as features, from the cache where they are in it.

    Raises UnfinishedError if a feature is not finite; StoppedError from `poll`.
    """
    network = plan.build(classes=1)
    dataset = plan.load_features(network, runtime, poll)
    operations = parse_augment(augment, dataset.preprocessing.shape, flippable=is_flippable(dataset.classes))
    views = []
    for number in range(1, plan.options.views):
        view = View(number, operations, plan.options.seed)
        extractor = feature_extraction(network, plan.features_name, plan.preprocessing, runtime, view)
        settings = replace(plan.decode_settings, poll=poll)
        views.append(load_view(plan.options, dataset, plan.preprocessing, settings, extractor))
    for features in (dataset.samples, *views):
        if not np.isfinite(features).all():
            fix = "use other weights, or --precision fp32"
            raise UnfinishedError("--weights", "the backbone's features are not finite", fix)
    warn_about_few_samples(dataset)
    return BackboneFeatures(network, dataset, views, runtime)


def _fit(
    options: TransferConfig, recipe: FrozenRecipe, features: BackboneFeatures, poll: Callable[[], None]
) -> FittedHead:
    """Fit a head for each weight decay and choose the best by validation or cross-validation."""
    classes, weights = features.dataset.classes, class_weights_of(options)
    head = HeadOptions(
        len(classes), options.hidden, recipe.label_smoothing, options.class_weights == "balanced",
        recipe.epochs, options.max_steps, time.monotonic() + (options.time_budget or math.inf), options.seed,
        None if weights is None else weights_in_order(weights, classes),
    )  # fmt: skip
    decays = WEIGHT_DECAYS if recipe.weight_decay is None else (recipe.weight_decay,)
    search = HeadSearch(features.dataset, features.views, head, decays, features.runtime, poll)
    return search.by_cross_validation(options.folds, options.seed) if options.folds else search.by_validation()


def _check_same_data(folder: RunFolder, dataset: DataSet) -> None:
    """Refuse to resume a run whose data has changed. Raises InputError."""
    model = folder.file(run_folder.MODEL)
    if folder.is_resumed and model.exists():
        folder.check_same_data(run_folder.MODEL, read_tensors(model)[1], dataset.name, dataset.fingerprint)


def _record(plan: TransferPlan, features: BackboneFeatures, fitted: FittedHead) -> ClassifierRecord[FrozenResult]:
    options, dataset, network = plan.stored, features.dataset, features.network
    model = ModelSummary.of("backbone", plan.network_config(len(dataset.classes)), network)

    def complete(result: ClassifierResult) -> FrozenResult:
        return FrozenResult(
            **vars(plan.complete(result, network)),
            weight_decay=fitted.history[fitted.best_index].weight_decay,
            folds=fitted.folds,
            features=None if options.export_features is None else str(options.export_features),
        )

    return ClassifierRecord(options, model, dataset, features.runtime, FrozenResult, complete, monitor="loss")


def _write_run(
    plan: TransferPlan,
    features: BackboneFeatures,
    fitted: FittedHead,
    record: ClassifierRecord[FrozenResult],
    folder: RunFolder,
) -> tuple[Evaluation, list[Path]]:
    """Write options, model, history, plots and features; returns the evaluation and the paths of the plots."""
    options, dataset, split = plan.stored, features.dataset, features.evaluated_split
    folder.start(options, features.runtime.threads)
    record.announce()
    metadata = record.model_metadata(fitted.history[fitted.best_index])
    write_tensors(folder.file(run_folder.MODEL), features.network.state_dict(), metadata)
    folder.clear_results()
    folder.write_history(fitted.history)
    evaluation = evaluate_head(fitted.head, dataset, dataset.splits[split], features.runtime)
    curves = folder.file("curves.png")
    files.atomic_write(
        curves, draw_curves(history_to_json(fitted.history), fitted.best_index, folder.name, over="weight_decay")
    )
    indices = dataset.splits[split]
    plots = draw_evaluation(
        folder.path, evaluation, dataset.classes, lambda positions: _pixels(plan, dataset, indices[positions])
    )
    paths = [curves, *plots]
    if options.map_file is not None:
        draw_map(options.map_file, dataset, (split, evaluation), options.map_method, options.seed)
        paths.append(options.map_file)
    if options.export_features is not None:
        export_features(options.export_features, dataset)
    return evaluation, paths


def _pixels(plan: TransferPlan, dataset: DataSet, indices: NDArray[np.int64]) -> NDArray[np.uint8]:
    """The images (n, C, H, W) of some samples."""
    if not dataset.files:
        return named_images(dataset, indices)
    shape, max_pixels = plan.preprocessing.image_shape, plan.options.max_pixels
    return np.stack([decode_image(Path(dataset.files[i]), shape, max_pixels) for i in indices])
