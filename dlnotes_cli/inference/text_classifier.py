"""Classifiers of texts from model files: a network of tokens, or a linear model of TF-IDF features."""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from dlnotes_cli.data.texts.preprocessing import SequencePreprocessing, TfidfPreprocessing
from dlnotes_cli.data.texts.sequences import TokenSequences, batches_by_length, encode_texts
from dlnotes_cli.device import Runtime, RuntimeInfo
from dlnotes_cli.inference.classifier import AnyClassifier
from dlnotes_cli.inference.options import OpensClassifier
from dlnotes_cli.networks.text_rnn import TextLinear, TextRnn
from dlnotes_cli.shell.errors import InputError
from dlnotes_cli.training.metrics import softmax
from dlnotes_cli.training.model_file import TextModel, runtime_for_model

if TYPE_CHECKING:
    from dlnotes_cli.data.texts.tfidf import Tfidf

_BATCH = 256  # texts
_MOST_TOKENS = 1 << 15  # of a batch, with padding


@dataclass(frozen=True, kw_only=True)
class TokenClassifier(AnyClassifier):
    """A network that reads tokens."""

    preprocessing: SequencePreprocessing
    network: TextRnn
    torch_runtime: Runtime

    def compute(self, samples: Sequence[str]) -> NDArray[np.floating]:
        """Probabilities (N, classes) of N texts."""
        sequences = encode_texts(samples, self.preprocessing)
        return probabilities_of(sequence_logits(self.network, sequences, self.torch_runtime))

    @cached_property
    def cpu_network(self) -> TextRnn:
        """The network on the CPU: cuDNN computes no gradients in evaluation mode."""
        return self.network if self.torch_runtime.device.type == "cpu" else copy.deepcopy(self.network).cpu()


@dataclass(frozen=True, kw_only=True)
class LinearTextClassifier(AnyClassifier):
    """A linear model of TF-IDF features, in float64."""

    preprocessing: TfidfPreprocessing
    weights: NDArray[np.float64]  # (outputs, features)
    bias: NDArray[np.float64]  # (outputs,)
    idf: NDArray[np.float64]  # (features,)

    def compute(self, samples: Sequence[str]) -> NDArray[np.floating]:
        """Probabilities (N, classes) of N texts."""
        return softmax(linear_logits(self.features(samples), self.weights, self.bias))

    def features(self, texts: Sequence[str]) -> Any:
        """The features of texts, a sparse float64 matrix (N, features)."""
        return self.tfidf.transform(texts)

    @cached_property
    def tfidf(self) -> "Tfidf":
        """The features that the model weighs."""
        from dlnotes_cli.data.texts.tfidf import Tfidf  # scikit-learn, which networks do not need

        return Tfidf.of(self.preprocessing, self.idf)


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
    order: list[NDArray[np.int64]] = []
    try:
        for indices in batches_by_length(sequences.widths, _BATCH, _MOST_TOKENS):
            poll()
            with runtime.autocast():
                logits = network(sequences.batch(indices).to(runtime.device))
            parts.append(logits.float().cpu())
            order.append(indices)
    finally:
        network.train(was_training)
    return torch.cat(parts)[np.argsort(np.concatenate(order))] if parts else torch.empty(0, 0)


def open_text_classifier(options: OpensClassifier, model: TextModel) -> AnyClassifier:
    """The classifier of a model file, on its device. Raises InputError for options that do not apply to it."""
    if options.tta:
        raise InputError("--tta", "the model reads texts, and only images can be shifted and mirrored", "drop --tta")
    runtime, network = runtime_for_model(model.metadata, options), model.network
    common: dict[str, Any] = {
        "path": model.path, "classes": model.classes, "preprocessing": model.preprocessing, "metadata": model.metadata,
    }  # fmt: skip
    if isinstance(network, TextLinear):
        weights, bias, idf = (tensor.detach().numpy() for tensor in (network.weight, network.bias, network.idf))
        info = RuntimeInfo("cpu", "fp32", runtime.threads)
        return LinearTextClassifier(**common, runtime=info, weights=weights, bias=bias, idf=idf)
    if not isinstance(network, TextRnn):
        raise TypeError(type(network).__name__)
    return TokenClassifier(**common, runtime=runtime.info, network=network.to(runtime.device), torch_runtime=runtime)
