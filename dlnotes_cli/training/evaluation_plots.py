"""The plots of an evaluation: confusion matrix and predictions."""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from dlnotes_cli import plots
from dlnotes_cli.data.batches import Normalizer, Split
from dlnotes_cli.device import Runtime
from dlnotes_cli.shell import files
from dlnotes_cli.training.metrics import Evaluation, predict_logits


@dataclass(frozen=True)
class EvaluatedModel:
    """A classifier, and the split of a data set on which it is evaluated."""

    network: nn.Module
    split: Split
    normalizer: Normalizer
    runtime: Runtime
    classes: tuple[str, ...]


def draw_evaluation(folder: Path, evaluation: Evaluation, model: EvaluatedModel) -> list[Path]:
    """Write confusion.png and, for images, predictions.png into a folder; returns their paths."""
    contents = {"confusion.png": plots.confusion(evaluation.confusion, model.classes)}
    if model.split.samples.ndim == 4:  # noqa: PLR2004  # (N, C, H, W); not a table
        contents["predictions.png"] = _prediction_sheet(model)
    for name, content in contents.items():
        files.atomic_write(folder / name, content)
    return [folder / name for name in contents]


def evenly_spaced(total: int, count: int) -> list[int]:
    """Up to `count` positions in a sequence of `total` items, evenly spaced from the first one.

    >>> evenly_spaced(10, 4), evenly_spaced(2, 4)
    ([0, 2, 5, 7], [0, 1])
    """
    count = min(count, total)
    return [i * total // count for i in range(count)]


@torch.no_grad()
def _prediction_sheet(model: EvaluatedModel) -> bytes:
    """A PNG of some images with their predicted and true classes."""
    shown = evenly_spaced(len(model.split), plots.PREDICTIONS_SHOWN)
    samples, labels = model.split.take(model.split.indices[shown])
    logits = predict_logits(model.network.eval(), model.normalizer(samples), model.runtime)
    return plots.predictions(samples.cpu().numpy(), labels.tolist(), logits.argmax(1).tolist(), model.classes)
