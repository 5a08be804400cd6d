"""`train-mlp`: run folders, metrics, recipes and options."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from builders import Command, make_images, small_training
from sklearn.datasets import load_digits
from sklearn.metrics import log_loss

from dlnotes_cli.classify.options import TrainCnnConfig, TrainMlpConfig
from dlnotes_cli.classify.train_mlp import MlpTask
from dlnotes_cli.training.model_file import load_classifier
from dlnotes_cli.training.options import run_length
from dlnotes_cli.training.tensor_file import read_tensors

pytestmark = pytest.mark.usefixtures("blank_figures")


def test_the_run_folder_has_all_documented_files(digits_run: Path) -> None:
    assert {path.name for path in digits_run.iterdir()} == {
        "model.safetensors", "last.safetensors", "config.json", "metrics.jsonl", "result.json",
        "curves.png", "confusion.png", "predictions.png",
    }  # fmt: skip
    result = json.loads((digits_run / "result.json").read_text())
    assert result["model"]["parameters"] == 64 * 16 + 2 * 16 + 16 * 10 + 10
    history = [json.loads(line) for line in (digits_run / "metrics.jsonl").read_text().splitlines()]
    assert [entry["epoch"] for entry in history] == [1, 2]
    assert history[result["best_epoch"] - 1]["validation"] == result["validation"]


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (TrainMlpConfig, {"hidden": (512, 512), "dropout": 0.2, "batch_norm": False, "normalize": "unit"}),
        (TrainCnnConfig, {"arch": "notes-cnn", "dropout": 0.25, "normalize": "symmetric", "ema": 0.0}),
    ],
)
def test_the_recipe_notes_has_the_values_of_the_course(
    config: type[TrainMlpConfig | TrainCnnConfig], expected: dict[str, object]
) -> None:
    options = config(recipe="notes")
    recipe = options.resolved()
    values = vars(recipe) | vars(run_length(options, recipe.length, 1000))
    expected |= {"optimizer": "sgd", "lr": 0.01, "momentum": 0.0, "schedule": "constant", "val_split": 0.2}
    expected |= {"label_smoothing": 0.0, "weight_decay": 0.0, "batch_size": 20}
    assert {name: values[name] for name in expected} == expected


def test_the_reported_test_metrics_agree_with_a_forward_pass_in_numpy(digits_run: Path) -> None:
    """The oracle: scikit-learn's digits, the stored weights, a float64 forward pass, and scikit-learn's log loss."""
    weights = {name: t.double().numpy() for name, t in read_tensors(digits_run / "model.safetensors")[0].items()}
    metadata = load_classifier(digits_run).metadata
    pixels, labels = load_digits(return_X_y=True)
    x = np.round(pixels * 255 / 16) / 255
    x = (x - metadata["format"]["mean"][0]) / metadata["format"]["std"][0]
    h = x @ weights["linear1.weight"].T
    h = (h - weights["norm1.running_mean"]) / np.sqrt(weights["norm1.running_var"] + 1e-5)
    h = np.maximum(h * weights["norm1.weight"] + weights["norm1.bias"], 0)
    logits = h @ weights["output.weight"].T + weights["output.bias"]
    probabilities = np.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    options = TrainMlpConfig()
    test = MlpTask(options, options.resolved()).load_dataset().splits["test"]
    result = json.loads((digits_run / "result.json").read_text())["test"]
    assert result["samples"] == len(test)
    assert result["loss"] == pytest.approx(log_loss(labels[test], probabilities[test]), rel=1e-4)
    assert result["accuracy"] == pytest.approx(float((probabilities[test].argmax(1) == labels[test]).mean()))


@pytest.mark.draws
def test_the_same_command_writes_the_same_bytes(digits_run: Path, tmp_path: Path, dlnotes: Command) -> None:
    assert dlnotes(*small_training(tmp_path / "digits")).code == 0
    for name in ("model.safetensors", "metrics.jsonl", "curves.png", "confusion.png", "predictions.png"):
        assert (tmp_path / "digits" / name).read_bytes() == (digits_run / name).read_bytes()


def test_another_seed_overwrites_the_run_with_another_model(tmp_path: Path, dlnotes: Command) -> None:
    """The JSON document is the stored result, and a low accuracy ends with code 4 after it is printed."""
    folder = tmp_path / "run"
    assert dlnotes(*small_training(folder, "--epochs", 3, "--min-accuracy", 0.1)).code == 0
    first = (folder / "model.safetensors").read_bytes()
    (folder / "notes.txt").write_text("mine")
    outcome = dlnotes(*small_training(folder, "--overwrite", "--seed", 1, "--json", "-q", "--min-accuracy", "1"))
    assert (outcome.code, outcome.err.count("\n")) == (4, 1)
    assert "--min-accuracy: accuracy 0." in outcome.err
    assert json.loads(outcome.out) == json.loads((folder / "result.json").read_text())
    assert (folder / "model.safetensors").read_bytes() != first
    assert len((folder / "metrics.jsonl").read_text().splitlines()) == 2
    assert (folder / "notes.txt").read_text() == "mine"


def test_the_first_loss_is_that_of_uniform_probabilities_and_a_few_samples_are_overfitted(
    tmp_path: Path, dlnotes: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    words = [word for word in small_training(tmp_path) if word not in {"--out", str(tmp_path)}]
    once = ["--max-steps", 1, "--batch-size", 256, "--lr", "1e-9", "--no-batch-norm", "--json"]
    fields = json.loads(dlnotes(*words, *once).out)
    assert fields["train"]["loss"] == pytest.approx(math.log(10), rel=0.1)
    assert (fields["steps"], fields["out"]) == (1, "runs/train-mlp-1")
    often = ["--limit", 32, "--epochs", 100, "--hidden", 64, "--augment", "none", "--json"]
    fields = json.loads(dlnotes(*words, *often).out)
    assert (fields["train"]["accuracy"], fields["out"]) == (1.0, "runs/train-mlp-2")


@pytest.mark.parametrize(
    "words",
    [
        ("--optimizer", "sgd", "--momentum", "0.9", "--schedule", "step", "--class-weights", "balanced"),
        ("--optimizer", "nesterov", "--schedule", "constant", "--label-smoothing", "0.3", "--patience", "1"),
        ("--optimizer", "adagrad", "--l1", "1e-5", "--activation", "gelu", "--init", "normal"),
        ("--optimizer", "adadelta", "--grad-clip", "0.5", "--augment", "strong", "--activation", "tanh"),
        ("--optimizer", "adam", "--schedule", "cosine", "--augment", "notes", "--normalize", "unit"),
        ("--augment", "flip,shift:2,rotate:10", "--activation", "leaky-relu", "--init", "uniform"),
        ("--precision", "bf16", "--hidden", ""), ("--activation", "sigmoid", "--time-budget", "0.3s"),
    ],
    ids=" ".join,
)  # fmt: skip
def test_every_option_trains(words: tuple[str, ...], tmp_path: Path, dlnotes: Command) -> None:
    outcome = dlnotes(*small_training(tmp_path / "run", "--epochs", "16", *words, "--json"))
    assert outcome.code == 0, outcome.err
    assert json.loads(outcome.out)["test"]["accuracy"] > 0.15


@pytest.mark.parametrize("initialization", ["zeros", "ones"])
def test_with_constant_initialization_all_hidden_units_stay_equal(
    initialization: str, tmp_path: Path, dlnotes: Command
) -> None:
    """The lesson of the course's notebook on weight initialization."""
    words = ["--init", initialization, "--no-batch-norm", "--optimizer", "sgd", "--lr", "1e-4", "--dropout", "0"]
    assert dlnotes(*small_training(tmp_path / "run", *words)).code == 0
    weight = read_tensors(tmp_path / "run" / "model.safetensors")[0]["linear1.weight"]
    assert bool((weight == weight[0]).all())


@pytest.mark.parametrize(("splits", "has_test"), [(("train", "valid"), False), (("train", "test"), True)])
def test_a_folder_of_images_with_splits_is_learned(
    splits: tuple[str, str], has_test: bool, tmp_path: Path, dlnotes: Command
) -> None:
    for seed, split in enumerate(splits):
        make_images(tmp_path / "data" / split, count=10, seed=seed)
    words = ["--data", tmp_path / "data", "--size", 8, "--resize", "letterbox", "--color", "gray", "--epochs", 20]
    run = dlnotes(*small_training(tmp_path / "run", *words))
    fields = json.loads((tmp_path / "run" / "result.json").read_text())
    assert fields["data"]["counts"] == ({"train": 27, "val": 3, "test": 30} if has_test else {"train": 30, "val": 30})
    assert (fields["test"] is not None) is has_test
    assert ("no test split: validation also selected the weights" in run.out) is not has_test
    assert (fields["test"] or fields["validation"])["accuracy"] > 0.9
    assert load_classifier(tmp_path / "run").preprocessing.shape == (1, 8, 8)


def test_a_table_is_learned(table_run: Path) -> None:
    fields = json.loads((table_run / "result.json").read_text())
    assert fields["test"]["accuracy"] > 0.9
    assert fields["data"]["classes"] == ["no", "yes"]
    assert [Path(path).name for path in fields["plots"]] == ["curves.png", "confusion.png", "scatter.png"]
    assert fields["model"]["configuration"]["inputs"] == 4


def test_restarts_differ_in_their_initial_weights_alone_and_the_best_one_wins(tmp_path: Path, dlnotes: Command) -> None:
    out = tmp_path / "runs"
    outcome = dlnotes(*small_training(out, "--restarts", 3, "--json"))
    assert outcome.code == 0, outcome.err
    results = [json.loads((out / f"restart-{i}" / "result.json").read_text()) for i in (1, 2, 3)]
    losses = [result["validation"]["loss"] for result in results]
    assert len(set(losses)) == 3
    assert json.loads(outcome.out) == results[losses.index(min(losses))]
    assert dlnotes(*small_training(tmp_path / "alone")).code == 0  # the first restart is a run without restarts
    one, other = (read_tensors(path / "model.safetensors")[0] for path in (out / "restart-1", tmp_path / "alone"))
    assert {name: t.tolist() for name, t in one.items()} == {name: t.tolist() for name, t in other.items()}
    assert dlnotes(*small_training(tmp_path / "third", "--init-seed", 2, "--json")).code == 0
    assert json.loads((tmp_path / "third" / "result.json").read_text())["validation"]["loss"] == losses[2]


def test_regions_of_several_runs_are_drawn_side_by_side(tmp_path: Path, dlnotes: Command) -> None:
    """The accuracies on the sheet are those that `evaluate` prints for each run."""
    from dlnotes_cli.plots.boundary import draw_regions

    x = np.random.default_rng(0).normal(size=(60, 2))
    lines = [f"{a:.6f},{b:.6f},{'up' if a * b > 0 else 'down'}" for a, b in x]
    (tmp_path / "rows.csv").write_text("\n".join(["a,b,label", *lines]) + "\n")
    words = ("train-mlp", "--data", tmp_path / "rows.csv", "--target", "label", "--epochs", 3, "--lr", 0.05, "-q")
    assert dlnotes(*words, "--hidden", 1, "--out", tmp_path / "one").code == 0
    titles: list[str] = []

    def draw(panels: Any, *arguments: Any) -> bytes:
        titles.extend(panel.title for panel in panels if panel.title)
        return draw_regions(panels, *arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("dlnotes_cli.training.boundary.draw_regions", draw)
        outcome = dlnotes(*words, "--hidden", "5,4", "--beside", tmp_path / "one", "--out", tmp_path / "two")
    assert (outcome.code, outcome.out.splitlines()[-1]) == (0, str(tmp_path / "two" / "boundaries.png")), outcome.err
    assert (tmp_path / "one" / "boundary.png").exists()
    for title, hidden, run in zip(titles, ("1", "5, 4"), ("one", "two"), strict=True):
        accuracies = [
            json.loads(dlnotes("evaluate", tmp_path / run, "--split", split, "--json").out)["accuracy"]
            for split in ("train", "test")
        ]
        assert title == "hidden units: {}\naccuracy: train {:.3f}, test {:.3f}".format(hidden, *accuracies)


@pytest.mark.parametrize(
    ("data", "beside", "message"),
    [
        ("rows.csv", "missing", "missing: no such file"),
        ("rows.csv", "other", "was trained on other columns or classes; name runs on the same table"),
        ("three.csv", "other", "--beside: {0}/three.csv is no table of two numeric columns without gaps"),
        ("gaps.csv", "other", "--beside: {0}/gaps.csv is no table of two numeric columns without gaps"),
    ],
)
def test_runs_that_cannot_be_beside_are_refused(
    data: str, beside: str, message: str, tmp_path: Path, dlnotes: Command
) -> None:
    rows = "".join(f"{i % 7},{i % 5},{i % 2}\n" for i in range(40))
    (tmp_path / "rows.csv").write_text("a,b,label\n" + rows)
    (tmp_path / "other.csv").write_text("a,c,label\n" + rows)
    (tmp_path / "three.csv").write_text("a,b,c,label\n" + "".join(f"1,{line}\n" for line in rows.splitlines()))
    (tmp_path / "gaps.csv").write_text("a,c,label\n" + rows.replace("3,", ",", 4))
    words = ("--target", "label", "--hidden", 2, "--epochs", 1, "-q")
    assert dlnotes("train-mlp", "--data", tmp_path / "other.csv", *words, "--out", tmp_path / "other").code == 0
    run = tmp_path / "run"
    refused = dlnotes("train-mlp", "--data", tmp_path / data, *words, "--beside", tmp_path / beside, "--out", run)
    assert (refused.code, refused.out, refused.err.count("\n")) == (2, "", 1), refused
    assert message.format(tmp_path) in refused.err
    assert not run.exists()
