"""The images that show what a classifier gets right and wrong."""

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
class Viewed:
    """A network and the samples on which it is looked at."""

    network: nn.Module
    part: Split
    normalizer: Normalizer
    runtime: Runtime
    classes: tuple[str, ...]


def draw_evaluation(folder: Path, evaluation: Evaluation, viewed: Viewed) -> list[Path]:
    """Write confusion.png and, for images, predictions.png; the paths written."""
    drawn = {"confusion.png": plots.confusion(evaluation.confusion, viewed.classes)}
    if viewed.part.samples.ndim == 4:  # noqa: PLR2004  # (N, C, H, W); a table has nothing to show
        drawn["predictions.png"] = _prediction_sheet(viewed)
    for name, content in drawn.items():
        files.atomic_write(folder / name, content)
    return [folder / name for name in drawn]


@torch.no_grad()
def _prediction_sheet(viewed: Viewed) -> bytes:
    count = min(plots.PREDICTIONS_SHOWN, len(viewed.part))
    spread = [i * len(viewed.part) // count for i in range(count)]
    samples, labels = viewed.part.take(viewed.part.indices[spread])
    logits = predict_logits(viewed.network.eval(), viewed.normalizer(samples), viewed.runtime)
    return plots.predictions(samples.cpu().numpy(), labels.tolist(), logits.argmax(1).tolist(), viewed.classes)
