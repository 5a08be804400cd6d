"""Standard streams that are full or closed, and paths that are not plain files: pipes, devices, links to a parent."""

import io
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from builders import Command, make_images, small_training

pytestmark = pytest.mark.usefixtures("blank_figures")

PROGRAM = [sys.executable, "-m", "dlnotes_cli"]


def in_shell(words: Sequence[object], redirection: str) -> "subprocess.CompletedProcess[str]":
    """Run the program from a shell, its streams redirected."""
    script = f'exec "$@" {redirection}'
    command = ["sh", "-c", script, "sh", *PROGRAM, *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


has_full_device = pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no /dev/full")
FULL = "dlnotes: error: stdout: cannot be written (no space left on device); free space, or redirect it elsewhere\n"


@has_full_device
@pytest.mark.parametrize(
    "words",
    [
        ["doctor"],
        ["evaluate", "RUN", "--json"],
        ["predict", "RUN", "RUN/confusion.png", "--jsonl"],
        ["predict", "RUN", "RUN/confusion.png", "--csv", "-"],
    ],
    ids=" ".join,
)
def test_a_full_stdout_is_reported_in_one_line(
    words: list[str], digits_run: Path, dlnotes: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Path("/dev/full").open("w") as full:
        monkeypatch.setattr(sys, "stdout", full)
        outcome = dlnotes(*(word.replace("RUN", str(digits_run)) for word in words))
    assert (outcome.code, outcome.err) == (3, FULL)


@has_full_device
def test_a_full_stdout_is_reported_once_by_the_program() -> None:
    done = in_shell(["--help"], ">/dev/full")
    assert (done.returncode, done.stderr) == (3, FULL)


@has_full_device
def test_a_full_stderr_stops_no_command(tmp_path: Path, dlnotes: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    with Path("/dev/full").open("w", buffering=1) as full:
        monkeypatch.setattr(sys, "stderr", full)
        outcome = dlnotes(*small_training(tmp_path / "run", "--json"))
        os.dup2(os.open(os.devnull, os.O_WRONLY), full.fileno())  # discards what is still buffered
    assert outcome.code == 0
    assert outcome.out == (tmp_path / "run" / "result.json").read_text()


@has_full_device
@pytest.mark.parametrize("words", [["data", "info", "gone"], ["filter", "-", "--out", "-"]], ids=" ".join)
def test_a_full_stderr_does_not_change_the_exit_code(words: list[str]) -> None:
    assert in_shell(words, "2>/dev/full </dev/null").returncode == 2


@pytest.mark.parametrize("unbuffered", ["1", ""])
def test_a_write_that_is_cut_short_is_reported(unbuffered: str, tmp_path: Path) -> None:
    limit = 'ulimit -f 64; exec "$@" >"$0"'  # KiB in dash and bash; the image has more
    command = ["bash", "-c", limit, str(tmp_path / "out.npy"), *PROGRAM, "filter", "--out", "-", "--format", "npy"]
    environment = os.environ | {"PYTHONUNBUFFERED": unbuffered}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 3
    assert done.stderr == "dlnotes: error: stdout: cannot be written (file too large); " + FULL.partition("; ")[2]


def test_a_result_is_complete_without_a_buffer() -> None:
    whole, unbuffered = (
        subprocess.run(
            [*PROGRAM, "filter", "--out", "-"], env=os.environ | {"PYTHONUNBUFFERED": value}, capture_output=True,
            check=True,
        ).stdout
        for value in ("", "1")
    )  # fmt: skip
    assert whole == unbuffered
    assert len(whole) > 10_000


@pytest.mark.parametrize("redirection", [">&-", "<&-", "2>&-", "<&- >&- 2>&-"])
def test_a_closed_stream_is_not_a_bug(redirection: str) -> None:
    done = in_shell(["data", "list", "--json"], redirection)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("{") or ">&-" in redirection.split()


def test_notes_do_not_go_to_stdout_if_stderr_is_closed(
    tmp_path: Path, dlnotes: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stderr", None)
    outcome = dlnotes(*small_training(tmp_path / "run", "--json"))
    sys.stderr.close()
    assert outcome.code == 0
    assert outcome.out == (tmp_path / "run" / "result.json").read_text()


def test_a_closed_stdin_contains_no_paths(digits_run: Path, dlnotes: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    outcome = dlnotes("predict", digits_run, "--files-from", "-")
    sys.stdin.close()
    assert outcome.code == 2
    assert outcome.err.startswith("dlnotes: error: PATH: no input given; ")


NOT_PLAIN = "is not a regular file; save its content to a file first"


@pytest.mark.parametrize("words", ["PIPE x.png", "RUN PIPE", "/dev/zero x.png", "RUN /dev/zero"])
def test_a_pipe_or_device_is_neither_model_nor_image(
    words: str, tmp_path: Path, digits_run: Path, dlnotes: Command
) -> None:
    pipe = tmp_path / "pipe.png"
    os.mkfifo(pipe)
    outcome = dlnotes("predict", *words.replace("PIPE", str(pipe)).replace("RUN", str(digits_run)).split())
    where = pipe if "PIPE" in words else "/dev/zero"
    assert (outcome.code, outcome.err) == (2, f"dlnotes: error: {where}: {NOT_PLAIN}\n")


def test_a_pipe_among_the_images_of_a_class_is_a_bad_file(tmp_path: Path, dlnotes: Command) -> None:
    root = make_images(tmp_path / "images")
    os.mkfifo(root / "red" / "pipe.png")
    outcome = dlnotes(*small_training(tmp_path / "run", "--data", root))
    assert outcome.code == 2
    assert f"{root / 'red' / 'pipe.png'}: {NOT_PLAIN}" in outcome.err
    outcome = dlnotes(*small_training(tmp_path / "run", "--data", root, "--skip-bad"))
    assert outcome.code == 0
    assert f"skipped {root / 'red' / 'pipe.png'}" in outcome.err


def test_a_list_of_paths_may_be_a_pipe(digits_run: Path, dlnotes: Command) -> None:
    reader, writer = os.pipe()  # as the shell creates for <(...)
    os.write(writer, f"{digits_run / 'confusion.png'}\n".encode())
    os.close(writer)
    outcome = dlnotes("predict", digits_run, "--files-from", f"/dev/fd/{reader}", "--jsonl")
    os.close(reader)
    assert outcome.code == 0
    assert "confusion.png" in outcome.out


def test_an_endless_list_is_refused(digits_run: Path, dlnotes: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    from dlnotes_cli.data import paths

    monkeypatch.setattr(paths, "_LONGEST_LIST", 1000)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"a.png\n" * 1000)))
    for source, what in (("-", "stdin: is longer than 1,000 bytes"), ("/dev/zero", "is not a file")):
        outcome = dlnotes("predict", digits_run, "--files-from", source)
        assert outcome.code == 2
        assert what in outcome.err


@pytest.mark.parametrize(("place", "target"), [("self", "."), ("up", ".."), ("red/self", "."), ("train/self", "..")])
def test_a_link_to_a_parent_is_not_a_class(place: str, target: str, tmp_path: Path, dlnotes: Command) -> None:
    root = tmp_path / "top"
    make_images(root / "train" if place.startswith("train") else root)
    (root / place).symlink_to(target)
    outcome = dlnotes("data", "info", root, "--json")
    if place == "red/self":  # in a class folder, links to folders are never followed
        assert outcome.code == 0
        return
    assert outcome.code == 2
    assert (
        f"--data: class folder {root / place} is a link to its parent folder {(root / place).resolve()}" in outcome.err
    )


def test_a_link_to_a_folder_elsewhere_is_a_class(tmp_path: Path, dlnotes: Command) -> None:
    make_images(tmp_path / "top")
    make_images(tmp_path / "other")
    (tmp_path / "top" / "crimson").symlink_to(tmp_path / "other" / "red")
    outcome = dlnotes("data", "info", tmp_path / "top")
    assert outcome.code == 0
    assert "crimson" in outcome.out
