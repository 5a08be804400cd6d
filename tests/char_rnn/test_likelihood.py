"""Scoring a text: against reading it strictly, character by character."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch

from dlnotes_cli.char_rnn import likelihood as language
from dlnotes_cli.char_rnn.likelihood import surprise
from dlnotes_cli.data.text import Text
from dlnotes_cli.device import choose_runtime
from dlnotes_cli.models.char_rnn import CharRnn, CharRnnConfig, build_char_rnn

MACHINE = choose_runtime("cpu", "fp32", 1, bf16_pays=False)


def strictly(network: CharRnn, tokens: "list[int]") -> list[float]:
    state, found = network.first_state(1), []
    with torch.no_grad():
        for token, following in pairwise(tokens):
            logits, state = network(torch.tensor([[token]]), state)
            found.append(-logits[0, 0].log_softmax(0)[following].item())
    return found


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
def test_streams_side_by_side_give_what_one_reader_gives(cell: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(language, "_WINDOW", 32)
    monkeypatch.setattr(language, "_STREAMS", 5)
    torch.manual_seed(1)
    network = build_char_rnn(CharRnnConfig(9, cell, 2, 12, 4))  # type: ignore[arg-type]
    tokens = torch.randint(9, (1500,)).tolist()
    bounds = (0, 700, 701, 703, 1500)
    text = Text(np.array(tokens, np.uint8), bounds, tuple("abcd"))
    found = surprise(network, text, MACHINE, first=len(tokens))
    expected = [
        value for start, stop in pairwise(bounds) for value in [math.nan, *strictly(network, tokens[start:stop])]
    ]
    np.testing.assert_allclose(found.first, expected, atol=2e-5)
    assert found.predicted.tolist() == [699, 0, 1, 796]
    summary = found.measures()
    assert summary["loss"] == pytest.approx(np.nanmean(expected), abs=1e-5)
    assert summary["bits_per_char"] == pytest.approx(np.nanmean(expected) / np.log(2), abs=1e-5)
    assert summary["perplexity"] == pytest.approx(np.exp(np.nanmean(expected)), abs=1e-4)
    assert found.measures(3)["loss"] == pytest.approx(np.nanmean(expected[703:]), abs=1e-5)
    assert math.isnan(found.measures(1)["loss"])
    assert np.array_equal(surprise(network, text, MACHINE, first=10).first, found.first[:10], equal_nan=True)


@pytest.mark.parametrize("length", [2, 129, 150, 1000, 4000])
def test_a_short_text_is_read_with_carried_state_too(length: int) -> None:
    torch.manual_seed(2)
    network = build_char_rnn(CharRnnConfig(5, "lstm", 1, 8, 3))
    tokens = torch.randint(5, (length,)).tolist()
    text = Text(np.array(tokens, np.uint8), (0, length), ("a",))
    found = surprise(network, text, MACHINE, first=length)
    np.testing.assert_allclose(found.first[1:], strictly(network, tokens), atol=2e-5)
