"""`dlnotes perceptron`: the course's numbers, its notebook as oracle, gates, drawings, invalid input."""

import io
import json
import re
import shlex
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from builders import Command
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageSequence

from dlnotes_cli.api import PerceptronConfig, PerceptronResult, perceptron

GATES: dict[str, Any] = {
    "and": lambda a, b: a and b,
    "or": lambda a, b: a or b,
    "nand": lambda a, b: not (a and b),
    "nor": lambda a, b: not (a or b),
    "not": lambda a, b: not b,  # noqa: ARG005  # which ignores the first input
}


def make_points(path: Path, count: int = 40, seed: int = 0, *, header: bool = False) -> Path:
    """Two overlapping clouds of points with a label, as the course's data.csv."""
    generator = np.random.default_rng(seed)
    labels = np.arange(count) % 2
    points = generator.normal(0.3 + 0.4 * (1 - labels[:, None]), 0.15, (count, 2))
    rows = [f"{x:.5f},{y:.5f},{label}" for (x, y), label in zip(points, labels, strict=True)]
    path.write_text("\n".join([*(["x1,x2,label"] if header else []), *rows]) + "\n")
    return path


def trained(config: PerceptronConfig) -> PerceptronResult:
    result = perceptron(config)
    assert isinstance(result, PerceptronResult)
    return result


@pytest.mark.parametrize("lr", [0.1, 0.3, 0.7, 1])
@pytest.mark.parametrize("gate", GATES)
def test_a_gate_has_the_epochs_of_exact_arithmetic_at_any_learning_rate(gate: str, lr: float) -> None:
    """From zeros, the learning rate scales every line: with 1, all numbers are integers, and no tie is rounded."""
    w1 = w2 = b = epochs = 0
    corners = [(x1, x2, int(GATES[gate](x1, x2))) for x1 in (0, 1) for x2 in (0, 1)]
    while any((w1 * x1 + w2 * x2 + b >= 0) != y for x1, x2, y in corners):
        for x1, x2, y in corners:
            error = y - (w1 * x1 + w2 * x2 + b >= 0)
            w1, w2, b = w1 + error * x1, w2 + error * x2, b + error
        epochs += 1
    result = trained(PerceptronConfig(gate=gate, lr=lr))  # type: ignore[arg-type]
    assert (result.separated, result.epochs[-1].epoch) == (True, epochs)
    assert (*result.line.weights, result.line.bias) == pytest.approx((lr * w1, lr * w2, lr * b))


def notebook(x: np.ndarray, y: np.ndarray, seed: int, lr: float, epochs: int) -> tuple[list[float], np.ndarray, float]:
    """The gradient descent of the course's notebook, written plainly: log-loss after each epoch, weights and bias."""
    weights = np.random.RandomState(seed).normal(scale=1 / x.shape[1] ** 0.5, size=x.shape[1])
    bias, losses = 0.0, []
    for _ in range(epochs):
        for point, label in zip(x, y, strict=True):
            error = label - 1 / (1 + np.exp(-(np.dot(point, weights) + bias)))
            weights = weights + lr * error * point
            bias += lr * error
        p = 1 / (1 + np.exp(-(np.dot(x, weights) + bias)))
        losses.append(float(np.mean(-y * np.log(p) - (1 - y) * np.log(1 - p))))
    return losses, weights, bias


@pytest.mark.parametrize("seed", [0, 44])
def test_the_sigmoid_rule_is_the_notebook_to_14_digits(seed: int, tmp_path: Path) -> None:
    path = make_points(tmp_path / "data.csv", seed=seed)
    cells = np.loadtxt(path, delimiter=",")
    losses, weights, bias = notebook(cells[:, :2], cells[:, 2], seed, 0.01, 50)
    result = trained(PerceptronConfig(csv=str(path), rule="sigmoid", seed=seed, epochs=50))
    np.testing.assert_allclose([epoch.loss for epoch in result.epochs[1:]], losses, rtol=1e-14)
    np.testing.assert_allclose([*result.line.weights, result.line.bias], [*weights, bias], rtol=1e-12)


@given(st.lists(st.tuples(st.integers(-5, 5), st.integers(-5, 5)), min_size=2, max_size=12, unique=True), st.data())
def test_separable_points_are_separated(points: list[tuple[int, int]], data: st.DataObject) -> None:
    w1, w2, b = (data.draw(st.integers(-3, 3)) for _ in range(3))
    scores = [w1 * x + w2 * y + b for x, y in points]
    labels = [int(score > 0) for score in scores]
    if len(set(labels)) < 2:
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "points.csv"
        path.write_text("x,y,label\n" + "\n".join(f"{x},{y},{t}" for (x, y), t in zip(points, labels, strict=True)))
        result = trained(PerceptronConfig(csv=str(path), epochs=20_000))
    assert result.epochs[-1].errors == 0
    assert result.notes == ()


def test_standard_input_and_a_header(tmp_path: Path, dlnotes: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = make_points(tmp_path / "plain.csv"), make_points(tmp_path / "named.csv", header=True)
    plain, named = (json.loads(dlnotes("perceptron", path, "--epochs", 2, "--json").out) for path in paths)
    assert (plain["columns"], named["columns"]) == (["1", "2"], ["x1", "x2"])
    assert plain["epochs"] == named["epochs"]
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(paths[0].read_bytes())))
    assert json.loads(dlnotes("perceptron", "-", "--epochs", 2, "--json").out) == plain


def test_the_best_line_is_kept_and_the_table_is_short(tmp_path: Path, dlnotes: Command) -> None:
    path = make_points(tmp_path / "data.csv", 200, seed=1)
    outcome = dlnotes("perceptron", path)
    assert "the step rule never ends" in outcome.err
    rows = outcome.out.splitlines()
    assert len(rows) < 20
    document = json.loads(dlnotes("perceptron", path, "--json").out)
    errors = [epoch["errors"] for epoch in document["epochs"]]
    assert (len(errors), errors.index(min(errors))) == (101, document["best_epoch"])
    best = document["epochs"][document["best_epoch"]]  # kept, as the pocket algorithm does, and marked
    assert document["errors"] == best["errors"] < errors[-1]
    assert (document["weights"], document["bias"]) == (best["weights"], best["bias"])
    assert [row.split()[0] for row in rows if row.endswith("best")] == [str(best["epoch"])]
    points = np.loadtxt(path, delimiter=",")
    distances = (points[:, :2] @ best["weights"] + best["bias"]) / np.linalg.norm(best["weights"])
    assert document["margin"] == pytest.approx((distances * (2 * points[:, 2] - 1)).min())


def test_frames_are_slow_enough_to_follow(tmp_path: Path, dlnotes: Command) -> None:
    path, line = tmp_path / "a.gif", ("--line", "3,4,-10", "--point", "4,5", "--label", 0, "--lr", 0.1)
    assert dlnotes("perceptron", *line, "--animate", path).code == 0
    with Image.open(path) as image:
        durations = [frame.info["duration"] for frame in ImageSequence.Iterator(image)]
    assert durations == [pytest.approx(5000 / 7, abs=10)] * 6 + [2000]


def test_xor_is_learned_as_the_error_says(tmp_path: Path, dlnotes: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    error = dlnotes("perceptron", "--gate", "xor").err
    assert error.count("\n") == 1
    assert "w1 + w2 + 2b >= 0" in error
    command = re.search(r"dlnotes (train-mlp .*)$", error.strip())
    assert command is not None
    monkeypatch.chdir(tmp_path)
    Path("xor.csv").write_text("x1,x2,y\n" + "0,0,0\n0,1,1\n1,0,1\n1,1,0\n" * 25)
    outcome = dlnotes(*shlex.split(command[1]), "--epochs", 30, "--out", "run", "--json", "-q")
    assert json.loads(outcome.out)["test"]["accuracy"] == 1.0


def test_a_line_that_never_gets_it_right_could_not_finish(dlnotes: Command) -> None:
    never = dlnotes("perceptron", "--line", "1e6,0", "--point", "1", "--label", 0, "--lr", "1e-6")
    assert (never.code, never.err.count("\n")) == (3, 1)
