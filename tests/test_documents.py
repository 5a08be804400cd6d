"""The documents are true: code blocks, examples and help run as they are shown, and print what is shown."""

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

from dlnotes_cli import cli
from dlnotes_cli.serve.server import Server
from dlnotes_cli.shell import binding

ROOT = Path(__file__).parent.parent
README, COURSE, CONTRIBUTING = (
    (ROOT / name).read_text() for name in ("README.md", "examples/course.md", "CONTRIBUTING.md")
)
GENERATED = {"commands.md", "python.md"}
PAGES = [ROOT / "README.md", *(path for path in sorted(ROOT.glob("docs/*.md")) if path.name not in GENERATED)]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("examples/*.md")])
README_LINES = 250
LONG = {  # examples whose commands other tests run, too
    "char_rnn.sh", "descend.sh", "explain.sh", "export.sh", "overfitting.sh", "perceptron.sh", "train_cnn.sh",
    "series.sh", "train_mlp.sh", "train_text.sh", "transfer.sh", "visualize.sh",
}  # fmt: skip
EXAMPLES = sorted(path for path in (ROOT / "examples").iterdir() if path.suffix in {".sh", ".py"})
ENVIRONMENT = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
STEP = re.compile(r"(?P<command>dlnotes [^|>]*(?:\"[^\"]*\"[^|>]*)*)(?:\| (?P<filter>jq [^>]*?))?(?:> (?P<file>\S+))?")
SHELL_SYNTAX = re.compile(r"[|><$`;&*]|\w=")


class Block(NamedTuple):
    """A code block of a document, and the output that the document shows for it."""

    language: str
    code: str
    output: str


def blocks(text: str) -> Iterator[Block]:
    matches = re.finditer(r"^```(sh|python)\n(.*?)^```\n(?:\n```\n(.*?)^```)?", text, re.MULTILINE | re.DOTALL)
    yield from (Block(match[1], match[2], match[3] or "") for match in matches)


def run(program: list[str], folder: Path) -> str:
    done = subprocess.run(program, cwd=folder, env=ENVIRONMENT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{program}\n{done.stderr}"
    assert "Traceback" not in done.stderr
    return done.stdout


def unquoted(line: str) -> str:
    """A line without its quoted words and its comment."""
    return re.sub(r"\"[^\"$`]*\"|'[^']*'", "", line.partition(" #")[0])


def needs_no_shell(line: str) -> bool:
    """Whether a line is one dlnotes command without pipes, variables or other syntax of the shell."""
    return line.startswith("dlnotes ") and not SHELL_SYNTAX.search(unquoted(line))


def steps(line: str) -> list[re.Match[str]]:
    """The dlnotes commands of a line such as `dlnotes ... && dlnotes ... | jq ... > FILE`; none for other lines."""
    matches = [STEP.fullmatch(step) for step in line.split(" && ")]
    found = [match for match in matches if match and needs_no_shell(match["command"])]
    return found if len(found) == len(matches) else []


def output_of_step(step: re.Match[str], folder: Path, dlnotes: Command) -> str:
    """What the shell would show of a step, whose command runs in this process."""
    outcome = dlnotes(*shlex.split(step["command"], comments=True)[1:])
    assert outcome.code == 0, (step[0], outcome)
    assert "Traceback" not in outcome.err
    shown = outcome.out
    if step["filter"]:
        shown = subprocess.run(
            shlex.split(step["filter"]), input=shown, capture_output=True, text=True, check=True
        ).stdout
    if step["file"]:
        (folder / step["file"]).write_text(shown)
        return ""
    return shown


def words_of(output: str) -> list[list[str]]:
    """The words of each line; numbers, which differ from machine to machine, become #."""
    return [re.sub(r"[\d.,]+", "#", line).split() for line in output.strip().splitlines()]


def output_of(block: Block, folder: Path, dlnotes: Command) -> str:
    lines = block.code.strip().splitlines()
    if block.language == "python":
        return run([sys.executable, "-c", block.code], folder)
    if not all(map(steps, lines)):
        return run(["sh", "-eu", "-c", block.code], folder)
    return "".join(output_of_step(step, folder, dlnotes) for line in lines for step in steps(line))


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_the_blocks_of_a_page_run_in_order_and_print_what_is_shown(
    page: Path, tmp_path: Path, dlnotes: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for block in blocks(page.read_text()):
        if "jq " in block.code and shutil.which("jq") is None:
            continue
        output = output_of(block, tmp_path, dlnotes)
        if block.output:
            assert words_of(output) == words_of(block.output), block.code


def test_the_readme_is_short_and_runs_each_kind_of_command() -> None:
    assert len(README.splitlines()) <= README_LINES
    shown = "".join(block.code for block in blocks(README))
    for name in cli.COMMANDS:
        if name not in {"data cache clear", "serve"}:  # which deletes, and which does not end
            assert f"dlnotes {name} " in shown.replace("\n", " "), name


@pytest.mark.parametrize(
    "example",
    [pytest.param(path, marks=pytest.mark.slow if path.name in LONG else ()) for path in EXAMPLES],
    ids=lambda path: path.name,
)
def test_every_example_runs_and_names_what_to_look_at(example: Path, tmp_path: Path) -> None:
    assert "Look at: " in example.read_text()
    program = ["sh"] if example.suffix == ".sh" else [sys.executable]
    assert run([*program, str(example), str(tmp_path / "out")], tmp_path)


def help_examples() -> list[str]:
    return [example for name in cli.COMMANDS for example in cli.load_command(name).examples]


@pytest.mark.usefixtures("blank_figures")
@pytest.mark.slow
def test_the_examples_in_every_help_text_run(tmp_path: Path, dlnotes: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Server, "run", lambda _: None)  # which does not end
    for example in ["dlnotes train-mlp --out runs/digits --epochs 2", *help_examples()]:
        if needs_no_shell(example):
            outcome = dlnotes(*shlex.split(example)[1:])
            assert outcome.code == 0, f"{example}\n{outcome.err}"
            assert outcome.out, example
        else:
            assert run(["sh", "-c", example], tmp_path), example


def command_lines() -> list[str]:
    """Command lines for the reader's own files: indented in the README and the pages, inline in the course."""
    lines = [line for text in (*(page.read_text() for page in PAGES), COURSE) for line in text.splitlines()]
    indented = [line for line in lines if line.startswith("    dlnotes ") and "dlnotes: error" not in line]
    return sorted({line.strip() for line in indented} | set(re.findall(r"`(dlnotes [^`]+)`", COURSE)))


class ParsedError(Exception):
    """A command line was parsed."""


@pytest.mark.parametrize("line", command_lines())
def test_command_lines_for_own_files_are_valid(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    make_config = binding.config_from_shell

    def stop_after_parsing(*arguments: object) -> None:
        raise ParsedError(make_config(*arguments))  # type: ignore[arg-type]  # passed on as they are

    monkeypatch.setattr(binding, "config_from_shell", stop_after_parsing)
    arguments = shlex.split(re.sub(r" [<>] \S+", "", line), comments=True)[1:]
    with pytest.raises(ParsedError):
        cli.build(arguments[0])(arguments, standalone_mode=False)


def test_the_course_has_every_lesson_and_names_planned_commands_as_such() -> None:
    assert re.findall(r"^## Lessons? ([\d and]+)", COURSE, re.MULTILINE) == ["2", "3", "4", "5", "6", "7", "8 and 9"]
    planned: set[str] = set()
    assert set(re.findall(r"planned: `([\w-]+)`", COURSE)) == planned
    assert not planned & {name.split()[0] for name in cli.COMMANDS}


def test_the_generated_references_are_up_to_date() -> None:
    assert run([sys.executable, "tools/write_reference.py", "--check"], ROOT)


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub writes them."""
    headings = re.findall(r"^#+ (.+)", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_links_have_targets() -> None:
    for page in DOCUMENTS:
        for target, anchor in re.findall(r"\]\((?!https?:)([^)#]*)#?([^)]*)\)", page.read_text()):
            linked = page.parent / target if target else page
            assert linked.exists(), f"{page.name}: {target}"
            assert not anchor or anchor in anchors(linked), f"{page.name}: {target}#{anchor}"


def tracked_files() -> list[str]:
    return subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()


def test_the_table_of_folders_is_complete() -> None:
    listed = set(re.findall(r"^\| `([\w/]+)/` \|", CONTRIBUTING, re.MULTILINE))
    files = tracked_files()
    folders = {path.split("/")[0] for path in files if "/" in path and not path.startswith(".")} - {"dlnotes_cli"}
    inner = [path.split("/") for path in files if path.startswith("dlnotes_cli/")]
    assert listed == folders | {f"dlnotes_cli/{names[1]}" for names in inner if len(names) > 2}


def test_paths_in_the_documents_exist() -> None:
    path_in_backticks = re.compile(r"`((?:dlnotes_cli|tests|tools|docs|examples|benchmarks)/[\w./]*)`")
    for page in DOCUMENTS:
        if page.name != "CHANGELOG.md":  # whose entries may name what is gone
            for path in path_in_backticks.findall(page.read_text()):
                assert (ROOT / path).exists(), f"{page.name}: {path}"
