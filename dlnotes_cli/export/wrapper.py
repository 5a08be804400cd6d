"""What is exported: a network together with everything that belongs to it, from stored values to probabilities."""

import copy
import logging
import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from dlnotes_cli.data.batches import normalization
from dlnotes_cli.data.preprocessing import ImagePreprocessing, TablePreprocessing
from dlnotes_cli.export.results import TensorShape
from dlnotes_cli.networks.char_rnn import CharRnn, RecurrentState
from dlnotes_cli.shell.errors import UnfinishedError
from dlnotes_cli.training.model_file import LanguageModel, TrainedModel

Arrays = tuple[NDArray[Any], ...]
Run = Callable[..., Arrays]  # what a graph computes: the values of its inputs -> the values of its outputs
Answer = Callable[[NDArray[Any]], NDArray[np.float32]]  # samples (N, ...) -> probabilities (N, classes)
BATCH_AXIS = "N"  # the name of the dynamic axis
_OPERATOR = re.compile(r"torch\.ops\.(aten\.\w+)")  # in a message of PyTorch
_MOST_SHOWN = 160  # characters of a message of PyTorch
_EXAMPLES = 2  # samples of a dynamic batch while it is traced; a size of 1 would be taken for a constant


@dataclass(frozen=True)
class ExportGraph:
    """A module with named inputs and outputs, and an example of each input, whose batch axis may be dynamic."""

    module: nn.Module
    inputs: dict[str, Tensor]
    batch_axes: dict[str, int]  # of the inputs
    outputs: tuple[str, ...]
    is_dynamic: bool

    @property
    def arguments(self) -> tuple[Tensor, ...]:
        """The examples of the inputs, in order."""
        return tuple(self.inputs.values())

    @property
    def parameters_nbytes(self) -> int:
        """Bytes of all weights."""
        return sum(tensor.nbytes for tensor in self.module.state_dict().values())

    @property
    def dynamic_shapes(self) -> dict[str, dict[int, torch.export.Dim]] | None:
        """The dynamic axes, as torch.export names them; None for none."""
        if not self.is_dynamic:
            return None
        batch = torch.export.Dim(BATCH_AXIS)
        return {name: {axis: batch} for name, axis in self.batch_axes.items()}


@dataclass(frozen=True)
class ExportedGraph:
    """The graph in an exported file: its inputs and outputs, its number of nodes, and a function that runs it."""

    inputs: tuple[TensorShape, ...]
    outputs: tuple[TensorShape, ...]
    nodes: int
    run: Run
    path: Path


class ImageClassifier(nn.Module):
    """A classifier of uint8 images (N, C, H, W), with its normalization and softmax."""

    scale: Tensor
    offset: Tensor

    def __init__(self, network: nn.Module, preprocessing: ImagePreprocessing, dtype: torch.dtype) -> None:
        super().__init__()
        self.network, self._dtype = network, dtype
        for name, tensor in zip(("scale", "offset"), normalization(preprocessing), strict=True):
            self.register_buffer(name, tensor)

    def forward(self, images: Tensor) -> Tensor:
        """Probabilities (N, classes), float32."""
        x = images.float() * self.scale + self.offset
        return _probabilities(self.network(x.to(self._dtype)))


class TableClassifier(nn.Module):
    """A classifier of float64 rows (N, F), with their standardization and softmax."""

    mean: Tensor
    std: Tensor

    def __init__(self, network: nn.Module, preprocessing: TablePreprocessing, dtype: torch.dtype) -> None:
        super().__init__()
        self.network, self._dtype = network, dtype
        for name, values in zip(("mean", "std"), preprocessing.scales, strict=True):
            self.register_buffer(name, torch.tensor(values, dtype=torch.float64))

    def forward(self, rows: Tensor) -> Tensor:
        """Probabilities (N, classes), float32."""
        x = (
            rows - self.mean
        ) / self.std  # in float64, as `data.table_columns.standardize`: float32 lacks digits of raw values
        return _probabilities(self.network(x.float().to(self._dtype)))


class LanguageModelStep(nn.Module):
    """One step of a language model: from tokens (N,) and states (layers, N, hidden) to logits and new states.

    Each layer is a cell, which exporters write as products and activations: ONNX Runtime's own LSTM crashes in float16.
    """

    def __init__(self, network: CharRnn, dtype: torch.dtype) -> None:
        super().__init__()
        self.network, self._dtype = network, dtype
        self._cell = _CELLS[network.config.cell]

    def forward(self, token: Tensor, h: Tensor, c: Tensor | None = None) -> tuple[Tensor, ...]:
        """Logits (N, vocabulary), then h, and for an LSTM c, after the step; all float32."""
        states = [state.to(self._dtype) for state in ((h,) if c is None else (h, c))]
        x, after = self.network.embedded(token), []
        for i, layer in enumerate(self.network.layers):
            after.append(self._cell(x, tuple(state[i] for state in states), *layer.parameters()))
            x = self.network.next_input(i, x, after[-1][0])
        logits = self.network.scores(x)
        return logits.float(), *(torch.stack(layers).float() for layers in zip(*after, strict=True))


def _lstm_cell(x: Tensor, state: RecurrentState, *weights: Tensor) -> RecurrentState:
    return torch.lstm_cell(x, state, *weights)


def _gru_cell(x: Tensor, state: RecurrentState, *weights: Tensor) -> RecurrentState:
    return (torch.gru_cell(x, state[0], *weights),)


def _rnn_cell(x: Tensor, state: RecurrentState, *weights: Tensor) -> RecurrentState:
    return (torch.rnn_tanh_cell(x, state[0], *weights),)


_CELLS: dict[str, Callable[..., RecurrentState]] = {"lstm": _lstm_cell, "gru": _gru_cell, "rnn": _rnn_cell}


def classifier_graph(model: TrainedModel, dtype: torch.dtype, *, is_dynamic: bool) -> ExportGraph:
    """The graph of a trained classifier."""
    network, count = _in_dtype(model.network, dtype), _EXAMPLES if is_dynamic else 1
    module: nn.Module
    if isinstance(model.preprocessing, ImagePreprocessing):
        name, module = "images", ImageClassifier(network, model.preprocessing, dtype)
        example = torch.zeros(count, *model.preprocessing.shape, dtype=torch.uint8)
    else:
        name, module = "rows", TableClassifier(network, model.preprocessing, dtype)
        example = torch.zeros(count, *model.preprocessing.shape, dtype=torch.float64)
    return ExportGraph(module.eval(), {name: example}, {name: 0}, ("probabilities",), is_dynamic)


def step_graph(model: LanguageModel, dtype: torch.dtype) -> ExportGraph:
    """The graph of one step of a trained language model."""
    network = _in_dtype(model.network, dtype)
    if not isinstance(network, CharRnn):
        raise TypeError(type(network).__name__)
    states = [state.float() for state in network.initial_state(_EXAMPLES)]
    names = ("h", "c")[: len(states)]
    inputs = {"token": torch.zeros(_EXAMPLES, dtype=torch.int64), **dict(zip(names, states, strict=True))}
    outputs = ("logits", *(f"{name}_out" for name in names))
    axes = {"token": 0, **dict.fromkeys(names, 1)}
    return ExportGraph(LanguageModelStep(network, dtype).eval(), inputs, axes, outputs, is_dynamic=True)


@contextmanager
def silent() -> Iterator[None]:
    """Drop the warnings and log lines of PyTorch's exporters, which are about PyTorch itself."""
    level = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)


def not_exportable(path: Path, what: str, error: Exception, fix: str) -> UnfinishedError:
    """The error for a network that one of PyTorch's exporters refuses."""
    text = " ".join(str(error.__cause__ or error).split())
    operator = _OPERATOR.search(text)
    reason = operator[1] if operator else text[:_MOST_SHOWN]
    return UnfinishedError(path, f"PyTorch cannot export this network to {what} ({reason})", fix)


def _in_dtype(network: nn.Module, dtype: torch.dtype) -> nn.Module:
    """The network in evaluation mode with weights of this type; a copy, unless it has that type already."""
    return network.eval() if dtype == torch.float32 else copy.deepcopy(network).to(dtype).eval()


def _probabilities(logits: Tensor) -> Tensor:
    return logits.float().softmax(1)
