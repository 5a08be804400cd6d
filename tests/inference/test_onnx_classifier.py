"""A model file and the ONNX file that was exported from it answer the same."""

import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from builders import Command
from torch import nn

from dlnotes_cli.cli import main
from dlnotes_cli.data.dataset import DataSet
from dlnotes_cli.data.preprocessing import ImagePreprocessing
from dlnotes_cli.device import RuntimeInfo
from dlnotes_cli.inference.onnx_classifier import OnnxRuntimeClassifier, tta_probabilities
from dlnotes_cli.inference.torch_classifier import TtaNetwork
from dlnotes_cli.training.metrics import Evaluation
from dlnotes_cli.training.model_data import ChosenSplit

IMAGES = ImagePreprocessing(1, 2, 2, "crop", (0.0,), (1.0,))
CALLS: list[int] = []  # samples of each call of the graph


@pytest.fixture(scope="module")
def images_onnx(images_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model of `images_run` as an ONNX file."""
    return exported(images_run, tmp_path_factory.mktemp("images") / "images.onnx")


@pytest.fixture(scope="module")
def table_onnx(table_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model of `table_run` as an ONNX file."""
    return exported(table_run, tmp_path_factory.mktemp("table") / "rows.onnx")


def exported(run: Path, path: Path) -> Path:
    assert main(["export", str(run), "--out", str(path), "-q"]) == 0
    return path


def test_images_get_the_same_predictions(images_run: Path, images_onnx: Path, dlnotes: Command) -> None:
    files = sorted((images_run.parent / "images").rglob("*.png"))[::7]
    for more in ((), ("--tta",)):
        expected, found = (
            json.loads(dlnotes("predict", model, *files, "--json", *more).out)["predictions"]
            for model in (images_run, images_onnx)
        )
        assert [p["item"] for p in found] == [p["item"] for p in expected]
        for ours, other in zip(found, expected, strict=True):
            assert [entry["class"] for entry in ours["top"]] == [entry["class"] for entry in other["top"]]
            for one, two in zip(ours["top"], other["top"], strict=True):
                assert one["probability"] == pytest.approx(two["probability"], abs=1e-5)


@pytest.mark.parametrize("kind", ["images", "table"])
def test_an_evaluation_has_the_same_numbers(
    kind: str, images_run: Path, images_onnx: Path, table_run: Path, table_onnx: Path, tmp_path: Path, dlnotes: Command
) -> None:
    run, model = (images_run, images_onnx) if kind == "images" else (table_run, table_onnx)
    expected = json.loads(dlnotes("evaluate", run, "--out", tmp_path / "a", "--top-k", 2, "--json").out)
    found = json.loads(dlnotes("evaluate", model, "--out", tmp_path / "b", "--top-k", 2, "--json").out)
    assert found.pop("loss") == pytest.approx(expected.pop("loss"), abs=1e-5)
    for fields in (expected, found):
        del fields["model_file"], fields["plots"], fields["precision"]
    assert found == expected
    for plot in (tmp_path / "a").iterdir():
        assert plot.read_bytes() == (tmp_path / "b" / plot.name).read_bytes()


def test_rows_get_the_same_predictions_and_errors(
    table_run: Path, table_onnx: Path, tmp_path: Path, dlnotes: Command
) -> None:
    lines = (table_run.parent / "rows.csv").read_text().splitlines()
    cells = lines[2].split(",")
    cells[0] = "many"
    (tmp_path / "rows.csv").write_text("\n".join([*lines[:9], ",".join(cells)]) + "\n")
    for more, code in (((), 2), (("--skip-bad",), 0)):
        expected, found = (dlnotes("predict", m, tmp_path / "rows.csv", *more) for m in (table_run, table_onnx))
        assert (found.code, found.out, found.err) == (code, expected.out, expected.err)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--device", "mps"), "--device: mps has no effect on an ONNX file; use cpu"),
        (("--precision", "bf16"), "--precision: bf16 has no effect on an ONNX file with float32 weights; drop it"),
        (("--size", "8"), "--size: .* is an ONNX file of dlnotes, which has its own; drop --size"),
        (("--normalize", "unit"), "--normalize: .* is an ONNX file of dlnotes"),
        (("--classes", "x.txt"), "--classes: .* is an ONNX file of dlnotes"),
    ],
)
def test_options_that_have_no_effect_are_refused(
    words: tuple[str, str], message: str, images_onnx: Path, images_run: Path, dlnotes: Command
) -> None:
    import re

    image = next((images_run.parent / "images").rglob("*.png"))
    outcome = dlnotes("predict", images_onnx, image, *words)
    assert outcome.code == 2
    assert re.search(message, outcome.err)


def test_the_precision_and_device_of_the_file_are_accepted(
    images_onnx: Path, images_run: Path, tmp_path: Path, dlnotes: Command
) -> None:
    image = next((images_run.parent / "images").rglob("*.png"))
    words = ("--precision", "fp32", "--device", "cpu", "--json")
    outcomes = [dlnotes("predict", model, image, *words) for model in (images_onnx, images_run)]
    assert [outcome.code for outcome in outcomes] == [0, 0], outcomes[0].err
    half = tmp_path / "half.onnx"
    assert main(["export", str(images_run), "--dtype", "float16", "--out", str(half), "-q"]) == 0
    outcome = dlnotes("predict", half, image, *words)
    assert outcome.code == 2
    assert "--precision: fp32 has no effect on an ONNX file with float16 weights; drop it" in outcome.err


def test_foreign_options_are_refused_for_a_model_file(images_run: Path, dlnotes: Command) -> None:
    outcome = dlnotes("evaluate", images_run, "--normalize", "unit")
    assert outcome.code == 2
    assert "--normalize: " in outcome.err
    assert "is a model file of dlnotes, which has its own; drop --normalize" in outcome.err


def test_torch_is_not_imported(images_onnx: Path, images_run: Path) -> None:
    image = next((images_run.parent / "images").rglob("*.png"))
    code = (
        "import sys; from dlnotes_cli.cli import main\n"
        f"codes = [main(['predict', {str(images_onnx)!r}, {str(image)!r}]), main(['evaluate', {str(images_onnx)!r}])]\n"
        "sys.exit(any(codes) or 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], env=os.environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("mirror", [False, True])
def test_tta_averages_as_in_torch(*, mirror: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(4 * 3 * 5, 6)).eval()
    images = torch.randint(0, 256, (4, 3, 5, 7), dtype=torch.uint8, generator=generator)

    def probabilities(samples: Any) -> Any:
        return network(torch.from_numpy(samples.copy()).float() / 255).softmax(1).detach().numpy()

    with torch.no_grad():
        expected = TtaNetwork(network, mirror=mirror)(images.float() / 255).softmax(1).numpy()
    np.testing.assert_allclose(tta_probabilities(probabilities, images.numpy(), mirror=mirror), expected, atol=1e-6)


def certain_classifier(classes: tuple[str, ...] = ("a", "b"), *, tta: bool = False) -> OnnxRuntimeClassifier:
    """A classifier that is certain of class 0."""

    def run(samples: Any) -> Any:
        CALLS.append(len(samples))
        return np.tile(np.array([1, 0], np.float32), (len(samples), 1))

    return OnnxRuntimeClassifier(
        path=Path("certain.onnx"), classes=classes, preprocessing=IMAGES, metadata={}, run=run, tta=tta,
        runtime=RuntimeInfo("cpu", "fp32", 1),
    )  # fmt: skip


def test_the_loss_of_an_impossible_class_is_finite() -> None:
    images, labels = np.zeros((4, 1, 2, 2), np.uint8), np.array([0, 0, 1, 1])
    dataset = DataSet("four", images, labels, ("a", "b"), {}, preprocessing=IMAGES)

    def evaluate(*indices: int) -> Evaluation:
        split = ChosenSplit("all", np.array(indices, np.int64))
        return certain_classifier().evaluate(dataset, split, (), lambda: None, keep_predictions=False)

    evaluation = evaluate(0, 1, 3)
    assert evaluation.loss == pytest.approx(-math.log(float(np.finfo(np.float32).tiny)) / 3)
    assert evaluation.confusion.tolist() == [[2, 0], [1, 0]]
    assert math.isnan(evaluate().loss)


def test_digits_are_not_mirrored() -> None:
    for classes, views in ((("0", "1"), 3), (("cat", "dog"), 6)):
        CALLS.clear()
        certain_classifier(classes, tta=True).probabilities(np.zeros((2, 1, 2, 2), np.uint8))
        assert [2] * views == CALLS
