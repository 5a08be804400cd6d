"""What is exported: a network together with everything that belongs to it, from stored values to probabilities."""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from dlnotes_cli.data.batches import normalization
from dlnotes_cli.data.preprocessing import ImagePreprocessing, Preprocessing
from dlnotes_cli.export.results import TensorShape
from dlnotes_cli.networks.char_rnn import CharRnn
from dlnotes_cli.training.model_file import LanguageModel, TrainedModel

Arrays = tuple[NDArray[Any], ...]
Run = Callable[..., Arrays]  # what a graph computes: the values of its inputs -> the values of its outputs
BATCH_AXIS = "N"  # the name of the dynamic axis
_EXAMPLES = 2  # samples of a dynamic batch while it is traced; a size of 1 would be taken for a constant
_CELLS: dict[str, Callable[..., Any]] = {
    "lstm": torch.lstm_cell, "gru": torch.gru_cell, "rnn": torch.rnn_tanh_cell,
}  # fmt: skip


@dataclass(frozen=True)
class ExportGraph:
    """A module with named outputs and inputs, and an example of each input, of which some axes may be dynamic."""

    module: nn.Module
    inputs: dict[str, Tensor]
    outputs: tuple[str, ...]
    dynamic_shapes: dict[str, dict[int, torch.export.Dim]] | None  # by input


@dataclass(frozen=True)
class ExportedGraph:
    """The graph in an exported file: its inputs and outputs, its number of nodes, and a function that runs it."""

    inputs: tuple[TensorShape, ...]
    outputs: tuple[TensorShape, ...]
    nodes: int
    run: Run


class _Classifier(nn.Module):
    """A network with the scaling of its samples before it and softmax after it."""

    scale: Tensor
    offset: Tensor

    def __init__(self, network: nn.Module, preprocessing: Preprocessing, dtype: torch.dtype) -> None:
        super().__init__()
        self.network, self._dtype = network, dtype
        if isinstance(preprocessing, ImagePreprocessing):
            scale, offset = normalization(preprocessing)
        else:  # in float64, as float32 lacks digits of raw values
            mean, std = (torch.tensor(values, dtype=torch.float64) for values in preprocessing.scales)
            scale, offset = 1 / std, -mean / std
        self.register_buffer("scale", scale)
        self.register_buffer("offset", offset)

    def probabilities(self, samples: Tensor) -> Tensor:
        """Probabilities (N, classes), float32."""
        x = samples.to(self.scale.dtype) * self.scale + self.offset
        logits: Tensor = self.network(x.float().to(self._dtype))
        return logits.float().softmax(1)


class ImageClassifier(_Classifier):
    """A classifier of uint8 images (N, C, H, W)."""

    def forward(self, images: Tensor) -> Tensor:
        """Probabilities (N, classes), float32."""
        return self.probabilities(images)


class TableClassifier(_Classifier):
    """A classifier of float64 rows (N, F)."""

    def forward(self, rows: Tensor) -> Tensor:
        """Probabilities (N, classes), float32."""
        return self.probabilities(rows)


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
        x, after = self.network.embedded(token), []
        for i, layer in enumerate(self.network.layers):
            h_before = h[i].to(self._dtype)
            before = h_before if c is None else (h_before, c[i].to(self._dtype))
            states = self._cell(x, before, *layer.parameters())
            after.append(states if isinstance(states, tuple) else (states,))
            x = self.network.next_input(i, x, after[-1][0])
        return self.network.scores(x).float(), *(torch.stack(layers).float() for layers in zip(*after, strict=True))


def classifier_graph(model: TrainedModel, dtype: torch.dtype, *, is_dynamic: bool) -> ExportGraph:
    """The graph of a trained classifier."""
    is_image = isinstance(model.preprocessing, ImagePreprocessing)
    kind, name, element = (
        (ImageClassifier, "images", torch.uint8) if is_image else (TableClassifier, "rows", torch.float64)
    )
    module = kind(_in_dtype(model.network, dtype), model.preprocessing, dtype).eval()
    example = torch.zeros(_EXAMPLES if is_dynamic else 1, *model.preprocessing.shape, dtype=element)
    dynamic = {name: {0: torch.export.Dim(BATCH_AXIS)}} if is_dynamic else None
    return ExportGraph(module, {name: example}, ("probabilities",), dynamic)


def step_graph(model: LanguageModel, dtype: torch.dtype) -> ExportGraph:
    """The graph of one step of a trained language model."""
    network = _in_dtype(model.network, dtype)
    if not isinstance(network, CharRnn):
        raise TypeError(type(network).__name__)
    states = dict(zip("hc", (state.float() for state in network.initial_state(_EXAMPLES)), strict=False))
    inputs = {"token": torch.zeros(_EXAMPLES, dtype=torch.int64), **states}
    batch = torch.export.Dim(BATCH_AXIS)
    dynamic = {"token": {0: batch}, **{name: {1: batch} for name in states}}
    outputs = ("logits", *(f"{name}_out" for name in states))
    return ExportGraph(LanguageModelStep(network, dtype).eval(), inputs, outputs, dynamic)


def _in_dtype(network: nn.Module, dtype: torch.dtype) -> nn.Module:
    """The network in evaluation mode with weights of this type; a copy, unless it has that type already."""
    return network.eval() if dtype == torch.float32 else copy.deepcopy(network).to(dtype).eval()
