"""`runs compare` on trained runs: the metrics of `evaluate`, gates, and runs that cannot be compared."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from builders import Command, make_table, small_training
from scipy.stats import binomtest

from dlnotes_cli.cli import main

if TYPE_CHECKING:
    from matplotlib.figure import Figure

pytestmark = pytest.mark.usefixtures("blank_figures")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs on digits that differ in quality, in the seed of their split, and in their classes."""
    home = tmp_path_factory.mktemp("runs")
    good = ("--limit", 1000, "--epochs", 6)
    for name, more in (("good", good), ("poor", ("--epochs", 1)), ("seed", ("--seed", 5))):
        assert main(small_training(home / name, *more, "-q")) == 0
    table = make_table(home / "rows.csv")
    words = ("--data", table, "--target", "label", "--limit", 90, "--model", "mlp")
    assert main(small_training(home / "table", *words, "-q")) == 0
    return home


def compared(dlnotes: Command, *words: object, code: int = 0) -> dict[str, Any]:
    outcome = dlnotes("runs", "compare", *words, "--json", "-q")
    assert outcome.code == code, outcome.err
    document: dict[str, Any] = json.loads(outcome.out)
    return document


def predicted(home: Path, run: str) -> "np.ndarray[Any, Any]":
    """The classes that a run predicts for its test samples, and the true ones, by `evaluate`'s own path."""
    from dlnotes_cli.data.load import load_for_model
    from dlnotes_cli.inference.options import LabeledDataOptions
    from dlnotes_cli.training.evaluation import predict_logits
    from dlnotes_cli.training.model_file import load_classifier, runtime_for_model
    from dlnotes_cli.training.model_metadata import split_as_in_training

    model, options = load_classifier(home / run), LabeledDataOptions(model=home / run)
    data = load_for_model("digits", options, model.preprocessing, model.classes, threads=1)
    data = split_as_in_training("digits", data, model.metadata)
    import torch

    from dlnotes_cli.data.batches import Normalizer

    indices = data.splits["test"]
    x = Normalizer(model.preprocessing, torch.device("cpu"))(torch.from_numpy(np.asarray(data.samples[indices])))
    with torch.no_grad():
        logits = predict_logits(model.network, x, runtime_for_model(model.metadata, options))
    return np.stack([logits.argmax(1).numpy(), data.labels[indices]])


def test_the_metrics_are_those_of_the_runs_and_the_p_value_that_of_scipy(home: Path, dlnotes: Command) -> None:
    document = compared(dlnotes, home / "good", home / "poor")
    for run in document["runs"]:
        result = json.loads((Path(run["run"]) / "result.json").read_text())
        assert (run["accuracy"], run["loss"]) == pytest.approx((result["test"]["accuracy"], result["test"]["loss"]))
        assert run["macro_f1"] == pytest.approx(result["balance"]["macro_f1"])
    correct = [np.equal(*predicted(home, name)) for name in ("good", "poor")]
    only_good, only_poor = (int((correct[i] & ~correct[1 - i]).sum()) for i in (0, 1))
    accuracy, loss, macro = document["differences"]
    assert accuracy["p_value"] == pytest.approx(binomtest(only_poor, only_good + only_poor).pvalue)
    assert accuracy["difference"] == pytest.approx(correct[1].mean() - correct[0].mean())
    good, poor = document["runs"]
    for found, name in ((loss, "loss"), (macro, "macro_f1")):
        assert found["difference"] == pytest.approx(poor[name] - good[name])
    assert accuracy["low"] <= accuracy["difference"] <= accuracy["high"] < 0 < loss["low"]
    assert [one["is_more_than_chance"] for one in (accuracy, loss, macro)] == [True] * 3
    assert (document["samples"], document["split"]) == (len(correct[0]), "test")


def test_the_gate_fails_for_a_worse_run_only(home: Path, dlnotes: Command) -> None:
    good, poor = home / "good", home / "poor"
    compared(dlnotes, good, poor, "--fail-if-worse", code=4)
    compared(dlnotes, poor, good, "--fail-if-worse")
    document = compared(dlnotes, good, good, "--fail-if-worse")
    assert [one["difference"] for one in document["differences"]] == [0, 0, 0]
    outcome = dlnotes("runs", "compare", good, poor, "--fail-if-worse")
    assert (outcome.code, outcome.err.count("\n")) == (4, 1)
    assert outcome.out.count("worse") == 3
    assert f"{poor} has a lower accuracy than {good}" in outcome.err


def test_several_runs_share_the_probability_of_an_error(home: Path, dlnotes: Command) -> None:
    two = compared(dlnotes, home / "good", home / "poor")
    three = compared(dlnotes, home / "good", home / "poor", home / "good")
    assert (two["confidence_of_each"], three["confidence_of_each"]) == (0.95, 0.975)
    assert three["differences"][0]["low"] < two["differences"][0]["low"]


@pytest.mark.draws
def test_the_plot_has_a_curve_for_each_run(
    home: Path, tmp_path: Path, dlnotes: Command, figures: "list[Figure]"
) -> None:
    plot = tmp_path / "curves.png"
    outcome = dlnotes("runs", "compare", home / "good", home / "poor", "--plot", plot)
    assert outcome.out.splitlines()[-1] == str(plot)
    (figure,) = figures
    history = [json.loads(line) for line in (home / "good" / "metrics.jsonl").read_text().splitlines()]
    losses, accuracies = (np.asarray(axes.lines[0].get_ydata()) for axes in figure.axes)
    assert losses.tolist() == [entry["validation"]["loss"] for entry in history]
    assert accuracies.tolist() == [entry["validation"]["accuracy"] for entry in history]
    assert [len(axes.lines) for axes in figure.axes] == [2, 2]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("good seed", "has other test samples than"), ("good table", "has other classes than"),
        ("good", "RUNS: names one run"), ("good gone", "gone"), ("good poor --data gone", "gone"),
        ("good poor --plot curves.txt", "--plot"), ("good poor --confidence 1", "out of range"),
        ("good/model.safetensors poor --split val --data digits --plot no/curves.png", "--plot"),
    ],
)  # fmt: skip
def test_what_cannot_be_compared_is_one_line(home: Path, words: str, message: str, dlnotes: Command) -> None:
    runs = {"good", "poor", "seed", "table", "gone"}
    given = [home / word if word.partition("/")[0] in runs else word for word in words.split()]
    outcome = dlnotes("runs", "compare", *given)
    assert (outcome.code, outcome.out, outcome.err.count("\n")) == (2, "", 1), outcome
    assert message in outcome.err


def test_other_data_is_the_same_for_all_runs(home: Path, tmp_path: Path, dlnotes: Command) -> None:
    rows = make_table(tmp_path / "new.csv", rows=60, seed=7)
    document = compared(dlnotes, home / "table", home / "table" / "model.safetensors", "--data", rows)
    assert (document["data"], document["samples"], document["split"]) == (str(rows), 60, "all")
