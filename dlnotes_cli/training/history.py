"""The history of a training run: an entry for each validation, as `metrics.jsonl` has them."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from dlnotes_cli.shell import output
from dlnotes_cli.training.metrics import Metrics


@dataclass(frozen=True, kw_only=True)
class HistoryEntry:
    """A validation, with the training metrics since the one before."""

    epoch: int
    step: int
    train: Metrics
    validation: Metrics

    def as_json(self) -> dict[str, Any]:
        """The fields as JSON values; nan and inf become None."""
        return dict(output.finite(asdict(self)))


@dataclass(frozen=True, kw_only=True)
class LoopEntry(HistoryEntry):
    """A validation in the training loop."""

    lr: float  # of the last step, the largest of all parameters


def history_to_json(history: Sequence[HistoryEntry]) -> list[dict[str, Any]]:
    """The entries as JSON values."""
    return [entry.as_json() for entry in history]
