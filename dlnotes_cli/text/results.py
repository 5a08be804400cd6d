"""What `train-text` reports."""

import shlex
from dataclasses import dataclass
from typing import Literal

from dlnotes_cli.training.metrics import Metrics
from dlnotes_cli.training.results import DataSummary, TrainingResult

TextModelName = Literal["rnn", "linear"]


@dataclass(frozen=True)
class TextsData(DataSummary):
    """The texts of a run."""

    classes: tuple[str, ...]
    counts: dict[str, int]  # texts of each split
    dropped: int  # empty texts
    cut: int  # texts that were longer than the network reads


@dataclass(frozen=True, kw_only=True)
class TextModelScores:
    """One of the models of a run on the same splits."""

    name: str  # "rnn" or "linear"
    parameters: int
    validation: Metrics
    test: Metrics | None
    train_s: float


@dataclass(frozen=True)
class TextResult(TrainingResult):
    """The result of `train-text`; its metrics are those of the model that was kept."""

    data: TextsData
    kept: str  # "rnn" or "linear"
    models: tuple[TextModelScores, ...]

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

    @property
    def next_command(self) -> str:
        """A command that uses the model."""
        return shlex.join(["dlnotes", "predict", self.out, "Write a text here."])


DESCRIPTIONS = {"rnn": "the recurrent network", "linear": "the linear model"}
