"""`char-rnn sample` with an exported model writes what the model file writes."""

from pathlib import Path

import pytest
from builders import Command

from dlnotes_cli.cli import main

pytestmark = pytest.mark.usefixtures("blank_figures")


@pytest.fixture(scope="module", params=["lstm", "gru"])
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with its exported model."""
    cell: str = request.param
    out = str(tmp_path_factory.mktemp(cell) / "run")
    words = ["--cell", cell, "--hidden-size", "12", "--embed", "6", "--max-steps", "3", "--sample", "0", "-q"]
    assert main(["char-rnn", "train", *words, "--val-split", "0.001", "--out", out]) == 0
    assert main(["export", out, "-q"]) == 0
    return Path(out)


@pytest.mark.parametrize(
    "words",
    [
        ("--length", "400", "--seed", "3"),
        ("--length", "40", "--count", "4", "--json"),
        ("--length", "60", "--temperature", "0", "--prime", "def "),
        ("--length", "100", "--top-k", "5", "--top-p", "0.8", "--stop", "e"),
    ],
)
def test_the_same_seed_gives_the_same_characters(run: Path, words: tuple[str, ...], dlnotes: Command) -> None:
    files = [run / "model.safetensors", run / "model.onnx"]
    texts = [dlnotes("char-rnn", "sample", path, *words, "--precision", "fp32") for path in files]
    assert texts[0].out.replace(str(files[0]), str(files[1])) == texts[1].out
    assert texts[1].out
    assert texts[1].code == 0


def test_an_exported_model_runs_on_the_cpu_as_it_was_exported(run: Path, digits_run: Path, dlnotes: Command) -> None:
    for words, message in (
        (["--device", "cuda"], "--device: cuda has no effect on an ONNX file; use cpu, or the model file"),
        (["--precision", "bf16"], "--precision: bf16 has no effect on an ONNX file with float32 weights; drop it"),
    ):
        outcome = dlnotes("char-rnn", "sample", run / "model.onnx", *words)
        assert outcome.code == 2
        assert outcome.err.startswith(f"dlnotes: error: {message}")
    assert dlnotes("char-rnn", "sample", digits_run / "model.onnx").err.endswith(
        "model.onnx: no such file; check the path\n"
    )
