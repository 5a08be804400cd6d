"""What lessons print and what they refuse, line by line.

`answers.txt` has requests and their whole output, standard output first; run this file to write it again, and read the
difference. `wrong_requests.txt` has requests that are refused, and what the error says.
"""

import contextlib
import io
import shlex
import tempfile
from pathlib import Path

import pytest
from builders import Command

HERE = Path(__file__).parent
MODULES = (HERE / "conv_shape" / "written_modules.txt").read_text().split("### ")[1:]
FILES = {
    "three.csv": "1,2,0\n1,3,1\n2,2,2\n",
    "words.csv": "a,b\n1,0\nx,1\n",
    "lonely.csv": "0\n1\n",
    "nan.csv": "a,b\nnan,0\n1,1\n",
    "ragged.csv": "1,2,0\n1,2\n",
    "scores.csv": "duck,beaver,walrus,animal\n2,1,0,duck\n0,3,1,walrus\n",
    "predicted.csv": "predicted,actual\n2.5,3\n0,-0.5\n",
    "overlapping.csv": "kind,size\nup,1\nup,2\ndown,3\nup,4\ndown,5\n",
    "bad.json": "[1, 2",
    "shape.json": '{"0.weight": [[1, 2]], "0.bias": [0]}',
    "nan.json": '{"0.weight": [[NaN]], "0.bias": [0]}',
    "photo.safetensors": "\x7f" * 40,
    "empty.safetensors": "",
    "linear.txt": "Linear(4, 2)",
    "whole-first.py": "class Net(nn.Module):\n    def __init__(self):\n        super().__init__()\n"
    "        self.part = Part()\n    def forward(self, x):\n        return self.part(x)\n"
    "class Part(nn.Linear):\n    def __init__(self):\n        super().__init__(4, 2)\n",
    "skipped.py": "class Part(nn.Module):\n    def __init__(self):\n        super().__init__()\n"
    "        self.fc = nn.Linear(4, 4)\n    def forward(self, x):\n        return x\n"
    "model = nn.Sequential(Part(), nn.Linear(4, 2))\n",
    "cuda.py": "class Net(nn.Module):\n    def __init__(self):\n        super().__init__()\n"
    "        self.scale = torch.ones(4).to('cuda')\n        self.fc = nn.Linear(4, 2).cuda()\n"
    "    def forward(self, x):\n        return self.fc(x * self.scale)\n",
    "several.py": (HERE / "conv_shape" / "several.txt").read_text(),
    "nothing.txt": "",
    "system.txt": "import os\nos.system('true')\n",
    "unknown.txt": "ReLU()\nsay('x')\n",
    "lambda.txt": "ReLU()\nx = lambda: 3\n",
    "channels.txt": "ReLU()\n\n\nConv2d(4, 8, 3)\n",
    "longest.txt": "#" * (2**20 + 1),
    "many.txt": "ReLU()\n" * 10_001,
    "residual.txt": "Residual(" + "ReLU()," * 10_001 + ")",
    "argument.txt": "Conv2d(3, 8, '" + "a" * 10_000 + "')",
    "name.txt": "ReLU()\nx = 1 + " + "a" * 10_000,
    "net.py": (HERE / "conv_shape" / "several.txt").read_text().replace("print", "str"),
    **{f"{block.partition(' @')[0].replace(' ', '-')}.py": block.partition("\n")[2] for block in MODULES},
}
ANSWERS = [block.partition("\n")[::2] for block in (HERE / "answers.txt").read_text().split("$ dlnotes ")[1:]]
WRONG = (HERE / "wrong_requests.txt").read_text().splitlines()


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
def test_wrong_requests_are_refused(line: str, folder: Path, dlnotes: Command) -> None:
    words, _, message = line.replace("{0}", str(folder)).rpartition(" => ")
    outcome = dlnotes(*shlex.split(words))
    assert (outcome.code, outcome.out, outcome.err.count("\n")) == (2, "", 1), outcome
    assert outcome.err.startswith("dlnotes: error: ")
    assert message in outcome.err
    assert len(outcome.err) < 700


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
