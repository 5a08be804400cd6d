"""Tables: the weights of a linear model, the majority baseline, and the scatter by category."""

import csv
import json
import math
import re
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from builders import Command, make_table
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from torch import nn

from dlnotes_cli.classify.options import TrainMlpConfig
from dlnotes_cli.data.dataset import DataSet, SplitRule
from dlnotes_cli.data.load import load_training_data
from dlnotes_cli.data.preprocessing import Column, TablePreprocessing
from dlnotes_cli.training.boundary import draw_plane

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def train(dlnotes: Command, table: Path, out: Path, *more: object) -> None:
    words = ("train-mlp", "--data", table, "--target", "label", "--hidden", "", "--epochs", 3, "--lr", 0.1, "-q")
    outcome = dlnotes(*words, *more, "--out", out)
    assert outcome.code == 0, outcome.err


@pytest.mark.usefixtures("blank_figures")
def test_coefficients_give_the_log_odds_of_the_predictions(tmp_path: Path, dlnotes: Command) -> None:
    table = make_table(tmp_path / "rows.csv", rows=60)
    train(dlnotes, table, tmp_path / "run")
    document = json.loads(dlnotes("evaluate", tmp_path / "run", "--json").out)
    found = document["coefficients"]
    assert found["classes"] == ["yes"]
    per_unit = {one["input"]: one["per_unit"][0] for one in found["inputs"]}
    assert list(per_unit) == ["length", "width", "kind=a", "kind=b"]
    rows = list(csv.DictReader(table.read_text().splitlines()))
    predicted = json.loads(dlnotes("predict", tmp_path / "run", table, "--json").out)["predictions"]
    for row, prediction in zip(rows, predicted, strict=True):
        log_odds = found["intercept"][0] + per_unit[f"kind={row['kind']}"]
        log_odds += per_unit["length"] * float(row["length"]) + per_unit["width"] * float(row["width"])
        top = {one["class"]: one["probability"] for one in prediction["top"]}
        assert math.log(top["yes"] / top["no"]) == pytest.approx(log_odds, abs=1e-4)
    lines = dlnotes("evaluate", tmp_path / "run").out.splitlines()
    (header,) = [line for line in lines if line.startswith("input")]
    assert header.split() == ["input", "log-odds", "of", "yes", "per", "unit,", "yes"]


@pytest.mark.usefixtures("blank_figures")
@pytest.mark.parametrize("hidden", ["4", ""])
def test_a_note_says_where_logistic_regression_is_better(hidden: str, tmp_path: Path, dlnotes: Command) -> None:
    table = make_table(tmp_path / "rows.csv", rows=200)
    words = ("train-mlp", "--data", table, "--target", "label", "--hidden", hidden, "--epochs", 1, "--out")
    notes = dlnotes(*words, tmp_path / "run").err
    if not hidden:
        assert "logistic regression" not in notes
        return
    (loss, found) = map(
        float, re.findall(r"lower test loss, (\S+), than this network, (\S+); --model linear", notes)[0]
    )
    result = json.loads((tmp_path / "run/result.json").read_text())
    assert found == pytest.approx(result["test"]["loss"], abs=1e-4)
    dataset = load_training_data(
        TrainMlpConfig(data=str(table), target="label"), SplitRule(0.1, 0.2, 0, None), "standard", threads=1
    )
    train, val, test = (dataset.splits[name] for name in ("train", "val", "test"))
    losses = []
    for decay in (10, 1, 0.1):  # of two classes scikit-learn has one row of weights, the difference of ours
        model = LogisticRegression(C=2 / decay, tol=1e-8).fit(dataset.samples[train], dataset.labels[train])
        losses.append([log_loss(dataset.labels[i], model.predict_proba(dataset.samples[i])) for i in (val, test)])
    assert loss == pytest.approx(min(losses)[1], abs=1e-3)


@pytest.mark.usefixtures("blank_figures")
def test_coefficients_of_three_classes_are_centered(tmp_path: Path, dlnotes: Command) -> None:
    generator = np.random.default_rng(0)
    rows = "".join(f"{a:.3f},{b:.3f},{'xyz'[i % 3]}\n" for i, (a, b) in enumerate(generator.normal(size=(60, 2))))
    (tmp_path / "rows.csv").write_text("a,b,label\n" + rows)
    train(dlnotes, tmp_path / "rows.csv", tmp_path / "run")
    found = json.loads(dlnotes("evaluate", tmp_path / "run", "--json").out)["coefficients"]
    assert found["classes"] == ["x", "y", "z"]
    for one in (found["bias"], *(one["weights"] for one in found["inputs"])):
        assert sum(one) == pytest.approx(0, abs=1e-6)


@pytest.mark.usefixtures("blank_figures")
def test_the_baseline_is_that_of_scikit_learns_dummy(tmp_path: Path, dlnotes: Command) -> None:
    labels = ["rejected"] * 273 + ["admitted"] * 127  # as in the course's student data
    values = np.random.default_rng(0).normal(size=400)
    rows = "".join(f"{value:.3f},{label}\n" for value, label in zip(values, labels, strict=True))
    (tmp_path / "rows.csv").write_text("a,label\n" + rows)
    train(dlnotes, tmp_path / "rows.csv", tmp_path / "run")
    dummy = DummyClassifier(strategy="most_frequent").fit(values[:, None], labels)
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    for split, name in (("train", "train"), ("val", "validation"), ("test", "test"), ("all", "")):
        majority = json.loads(dlnotes("evaluate", tmp_path / "run", "--split", split, "--json").out)["majority"]
        assert majority == pytest.approx(result["majority"].get(name, dummy.score(values[:, None], labels)))


def plane_of(columns: tuple[Column, ...], samples: np.ndarray, weight: list[float]) -> tuple[nn.Linear, DataSet]:
    """A network without bias whose second class is where `weight` times the row is above 0, and rows of a table."""
    labels, everything = np.arange(len(samples)) % 2, {"train": np.arange(len(samples))}
    preprocessing = TablePreprocessing("label", columns)
    dataset = DataSet("t", samples.astype(np.float32), labels, ("no", "yes"), everything, preprocessing=preprocessing)
    network = nn.Linear(len(weight), 2, bias=False)
    network.weight.data = torch.tensor([[0.0] * len(weight), weight])
    return network, dataset


def boundary_of(axes: "Axes") -> float:
    """The first column at the edge between the regions that are drawn."""
    edges = np.concatenate([path.vertices for path in axes.collections[0].get_paths()])
    inner = edges[(edges[:, 0] > edges[:, 0].min() + 0.1) & (edges[:, 0] < edges[:, 0].max() - 0.1), 0]
    return float(np.median(inner))


def test_the_boundary_is_in_the_units_of_the_table(figures: "list[Figure]") -> None:
    columns = (Column("a", mean=10.0, std=2.0), Column("b", mean=-1.0, std=0.5))
    drawn = draw_plane(*plane_of(columns, np.array([[-1.0, 0.0], [1.0, 1.0], [2.0, -1.0]]), [1.0, 0.0]))
    assert drawn.keys() == {"boundary.png"}  # and no scatter.png
    axes = figures[0].axes[0]
    assert boundary_of(axes) == pytest.approx(10, abs=0.1)
    assert (axes.get_ylim()[0] < -1.5, axes.get_ylim()[1] > -0.5) == (True, True)


def test_the_scatter_has_a_panel_for_each_category_with_its_regions(figures: "list[Figure]") -> None:
    """A network that adds the first column and the category: each panel has the boundary at another place."""
    columns = (Column("a", 10.0, 2.0), Column("rank", categories=("1", "2")), Column("b", 0.0, 1.0))
    generator = np.random.default_rng(0)
    rank = generator.integers(0, 2, 50)
    samples = np.stack([generator.normal(size=50), rank == 0, rank == 1, generator.normal(size=50)], axis=1)
    plane = plane_of(columns, samples, [1.0, -1.0, 1.0, 0.0])  # yes: a > 12 or a > 8
    assert draw_plane(*plane).keys() == {"scatter.png"}
    shown = [axes for axes in figures[0].axes if axes.get_visible()]
    titles = [f"rank {i + 1} ({count} rows)" for i, count in enumerate(np.bincount(rank))]
    assert [axes.get_title() for axes in shown] == ["all 50 rows", *titles]
    for axes, boundary, chosen in zip(shown[1:], (12.0, 8.0), (rank == 0, rank == 1), strict=True):
        drawn = sum(len(np.asarray(points.get_offsets())) for points in axes.collections[1:])
        assert drawn == int(chosen.sum())
        assert boundary_of(axes) == pytest.approx(boundary, abs=0.1)
