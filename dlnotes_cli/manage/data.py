"""Which data sets are here, and what is in one."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dlnotes_cli.data import folder, table
from dlnotes_cli.data.dataset import Source
from dlnotes_cli.data.images.decode import Header, decode_all, decode_image, read_header
from dlnotes_cli.data.load import kind_of, pixel_statistics
from dlnotes_cli.data.named import named_sets
from dlnotes_cli.data.preprocessing import ImageShape
from dlnotes_cli.device import default_threads
from dlnotes_cli.manage.options_data import DataInfoConfig, DataListConfig
from dlnotes_cli.shell.errors import DlnotesError, InputError
from dlnotes_cli.shell.files import user_path

_LOOKED_AT = 32  # pixels on each side to which images are brought for their statistics


@dataclass(frozen=True)
class DataInfo:
    """What is in a data set; `fields` is what `--json` shows."""

    fields: dict[str, Any]


def list_sets(config: DataListConfig) -> list[dict[str, Any]]:
    """Every named set: where it was found, its size and classes."""
    return [
        {
            "name": summary.name,
            "found": summary.found_in,
            "path": None if summary.path is None else str(summary.path),
            "classes": len(summary.classes),
            "shape": list(summary.shape),
            "counts": summary.counts,
            "download_bytes": summary.download_size,
        }
        for summary in named.summaries(config.data_root)
    ]


def describe_data(config: DataInfoConfig) -> DataInfo:
    """Counts per class and part, sizes, statistics, and files that cannot be read.

    Unreadable images raise InputError naming them all, or are listed with `skip_bad`.
    """
    describe = {"named": _named_info, "folder": _folder_info, "table": _table_info}[kind_of(config.data)]
    return DataInfo({"data": config.data, **describe(config)})


def _named_info(config: DataInfoConfig) -> dict[str, Any]:
    source = named.load_named(config.data, data_root=config.data_root, offline=config.offline)
    channels, height, width = source.samples.shape[1:]
    return {
        "kind": "named",
        "classes": list(source.classes),
        "counts": _counts(source),
        "channels": channels,
        "sizes": [{"width": width, "height": height, "files": len(source.labels)}],
        **_statistics(source),
        "unreadable": [],
    }


def _folder_info(config: DataInfoConfig) -> dict[str, Any]:
    listing = folder.list_folder(user_path(config.data))
    shape, limit = ImageShape(3, _LOOKED_AT, _LOOKED_AT, "squash"), config.max_pixels

    def measure(path: Path) -> tuple[Header, NDArray[np.uint8]]:
        return read_header(path, limit), decode_image(path, shape, limit)

    measured = decode_all(listing.files, measure, threads=config.threads or default_threads(), skip_bad=True)
    bad = {listing.files[i]: error for i, error in enumerate(measured) if isinstance(error, DlnotesError)}
    if bad and not config.skip_bad:
        first = next(iter(bad.values()))
        more = f" (and {len(bad) - 1} more unreadable files)" if len(bad) > 1 else ""
        raise InputError(first.where, first.what + more, "remove them, or pass --skip-bad to list them")
    good = {i: answer for i, answer in enumerate(measured) if not isinstance(answer, DlnotesError)}
    headers = [header for header, _ in good.values()]
    pixels = np.array([image for _, image in good.values()], np.uint8).reshape(-1, 3, _LOOKED_AT, _LOOKED_AT)
    parts = np.array([listing.splits[i] for i in good])
    source = Source(
        config.data, pixels, np.array([listing.labels[i] for i in good]), listing.classes,
        {str(part): np.flatnonzero(parts == part) for part in np.unique(parts)},
    )  # fmt: skip
    sizes = Counter((header.width, header.height) for header in headers)
    return {
        "kind": "folder",
        "classes": list(listing.classes),
        "counts": _counts(source),
        "channels": 1 if all(header.is_gray for header in headers) else 3,
        "sizes": [{"width": w, "height": h, "files": n} for (w, h), n in sizes.most_common()],
        **_statistics(source),
        "unreadable": [{"file": str(path), "error": error.what} for path, error in bad.items()],
    }


def _table_info(config: DataInfoConfig) -> dict[str, Any]:
    cells = table.read_table(user_path(config.data))
    return {"kind": "table", "rows": len(cells.rows), "columns": table.describe_columns(cells)}


def _counts(source: Source) -> dict[str, dict[str, int]]:
    """Samples of each class in each part."""
    return {
        part: {name: int((source.labels[indices] == i).sum()) for i, name in enumerate(source.classes)}
        for part, indices in source.splits.items()
    }


def _statistics(source: Source) -> dict[str, list[float]]:
    """Mean and deviation of each channel over the training split, pixels from 0 to 1."""
    indices = source.splits.get("train", next(iter(source.splits.values())))
    mean, std = pixel_statistics(source.samples, indices)
    return {"mean": [round(value, 4) for value in mean], "std": [round(value, 4) for value in std]}
