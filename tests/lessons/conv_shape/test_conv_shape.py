"""`dlnotes conv-shape` end to end: every kind of question, every output format, every error."""

import csv
import io
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from builders import Command
from test_structure import loaded_by

Refused = Callable[[str, str], None]
QUIZ = ("Conv2d(3, 10, 3)", "MaxPool2d(4, 4)", "Conv2d(10, 20, 5, padding=2)", "MaxPool2d(2, 2)")
COMMAND = ("conv-shape", "--input", "3x130x130")


def set_stdin(monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))


@pytest.mark.parametrize("origin", ["arguments", "one text", "file", "stdin", "file on stdin", "mixed"])
def test_the_table_of_layers_from_arguments_files_and_stdin(
    origin: str, dlnotes: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "net.py"
    path.write_text("model = nn.Sequential(\n    " + ",\n    ".join(f"nn.{layer}" for layer in QUIZ) + ",\n)\n")
    set_stdin(monkeypatch, "\n".join(QUIZ[2:] if origin == "mixed" else QUIZ).encode())
    arguments = {
        "arguments": QUIZ,
        "one text": ("; ".join(QUIZ),),
        "file": ("--file", path),
        "stdin": ("-",),
        "file on stdin": ("--file", "-"),
        "mixed": (*QUIZ[:2], "-"),
    }[origin]
    outcome = dlnotes(*COMMAND, *arguments)
    assert (outcome.code, outcome.out) == (0, dlnotes(*COMMAND, *QUIZ).out)


def test_csv_has_the_numbers_of_json(dlnotes: Command, refused: Refused, tmp_path: Path) -> None:
    words, path = ("conv-shape", "--network", "lenet5", "--batch", 2), tmp_path / "layers.csv"
    content = dlnotes(*words, "--csv", "-").out
    rows, layers = list(csv.DictReader(io.StringIO(content))), json.loads(dlnotes(*words, "--json").out)["layers"]
    assert [row["position"] for row in rows] == [str(index) for index in range(1, len(layers) + 1)]
    for row, layer in zip(rows, layers, strict=True):
        for name, value in layer.items():
            expected = "x".join(map(str, value)) if isinstance(value, list) else str(value)
            assert row[name] == ("" if value is None else expected)
    totals = dlnotes(*words).out.partition("\n\n")[2]
    assert dlnotes(*words, "--csv", path).out == f"{totals}{path}\n"
    assert path.read_text() == content
    refused(f"conv-shape --network lenet5 --csv {path}", f"--csv: {path} exists; pass --overwrite or another name")


def test_the_table_fits_a_narrow_terminal(dlnotes: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    for columns in (100, 80, 60, 40):
        monkeypatch.setenv("COLUMNS", str(columns))
        table, _, totals = dlnotes(*COMMAND, *QUIZ).out.partition("\n\n")
        assert max(map(len, table.splitlines())) <= columns
        assert max(map(len, totals.splitlines())) <= 60
        assert "20x16x16" in table


@pytest.mark.parametrize("content", [b"", b"\n \n", None])
def test_empty_and_closed_stdin_are_errors(
    content: bytes | None, refused: Refused, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", None if content is None else io.TextIOWrapper(io.BytesIO(content)))
    refused("conv-shape --input 3x8x8 -", "stdin: ")


@pytest.mark.parametrize(
    "arguments",
    [(*COMMAND, *QUIZ), ("conv-shape", "-W", "130", "-F", "3"), ("conv-shape", "--network", "alexnet-2gpu")],
)
def test_no_heavy_package_is_imported(arguments: tuple[str, ...]) -> None:
    assert not {"torch", "torchvision", "numpy", "PIL", "rich", "matplotlib", "sklearn"} & loaded_by(*arguments)


def test_a_named_pipe_is_an_error_and_does_not_wait(refused: Refused, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for words in ("conv-shape --input 4 --file", "train-cnn --layers"):
        refused(f"{words} {tmp_path / 'pipe'}", "is not a file; use a file of PyTorch code, or - for standard input")


def test_the_pipe_of_a_process_substitution_is_read(dlnotes: Command) -> None:
    reader, writer = os.pipe()
    os.write(writer, b"Linear(4, 2)")
    os.close(writer)
    outcome = dlnotes("conv-shape", "--input", "4", "--file", f"/dev/fd/{reader}", "--field", "output")
    os.close(reader)
    assert outcome.out == "2\n", outcome.err
