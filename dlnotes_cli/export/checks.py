"""What is compared between an exported file and its model file: answers to samples, or text step by step."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from dlnotes_cli.data.texts.preprocessing import SequencePreprocessing
from dlnotes_cli.export.eager import Answer, eager_answer, eager_step
from dlnotes_cli.export.exported import Arrays, ExportedGraph
from dlnotes_cli.export.options import DEFAULT_SAMPLES, ExportConfig
from dlnotes_cli.export.parity import ROUNDING, Limits, check_classifier, check_language_model
from dlnotes_cli.export.results import ModelTiming, Parity
from dlnotes_cli.export.samples import choose_samples
from dlnotes_cli.export.timing import TimedModel, quantized, time_table
from dlnotes_cli.export.wrapper import ExportGraph, classifier_graph, step_graph
from dlnotes_cli.inference.onnx_file import open_graph
from dlnotes_cli.models.char_rnn import CharRnn
from dlnotes_cli.training.metrics import inference_batch_size
from dlnotes_cli.training.model_file import LanguageModel, TextModel, TrainedModel, check_finite

OTHER_WAY = {  # by --dtype, after a check that failed
    "float32": "use another --format or --opset, or a larger --tolerance",
    "float16": "use --dtype float32, or a larger --tolerance",
}
_DTYPES = {"float32": torch.float32, "float16": torch.float16}
_TEXTS, _TOKENS = 16, 32  # of the check of a classifier of texts
_RUNTIMES = {"onnx": "ONNX Runtime", "pt2": "torch.export"}  # what runs a format


class ModelCheck(ABC):
    """The comparison of an exported file with its model file."""

    @abstractmethod
    def graph(self) -> ExportGraph:
        """What is exported."""

    @abstractmethod
    def parity(self, run: Callable[..., Arrays]) -> Parity:
        """Compare the outputs of an exported graph. Raises UnfinishedError where they differ."""

    @abstractmethod
    def one_sample(self) -> Arrays:
        """The values of the inputs for one sample."""

    def timings(self, exported: ExportedGraph, nbytes: int) -> tuple[ModelTiming, ...]:  # noqa: ARG002  # classifiers use it
        """Speed and accuracy of several ways to run the model; empty where they cannot be compared."""
        return ()

    @abstractmethod
    def eager(self, network: nn.Module) -> Callable[..., Arrays]:
        """What a graph computes, by PyTorch with the weights of `network`."""


class ClassifierCheck(ModelCheck):
    """The check of a classifier: its probabilities for samples."""

    def __init__(self, config: ExportConfig, model: TrainedModel, out: Path) -> None:
        """Choose the samples. Raises InputError for samples that do not fit, and for outputs that are not finite."""
        self._config, self._model, self._out = config, model, out
        self._chosen = choose_samples(config, model)
        self._expected = eager_answer(model.network, model.preprocessing)(self._chosen.samples)
        check_finite(model.path, torch.from_numpy(self._expected))

    def graph(self) -> ExportGraph:
        """What is exported."""
        return classifier_graph(self._model, _DTYPES[self._config.dtype_name], is_dynamic=self._config.is_dynamic)

    def parity(self, run: Callable[..., Arrays]) -> Parity:
        """Compare the outputs of an exported graph. Raises UnfinishedError where they differ."""
        samples, limits = self._chosen.samples, _limits(self._config)
        largest = inference_batch_size(samples.shape[1:]) if self._config.is_dynamic else 1
        answer = _answer(run)
        return check_classifier(self._out, self._chosen.name, answer, samples, self._expected, largest, limits)

    def one_sample(self) -> Arrays:
        """The values of the inputs for one sample."""
        return (self._chosen.samples[:1],)

    def timings(self, exported: ExportedGraph, nbytes: int) -> tuple[ModelTiming, ...]:
        """Speed and accuracy of PyTorch in fp32 and bf16, of the exported file, and for ONNX in float32 of int8."""
        network, preprocessing = self._model.network, self._model.preprocessing
        of_model_file = self._model.path.stat().st_size
        rows = [
            TimedModel(f"PyTorch {precision}", eager_answer(network, preprocessing, precision), of_model_file)
            for precision in ("fp32", "bf16")
        ]
        name = f"{_RUNTIMES[self._config.format]} {self._config.dtype_name}"
        rows.append(TimedModel(name, _answer(exported.run), nbytes))
        if self._config.format != "onnx" or self._config.dtype_name != "float32":
            return time_table(rows, self._chosen)
        with quantized(exported.path) as path:
            if path is not None:
                run = open_graph(path, self._config.thread_count).run
                rows.append(TimedModel("ONNX Runtime int8", _answer(run), path.stat().st_size))
            return time_table(rows, self._chosen)

    def eager(self, network: nn.Module) -> Callable[..., Arrays]:
        """What the graph computes, by PyTorch with the weights of `network`."""
        answer = eager_answer(network, self._model.preprocessing)
        return lambda samples: (answer(samples),)


class LanguageModelCheck(ModelCheck):
    """The check of a language model: its probabilities for the characters of texts that it writes."""

    def __init__(self, config: ExportConfig, model: LanguageModel, out: Path) -> None:
        self._config, self._model, self._out = config, model, out

    def graph(self) -> ExportGraph:
        """What is exported."""
        return step_graph(self._model, _DTYPES[self._config.dtype_name])

    def parity(self, run: Callable[..., Arrays]) -> Parity:
        """Compare the outputs of an exported graph. Raises UnfinishedError where they differ."""
        count, eager = self._config.samples or DEFAULT_SAMPLES, eager_step(self._model.network)
        starts = (self._states(1), self._states(5))
        return check_language_model(self._out, run, eager, starts, count, _limits(self._config))

    def one_sample(self) -> Arrays:
        """The values of the inputs for one sample."""
        return (np.zeros(1, np.int64), *self._states(1))

    def eager(self, network: nn.Module) -> Callable[..., Arrays]:
        """What the graph computes, by PyTorch with the weights of `network`."""
        return eager_step(network)

    def _states(self, count: int) -> Arrays:
        network = self._model.network
        if not isinstance(network, CharRnn):
            raise TypeError(type(network).__name__)
        return tuple(state.numpy() for state in network.initial_state(count))


class TextCheck(ModelCheck):
    """The check of a classifier of texts: its probabilities for tokens, or for features, that are drawn at random."""

    def __init__(self, config: ExportConfig, model: TextModel, out: Path) -> None:
        self._config, self._model, self._out = config, model, out
        generator, count = np.random.default_rng(0), config.samples or _TEXTS
        if isinstance(model.preprocessing, SequencePreprocessing):
            shape = count, min(model.preprocessing.max_length, _TOKENS)
            self._samples: NDArray[Any] = generator.integers(1, max(model.preprocessing.vocabulary, 2), shape)
        else:
            self._samples = generator.random((count, model.preprocessing.features))
        self._expected = _text_probabilities(model.network)(self._samples)[0]
        check_finite(model.path, torch.from_numpy(self._expected))

    def graph(self) -> ExportGraph:
        """Texts have no graph."""
        raise TypeError("a classifier of texts is exported as weights")

    def parity(self, run: Callable[..., Arrays]) -> Parity:
        """Compare the probabilities. Raises UnfinishedError where they differ."""
        count, limits = len(self._samples), _limits(self._config)
        name = "texts drawn at random"
        return check_classifier(self._out, name, _answer(run), self._samples, self._expected, count, limits)

    def one_sample(self) -> Arrays:
        """The values of the inputs for one sample."""
        return (self._samples[:1],)

    def eager(self, network: nn.Module) -> Callable[..., Arrays]:
        """The probabilities, by PyTorch with the weights of `network`."""
        return _text_probabilities(network)


def _text_probabilities(network: nn.Module) -> Callable[..., Arrays]:
    @torch.no_grad()
    def answer(samples: NDArray[Any]) -> Arrays:
        return (network.eval()(torch.from_numpy(samples)).softmax(1).float().numpy(),)

    return answer


def _answer(run: Callable[..., Arrays]) -> Answer:
    """The first output of a graph with one input."""
    return lambda samples: run(samples)[0]


def _limits(config: ExportConfig) -> Limits:
    return Limits(config.largest_difference, ROUNDING[config.dtype_name], OTHER_WAY[config.dtype_name])
