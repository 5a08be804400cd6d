"""`dlnotes conv-shape` end to end: every kind of question, every output format, every error."""

import csv
import io
import json
import os
import shlex
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from builders import Command
from test_structure import loaded_by

from dlnotes_cli.api import ConvShapeConfig, conv_shape, to_json

Refused = Callable[[str, str], None]
QUIZ = ("Conv2d(3, 10, 3)", "MaxPool2d(4, 4)", "Conv2d(10, 20, 5, padding=2)", "MaxPool2d(2, 2)")
COMMAND = ("conv-shape", "--input", "3x130x130")
ROWS = [
    ("", "layer", "output", "parameters", "MACs", "FLOPs", "bias adds", "activations", "field", "jump", "start"),
    ("1", QUIZ[0], "10x128x128", "280", "4,423,680", "8,847,360", "163,840", "640.0 KiB", "3", "1", "1.5"),
    ("2", QUIZ[1], "10x32x32", "0", "0", "0", "0", "40.0 KiB", "6", "4", "3"),
    ("3", QUIZ[2], "20x32x32", "5,020", "5,120,000", "10,240,000", "20,480", "80.0 KiB", "22", "4", "3"),
    ("4", QUIZ[3], "20x16x16", "0", "0", "0", "0", "20.0 KiB", "26", "8", "5"),
]
LINE = "{:>1}  {:<28}  {:<10}  {:>10}  {:>9}  {:>10}  {:>9}  {:>11}  {:>5}  {:>4}  {:>5}\n"
TOTALS = """
output      20x16x16 = 5,120 values
parameters  5,300, buffers 0
cost        9,543,680 MACs = 19,087,360 FLOPs
            and 184,320 bias additions
memory      858.8 KiB for inference, 1.0 MiB for training
            (adam, float32, batch of 1)
"""
TABLE = "".join(LINE.format(*row) for row in ROWS) + TOTALS


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
    assert (outcome.code, outcome.out) == (0, TABLE)
    assert "the parameters are 5,300" in outcome.err.splitlines()[0]


def test_table_columns_add_up(dlnotes: Command) -> None:
    lines = dlnotes("conv-shape", "--network", "alexnet-2gpu").out.splitlines()
    rows = [line.split() for line in lines[1 : lines.index("")]]
    parameters = sum(int(row[-9].replace(",", "")) for row in rows)  # counted from the right: a layer's text has spaces
    assert f"parameters  {parameters:,}, buffers 0" in lines


def test_json() -> None:
    document = to_json(conv_shape(ConvShapeConfig(layers=QUIZ, input=((3, 130, 130),))))
    assert (document["input"], document["output"], document["parameters"]) == ([3, 130, 130], [20, 16, 16], 5300)
    assert (document["macs"], document["flops"], document["bias_adds"]) == (9543680, 19087360, 184320)
    assert document["memory"]["training_bytes"] > document["memory"]["inference_bytes"] > 0
    assert [layer["layer"] for layer in document["layers"]] == list(QUIZ)
    assert document["layers"][0] == {
        "layer": "Conv2d(3, 10, 3)", "output": [10, 128, 128], "parameters": 280, "buffers": 0, "macs": 4423680,
        "flops": 8847360, "bias_adds": 163840, "activation_bytes": 655360, "receptive_field": [3, 3], "jump": [1, 1],
        "start": [1.5, 1.5],
    }  # fmt: skip


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


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ("--input 1x28x28 'Conv2d(1, 6, 5)' --field output", "6x24x24"),
        ("--input 1x28x28 'Conv2d(1, 6, 5)' --field values", "3456"),
        ("--input 1x28x28 'Conv2d(1, 6, 5)' --field receptive_field", "5x5"),
        ("--input 1x28x28 'Conv2d(1, 6, 5)' --field gram --gram", "6x6"),
        ("--input 9 'Linear(9, 3)' --field training_bytes --optimizer sgd", "288"),
        ("--input 5x4 'LSTM(4, 2)' --field jump", "null"),
        ("--input 1x28x28 'Flatten()' --field output", "784"),
        ("-W 130 -F 3 --field output", "128"),
        ("--network alexnet --field parameters", "61100840"),
    ],
)
def test_one_field_as_plain_text(arguments: str, expected: str, dlnotes: Command) -> None:
    assert dlnotes("conv-shape", *shlex.split(arguments)).out == f"{expected}\n"


def test_explain(dlnotes: Command) -> None:
    out = dlnotes(*COMMAND, *QUIZ, "--explain").out
    assert "   size: floor((130 - 3 + 2*0) / 1) + 1 = 128\n" in out
    assert "   parameters: (20 * 5*5 * 10) + 20 = 5020\n" in out
    assert "   receptive field: 22 + (2 - 1)*4 = 26\n" in out


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ("-W 130 -F 3 -S 1 -P 0", "128\n"),
        ("-W 130 -F 3", "128\n"),
        ("-W 130 -F 3 -S 1 -P 0 -K 10 -D 3", "128\n280 parameters\n"),
        ("-F 3 -K 10 -D 3", "280 parameters\n"),
        ("--input-size 32 --kernel-size 5 --padding 2 --explain", "floor((32 - 5 + 2*2) / 1) + 1 = 32\n"),
        ("-F 3 -K 10 -D 3 --explain", "(10 * 3*3 * 3) + 10 = 280\n"),
        ("-W 130 -F 3 --solve padding --want 130", "1\n"),
        ("-W 128 -F 4 --solve stride --want 32", "4\n"),
        ("-W 128 -S 4 --solve kernel --want 32", "1\n2\n3\n4\n"),
        ("-W 16 -F 3 -S 2 -P 1 --solve output_padding --want 32", "1\n"),
        ("-W 130 -F 3 --solve padding --want 130 --explain", "1: floor((130 - 3 + 2*1) / 1) + 1 = 130\n"),
        ("--input 20x8x8 --gram", "vectorized  20x64\ngram        20x20\n"),
        ("--input 20x8x8 --gram --explain", "vectorized  20x64: 8*8 = 64\ngram        20x20\n"),
    ],
)
def test_one_filter_and_gram_sizes(arguments: str, expected: str, dlnotes: Command) -> None:
    outcome = dlnotes("conv-shape", *arguments.split())
    assert (outcome.code, outcome.out, outcome.err) == (0, expected, "")


def test_notes_on_one_filter(dlnotes: Command) -> None:
    outcome = dlnotes("conv-shape", "-W", 5, "-F", 2, "-S", 2)
    assert (outcome.out, outcome.err.count("\n")) == ("2\n", 1)
    assert "no floor: (5 - 2 + 2*0) / 2 + 1 = 2.5" in outcome.err
    outcome = dlnotes("conv-shape", "-W", 8, "-F", 3, "--solve", "stride", "--want", 1)
    assert outcome.out.splitlines()[:2] == ["6", "7"]
    assert outcome.err == "dlnotes: note: every larger value is a solution too\n"


def test_the_table_fits_a_narrow_terminal(dlnotes: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    for columns in (100, 80, 60, 40):
        monkeypatch.setenv("COLUMNS", str(columns))
        table, _, totals = dlnotes(*COMMAND, *QUIZ).out.partition("\n\n")
        assert max(map(len, table.splitlines())) <= columns
        assert max(map(len, totals.splitlines())) <= 60
        assert "20x16x16" in table


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "no layers"),
        (b"import os\nos.system('true')\n", "net.py, line 2: 'os.system' is not a layer"),
        (b"ReLU()\nsay('x')\n", "net.py, line 2), say('x'): unknown layer 'say'"),
        (b"ReLU()\nConv2d(3, 8, \xff)\n", "net.py, line 2: not UTF-8 text"),
        (b"#" * (2**20 + 1), "is longer than 1,048,576 bytes"),
        (b"ReLU()\n" * 10_001, "net.py, line 10001), ReLU(): there are more than 10,000 layers; use fewer"),
        (b"Residual(" + b"ReLU()," * 10_001 + b")", "there are more than 10,000 layers"),
        (b"Conv2d(3, 8, '" + b"a" * 10_000 + b"')", "kernel_size='aaa"),
        (b"ReLU()\nx = 1 + " + b"a" * 10_000, "net.py, line 2: '1 + aaa"),
        (b"ReLU()\nx = lambda: 3\n", "net.py, line 2: 'lambda: 3' is not a layer"),
        (b"ReLU()\n\n\nConv2d(4, 8, 3)\n", "net.py, line 4), Conv2d(4, 8, 3): expects 4 channels, got 3"),
    ],
)
def test_bad_files_are_an_error_of_one_line(content: bytes, message: str, refused: Refused, tmp_path: Path) -> None:
    path = tmp_path / "net.py"
    path.write_bytes(content)
    refused(f"conv-shape --input 3x8x8 --file {path}", message)


@pytest.mark.parametrize("name", ["missing.py", ".", "/dev/zero"])
def test_unreadable_files_are_an_error_of_one_line(name: str, refused: Refused, tmp_path: Path) -> None:
    refused(f"conv-shape --input 3x8x8 --file {tmp_path / name}", "")


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


def test_a_bare_file_name_is_read(dlnotes: Command, refused: Refused, tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text("Linear(4, 2)")
    outcome = dlnotes("conv-shape", "--input", "4", tmp_path / "net.py", "ReLU", "--field", "output")
    assert outcome.out == "2\n", outcome.err
    refused("conv-shape --input 4 lost.py", "lost.py: no such file")
