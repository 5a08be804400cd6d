"""What the decode cache holds, and making it empty."""

from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from dlnotes_cli.data.cache import entries as cache
from dlnotes_cli.manage.options_cache import CacheClearConfig
from dlnotes_cli.shell.errors import InputError


@dataclass(frozen=True)
class CachedFolder:
    """A folder's images in one form; without `folder` and `shape` where the entry is damaged."""

    folder: str | None
    images: int
    form: str  # 3x32x32-crop of pixels, or what made the features
    shape: tuple[int, ...] | None  # of a sample: (C, H, W) of pixels, (F,) of features
    bytes: int
    last_used: str  # ISO 8601
    path: str

    def as_json(self) -> dict[str, Any]:
        """The entry as JSON values."""
        return asdict(self)


def list_cache() -> list[CachedFolder]:
    """Everything in the cache of decoded images and their features, the last used first."""
    return [_described(entry) for entry in cache.entries()]


def clear_cache(config: CacheClearConfig) -> list[CachedFolder]:
    """Delete decoded images, of one folder or of all; returns what was deleted. The images themselves stay.

    Raises InputError where a folder is named of which nothing is cached.
    """
    entries = cache.entries(config.folder)
    if config.folder is not None and not entries:
        raise InputError("FOLDER", f"nothing is cached of {config.folder}", "see dlnotes data cache list")
    cleared = [_described(entry) for entry in entries]
    for entry in entries:
        entry.clear()
    return cleared


def _described(entry: cache.Entry) -> CachedFolder:
    index = entry.read()
    used = datetime.fromtimestamp(entry.last_used(), UTC).isoformat(timespec="seconds")
    form, size, path = entry.path.name, entry.bytes(), str(entry.path)
    if index is None:
        return CachedFolder(None, 0, form, None, size, used, path)
    return CachedFolder(index.root, len(index.names), form, index.shape, size, used, path)
