"""The linear baseline: logistic regression of TF-IDF features, fitted by scikit-learn."""

import time
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from dlnotes_cli.data.texts.labeled import TextDataSet
from dlnotes_cli.data.texts.preprocessing import TfidfPreprocessing
from dlnotes_cli.data.texts.tfidf import Tfidf
from dlnotes_cli.data.texts.words import Corpus
from dlnotes_cli.models.text_linear import TextLinear, TextLinearConfig
from dlnotes_cli.shell.errors import InputError
from dlnotes_cli.training.inference.probability_evaluation import evaluate_probabilities
from dlnotes_cli.training.inference.text_classifier import linear_logits
from dlnotes_cli.training.metrics import Evaluation
from dlnotes_cli.training.softmax import softmax

_INVERSE_REGULARIZATION = 4.0  # C of scikit-learn; the features of a text have norm 1
_MOST_ITERATIONS = 1000
_CHUNK = 1024  # texts that are evaluated together


@dataclass(frozen=True)
class FittedLinear:
    """A linear model that is fitted to the training texts of a data set, and the features of all its texts."""

    network: TextLinear
    preprocessing: TfidfPreprocessing
    features: Any  # sparse float64 (N, features)
    iterations: int
    seconds: float

    def evaluate(self, dataset: TextDataSet, split: str, *, keep_predictions: bool = False) -> Evaluation:
        """The evaluation on a split of the data set."""
        weights, bias = (tensor.detach().numpy() for tensor in (self.network.weight, self.network.bias))

        def answer(indices: NDArray[np.int64]) -> NDArray[np.floating]:
            return softmax(linear_logits(self.features[indices], weights, bias))

        return evaluate_probabilities(
            answer, dataset.labels, dataset.splits[split], classes=len(dataset.classes), batch=_CHUNK,
            keep_predictions=keep_predictions,
        )  # fmt: skip


def fit_linear(dataset: TextDataSet, corpus: Corpus, *, is_balanced: bool) -> FittedLinear:
    """Fit the linear model to the training split. Raises InputError for texts without a single word."""
    started = time.monotonic()
    train = dataset.splits["train"]
    tfidf, features = Tfidf.fit(corpus, train)
    if not features.shape[1]:
        raise InputError(
            "--data", f"the training texts of {dataset.name} have no words", "choose another --text-column"
        )
    regression = LogisticRegression(
        C=_INVERSE_REGULARIZATION, max_iter=_MOST_ITERATIONS, class_weight="balanced" if is_balanced else None
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the last iterate is as good on new texts
        regression.fit(features[train], dataset.labels[train])
    network = TextLinear(TextLinearConfig(features.shape[1], len(dataset.classes)))
    network.load_state_dict(
        {
            "weight": torch.from_numpy(np.array(regression.coef_)),
            "bias": torch.from_numpy(np.array(regression.intercept_)),
            "idf": torch.from_numpy(tfidf.idf),
        }
    )
    preprocessing = TfidfPreprocessing(dataset.text_column, dataset.target, tfidf.words, tfidf.characters)
    iterations = int(np.max(regression.n_iter_))
    return FittedLinear(network.eval(), preprocessing, features, iterations, time.monotonic() - started)
