"""The most probable classes of samples."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from dlnotes_cli.inference.text_explanation import WordContributions


class GivesProbabilities(Protocol):
    """A classifier of samples of any kind."""

    @property
    def classes(self) -> tuple[str, ...]:
        """The class names, in the order of the outputs."""

    def probabilities(self, samples: Any, /) -> NDArray[np.floating]:
        """Probabilities (N, classes) of N samples. Raises InputError where they are not finite."""


@dataclass(frozen=True)
class Prediction:
    """The most probable classes of one item, an image, a row or a text, or the error for one that was skipped."""

    item: str  # a path, for a row path:line, or the text itself
    top: tuple[tuple[str, float], ...] = ()  # (class, probability), most probable first
    error: str = ""
    explanation: "WordContributions | None" = None  # of a text, where it was asked for

    def as_json(self) -> dict[str, Any]:
        """An entry of `--json`, and a line of `--jsonl`."""
        if self.error:
            return {"item": self.item, "error": self.error}
        name, probability = self.top[0]
        top = [{"class": c, "probability": p} for c, p in self.top]
        fields = {"item": self.item, "class": name, "probability": probability, "top": top}
        return fields if self.explanation is None else fields | {"explanation": self.explanation.as_json()}


def predict_samples(
    classifier: GivesProbabilities, items: Sequence[str], samples: NDArray[np.generic] | Sequence[str], top: int
) -> list[Prediction]:
    """The predictions for samples (N, ...) or N texts, one for each item, with the `top` most probable classes.

    Raises InputError where the outputs are not finite.
    """
    probabilities = classifier.probabilities(samples)
    order = np.argsort(-probabilities, axis=1, kind="stable")[:, :top]
    best = np.take_along_axis(probabilities, order, axis=1)
    return [
        Prediction(item, tuple((classifier.classes[i], p) for i, p in zip(indices, values, strict=True)))
        for item, indices, values in zip(items, order.tolist(), best.tolist(), strict=True)
    ]
