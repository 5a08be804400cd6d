"""What is written down of a training run: in its model file, its state and its result."""

import time
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from dlnotes_cli import __version__
from dlnotes_cli.data.dataset import DataSet
from dlnotes_cli.data.preprocessing import preprocessing_to_json
from dlnotes_cli.device import Runtime
from dlnotes_cli.models.registry import count_parameters
from dlnotes_cli.shell import output
from dlnotes_cli.shell.errors import InputError
from dlnotes_cli.training.metrics import Evaluation
from dlnotes_cli.training.options import ClassifierConfig, TrainingRunOptions


@dataclass(frozen=True)
class TrainingResult:
    """The outcome of a training run; `fields` is what result.json and `--json` show."""

    fields: dict[str, Any]

    @property
    def test_accuracy(self) -> float | None:
        """Accuracy on the test split, where there is one."""
        test = self.fields["test"]
        return None if test is None else float(test["accuracy"])


class RunRecord(ABC):
    """What every training run writes down of itself; a kind of data adds what it is made of."""

    def __init__(
        self, config: TrainingRunOptions, name: str, configuration: dict[str, Any], runtime: Runtime, network: nn.Module
    ) -> None:
        self.seed, self.runtime = config.seed, runtime
        self.model = {"name": name, "configuration": configuration, "parameters": count_parameters(network)}

    @property
    @abstractmethod
    def data_name(self) -> str:
        """What the run is trained on."""

    @property
    @abstractmethod
    def fingerprint(self) -> str:
        """A sum over the data."""

    def identity(self) -> dict[str, Any]:
        """What makes this network usable and this run known."""
        return {
            "model": self.model["name"],
            "configuration": self.model["configuration"],
            "data": {"name": self.data_name, "fingerprint": self.fingerprint},
            "seed": self.seed,
            "precision": self.runtime.precision,
            "versions": {"dlnotes": __version__, "torch": torch.__version__},
        }

    def metadata(self, epoch: dict[str, Any]) -> dict[str, Any]:
        """The card of the model file of one epoch."""
        return self.identity() | {
            "kind": "model",
            "epoch": epoch["epoch"],
            "metrics": {"validation": epoch["validation"]},
        }

    def announce(self) -> None:
        """Say on stderr what is about to run."""
        output.note(f"model  {self.model['name']}, {self.model['parameters']:,} parameters")
        runtime = self.runtime
        output.note(f"runs   on {runtime.device} in {runtime.precision}, {runtime.threads} threads")

    def outcome(self, data: dict[str, Any], history: list[dict[str, Any]], best: int, steps: int) -> dict[str, Any]:
        """The part of the result that the run decides; `best` counts the entries of `history` from 1."""
        return {
            "version": __version__,
            "seed": self.seed,
            **self.runtime.as_json(),
            "data": {"name": self.data_name, **data},
            "model": self.model,
            "epochs": history[-1]["epoch"],
            "best_epoch": history[best - 1]["epoch"],
            "steps": steps,
            "train": history[best - 1]["train"],
            "validation": history[best - 1]["validation"],
            "test": None,
        }


class ClassifierRecord(RunRecord):
    """What is written down of a classifier's run."""

    def __init__(
        self,
        config: ClassifierConfig,
        name: str,
        configuration: dict[str, Any],
        dataset: DataSet,
        runtime: Runtime,
        network: nn.Module,
        details: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(config, name, configuration, runtime, network)
        self.config, self.dataset, self._details = config, dataset, details or {}

    @property
    def data_name(self) -> str:
        """What the run is trained on."""
        return self.config.data

    @property
    def fingerprint(self) -> str:
        """A sum over the data."""
        return self.dataset.fingerprint

    def announce(self) -> None:
        """Say on stderr what is about to run."""
        counts = ", ".join(f"{count:,} {part}" for part, count in self.dataset.counts.items())
        output.note(f"data   {self.dataset.name}: {counts}; {len(self.dataset.classes)} classes")
        super().announce()
        if (self.config.batch_size or 0) > self.dataset.counts["train"]:
            output.note(f"note   the batch shrinks to the {self.dataset.counts['train']} training samples there are")

    def identity(self) -> dict[str, Any]:
        """What makes this network usable and this run known."""
        found = super().identity()
        splits = {"val_split": self.config.val_split, "test_split": self.config.test_split}
        return found | {
            "classes": list(self.dataset.classes),
            "format": preprocessing_to_json(self.dataset.preprocessing),
            "data": found["data"] | splits,
        }

    def result(self, history: list[dict[str, Any]], best: int, steps: int, test: Evaluation | None) -> dict[str, Any]:
        """The part of the result that the run's outcome decides; `best` counts the entries of `history` from 1."""
        data = {
            "classes": list(self.dataset.classes),
            "counts": self.dataset.counts,
            "skipped": len(self.dataset.bad_files),
        }
        found = self.outcome(data, history, best, steps)
        return found | {"test": None if test is None else test.as_json(), **self._details}


def timing_fields(timing: dict[str, float], samples: int, started: float) -> dict[str, float]:
    """Seconds of a run's phases, and training samples in each second of training."""
    per_s = samples / timing["train_s"] if timing["train_s"] else 0.0
    total = {"total_s": time.monotonic() - started, "samples_per_s": per_s}
    return {name: round(value, 3) for name, value in (timing | total).items()}


def check_gate(config: ClassifierConfig, dataset: DataSet) -> None:
    """Refuse a gate on a test that there is none of."""
    if config.min_accuracy is not None and "test" not in dataset.splits:
        raise InputError("--min-accuracy", f"{dataset.name} has no test split", "add one, or drop the option")
