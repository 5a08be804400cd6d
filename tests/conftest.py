"""Fixtures of several test files: the program run in this process, and small trained runs."""

import io
import json
import os
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import pytest
from builders import Command, Outcome, make_images, make_table, small_training
from hypothesis import settings
from jsonschema import Draft202012Validator
from PIL import Image

from dlnotes_cli.cli import main
from dlnotes_cli.schema import document_schema
from dlnotes_cli.shell import output

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# A slow machine is not a failure. `make test` draws the same cases each time; `make test-full` draws new ones.
settings.register_profile("quick", deadline=None, max_examples=30, derandomize=True)
settings.register_profile("full", deadline=None)  # also draws every figure
settings.load_profile("quick")


# Small networks gain nothing from more threads, and parallel tests slow each other down.
os.environ["OMP_NUM_THREADS"] = "1"
os.environ.pop("COLUMNS", None)  # which makes tables as narrow as a terminal
_cache = tempfile.TemporaryDirectory(prefix="dlnotes-tests-")
os.environ["DLNOTES_CACHE"] = _cache.name  # before any test copies the environment


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option with which stored outputs are written again."""
    parser.addoption("--update", action="store_true", help="write the files in tests/golden again")


def pytest_unconfigure() -> None:
    """Delete the cache of this test run."""
    _cache.cleanup()


@pytest.fixture(autouse=True)
def _default_output() -> Iterator[None]:
    yield
    output.configure()


@cache
def _blank_png(size: tuple[int, int]) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", size, "white").save(stream, "PNG")
    return stream.getvalue()


@pytest.fixture
def blank_figures(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Save blank figures of the same size, for tests of training: drawing takes longer than a small training run.

    Not in `make test-full`, nor in a test marked `draws`.
    """
    from matplotlib.figure import Figure

    def save(figure: Figure, stream: IO[bytes], **_: Any) -> None:
        width, height = figure.get_size_inches() * figure.dpi
        stream.write(_blank_png((round(width), round(height))))

    if settings.get_current_profile_name() != "full" and not request.node.get_closest_marker("draws"):
        monkeypatch.setattr(Figure, "savefig", save)


@cache
def _validator(command: str) -> Draft202012Validator:
    schema = document_schema(command)
    return Draft202012Validator({} if schema is None else schema)


@pytest.fixture
def dlnotes(capsys: pytest.CaptureFixture[str]) -> Command:
    """Run the program in this process: `dlnotes("train-mlp", "--epochs", 1)`.

    A document of `--json` must be as `dlnotes schema` describes it.
    """

    def run(*arguments: object) -> Outcome:
        capsys.readouterr()
        code = main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        if "--json" in arguments and captured.out.startswith("{"):
            document = json.loads(captured.out)
            _validator(document["command"]).validate(document)
        return Outcome(int(code), captured.out, captured.err)

    return run


@pytest.fixture(scope="session")
def digits_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished run on digits, to read only."""
    folder = tmp_path_factory.mktemp("runs") / "digits"
    assert main(small_training(folder, "-q")) == 0
    return folder


@pytest.fixture(scope="session")
def images_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run trained on `make_images`, next to its data `images`, to read only."""
    home = tmp_path_factory.mktemp("colors")
    make_images(home / "images", count=20)
    arguments = ["train-mlp", "--data", home / "images", "--hidden", "16", "--epochs", "8", "--batch-size", "16", "-q"]
    assert main([str(argument) for argument in (*arguments, "--out", home / "run")]) == 0
    return home / "run"


@pytest.fixture(scope="session")
def table_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run trained on `make_table`, next to its data `rows.csv`, to read only."""
    home = tmp_path_factory.mktemp("table")
    table = make_table(home / "rows.csv")
    arguments = ["train-mlp", "--data", table, "--target", "label", "--hidden", "8", "--lr", "0.01", "-q"]
    assert main([str(argument) for argument in (*arguments, "--out", home / "run")]) == 0
    return home / "run"


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> "list[Figure]":
    """Every figure that is saved from now on."""
    from matplotlib.figure import Figure

    saved: list[Figure] = []
    savefig = Figure.savefig

    def save(figure: "Figure", *arguments: Any, **options: Any) -> None:
        saved.append(figure)
        savefig(figure, *arguments, **options)

    monkeypatch.setattr(Figure, "savefig", save)
    return saved
