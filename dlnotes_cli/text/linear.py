"""The linear baseline: logistic regression of TF-IDF features, fitted by scikit-learn."""

import time
import warnings
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from dlnotes_cli.data.texts.preprocessing import TfidfPreprocessing
from dlnotes_cli.data.texts.tfidf import Tfidf
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
        """Read the texts."""
        self.stored = replace(self.options, val_split=self.options.resolved().val_split)
        self.runtime = choose_runtime("cpu", "fp32", self.options.threads, bf16_pays=False)
        self.describe(self.read_texts())
        poll()

    def solve(self, poll: Poll) -> RunProgress:
        """Fit the model to the training texts, and evaluate it. Raises InputError for texts without a single word."""
        started = time.monotonic()
        iterations = self._fit()
        fitted_s = time.monotonic() - started
        self.evaluated = [self.evaluate_all(fitted_s, poll)]
        training, validation = self.evaluate("train", poll).metrics, self.kept.scores.validation
        entry = HistoryEntry(epoch=1, step=iterations, train=training, validation=validation)
        return RunProgress(
            step=entry.step, samples_seen=training.samples, elapsed_s=fitted_s, best_index=0, history=[entry]
        )

    def _fit(self) -> int:
        """Fit features and model to the training texts; returns the number of iterations. Raises InputError."""
        dataset, options = self.dataset, self.options
        train = dataset.splits["train"]
        try:
            self._tfidf, features = Tfidf.fit([dataset.texts[i] for i in train])
        except ValueError:
            what = f"the training texts of {dataset.name} have no words"
            raise InputError("--data", what, "choose another --text-column") from None
        regression = LogisticRegression(
            C=_INVERSE_REGULARIZATION, max_iter=_MOST_ITERATIONS,
            class_weight="balanced" if options.class_weights == "balanced" else None,
        )  # fmt: skip
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # the last iterate is as good on new texts
            regression.fit(features, dataset.labels[train])
        self.network_config = TextLinearConfig(features.shape[1], len(dataset.classes))
        self.network = TextLinear(self.network_config).eval()
        values = {"weight": regression.coef_, "bias": regression.intercept_, "idf": self._tfidf.idf}
        self.network.load_state_dict({name: torch.from_numpy(np.array(value)) for name, value in values.items()})
        kinds = self._tfidf.words, self._tfidf.characters
        words, characters = (tuple(kind.get_feature_names_out().tolist()) for kind in kinds)
        self.preprocessing = TfidfPreprocessing(
            dataset.text_column, dataset.target, words, characters, options.encoding
        )
        return int(np.max(regression.n_iter_))

    def probabilities(self, indices: NDArray[np.int64], poll: Poll) -> NDArray[np.floating]:  # noqa: ARG002  # the base's
        """What the model predicts for some of the texts: probabilities (n, classes)."""
        features = self._tfidf.transform([self.dataset.texts[i] for i in indices])
        weights, bias = (tensor.detach().numpy() for tensor in (self.network.weight, self.network.bias))
        return softmax(linear_logits(features, weights, bias))

    def finish(self, folder: RunFolder, progress: RunProgress, poll: Poll) -> Evaluated:  # noqa: ARG002  # the base's
        """Draw the evaluation."""
        return self.draw_kept(folder)
