"""The linear baseline: logistic regression of TF-IDF features, fitted by scikit-learn."""

import time
import warnings
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from dlnotes_cli.data.texts.labeled import TextDataSet
from dlnotes_cli.data.texts.preprocessing import TfidfPreprocessing
from dlnotes_cli.data.texts.tfidf import Tfidf
from dlnotes_cli.data.texts.words import Corpus, read_corpus
from dlnotes_cli.device import choose_runtime
from dlnotes_cli.inference.text_classifier import linear_logits
from dlnotes_cli.networks.text_rnn import TextLinear, TextLinearConfig
from dlnotes_cli.shell.errors import InputError
from dlnotes_cli.text.description import TextDescription, TextResult
from dlnotes_cli.training.fit_at_once import DirectTask
from dlnotes_cli.training.metrics import softmax
from dlnotes_cli.training.results import HistoryEntry, RunProgress
from dlnotes_cli.training.run_folder import RunFolder
from dlnotes_cli.training.task import Evaluated, Poll

_INVERSE_REGULARIZATION = 4.0  # C of scikit-learn; the features of a text have norm 1
_MOST_ITERATIONS = 1000


class LinearTask(TextDescription, DirectTask[TextResult]):
    """The training of the linear model, alone or as the baseline of a network."""

    model_name, short_name = "text_linear", "linear"
    kept_on_stop = "stopped before the work was done"
    network: TextLinear
    preprocessing: TfidfPreprocessing

    def load(self, poll: Poll) -> None:
        """Read the texts and their words."""
        self.stored = replace(self.options, val_split=self.options.resolved().val_split)
        self.runtime = choose_runtime("cpu", "fp32", self.options.threads, bf16_pays=False)
        dataset = self.read_texts()
        self.prepare(dataset, read_corpus(dataset.texts))
        poll()

    def prepare(self, dataset: TextDataSet, corpus: Corpus) -> None:
        """Set the texts and their words, which a run that trains a network has read already."""
        self.describe(dataset)
        self._corpus = corpus

    def solve(self, poll: Poll) -> RunProgress:
        """Fit the model to the training texts, and evaluate it. Raises InputError for texts without a single word."""
        started = time.monotonic()
        self._fitted = fit_linear(self.dataset, self._corpus, is_balanced=self.options.class_weights == "balanced")
        fitted_s = time.monotonic() - started
        self.network = self._fitted.network
        self.preprocessing = replace(self._fitted.preprocessing, encoding=self.options.encoding)
        self.network_config = self.network.config
        self.evaluated = [self.evaluate_all(fitted_s, poll)]
        training, validation = self.evaluate("train", poll).metrics, self.kept.scores.validation
        entry = HistoryEntry(epoch=1, step=self._fitted.iterations, train=training, validation=validation)
        return RunProgress(
            step=entry.step, samples_seen=training.samples, elapsed_s=fitted_s, best_index=0, history=[entry]
        )

    def probabilities(self, indices: NDArray[np.int64], poll: Poll) -> NDArray[np.floating]:  # noqa: ARG002  # the base's
        """What the model predicts for some of the texts: probabilities (n, classes)."""
        weights, bias = (tensor.detach().numpy() for tensor in (self.network.weight, self.network.bias))
        return softmax(linear_logits(self._fitted.features[indices], weights, bias))

    def finish(self, folder: RunFolder, progress: RunProgress, poll: Poll) -> Evaluated:  # noqa: ARG002  # the base's
        """Draw the evaluation."""
        return self.draw_kept(folder)


class FittedLinear(NamedTuple):
    """A linear model that is fitted to the training texts of a data set, and the features of all its texts."""

    network: TextLinear
    preprocessing: TfidfPreprocessing
    features: Any  # sparse float64 (N, features)
    iterations: int


def fit_linear(dataset: TextDataSet, corpus: Corpus, *, is_balanced: bool) -> FittedLinear:
    """Fit the linear model to the training split. Raises InputError for texts without a single word."""
    train = dataset.splits["train"]
    try:
        tfidf, features = Tfidf.fit(corpus, train)
    except ValueError:
        what = f"the training texts of {dataset.name} have no words"
        raise InputError("--data", what, "choose another --text-column") from None
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
    words, characters = (tuple(kind.get_feature_names_out().tolist()) for kind in (tfidf.words, tfidf.characters))
    preprocessing = TfidfPreprocessing(dataset.text_column, dataset.target, words, characters)
    return FittedLinear(network.eval(), preprocessing, features, int(np.max(regression.n_iter_)))
