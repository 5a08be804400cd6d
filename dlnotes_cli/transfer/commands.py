"""`dlnotes transfer`."""

import typer

from dlnotes_cli.shell import output
from dlnotes_cli.shell.binding import add_command
from dlnotes_cli.training.report import show_training
from dlnotes_cli.transfer.options import TransferConfig

EXAMPLES = (
    "dlnotes transfer --weights none --limit 100 --size 32",
    "dlnotes transfer --list",
)


def transfer(config: TransferConfig) -> None:
    """Train a new head on a pretrained network for your own images, or fine-tune more of it."""
    from dlnotes_cli.transfer.task import list_backbones
    from dlnotes_cli.transfer.task import transfer as task

    if config.list_backbones:
        _show_list(config, list_backbones())
        return
    result = task(config)
    if not config.json:
        _show_layers(result.fields["layers"])
    show_training(result, config)


def register(app: typer.Typer) -> None:
    """Add the command to the app."""
    add_command(app, transfer, panel="Train", examples=EXAMPLES)


def _show_list(config: TransferConfig, rows: list[dict[str, object]]) -> None:
    if config.json:
        output.document(config.command, {"backbones": rows})
        return
    cells = [
        (
            row["backbone"], f"{row['parameters']:,}", f"{row['mebibytes']:.1f}", row["size"], f"{row['accuracy']:.3f}",
            "yes" if row["is_here"] else "no",
        )
        for row in rows
    ]  # fmt: skip
    output.table(("backbone", "parameters", "MiB", "size", "ImageNet accuracy", "here"), cells)


def _show_layers(layers: list[dict[str, object]]) -> None:
    """One line for the frozen blocks in front, then one for each that trains."""
    frozen = [layer for layer in layers if not layer["trains"]]
    rows = [(f"{layer['name']}", f"{layer['parameters']:,}", layer["lr_factor"]) for layer in layers if layer["trains"]]
    if frozen:
        total = sum(int(str(layer["parameters"])) for layer in frozen)
        rows.insert(0, (f"{len(frozen)} blocks, frozen", f"{total:,}", "-"))
    output.table(("layer", "parameters", "learning rate"), rows)
    output.line()
