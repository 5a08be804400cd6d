"""`train-cnn`: training, resuming, and the networks of `--arch` and `--layers`."""

import json
import re
import shlex
from pathlib import Path

import pytest
from builders import Command, make_images
from PIL import Image

from dlnotes_cli.training.tensor_file import read_tensors

pytestmark = pytest.mark.usefixtures("blank_figures")

SMALL = "Conv2d(1, 4, 3, padding=1); BatchNorm2d(4); ReLU(inplace=True); MaxPool2d(4); Flatten(); Linear(16, 10)"
# Moving average, augmentation and schedule all have state that a resumed run must restore.


def words(out: Path, *more: object) -> list[str]:
    return [str(word) for word in ("train-cnn", "--threads", "1", "--epochs", "3", "--out", out, *more)]


@pytest.mark.draws
def test_a_cnn_learns_the_digits_and_its_model_file_predicts(tmp_path: Path, dlnotes: Command) -> None:
    run = dlnotes(*words(tmp_path / "run", "--width", "0.5", "--json"))
    assert run.code == 0, run.err
    result = json.loads(run.out)
    assert result["test"]["accuracy"] > 0.9
    assert result["model"]["name"] == "cnn"
    assert {path.name for path in (tmp_path / "run").iterdir()} >= {"curves.png", "confusion.png", "predictions.png"}
    evaluated = json.loads(dlnotes("evaluate", tmp_path / "run", "--json").out)
    assert evaluated["accuracy"] == result["test"]["accuracy"]
    predicted = json.loads(dlnotes("predict", tmp_path / "run", tmp_path / "run" / "curves.png", "--json").out)
    assert len(predicted["predictions"]) == 1


LARGE = ["--arch", "large", "--width", "0.25", "--limit", "512", "--batch-size", "128"]


def test_the_large_network_keeps_its_whitening_filters_and_the_scales_of_batch_norm(
    tmp_path: Path, dlnotes: Command
) -> None:
    tensors = []
    for epochs in ("4", "5"):
        run = dlnotes(
            *words(tmp_path / epochs, *LARGE, "--epochs", epochs, "--schedule", "constant", "--val-split", "0")
        )
        assert run.code == 0, run.err
        tensors.append(read_tensors(tmp_path / epochs / "model.safetensors")[0])
    first, later = tensors
    fixed = {name for name, tensor in first.items() if tensor.equal(later[name])}
    assert fixed == {"0.weight", "0.bias", "4.weight", "7.weight"}
    assert first["0.bias"].any()  # trained for three epochs
    assert bool((first["4.weight"] == 1).all())


@pytest.mark.parametrize("arch", ["fast", "large", "notes-cnn", "resnet"])
def test_dropout_and_batch_norm_of_an_architecture_are_options(arch: str, dlnotes: Command) -> None:
    printed = dlnotes("train-cnn", "--arch", arch, "--dropout", "0.3", "--no-batch-norm", "--print").out
    assert "Dropout(0.3)" in printed
    assert "BatchNorm2d" not in printed
    assert "BatchNorm2d" in dlnotes("train-cnn", "--arch", arch, "--batch-norm", "--print").out


def test_print_prints_the_report_of_conv_shape(
    tmp_path: Path, dlnotes: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    printed = dlnotes("train-cnn", "--layers", SMALL, "--print", "--json")
    expected = dlnotes("conv-shape", "--input", "1x8x8", SMALL, "--json")
    assert (printed.code, printed.out) == (0, expected.out.replace('"conv-shape"', '"train-cnn"'))
    assert not list(tmp_path.iterdir())
    file = tmp_path / "net.py"
    file.write_text(SMALL.replace("; ", "\n"))
    assert dlnotes("train-cnn", "--layers", file, "--print", "--json").out == printed.out
    with file.open() as stream:
        monkeypatch.setattr("sys.stdin", stream)
        assert dlnotes("train-cnn", "--layers", "-", "--print", "--json").out == printed.out


FAULTS = {
    "--layers 'Flatten(); Linear(64, 3)'": r"--layers: the last layer returns 3, and the data has 10 classes; end with",
    "--layers 'Conv2d(1, 4, 3)'": r"--layers: the last layer returns 4x6x6, and the data has 10 classes",
    "--layers 'Conv2d(3, 4, 3); Flatten(); Linear(9, 10)'": r"layer 1, Conv2d\(3, 4, 3\): .*3.*1",
    "--layers 'Flatten(); Unflatten(1, (8, 8)); LSTM(8, 8); Flatten(); Linear(64, 10)'": r"--layers: PyTorch rejects",
    "--layers 'print(1)'": r"no layers; list layers such as",
    "--layers 'Flatten(); Linear(64, 10)' --width 2": r"--width: has no effect with --layers; drop --width",
    "--arch fats": r"--arch: unknown value 'fats'; did you mean 'fast'",
    "--early-size 0.5 --layers 'Flatten(); Linear(64, 10)'": r"--early-size: has no effect with --layers",
    "--early-size 0.5 --schedule cosine": r"--early-size: has no effect with --schedule cosine; drop it",
    "--early-size 0.25 --arch notes-cnn": r"--early-size: the network does not read images of 2x2; use a",
    "--early-size 1.5": r"--early-size: 1.5 is out of range",
    "--data tiny --arch notes-cnn": r"--size: 4x4 is too small for --arch notes-cnn: layer 9.*; use at least 8x8",
    "--layers 'Flatten(); Linear(64, 10); BatchNorm1d(10)' --batch-size 1": r"--batch-size: a batch of one .*; use 2",
}


@pytest.mark.parametrize("line", FAULTS)
def test_bad_input_is_reported_in_one_line_and_leaves_no_folder(
    line: str, tmp_path: Path, dlnotes: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_images(tmp_path / "tiny", size=(4, 4))
    monkeypatch.chdir(tmp_path)
    outcome = dlnotes("train-cnn", *shlex.split(line), "-q")
    assert (outcome.code, outcome.out) == (2, "")
    assert re.fullmatch(rf"dlnotes: error: .*{FAULTS[line]}.*\n", outcome.err), outcome.err
    assert {path.name for path in tmp_path.iterdir()} == {"tiny"}


def test_batches_of_one_sample_train_a_network_without_batch_norm(tmp_path: Path, dlnotes: Command) -> None:
    plain = ("--layers", "Flatten(); Linear(64, 10)", "--batch-size", 1, "--limit", 10)
    merged = ("--layers", SMALL, "--limit", "65", "--batch-size", "32")  # a last batch of one joins the one before
    for name, more in (("plain", plain), ("merged", merged)):
        outcome = dlnotes(*words(tmp_path / name, *more))
        assert outcome.code == 0, outcome.err


def test_print_decodes_no_image(tmp_path: Path, dlnotes: Command) -> None:
    root = make_images(tmp_path / "images", size=(16, 16))
    damaged = root / "red" / "0.png"
    damaged.write_bytes(damaged.read_bytes()[:60])
    outcome = dlnotes("train-cnn", "--data", root, "--print", "--json")
    assert outcome.code == 0, outcome.err
    assert json.loads(outcome.out)["output"] == [3]


def test_images_of_a_single_color_train_a_whitened_network(tmp_path: Path, dlnotes: Command) -> None:
    for name, color in (("dark", (10, 20, 30)), ("light", (200, 210, 250)), ("black", (0, 0, 0))):
        (tmp_path / "flat" / name).mkdir(parents=True)
        for i in range(10):
            Image.new("RGB", (16, 16), color).save(tmp_path / "flat" / name / f"{i}.png")
    outcome = dlnotes(*words(tmp_path / "run", "--data", tmp_path / "flat", "--json"))
    assert outcome.code == 0, outcome.err
