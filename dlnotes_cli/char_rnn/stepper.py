"""A character model one character at a time, without what a whole sequence needs: for sampling."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from dlnotes_cli.models.char_rnn import CharRnn, State

States = tuple[State, ...]  # of each layer, (B, hidden) each
Cell = Callable[[Tensor, State], State]


class _Layer(NamedTuple):
    """What a layer adds up: a row of `given` and one product, of its input and its last output side by side."""

    given: Tensor  # (vocabulary, gates): inputs already multiplied, biases added; behind the first layer (gates,)
    weight: Tensor  # (inputs + hidden, gates); of the first layer (hidden, gates)


class Stepper:
    """Runs a network from one character to the next."""

    @torch.no_grad()
    def __init__(self, network: CharRnn, precision: torch.dtype | None = None) -> None:
        """Take the network's weights; `precision` is that of products, where it is not the network's own."""
        self._network = network
        self._cell = _CELLS[network.config.cell]
        join = _JOINS[network.config.cell]
        embedding = None if network.embedding is None else network.embedding.weight.detach()
        self._layers = []
        for i, layer in enumerate(network.layers):
            inputs, recurrent, bias = join(*(tensor.detach() for tensor in layer.parameters()))
            if i == 0:
                table = inputs if embedding is None else embedding @ inputs
                self._layers.append(_Layer(table + bias, recurrent.contiguous().to(precision)))
            else:
                self._layers.append(_Layer(bias, torch.cat([inputs, recurrent]).to(precision)))
        weight, bias = _output(network)
        self._output = _Layer(bias, weight.to(precision))

    def first_states(self, rows: int) -> States:
        """The states before the first character of `rows` streams."""
        return tuple(zip(*self._network.first_state(rows), strict=True))

    def __call__(self, tokens: Tensor, states: States) -> tuple[Tensor, States]:
        """Tokens (B,) and the states before them to logits (B, vocabulary) and the states behind them."""
        behind: list[State] = []
        for layer, state in zip(self._layers, states, strict=True):
            given = layer.given if behind else layer.given[tokens]
            x = torch.cat([behind[-1][0], state[0]], 1) if behind else state[0]
            behind.append(self._cell(_affine(given, x, layer.weight), state))
        return _affine(self._output.given, behind[-1][0], self._output.weight), tuple(behind)


def _join(inputs: Tensor, recurrent: Tensor, bias: Tensor, bias_recurrent: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Weights (inputs, gates) and (hidden, gates), and one bias, of cells that add up all they are given."""
    return inputs.T, recurrent.T, bias + bias_recurrent


def _join_lstm(
    inputs: Tensor, recurrent: Tensor, bias: Tensor, bias_recurrent: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """The same of an LSTM, its third quarter doubled: tanh x is 2 sigmoid 2x - 1, and one call does all four."""
    doubled = torch.ones_like(bias)
    doubled.view(4, -1)[2] = 2.0
    inputs, recurrent, bias = _join(inputs, recurrent, bias, bias_recurrent)
    return inputs * doubled, recurrent * doubled, bias * doubled


def _join_gru(inputs: Tensor, recurrent: Tensor, bias: Tensor, bias_recurrent: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The same of a GRU: its third gate stands twice, for what is given and what is remembered, added up later."""
    hidden = recurrent.shape[1]
    nothing = torch.zeros_like

    def parted(ours: Tensor, others: Tensor) -> tuple[Tensor, Tensor]:
        own, other = ours[2 * hidden :], others[2 * hidden :]
        return torch.cat([ours, nothing(own)]), torch.cat([others[: 2 * hidden], nothing(other), other])

    (weight, weight_recurrent), (added, added_recurrent) = parted(inputs, recurrent), parted(bias, bias_recurrent)
    return weight.T, weight_recurrent.T, added + added_recurrent


def _output(network: CharRnn) -> tuple[Tensor, Tensor]:
    """Weights, transposed, and bias from the last cells to logits."""
    weights, bias = (tensor.detach() for tensor in network.output_layer())
    weight = weights.T.contiguous()
    if network.narrow is not None:
        return network.narrow.weight.detach().T @ weight, torch.addmv(bias, weights, network.narrow.bias.detach())
    return weight, bias


def _lstm(gates: Tensor, state: State) -> State:
    taken, kept, new, shown = gates.sigmoid_().chunk(4, 1)
    memory = (kept * state[1]).addcmul_(taken, new, value=2.0).sub_(taken)
    return torch.addcmul(-shown, shown, (memory * 2.0).sigmoid_(), value=2.0), memory


def _gru(gates: Tensor, state: State) -> State:
    reset, update, new, recalled = gates.chunk(4, 1)
    candidate = torch.addcmul(new, reset.sigmoid(), recalled).tanh()
    return (torch.lerp(candidate, state[0], update.sigmoid()),)


def _rnn(gates: Tensor, _state: State) -> State:
    return (gates.tanh(),)


def _affine(added: Tensor, x: Tensor, weight: Tensor) -> Tensor:
    """`added` + x `weight`, with the product in the precision of the weight."""
    if weight.dtype == x.dtype:
        return torch.addmm(added, x, weight)
    return (x.to(weight.dtype) @ weight).to(x.dtype).add_(added)


_JOINS = {"lstm": _join_lstm, "gru": _join_gru, "rnn": _join}
_CELLS: dict[str, Cell] = {"lstm": _lstm, "gru": _gru, "rnn": _rnn}
