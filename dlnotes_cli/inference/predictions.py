"""The most probable classes of samples."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dlnotes_cli.inference.classifier import AnyClassifier
from dlnotes_cli.shell.codec import HIDDEN, OPTIONAL, in_json_as, named


class WordContribution(NamedTuple):
    """A word, and what it adds."""

    word: str
    contribution: float


@dataclass(frozen=True)
class WordContributions:
    """What each word of a text adds to the logit of a class; of two classes, to the log-odds of the class.

    For a linear model the contributions and the bias sum up to that logit. For a network they are gradient times
    embedding: how the logit changes, to first order, with the size of the embedding of a word.
    """

    label: str = field(metadata=named("class"))
    words: tuple[WordContribution, ...]  # in the order of the text, as the model reads it
    logit: float
    bias: float | None = None  # None: a network
    unread: int = 0  # words behind the last one that the network reads

    @property
    def shares(self) -> list[tuple[str, float]]:
        """Each word with its contribution as a fraction of the largest one, -1 to 1."""
        largest = max((abs(value) for _, value in self.words), default=0.0) or 1.0
        return [(word, value / largest) for word, value in self.words]

    def strongest(self, count: int, *, is_for: bool) -> list[tuple[str, float]]:
        """The words with the largest summed contributions for or against the class."""
        sums: Counter[str] = Counter()
        for word, value in self.words:
            sums[word] += value  # type: ignore[assignment]  # a Counter adds floats as well
        ordered = sorted(sums.items(), key=lambda item: (-item[1], item[0]) if is_for else (item[1], item[0]))
        return [(word, value) for word, value in ordered[:count] if (value > 0) == is_for and value]


@dataclass(frozen=True)
class Candidate:
    """A class and its probability."""

    label: str = field(metadata=named("class"))
    probability: float


@dataclass(frozen=True)
class Prediction:
    """The most probable classes of one item, an image, a row or a text, or the error for one that was skipped."""

    item: str  # a path, for a row path:line, or the text itself
    top: tuple[tuple[str, float], ...] = field(default=(), metadata=HIDDEN)  # (class, probability), most probable first
    error: str | None = field(default=None, metadata=OPTIONAL)
    similarity: float | None = field(default=None, metadata=OPTIONAL)  # of an image to the training images
    explanation: WordContributions | None = field(default=None, metadata=OPTIONAL)  # of a text, if asked for

    @property
    @in_json_as("top", optional=True)
    def candidates(self) -> list[Candidate] | None:
        """The most probable classes; None for an item that was skipped."""
        return [Candidate(*pair) for pair in self.top] or None

    @property
    @in_json_as("class", optional=True)
    def label(self) -> str | None:
        """The most probable class."""
        return self.top[0][0] if self.top else None

    @property
    @in_json_as("probability", optional=True)
    def probability(self) -> float | None:
        """The probability of the most probable class."""
        return self.top[0][1] if self.top else None


def predict_samples(
    classifier: AnyClassifier, items: Sequence[str], samples: NDArray[np.generic] | Sequence[str], top: int
) -> list[Prediction]:
    """The predictions for samples (N, ...) or N texts, one for each item, with the `top` most probable classes.

    Raises InputError where the outputs are not finite.
    """
    probabilities, similarities = classifier.probabilities_and_similarities(samples)
    order = np.argsort(-probabilities, axis=1, kind="stable")[:, :top]
    best = np.take_along_axis(probabilities, order, axis=1)
    similar = [None] * len(items) if similarities is None else [round(value, 4) for value in similarities.tolist()]
    return [
        Prediction(item, tuple((classifier.classes[i], p) for i, p in zip(*pairs, strict=True)), similarity=similarity)
        for item, *pairs, similarity in zip(items, order.tolist(), best.tolist(), similar, strict=True)
    ]
