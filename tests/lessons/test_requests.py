"""What lessons print, draw and refuse, line by line.

`answers.txt` has requests and their whole output, standard output first; run this file to write it again, and read the
difference. `wrong_requests.txt` has requests that are refused, and what the error says; `drawings.txt` has drawings,
without their files. {0} is a folder with the files of `files.txt`, and of conv_shape/written_modules.txt.
"""

import contextlib
import io
import shlex
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from builders import Command

HERE = Path(__file__).parent
NAMED = [block.partition("\n")[::2] for block in (HERE / "files.txt").read_text().split("### ")[1:]]
MODULES = [
    block.partition("\n") for block in (HERE / "conv_shape" / "written_modules.txt").read_text().split("### ")[1:]
]
FILES = {
    **dict(NAMED),
    **{f"{head.partition(' @')[0].replace(' ', '-')}.py": code for head, _, code in MODULES},
    "net.py": dict(NAMED)["several.py"].replace("print", "str"),
    "photo.safetensors": "\x7f" * 40,
    "longest.txt": "#" * (2**20 + 1),
    "many.txt": "ReLU()\n" * 10_001,
    "residual.txt": "Residual(" + "ReLU()," * 10_001 + ")",
    "argument.txt": "Conv2d(3, 8, '" + "a" * 10_000 + "')",
    "name.txt": "ReLU()\nx = 1 + " + "a" * 10_000,
}
ANSWERS = [block.partition("\n")[::2] for block in (HERE / "answers.txt").read_text().split("$ dlnotes ")[1:]]
WRONG = (HERE / "wrong_requests.txt").read_text().splitlines()
DRAWINGS = (HERE / "drawings.txt").read_text().splitlines()


def write_files(folder: Path) -> Path:
    for name, text in FILES.items():
        (folder / name).write_text(text)
    (folder / "latin.txt").write_bytes(b"ReLU()\nConv2d(3, 8, \xff)\n")
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_files(tmp_path_factory.mktemp("files"))


@pytest.mark.parametrize(("request_line", "answer"), ANSWERS, ids=[line for line, _ in ANSWERS])
def test_answers(request_line: str, answer: str, folder: Path, dlnotes: Command) -> None:
    outcome = dlnotes(*shlex.split(request_line.replace("{0}", str(folder))))
    assert outcome.code == 0, outcome.err
    assert (outcome.out + outcome.err).replace(str(folder), "{0}") == answer.removesuffix("\n")


@pytest.mark.parametrize("line", WRONG)
def test_wrong_requests_are_refused(line: str, folder: Path, refused: Callable[[str, str], None]) -> None:
    words, _, message = line.replace("{0}", str(folder)).rpartition(" => ")
    refused(words, message)


@pytest.mark.parametrize("line", DRAWINGS)
def test_drawings(line: str, folder: Path, tmp_path: Path, dlnotes: Command) -> None:
    path, start = (tmp_path / "a.gif", b"GIF89a") if "--animate" in line else (tmp_path / "a.png", b"\x89PNG")
    outcome = dlnotes(*shlex.split(line.replace("{0}", str(folder))), path)
    assert (outcome.code, outcome.out.splitlines()[-1]) == (0, str(path)), outcome.err
    assert path.read_bytes().startswith(start)


def write_answers() -> None:
    from dlnotes_cli.cli import main

    blocks = []
    with tempfile.TemporaryDirectory() as name:
        write_files(Path(name))
        for line, _ in ANSWERS:
            content, err = io.BytesIO(), io.StringIO()
            out = io.TextIOWrapper(content, encoding="utf-8", write_through=True)
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                main(shlex.split(line.replace("{0}", name)))
            blocks.append(f"$ dlnotes {line}\n{content.getvalue().decode()}{err.getvalue()}\n".replace(name, "{0}"))
    (HERE / "answers.txt").write_text("".join(blocks))


if __name__ == "__main__":
    write_answers()
