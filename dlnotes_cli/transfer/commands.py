"""`dlnotes transfer`."""

from typing import TYPE_CHECKING, Any

import typer

from dlnotes_cli.shell import output
from dlnotes_cli.shell.binding import add_command
from dlnotes_cli.training.report import print_training
from dlnotes_cli.transfer.options import TransferConfig

if TYPE_CHECKING:
    from dlnotes_cli.transfer.task import BackboneInfo

EXAMPLES = (
    "dlnotes transfer --weights none --limit 100 --size 32",
    "dlnotes transfer --list",
)


def transfer(config: TransferConfig) -> None:
    """Train a new head on a pretrained network for your own images, or fine-tune more of it."""
    from dlnotes_cli.transfer.task import list_backbones
    from dlnotes_cli.transfer.task import transfer as task

    if config.list_backbones:
        _print_backbones(config, list_backbones())
        return
    result = task(config)
    if not config.json:
        _print_layers(result.details["layers"])
    print_training(result, config)


def register(app: typer.Typer) -> None:
    """Add the command to the app."""
    add_command(app, transfer, panel="Train", examples=EXAMPLES)


def _print_backbones(config: TransferConfig, rows: "list[BackboneInfo]") -> None:
    if config.json:
        output.document(config.command, {"backbones": [row.as_json() for row in rows]})
        return
    cells = [
        (
            row.backbone, f"{row.parameters:,}", f"{row.mebibytes:.1f}", row.size, f"{row.accuracy:.3f}",
            "yes" if row.is_here else "no",
        )
        for row in rows
    ]  # fmt: skip
    output.table(("backbone", "parameters", "MiB", "size", "ImageNet accuracy", "downloaded"), cells)


def _print_layers(layers: list[dict[str, Any]]) -> None:
    """One line for all frozen blocks, then one for each layer that trains."""
    frozen = [layer for layer in layers if not layer["trains"]]
    rows = [(layer["name"], f"{layer['parameters']:,}", layer["lr_factor"]) for layer in layers if layer["trains"]]
    if frozen:
        total = sum(layer["parameters"] for layer in frozen)
        rows.insert(0, (f"{len(frozen)} blocks, frozen", f"{total:,}", "-"))
    output.table(("layer", "parameters", "learning-rate factor"), rows)
    output.line()
