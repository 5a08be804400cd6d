import errno
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from builders import Command, make_images, small_training

from dlnotes_cli import __version__
from dlnotes_cli.classify import train_mlp
from dlnotes_cli.cli import COMMANDS, GROUPS, load_command
from dlnotes_cli.shell.binding import ARGUMENTS
from dlnotes_cli.shell.option import PANELS, options_of

ROOT = Path(__file__).parent.parent
PROGRAM = [sys.executable, "-m", "dlnotes_cli"]


def test_version_and_help(dlnotes: Command) -> None:
    assert dlnotes("--version").out == f"dlnotes {__version__}\n"
    for words in ((), ("--help",), ("-h",)):
        outcome = dlnotes(*words)
        assert outcome.code == 0
        assert all(name in outcome.out for name in ("Train", "Use", "Manage", "train-mlp", "evaluate", "doctor"))
        assert outcome.err == ""
    assert "list" in dlnotes("data").out


@pytest.mark.parametrize("name", ["", *GROUPS, *COMMANDS])
def test_help_fits_80_columns_and_shows_each_panel_once_and_no_types(
    name: str, dlnotes: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    text = dlnotes(*name.split(), "--help").out
    lines = [line.rstrip() for line in text.splitlines()]
    assert max(map(len, lines)) <= 80
    assert not re.search(r"<(str|bool|int|float|list)|\[\[|Usage.*{", text)
    if name in COMMANDS:
        declared = load_command(name)
        assert {f" $ {example}" for example in declared.examples} <= set(lines)
        used = [ARGUMENTS if one.is_argument else one.panel for one in options_of(declared.config_type).values()]
        assert used == sorted(used, key=(ARGUMENTS, *PANELS).index)
        shown = [panel for panel in re.findall(r"╭─ (\S+) ─", text) if panel in {ARGUMENTS, *PANELS}]
        assert [panel for panel in shown if panel in used] == [*dict.fromkeys(used)]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_examples_and_the_same_ways_of_output(name: str, dlnotes: Command) -> None:
    declared = load_command(name)
    assert len(declared.examples) >= 2
    assert all(example.startswith(f"dlnotes {name.split(maxsplit=1)[0]}") for example in declared.examples)
    assert f"`{name}`" in (ROOT / "README.md").read_text()
    options = options_of(declared.config_type)
    assert {"json", "quiet", "verbose"} <= options.keys()
    assert all(described.help and described.panel in PANELS for described in options.values())
    outcome = dlnotes(*name.split(), "--no-such-option")
    assert (outcome.code, outcome.out) == (2, "")
    assert re.fullmatch(r"dlnotes: error: --no-such-option: no such option; .*\n", outcome.err)


def test_a_name_that_is_too_long_is_reported_in_one_line(dlnotes: Command) -> None:
    name = "x" * 300
    for words in (["evaluate", name], ["data", "preview", "--out", f"{name}.png"], ["train-mlp", "--out", name]):
        outcome = dlnotes(*words)
        assert (outcome.code, outcome.err.count("\n")) == (2, 1)
        assert "file name too long" in outcome.err


@pytest.mark.parametrize(
    "words", [["evaluate", "~no-such-user/run"], ["train-mlp", "--resume", "~no-such-user/run"],
              ["filter", "--kernel", "~no-such-user/k.txt"], ["conv-shape", "~no-such-user/net.py"]],
)  # fmt: skip
def test_a_missing_home_directory_is_not_a_bug(words: list[str], dlnotes: Command) -> None:
    outcome = dlnotes(*words)
    assert (outcome.code, outcome.err.count("\n")) == (2, 1)


def test_verbose_prints_the_options_in_force_and_where_data_is(dlnotes: Command) -> None:
    stderr = dlnotes("data", "info", "digits", "-v").err
    assert re.search(r"options: data digits, .*verbose True", stderr)
    assert "data: digits is in" in stderr


def test_a_bug_is_the_only_traceback(dlnotes: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: object) -> None:
        raise ZeroDivisionError("oops")

    monkeypatch.setattr(train_mlp, "train_mlp", broken)
    outcome = dlnotes(*small_training(tmp_path / "run"))
    assert outcome.code == 1
    assert "Traceback" in outcome.err
    assert "dlnotes doctor --json" in outcome.err


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: 9 bytes"),
        ImportError("ft2font.so: failed to map segment from shared object"),  # as the dynamic linker says it
        OSError(errno.ENOMEM, os.strerror(errno.ENOMEM)),
    ],
)
def test_out_of_memory_is_reported_in_one_line(
    error: Exception, dlnotes: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def out_of_memory(_: object) -> None:
        raise error

    monkeypatch.setattr(train_mlp, "train_mlp", out_of_memory)
    outcome = dlnotes(*small_training(tmp_path / "run"))
    assert outcome.code == 3
    assert re.fullmatch(
        r"dlnotes: error: memory: not enough for this command; train with --accumulate 4.*--hidden.*--batch-size.*\n",
        outcome.err,
    )


def test_debug_shows_the_traceback_of_an_error(dlnotes: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DLNOTES_DEBUG", "1")
    assert "Traceback" in dlnotes("evaluate", "gone").err


def test_control_characters_in_names_are_escaped(dlnotes: Command) -> None:
    outcome = dlnotes("predict", "a\nb\x1b[31m")
    assert outcome.err.count("\n") == 1
    assert r"a\x0ab\x1b[31m" in outcome.err


@pytest.mark.parametrize("words", [["data", "info"], ["data", "list", "--json"], ["--help"]], ids=" ".join)
def test_a_closed_pipe_ends_quietly(words: list[str]) -> None:
    process = subprocess.Popen([*PROGRAM, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait() == 0


@pytest.mark.parametrize(
    "environment", [{"NO_COLOR": "1"}, {"TERM": "dumb"}, {"PYTHONIOENCODING": "ascii"}, {"COLUMNS": "20"}], ids=str
)
def test_output_is_plain_on_any_terminal(environment: dict[str, str]) -> None:
    done = subprocess.run([*PROGRAM, "data", "info"], capture_output=True, env=os.environ | environment, check=True)
    assert b"\x1b" not in done.stdout
    assert b"178" in done.stdout
    assert done.stderr == b""


def test_both_ways_to_start_the_program() -> None:
    script = Path(sys.executable).parent / "dlnotes"
    for command in ([str(script)], PROGRAM):
        done = subprocess.run([*command, "data", "list", "--json"], capture_output=True, check=True)
        assert json.loads(done.stdout)["command"] == "data list"


def test_signals_outside_a_training_loop(dlnotes: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(train_mlp, "train_mlp", interrupted)
    assert dlnotes(*small_training(tmp_path / "run")).code == 130

    for number, code in ((signal.SIGTERM, 143), (signal.SIGINT, 130)):
        if signal.getsignal(number) is signal.SIG_IGN:  # a job in the background of a shell script
            continue
        monkeypatch.setattr(train_mlp, "train_mlp", lambda _, number=number: signal.raise_signal(number))
        outcome = dlnotes(*small_training(tmp_path / "run"))
        assert (outcome.code, outcome.err) == (code, "")


@pytest.mark.parametrize("value", ["²", "9" * 20, "-1", "many", "1025"])
def test_a_number_of_threads_that_is_none_is_reported_in_one_line(
    value: str, dlnotes: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", value)
    outcome = dlnotes("filter", "--out", tmp_path / "x.png")
    assert (outcome.code, outcome.err.count("\n")) == (2, 1)
    assert outcome.err.startswith(f"dlnotes: error: $OMP_NUM_THREADS: '{value}' is not a number of threads")


def test_a_limit_on_open_files_is_reported_in_one_line() -> None:
    limited = "import resource; from dlnotes_cli import cli; resource.setrlimit(resource.RLIMIT_NOFILE, (3, 3)); "
    program = [sys.executable, "-c", limited + "raise SystemExit(cli.main(['doctor']))"]
    done = subprocess.run(program, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.count("\n")) == (3, 1)
    assert done.stderr.startswith("dlnotes: error: open files: the process may not open more; raise the limit")


def test_a_completion_that_cannot_be_installed_is_reported_in_one_line() -> None:
    environment = os.environ | {"HOME": os.devnull, "SHELL": "/bin/bash"}
    in_bash = ["bash", "-c", '"$@"; exit $?', "bash"]  # a parent process that Typer recognizes
    command = [*in_bash, *PROGRAM, "--install-completion", "bash"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert done.stderr.startswith("dlnotes: error: --install-completion: cannot install")


def test_names_in_a_locale_that_is_not_utf8_are_readable(tmp_path: Path) -> None:
    make_images(tmp_path / "images")
    (tmp_path / "images" / "red").rename(tmp_path / "images" / "café")
    environment = os.environ | {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii"}
    command = [*PROGRAM, "data", "info", str(tmp_path / "images")]
    assert rb"caf\xe9 " in subprocess.run(command, capture_output=True, env=environment, check=True).stdout
    done = subprocess.run([*command, "--json"], capture_output=True, env=environment, check=True)
    assert json.loads(done.stdout)["classes"] == ["blue", "café", "green"]
