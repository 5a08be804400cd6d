"""`dlnotes transfer`."""

from dlnotes_cli.shell.binding import command
from dlnotes_cli.shell.show import show
from dlnotes_cli.transfer.options import TransferConfig


@command(
    panel="Train",
    task="transfer.transfer:transfer -> FrozenResult | TransferResult",
    also=(
        "transfer.transfer:list_backbones -> BackboneList",
        "transfer.transfer:BackboneInfo",
        "transfer.transfer:BackboneList",
        "transfer.frozen_head:FrozenResult",
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

    show(list_backbones() if config.list_backbones else task(config), config)
