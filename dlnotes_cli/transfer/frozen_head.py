"""Training a head on a frozen backbone: features are computed once, and validation chooses the weight decay."""

import math
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dlnotes_cli.data.images.augment_parser import is_flippable, parse_augment
from dlnotes_cli.data.images.decode import decode_image
from dlnotes_cli.data.load import load_view, named_images
from dlnotes_cli.device import choose_runtime
from dlnotes_cli.networks.backbones import TransferModel
from dlnotes_cli.shell.errors import UnfinishedError
from dlnotes_cli.training.classifier import ClassifierDescription
from dlnotes_cli.training.evaluation_plots import draw_evaluation
from dlnotes_cli.training.fit_at_once import DirectTask
from dlnotes_cli.training.head_fit import WEIGHT_DECAYS, HeadOptions
from dlnotes_cli.training.metrics import Monitor
from dlnotes_cli.training.objective import class_weights_of, weights_in_order
from dlnotes_cli.training.recipes import with_recipe
from dlnotes_cli.training.results import RunProgress
from dlnotes_cli.training.run_folder import MODEL, RunFolder
from dlnotes_cli.training.similarity import store_similarity
from dlnotes_cli.training.task import Evaluated, Poll
from dlnotes_cli.transfer.features import draw_map, export_features, feature_extraction
from dlnotes_cli.transfer.head_search import FittedHead, FoldSummary, HeadSearch, evaluate_head
from dlnotes_cli.transfer.options import FrozenRecipe, TransferConfig
from dlnotes_cli.transfer.plan import TransferPlan, TransferResult


@dataclass(frozen=True)
class FrozenResult(TransferResult):
    """The result of fitting a head to a frozen backbone."""

    weight_decay: float  # chosen by validation
    folds: FoldSummary | None
    features: str | None  # the file of `--export-features`

    @property
    def selection(self) -> str:
        """What validation selected, as text."""
        by_folds = f" by {self.folds.count} folds" if self.folds else ""
        return f"weight decay {self.weight_decay:.3g} chosen{by_folds}, {self.steps:,} passes over the features"


class FrozenHeadTask(ClassifierDescription[FrozenResult], DirectTask[FrozenResult]):
    """The fit of a head to the features of a frozen backbone."""

    model_name = "backbone"
    result_type = FrozenResult
    kept_on_stop = "the features computed so far are cached"
    options: TransferConfig
    network: TransferModel
    fitted: FittedHead  # set by `solve`

    def __init__(self, plan: TransferPlan, recipe: FrozenRecipe) -> None:
        super().__init__(plan.options)
        self._plan, self._recipe = plan, recipe

    def load(self, poll: Poll) -> None:
        """Compute the features of the images and of their views, or read them from the cache.

        Raises InputError, and UnfinishedError if a feature is not finite.
        """
        options, plan, recipe = self.options, self._plan, self._recipe
        self.stored = with_recipe(options, recipe)
        self.runtime = choose_runtime(options.device, options.precision, options.threads, bf16_pays=True)
        weights = class_weights_of(options.class_weights)
        self.network = network = plan.build()

        extractor = partial(
            feature_extraction, network, f"{plan.backbone}-{plan.weights.digest}", plan.preprocessing, self.runtime
        )
        settings = plan.decode_settings(poll)
        dataset = plan.load(settings, extractor())
        self.describe(dataset)
        grouping = plan.split_rule.grouping
        self._groups = None if grouping is None else grouping.of(dataset.files)
        self.monitor = Monitor("loss")
        self.network_config = plan.network_config(len(dataset.classes))
        self._class_weights = weights_in_order(weights, dataset.classes)
        operations = parse_augment(recipe.augment, dataset.preprocessing.shape, flippable=is_flippable(dataset.classes))
        self._views = [
            load_view(options, dataset, plan.preprocessing, settings, extractor(operations, options.seed, number))
            for number in range(1, options.views)
        ]
        if not all(np.isfinite(features).all() for features in (dataset.samples, *self._views)):
            fix = "use other weights, or --precision fp32"
            raise UnfinishedError("--weights", "the backbone's features are not finite", fix)

    def solve(self, poll: Poll) -> RunProgress:
        """Fit a head for each weight decay and choose the best by validation or cross-validation."""
        options, recipe, started = self.options, self._recipe, time.monotonic()
        head = HeadOptions(
            len(self.dataset.classes), options.hidden, recipe.label_smoothing, options.class_weights == "balanced",
            recipe.epochs, options.max_steps, started + (options.time_budget or math.inf), options.seed,
            self._class_weights,
        )  # fmt: skip
        decays = WEIGHT_DECAYS if recipe.weight_decay is None else (recipe.weight_decay,)
        search = HeadSearch(self.dataset, self._views, head, decays, self.runtime.device, poll, self._groups)
        self.fitted = fitted = search.run(options.folds, options.seed)
        self.network.head = fitted.head
        samples = len(self.dataset.splits["train"]) + sum(map(len, self._views))
        train_s = time.monotonic() - started
        return RunProgress(
            step=fitted.passes, samples_seen=fitted.passes * samples, elapsed_s=train_s,
            best_index=fitted.best_index, history=list(fitted.history),
        )  # fmt: skip

    def finish(self, folder: RunFolder, progress: RunProgress, poll: Poll) -> Evaluated:  # noqa: ARG002  # the base's
        """Evaluate the head on the test split, or on the validation split, and write plots and features."""
        options, dataset = self.options, self.dataset
        split = "test" if "test" in dataset.splits else "val"
        indices = dataset.splits[split]
        self.evaluation = evaluation = evaluate_head(self.fitted.head, dataset, indices, self.runtime.device)
        head = self.fitted.head
        store_similarity(folder.file(MODEL), head, dataset, lambda features: head(features.to(self.runtime.device)))
        plots = [self.draw_curves(folder, progress, over="weight_decay")]
        images, named = (lambda shown: self._pixels(indices[shown])), (dataset.name, split)
        plots += draw_evaluation(folder.path, evaluation, dataset.classes, images, named)
        if options.map_file is not None:
            draw_map(options.map_file, dataset, (split, evaluation), options.map_method, options.seed)
            plots.append(options.map_file)
        if options.export_features is not None:
            export_features(options.export_features, dataset)
        return Evaluated(evaluation.metrics if split == "test" else None, plots)

    def _pixels(self, indices: NDArray[np.int64]) -> NDArray[np.uint8]:
        """The images (n, C, H, W) of some samples."""
        dataset, shape = self.dataset, self._plan.preprocessing.image_shape
        if not dataset.files:
            return named_images(dataset, indices)
        return np.stack([decode_image(Path(dataset.files[i]), shape, self.options.max_pixels) for i in indices])

    def extra_fields(self, progress: RunProgress) -> dict[str, Any]:
        """The fields of a classifier, and those that describe the backbone, its weights and the choice of the head."""
        export = self.options.export_features
        return (
            super().extra_fields(progress)
            | self._plan.fields(self.network)
            | {
                "weight_decay": self.fitted.history[self.fitted.best_index].weight_decay,
                "folds": self.fitted.folds,
                "features": None if export is None else str(export),
            }
        )
