"""Character models, against the equations of their cells and published numbers."""

from typing import get_args

import torch
from builders import build_from_json
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from dlnotes_cli.networks.char_rnn import CharRnn, CharRnnConfig
from dlnotes_cli.networks.choices import CellType
from dlnotes_cli.networks.registry import count_parameters
from dlnotes_cli.shell.codec import to_json

CELLS: "st.SearchStrategy[CellType]" = st.sampled_from(get_args(CellType))


@st.composite
def networks(draw: st.DrawFn) -> CharRnn:
    embed = draw(st.integers(0, 5))
    config = CharRnnConfig(
        draw(st.integers(1, 7)), draw(CELLS), draw(st.integers(1, 3)), draw(st.integers(1, 6)), embed,
        tied=bool(embed) and draw(st.booleans()), residual=draw(st.booleans()),
    )  # fmt: skip
    torch.manual_seed(draw(st.integers(0, 100)))
    return CharRnn(config).double().eval()


def logits_from_equations(network: CharRnn, tokens: Tensor) -> list[Tensor]:
    """Logits after each token, from the equations in PyTorch's documentation of LSTM, GRU and RNN."""
    config = network.config
    h = [torch.zeros(config.hidden, dtype=torch.float64) for _ in range(config.layers)]
    c = [torch.zeros(config.hidden, dtype=torch.float64) for _ in range(config.layers)]
    logits = []
    for token in tokens:
        x = torch.eye(config.vocabulary, dtype=torch.float64)[token]
        if network.embedding is not None:
            x = network.embedding.weight[token]
        for layer_index, layer in enumerate(network.layers):
            w_ih, w_hh, b_ih, b_hh = layer.parameters()
            from_input = (w_ih @ x + b_ih).split(config.hidden)
            from_state = (w_hh @ h[layer_index] + b_hh).split(config.hidden)
            if config.cell == "rnn":
                h[layer_index] = torch.tanh(from_input[0] + from_state[0])
            elif config.cell == "gru":
                r, z = (torch.sigmoid(from_input[gate] + from_state[gate]) for gate in (0, 1))
                n = torch.tanh(from_input[2] + r * from_state[2])
                h[layer_index] = (1 - z) * n + z * h[layer_index]
            else:
                i, f, g, o = (a + b for a, b in zip(from_input, from_state, strict=True))
                c[layer_index] = torch.sigmoid(f) * c[layer_index] + torch.sigmoid(i) * torch.tanh(g)
                h[layer_index] = torch.sigmoid(o) * torch.tanh(c[layer_index])
            x = h[layer_index] + x if config.residual and layer_index > 0 else h[layer_index]
        x = network.narrow(x) if network.narrow is not None else x
        weight, bias = network.output_layer()
        logits.append(weight @ x + bias)
    return logits


@given(networks(), st.data())
def test_the_network_agrees_with_the_equations(network: CharRnn, data: st.DataObject) -> None:
    tokens = torch.tensor(data.draw(st.lists(st.integers(0, network.config.vocabulary - 1), min_size=1, max_size=5)))
    expected = torch.stack(logits_from_equations(network, tokens))
    logits, final_state = network(tokens[None], network.initial_state(1))
    torch.testing.assert_close(logits[0], expected, rtol=1e-7, atol=1e-9)
    half = len(tokens) // 2
    if half:
        first_half, state = network(tokens[None, :half], network.initial_state(1))
        second_half, state = network(tokens[None, half:], state)
        torch.testing.assert_close(torch.cat([first_half, second_half], 1), logits, rtol=1e-7, atol=1e-9)
        torch.testing.assert_close(state, final_state, rtol=1e-7, atol=1e-9)


def test_the_network_of_the_notebook_has_its_number_of_parameters() -> None:
    config = CharRnnConfig(83, "lstm", 2, 512, 0, 0.5)
    with torch.device("meta"):
        network = CharRnn(config)
    in_the_notebook = 3_366_483
    assert count_parameters(network) == in_the_notebook
    assert count_parameters(build_from_json("char_rnn", to_json(config))) == in_the_notebook
