"""Requests that each lesson refuses: exit code 2, nothing on standard output, and an error of one line."""

import shlex
from pathlib import Path

import pytest
from builders import Command

FILES = {
    "three.csv": "1,2,0\n1,3,1\n2,2,2\n",
    "words.csv": "a,b\n1,0\nx,1\n",
    "lonely.csv": "0\n1\n",
    "nan.csv": "a,b\nnan,0\n1,1\n",
    "ragged.csv": "1,2,0\n1,2\n",
    "bad.json": "[1, 2",
    "shape.json": '{"0.weight": [[1, 2]], "0.bias": [0]}',
    "nan.json": '{"0.weight": [[NaN]], "0.bias": [0]}',
    "photo.safetensors": "\x7f" * 40,
    "empty.safetensors": "",
    "net.py": (Path(__file__).parent / "conv_shape" / "several.txt").read_text().replace("print", "str"),
}
LINES = (Path(__file__).parent / "wrong_requests.txt").read_text().splitlines()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("files")
    for name, text in FILES.items():
        (folder / name).write_text(text)
    return folder


@pytest.mark.parametrize("line", LINES)
def test_wrong_requests_are_refused(line: str, folder: Path, dlnotes: Command) -> None:
    words, _, message = line.replace("{0}", str(folder)).rpartition(" => ")
    outcome = dlnotes(*shlex.split(words))
    assert (outcome.code, outcome.out, outcome.err.count("\n")) == (2, "", 1), outcome
    assert outcome.err.startswith("dlnotes: error: ")
    assert message in outcome.err
    assert len(outcome.err) < 700
