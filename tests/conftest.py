"""What several test files need: the program run in this process, small data sets, a small trained run."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from builders import Command, Outcome, make_images, make_table, small_training
from hypothesis import settings

from dlnotes_cli.cli import main
from dlnotes_cli.shell import output

settings.register_profile("unhurried", deadline=None)  # a busy machine is no failure
settings.load_profile("unhurried")


os.environ["OMP_NUM_THREADS"] = "1"  # small nets gain nothing from more, and programs side by side lose much
_cache = tempfile.TemporaryDirectory(prefix="dlnotes-tests-")
os.environ["DLNOTES_CACHE"] = _cache.name  # before any test copies the environment


def pytest_unconfigure() -> None:
    """Delete the cache of this run."""
    _cache.cleanup()


@pytest.fixture(autouse=True)
def _plain_voice() -> Iterator[None]:
    yield
    output.configure()


@pytest.fixture
def dlnotes(capsys: pytest.CaptureFixture[str]) -> Command:
    """Run the program in this process: `dlnotes("train-mlp", "--epochs", 1)`."""

    def run(*words: object) -> Outcome:
        capsys.readouterr()
        code = main([str(word) for word in words])
        captured = capsys.readouterr()
        return Outcome(int(code), captured.out, captured.err)

    return run


@pytest.fixture(scope="session")
def digits_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished run on digits; read it, do not write in it."""
    folder = tmp_path_factory.mktemp("runs") / "digits"
    assert main(small_training(folder, "-q")) == 0
    return folder


@pytest.fixture(scope="session")
def images_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run trained on `make_images`, beside its data in `images`; read it, do not write in it."""
    home = tmp_path_factory.mktemp("colors")
    make_images(home / "images", count=20)
    words = ["train-mlp", "--data", home / "images", "--hidden", "16", "--epochs", "8", "--batch-size", "16", "-q"]
    assert main([str(word) for word in (*words, "--out", home / "run")]) == 0
    return home / "run"


@pytest.fixture(scope="session")
def table_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run trained on `make_table`, beside its data `rows.csv`; read it, do not write in it."""
    home = tmp_path_factory.mktemp("table")
    table = make_table(home / "rows.csv")
    words = ["train-mlp", "--data", table, "--target", "label", "--hidden", "8", "--lr", "0.01", "-q"]
    assert main([str(word) for word in (*words, "--out", home / "run")]) == 0
    return home / "run"
