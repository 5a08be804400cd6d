"""`dlnotes data list`, `dlnotes data info` and `dlnotes data preview`."""

from typing import TYPE_CHECKING

import typer

from dlnotes_cli.manage import command_cache as data_cache
from dlnotes_cli.manage.options_data import DataInfoConfig, DataListConfig, DataPreviewConfig
from dlnotes_cli.shell import output
from dlnotes_cli.shell.binding import add_command
from dlnotes_cli.shell.startup import PlainGroup

if TYPE_CHECKING:
    from dlnotes_cli.manage.data import ImagesInfo, TableInfo

LIST_EXAMPLES = ("dlnotes data list", "dlnotes data list --json")
PREVIEW_EXAMPLES = (
    "dlnotes data preview",
    "dlnotes data preview digits --augment rotate:20,erase:0.5 --out sheet.png",
)
INFO_EXAMPLES = ("dlnotes data info", "dlnotes data info digits --json")
_MOST_SIZES = 6


def data_list(config: DataListConfig) -> None:
    """List the named data sets, and where each was found."""
    from dlnotes_cli.manage.data import list_sets

    sets = list_sets(config)
    if config.json:
        output.document(config.command, {"sets": [named_set.as_json() for named_set in sets]})
        return
    rows = []
    for named_set in sets:
        found = named_set.found or f"not here ({named_set.download_bytes / 1e6:.0f} MB to download)"
        counts = ", ".join(f"{count:,} {split}" for split, count in named_set.counts.items())
        shape = "x".join(map(str, named_set.shape))
        rows.append((named_set.name, found, named_set.classes, shape, counts, named_set.path or "-"))
    output.table(("set", "found", "classes", "shape", "samples", "path"), rows)


def data_info(config: DataInfoConfig) -> None:
    """Say what is in a data set: samples per class and part, sizes, statistics, unreadable files."""
    from dlnotes_cli.manage.data import TableInfo, describe_data

    info = describe_data(config)
    if config.json:
        output.document(config.command, info.as_json())
    elif isinstance(info, TableInfo):
        _show_table(info)
    else:
        _show_images(info)


def data_preview(config: DataPreviewConfig) -> None:
    """Draw what augmentation does: images of a data set in the first column, and beside each its variants.

    A training run with the same seed sees the same variants, one in each epoch; only what is mixed differs.
    """
    from dlnotes_cli.manage.preview import draw_preview

    preview = draw_preview(config)
    if config.json:
        output.document(config.command, preview.as_json())
        return
    shape = "x".join(map(str, preview.shape))
    output.line(f"{', '.join(preview.operations) or 'no operation'} on {len(preview.samples)} images of {shape}")
    output.line(preview.out)


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


def _show_table(info: "TableInfo") -> None:
    rows = []
    for column in info.columns:
        if column.kind == "numeric":
            content = f"{column.min:g} to {column.max:g}, mean {column.mean:g}, deviation {column.std:g}"
            content += f", {column.not_numbers} cells are no numbers" if column.not_numbers else ""
        else:
            content = ", ".join(column.values)
        rows.append((column.name, column.kind, column.distinct, column.empty, content))
    output.table(("column", "kind", "distinct", "empty", "content"), rows)
    output.line()
    output.line(f"{info.rows:,} rows")


def register(app: typer.Typer) -> None:
    """Add the command group to the app."""
    group = typer.Typer(
        cls=PlainGroup, help="Look at data sets: which are here, and what is in them.", no_args_is_help=False
    )
    add_command(group, data_list, panel="Inspect", examples=LIST_EXAMPLES)
    add_command(group, data_info, panel="Inspect", examples=INFO_EXAMPLES)
    add_command(group, data_preview, panel="Inspect", examples=PREVIEW_EXAMPLES)
    data_cache.register(group)
    app.add_typer(group, name="data", rich_help_panel="Inspect")
