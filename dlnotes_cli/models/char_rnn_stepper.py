"""A character model one character at a time, without what a whole sequence needs: for sampling."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from dlnotes_cli.models.char_rnn import CharRnn, State

Cell = Callable[["_Layer", Tensor, Tensor, State], State]


class _Layer(NamedTuple):
    """A layer's weights, transposed; `inputs` are those of the first layer already multiplied, a row for each token."""

    inputs: Tensor
    recurrent: Tensor
    bias_recurrent: Tensor
    bias: Tensor | None


class Stepper:
    """Runs a network from one character to the next; every method takes and gives states as the network does."""

    @torch.no_grad()
    def __init__(self, network: CharRnn, precision: torch.dtype = torch.float32) -> None:
        """Take the network's weights; `precision` is that of products, sums stay in the network's own."""
        self._network = network
        self._cell = _CELLS[network.config.cell]
        vocabulary = network.config.vocabulary
        table = torch.eye(vocabulary) if network.embedding is None else network.embedding.weight
        self._layers = []
        for i, layer in enumerate(network.layers):
            of_inputs, recurrent, own, of_recurrent = (tensor.detach() for tensor in layer.parameters())
            inputs, bias = of_inputs.T.contiguous(), own if i else None
            if i == 0:
                inputs = table.to(inputs) @ inputs + own
            own_type = recurrent.dtype
            if precision != torch.float32:
                own_type, inputs = precision, inputs if i == 0 else inputs.to(precision)
            self._layers.append(_Layer(inputs, recurrent.T.contiguous().to(own_type), of_recurrent, bias))
        self._output = _output(network)

    def __call__(self, tokens: Tensor, state: State) -> tuple[Tensor, State]:
        """Tokens (B,) and the state before them to logits (B, vocabulary) and the state behind them."""
        behind = []
        x = tokens
        for i, layer in enumerate(self._layers):
            given = layer.inputs[x] if layer.bias is None else _affine(layer.bias, x, layer.inputs)
            after = self._cell(layer, given, state[0][i], tuple(part[i] for part in state))
            behind.append(after)
            x = after[0]
        weight, bias = self._output
        return torch.addmm(bias, x, weight), tuple(torch.stack(parts) for parts in zip(*behind, strict=True))


def _output(network: CharRnn) -> tuple[Tensor, Tensor]:
    """Weights, transposed, and bias from the last cells to logits."""
    weights, bias = network.output_layer()
    weight = weights.T.contiguous()
    if isinstance(network.narrow, nn.Linear):
        return network.narrow.weight.T @ weight, torch.addmv(bias, weight.T, network.narrow.bias)
    return weight, bias


def _lstm(layer: _Layer, given: Tensor, hidden: Tensor, state: State) -> State:
    gates = _affine(given + layer.bias_recurrent, hidden, layer.recurrent)
    units = hidden.shape[1]
    opened = gates.sigmoid()  # the third quarter is not a gate, its sigmoid is not used
    memory = opened[:, units : 2 * units] * state[1]
    memory.addcmul_(opened[:, :units], gates[:, 2 * units : 3 * units].tanh())
    return opened[:, 3 * units :] * memory.tanh(), memory


def _gru(layer: _Layer, given: Tensor, hidden: Tensor, _state: State) -> State:
    recalled = _affine(layer.bias_recurrent, hidden, layer.recurrent)
    reset, update, new = given.chunk(3, 1)
    reset_too, update_too, new_too = recalled.chunk(3, 1)
    candidate = (new + (reset + reset_too).sigmoid() * new_too).tanh()
    return (torch.lerp(candidate, hidden, (update + update_too).sigmoid()),)


def _rnn(layer: _Layer, given: Tensor, hidden: Tensor, _state: State) -> State:
    return (_affine(given + layer.bias_recurrent, hidden, layer.recurrent).tanh(),)


def _affine(added: Tensor, x: Tensor, weight: Tensor) -> Tensor:
    """`added` + x `weight`, with the product in the precision of the weight."""
    if weight.dtype == x.dtype:
        return torch.addmm(added, x, weight)
    return (x.to(weight.dtype) @ weight).to(x.dtype).add_(added)


_CELLS: dict[str, Cell] = {"lstm": _lstm, "gru": _gru, "rnn": _rnn}
