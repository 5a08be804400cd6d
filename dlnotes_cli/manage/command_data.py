"""`dlnotes data list`, `dlnotes data info` and `dlnotes data preview`."""

from typing import Any

import typer

from dlnotes_cli.manage import command_cache as data_cache
from dlnotes_cli.manage.options_data import DataInfoConfig, DataListConfig, DataPreviewConfig
from dlnotes_cli.shell import output
from dlnotes_cli.shell.binding import add_command
from dlnotes_cli.shell.startup import PlainGroup

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
        output.document(config.command, {"sets": sets})
        return
    rows = []
    for entry in sets:
        found = entry["found"] or f"not here ({entry['download_bytes'] / 1e6:.0f} MB to download)"
        counts = ", ".join(f"{count:,} {part}" for part, count in entry["counts"].items())
        shape = "x".join(map(str, entry["shape"]))
        rows.append((entry["name"], found, entry["classes"], shape, counts, entry["path"] or "-"))
    output.table(("set", "found", "classes", "shape", "samples", "path"), rows)


def data_info(config: DataInfoConfig) -> None:
    """Say what is in a data set: samples per class and part, sizes, statistics, unreadable files."""
    from dlnotes_cli.manage.data import describe_data

    fields = describe_data(config).fields
    if config.json:
        output.document(config.command, fields)
    elif fields["kind"] == "table":
        _show_table(fields)
    else:
        _show_images(fields)


def data_preview(config: DataPreviewConfig) -> None:
    """Draw what augmentation does: images of a data set in the first column, and beside each its variants.

    A training run with the same seed sees the same variants, one in each epoch; only what is mixed differs.
    """
    from dlnotes_cli.manage.preview import draw_preview

    fields = draw_preview(config)
    if config.json:
        output.document(config.command, fields)
        return
    shape = "x".join(map(str, fields["shape"]))
    output.line(f"{', '.join(fields['operations']) or 'no operation'} on {len(fields['samples'])} images of {shape}")
    output.line(fields["out"])


def _show_images(fields: dict[str, Any]) -> None:
    parts = list(fields["counts"])
    rows = [(name, *(fields["counts"][part][name] for part in parts)) for name in fields["classes"]]
    rows.append(("total", *(sum(fields["counts"][part].values()) for part in parts)))
    output.table(("class", *parts), rows)
    output.line()
    sizes = [f"{s['width']}x{s['height']} ({s['files']:,})" for s in fields["sizes"]]
    more = f" and {len(sizes) - _MOST_SIZES} more" if len(sizes) > _MOST_SIZES else ""
    output.line(f"sizes     {', '.join(sizes[:_MOST_SIZES])}{more}")
    output.line(f"channels  {fields['channels']}")
    output.line(f"mean      {', '.join(map(str, fields['mean']))}")
    output.line(f"std       {', '.join(map(str, fields['std']))}")
    for entry in fields["unreadable"]:
        output.line(f"unreadable: {entry['file']}: {entry['error']}")


def _show_table(fields: dict[str, Any]) -> None:
    rows = []
    for column in fields["columns"]:
        if column["kind"] == "numeric":
            content = f"{column['min']:g} to {column['max']:g}, mean {column['mean']:g}, deviation {column['std']:g}"
            content += f", {column['not_numbers']} cells are no numbers" if column["not_numbers"] else ""
        else:
            content = ", ".join(column["values"])
        rows.append((column["name"], column["kind"], column["distinct"], column["empty"], content))
    output.table(("column", "kind", "distinct", "empty", "content"), rows)
    output.line()
    output.line(f"{fields['rows']:,} rows")


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
