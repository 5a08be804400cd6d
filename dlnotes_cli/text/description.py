"""What the runs of `train-text` record and report, whichever models they train."""

import shlex
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dlnotes_cli.data.dataset import SplitRule
from dlnotes_cli.data.texts.labeled import TextDataSet, load_training_texts
from dlnotes_cli.data.texts.preprocessing import DocumentPreprocessing
from dlnotes_cli.inference.classifier import evaluate_probabilities
from dlnotes_cli.shell import output
from dlnotes_cli.shell.show import Table
from dlnotes_cli.text.options import TrainTextConfig
from dlnotes_cli.training.evaluation_plots import draw_evaluation
from dlnotes_cli.training.metrics import Evaluation
from dlnotes_cli.training.results import (
    DataSummary,
    ModelScores,
    ModelSummary,
    RunProgress,
    TrainingResult,
    require_test_split,
    scores_table,
)
from dlnotes_cli.training.run_folder import RunFolder
from dlnotes_cli.training.task import Evaluated, Poll, RunDescription

TextModelName = Literal["rnn", "linear"]
DESCRIPTIONS = {"rnn": "the recurrent network", "linear": "the linear model"}
NAMES = {"rnn": "network", "linear": "linear model"}  # in legends
_TITLES = {"rnn": "recurrent network", "linear": "TF-IDF + logistic regression"}
_CHUNK = 1024  # texts that are evaluated together, as by `evaluate`


@dataclass(frozen=True)
class TextsData(DataSummary):
    """The texts of a run."""

    classes: tuple[str, ...]
    counts: dict[str, int]  # texts of each split
    dropped: int  # empty texts
    cut: int  # texts that were longer than the network reads


@dataclass(frozen=True)
class TextResult(TrainingResult):
    """The result of `train-text`; its metrics are those of the model that was kept."""

    data: TextsData
    kept: str  # "rnn" or "linear"
    models: tuple[ModelScores, ...]

    @property
    def verdict(self) -> str:
        """Which model was kept, and why, as text."""
        scores = {model.name: model.validation.accuracy for model in self.models}
        other = next((name for name in scores if name != self.kept), None)
        kept = f"{DESCRIPTIONS[self.kept]} is kept"
        if other is None:
            return kept
        mine, theirs = scores[self.kept], scores[other]
        measured = f"validation accuracy {mine:.4f}, {DESCRIPTIONS[other]} {theirs:.4f}"
        if mine < theirs:
            return f"{kept} as --model asks, although the other validates better: {measured}"
        same = " (a tie that the lower loss decides)" if mine == theirs else ""
        return f"{kept}: {measured}{same}"

    def table(self) -> Iterator[Table | str]:
        """The metrics of each model, and which one was kept."""
        yield scores_table(self.models, _TITLES)
        yield self.verdict
        counts = ", ".join(f"{count:,} {split}" for split, count in self.data.counts.items())
        is_linear = len(self.models) == 1
        yield f"{counts} texts; {output.counted(self.steps, 'iteration') if is_linear else self.selection}"
        if self.test is None:
            yield "no test split: validation also selected the model, so its accuracy is optimistic"

    @property
    def next_command(self) -> str:
        """A command that uses the model."""
        return shlex.join(["dlnotes", "predict", self.out, "Write a text here."])


class EvaluatedModel(NamedTuple):
    """A trained model with its scores."""

    scores: ModelScores
    summary: ModelSummary
    evaluation: Evaluation  # of the test split, or of the validation split of data without one

    @property
    def rank(self) -> tuple[float, float]:
        """A sort key: validation accuracy, then a low loss."""
        return self.scores.validation.accuracy, -self.scores.validation.loss


class TextDescription(RunDescription[TextResult]):
    """What a run of `train-text` records: its texts, and the models that it has evaluated."""

    result_type = TextResult
    short_name: ClassVar[TextModelName]
    options: TrainTextConfig
    stored: TrainTextConfig
    preprocessing: DocumentPreprocessing
    dataset: TextDataSet
    evaluated: Sequence[EvaluatedModel] = ()

    @abstractmethod
    def probabilities(self, indices: NDArray[np.int64], poll: Poll) -> NDArray[np.floating]:
        """What the model predicts for some of the texts: probabilities (n, classes)."""

    def evaluate(self, split: str, poll: Poll) -> Evaluation:
        """The evaluation of the model on a split."""
        dataset = self.dataset
        return evaluate_probabilities(
            lambda indices: self.probabilities(indices, poll), dataset.labels, dataset.splits[split],
            classes=len(dataset.classes), batch=_CHUNK, poll=poll,
        )  # fmt: skip

    def read_texts(self) -> TextDataSet:
        """The texts, split. Raises InputError for a gate without a test split, and for texts that cannot be used."""
        options = self.options
        rule = SplitRule(options.resolved().val_split, options.held_out, options.seed, options.limit)
        dataset = load_training_texts(options.data, options.text_column, options.target, rule, options.encoding)
        require_test_split(options.min_accuracy, dataset.name, has_test_split="test" in dataset.splits)
        return dataset

    def describe(self, dataset: TextDataSet, cut: int = 0) -> None:
        """Set the texts, of which `cut` are longer than the model reads."""
        self.dataset = dataset
        self.data = TextsData(
            self.options.data, dataset.fingerprint, dataset.classes, dataset.counts, dataset.dropped, cut
        )

    def evaluate_all(self, train_s: float, poll: Poll) -> EvaluatedModel:
        """The model of this description with its evaluations, after a training of `train_s` seconds."""
        validation = self.evaluate("val", poll)
        test = self.evaluate("test", poll) if "test" in self.dataset.splits else None
        scores = ModelScores(
            name=self.short_name, parameters=self.model.parameters, validation=validation.metrics,
            test=None if test is None else test.metrics, train_s=round(train_s, 3),
        )  # fmt: skip
        return EvaluatedModel(scores, self.model, test or validation)

    @property
    def kept(self) -> EvaluatedModel:
        """The model of the run: the one that `--model` names, else the one that validates better."""
        named = [model for model in self.evaluated if model.scores.name == self.options.model]
        return max(named or self.evaluated, key=lambda model: model.rank)

    def draw_kept(self, folder: RunFolder, plots: Sequence[Path] = ()) -> Evaluated:
        """The test metrics of the model that is kept, and the `plots` with those of its evaluation."""
        scores, dataset = self.kept.scores, self.dataset
        split = f"{NAMES[scores.name]}: {dataset.name}", "test" if scores.test else "val"
        drawn = draw_evaluation(folder.path, self.kept.evaluation, dataset.classes, None, split)
        return Evaluated(scores.test, [*plots, *drawn])

    def extra_fields(self, progress: RunProgress) -> dict[str, Any]:  # noqa: ARG002  # the base's signature
        """The model that was kept with its metrics, and those of all models."""
        kept, models = self.kept, tuple(model.scores for model in self.evaluated)
        validation = kept.scores.validation
        return {"model": kept.summary, "validation": validation, "kept": kept.scores.name, "models": models}
