"""Classifiers of texts from model files: a network of tokens, or a linear model of TF-IDF features."""

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from dlnotes_cli.data.texts.labeled import TextDataSet
from dlnotes_cli.data.texts.preprocessing import DocumentPreprocessing, SequencePreprocessing, TfidfPreprocessing
from dlnotes_cli.data.texts.sequences import TokenSequences, batches_by_length, encode_texts
from dlnotes_cli.device import Runtime, RuntimeInfo
from dlnotes_cli.inference.classifier import evaluate_probabilities
from dlnotes_cli.inference.options import ClassifierOptions
from dlnotes_cli.networks.text_rnn import TextLinear, TextRnn
from dlnotes_cli.shell.errors import InputError
from dlnotes_cli.training.metrics import Evaluation, softmax
from dlnotes_cli.training.model_file import TextModel, check_finite, runtime_for_model
from dlnotes_cli.training.model_metadata import ChosenSplit, Metadata

if TYPE_CHECKING:
    from dlnotes_cli.data.texts.tfidf import Tfidf

_BATCH = 256  # texts
_MOST_TOKENS = 1 << 15  # of a batch, with padding
_CHUNK = 1024  # texts whose features are in memory at a time


@dataclass(frozen=True, kw_only=True)
class TextClassifier(ABC):
    """A trained classifier of texts, with its preprocessing, on the device where it runs."""

    path: Path
    classes: tuple[str, ...]  # in the order of the outputs
    preprocessing: DocumentPreprocessing
    metadata: Metadata
    runtime: RuntimeInfo

    @abstractmethod
    def probabilities(self, samples: Sequence[str]) -> NDArray[np.floating]:
        """Probabilities (N, classes) of N texts. Raises InputError where they are not finite."""

    def evaluate(
        self, dataset: TextDataSet, split: ChosenSplit, top: tuple[int, ...], poll: Callable[[], None], *,
        keep_predictions: bool,
    ) -> Evaluation:  # fmt: skip
        """The evaluation on a split of a data set, as `Classifier.evaluate`."""

        def answer(indices: NDArray[np.int64]) -> NDArray[np.floating]:
            return self.probabilities([dataset.texts[i] for i in indices])

        return evaluate_probabilities(
            answer, dataset.labels, split.indices, classes=len(self.classes), batch=_CHUNK, top=top, poll=poll,
            keep_predictions=keep_predictions,
        )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class TokenClassifier(TextClassifier):
    """A network that reads tokens."""

    network: TextRnn
    torch_runtime: Runtime

    def probabilities(self, samples: Sequence[str]) -> NDArray[np.floating]:
        """Probabilities (N, classes) of N texts. Raises InputError where they are not finite."""
        logits = sequence_logits(self.network, self.encode(samples), self.torch_runtime)
        check_finite(self.path, logits)
        return probabilities_of(logits)

    @cached_property
    def cpu_network(self) -> TextRnn:
        """The network on the CPU: cuDNN computes no gradients in evaluation mode."""
        return self.network if self.torch_runtime.device.type == "cpu" else copy.deepcopy(self.network).cpu()

    def encode(self, texts: Sequence[str]) -> TokenSequences:
        """The tokens of texts."""
        if not isinstance(self.preprocessing, SequencePreprocessing):
            raise TypeError("a network reads tokens")
        return encode_texts(texts, self.preprocessing)


@dataclass(frozen=True, kw_only=True)
class LinearTextClassifier(TextClassifier):
    """A linear model of TF-IDF features, in float64."""

    network: TextLinear

    def probabilities(self, samples: Sequence[str]) -> NDArray[np.floating]:
        """Probabilities (N, classes) of N texts. Raises InputError where they are not finite."""
        logits = self.logits(self.features(samples))
        check_finite(self.path, torch.from_numpy(logits))
        return softmax(logits)

    def features(self, texts: Sequence[str]) -> Any:
        """The features of texts, a sparse float64 matrix (N, features)."""
        return self.tfidf.transform(texts)

    def logits(self, features: Any) -> NDArray[np.float64]:
        """Logits (N, classes); for two classes the first is 0."""
        return linear_logits(features, self.weights, self.network.bias.detach().numpy())

    @cached_property
    def tfidf(self) -> "Tfidf":
        """The features that the model weighs."""
        from dlnotes_cli.data.texts.tfidf import Tfidf  # scikit-learn, which networks do not need

        if not isinstance(self.preprocessing, TfidfPreprocessing):
            raise TypeError("a linear model reads n-grams")
        return Tfidf.of(self.preprocessing, self.network.idf.numpy())

    @property
    def weights(self) -> NDArray[np.float64]:
        """(outputs, features)."""
        return np.asarray(self.network.weight.detach().numpy())


def linear_logits(features: Any, weights: NDArray[np.float64], bias: NDArray[np.float64]) -> NDArray[np.float64]:
    """Logits (N, classes) of sparse features (N, F), as scikit-learn computes them; of one output, 0 and its own."""
    logits = np.asarray(features @ weights.T + bias)
    return np.concatenate([np.zeros_like(logits), logits], axis=1) if len(weights) == 1 else logits


def probabilities_of(logits: torch.Tensor) -> NDArray[np.floating]:
    """Probabilities (N, classes) of the logits of a network, in float64."""
    return np.asarray(logits.double().softmax(1).numpy())


@torch.no_grad()
def sequence_logits(
    network: torch.nn.Module,
    sequences: TokenSequences,
    runtime: Runtime,
    poll: Callable[[], None] = lambda: None,
) -> torch.Tensor:
    """Logits (N, classes) of all sequences in float32 on the CPU, computed in batches of similar length.

    The network is in evaluation mode meanwhile; `poll` is called before each batch.
    """
    was_training = network.training
    network.eval()
    parts: list[torch.Tensor] = []
    order: list[NDArray[np.int64]] = [np.empty(0, np.int64)]
    try:
        for indices in batches_by_length(sequences.widths, _BATCH, _MOST_TOKENS):
            poll()
            with runtime.autocast():
                logits = network(sequences.batch(indices).to(runtime.device))
            parts.append(logits.float())
            order.append(indices)
    finally:
        network.train(was_training)
    if not parts:
        return torch.empty(0, 0)
    joined = torch.cat(parts).cpu()
    result = torch.empty_like(joined)
    result[torch.from_numpy(np.concatenate(order))] = joined
    return result


def open_text_classifier(options: ClassifierOptions, model: TextModel) -> TextClassifier:
    """The classifier of a model file, on its device. Raises InputError for options that do not apply to it."""
    if options.tta:
        raise InputError("--tta", "the model reads texts, and only images can be shifted and mirrored", "drop --tta")
    runtime = runtime_for_model(model.metadata, options)
    common: dict[str, Any] = {
        "path": model.path, "classes": model.classes, "preprocessing": model.preprocessing, "metadata": model.metadata,
    }  # fmt: skip
    network = model.network
    if isinstance(network, TextLinear):
        return LinearTextClassifier(**common, runtime=RuntimeInfo("cpu", "fp32", runtime.threads), network=network)
    if not isinstance(network, TextRnn):
        raise TypeError(type(network).__name__)
    return TokenClassifier(**common, runtime=runtime.info, network=network.to(runtime.device), torch_runtime=runtime)
