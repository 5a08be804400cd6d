"""`dlnotes trace`: the course's numbers; PyTorch's layers, losses, cells and optimizer as oracles; invalid input."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812  # PyTorch's own abbreviation
from builders import Command, write_model
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from dlnotes_cli.api import TextTrace, TraceConfig, TraceResult, trace, trace_text
from dlnotes_cli.data.preprocessing import TextPreprocessing
from dlnotes_cli.lessons.trace.network import add_course_weights, unrolled
from dlnotes_cli.networks.char_rnn import CharRnnConfig
from dlnotes_cli.training.model_file import load_classifier, load_language_model

NUMBERS = st.floats(-3, 3).map(lambda value: round(value, 3))


def rows(values: Any) -> str:
    return "; ".join(" ".join(map(repr, row)) for row in values)


def assert_close(have: Any, want: Any, rtol: float = 1e-7, atol: float = 0.0) -> None:
    np.testing.assert_allclose(have, want, rtol=rtol, atol=atol)


def traced(*layers: str, **options: Any) -> TraceResult:
    result = trace(TraceConfig(layers=layers, **options))
    assert isinstance(result, TraceResult)
    return result


# The course


def test_the_notebooks_network_of_seed_7() -> None:
    layers = traced("Linear(3, 2); Sigmoid(); Linear(2, 1); Sigmoid()", input="1x3", weights="seed:7").layers
    assert layers[-1].output.item() == pytest.approx(0.3171, abs=5e-5)
    torch.manual_seed(7)  # the notebook, written plainly
    features = torch.randn((1, 3))
    w1, w2, b1, b2 = torch.randn(3, 2), torch.randn(2, 1), torch.randn((1, 2)), torch.randn((1, 1))
    output = torch.sigmoid(torch.sigmoid(features @ w1 + b1) @ w2 + b2)
    assert layers[-1].output.item() == pytest.approx(output.item(), abs=1e-6)


# PyTorch

LAYERS = st.lists(
    st.sampled_from(["Linear(3, 3)", "Linear(3, 3, bias=False)", "Sigmoid()", "Tanh()", "ReLU(True)", "ELU()"]),
    min_size=1,
    max_size=5,
)


@given(LAYERS, st.lists(st.lists(NUMBERS, min_size=3, max_size=3), min_size=1, max_size=3), st.integers(0, 99))
@settings(max_examples=40)
def test_forward_and_backward_agree_with_torch(layers: list[str], x: Any, seed: int) -> None:
    result = traced(*layers, input=rows(x), weights=f"init:{seed}", loss="mean")
    torch.manual_seed(seed)
    network = nn.Sequential(*(eval(f"nn.{text}", {"nn": nn, "True": True}) for text in layers)).double()  # noqa: S307  # drawn above
    state = {one.name: one for layer in result.layers for one in layer.parameters}
    for name, own in network.named_parameters():
        assert_close(state[name].value, own.detach(), rtol=1e-6)  # PyTorch draws float32
        own.data.copy_(state[name].value)
    outputs = [torch.tensor(x, dtype=torch.float64, requires_grad=True)]
    for module in network:
        outputs.append(module(outputs[-1].clone()))
        outputs[-1].retain_grad()
    outputs[-1].mean().backward()
    for layer, output in zip(result.layers, outputs[1:], strict=True):
        assert_close(layer.output, output.detach(), rtol=1e-12)
        assert_close(layer.gradient, output.grad, rtol=1e-9, atol=1e-15)
    for name, own in network.named_parameters():
        assert_close(state[name].gradient, own.grad, rtol=1e-9, atol=1e-15)
    assert_close(result.input_gradient, outputs[0].grad, rtol=1e-9, atol=1e-15)


def test_local_derivatives() -> None:
    linear, sigmoid, tanh, relu = traced(
        "Linear(2, 3)", "Sigmoid()", "Tanh()", "ReLU()", input="1 -2", weights="seed:1"
    ).layers
    assert_close(linear.derivative, linear.parameters[0].value)
    assert_close(sigmoid.derivative, sigmoid.output * (1 - sigmoid.output))
    assert_close(tanh.derivative, 1 - tanh.output**2)
    assert_close(relu.derivative, (relu.input > 0).double())


@pytest.mark.parametrize("kind", ["RNN", "LSTM", "GRU"])
@given(st.integers(1, 3), st.integers(1, 4), st.integers(1, 4), st.integers(1, 5), st.booleans(), st.booleans())
@settings(max_examples=20)
def test_cells_agree_with_torch(
    kind: str, batch: int, inputs: int, hidden: int, steps: int, bias: bool, batch_first: bool
) -> None:
    layer = getattr(nn, kind)(inputs, hidden, bias=bias, batch_first=batch_first).double()
    x = torch.randn(batch, steps, inputs, dtype=torch.float64)
    h, c = torch.randn(2, 1, batch, hidden, dtype=torch.float64)
    state = (h, c) if kind == "LSTM" else h
    expected, after = layer(x if batch_first else x.transpose(0, 1), state)
    output, gates = unrolled(layer, x, h[0], c[0])
    assert_close(
        output.detach(), (expected if batch_first else expected.transpose(0, 1)).detach(), rtol=1e-12, atol=1e-14
    )
    if kind == "LSTM":
        assert_close(gates[-1]["c"].detach(), after[1][0].detach(), rtol=1e-12, atol=1e-14)
    relu = nn.RNN(inputs, hidden, nonlinearity="relu").double()
    assert_close(unrolled(relu, x, h[0], c[0])[0].detach(), relu(x.transpose(0, 1), h)[0].transpose(0, 1).detach())


@given(st.integers(1, 3), st.integers(1, 3), st.integers(0, 9))
@settings(max_examples=10)
def test_peephole_and_use_gate_agree_with_formulas(inputs: int, hidden: int, seed: int) -> None:
    torch.manual_seed(seed)
    cell = nn.LSTM(inputs, hidden)
    add_course_weights(cell, peephole=True, use_gate="notes")
    cell = cell.double()
    x, h, c = torch.randn(inputs).double(), torch.randn(hidden).double(), torch.randn(hidden).double()
    _, (gates,) = unrolled(cell, x[None, None], h[None], c[None])
    weights = {name: value.detach().numpy() for name, value in cell.named_parameters()}
    total = weights["weight_ih_l0"] @ x.numpy() + weights["bias_ih_l0"]
    total = (total + weights["weight_hh_l0"] @ h.numpy() + weights["bias_hh_l0"]).reshape(4, hidden)
    seen = (weights["weight_ch"] @ c.numpy()).reshape(3, hidden)
    i, f, o = (1 / (1 + np.exp(-(total[k] + seen[j]))) for j, k in enumerate((0, 1, 3)))
    u = np.tanh(weights["weight_u"] @ (f * c.numpy()) + weights["bias_u"])
    assert_close(gates["c"][0].detach(), f * c.numpy() + i * np.tanh(total[2]))
    assert_close(gates["h"][0].detach(), o * u)


@pytest.mark.parametrize(
    ("loss", "target", "function"),
    [
        ("mse", "1 0; 2 2", F.mse_loss),
        ("mae", "1 0; 2 2", F.l1_loss),
        ("huber", "1 0; 5 2", F.huber_loss),
        ("bce", "1 0; 0.5 1", F.binary_cross_entropy_with_logits),
        ("cross-entropy", "1 0", lambda x, t: F.cross_entropy(x, t[0].long())),
    ],
)
def test_losses_agree_with_torch(loss: Any, target: str, function: Any) -> None:
    result = traced("Linear(2, 2)", input="1 2; 3 4", target=target, loss=loss)
    wanted = torch.tensor([[float(cell) for cell in row.split()] for row in target.split(";")], dtype=torch.float64)
    assert result.value == pytest.approx(function(result.layers[-1].output, wanted).item(), rel=1e-12)
    if loss == "bce":
        probabilities = traced("Linear(2, 2)", "Sigmoid()", input="1 2; 3 4", target=target, loss=loss)
        assert probabilities.value == pytest.approx(result.value, rel=1e-12)


def test_updates_are_those_of_sgd() -> None:
    result = traced("Linear(3, 2)", "Tanh()", "Linear(2, 1)", input="1 2 3; 3 1 2", target="1; -1", lr=0.1, steps=5)
    network = nn.Sequential(nn.Linear(3, 2), nn.Tanh(), nn.Linear(2, 1)).double()
    network.load_state_dict({one.name: one.value for layer in result.layers for one in layer.parameters})
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    x, y = torch.tensor([[1.0, 2, 3], [3, 1, 2]]).double(), torch.tensor([[1.0], [-1]]).double()
    assert result.descent is not None
    for expected in result.descent.losses:
        weights = {name: value.clone() for name, value in network.state_dict().items()}
        optimizer.zero_grad()
        loss = F.mse_loss(network(x), y)
        assert loss.item() == pytest.approx(expected, rel=1e-12)
        loss.backward()
        optimizer.step()
    for one in result.descent.after:
        assert_close(one.value, weights[one.name], rtol=1e-12)


# Layers of every kind


@pytest.mark.parametrize(
    ("layers", "given"),
    [
        ("Conv2d(1, 2, 2); ReLU(); MaxPool2d(2, 1); Flatten(); Linear(2, 2)", "1 2 3; 4 0 6; 7 8 1"),
        ("Conv2d(2, 1, 2); Tanh()", "1 2; 3 4 | 5 6; 7 8"),
        ("Conv1d(2, 3, 2); AvgPool1d(2)", "1 2 3; 4 5 6"),
        ("BatchNorm1d(2); Linear(2, 1)", "1 2; 3 5"),
        ("Linear(4, 4); Dropout(0.5); Sigmoid()", "1 2 3 4"),
        ("LSTM(2, 3); Linear(3, 1)", "1 2; 3 4; 5 6"),
        ("Embedding(5, 2); RNN(2, 2)", "1 2 4"),
        ("Softmax(1)", "1 2 3"),
    ],
)
@pytest.mark.parametrize("mode", ["train", "eval"])
def test_gradients_agree_with_finite_differences(layers: str, given: str, mode: Any) -> None:
    result = traced(layers, input=given, mode=mode, check=True, weights="seed:3", loss="mean")
    assert result.checks
    for check in result.checks:
        assert check.largest_difference < 1e-7, check.name


def test_train_mode_drops_units_and_normalizes_by_the_batch() -> None:
    dropped = traced("Dropout(0.5)", input="1x64", mode="train").layers[0]
    assert set(np.unique((dropped.output / dropped.input).numpy())) == {0.0, 2.0}
    normed = traced("BatchNorm1d(1)", input="1; 2; 6", mode="train").layers[0]
    assert normed.output.mean().item() == pytest.approx(0, abs=1e-12)


# Weights


def test_weights_from_a_file_and_a_run(tmp_path: Path, table_run: Path) -> None:
    path = tmp_path / "weights.json"
    path.write_text('{"0.weight": [[1, 2]], "0.bias": [0.5]}')
    result = traced("Linear(2, 1)", input="3 4", weights=str(path))
    assert result.layers[0].output.item() == 11.5
    result = traced("Linear(4, 8)", "ReLU()", "Linear(8, 2)", input="1x4", weights=str(table_run))
    network = load_classifier(table_run).network.double()
    assert result.input is not None
    assert_close(result.layers[-1].output, network(result.input).detach(), rtol=1e-12)


# A trained character model


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
def test_gates_of_a_character_model(
    cell: Any, dlnotes: Command, refused: Callable[[str, str], None], tmp_path: Path
) -> None:
    text = 'He said "no" and left.\nThen "yes".'
    characters = "".join(sorted(set(text)))
    config = CharRnnConfig(len(characters), cell, layers=3, hidden=6, embed=3, residual=True)
    path = write_model(tmp_path / "model.safetensors", "char_rnn", config, TextPreprocessing("chars", characters), ())
    result = trace_text(TraceConfig(layers=(str(path),), text=text, units=100))
    assert isinstance(result, TextTrace)
    network: Any = load_language_model(path).network
    x = network.embedding(torch.tensor([[characters.index(c) for c in text]]))
    for number, layer in enumerate(network.layers, 1):
        outputs, _ = layer(x)
        for unit in result.units:
            if unit.layer == number:
                assert_close(unit.gates["h"], outputs[0, :, unit.unit].detach(), atol=1e-5)
        x = outputs if number == 1 else outputs + x  # as --residual says
    correlations = [abs(unit.correlation) for unit in result.units]
    assert correlations == sorted(correlations, reverse=True)
    best = result.units[0]
    features: dict[str, list[bool]] = {
        "quotes": [text[: i + 1].count('"') % 2 == 1 for i in range(len(text))],
        "line ends": [c == "\n" for c in text],
        "spaces": [c == " " for c in text],
    }
    expected = np.corrcoef(best.gates.get("c", best.gates["h"]), features[best.follows])[0, 1]
    assert best.correlation == pytest.approx(expected, abs=1e-9)
    plot = tmp_path / "gates.png"
    outcome = dlnotes("trace", path, "--text", text, "--plot", plot, "--units", 3)
    assert (outcome.code, len(outcome.out.splitlines())) == (0, 7), outcome
    assert plot.read_bytes().startswith(b"\x89PNG")
    refused(f"trace {path}", "--text: missing")
    refused(f"trace {path} --text n", "--text: 1 characters")
    refused(f"trace {path} --text \N{SNOWMAN}\N{SNOWMAN}", "remove them; the model cannot read them")


def test_an_infinite_loss_could_not_finish(dlnotes: Command) -> None:
    outcome = dlnotes(
        "trace", "Linear(1, 1); Linear(1, 1)", "--input", "1e30", "--target", 1, "--lr", 1e6, "--steps", 3
    )
    assert (outcome.code, outcome.err.count("\n")) == (3, 1), outcome
