"""The only module that writes files: each appears complete and flushed to disk, or not at all. It reads short ones."""

import contextlib
import errno
import json
import os
import shutil
import stat
import sys
from collections.abc import Callable, Iterator
from glob import escape
from pathlib import Path
from typing import IO, Any

from dlnotes_cli.shell.errors import DiskFullError, InputError, UnfinishedError, reason, unreadable

TEMPORARY_PREFIX = ".dlnotes-"
_NAME_PREFIX = 32  # characters of a file's name in its temporary name, whose length the file system limits too
OPEN_STREAMS = ("/dev/stdin", "/dev/fd/", "/proc/self/fd/")  # a shell has opened their other end
_DISK_FULL = {errno.ENOSPC, errno.EDQUOT}


def user_path(path: str | Path) -> Path:
    """A path as the user wrote it, with `~` expanded where that home directory exists; UTF-8 in every locale."""
    path = os.fsdecode(str(path).encode(errors="surrogateescape"))
    with contextlib.suppress(RuntimeError):
        return Path(path).expanduser()
    return Path(path)


@contextlib.contextmanager
def atomic_stream(path: Path, needed: int = 0, check: Callable[[Path], object] = lambda _: None) -> Iterator[IO[bytes]]:
    """Open a temporary file next to `path`; when the block ends, flush it to disk and rename it to `path`.

    Before that, `check` gets the complete temporary file, and may refuse it by raising. An earlier file at `path` stays
    intact until then, and for good if the block or `check` raises. Raises UnfinishedError when the disk is full or
    fails; its text names `needed`, the size of the content in bytes.
    """
    temporary = path.with_name(f"{_temporary_start(path)}{os.urandom(4).hex()}.partial")
    try:
        with temporary.open("xb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        check(temporary)
        temporary.replace(path)
        sync_folder(path.parent)
    except BaseException as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)  # first, so that the free space in the error includes its own
        if isinstance(error, OSError):
            raise write_failed(path, needed, error) from error
        raise


def _temporary_start(path: Path) -> str:
    """How the names of the temporary files of `path` start."""
    return f"{TEMPORARY_PREFIX}{path.name[:_NAME_PREFIX]}."


def atomic_write(path: Path, content: bytes, check: Callable[[Path], object] = lambda _: None) -> None:
    """Write `content` to `path`, with the guarantees of `atomic_stream`."""
    with atomic_stream(path, len(content), check) as stream:
        stream.write(content)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text atomically; bytes of file names that are not UTF-8 are written unchanged."""
    atomic_write(path, text.encode(errors="surrogateescape"))


def write_json(path: Path, document: dict[str, Any]) -> None:
    """Write one JSON document atomically; raises ValueError for nan and inf, which JSON does not have."""
    write_text(path, json.dumps(document, indent=2, allow_nan=False) + "\n")


def sync_folder(folder: Path) -> None:
    """Flush a folder's entries to disk, so that a rename in it survives a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove(path: Path) -> None:
    """Delete a file, if it exists."""
    path.unlink(missing_ok=True)


def sweep_temporaries(folder: Path) -> None:
    """Delete the temporary files of killed processes in `folder`; call it only while holding the folder's lock."""
    for leftover in folder.glob(f"{TEMPORARY_PREFIX}*"):
        remove(leftover)


def remove_temporaries_of(path: Path) -> None:
    """Delete the temporary files that killed processes left while writing `path`."""
    for leftover in path.parent.glob(f"{escape(_temporary_start(path))}????????.partial"):
        remove(leftover)


def check_room(folder: Path, needed: int, fix: str = "free space, or use another --out") -> None:
    """Raise UnfinishedError, before any work, if `folder` has less free disk space than `needed` bytes."""
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise UnfinishedError(folder, f"the disk is too full: {needed:,} bytes needed, {free:,} free", fix)


def check_output_file(option: str, path: Path, *, overwrite: bool, made: Path | None = None) -> None:
    """Raise InputError, before any work, if an output file cannot be written, or exists and `overwrite` is False.

    The folder `made` need not exist yet: the caller checks it and makes it before the file is written.
    """
    if path.is_dir():
        raise InputError(option, f"{path} is a folder", "give a file name")
    if path.exists() and not overwrite:
        raise InputError(option, f"{path} exists", "pass --overwrite or another name")
    if path.parent != made:
        check_writable_folder(option, path.parent)


def check_output_folder(option: str, path: Path, *, overwrite: bool) -> None:
    """Raise InputError, before any work, if a folder cannot be made, or is not empty and `overwrite` is False."""
    if path.is_dir():
        if any(path.iterdir()) and not overwrite:
            raise InputError(option, f"{path} is not empty", "pass --overwrite or another --out")
        check_writable_folder(option, path)
    elif path.exists() or path.is_symlink():
        raise InputError(option, f"{path} is a file", "give a folder")
    else:
        check_writable_folder(option, next(parent for parent in path.absolute().parents if parent.exists()))


def check_writable_folder(option: str, folder: Path) -> None:
    """Raise InputError if no file can be made in `folder`. It tries, since permission bits are not the whole truth."""
    import tempfile

    if not folder.is_dir():
        fix = "give a folder" if folder.exists() else "make it first"
        raise InputError(option, f"{folder} is not a folder" if folder.exists() else f"no folder {folder}", fix)
    try:
        with tempfile.TemporaryFile(prefix=TEMPORARY_PREFIX, dir=folder):
            pass
    except OSError as error:
        raise InputError(option, f"cannot write in {folder} ({reason(error)})", "choose a writable folder") from error


def make_folder(where: str, folder: Path, fix: str = "choose a writable folder") -> None:
    """Make `folder` and its missing parents; raises InputError naming `where`, an option for example, if that fails."""
    try:
        create_folder(folder)
    except OSError as error:
        raise InputError(where, f"cannot make {folder} ({reason(error)})", fix) from error


def create_folder(folder: Path, *, must_be_new: bool = False) -> None:
    """Make `folder` and its missing parents, for callers with their own errors.

    Raises OSError; FileExistsError if the folder exists and `must_be_new` is set.
    """
    folder.mkdir(parents=True, exist_ok=not must_be_new)


def open_lock_file(path: Path) -> IO[str]:
    """Open a file for its lock, and create it if it is missing; its content is kept. Raises UnfinishedError."""
    try:
        return path.open("a+")
    except OSError as error:
        raise write_failed(path, 0, error) from error


def remove_empty_folder(folder: Path) -> None:
    """Delete a folder, unless it is not empty or does not exist."""
    with contextlib.suppress(OSError):
        folder.rmdir()


def write_failed(path: Path, needed: int, error: OSError) -> UnfinishedError:
    """Build the error for a failure to write `needed` bytes to `path`."""
    if error.errno == errno.EFBIG:
        return DiskFullError(path, f"{needed:,} bytes needed, more than a file may have", "raise the limit (ulimit -f)")
    if error.errno in _DISK_FULL:
        with contextlib.suppress(OSError):
            free = shutil.disk_usage(path.parent).free
            what = f"disk full: {needed:,} bytes needed, {free:,} free"
            return DiskFullError(path, what, "free space")
    return UnfinishedError(path, f"cannot write ({reason(error)})", "check the folder's permissions, then run again")


def read_file(path: Path, most: int, shorter: str, instead: str = "save its content to a file first") -> bytes:
    """The content of a file.

    Raises InputError for one that cannot be read; for a named pipe or a device, which may wait for ever (fix:
    `instead`), but not for the pipe of `<(command)`; and for more than `most` bytes (fix: `shorter`).
    """
    try:
        mode = path.stat().st_mode
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode) or str(path).startswith(OPEN_STREAMS)):
            raise InputError(path, "is not a file", instead)
        with path.open("rb") as stream:
            content = stream.read(most + 1)
    except OSError as error:
        raise unreadable(path, error) from error
    return _checked(content, path, most, shorter)


def read_stdin(most: int, shorter: str) -> bytes:
    """The content of standard input, empty if it is closed. Raises InputError for more than `most` bytes."""
    content = sys.stdin.buffer.read(most + 1) if sys.stdin else b""
    return _checked(content, "stdin", most, shorter)


def _checked(content: bytes, where: object, most: int, shorter: str) -> bytes:
    if len(content) > most:
        raise InputError(where, f"is longer than {most:,} bytes", shorter)
    return content
