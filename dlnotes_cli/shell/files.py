"""The only writer: every file appears whole, flushed to disk, or not at all."""

import contextlib
import errno
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from dlnotes_cli.shell.errors import InputError, UnfinishedError, reason

TEMPORARY_PREFIX = ".dlnotes-"
_SHOWN_OF_NAME = 32  # characters of a file's name in that of its temporary, whose length is limited too
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def user_path(word: str | Path) -> Path:
    """The path that a word stands for, with `~` replaced where there is such a home."""
    with contextlib.suppress(RuntimeError):
        return Path(word).expanduser()
    return Path(word)


@contextlib.contextmanager
def atomic_stream(path: Path, needed: int = 0) -> Iterator[IO[bytes]]:
    """Open a temporary file beside `path`; when the block ends it is flushed to disk and renamed to `path`.

    An earlier file at `path` stays whole until then, and stays for good where the block raises. Raises UnfinishedError
    when the disk is full or fails; `needed`, the bytes to come, is for its text.
    """
    temporary: Path | None = None
    try:
        descriptor, name = tempfile.mkstemp(".partial", f"{TEMPORARY_PREFIX}{path.name[:_SHOWN_OF_NAME]}.", path.parent)
        temporary = Path(name)
        with os.fdopen(descriptor, "wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(path)
        temporary = None
        sync_folder(path.parent)
    except OSError as error:
        raise write_failed(path, needed, error) from error
    finally:
        if temporary is not None:
            with contextlib.suppress(OSError):
                temporary.unlink()


def atomic_write(path: Path, content: bytes) -> None:
    """Write `content` to `path` through `atomic_stream`, whose guarantees it has."""
    with atomic_stream(path, len(content)) as stream:
        stream.write(content)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text atomically; names of files keep bytes that are not UTF-8."""
    atomic_write(path, text.encode(errors="surrogateescape"))


def write_json(path: Path, document: dict[str, Any]) -> None:
    """Write one JSON document atomically; nan and inf are a programming error."""
    write_text(path, json.dumps(document, indent=2, allow_nan=False) + "\n")


def sync_folder(folder: Path) -> None:
    """Flush a folder's entries to disk, so that a rename in it survives a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove(path: Path) -> None:
    """Delete a file that may or may not be there."""
    path.unlink(missing_ok=True)


def sweep_temporaries(folder: Path) -> None:
    """Delete what a killed process left half-written in `folder`; call it only while holding the folder's lock."""
    for leftover in folder.glob(f"{TEMPORARY_PREFIX}*"):
        remove(leftover)


def check_room(folder: Path, needed: int, fix: str = "free space, or use another --out") -> None:
    """Refuse to start work whose files cannot fit; `needed` in bytes."""
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise UnfinishedError(folder, f"the disk is too full: {needed:,} bytes needed, {free:,} free", fix)


def check_png(option: str, path: Path) -> None:
    """Raise InputError where a drawing would be written to a file whose name does not say that it is a PNG."""
    if path.suffix.lower() != ".png":
        raise InputError(option, f"{path} is no .png", "name a .png file")


def check_output_file(option: str, path: Path, *, overwrite: bool, made: Path | None = None) -> None:
    """Refuse, before any work, an output file that could not be written or that exists without `--overwrite`.

    The folder `made` may be missing yet: it has a check of its own, and is made before the file is written.
    """
    if path.is_dir():
        raise InputError(option, f"{path} is a folder", "give a file name")
    if path.exists() and not overwrite:
        raise InputError(option, f"{path} exists", "pass --overwrite or another name")
    if path.parent != made:
        check_writable_folder(option, path.parent)


def check_output_folder(option: str, path: Path, *, overwrite: bool) -> None:
    """Refuse, before any work, an output folder that could not be made, or that holds files without `--overwrite`."""
    if path.is_dir():
        if any(path.iterdir()) and not overwrite:
            raise InputError(option, f"{path} is not empty", "pass --overwrite or another --out")
        check_writable_folder(option, path)
    elif path.exists() or path.is_symlink():
        raise InputError(option, f"{path} is a file", "give a folder")
    else:
        check_writable_folder(option, next(parent for parent in path.absolute().parents if parent.exists()))


def check_writable_folder(option: str, folder: Path) -> None:
    """Refuse a folder in which a file could not be made; proved by making one, since mode bits do not tell."""
    if not folder.is_dir():
        fix = "give a folder" if folder.exists() else "make it first"
        raise InputError(option, f"{folder} is not a folder" if folder.exists() else f"no folder {folder}", fix)
    try:
        with tempfile.TemporaryFile(prefix=TEMPORARY_PREFIX, dir=folder):
            pass
    except OSError as error:
        raise InputError(option, f"cannot write in {folder} ({reason(error)})", "choose a writable folder") from error


def make_folder(option: str, folder: Path) -> None:
    """Make `folder`, and those above it that are missing."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(option, f"cannot make {folder} ({reason(error)})", "choose a writable folder") from error


def remove_empty_folder(folder: Path) -> None:
    """Delete a folder, unless it holds something or is gone."""
    with contextlib.suppress(OSError):
        folder.rmdir()


def write_failed(path: Path, needed: int, error: OSError) -> UnfinishedError:
    """What to raise where writing `needed` bytes to `path` failed."""
    if error.errno in _NO_ROOM:
        with contextlib.suppress(OSError):
            free = shutil.disk_usage(path.parent).free
            what = f"disk full: {needed:,} bytes needed, {free:,} free"
            return UnfinishedError(path, what, "free space, then run again")
    return UnfinishedError(path, f"cannot write ({reason(error)})", "mend the folder, then run again")


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
