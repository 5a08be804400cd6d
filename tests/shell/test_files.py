"""Files that are written completely or not at all, and short ones that are read."""

import io
import os
import stat
import sys
from pathlib import Path
from typing import Any

import pytest

from dlnotes_cli.shell import files
from dlnotes_cli.shell.errors import InputError, UnfinishedError


def fail_at(nth: int, patch: pytest.MonkeyPatch) -> list[str]:
    """Let the Nth call on `os` fail as a full disk does; the names of the calls are appended to the list."""
    called: list[str] = []

    def counted(name: str, call: Any) -> Any:
        def run(*words: object, **options: object) -> object:
            called.append(name)
            if len(called) == nth:
                raise OSError(28, "No space left on device")
            return call(*words, **options)

        return run

    for name in ("open", "fsync", "replace"):
        patch.setattr(os, name, counted(name, getattr(os, name)))
    return called


def test_the_old_file_or_the_new_one_is_complete_whichever_operation_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, failed = tmp_path / "a.bin", files.write_failed

    def failed_without_leftovers(*words: Any) -> UnfinishedError:
        assert [*tmp_path.iterdir()] == [path]  # so that the free space in the error is that after the failure
        return failed(*words)

    monkeypatch.setattr(files, "write_failed", failed_without_leftovers)
    for nth in range(1, 30):
        path.write_bytes(b"old")
        with pytest.MonkeyPatch.context() as patch:
            called = fail_at(nth, patch)
            try:
                files.atomic_write(path, b"new")
            except UnfinishedError as error:
                assert "disk full: 3 bytes needed" in str(error)  # noqa: PT017  # one of many
        assert path.read_bytes() in {b"old", b"new"}
        assert [*tmp_path.iterdir()] == [path]
        if len(called) < nth:
            assert path.read_bytes() == b"new"
            break
    else:
        pytest.fail("writing never succeeded")
    assert nth > 4


def test_a_check_sees_the_complete_file_and_may_refuse_it(tmp_path: Path) -> None:
    seen: list[bytes] = []
    path = tmp_path / "a.bin"
    files.atomic_write(path, b"123", lambda temporary: seen.append(temporary.read_bytes()))
    assert (seen, path.read_bytes()) == ([b"123"], b"123")

    def refuse(temporary: Path) -> None:
        raise InputError(temporary, "is bad")

    with pytest.raises(InputError, match="is bad"):
        files.atomic_write(path, b"456", refuse)
    assert [entry.read_bytes() for entry in tmp_path.iterdir()] == [b"123"]


@pytest.mark.parametrize("name", ["a" * 255, "é" * 127])
def test_any_name_and_any_text_are_written_with_the_usual_permissions(name: str, tmp_path: Path) -> None:
    files.check_output_file("--csv", tmp_path / name, overwrite=False)
    files.write_text(tmp_path / name, os.fsdecode(b"caf\xe9") + "é")
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_bytes() == b"caf\xe9\xc3\xa9"
    (tmp_path / "other").touch()
    modes = {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert len(modes) == 1


@pytest.mark.parametrize(
    ("path", "says"),
    [("here", "here exists"), (".", "is a folder"), ("gone/a", "no folder .*gone"), ("here/a", "here is not a folder")],
)
def test_an_output_file_is_checked_before_work(path: str, says: str, tmp_path: Path) -> None:
    (tmp_path / "here").write_text("")
    with pytest.raises(InputError, match=f"--out: .*{says}"):
        files.check_output_file("--out", tmp_path / path, overwrite=False)
    assert [entry.name for entry in tmp_path.iterdir()] == ["here"]
    files.check_output_file("--out", tmp_path / "here", overwrite=True)
    files.check_output_file("--out", tmp_path / "gone" / "a", overwrite=False, made=tmp_path / "gone")


def test_free_disk_space_is_checked_before_work(tmp_path: Path) -> None:
    files.check_room(tmp_path, 1)
    with pytest.raises(UnfinishedError, match=r"[\d,]+ bytes needed, [\d,]+ free"):
        files.check_room(tmp_path, 1 << 60)


def test_temporary_files_of_killed_processes_are_deleted(tmp_path: Path) -> None:
    for name in ("a.gif.12345678.partial", "b.gif.12345678.partial"):
        (tmp_path / f"{files.TEMPORARY_PREFIX}{name}").touch()
    (tmp_path / "mine").touch()
    files.remove_temporaries_of(tmp_path / "a.gif")
    assert {path.name for path in tmp_path.iterdir()} == {"mine", ".dlnotes-b.gif.12345678.partial"}
    files.sweep_temporaries(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_a_short_file_or_an_open_pipe_is_read_up_to_the_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "kernel.txt"
    path.write_bytes(b"1234")
    assert files.read_file(path, 4, "shorten it") == b"1234"
    reader, writer = os.pipe()  # as a shell opens for <(...)
    os.write(writer, b"1 2")
    os.close(writer)
    assert files.read_file(Path(f"/dev/fd/{reader}"), 9, "shorten it") == b"1 2"
    os.close(reader)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"1234")))
    with pytest.raises(InputError, match=r"kernel\.txt: is longer than 3 bytes; shorten it"):
        files.read_file(path, 3, "shorten it")
    with pytest.raises(InputError, match="stdin: is longer than 3 bytes; shorten it"):
        files.read_stdin(3, "shorten it")
    monkeypatch.setattr(sys, "stdin", None)
    assert files.read_stdin(3, "shorten it") == b""


def test_a_pipe_a_folder_and_a_missing_file_are_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for name, message in (
        ("pipe", "pipe: is not a file; save its content to a file first"), ("gone", "gone: no such file"),
        (".", r"cannot be read \(is a directory\)"),
    ):  # fmt: skip
        with pytest.raises(InputError, match=message):
            files.read_file(tmp_path / name, 9, "shorten it")
