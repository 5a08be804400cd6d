"""Character models against gates written by hand, and one step at a time against whole sequences."""

import math
from typing import get_args

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from dlnotes_cli.char_rnn.stepper import Stepper
from dlnotes_cli.models.char_rnn import CharRnn, CharRnnConfig, build_char_rnn
from dlnotes_cli.models.choices import Cell
from dlnotes_cli.models.registry import build_from_json, config_to_json, count_parameters

CELLS: "st.SearchStrategy[Cell]" = st.sampled_from(get_args(Cell))


@st.composite
def networks(draw: st.DrawFn) -> CharRnn:
    embed = draw(st.integers(0, 5))
    config = CharRnnConfig(
        draw(st.integers(1, 7)), draw(CELLS), draw(st.integers(1, 3)), draw(st.integers(1, 6)), embed,
        tied=bool(embed) and draw(st.booleans()),
    )  # fmt: skip
    torch.manual_seed(draw(st.integers(0, 100)))
    return build_char_rnn(config).double().eval()


def by_hand(network: CharRnn, tokens: Tensor) -> list[Tensor]:
    """Logits after each token, cell by cell, from the equations."""
    config = network.config
    hidden = [torch.zeros(config.hidden, dtype=torch.float64) for _ in range(config.layers)]
    memory = [torch.zeros(config.hidden, dtype=torch.float64) for _ in range(config.layers)]
    found = []
    for token in tokens:
        x = torch.eye(config.vocabulary, dtype=torch.float64)[token]
        if network.embedding is not None:
            x = network.embedding.weight[token]
        for i, layer in enumerate(network.layers):
            w, u, b, c = layer.parameters()
            parts = zip((w @ x + b).split(config.hidden), (u @ hidden[i] + c).split(config.hidden), strict=True)
            given_, recalled = map(list, zip(*parts, strict=True))
            if config.cell == "rnn":
                hidden[i] = torch.tanh(given_[0] + recalled[0])
            elif config.cell == "gru":
                r, z = (torch.sigmoid(given_[k] + recalled[k]) for k in (0, 1))
                n = torch.tanh(given_[2] + r * recalled[2])
                hidden[i] = (1 - z) * n + z * hidden[i]
            else:
                ignore, forget, new, use = (a + b for a, b in zip(given_, recalled, strict=True))
                memory[i] = torch.sigmoid(forget) * memory[i] + torch.sigmoid(ignore) * torch.tanh(new)
                hidden[i] = torch.sigmoid(use) * torch.tanh(memory[i])  # of the new memory, without weights of its own
            x = hidden[i]
        x = network.narrow(x) if network.narrow is not None else x
        weight, bias = network.output_layer()
        found.append(weight @ x + bias)
    return found


@given(networks(), st.data())
def test_the_network_agrees_with_gates_written_by_hand(network: CharRnn, data: st.DataObject) -> None:
    tokens = torch.tensor(data.draw(st.lists(st.integers(0, network.config.vocabulary - 1), min_size=1, max_size=5)))
    expected = torch.stack(by_hand(network, tokens))
    logits, state = network(tokens[None], network.first_state(1))
    torch.testing.assert_close(logits[0], expected)
    half = len(tokens) // 2
    if half:
        first, between = network(tokens[None, :half], network.first_state(1))
        second, behind = network(tokens[None, half:], between)
        torch.testing.assert_close(torch.cat([first, second], 1), logits)
        torch.testing.assert_close(behind, state)


@given(networks(), st.data())
def test_one_step_at_a_time_is_the_same(network: CharRnn, data: st.DataObject) -> None:
    rows = data.draw(st.integers(1, 3))
    tokens = torch.tensor(
        data.draw(
            st.lists(
                st.lists(st.integers(0, network.config.vocabulary - 1), min_size=4, max_size=4),
                min_size=rows,
                max_size=rows,
            )
        )
    )
    logits, expected = network(tokens, network.first_state(rows))
    step = Stepper(network)
    states = step.first_states(rows)
    for place in range(4):
        found, states = step(tokens[:, place], states)
        torch.testing.assert_close(found, logits[:, place])
    for layer, state in enumerate(states):
        torch.testing.assert_close(state, tuple(part[layer] for part in expected))


def test_the_notes_scalar_example_in_pytorch_s_convention() -> None:
    """All weights 1, no bias, memories .5 and 1, event 1: the notes' use gate gives another number, .5508387975."""
    layer = torch.nn.LSTM(1, 1).double()
    for name, parameter in layer.named_parameters():
        torch.nn.init.constant_(parameter, 0.0 if "bias" in name else 1.0)
    half, one = torch.full((1, 1, 1), 0.5, dtype=torch.float64), torch.ones(1, 1, 1, dtype=torch.float64)
    short, (_, long) = layer(one, (half, one))
    assert long.item() == pytest.approx(1.5576005855)
    assert short.item() == pytest.approx(0.7481058951)


def test_the_notebook_s_network_has_its_parameters() -> None:
    config = CharRnnConfig(83, "lstm", 2, 512, 0, 0.5)
    with torch.device("meta"):
        network = build_char_rnn(config)
    published = 3_366_483
    assert count_parameters(network) == published
    assert count_parameters(build_from_json("char_rnn", config_to_json(config))) == published


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
@pytest.mark.parametrize("tied", [False, True])
def test_the_first_loss_is_that_of_a_guess(cell: str, tied: bool) -> None:
    torch.manual_seed(0)
    network = build_char_rnn(CharRnnConfig(65, cell, 2, 128, 64, tied=tied))  # type: ignore[arg-type]
    tokens = torch.randint(65, (8, 33))
    logits, _ = network(tokens[:, :-1], network.first_state(8))
    loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten())
    assert loss.item() == pytest.approx(math.log(65), rel=0.1)


@pytest.mark.parametrize(
    "wrong",
    [{"vocabulary": 0}, {"layers": 0}, {"hidden": 0}, {"embed": -1}, {"dropout": 1.0}, {"embed": 0, "tied": True}],
)
def test_a_description_that_no_network_has(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  # the text is for whoever reads the file's error
        CharRnnConfig(**{"vocabulary": 5} | wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
def test_products_in_bf16_are_near(cell: str) -> None:
    torch.manual_seed(0)
    network = build_char_rnn(CharRnnConfig(20, cell, 2, 32, 8)).eval()  # type: ignore[arg-type]
    tokens = torch.randint(20, (6, 5))
    plain, rough = Stepper(network), Stepper(network, torch.bfloat16)
    one, other = plain.first_states(6), rough.first_states(6)
    for place in range(5):
        expected, one = plain(tokens[:, place], one)
        found, other = rough(tokens[:, place], other)
        torch.testing.assert_close(found, expected, atol=0.02, rtol=0)
    assert found.dtype == torch.float32
