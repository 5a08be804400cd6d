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
    """A classifier and the split that it is evaluated on."""

    network: nn.Module
    split: Split
    normalizer: Normalizer
    runtime: Runtime
    classes: tuple[str, ...]


def draw_evaluation(folder: Path, evaluation: Evaluation, model: EvaluatedModel) -> list[Path]:
    """Write confusion.png and, for images, predictions.png; returns their paths."""
    drawn = {"confusion.png": plots.confusion(evaluation.confusion, model.classes)}
    if model.split.samples.ndim == 4:  # noqa: PLR2004  # (N, C, H, W); not a table
        drawn["predictions.png"] = _prediction_sheet(model)
    for name, content in drawn.items():
        files.atomic_write(folder / name, content)
    return [folder / name for name in drawn]


@torch.no_grad()
def _prediction_sheet(model: EvaluatedModel) -> bytes:
    count = min(plots.PREDICTIONS_SHOWN, len(model.split))
    spread = [i * len(model.split) // count for i in range(count)]
    samples, labels = model.split.take(model.split.indices[spread])
    logits = predict_logits(model.network.eval(), model.normalizer(samples), model.runtime)
    return plots.predictions(samples.cpu().numpy(), labels.tolist(), logits.argmax(1).tolist(), model.classes)
