"""The likelihood of a text, against a network that reads it character by character."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch

from dlnotes_cli.char_rnn import score as module
from dlnotes_cli.char_rnn.score import Score, surprisals_of
from dlnotes_cli.data.texts.characters import Text
from dlnotes_cli.device import choose_runtime
from dlnotes_cli.networks.char_rnn import CharRnn, CharRnnConfig

RUNTIME = choose_runtime("cpu", "fp32", 1, bf16_pays=False)


def one_by_one(network: CharRnn, tokens: list[int]) -> list[float]:
    """The surprisal of each token in nats, 0 for the first."""
    state, nats = network.initial_state(1), [0.0]
    with torch.no_grad():
        for token, target in pairwise(tokens):
            logits, state = network(torch.tensor([[token]]), state)
            nats.append(-logits[0, 0].log_softmax(0)[target].item())
    return nats[: len(tokens)]


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
@pytest.mark.parametrize("bounds", [(0, 700, 701, 703, 1500), (0, 2), (0, 33), (0, 150)])
def test_parallel_rows_give_the_same_surprisals_as_one_row(
    cell: str, bounds: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_SEQ_LEN", 32)
    monkeypatch.setattr(module, "_BATCH_SIZE", 5)
    torch.manual_seed(1)
    network = CharRnn(CharRnnConfig(9, cell, 2, 12, 4))  # type: ignore[arg-type]
    tokens = torch.randint(9, (bounds[-1],)).tolist()
    text = Text(np.array(tokens, np.uint8), bounds, tuple("abcd"[: len(bounds) - 1]))
    expected = [nats for start, stop in pairwise(bounds) for nats in one_by_one(network, tokens[start:stop])]
    np.testing.assert_allclose(surprisals_of(network, text, RUNTIME).nats, expected, atol=2e-5)


def test_metrics_are_means_over_the_predicted_characters() -> None:
    score = Score.of(np.array([0, 1, 2], np.float32), 2)
    assert (score.loss, score.bits_per_char, score.perplexity) == pytest.approx((1.5, 1.5 / math.log(2), math.exp(1.5)))
    assert math.isnan(Score.of(np.zeros(1, np.float32), 0).loss)
    assert Score.of(np.full(2, 1e4, np.float32), 1).perplexity < math.inf
