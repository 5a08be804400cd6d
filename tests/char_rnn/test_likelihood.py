"""The likelihood of a text, against a network that reads it character by character."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch

from dlnotes_cli.char_rnn import likelihood as module
from dlnotes_cli.char_rnn.likelihood import negative_log_likelihood
from dlnotes_cli.data.texts.characters import Text
from dlnotes_cli.device import choose_runtime
from dlnotes_cli.networks.char_rnn import CharRnn, CharRnnConfig

RUNTIME = choose_runtime("cpu", "fp32", 1, bf16_pays=False)


def surprisals_one_by_one(network: CharRnn, tokens: "list[int]") -> list[float]:
    """The surprisal of each token after the first, in nats."""
    state, surprisals = network.initial_state(1), []
    with torch.no_grad():
        for token, target in pairwise(tokens):
            logits, state = network(torch.tensor([[token]]), state)
            surprisals.append(-logits[0, 0].log_softmax(0)[target].item())
    return surprisals


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
def test_parallel_rows_give_the_same_surprisals_as_one_row(cell: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_SEQ_LEN", 32)
    monkeypatch.setattr(module, "_BATCH_SIZE", 5)
    torch.manual_seed(1)
    network = CharRnn(CharRnnConfig(9, cell, 2, 12, 4))  # type: ignore[arg-type]
    tokens = torch.randint(9, (1500,)).tolist()
    bounds = (0, 700, 701, 703, 1500)
    text = Text(np.array(tokens, np.uint8), bounds, tuple("abcd"))
    result = negative_log_likelihood(network, text, RUNTIME, surprisals=len(tokens))
    expected = [
        value
        for start, stop in pairwise(bounds)
        for value in [math.nan, *surprisals_one_by_one(network, tokens[start:stop])]
    ]
    np.testing.assert_allclose(result.surprisals, expected, atol=2e-5)
    assert result.predicted.tolist() == [699, 0, 1, 796]
    total = result.metrics()
    assert total.loss == pytest.approx(np.nanmean(expected), abs=1e-5)
    assert total.bits_per_char == pytest.approx(np.nanmean(expected) / np.log(2), abs=1e-5)
    assert total.perplexity == pytest.approx(np.exp(np.nanmean(expected)), abs=1e-4)
    assert result.metrics(3).loss == pytest.approx(np.nanmean(expected[703:]), abs=1e-5)
    assert math.isnan(result.metrics(1).loss)
    first_ten = negative_log_likelihood(network, text, RUNTIME, surprisals=10).surprisals
    assert np.array_equal(first_ten, result.surprisals[:10], equal_nan=True)


@pytest.mark.parametrize("length", [2, 129, 150, 1000, 4000])
def test_texts_of_any_length_are_read_with_carried_state(length: int) -> None:
    torch.manual_seed(2)
    network = CharRnn(CharRnnConfig(5, "lstm", 1, 8, 3))
    tokens = torch.randint(5, (length,)).tolist()
    text = Text(np.array(tokens, np.uint8), (0, length), ("a",))
    result = negative_log_likelihood(network, text, RUNTIME, surprisals=length)
    np.testing.assert_allclose(result.surprisals[1:], surprisals_one_by_one(network, tokens), atol=2e-5)
