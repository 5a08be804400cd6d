"""Incremental inference with an exported model: ONNX Runtime computes each step."""

import torch
from torch import Tensor

from dlnotes_cli.char_rnn.incremental import LayerStates
from dlnotes_cli.training.onnx_file import OnnxLanguageModel


class ExportedCharRnn:
    """Runs an exported model token by token; its states are one tuple, of h and for an LSTM c, (layers, B, hidden)."""

    def __init__(self, model: OnnxLanguageModel) -> None:
        self._model = model

    def initial_states(self, batch_size: int) -> LayerStates:
        """The states before the first token: zeros."""
        return (tuple(map(torch.from_numpy, self._model.initial_states(batch_size))),)

    def repeat(self, states: LayerStates, count: int) -> LayerStates:
        """The states of one sample for `count` samples."""
        return tuple(tuple(tensor.expand(-1, count, -1) for tensor in state) for state in states)

    def __call__(self, tokens: Tensor, states: LayerStates) -> tuple[Tensor, LayerStates]:
        """Logits (B, vocabulary) for tokens (B,) and the states before them, and the states after them."""
        logits, after = self._model.step(tokens.numpy(), tuple(tensor.numpy() for tensor in states[0]))
        return torch.from_numpy(logits), (tuple(map(torch.from_numpy, after)),)
