"""Several models of a table: what they answer, which one is kept, and every command that uses it."""

import json
from pathlib import Path

import numpy as np
import pytest
from builders import Command, make_table

from dlnotes_cli.classify.options import TrainMlpConfig
from dlnotes_cli.training.model_file import load_classifier

pytestmark = pytest.mark.usefixtures("blank_figures")


def make_exclusive_or(path: Path, rows: int = 300) -> Path:
    """A table whose classes no line separates."""
    generator = np.random.default_rng(0)
    lines = ["x,y,label"]
    for x, y in generator.uniform(-1, 1, size=(rows, 2)):
        lines.append(f"{x:.4f},{y:.4f},{'same' if x * y > 0 else 'other'}")
    path.write_text("\n".join(lines) + "\n")
    return path


def test_all_models_are_compared_and_the_best_one_is_kept(tmp_path: Path, dlnotes: Command) -> None:
    table, run = make_exclusive_or(tmp_path / "t.csv"), tmp_path / "run"
    outcome = dlnotes("train-mlp", "--data", table, "--target", "label", "--max-steps", 3, "--out", run)
    assert outcome.code == 0, outcome.err
    result = json.loads((run / "result.json").read_text())
    scores = {model["name"]: model for model in result["models"]}
    assert list(scores) == ["mlp", "linear", "boosted"]
    assert result["kept"] == "boosted"  # the network has three steps, and no line separates the classes
    best = scores["boosted"]
    assert best["validation"]["accuracy"] == max(one["validation"]["accuracy"] for one in scores.values())
    assert (result["validation"], result["test"]) == (best["validation"], best["test"])
    assert result["train"]["accuracy"] > 0.99
    assert (
        "boosted trees kept: the most accurate on the validation split, of equal ones the simplest; --model"
        in outcome.out
    )
    assert (load_classifier(run).name, load_classifier(run / "network.safetensors").name) == ("boosted", "mlp")
    assert {"boundary.png", "curves.png", "confusion.png"} <= {path.name for path in run.iterdir()}
    evaluated = json.loads(dlnotes("evaluate", run, "--json").out)
    assert evaluated["loss"] == pytest.approx(result["test"]["loss"], rel=1e-4)
    again = dlnotes("train-mlp", "--resume", run)
    assert again.code == 0, again.err
    assert json.loads((run / "result.json").read_text())["kept"] == "boosted"


def test_the_simplest_of_equal_models_is_kept(tmp_path: Path, dlnotes: Command) -> None:
    lines = ["x,label", *(f"{i % 2 + i / 1000},{'ab'[i % 2]}" for i in range(120))]
    (tmp_path / "t.csv").write_text("\n".join(lines) + "\n")
    outcome = dlnotes("train-mlp", "--data", tmp_path / "t.csv", "--target", "label", "--json", "--epochs", 200)
    result = json.loads(outcome.out)
    assert [model["validation"]["accuracy"] for model in result["models"]] == [1, 1, 1]
    assert (result["kept"], result["model"]["configuration"]["hidden"]) == ("linear", [])


@pytest.mark.parametrize("model", ["linear", "boosted"])
def test_one_model_alone_is_trained_used_and_exported(model: str, tmp_path: Path, dlnotes: Command) -> None:
    table, run = make_table(tmp_path / "t.csv", rows=200), tmp_path / "run"
    train = ("train-mlp", "--data", table, "--target", "label", "--model", model, "--out", run, "--json")
    result = json.loads(dlnotes(*train, "--class-weights", "balanced").out)
    assert (result["kept"], result["models"]) == (model, [])
    assert result["test"]["accuracy"] > 0.8
    assert not (run / "curves.png").exists()
    predicted = json.loads(dlnotes("predict", run, table, "--json").out)["predictions"]
    assert len(predicted) == 200
    exported = dlnotes("export", run, "--format", "onnx", "--out", tmp_path / "m.onnx")
    assert exported.code == 0, exported.err
    from_onnx = json.loads(dlnotes("predict", tmp_path / "m.onnx", table, "--json").out)["predictions"]
    for one, other in zip(predicted, from_onnx, strict=True):
        assert one["top"][0]["class"] == other["top"][0]["class"]
        assert one["top"][0]["probability"] == pytest.approx(other["top"][0]["probability"], abs=1e-4)
    first = (run / "model.safetensors").read_bytes()
    assert dlnotes(*train, "--class-weights", "balanced", "--overwrite").code == 0
    assert (run / "model.safetensors").read_bytes() == first


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--model boosted", "--model: boosted is for tables, and digits has images; drop it"),
        ("--model linear --data {table} --target label --hidden 5", "--hidden: has no effect with --model linear"),
        ("--model boosted --data {table} --target label --beside x", "--beside: has no effect with --model boosted"),
        ("--model boosted --data {table} --target label --sampler balanced", "--sampler: has no effect with --model"),
        ("--model trees --data {table} --target label", "--model: unknown value 'trees'"),
    ],
)
def test_options_without_effect_are_refused(options: str, message: str, tmp_path: Path, dlnotes: Command) -> None:
    table = make_table(tmp_path / "t.csv")
    outcome = dlnotes("train-mlp", *options.format(table=table).split(), "--out", tmp_path / "run")
    assert (outcome.code, (tmp_path / "run").exists()) == (2, False)
    assert message in outcome.err


def test_options_of_the_network_train_it_alone(tmp_path: Path) -> None:
    table = str(make_table(tmp_path / "t.csv"))
    assert TrainMlpConfig(data=table, target="label").table_models == ("linear", "boosted")
    for options in (
        {"hidden": "8"},
        {"model": "mlp"},
        {"recipe": "notes"},
        {"dropout": "0.1"},
        {"sampler": "balanced"},
    ):
        assert TrainMlpConfig(data=table, target="label", **options).table_models == ()  # type: ignore[arg-type]
    assert TrainMlpConfig().table_models == ()
    assert TrainMlpConfig(data=table, target="label", val_split=0.3).table_models == ("linear", "boosted")


def test_boosted_trees_are_left_out_of_the_comparison_on_a_large_table(
    tmp_path: Path, dlnotes: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dlnotes_cli.classify.train_mlp._MOST_CELLS", 500)
    table = make_table(tmp_path / "t.csv")
    outcome = dlnotes("train-mlp", "--data", table, "--target", "label", "--max-steps", 3, "--out", tmp_path / "run")
    assert "boosted trees take long for so large a table" in outcome.err
    assert [one["name"] for one in json.loads((tmp_path / "run/result.json").read_text())["models"]] == [
        "mlp",
        "linear",
    ]
