"""List and clear the decode cache."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from dlnotes_cli.data.cache import CacheEntry, list_entries
from dlnotes_cli.manage.options import CacheClearConfig, CacheListConfig
from dlnotes_cli.shell import output
from dlnotes_cli.shell.codec import HIDDEN, in_json
from dlnotes_cli.shell.errors import InputError
from dlnotes_cli.shell.show import Table


@dataclass(frozen=True)
class CachedFolder:
    """The cached samples of a folder's images in one preprocessing; no `folder` and `shape` if they are damaged."""

    folder: str | None
    images: int
    preprocessing: str  # of pixels CxHxW-resize, of features the name of their extractor
    shape: tuple[int, ...] | None  # of a sample: (C, H, W) of pixels, (F,) of features
    bytes: int
    last_used: str  # ISO 8601
    path: str


@dataclass(frozen=True)
class CacheContent:
    """The cached folders that a command lists or deleted, as it says."""

    folders: Sequence[CachedFolder]
    _what: str = field(metadata=HIDDEN)  # "in total" or "freed"

    @property
    @in_json
    def bytes(self) -> int:
        """The size of all folders."""
        return sum(folder.bytes for folder in self.folders)

    def table(self) -> Iterator[Table | str]:
        """A row for each folder, and the size of all."""
        rows = [
            (f.folder or f"damaged: {f.path}", f.images, f.preprocessing, output.size(f.bytes), f.last_used)
            for f in self.folders
        ]
        if rows:
            columns = ("folder", "images", "preprocessing", "size", "last used")
            yield Table(columns, rows, numeric=("size",), is_result=True)
        yield f"{output.size(self.bytes)} {self._what}"


def list_cache(_config: CacheListConfig | None = None) -> CacheContent:
    """All cached folders, the most recently used first; the command has no options that change them."""
    return CacheContent([_describe(entry) for entry in list_entries()], "in total")


def clear_cache(config: CacheClearConfig) -> CacheContent:
    """Delete the cached samples of one folder or of all; returns what was deleted. Image files are never deleted.

    Raises InputError for a folder that is not cached.
    """
    entries = list_entries(config.folder)
    if config.folder is not None and not entries:
        raise InputError("FOLDER", f"{config.folder} is not cached", "see dlnotes data cache list")
    cleared = [_describe(entry) for entry in entries]
    for entry in entries:
        entry.clear()
    return CacheContent(cleared, "freed")


def _describe(entry: CacheEntry) -> CachedFolder:
    last_used = datetime.fromtimestamp(entry.last_used(), UTC).isoformat(timespec="seconds")
    name, size, path = entry.path.name, entry.nbytes(), str(entry.path)
    cached = entry.read()
    if cached is None:
        return CachedFolder(None, 0, name, None, size, last_used, path)
    return CachedFolder(cached.root, len(cached.records), name, cached.samples.shape[1:], size, last_used, path)
