"""List the named data sets, describe the content of one data set, and list and clear the decode cache."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal, NamedTuple

from dlnotes_cli.data import table, table_columns
from dlnotes_cli.data.cache import CacheEntry, list_entries
from dlnotes_cli.data.folder import DecodeSettings, labeled, read_samples
from dlnotes_cli.data.labels import list_data
from dlnotes_cli.data.load import pixel_statistics
from dlnotes_cli.data.named_sets import NamedSetInfo, list_named, load_named
from dlnotes_cli.data.paths import kind_of
from dlnotes_cli.data.preprocessing import ImageShape
from dlnotes_cli.manage.options import CacheClearConfig, CacheListConfig, DataInfoConfig, DataListConfig
from dlnotes_cli.shell import output
from dlnotes_cli.shell.codec import HIDDEN, in_json
from dlnotes_cli.shell.cores import default_threads
from dlnotes_cli.shell.errors import DlnotesError, InputError, require
from dlnotes_cli.shell.files import user_path
from dlnotes_cli.shell.show import Table

_STATISTICS_SHAPE = ImageShape(3, 32, 32, "squash")  # of images of a folder, for mean and standard deviation
_DECIMALS = 4
_MOST_SIZES = 6  # image sizes to print


@dataclass(frozen=True)
class SetList:
    """The named sets, as `data list` shows them."""

    sets: list[NamedSetInfo]

    def table(self) -> Iterator[Table]:
        """A row for each set."""
        rows = []
        for one in self.sets:
            found = one.found or f"missing ({one.download_bytes / 1e6:.0f} MB to download)"
            counts = ", ".join(f"{count:,} {split}" for split, count in one.counts.items())
            rows.append((one.name, found, one.classes, "x".join(map(str, one.shape)), counts, one.path or "-"))
        yield Table(("set", "found", "classes", "shape", "samples", "path"), rows, is_result=True)


class ImageSize(NamedTuple):
    """A size in pixels, and the number of images that have it."""

    width: int
    height: int
    files: int


class UnreadableFile(NamedTuple):
    """An image file that cannot be decoded, and why."""

    file: str
    error: str


@dataclass(frozen=True)
class ImagesInfo:
    """Content of a named set or image folder; `mean` and `std` are of the training split, per channel, in 0..1."""

    data: str
    kind: Literal["named", "folder"]
    classes: tuple[str, ...]
    counts: dict[str, dict[str, int]]  # samples of each class in each split
    channels: int
    sizes: tuple[ImageSize, ...]  # the most frequent first
    mean: tuple[float, ...]
    std: tuple[float, ...]
    unreadable: tuple[UnreadableFile, ...]

    def table(self) -> Iterator[Table | str]:
        """A row for each class, and the sizes and statistics of the images."""
        splits = list(self.counts)
        rows = [(name, *(self.counts[split][name] for split in splits)) for name in self.classes]
        rows.append(("total", *(sum(self.counts[split].values()) for split in splits)))
        yield Table(("class", *splits), rows, is_result=True)
        sizes = [f"{size.width}x{size.height} ({size.files:,})" for size in self.sizes]
        more = f" and {len(sizes) - _MOST_SIZES} more" if len(sizes) > _MOST_SIZES else ""
        yield f"sizes     {', '.join(sizes[:_MOST_SIZES])}{more}"
        yield f"channels  {self.channels}"
        yield f"mean      {', '.join(map(str, self.mean))}"
        yield f"std       {', '.join(map(str, self.std))}"
        yield from (f"unreadable: {bad.file}: {bad.error}" for bad in self.unreadable)


@dataclass(frozen=True)
class TableInfo:
    """Content of a CSV table."""

    data: str
    kind: Literal["table"]
    rows: int
    columns: tuple[table_columns.NumericColumn | table_columns.CategoricalColumn, ...]

    def table(self) -> Iterator[Table | str]:
        """A row for each column."""
        rows = [(column.name, column.kind, column.distinct, column.empty, column.content) for column in self.columns]
        yield Table(("column", "kind", "distinct", "empty", "content"), rows, is_result=True)
        yield output.counted(self.rows, "row")


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


def list_sets(config: DataListConfig) -> SetList:
    """All named sets and where they were found."""
    return SetList(list_named(config.data_root))


def describe_data(config: DataInfoConfig) -> ImagesInfo | TableInfo:
    """Samples per class and split, image sizes and pixel statistics, or the columns of a table.

    Raises InputError for unreadable images; with `skip_bad` they are listed instead.
    """
    kind = kind_of(config.data, "NAME|FOLDER|CSV")
    if config.labels is not None:
        require(kind == "table", "--image-column", f"has no effect on {config.data}", "drop it, or give a CSV file")
        kind = "folder"
    if kind == "table":
        cells = table.read_table(user_path(config.data))
        return TableInfo(config.data, kind, len(cells.rows), tuple(table_columns.describe_columns(cells)))
    bad: list[DlnotesError] = []
    if kind == "named":
        source = load_named(config.data, data_root=config.data_root, offline=config.offline)
        channels, height, width = source.samples.shape[1:]
        sizes = Counter({(width, height): len(source.labels)})
    else:
        listing = list_data(config.data, config.labels)
        settings = DecodeSettings(config.threads or default_threads(), config.max_pixels, skip_bad=True)
        read = read_samples(listing, _STATISTICS_SHAPE, settings)
        bad = list(read.errors.values())
        source = labeled(listing, read)
        channels = 1 if all(record.is_gray for record in read.records) else 3
        sizes = Counter((record.width, record.height) for record in read.records)
    if bad and not config.skip_bad:
        more = f" (and {len(bad) - 1} more unreadable files)" if len(bad) > 1 else ""
        raise InputError(bad[0].where, bad[0].what + more, "remove them, or pass --skip-bad to list them")
    training = source.splits.get("train", next(iter(source.splits.values())))
    mean, std = (
        tuple(round(value, _DECIMALS) for value in values) for values in pixel_statistics(source.samples, training)
    )
    counts = {
        split: {name: int((source.labels[indices] == i).sum()) for i, name in enumerate(source.classes)}
        for split, indices in source.splits.items()
    }
    return ImagesInfo(
        config.data, kind, source.classes, counts, channels,
        tuple(ImageSize(*size, files) for size, files in sizes.most_common()), mean, std,
        tuple(UnreadableFile(error.where, error.what) for error in bad),
    )  # fmt: skip


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
