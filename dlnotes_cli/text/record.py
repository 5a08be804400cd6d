"""Metadata and result of a run of `train-text`."""

from dataclasses import dataclass, replace
from typing import Any

from dlnotes_cli.data.texts.labeled import TextDataSet
from dlnotes_cli.data.texts.preprocessing import DocumentPreprocessing, document_preprocessing_to_json
from dlnotes_cli.device import Runtime
from dlnotes_cli.shell import output
from dlnotes_cli.text.options import TrainTextConfig
from dlnotes_cli.text.results import TextModelName, TextModelScores, TextResult, TextsData
from dlnotes_cli.training.metrics import Evaluation
from dlnotes_cli.training.record import ModelSummary, Outcome, RunRecord, TrainingResult


@dataclass(frozen=True)
class ScoredModel:
    """A trained model: its evaluations, what its file needs, and how long its training took."""

    name: TextModelName
    summary: ModelSummary
    preprocessing: DocumentPreprocessing
    validation: Evaluation
    test: Evaluation | None  # None: the data has no test split
    train_s: float

    @property
    def rank(self) -> tuple[float, float]:
        """A sort key: validation accuracy, then a low loss."""
        return self.validation.accuracy, -self.validation.loss

    @property
    def scores(self) -> TextModelScores:
        """What the result has of the model."""
        test = None if self.test is None else self.test.metrics
        return TextModelScores(
            name=self.name, parameters=self.summary.parameters, validation=self.validation.metrics, test=test,
            train_s=round(self.train_s, 3),
        )  # fmt: skip


class TextRecord(RunRecord[TextResult]):
    """What a run records; `scored` are its models, that of this record first, once all are evaluated."""

    result_type = TextResult

    def __init__(
        self, options: TrainTextConfig, model: ModelSummary, dataset: TextDataSet, preprocessing: DocumentPreprocessing,
        runtime: Runtime, cut: int = 0,
    ) -> None:  # fmt: skip
        super().__init__(options, model, runtime)
        self._options, self._dataset, self._preprocessing, self._cut = options, dataset, preprocessing, cut
        self.scored: list[ScoredModel] = []

    @property
    def data(self) -> TextsData:
        """The texts, named as `--data` does."""
        dataset = self._dataset
        return TextsData(
            self._options.data, dataset.fingerprint, dataset.classes, dataset.counts, dataset.dropped, self._cut
        )

    @property
    def kept(self) -> ScoredModel:
        """The model of the run: the one that `--model` names, else the one that validates better."""
        named = [model for model in self.scored if model.name == self._options.model]
        return max(named or self.scored, key=lambda model: model.rank)

    def identity(self) -> dict[str, Any]:
        """The metadata that model file and checkpoint share: the model and its training data."""
        identity = super().identity()
        splits = {"val_split": self._options.val_split, "test_split": self._options.held_out}
        return identity | {
            "classes": list(self._dataset.classes),
            "format": document_preprocessing_to_json(self._preprocessing),
            "data": identity["data"] | splits,
        }

    def announce(self) -> None:
        """Print data, model, device, precision and threads on standard error."""
        counts = ", ".join(f"{count:,} {split}" for split, count in self._dataset.counts.items())
        classes = output.counted(len(self._dataset.classes), "class", "classes")
        output.status("data", f"{self._dataset.name}, {counts}; {classes}")
        super().announce()

    def complete(self, result: TrainingResult, outcome: Outcome) -> TextResult:  # noqa: ARG002  # the base's signature
        """The result of a run, with the metrics of the model that was kept."""
        kept = self.kept
        common = replace(
            result, model=kept.summary, validation=kept.validation.metrics,
            test=None if kept.test is None else kept.test.metrics,
        )  # fmt: skip
        return TextResult(**vars(common), kept=kept.name, models=tuple(model.scores for model in self.scored))
