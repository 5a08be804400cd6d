"""Standard streams that are full, closed or a pipe."""

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest
from builders import Command, small_training

pytestmark = pytest.mark.usefixtures("blank_figures")

PROGRAM = [sys.executable, "-m", "dlnotes_cli"]


has_full_device = pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no /dev/full")
FULL = "dlnotes: error: stdout: cannot be written (no space left on device); free space, or redirect it elsewhere\n"


@has_full_device
@pytest.mark.parametrize(
    "words", ["evaluate RUN --json", "predict RUN RUN/confusion.png --jsonl", "predict RUN RUN/confusion.png --csv -"]
)
def test_a_full_stdout_is_reported_in_one_line(
    words: str, digits_run: Path, dlnotes: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Path("/dev/full").open("w") as full:
        monkeypatch.setattr(sys, "stdout", full)
        outcome = dlnotes(*words.replace("RUN", str(digits_run)).split())
    assert (outcome.code, outcome.err) == (3, FULL)


LIMITED = FULL.replace("no space left on device", "file too large")


@has_full_device
@pytest.mark.parametrize(
    ("words", "redirection", "code", "stderr"),
    [
        ("--help", ">/dev/full", 3, FULL),
        ("data info gone", "2>/dev/full", 2, ""),
        ("filter - --out -", "2>/dev/full </dev/null", 2, ""),
        ("data list --json", ">&-", 0, ""),
        ("data list --json", "<&-", 0, ""),
        ("data list --json", "2>&-", 0, ""),
        ("data list --json", "<&- >&- 2>&-", 0, ""),
        ("filter --out - --format npy", "| head -c 9 >/dev/null; exit ${PIPESTATUS[0]}", 0, ""),
        ("filter --out - --format npy", ">OUT", 3, LIMITED),  # which a limit on file sizes cuts short
        ("filter --out - --format npy", ">OUT  # unbuffered", 3, LIMITED),
    ],
)
def test_a_full_closed_or_short_stream_is_not_a_bug(
    words: str, redirection: str, code: int, stderr: str, tmp_path: Path
) -> None:
    script = f"""ulimit -f 64; "$@" {redirection.replace("OUT", str(tmp_path / "out"))}"""  # KiB; the image has more
    environment = os.environ | {"PYTHONUNBUFFERED": "1" if "unbuffered" in redirection else ""}
    command = ["bash", "-c", script, "bash", *PROGRAM, *words.split()]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert (done.returncode, done.stderr) == (code, stderr)
    assert done.stdout.startswith("{") == (words.startswith("data list") and ">&-" not in redirection.split())


@has_full_device
@pytest.mark.parametrize("is_closed", [True, False])
def test_a_closed_or_full_stderr_stops_no_command(
    is_closed: bool, tmp_path: Path, dlnotes: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Path("/dev/full").open("w", buffering=1) as full:
        monkeypatch.setattr(sys, "stderr", None if is_closed else full)
        outcome = dlnotes(*small_training(tmp_path / "run", "--json"))
        os.dup2(os.open(os.devnull, os.O_WRONLY), full.fileno())  # discards what is still buffered
    if is_closed:
        sys.stderr.close()
    assert outcome.code == 0
    assert outcome.out == (tmp_path / "run" / "result.json").read_text()


def test_a_list_of_paths_may_be_a_pipe_but_neither_closed_nor_endless(
    digits_run: Path, dlnotes: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader, writer = os.pipe()  # as the shell creates for <(...)
    os.write(writer, f"{digits_run / 'confusion.png'}\n".encode())
    os.close(writer)
    outcome = dlnotes("predict", digits_run, "--files-from", f"/dev/fd/{reader}", "--jsonl")
    os.close(reader)
    assert (outcome.code, "confusion.png" in outcome.out) == (0, True)
    monkeypatch.setattr(sys, "stdin", None)
    outcome = dlnotes("predict", digits_run, "--files-from", "-")
    sys.stdin.close()
    assert (outcome.code, outcome.err[:37]) == (2, "dlnotes: error: PATH: no input given;")
    monkeypatch.setattr("dlnotes_cli.data.paths._LONGEST_LIST", 1000)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"a.png\n" * 1000)))
    for source, what in (
        ("-", "stdin: is longer than 1,000 bytes; give a list of paths"),
        ("/dev/zero", "is not a file"),
    ):
        outcome = dlnotes("predict", digits_run, "--files-from", source)
        assert (outcome.code, what in outcome.err) == (2, True)
