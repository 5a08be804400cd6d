"""A model file and the ONNX file that was exported from it answer the same."""

import json
import math
import os
import re
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
from dlnotes_cli.inference.classifier import evaluate_probabilities
from dlnotes_cli.inference.onnx_classifier import load_onnx_classifier, tta_probabilities
from dlnotes_cli.inference.torch_classifier import TtaNetwork


@pytest.fixture(scope="module")
def images_onnx(images_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model of `images_run` as an ONNX file."""
    return exported(images_run, tmp_path_factory.mktemp("images") / "images.onnx")


@pytest.fixture(scope="module")
def table_onnx(table_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model of `table_run` as an ONNX file."""
    return exported(table_run, tmp_path_factory.mktemp("table") / "rows.onnx")


def exported(run: Path, path: Path, *more: str) -> Path:
    assert main(["export", str(run), "--out", str(path), "-q", *more]) == 0
    return path


@pytest.mark.parametrize("more", [(), ("--tta",)])
def test_images_get_the_same_predictions(
    more: tuple[str, ...], images_run: Path, images_onnx: Path, dlnotes: Command
) -> None:
    files = sorted((images_run.parent / "images").rglob("*.png"))[::7]
    expected, found = (
        json.loads(dlnotes("predict", model, *files, "--json", *more).out)["predictions"]
        for model in (images_run, images_onnx)
    )
    for ours, other in zip(found, expected, strict=True):
        assert ours["item"] == other["item"]
        for one, two in zip(ours["top"], other["top"], strict=True):
            assert (one["class"], one["probability"]) == (two["class"], pytest.approx(two["probability"], abs=1e-5))


@pytest.mark.parametrize("kind", ["images", "table"])
def test_an_evaluation_has_the_same_numbers(
    kind: str, images_run: Path, images_onnx: Path, table_run: Path, table_onnx: Path, tmp_path: Path, dlnotes: Command
) -> None:
    run, model = (images_run, images_onnx) if kind == "images" else (table_run, table_onnx)
    words = ("--top-k", 2, "--json", "--out")
    expected, found = (
        json.loads(dlnotes("evaluate", each, *words, tmp_path / name).out) for each, name in ((run, "a"), (model, "b"))
    )
    assert found.pop("loss") == pytest.approx(expected.pop("loss"), abs=1e-5)
    for fields in (expected, found):
        del fields["model_file"], fields["plots"], fields["precision"]
    assert found == expected
    assert {path.name for path in (tmp_path / "a").iterdir()} == {path.name for path in (tmp_path / "b").iterdir()}


def test_rows_get_the_same_predictions_and_errors(
    table_run: Path, table_onnx: Path, tmp_path: Path, dlnotes: Command
) -> None:
    lines = (table_run.parent / "rows.csv").read_text().splitlines()
    (tmp_path / "rows.csv").write_text("\n".join([*lines[:9], "many,1,a,yes"]) + "\n")
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
        (("--precision", "fp32", "--device", "cpu"), ""),
    ],
)
def test_options_that_have_no_effect_are_refused(
    words: tuple[str, ...], message: str, images_onnx: Path, images_run: Path, dlnotes: Command
) -> None:
    image = next((images_run.parent / "images").rglob("*.png"))
    outcome = dlnotes("predict", images_onnx, image, *words)
    assert outcome.code == (2 if message else 0)
    assert re.search(message, outcome.err)


def test_float16_and_one_sample_per_call(images_run: Path, tmp_path: Path, dlnotes: Command) -> None:
    images = sorted((images_run.parent / "images").rglob("*.png"))[:3]
    half = exported(images_run, tmp_path / "half.onnx", "--dtype", "float16", "--no-dynamic")
    expected, found = (
        json.loads(dlnotes("predict", m, *images, "--json").out)["predictions"] for m in (images_run, half)
    )
    assert [entry["class"] for entry in found] == [entry["class"] for entry in expected]
    outcome = dlnotes("predict", half, *images, "--precision", "fp32")
    assert "--precision: fp32 has no effect on an ONNX file with float16 weights; drop it" in outcome.err
    refused = dlnotes("evaluate", images_run, "--normalize", "unit")
    assert "is a model file of dlnotes, which has its own; drop --normalize" in refused.err


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
    calls = []

    def probabilities(samples: Any) -> Any:
        calls.append(len(samples))
        return network(torch.from_numpy(samples.copy()).float() / 255).softmax(1).detach().numpy()

    with torch.no_grad():
        expected = TtaNetwork(network, mirror=mirror)(images.float() / 255).softmax(1).numpy()
    np.testing.assert_allclose(tta_probabilities(probabilities, images.numpy(), mirror=mirror), expected, atol=1e-6)
    assert calls == [4] * (6 if mirror else 3)


def test_the_loss_of_an_impossible_class_is_finite() -> None:
    def evaluate(*indices: int) -> Any:
        certain = np.tile(np.array([1, 0], np.float32), (len(indices), 1))
        labels = np.array([0, 0, 1, 1])
        return evaluate_probabilities(lambda _: certain, labels, np.array(indices, np.int64), classes=2, batch=9)

    evaluation = evaluate(0, 1, 3)
    assert evaluation.loss == pytest.approx(-math.log(float(np.finfo(np.float32).tiny)) / 3)
    assert evaluation.confusion.tolist() == [[2, 0], [1, 0]]
    assert math.isnan(evaluate().loss)


def test_digits_are_not_mirrored(digits_run: Path, tmp_path: Path) -> None:
    from dataclasses import replace

    classifier = replace(load_onnx_classifier(exported(digits_run, tmp_path / "digits.onnx"), 1), tta=True)
    images = np.random.default_rng(0).integers(0, 256, (2, 1, 8, 8), np.uint8)
    for classes, mirror in ((tuple("0123456789"), False), (tuple("abcdefghij"), True)):
        found = replace(classifier, classes=classes).probabilities(images)
        expected = tta_probabilities(classifier.plain_probabilities, images, mirror=mirror)
        np.testing.assert_allclose(found, expected, atol=1e-6)
