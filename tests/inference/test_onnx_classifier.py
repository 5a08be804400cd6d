"""A model file and the ONNX file that was exported from it answer the same."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from builders import Command

from dlnotes_cli.cli import main


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
