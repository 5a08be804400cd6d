"""The most probable classes of samples."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dlnotes_cli.training.inference.classifier import Classifier


@dataclass(frozen=True)
class Prediction:
    """The most probable classes of one item, an image file or a table row, or the error for one that was skipped."""

    item: str  # a path, or for a row path:line
    top: tuple[tuple[str, float], ...] = ()  # (class, probability), most probable first
    error: str = ""

    def as_json(self) -> dict[str, Any]:
        """An entry of `--json`, and a line of `--jsonl`."""
        if self.error:
            return {"item": self.item, "error": self.error}
        name, probability = self.top[0]
        top = [{"class": c, "probability": p} for c, p in self.top]
        return {"item": self.item, "class": name, "probability": probability, "top": top}


def predict_samples(
    classifier: Classifier, items: Sequence[str], samples: NDArray[np.generic], top: int
) -> list[Prediction]:
    """The predictions for samples (N, ...), one for each of the N items, with the `top` most probable classes.

    Raises InputError where the outputs are not finite.
    """
    probabilities = classifier.probabilities(samples)
    order = np.argsort(-probabilities, axis=1, kind="stable")[:, :top]
    best = np.take_along_axis(probabilities, order, axis=1)
    return [
        Prediction(item, tuple((classifier.classes[i], p) for i, p in zip(indices, values, strict=True)))
        for item, indices, values in zip(items, order.tolist(), best.tolist(), strict=True)
    ]
