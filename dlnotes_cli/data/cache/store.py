"""The decode cache: which images of a folder are there as pixels, in files that are mapped into memory.

`decoded/<digest of the folder's path>/<form>/` in the user's cache holds one file of samples and the index that names
it; the form is CxHxW-resize of pixels, or the name of features that were made from them. The index is written last and
replaced in one step, so that a reader finds a whole pair or none.
"""

import fcntl
import hashlib
import json
import os
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from dlnotes_cli.data.images.decode import DECODER, Header
from dlnotes_cli.data.listing import Listing
from dlnotes_cli.data.named.sets import cache_folder
from dlnotes_cli.shell import files, output
from dlnotes_cli.shell.errors import UnfinishedError, reason

_INDEX = "index.json"
_SAMPLES = "samples-"  # and a random end: a new file never takes the name of one that is in use
_DTYPES = {"uint8", "float32"}
_ELSEWHERE = "free space, or set $DLNOTES_CACHE to another folder"


@dataclass(frozen=True)
class Index:
    """What a file of samples shows: one entry for each sample, in order."""

    root: str
    shape: tuple[int, ...]  # of a sample: (C, H, W) of pixels, (F,) of features
    dtype: str
    samples: str  # the file's name
    names: tuple[str, ...]  # below `root`
    sizes: tuple[int, ...]
    times: tuple[int, ...]
    inodes: tuple[int, ...]
    digests: tuple[str, ...]  # of the image files' contents
    headers: tuple[Header, ...]

    @property
    def bytes(self) -> int:
        """Of the file of samples."""
        return len(self.names) * int(np.prod(self.shape)) * np.dtype(self.dtype).itemsize

    def rows(self, listing: Listing) -> list[int | None]:
        """The sample of each listed image that is the file it was, with its size and time."""
        stored = (self.names, self.sizes, self.times, self.inodes)
        listed = (listing.names, listing.sizes, listing.times, listing.inodes)
        if stored == listed:
            return list(range(len(self.names)))
        row_of = {image: row for row, image in enumerate(zip(*stored, strict=True))}
        return [row_of.get(image) for image in zip(*listed, strict=True)]

    def to_json(self) -> str:
        """The text of the index file; the few different headers are written once."""
        kinds = list(dict.fromkeys(self.headers))
        place = {header: i for i, header in enumerate(kinds)}
        columns = {
            "kinds": [list(vars(header).values()) for header in kinds],
            "kind": [place[header] for header in self.headers],
        }
        return json.dumps({"decoder": DECODER} | vars(self) | {"headers": columns})

    @classmethod
    def from_json(cls, text: str) -> "Index":
        """Rebuild an index; raises TypeError, ValueError or LookupError where `text` is none of ours."""
        stored = json.loads(text)
        if stored.pop("decoder") != DECODER:
            raise ValueError("decoded by another version")
        table = stored.pop("headers")
        kinds = [Header(*values) for values in table["kinds"]]
        headers = tuple([kinds[i] for i in table["kind"]])
        fields: dict[str, Any] = {key: tuple(v) if isinstance(v, list) else v for key, v in stored.items()}
        index = cls(**fields, headers=headers)
        columns = (index.names, index.sizes, index.times, index.inodes, index.digests, headers)
        if (
            len({len(column) for column in columns}) != 1
            or not index.names
            or "/" in index.samples
            or index.dtype not in _DTYPES
        ):
            raise ValueError("no sound index")
        return index


class Entry:
    """One folder's images in one form, cached or to be."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._is_locked = False  # if not, nothing is swept: it may be another's

    @classmethod
    def of(cls, root: Path, form: str) -> "Entry":
        """Where the images below `root` lie in a form."""
        return cls(_home(root) / form)

    def read(self) -> Index | None:
        """The index, where there is a sound one with all of its samples."""
        path = self.path / _INDEX
        try:
            index = Index.from_json(path.read_text())
            self._check_samples(index)
        except (OSError, AttributeError, TypeError, ValueError, LookupError) as error:
            if path.exists():
                output.detail(f"cache  {self.path} cannot be used ({error})")
            return None
        return index

    def map(self, index: Index) -> NDArray[Any]:
        """The samples, read-only, from disk as they are asked for. Raises OSError where they are gone."""
        with suppress(OSError):  # a cache that cannot be written may still be read
            os.utime(self.path / _INDEX)
        return np.memmap(self.path / index.samples, np.dtype(index.dtype), "r", shape=(len(index.names), *index.shape))

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes from writing here; waits for one that does. Raises UnfinishedError without a folder."""
        if self._is_locked:
            yield
            return
        while True:
            try:
                self.path.mkdir(parents=True, exist_ok=True)
                descriptor = os.open(self.path, os.O_RDONLY)
            except OSError as error:
                raise UnfinishedError(self.path, f"cannot be made ({reason(error)})", _ELSEWHERE) from error
            try:
                self._is_locked = self._lock(descriptor)
                if self._is_still(descriptor):
                    try:
                        yield
                    finally:
                        self._leave()
                    return
            finally:
                self._is_locked = False
                os.close(descriptor)

    def write_samples(self, needed: int, fill: Callable[[IO[bytes]], None]) -> str:
        """Make a new file of samples, written by `fill`; returns its name. Raises UnfinishedError on a full disk."""
        if self._is_locked:
            files.sweep_temporaries(self.path)
        files.check_room(self.path, needed, _ELSEWHERE)
        name = f"{_SAMPLES}{secrets.token_hex(8)}"
        with files.atomic_stream(self.path / name, needed) as stream:
            fill(stream)
        return name

    def write_index(self, index: Index) -> None:
        """Put a new index in force, then delete the samples that it does not name."""
        files.write_text(self.path / _INDEX, index.to_json())
        others = (path for path in self.path.glob(f"{_SAMPLES}*") if path.name != index.samples)
        for path in others if self._is_locked else ():
            with suppress(OSError):
                files.remove(path)

    def clear(self) -> int:
        """Delete what is cached here, and nothing else; returns the bytes freed. Raises UnfinishedError."""
        with self.locked():
            freed = self.bytes()
            for path in self._files():
                try:
                    files.remove(path)
                except OSError as error:
                    raise UnfinishedError(
                        path, f"cannot be deleted ({reason(error)})", "check its permissions"
                    ) from error
        return freed

    def bytes(self) -> int:
        """What the entry takes on disk."""
        return sum(path.stat().st_size for path in self._files())

    def last_used(self) -> float:
        """Seconds since 1970."""
        paths = [path for path in (self.path / _INDEX, self.path) if path.exists()]
        return paths[0].stat().st_mtime if paths else 0.0

    def _check_samples(self, index: Index) -> None:
        size = (self.path / index.samples).stat().st_size
        if size != index.bytes:
            raise ValueError(f"{size:,} bytes of samples, {index.bytes:,} expected")

    def _files(self) -> Iterator[Path]:
        patterns = (_INDEX, f"{_SAMPLES}*", f"{files.TEMPORARY_PREFIX}*")
        return chain.from_iterable(self.path.glob(pattern) for pattern in patterns)

    def _lock(self, descriptor: int) -> bool:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            output.note(f"cache  waiting for another process that works on {self.path}")
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        except OSError:  # no locks on this file system: work may be done twice, but is never mixed
            return False
        return True

    def _leave(self) -> None:
        with suppress(OSError):  # not empty
            self.path.rmdir()
            self.path.parent.rmdir()

    def _is_still(self, descriptor: int) -> bool:
        """Whether the locked folder is the one that is there now: `clear` may have come in between."""
        with suppress(FileNotFoundError):
            return os.path.samestat(os.fstat(descriptor), self.path.stat())
        return False


def known_headers(listing: Listing) -> list[Header | None]:
    """The header of each listed image that is unchanged since a run decoded it, in whichever form."""
    for entry in sorted(map(Entry, _home(listing.root).glob("*/")), key=Entry.last_used, reverse=True):
        index = entry.read()
        if index is not None:
            return [None if row is None else index.headers[row] for row in index.rows(listing)]
    return [None] * len(listing.names)


def entries(root: Path | None = None) -> list[Entry]:
    """Everything that is cached, or all that is cached of one folder, the last used first."""
    pattern = "*/*/" if root is None else f"{_home(root).name}/*/"
    return sorted(map(Entry, _decoded().glob(pattern)), key=Entry.last_used, reverse=True)


def settled_times(times: tuple[int, ...]) -> tuple[int, ...]:
    """Times of change as an index keeps them: -1, which no file has, for one so young that it may change unnoticed.

    A file system's clock ticks coarsely (FAT: 2 s): two changes in one tick leave the same time.
    """
    latest = time.time_ns() - 2 * 10**9
    return tuple([changed if changed < latest else -1 for changed in times])


def _decoded() -> Path:
    return cache_folder() / "decoded"


def _home(root: Path) -> Path:
    return _decoded() / hashlib.sha256(os.fsencode(root.resolve())).hexdigest()[:16]
