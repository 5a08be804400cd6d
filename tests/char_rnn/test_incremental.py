"""Incremental inference, against the same network on whole sequences."""

import pytest
import torch

from dlnotes_cli.char_rnn.incremental import IncrementalCharRnn
from dlnotes_cli.networks.char_rnn import CharRnn, CharRnnConfig

CELLS = pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])


@CELLS
@pytest.mark.parametrize("layers", [1, 3])
@pytest.mark.parametrize(("embed", "tied"), [(0, False), (4, True), (6, True)])
@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize("batch_size", [1, 3])
def test_token_by_token_gives_the_same_logits_and_states(
    cell: str, layers: int, embed: int, tied: bool, residual: bool, batch_size: int
) -> None:
    torch.manual_seed(0)
    config = CharRnnConfig(7, cell, layers, 6, embed, tied=tied, residual=residual)  # type: ignore[arg-type]
    network = CharRnn(config).double().eval()
    tokens = torch.randint(7, (batch_size, 4))
    expected_logits, expected_state = network(tokens, network.initial_state(batch_size))
    incremental = IncrementalCharRnn(network)
    state = network.initial_state(batch_size)
    for position in range(4):
        logits, state = incremental(tokens[:, position], state)
        torch.testing.assert_close(logits, expected_logits[:, position])
    torch.testing.assert_close(state, expected_state)


@CELLS
def test_products_in_bf16_give_nearly_the_same_logits(cell: str) -> None:
    torch.manual_seed(0)
    network = CharRnn(CharRnnConfig(20, cell, 2, 32, 8)).eval()  # type: ignore[arg-type]
    tokens = torch.randint(20, (6, 5))
    fp32, bf16 = IncrementalCharRnn(network), IncrementalCharRnn(network, torch.bfloat16)
    fp32_states = bf16_states = network.initial_state(6)
    for position in range(5):
        expected, fp32_states = fp32(tokens[:, position], fp32_states)
        logits, bf16_states = bf16(tokens[:, position], bf16_states)
        torch.testing.assert_close(logits, expected, atol=0.02, rtol=0)
    assert logits.dtype == torch.float32
