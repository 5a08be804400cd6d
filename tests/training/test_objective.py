"""The objective of training against its formula in float64, in parts too, and the file of --class-weights."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from builders import Command, small_training
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.utils.class_weight import compute_class_weight
from torch import nn

from dlnotes_cli.classify.options import TrainMlpConfig
from dlnotes_cli.data.batches import TrainingBatch
from dlnotes_cli.data.dataset import SplitRule
from dlnotes_cli.data.load import load_training_data
from dlnotes_cli.shell.errors import InputError
from dlnotes_cli.training.objective import (
    BatchPart,
    Objective,
    balanced_weights,
    class_weights_of,
    penalized_weights,
    weights_in_order,
)  # fmt: skip

pytestmark = pytest.mark.usefixtures("blank_figures")
Array = NDArray[np.float64]


def log_softmax(logits: Array) -> Array:
    shifted = logits - logits.max(axis=1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True)))


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("l1", [0.0, 0.01])
def test_objective_and_loss_agree_with_their_formulas(smoothing: float, l1: float, *, weighted: bool) -> None:
    generator = np.random.default_rng(1)
    logits, labels = generator.normal(size=(9, 4)), generator.integers(0, 4, 9)
    weights = np.array([0.5, 1.0, 2.0, 4.0]) if weighted else np.ones(4)
    network = nn.Linear(2, 2)
    objective = Objective(
        network, label_smoothing=smoothing, l1=l1,
        class_weights=torch.tensor(weights, dtype=torch.float32) if weighted else None,
    )  # fmt: skip
    log_probabilities = log_softmax(logits)
    penalty = l1 * network.weight.abs().sum().item()

    def expected(labels: NDArray[np.int64]) -> tuple[float, float]:
        targets = (1 - smoothing) * np.eye(4)[labels] + smoothing / 4
        loss = -log_probabilities[np.arange(9), labels].mean()
        return -(targets * weights * log_probabilities).sum() / weights[labels].sum(), loss

    x, y = torch.tensor(logits, dtype=torch.float32), torch.tensor(labels)
    both = zip(expected(labels), expected(np.roll(labels, 1)), strict=True)
    mixed = tuple(0.7 * a + 0.3 * b for a, b in both)
    batches = ((TrainingBatch(x, y), expected(labels)), (TrainingBatch(x, y, y.roll(1), 0.7), mixed))
    for batch, (value, loss) in batches:
        found = objective(x, BatchPart(batch, batch))
        assert found.objective.item() == pytest.approx(value + penalty, rel=1e-5)
        assert found.loss_sum.item() == pytest.approx(9 * loss, rel=1e-5)
        assert found.correct.item() == (logits.argmax(1) == labels).sum()


def test_balanced_weights_agree_with_scikit_learn() -> None:
    labels = np.array([0, 0, 0, 0, 0, 1, 1, 2])
    expected = compute_class_weight("balanced", classes=np.arange(3), y=labels)
    assert balanced_weights(torch.from_numpy(labels), 3).tolist() == pytest.approx(expected.tolist())


def test_only_trained_weight_matrices_are_penalized() -> None:
    network = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.Linear(3, 2), nn.Linear(2, 2))
    network[3].requires_grad_(False)
    assert [tuple(weight.shape) for weight in penalized_weights(network)] == [(3, 4), (2, 3)]


@given(
    rows=st.integers(1, 9), parts=st.integers(2, 9), smoothing=st.sampled_from([0.0, 0.1]),
    is_weighted=st.booleans(), is_mixed=st.booleans(), seed=st.integers(0, 99),
)  # fmt: skip
def test_the_objectives_of_the_parts_add_up(
    rows: int, parts: int, smoothing: float, *, is_weighted: bool, is_mixed: bool, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    network = nn.Linear(3, 4).double()
    labels, others = torch.randint(0, 4, (2, rows), generator=generator)
    samples = torch.randn(rows, 3, dtype=torch.float64, generator=generator)
    batch = TrainingBatch(samples, labels, others if is_mixed else None, 0.3 if is_mixed else 1.0)
    class_weights = torch.tensor([0.5, 1.0, 2.0, 3.0], dtype=torch.float64) if is_weighted else None
    objective = Objective(network, label_smoothing=smoothing, class_weights=class_weights, l1=0.01)
    whole = objective(network(samples), BatchPart(batch, batch))
    found = [objective(network(part.samples), BatchPart(part, batch)) for part in batch.parts(parts)]
    assert len(found) == min(parts, rows)
    for values, value in zip(zip(*found, strict=True), whole, strict=True):
        torch.testing.assert_close(torch.stack(values).sum(), value)
    gradients = [torch.autograd.grad(one.objective, [network.weight])[0] for one in (whole, *found)]
    torch.testing.assert_close(torch.stack(gradients[1:]).sum(0), gradients[0])


def read(path: Path, text: str) -> dict[str, float]:
    path.write_text(text)
    weights = class_weights_of(str(path))
    assert weights is not None
    return weights


def test_csv_and_json_give_the_same_weights(tmp_path: Path) -> None:
    long = "a class" * 30_000  # more characters than the csv module allows by default
    expected = {"cat, small": 1.0, long: 2.5}
    assert read(tmp_path / "w.csv", f'weight,class\n1,"cat, small"\n2.5,{long}\n') == expected
    assert read(tmp_path / "w.json", json.dumps(expected)) == expected
    assert weights_in_order(expected, (long, "cat, small")) == (2.5, 1.0)
    assert class_weights_of("balanced") is None


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("w.csv", "a,weight\nb,1\n", r"each class \(its columns are not class and weight\); write"),
        ("w.csv", "class,weight\na\n", r"w\.csv: line 2 has 1 cells, the header 2; fix the line"),
        ("w.csv", "class,weight\na,b\n", r"w\.csv: class 'a' has the weight 'b'; give a number"),
        ("w.csv", "class,weight\na,1\na,2\n", r"class 'a' has several weights"),
        ("w.csv", "class,weight\na,0\n", r"class 'a' has the weight '0'; give a number above 0"),
        ("w.csv", "class,weight\na,nan\n", r"class 'a' has the weight 'nan'"),
        ("w.json", "[1, 2]", r"does not give a weight to each class \(not an object\)"),
        ("w.json", '{"a": true}', r"class 'a' has the weight True"),
        ("w.json", '{"a": [1]}', r"class 'a' has the weight \[1\]"),
        ("w.json", '{"a": 1, "a": 2}', r"each class \(repeated name\)"),
        ("w.json", '{"a": NaN}', r"each class \(NaN\)"),
    ],
)
def test_invalid_files(name: str, text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        read(tmp_path / name, text)


def test_a_file_of_balanced_weights_trains_as_balanced(tmp_path: Path, dlnotes: Command) -> None:
    config = TrainMlpConfig(limit=200)
    dataset = load_training_data(config, SplitRule(0.2, 0.2, 0, 200), "standard", threads=1)
    labels = dataset.labels[dataset.splits["train"]]
    weights = compute_class_weight("balanced", classes=np.arange(10), y=labels)
    (tmp_path / "w.json").write_text(json.dumps(dict(zip(dataset.classes, weights.tolist(), strict=True))))
    words = small_training(tmp_path, "--val-split", 0.2, "--limit", 200)
    histories: list[list[float]] = []
    for value in ("balanced", tmp_path / "w.json", "none"):
        out = tmp_path / str(len(histories))
        words[words.index("--out") + 1] = str(out)
        outcome = dlnotes(*words, "--class-weights", value)
        assert outcome.code == 0, outcome.err
        lines = (out / "metrics.jsonl").read_text().splitlines()
        histories.append([json.loads(line)["validation"]["loss"] for line in lines])
    assert histories[1] == pytest.approx(histories[0], rel=1e-6)
    assert histories[2] != pytest.approx(histories[0], rel=1e-6)
