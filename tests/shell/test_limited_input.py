"""Reading of short inputs."""

import io
import os
import sys
from pathlib import Path

import pytest

from dlnotes_cli.shell.errors import InputError
from dlnotes_cli.shell.limited_input import read_file, read_stdin


def test_a_file_up_to_the_limit_is_read(tmp_path: Path) -> None:
    path = tmp_path / "kernel.txt"
    path.write_bytes(b"1234")
    assert read_file(path, 4, "shorten it") == b"1234"
    with pytest.raises(InputError, match=r"kernel\.txt: is longer than 3 bytes; shorten it"):
        read_file(path, 3, "shorten it")


def test_a_named_pipe_is_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "kernel.txt")
    with pytest.raises(InputError, match=r"kernel\.txt: is not a file; save its content to a file first"):
        read_file(tmp_path / "kernel.txt", 9, "shorten it")


def test_a_pipe_that_a_shell_has_opened_is_read() -> None:
    reader, writer = os.pipe()
    os.write(writer, b"1 2")
    os.close(writer)
    assert read_file(Path(f"/dev/fd/{reader}"), 9, "shorten it") == b"1 2"
    os.close(reader)


def test_a_missing_file_and_a_folder_are_errors(tmp_path: Path) -> None:
    for path in (tmp_path / "missing", tmp_path):
        with pytest.raises(InputError, match=r"no such file|cannot be read"):
            read_file(path, 9, "shorten it")


def test_standard_input_has_the_same_limit_and_may_be_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"1234")))
    with pytest.raises(InputError, match="stdin: is longer than 3 bytes; shorten it"):
        read_stdin(3, "shorten it")
    monkeypatch.setattr(sys, "stdin", None)
    assert read_stdin(3, "shorten it") == b""
