"""The recurrent text classifier: padding, the course's network, pooling by hand."""

from typing import Any

import pytest
import torch
from builders import build_from_json
from torch import Tensor, nn

from dlnotes_cli.networks.registry import build_on_meta, count_parameters
from dlnotes_cli.networks.text_rnn import TextRnn, TextRnnConfig
from dlnotes_cli.shell.codec import to_json

COURSE = TextRnnConfig(
    74_073, 2, layers=2, hidden=256, embed=400, bidirectional=False, pooling="last", dropout=0.5, head_dropout=0.3,
    single_output=True, reads_padding=True,
)  # fmt: skip


def network(**changes: Any) -> TextRnn:
    torch.manual_seed(0)
    values: dict[str, Any] = {"vocabulary": 12, "classes": 3, "hidden": 5, "embed": 4, "layers": 2} | changes
    return TextRnn(TextRnnConfig(**values)).eval()


def test_the_courses_network_has_its_parameters() -> None:
    assert count_parameters(build_on_meta("text_rnn", COURSE)) == 30_829_585
    assert isinstance(build_from_json("text_rnn", to_json(COURSE)), TextRnn)


@pytest.mark.parametrize("cell", ["lstm", "gru"])
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("pooling", ["last", "mean", "max", "attention"])
def test_padding_never_changes_a_result(cell: str, pooling: str, *, bidirectional: bool) -> None:
    net = network(cell=cell, bidirectional=bidirectional, pooling=pooling)
    texts = [torch.randint(1, 12, (length,)) for length in (1, 4, 9)]
    padded = torch.zeros(4, 20, dtype=torch.int64)
    for row, text in enumerate(texts):
        padded[row, : len(text)] = text
    together = net(padded)
    for row, text in enumerate(texts):
        torch.testing.assert_close(together[row], net(text[None])[0], rtol=0, atol=1e-6)
    assert torch.isfinite(together).all()  # also of the text without a token


@pytest.mark.parametrize("cell", ["lstm", "gru"])
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("pooling", ["last", "mean", "max"])
def test_outputs_are_those_of_packed_sequences(cell: str, pooling: str, *, bidirectional: bool) -> None:
    net = network(cell=cell, bidirectional=bidirectional, pooling=pooling, layers=1)
    oracle_type = {"lstm": nn.LSTM, "gru": nn.GRU}[cell]
    oracle = oracle_type(4, 5, batch_first=True, bidirectional=bidirectional)
    state = {f"{name}": value for name, value in net.forward_layers[0].state_dict().items()}
    if bidirectional:
        state |= {f"{name}_reverse": value for name, value in net.backward_layers[0].state_dict().items()}
    oracle.load_state_dict(state)
    tokens = torch.tensor([[3, 4, 5, 0, 0], [1, 2, 3, 4, 5], [7, 0, 0, 0, 0]])
    lengths = torch.tensor([3, 5, 1])
    packed = nn.utils.rnn.pack_padded_sequence(net.embedding(tokens), lengths, batch_first=True, enforce_sorted=False)
    outputs, final = oracle(packed)
    steps = nn.utils.rnn.pad_packed_sequence(outputs, batch_first=True)[0]
    hidden: Tensor = final[0] if cell == "lstm" else final
    pooled = {
        "last": torch.cat(list(hidden), dim=1),
        "mean": torch.stack([steps[i, :n].mean(0) for i, n in enumerate(lengths.tolist())]),
        "max": torch.stack([steps[i, :n].amax(0) for i, n in enumerate(lengths.tolist())]),
    }[pooling]
    torch.testing.assert_close(net(tokens), net.output(pooled), rtol=0, atol=1e-6)


def test_a_single_output_is_the_log_odds_of_the_second_class() -> None:
    net = network(classes=2, single_output=True)
    logits = net(torch.tensor([[1, 2, 3]]))
    assert logits[0, 0] == 0
    target = torch.tensor([1])
    loss = nn.functional.cross_entropy(logits, target)
    bce = nn.functional.binary_cross_entropy(torch.sigmoid(logits[:, 1]), target.float())
    torch.testing.assert_close(loss, bce, rtol=1e-5, atol=1e-6)


def test_the_course_network_reads_the_padding_in_front() -> None:
    net = network(bidirectional=False, pooling="last", reads_padding=True, layers=1)
    tokens = torch.tensor([[0, 0, 3, 4]])
    outputs = net.forward_layers[0](net.embedding(tokens))[0]
    torch.testing.assert_close(net(tokens), net.output(outputs[:, -1]), rtol=0, atol=1e-6)
