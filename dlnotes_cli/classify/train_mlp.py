"""The training of a multi-layer perceptron, and on tables of the models that it competes with."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

from torch import nn

from dlnotes_cli.classify.from_scratch import ScratchTask, best_restart
from dlnotes_cli.classify.options import TrainMlpConfig
from dlnotes_cli.classify.recipes import SMALL_TABLE_LINES
from dlnotes_cli.classify.table_models import NAMES, TableModel, fit_table_models
from dlnotes_cli.data.dataset import DataSet
from dlnotes_cli.data.load import load_training_data
from dlnotes_cli.device import choose_runtime
from dlnotes_cli.networks.choices import parse_init
from dlnotes_cli.networks.mlp import MlpConfig, bf16_pays
from dlnotes_cli.networks.registry import count_parameters, initialize
from dlnotes_cli.shell import output
from dlnotes_cli.shell.show import Table
from dlnotes_cli.training.boundary import check_beside
from dlnotes_cli.training.classifier import ClassifierDescription
from dlnotes_cli.training.distributed import process_group
from dlnotes_cli.training.fit import fit
from dlnotes_cli.training.fit_at_once import DirectTask, fit_at_once
from dlnotes_cli.training.metrics import Metrics, Monitor, Monitored
from dlnotes_cli.training.model_file import load_classifier
from dlnotes_cli.training.objective import class_weights_of
from dlnotes_cli.training.options import TrainingConfig
from dlnotes_cli.training.recipes import RunLength
from dlnotes_cli.training.results import ClassifierResult, HistoryEntry, ModelScores, RunProgress, scores_table
from dlnotes_cli.training.run_folder import MODEL, NETWORK, RunFolder
from dlnotes_cli.training.task import Evaluated, Poll
from dlnotes_cli.training.tensor_file import write_tensors

_MOST_CELLS = 10**8  # rows times inputs times classes that boosted trees are fitted to beside a network
_SIMPLEST = ("linear", "mlp", "boosted")  # first


@dataclass(frozen=True)
class MlpResult(ClassifierResult):
    """The result of `train-mlp`; of several models of a table, its metrics are those of the model that was kept."""

    kept: str = field(default="mlp", kw_only=True)  # mlp, linear or boosted
    models: tuple[ModelScores, ...] = field(default=(), kw_only=True)  # empty unless there are several

    @property
    def selection(self) -> str:
        """What validation selected, as text; of the network, also where another model was kept."""
        is_alone = self.kept == "mlp" or not self.models
        return super().selection if is_alone else f"network: {super().selection}"

    def table(self) -> Iterator[Table | str]:
        """The metrics of each split, how the run went, and the metrics of each model."""
        yield from super().table()
        if self.models:
            yield scores_table(self.models, NAMES)
            why = "the most accurate on the validation split, of equal ones the simplest"
            yield f"{NAMES[self.kept]} kept: {why}; --model chooses another"


def train_mlp(options: TrainMlpConfig) -> MlpResult:
    """Train a multi-layer perceptron on images or a table, test it and write its run folder.

    Raises InputError before anything is written where options, folder or data are invalid; UnfinishedError on
    divergence or a full disk; StoppedError after a signal, with the run saved.
    """
    if options.table_models and options.chosen_model != "auto":
        return fit_at_once(TableTask(options))
    with process_group(options) as processes:
        return best_restart(options, lambda restart: fit(MlpTask(restart, restart.resolved(), processes)))


class Comparison(NamedTuple):
    """Several models of a table, and the one that was kept."""

    kept: TableModel
    train: Metrics
    validation: Metrics
    scores: tuple[ModelScores, ...]


class MlpTask(ScratchTask[MlpResult]):
    """The training of a multi-layer perceptron."""

    result_type = MlpResult
    model_name = "mlp"
    memory_options = "--hidden or --batch-size"
    options: TrainMlpConfig
    _others: tuple[TableModel, ...] = ()  # that the network competes with
    _compared: Comparison | None = None

    def load_dataset(self) -> DataSet:
        """The data, after a check that the runs of `--beside` have the same columns and classes."""
        dataset = super().load_dataset()
        models = map(load_classifier, self.options.beside)
        self.beside = tuple(check_beside("--beside", model, dataset) for model in models)
        return dataset

    def configure(self, dataset: DataSet) -> MlpConfig:
        """The configuration of the network for a data set."""
        return MlpConfig(
            inputs=math.prod(dataset.preprocessing.shape),
            classes=len(dataset.classes),
            hidden=self.recipe.hidden,
            activation=self.options.activation,
            dropout=self.recipe.dropout,
            batch_norm=self.recipe.batch_norm,
        )

    def initialize(self, network: nn.Module) -> None:
        """Apply the initialization that `--init` names, then the weights of `--init-from`."""
        initialize(network, parse_init(self.options.init))
        self.start_from(network)

    def stored_options(self, length: RunLength) -> TrainingConfig:
        """The options with the values of the recipe, and the model that they choose."""
        stored: Any = super().stored_options(length)
        return replace(stored, model=self.options.chosen_model)  # type: ignore[no-any-return]

    def begin(self, poll: Poll) -> None:
        """Fit the models that a network competes with on a table, in the main process."""
        names = self.options.table_models
        if names and self.validation_samples and self.processes.is_main:
            cost = self.training_samples * math.prod(self.dataset.preprocessing.shape) * len(self.dataset.classes)
            if cost > _MOST_CELLS:
                names = ("linear",)
                output.note("boosted trees take long for so large a table and are left out; --model boosted fits them")
            output.status("baselines", " and ".join(NAMES[name] for name in names))
            self._others = tuple(fit_table_models(self.dataset, self.class_weights, names, self.options.seed, poll))

    def finish(self, folder: RunFolder, progress: RunProgress, poll: Poll) -> Evaluated:
        """Keep the best model, evaluate and draw it; a note says where a linear model of a small table is better."""
        if self._others:
            self._keep_best(folder, progress, poll)
        evaluated, dataset = super().finish(folder, progress, poll), self.dataset
        is_small_table = dataset.samples.ndim == 2 and len(dataset.samples) < SMALL_TABLE_LINES  # noqa: PLR2004
        if is_small_table and not self._others and self.recipe.hidden and evaluated.test is not None:
            (linear,) = fit_table_models(dataset, self.class_weights, ("linear",), self.options.seed, poll)
            self.network, network = linear.network.to(self.runtime.device), self.network
            loss, found = self.evaluate("test", poll).loss, evaluated.test.loss
            self.network = network
            if loss < found:
                what = f"logistic regression has a lower test loss, {loss:.4f}, than this network, {found:.4f}"
                output.note(f"{what}; --model linear trains one")
        return evaluated

    def _keep_best(self, folder: RunFolder, progress: RunProgress, poll: Poll) -> None:
        """Evaluate all models, and make the one that validates best, of equal ones the simplest, that of the run."""
        elapsed_s = progress.elapsed_s
        own = TableModel("mlp", self.network, self.model_name, self.network_config, progress.step, elapsed_s)
        models = (own, *self._others)
        validations, scores = list[Metrics](), list[ModelScores]()
        for model in models:
            self._take(model)
            validation = self.evaluate("val", poll)
            validations.append(self.monitor.metrics(validation))
            test = self.evaluate("test", poll).metrics if "test" in self.splits else None
            one = ModelScores(
                name=model.name, parameters=count_parameters(model.network), validation=validation.metrics, test=test,
                train_s=round(model.train_s, 3),
            )  # fmt: skip
            scores.append(one)
        best = min(
            range(len(models)), key=lambda i: (-self._choice.rank(validations[i])[0], _SIMPLEST.index(models[i].name))
        )
        kept, train = models[best], progress.best.train
        self._take(own)
        if kept is not own:
            write_tensors(folder.file(NETWORK), self.network.state_dict(), self.model_metadata(progress.best))
            self._take(kept)
            train = self.evaluate("train", poll).metrics
            entry = replace(progress.best, validation=validations[best])
            write_tensors(folder.file(MODEL), self.network.state_dict(), self.model_metadata(entry))
        self._compared = Comparison(kept, train, validations[best], tuple(scores))

    @property
    def _choice(self) -> Monitor:
        """What chooses the model: accuracy by default, as label smoothing raises the loss of a network."""
        return Monitor("accuracy") if self.options.monitor == "auto" else self.monitor

    def _take(self, model: TableModel) -> None:
        """Make a model that of the run."""
        self.network, self.model_name = model.network.to(self.runtime.device), model.registered
        self.network_config = model.configuration

    def draw_curves(self, folder: RunFolder, progress: RunProgress, more: str = "", **settings: Any) -> Path:
        """Draw the history; the title says where another model is kept."""
        if self._compared is not None and self._compared.kept.name != "mlp":
            more = f": {NAMES[self._compared.kept.name]} kept"
        return super().draw_curves(folder, progress, more, **settings)

    def extra_fields(self, progress: RunProgress) -> dict[str, Any]:
        """The fields of a classifier; where several models were compared, of the one that was kept."""
        fields = super().extra_fields(progress)
        if self._compared is None:
            return fields
        kept, train, metrics, scores = self._compared
        return fields | {
            "train": train,
            "validation": Metrics(loss=metrics.loss, accuracy=metrics.accuracy, samples=metrics.samples),
            "monitor": Monitored(self.monitor.name, self.monitor.value(metrics)),
            "kept": kept.name,
            "models": scores,
        }

    def bf16_pays(self, batch_size: int) -> bool:
        """Whether bf16 is faster for this network: it is for wide layers and large batches."""
        return bf16_pays(self.network_config, batch_size)


class TableTask(ClassifierDescription[MlpResult], DirectTask[MlpResult]):
    """The fit of logistic regression or of boosted trees to a table, alone."""

    result_type = MlpResult
    kept_on_stop = "stopped before the model was fitted"
    options: TrainMlpConfig

    def load(self, poll: Poll) -> None:
        """Read the table."""
        options, recipe = self.options, self.options.resolved()
        self.stored = replace(options, val_split=recipe.val_split, model=options.chosen_model)
        self.runtime = choose_runtime("cpu", "fp32", options.threads, bf16_pays=False)
        weights, rule = class_weights_of(options.class_weights), options.split_rule(recipe.val_split)
        self.describe(load_training_data(options, rule, recipe.normalize, threads=self.runtime.threads))
        self.place(self.runtime.device)
        self._class_weights = self.weights_of_training_classes(weights)
        poll()

    def solve(self, poll: Poll) -> RunProgress:
        """Fit the model and evaluate it."""
        (model,) = fit_table_models(
            self.dataset, self._class_weights, self.options.table_models, self.options.seed, poll
        )
        self.network, self.model_name, self.network_config = model.network, model.registered, model.configuration
        self._name = model.name
        train, validation = (self.evaluate(split, poll) for split in ("train", "val"))
        entry = HistoryEntry(
            epoch=1, step=model.steps, train=train.metrics, validation=self.monitor.metrics(validation)
        )
        return RunProgress(
            step=model.steps, samples_seen=train.samples, elapsed_s=model.train_s, best_index=0, history=[entry]
        )

    def finish(self, folder: RunFolder, progress: RunProgress, poll: Poll) -> Evaluated:  # noqa: ARG002  # the base's
        """Evaluate and draw the model, which has no curves."""
        return self.draw(folder, poll)

    def extra_fields(self, progress: RunProgress) -> dict[str, Any]:
        """The fields of a classifier, and which model it is."""
        return super().extra_fields(progress) | {"kept": self._name}
