"""`dlnotes transfer`."""

from typing import TYPE_CHECKING

from dlnotes_cli.shell import output
from dlnotes_cli.shell.binding import command
from dlnotes_cli.shell.show import show
from dlnotes_cli.transfer.options import TransferConfig

if TYPE_CHECKING:
    from dlnotes_cli.transfer.results import TransferResult
    from dlnotes_cli.transfer.transfer import BackboneInfo


@command(
    panel="Train",
    task="transfer.transfer:transfer -> TransferResult",
    also=(
        "transfer.transfer:list_backbones",
        "transfer.transfer:BackboneInfo",
        "transfer.results:FrozenResult",
    ),
    examples=(
        "dlnotes transfer --backbone small --limit 100",
        "dlnotes transfer --list",
    ),
)
def transfer(config: TransferConfig) -> None:
    """Train an image classifier with a pretrained backbone: a new head on frozen features, or fine-tuning."""
    from dlnotes_cli.transfer.transfer import list_backbones
    from dlnotes_cli.transfer.transfer import transfer as task

    if config.list_backbones:
        _print_backbones(config, list_backbones())
        return
    result = task(config)
    if not config.json:
        _print_layers(result)
    show(result, config)


def _print_backbones(config: TransferConfig, backbones: "list[BackboneInfo]") -> None:
    if config.json:
        output.document(config.command, {"backbones": [backbone.as_json() for backbone in backbones]})
        return
    rows = [
        (
            info.backbone, f"{info.parameters:,}", f"{info.mebibytes:.1f}", info.size,
            "-" if info.accuracy is None else f"{info.accuracy:.3f}",
            _downloaded(info),
        )
        for info in backbones
    ]  # fmt: skip
    numeric = ("parameters", "MiB", "size", "ImageNet accuracy")
    output.table(("backbone", *numeric, "downloaded"), rows, numeric)


def _downloaded(info: "BackboneInfo") -> str:
    if info.url is None:
        return "included"
    return "yes" if info.available else "no"


def _print_layers(result: "TransferResult") -> None:
    """Print one row for all frozen blocks, then one for each layer that is trained."""
    frozen = [layer for layer in result.layers if not layer.trains]
    rows = [
        (layer.name, f"{layer.parameters:,}", "L-BFGS" if result.fine_tune is None else f"{layer.lr_factor:g} x --lr")
        for layer in result.layers
        if layer.trains
    ]
    if frozen:
        total = sum(layer.parameters for layer in frozen)
        rows.insert(0, (f"{len(frozen)} blocks, frozen", f"{total:,}", "-"))
    numeric = ("parameters", "learning rate")
    output.table(("layer", *numeric), rows, numeric)
    output.line()
