"""List the named data sets, and describe the content of one data set."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from dlnotes_cli.data import table, table_columns
from dlnotes_cli.data.dataset import LabeledSamples
from dlnotes_cli.data.folder import DecodeSettings, labeled, read_samples
from dlnotes_cli.data.listing import list_folder
from dlnotes_cli.data.load import pixel_statistics
from dlnotes_cli.data.named.named_sets import NamedSetInfo, list_named, load_named
from dlnotes_cli.data.paths import kind_of
from dlnotes_cli.data.preprocessing import ImageShape
from dlnotes_cli.manage.options import DataInfoConfig, DataListConfig
from dlnotes_cli.shell import output
from dlnotes_cli.shell.cores import default_threads
from dlnotes_cli.shell.errors import InputError
from dlnotes_cli.shell.files import user_path
from dlnotes_cli.shell.show import Table

_STATISTICS_SIDE = 32  # pixels; images of a folder are resized to this square for mean and standard deviation
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


@dataclass(frozen=True)
class ImageSize:
    """A size in pixels, and the number of images that have it."""

    width: int
    height: int
    files: int


@dataclass(frozen=True)
class UnreadableFile:
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


def list_sets(config: DataListConfig) -> SetList:
    """All named sets and where they were found."""
    return SetList(list_named(config.data_root))


def describe_data(config: DataInfoConfig) -> ImagesInfo | TableInfo:
    """Samples per class and split, image sizes and pixel statistics, or the columns of a table.

    Raises InputError for unreadable images; with `skip_bad` they are listed instead.
    """
    kind = kind_of(config.data, "NAME|FOLDER|CSV")
    if kind == "table":
        cells = table.read_table(user_path(config.data))
        return TableInfo(config.data, "table", len(cells.rows), tuple(table_columns.describe_columns(cells)))
    return _named_info(config) if kind == "named" else _folder_info(config)


def _named_info(config: DataInfoConfig) -> ImagesInfo:
    source = load_named(config.data, data_root=config.data_root, offline=config.offline)
    channels, height, width = source.samples.shape[1:]
    mean, std = _statistics(source)
    return ImagesInfo(
        config.data, "named", source.classes, _counts(source), channels,
        (ImageSize(width, height, len(source.labels)),), mean, std, (),
    )  # fmt: skip


def _folder_info(config: DataInfoConfig) -> ImagesInfo:
    listing = list_folder(user_path(config.data))
    settings = DecodeSettings(config.threads or default_threads(), config.max_pixels, skip_bad=True)
    read = read_samples(listing, ImageShape(3, _STATISTICS_SIDE, _STATISTICS_SIDE, "squash"), settings)
    bad = list(read.errors.values())
    if bad and not config.skip_bad:
        more = f" (and {len(bad) - 1} more unreadable files)" if len(bad) > 1 else ""
        raise InputError(bad[0].where, bad[0].what + more, "remove them, or pass --skip-bad to list them")
    source = labeled(listing, read)
    sizes = Counter((record.width, record.height) for record in read.records)
    mean, std = _statistics(source)
    return ImagesInfo(
        data=config.data,
        kind="folder",
        classes=listing.classes,
        counts=_counts(source),
        channels=1 if all(record.is_gray for record in read.records) else 3,
        sizes=tuple(ImageSize(width, height, files) for (width, height), files in sizes.most_common()),
        mean=mean,
        std=std,
        unreadable=tuple(UnreadableFile(error.where, error.what) for error in bad),
    )


def _counts(source: LabeledSamples) -> dict[str, dict[str, int]]:
    """Samples of each class in each split."""
    return {
        split: {name: int((source.labels[indices] == i).sum()) for i, name in enumerate(source.classes)}
        for split, indices in source.splits.items()
    }


def _statistics(source: LabeledSamples) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of each channel over the training split, for pixels scaled to 0..1."""
    indices = source.splits.get("train", next(iter(source.splits.values())))
    mean, std = pixel_statistics(source.samples, indices)
    return tuple(round(value, _DECIMALS) for value in mean), tuple(round(value, _DECIMALS) for value in std)
