"""What the documents show runs as it stands: README blocks, examples, and the examples of each command's help."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
EXAMPLES = sorted(path for path in (ROOT / "examples").iterdir() if path.suffix in {".sh", ".py"})
ENVIRONMENT = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}


def run(command: list[str], folder: Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(command, cwd=folder, env=ENVIRONMENT, capture_output=True, text=True, check=False)


def test_every_block_of_the_readme_runs_in_order(tmp_path: Path) -> None:
    text = (ROOT / "README.md").read_text()
    blocks = re.findall(r"^```(sh|python)\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    assert len(blocks) >= 4
    for language, code in blocks:
        done = run(["sh", "-eu", "-c", code] if language == "sh" else [sys.executable, "-c", code], tmp_path)
        assert done.returncode == 0, f"{code}\n{done.stderr}"
        assert "Traceback" not in done.stderr


def test_the_readme_shows_the_real_form_of_the_result(tmp_path: Path) -> None:
    shown = re.search(r"^```\n(part .*?)^```", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)
    assert shown is not None
    done = run(["dlnotes", "train-mlp", "--epochs", "1", "--out", "runs/digits"], tmp_path)
    plain = [re.sub(r"[\d.,]+", "#", line).split() for line in (shown[1], done.stdout)[0].splitlines()]
    assert plain == [re.sub(r"[\d.,]+", "#", line).split() for line in done.stdout.splitlines()]


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
def test_every_example_runs_and_says_what_to_look_at(example: Path, tmp_path: Path) -> None:
    assert "Look at: " in example.read_text()
    program = ["sh"] if example.suffix == ".sh" else [sys.executable]
    done = run([*program, str(example), str(tmp_path / "out")], tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout


def help_examples() -> list[str]:
    from test_structure import commands

    return [
        example.strip()
        for command in commands().values()
        for example in re.findall(r"\$ (dlnotes [^\[]+)\[", str(command.help))  # type: ignore[attr-defined]
    ]


def test_the_examples_of_every_help_run_as_they_stand(tmp_path: Path) -> None:
    first = "dlnotes train-mlp --out runs/digits --epochs 2"
    for example in [first, *help_examples()]:
        done = run(["sh", "-c", example], tmp_path)
        assert done.returncode == 0, f"{example}\n{done.stderr}"
        assert done.stdout, example
