"""`dlnotes data list`, `info`, `preview`, `cache list`, `cache clear`, and `dlnotes doctor`."""

from typing import TYPE_CHECKING

from dlnotes_cli.manage.options import (
    CacheClearConfig,
    CacheListConfig,
    DataInfoConfig,
    DataListConfig,
    DataPreviewConfig,
    DoctorConfig,
    EarlyStoppingConfig,
)
from dlnotes_cli.shell import output
from dlnotes_cli.shell.binding import command

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dlnotes_cli.data.table import CategoricalColumn, NumericColumn
    from dlnotes_cli.manage.data import ImagesInfo, TableInfo
    from dlnotes_cli.manage.data_cache import CachedFolder
    from dlnotes_cli.manage.device_timing import BackboneTiming

_MOST_SIZES = 6  # image sizes to print


@command(
    panel="Manage",
    task="manage.data:list_sets",
    also=("manage.data:NamedSetInfo",),
    examples=("dlnotes data list", "dlnotes data list --json"),
)
def data_list(config: DataListConfig) -> None:
    """List the named data sets, and where each was found."""
    from dlnotes_cli.manage.data import list_sets

    sets = list_sets(config)
    if config.json:
        output.document(config.command, {"sets": [named_set.as_json() for named_set in sets]})
        return
    rows = []
    for named_set in sets:
        place = named_set.found or f"missing ({named_set.download_bytes / 1e6:.0f} MB to download)"
        counts = ", ".join(f"{count:,} {split}" for split, count in named_set.counts.items())
        shape = "x".join(map(str, named_set.shape))
        rows.append((named_set.name, place, named_set.classes, shape, counts, named_set.path or "-"))
    output.table(("set", "found", "classes", "shape", "samples", "path"), rows)


@command(
    panel="Manage",
    task="manage.data:describe_data -> ImagesInfo | TableInfo",
    examples=("dlnotes data info", "dlnotes data info digits --json"),
)
def data_info(config: DataInfoConfig) -> None:
    """Describe a data set: samples per class and split, image sizes, statistics, unreadable files."""
    from dlnotes_cli.manage.data import TableInfo, describe_data

    info = describe_data(config)
    if config.json:
        output.document(config.command, info.as_json())
    elif isinstance(info, TableInfo):
        _show_columns(info)
    else:
        _show_images(info)


@command(
    panel="Manage",
    task="manage.preview:draw_preview -> PreviewResult",
    also=("manage.text_preview:preview_text -> TextPreview",),
    examples=(
        "dlnotes data preview",
        "dlnotes data preview digits --augment rotate:20,erase:0.5 --out sheet.png",
        'dlnotes data preview --text "1 2 3 4 5 6 7" --tokens words --seq-len 3',
    ),
)
def data_preview(config: DataPreviewConfig) -> None:
    """Preview augmentation: images of a data set in the first column, augmented variants next to each.

    A training run with the same seed uses the same variants, one per epoch, except for mixup and cutmix.
    Of a text it prints the first batches of char-rnn: row by row the inputs, and the targets one token later.
    """
    if config.reads_text:
        _preview_text(config)
        return
    from dlnotes_cli.manage.preview import draw_preview

    preview = draw_preview(config)
    if config.json:
        output.document(config.command, preview.as_json())
        return
    shape = "x".join(map(str, preview.shape))
    what = "pixel values" if preview.numbers else ", ".join(preview.operations) or "no operation"
    output.line(f"{what} on {output.counted(len(preview.samples), 'image')} of {shape}")
    output.line(preview.out)


def _preview_text(config: DataPreviewConfig) -> None:
    from dlnotes_cli.manage.text_preview import preview_text

    preview = preview_text(config)
    if config.json:
        output.document(config.command, preview.as_json())
        return

    def shown(tokens: "Sequence[str]") -> str:
        return " ".join(tokens) if config.tokens == "words" else repr("".join(tokens))

    rows = [
        (f"{number}", f"{i}", shown(inputs), shown(targets))
        for number, batch in enumerate(preview.batches, 1)
        for i, (inputs, targets) in enumerate(zip(batch.inputs, batch.targets, strict=True), 1)
    ]
    output.table(("batch", "row", "inputs", "targets"), rows)
    output.line()
    tokens = f"{preview.tokens:,} {preview.unit}, {preview.vocabulary:,} distinct"
    batches = output.counted(preview.steps, "batch", "batches")
    output.line(f"{tokens}: {batches} of {preview.batch_size} x {preview.seq_len}")


@command(
    panel="Manage",
    task="manage.data_cache:list_cache",
    also=("manage.data_cache:CachedFolder",),
    examples=("dlnotes data cache list", "dlnotes data cache list --json"),
)
def cache_list(config: CacheListConfig) -> None:
    """List the image folders whose decoded images or features are cached."""
    from dlnotes_cli.manage.data_cache import list_cache

    _show_cache(config, list_cache())


@command(
    panel="Manage",
    task="manage.data_cache:clear_cache",
    examples=("dlnotes data cache clear", "dlnotes data cache clear --json"),
)
def cache_clear(config: CacheClearConfig) -> None:
    """Delete cached images and features of one folder or all, and print the space freed. The image files stay."""
    from dlnotes_cli.manage.data_cache import clear_cache

    _show_cache(config, clear_cache(config))


@command(
    panel="Manage",
    task="manage.early_stopping:replay_early_stopping -> EarlyStoppingResult",
    also=("manage.early_stopping:ReplayedRun",),
    examples=(
        "dlnotes runs early-stopping runs/digits",
        "dlnotes runs early-stopping runs/digits --patience 1,3 --plot stops.png",
    ),
)
def early_stopping(config: EarlyStoppingConfig) -> None:
    """Replay early stopping on the validations of finished runs: where each patience stops, and which epoch it keeps.

    Train the runs without --patience; a schedule that depends on the length of the run stays that of the whole run.
    """
    from dlnotes_cli.manage.early_stopping import replay_early_stopping

    result = replay_early_stopping(config)
    if config.json:
        output.document(config.command, result.as_json())
        return
    rows = [
        (
            run.run, replay.patience, "never" if replay.stop_epoch is None else replay.stop_epoch, replay.kept_epoch,
            f"{replay.value:.6g}", f"{replay.validations} of {run.validations}",
        )
        for run in result.runs
        for replay in run.replays
    ]  # fmt: skip
    columns = ("patience", "stops after epoch", "keeps epoch", config.monitor, "validations")
    output.table(("run", *columns), rows, numeric=columns)
    if result.plot is not None:
        output.line()
        output.line(str(result.plot))


@command(
    panel="Manage",
    task="manage.doctor:examine -> DoctorReport",
    examples=("dlnotes doctor", "dlnotes doctor --time resnet18 --batch-size 2 --size 64"),
)
def doctor(config: DoctorConfig) -> None:
    """Check this machine: versions, devices, precision, CPU cores, cache and data sets.

    With --time it measures how long a network takes for a batch on each device.
    """
    from dlnotes_cli.manage.doctor import examine

    report = examine(config)
    if config.json:
        output.document(config.command, report.as_json())
        return
    if report.timing is None:
        rows = [(name.replace("_", " "), _as_text(value)) for name, value in report.as_rows().items()]
        output.table(("what", "found"), rows)
    else:
        _show_timing(report.timing)


def _show_timing(timing: "BackboneTiming") -> None:
    rows = [
        (
            f"{'about ' if one.estimated else ''}{one.inference_s:.4g}",
            f"{'about ' if one.estimated else ''}{one.head_s:.4g}",
            f"{one.images_per_s:,.1f}",
            f"{one.runs} x {one.images}",
        )
        for one in timing.devices
    ]
    names = [one.device for one in timing.devices]
    columns = ("device", "predicting (s)", "training a head (s)", "images/s", "measured")
    output.table(columns, [(name, *row) for name, row in zip(names, rows, strict=True)], numeric=columns[1:])
    output.line()
    what = (
        f"{timing.backbone}, {timing.batch_size} images of {timing.size}x{timing.size}, fp32, {timing.weights} weights"
    )
    output.line(f"{what}; the CPU with {output.counted(timing.threads, 'thread')}")
    if any(one.estimated for one in timing.devices):
        output.note("about: extrapolated from fewer images, as a batch would exceed --time-budget")
    if timing.weights == "random":
        output.note("the weights are random, since none are on this machine; the time is the same")


def _show_images(info: "ImagesInfo") -> None:
    splits = list(info.counts)
    rows = [(name, *(info.counts[split][name] for split in splits)) for name in info.classes]
    rows.append(("total", *(sum(info.counts[split].values()) for split in splits)))
    output.table(("class", *splits), rows)
    output.line()
    sizes = [f"{size.width}x{size.height} ({size.files:,})" for size in info.sizes]
    more = f" and {len(sizes) - _MOST_SIZES} more" if len(sizes) > _MOST_SIZES else ""
    output.line(f"sizes     {', '.join(sizes[:_MOST_SIZES])}{more}")
    output.line(f"channels  {info.channels}")
    output.line(f"mean      {', '.join(map(str, info.mean))}")
    output.line(f"std       {', '.join(map(str, info.std))}")
    for bad in info.unreadable:
        output.line(f"unreadable: {bad.file}: {bad.error}")


def _show_columns(info: "TableInfo") -> None:
    rows = [(column.name, column.kind, column.distinct, column.empty, _content(column)) for column in info.columns]
    output.table(("column", "kind", "distinct", "empty", "content"), rows)
    output.line()
    output.line(output.counted(info.rows, "row"))


def _content(column: "NumericColumn | CategoricalColumn") -> str:
    """The values of a column of a CSV table, in short."""
    if column.kind != "numeric":
        return ", ".join(column.values)
    numbers = f"{column.min:g} to {column.max:g}, mean {column.mean:g}, std {column.std:g}"
    return numbers + (
        f", {output.counted(column.not_numbers, 'cell is not a number', 'cells are not numbers')}"
        if column.not_numbers
        else ""
    )


def _show_cache(config: CacheListConfig | CacheClearConfig, folders: "Sequence[CachedFolder]") -> None:
    total = sum(folder.bytes for folder in folders)
    if config.json:
        output.document(config.command, {"folders": [folder.as_json() for folder in folders], "bytes": total})
        return
    rows = [
        (f.folder or f"damaged: {f.path}", f.images, f.preprocessing, output.size(f.bytes), f.last_used)
        for f in folders
    ]
    if rows:
        output.table(("folder", "images", "preprocessing", "size", "last used"), rows, numeric=("size",))
        output.line()
    output.line(f"{output.size(total)} {'freed' if isinstance(config, CacheClearConfig) else 'in total'}")


def _as_text(value: object) -> str:
    """A value of a JSON document for people."""
    if isinstance(value, dict):
        return ", ".join(f"{key} {_as_text(item)}" for key, item in value.items())
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "missing" if value is None else str(value)
