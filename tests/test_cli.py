"""The program: what its output, errors and exit code are in unusual surroundings."""

import errno
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from builders import Command, make_images

from dlnotes_cli import __version__
from dlnotes_cli.manage import data

PROGRAM = [sys.executable, "-m", "dlnotes_cli"]
LIMITED = "import resource; from dlnotes_cli import cli; resource.setrlimit(resource.RLIMIT_NOFILE, (3, 3)); "


def test_version_and_help(dlnotes: Command) -> None:
    assert dlnotes("--version").out == f"dlnotes {__version__}\n"
    for words in ((), ("--help",), ("-h",)):
        outcome = dlnotes(*words)
        assert (outcome.code, outcome.err) == (0, "")
        assert all(name in outcome.out for name in ("Train", "Use", "Manage", "train-mlp", "evaluate", "doctor"))
    assert "list" in dlnotes("data").out


def test_verbose_prints_the_options_in_force_and_where_data_is(dlnotes: Command) -> None:
    stderr = dlnotes("data", "info", "digits", "-v").err
    assert re.search(r"options: data digits, .*verbose True", stderr)
    assert "data: digits is in" in stderr


MEMORY = "dlnotes: error: memory: not enough for this command; train with --accumulate 4"


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (ZeroDivisionError("oops"), 1, "dlnotes doctor --json"),
        (MemoryError(), 3, MEMORY),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: 9 bytes"), 3, MEMORY),
        (ImportError("ft2font.so: failed to map segment from shared object"), 3, MEMORY),  # as the dynamic linker says
        (OSError(errno.ENOMEM, os.strerror(errno.ENOMEM)), 3, MEMORY),
        (
            RuntimeError(os.strerror(errno.EMFILE)),
            3,
            "dlnotes: error: open files: the process may not open more; raise",
        ),
        (PermissionError(errno.EACCES, "Permission denied", "a"), 2, "dlnotes: error: a: permission denied; check the"),
        (KeyboardInterrupt(), 130, ""),
    ],
    ids=lambda value: type(value).__name__,
)
def test_an_exception_is_one_line_and_only_a_bug_has_a_traceback(
    error: BaseException, code: int, message: str, dlnotes: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: object) -> None:
        raise error

    monkeypatch.setattr(data, "list_sets", fail)
    outcome = dlnotes("data", "list")
    assert (outcome.code, "Traceback" in outcome.err) == (code, code == 1)
    assert message in outcome.err
    assert outcome.err.count("\n") <= 1 or code == 1


def test_debug_shows_the_traceback_of_an_error(dlnotes: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DLNOTES_DEBUG", "1")
    assert "Traceback" in dlnotes("evaluate", "gone").err


@pytest.mark.parametrize("value", ["\u00b2", "9" * 20, "-1", "many", "1025"])
def test_a_number_of_threads_that_is_none_is_reported_in_one_line(
    value: str, dlnotes: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", value)
    outcome = dlnotes("filter", "--out", tmp_path / "x.png")
    assert (outcome.code, outcome.err.count("\n")) == (2, 1)
    assert outcome.err.startswith(f"dlnotes: error: $OMP_NUM_THREADS: '{value}' is not a number of threads")


def run(command: list[str], **environment: str) -> Any:
    return subprocess.run(command, capture_output=True, env=os.environ | environment, check=False)


@pytest.mark.parametrize("words", ["data info", "data list --json", "--help"])
def test_a_closed_pipe_ends_quietly(words: str) -> None:
    process = subprocess.Popen([*PROGRAM, *words.split()], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.close()
    assert process.communicate()[1] == b""
    assert process.returncode == 0


@pytest.mark.parametrize(
    "environment", [{"NO_COLOR": "1"}, {"TERM": "dumb"}, {"PYTHONIOENCODING": "ascii"}, {"COLUMNS": "20"}], ids=str
)
def test_output_is_plain_on_any_terminal(environment: dict[str, str]) -> None:
    done = run([*PROGRAM, "data", "info"], **environment)
    assert (b"\x1b" in done.stdout, b"178" in done.stdout, done.stderr) == (False, True, b"")


def test_both_ways_to_start_the_program() -> None:
    for command in ([str(Path(sys.executable).parent / "dlnotes")], PROGRAM):
        assert json.loads(run([*command, "data", "list", "--json"]).stdout)["command"] == "data list"


IN_BASH = ["bash", "-c", '"$@"; exit $?', "bash", *PROGRAM]  # a parent process that Typer recognizes


@pytest.mark.parametrize(
    ("program", "code", "line"),
    [
        ([sys.executable, "-c", f"{LIMITED}raise SystemExit(cli.main(['doctor']))"], 3, "open files: the process may"),
        ([*IN_BASH, "--install-completion", "bash"], 2, "--install-completion: cannot install"),
    ],
)
def test_limits_of_the_system_are_reported_in_one_line(program: list[str], code: int, line: str) -> None:
    done = run(program, HOME=os.devnull, SHELL="/bin/bash")
    assert (done.returncode, done.stderr.count(b"\n")) == (code, 1)
    assert done.stderr.startswith(f"dlnotes: error: {line}".encode())


def test_names_in_a_locale_that_is_not_utf8_are_readable(tmp_path: Path) -> None:
    make_images(tmp_path / "images")
    (tmp_path / "images" / "red").rename(tmp_path / "images" / "café")
    environment = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii"}
    command = [*PROGRAM, "data", "info", str(tmp_path / "images")]
    assert rb"caf\xe9 " in run(command, **environment).stdout
    assert json.loads(run([*command, "--json"], **environment).stdout)["classes"] == ["blue", "café", "green"]
