"""`dlnotes data cache list` and `dlnotes data cache clear`."""

from typing import TYPE_CHECKING

import typer

from dlnotes_cli.manage.options_cache import CacheClearConfig, CacheListConfig
from dlnotes_cli.shell import output
from dlnotes_cli.shell.binding import add_command
from dlnotes_cli.shell.startup import PlainGroup

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dlnotes_cli.manage.data_cache import CachedFolder

LIST_EXAMPLES = ("dlnotes data cache list", "dlnotes data cache list --json")
CLEAR_EXAMPLES = ("dlnotes data cache clear", "dlnotes data cache clear --json")


def cache_list(config: CacheListConfig) -> None:
    """List the folders whose images are kept decoded, or as features."""
    from dlnotes_cli.manage.data_cache import list_cache

    _show(config, list_cache())


def cache_clear(config: CacheClearConfig) -> None:
    """Delete decoded images and features, of one folder or of all, and say what was freed. The images stay."""
    from dlnotes_cli.manage.data_cache import clear_cache

    _show(config, clear_cache(config))


def register(app: typer.Typer) -> None:
    """Add the command group to the group `data`."""
    group = typer.Typer(
        cls=PlainGroup, help="Look at the cache of decoded images and features, or clear it.", no_args_is_help=False
    )
    add_command(group, cache_list, panel="Inspect", examples=LIST_EXAMPLES)
    add_command(group, cache_clear, panel="Inspect", examples=CLEAR_EXAMPLES)
    app.add_typer(group, name="cache", rich_help_panel="Inspect")


def _show(config: CacheListConfig | CacheClearConfig, folders: "Sequence[CachedFolder]") -> None:
    total = sum(folder.bytes for folder in folders)
    if config.json:
        output.document(config.command, {"folders": [folder.as_json() for folder in folders], "bytes": total})
        return
    rows = [(f.folder or f"damaged: {f.path}", f.images, f.form, f.bytes, f.last_used) for f in folders]
    if rows:
        output.table(("folder", "images", "form", "bytes", "last used"), rows)
        output.line()
    output.line(f"{total / 1e6:,.1f} MB {'freed' if isinstance(config, CacheClearConfig) else 'in all'}")
