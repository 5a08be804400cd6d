"""What the documents show is true: blocks, examples and help run as they stand, and show what is shown of them."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from builders import Command
from test_structure import commands

from dlnotes_cli import cli
from dlnotes_cli.shell import binding

ROOT = Path(__file__).parent.parent
README, COURSE = ((ROOT / name).read_text() for name in ("README.md", "examples/course.md"))
EXAMPLES = sorted(path for path in (ROOT / "examples").iterdir() if path.suffix in {".sh", ".py"})
ENVIRONMENT = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
OF_THE_SHELL = re.compile(r"[|><$`;&]|\w=")  # what only a shell understands


class Block(NamedTuple):
    """Code that a document shows, and the output that it shows for it."""

    language: str
    code: str
    shown: str


def blocks(text: str) -> Iterator[Block]:
    found = re.finditer(r"^```(sh|python)\n(.*?)^```\n(?:\n```\n(.*?)^```)?", text, re.MULTILINE | re.DOTALL)
    yield from (Block(match[1], match[2], match[3] or "") for match in found)


def run(program: list[str], folder: Path) -> str:
    done = subprocess.run(program, cwd=folder, env=ENVIRONMENT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{program}\n{done.stderr}"
    assert "Traceback" not in done.stderr
    return done.stdout


def is_plain(line: str) -> bool:
    """Whether a line is one command of ours and nothing that a shell would have to read."""
    unquoted = re.sub(r"\"[^\"$`]*\"|'[^']*'", "", line)
    return line.startswith("dlnotes ") and not OF_THE_SHELL.search(unquoted)


def form(output: str) -> list[list[str]]:
    """Output without its numbers and the width of its columns, which differ from machine to machine."""
    return [re.sub(r"[\d.,]+", "#", line).split() for line in output.strip().splitlines()]


def test_every_block_of_the_readme_runs_in_order_and_gives_what_is_shown(
    tmp_path: Path, dlnotes: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    found = list(blocks(README))
    assert len(found) >= 10
    for block in found:
        if "jq " in block.code and shutil.which("jq") is None:
            continue
        if block.language == "python":
            output = run([sys.executable, "-c", block.code], tmp_path)
        elif all(map(is_plain, block.code.strip().splitlines())):
            outcomes = [dlnotes(*shlex.split(line, comments=True)[1:]) for line in block.code.strip().splitlines()]
            assert all(outcome.code == 0 for outcome in outcomes), (block.code, outcomes)
            output = "".join(outcome.out for outcome in outcomes)
        else:
            output = run(["sh", "-eu", "-c", block.code], tmp_path)
        if block.shown:
            assert form(output) == form(block.shown), block.code


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
def test_every_example_runs_and_says_what_to_look_at(example: Path, tmp_path: Path) -> None:
    assert "Look at: " in example.read_text()
    program = ["sh"] if example.suffix == ".sh" else [sys.executable]
    assert run([*program, str(example), str(tmp_path / "out")], tmp_path)


def help_examples() -> list[str]:
    return [
        example.strip()
        for command in commands().values()
        for example in re.findall(r"\$ (dlnotes [^\[]+)\[", str(command.help))  # type: ignore[attr-defined]
    ]


def test_the_examples_of_every_help_run_as_they_stand(
    tmp_path: Path, dlnotes: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for example in ["dlnotes train-mlp --out runs/digits --epochs 2", *help_examples()]:
        if is_plain(example):
            outcome = dlnotes(*shlex.split(example)[1:])
            assert outcome.code == 0, f"{example}\n{outcome.err}"
            assert outcome.out, example
        else:
            assert run(["sh", "-c", example], tmp_path), example


def lines_of_commands() -> list[str]:
    """Commands that documents show for files of the reader's own: indented in the README, inline in the course."""
    indented = [
        line for line in README.splitlines() if line.startswith("    dlnotes ") and "dlnotes: error" not in line
    ]
    return [line.strip() for line in indented] + re.findall(r"`(dlnotes [^`]+)`", COURSE)


class ParsedError(Exception):
    """A command line was understood."""


@pytest.mark.parametrize("line", lines_of_commands())
def test_commands_for_own_files_are_understood(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    make = binding.config_from_shell

    def parsed(*words: object) -> None:
        raise ParsedError(make(*words))  # type: ignore[arg-type]  # the words that it takes

    monkeypatch.setattr(binding, "config_from_shell", parsed)
    words = shlex.split(re.sub(r" [<>] \S+", "", line), comments=True)[1:]
    with pytest.raises(ParsedError):
        cli.build(words[0])(words, standalone_mode=False)


def test_the_course_has_every_lesson_and_names_no_command_that_is_not_there() -> None:
    assert re.findall(r"^## Lessons? ([\d and]+)", COURSE, re.MULTILINE) == ["2", "3", "4", "5", "6", "7", "8 and 9"]
    to_come = {"perceptron", "descend", "series", "cell", "visualize", "export"}
    assert set(re.findall(r"to come: `([\w-]+)`", COURSE)) == to_come
    assert not to_come & {name.split()[0] for name in commands()}


def test_the_reference_is_what_the_program_says() -> None:
    assert run([sys.executable, "tools/write_reference.py", "--check"], ROOT)


def test_every_command_can_be_called_from_python() -> None:
    from dlnotes_cli import api
    from dlnotes_cli.shell.option import Config

    def below(kind: type[Config]) -> set[type[Config]]:
        return {kind, *(one for child in kind.__subclasses__() for one in below(child))}

    kinds = [kind for kind in below(Config) if kind.__module__.startswith("dlnotes_cli.")]
    named = {kind.__name__ for kind in kinds if "command" in vars(kind)}
    assert named - {"CacheListConfig"} <= set(api.__all__)  # whose task takes no option
    assert len(named) >= len(commands())


def test_links_lead_somewhere() -> None:
    for page in [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("examples/*.md")]:
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_the_tree_of_the_readme_is_true() -> None:
    told = set(re.findall(r"^\| `([\w/]+)/` \|", README, re.MULTILINE))
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    folders = {path.split("/")[0] for path in listed if "/" in path and not path.startswith(".")} - {"dlnotes_cli"}
    parts = [path.split("/") for path in listed if path.startswith("dlnotes_cli/")]
    assert told == folders | {f"dlnotes_cli/{part[1]}" for part in parts if len(part) > 2}
