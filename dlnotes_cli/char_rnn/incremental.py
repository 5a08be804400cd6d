"""Incremental inference for sampling: a character model that reads one token at a time and keeps its state."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from dlnotes_cli.char_rnn.half_weight import HalfWeight
from dlnotes_cli.networks.char_rnn import CharRnn, RecurrentState

CellFunction = Callable[
    [Tensor, RecurrentState], RecurrentState
]  # gates before their activations (B, gates), state -> new state
_GATE_BLOCKS = 4  # blocks of `hidden` columns: i, f, g, o of an LSTM; r, z and the two halves of n of a GRU


class _Linear(NamedTuple):
    """A product and a bias, with the weight stored as (inputs, outputs)."""

    weight: Tensor | HalfWeight
    bias: Tensor


class _CellWeights(NamedTuple):
    """The weights of one recurrent layer, transposed, with its two biases added."""

    inputs: Tensor  # (inputs, gates)
    recurrent: Tensor  # (hidden, gates)
    bias: Tensor  # (gates,)


class IncrementalCharRnn:
    """Runs a network token by token, faster than `CharRnn` does for sequences of length 1.

    The first layer looks its input projection up by token; each later layer multiplies [x, h] by one matrix.
    """

    @torch.no_grad()
    def __init__(self, network: CharRnn, precision: torch.dtype | None = None) -> None:
        """Prepare the weights of `network`; products run in `precision`, if it is not the network's own."""
        self._network = network
        self._cell = _CELLS[network.config.cell]
        arrange = _ARRANGEMENTS[network.config.cell]
        first, *later = (arrange(*(tensor.detach() for tensor in layer.parameters())) for layer in network.layers)
        inputs = first.inputs if network.embedding is None else network.embedding.weight.detach() @ first.inputs
        self._input_projection = inputs + first.bias  # (vocabulary, gates)
        self._recurrent = _in_precision(first.recurrent.contiguous(), precision)
        self._later_layers = [
            _Linear(_in_precision(torch.cat([weights.inputs, weights.recurrent]), precision), weights.bias)
            for weights in later
        ]
        weight, bias = _output_layer(network)
        self._output = _Linear(_in_precision(weight, precision), bias)

    def __call__(self, tokens: Tensor, state: RecurrentState) -> tuple[Tensor, RecurrentState]:
        """Logits (B, vocabulary) for tokens (B,) and the state (layers, B, hidden) before them, and that after them."""
        first, *later = zip(*(tensor.unbind() for tensor in state), strict=True)
        gates = _affine(first[0], self._recurrent, self._input_projection.index_select(0, tokens))
        after = [self._cell(gates, first)]
        x = after[0][0]
        for number, (layer, before) in enumerate(zip(self._later_layers, later, strict=True), 1):
            x_and_h = torch.cat([x, before[0]], 1)
            after.append(self._cell(_affine(x_and_h, layer.weight, layer.bias), before))
            x = self._network.next_input(number, x, after[-1][0])
        return _affine(x, self._output.weight, self._output.bias), tuple(map(torch.stack, zip(*after, strict=True)))


def _arrange_rnn(w_ih: Tensor, w_hh: Tensor, b_ih: Tensor, b_hh: Tensor) -> _CellWeights:
    """The weights of a plain RNN layer, from PyTorch's parameters."""
    return _CellWeights(w_ih.T, w_hh.T, b_ih + b_hh)


def _arrange_lstm(w_ih: Tensor, w_hh: Tensor, b_ih: Tensor, b_hh: Tensor) -> _CellWeights:
    """The weights of an LSTM layer, with those of g doubled.

    tanh(g) = 2 sigmoid(2 g) - 1, so that one call of sigmoid activates all four gates.
    """
    doubled = torch.ones_like(b_ih)
    doubled.view(_GATE_BLOCKS, -1)[2] = 2.0
    weights = _arrange_rnn(w_ih, w_hh, b_ih, b_hh)
    return _CellWeights(weights.inputs * doubled, weights.recurrent * doubled, weights.bias * doubled)


def _arrange_gru(w_ih: Tensor, w_hh: Tensor, b_ih: Tensor, b_hh: Tensor) -> _CellWeights:
    """The weights of a GRU layer in four blocks: r, z, and the input and recurrent halves of n.

    n = tanh(input half + r * recurrent half), so that the two halves must not be added by the product.
    """
    hidden = w_hh.shape[1]

    def in_blocks(of_input: Tensor, of_state: Tensor) -> tuple[Tensor, Tensor]:
        n_input, n_state = of_input[2 * hidden :], of_state[2 * hidden :]
        with_n_input = torch.cat([of_input, torch.zeros_like(n_input)])
        with_n_state = torch.cat([of_state[: 2 * hidden], torch.zeros_like(n_state), n_state])
        return with_n_input, with_n_state

    (w_input, w_state), (b_input, b_state) = in_blocks(w_ih, w_hh), in_blocks(b_ih, b_hh)
    return _CellWeights(w_input.T, w_state.T, b_input + b_state)


def _output_layer(network: CharRnn) -> tuple[Tensor, Tensor]:
    """Weight (hidden, vocabulary) and bias of the output layer, merged with `narrow` where there is one."""
    weight, bias = (tensor.detach() for tensor in network.output_layer())
    transposed = weight.T.contiguous()
    if network.narrow is None:
        return transposed, bias
    projection, projection_bias = network.narrow.weight.detach(), network.narrow.bias.detach()
    return projection.T @ transposed, torch.addmv(bias, weight, projection_bias)


def _lstm_cell(gates: Tensor, state: RecurrentState) -> RecurrentState:
    """H and c of an LSTM: c' = f c + i tanh(g), h' = o tanh(c')."""
    _, c = state
    i, f, g, o = gates.sigmoid_().chunk(_GATE_BLOCKS, 1)  # g is sigmoid(2 g), see _arrange_lstm
    c = (f * c).addcmul_(i, g, value=2.0).sub_(i)
    return c.tanh().mul_(o), c


def _gru_cell(gates: Tensor, state: RecurrentState) -> RecurrentState:
    """H of a GRU: n = tanh(n_input + r n_state), h' = (1 - z) n + z h."""
    (h,) = state
    r, z, n_input, n_state = gates.chunk(_GATE_BLOCKS, 1)
    n = torch.addcmul(n_input, r.sigmoid(), n_state).tanh()
    return (torch.lerp(n, h, z.sigmoid()),)


def _rnn_cell(gates: Tensor, _state: RecurrentState) -> RecurrentState:
    return (gates.tanh(),)


def _in_precision(weight: Tensor, precision: torch.dtype | None) -> Tensor | HalfWeight:
    """A weight (inputs, outputs) for products in `precision`, if it is not the weight's own."""
    return weight if precision in {None, weight.dtype} else HalfWeight(weight, precision)


def _affine(x: Tensor, weight: Tensor | HalfWeight, bias: Tensor) -> Tensor:
    """X `weight` + `bias`, with the product in the precision of the weight."""
    return weight.product(x).add_(bias) if isinstance(weight, HalfWeight) else torch.addmm(bias, x, weight)


_ARRANGEMENTS = {"lstm": _arrange_lstm, "gru": _arrange_gru, "rnn": _arrange_rnn}
_CELLS: dict[str, CellFunction] = {"lstm": _lstm_cell, "gru": _gru_cell, "rnn": _rnn_cell}
