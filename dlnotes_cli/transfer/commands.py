"""`dlnotes transfer`."""

from dlnotes_cli.shell import output
from dlnotes_cli.shell.binding import command
from dlnotes_cli.training.report import show_training
from dlnotes_cli.transfer.options import TransferConfig


@command(
    panel="Train",
    examples=(
        "dlnotes transfer --weights none --limit 100 --size 32",
        "dlnotes transfer --list",
    ),
)
def transfer(config: TransferConfig) -> None:
    """Train an image classifier with a pretrained backbone: a new head on frozen features, or fine-tuning."""
    from dlnotes_cli.transfer.task import list_backbones
    from dlnotes_cli.transfer.task import transfer as task

    if config.list_backbones:
        _show_backbones(config, list_backbones())
        return
    result = task(config)
    if not config.json:
        _show_layers(result.fields["layers"])
    show_training(result, config)


def _show_backbones(config: TransferConfig, backbones: list[dict[str, object]]) -> None:
    if config.json:
        output.document(config.command, {"backbones": backbones})
        return
    rows = [
        (
            entry["backbone"], f"{entry['parameters']:,}", f"{entry['mebibytes']:.1f}", entry["size"],
            f"{entry['accuracy']:.3f}", "yes" if entry["is_here"] else "no",
        )
        for entry in backbones
    ]  # fmt: skip
    numeric = ("parameters", "MiB", "size", "ImageNet accuracy")
    output.table(("backbone", *numeric, "here"), rows, numeric)


def _show_layers(layers: list[dict[str, object]]) -> None:
    """Print one row for the frozen blocks, then one for each block that is trained."""
    frozen = [layer for layer in layers if not layer["trains"]]
    rows = [(f"{layer['name']}", f"{layer['parameters']:,}", layer["lr_factor"]) for layer in layers if layer["trains"]]
    if frozen:
        total = sum(int(str(layer["parameters"])) for layer in frozen)
        rows.insert(0, (f"{len(frozen)} blocks, frozen", f"{total:,}", "-"))
    output.table(("layer", "parameters", "learning rate"), rows, numeric=("parameters", "learning rate"))
    output.line()
