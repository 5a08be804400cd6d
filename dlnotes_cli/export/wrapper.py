"""What is exported: a network together with everything that belongs to it, from stored values to probabilities."""

import copy
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from dlnotes_cli.data.batches import normalization
from dlnotes_cli.data.preprocessing import ImagePreprocessing, TablePreprocessing
from dlnotes_cli.models.char_rnn import CharRnn
from dlnotes_cli.training.model_file import LanguageModel, TrainedModel

BATCH_AXIS = "N"  # the name of the dynamic axis
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
            (rows - self.mean) / self.std
        ).float()  # as `data.table.standardize`: float32 has too few digits for raw values
        return _probabilities(self.network(x.to(self._dtype)))


class LanguageModelStep(nn.Module):
    """One step of a language model: from tokens (N,) and states (layers, N, hidden) to logits and new states."""

    def __init__(self, network: CharRnn, dtype: torch.dtype) -> None:
        super().__init__()
        self.network, self._dtype = network, dtype

    def forward(self, token: Tensor, h: Tensor, c: Tensor | None = None) -> tuple[Tensor, ...]:
        """Logits (N, vocabulary), then h, and for an LSTM c, after the step; all float32."""
        states = (h,) if c is None else (h, c)
        logits, after = self.network(token[:, None], tuple(state.to(self._dtype) for state in states))
        return logits[:, 0].float(), *(state.float() for state in after)


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


def _in_dtype(network: nn.Module, dtype: torch.dtype) -> nn.Module:
    """The network in evaluation mode with weights of this type; a copy, unless it has that type already."""
    return network.eval() if dtype == torch.float32 else copy.deepcopy(network).to(dtype).eval()


def _probabilities(logits: Tensor) -> Tensor:
    return logits.float().softmax(1)
