"""--init-from: weights are copied, classes matched by name, and other architectures refused."""

import re
import shutil
from pathlib import Path

import pytest
import torch
from builders import Command, make_images, make_table, small_training

from dlnotes_cli.training.tensor_file import read_tensors

pytestmark = pytest.mark.usefixtures("blank_figures")
STILL = ("--lr", 1e-30, "--max-steps", 1, "--no-batch-norm", "--weight-decay", 0)  # trained, but not changed


def weights(run: Path) -> dict[str, torch.Tensor]:
    return read_tensors(run / "model.safetensors")[0]


def test_the_rows_of_classes_are_matched_by_name(tmp_path: Path, dlnotes: Command) -> None:
    make_images(tmp_path / "old", count=6)
    make_images(tmp_path / "new", count=6)
    (tmp_path / "new" / "blue").rename(tmp_path / "new" / "violet")  # now the classes are green, red, violet
    for command, more in (
        ("train-mlp", ("--hidden", 5)),
        ("train-cnn", ("--layers", "Conv2d(3, 4, 3); ReLU(); Flatten(); Linear(144, 3)")),
    ):
        words = [command, *more, "--size", 8, "--limit", 9, "--threads", 1]
        still = STILL if command == "train-mlp" else (*STILL[:4], "--weight-decay", 0, "--ema", 0)
        old, new, fresh = (tmp_path / f"{command}-{name}" for name in ("old", "new", "fresh"))
        for data, out, start in (("old", old, ()), ("new", fresh, ()), ("new", new, ("--init-from", old))):
            outcome = dlnotes(*words, "--data", tmp_path / data, *still, *start, "--out", out)
            assert outcome.code == 0, outcome.err
        assert "2 of 3 classes known; new: violet; left out: blue" in outcome.err
        before, after, own = weights(old), weights(new), weights(fresh)
        heads = {"output.weight", "output.bias"} if command == "train-mlp" else {"3.weight", "3.bias"}
        for name in after:
            if name in heads:
                assert after[name][:2].allclose(before[name][1:], rtol=0, atol=1e-20)
                assert after[name][2].allclose(own[name][2], rtol=0, atol=1e-20)
            else:
                assert after[name].allclose(before[name], rtol=0, atol=1e-20), name


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("train-mlp", "--hidden", 8), r"--init-from: .* has Linear\(.*=16.*\), and this network Linear\(.*=8"),
        (("train-mlp", "--hidden", "16,16"), r"has a network of 5 layers, and this one has 8; use"),
        (("train-mlp", "--hidden", 16, "--activation", "tanh"), r"has ReLU\(\), and this network Tanh\(\)"),
        (("train-cnn", "--arch", "notes-cnn"), r"is a model of kind mlp, and this one is cnn; use"),
        (("train-mlp", "--data", "{table}", "--target", "label"), r"on other data, image and not table"),
    ],
)  # fmt: skip
def test_other_architectures_are_refused(
    words: tuple[object, ...], message: str, digits_run: Path, tmp_path: Path, dlnotes: Command
) -> None:
    table = make_table(tmp_path / "rows.csv")
    arguments = [str(word).format(table=table) for word in words]
    outcome = dlnotes(*arguments, "--init-from", digits_run, "--out", tmp_path / "run", "--limit", 100, "-q")
    assert (outcome.code, outcome.out, outcome.err.count("\n")) == (2, "", 1), outcome
    assert re.search(message, outcome.err), outcome.err
    assert not (tmp_path / "run").exists()


def test_other_columns_are_refused_and_another_seed_warns(table_run: Path, tmp_path: Path, dlnotes: Command) -> None:
    other = tmp_path / "other.csv"
    other.write_text((table_run.parent / "rows.csv").read_text().replace("length", "height"))
    words = ("train-mlp", "--target", "label", "--hidden", 8, "--max-steps", 1, "--init-from", table_run)
    refused = dlnotes(*words, "--data", other, "--out", tmp_path / "a")
    assert (refused.code, "other columns or categories (height)" in refused.err) == (2, True)
    warned = dlnotes(*words, "--data", table_run.parent / "rows.csv", "--seed", 1, "--out", tmp_path / "b")
    assert warned.code == 0
    assert "with --seed 0, so that samples held out here may be among its training samples" in warned.err


def test_a_resumed_run_does_not_read_the_model_again(digits_run: Path, tmp_path: Path, dlnotes: Command) -> None:
    shutil.copytree(digits_run, tmp_path / "start")
    assert dlnotes(*small_training(tmp_path / "run", "--init-from", tmp_path / "start")).code == 0
    shutil.rmtree(tmp_path / "start")
    outcome = dlnotes("train-mlp", "--resume", tmp_path / "run", "--epochs", 3)
    assert outcome.code == 0, outcome.err
