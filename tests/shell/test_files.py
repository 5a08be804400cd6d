import os
import stat
from pathlib import Path
from typing import Any

import pytest

from dlnotes_cli.shell import files
from dlnotes_cli.shell.errors import InputError, UnfinishedError


def test_a_file_is_written_completely_with_the_usual_permissions(tmp_path: Path) -> None:
    files.atomic_write(tmp_path / "a.bin", b"123")
    assert (tmp_path / "a.bin").read_bytes() == b"123"
    mask = os.umask(0)
    os.umask(mask)
    assert stat.S_IMODE((tmp_path / "a.bin").stat().st_mode) == 0o666 & ~mask
    assert [path.name for path in tmp_path.iterdir()] == ["a.bin"]


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

    for name in ("open", "fsync", "fdopen", "replace", "chmod"):
        patch.setattr(os, name, counted(name, getattr(os, name)))
    return called


def test_the_old_file_or_the_new_one_is_complete_whichever_operation_fails(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    for nth in range(1, 30):
        path.write_bytes(b"old")
        with pytest.MonkeyPatch.context() as patch:
            called = fail_at(nth, patch)
            try:
                files.atomic_write(path, b"new")
            except UnfinishedError as error:
                assert "disk full: 3 bytes needed" in str(error)  # noqa: PT017  # one of many
        assert path.read_bytes() in {b"old", b"new"}
        assert [entry.name for entry in tmp_path.iterdir()] == ["a.bin"]
        if len(called) < nth:
            assert path.read_bytes() == b"new"
            break
    else:
        pytest.fail("writing never succeeded")
    assert nth > 3


def test_the_free_space_in_an_error_includes_that_of_the_temporary_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left: list[list[Path]] = []

    def failed(*_: object) -> UnfinishedError:
        left.append(list(tmp_path.iterdir()))
        return UnfinishedError("disk", "full")

    def disk_full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files, "write_failed", failed)
    monkeypatch.setattr(os, "fsync", disk_full)
    with pytest.raises(UnfinishedError, match="disk: full"):
        files.atomic_write(tmp_path / "a.bin", b"123")
    assert left == [[]]


def test_an_output_file_is_checked_before_work(tmp_path: Path) -> None:
    (tmp_path / "here").write_text("")
    files.check_output_file("--out", tmp_path / "here", overwrite=True)
    for path, says in (
        ("here", "exists"),
        (".", "is a folder"),
        ("gone/a", "no folder"),
        ("here/a", "is not a folder"),
    ):
        with pytest.raises(InputError, match=f"--out: .*{says}"):
            files.check_output_file("--out", tmp_path / path, overwrite=False)
    assert [path.name for path in tmp_path.iterdir()] == ["here"]


def test_a_folder_that_is_made_later_need_not_exist(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.csv"
    files.check_output_file("--csv", path, overwrite=False, made=path.parent)
    with pytest.raises(InputError, match="--csv: no folder"):
        files.check_output_file("--csv", path, overwrite=False, made=tmp_path / "other")


@pytest.mark.parametrize("name", ["a" * 255, "é" * 127])
def test_a_name_may_be_as_long_as_the_file_system_allows(name: str, tmp_path: Path) -> None:
    files.check_output_file("--csv", tmp_path / name, overwrite=False)
    files.write_text(tmp_path / name, "x")
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_bytes_that_are_not_utf_8_are_written_unchanged(tmp_path: Path) -> None:
    files.write_text(tmp_path / "a", os.fsdecode(b"caf\xe9") + "é")
    assert (tmp_path / "a").read_bytes() == b"caf\xe9\xc3\xa9"


def test_free_disk_space_is_checked_before_work(tmp_path: Path) -> None:
    files.check_room(tmp_path, 1)
    with pytest.raises(UnfinishedError, match=r"[\d,]+ bytes needed, [\d,]+ free"):
        files.check_room(tmp_path, 1 << 60)


def test_temporary_files_of_killed_processes_are_deleted(tmp_path: Path) -> None:
    (tmp_path / f"{files.TEMPORARY_PREFIX}x.partial").write_text("half")
    (tmp_path / "mine").write_text("whole")
    files.sweep_temporaries(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


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
