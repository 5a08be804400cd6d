"""`dlnotes style-transfer`."""

from dlnotes_cli.shell.binding import command
from dlnotes_cli.shell.show import show
from dlnotes_cli.style.options import StyleTransferConfig


@command(
    panel="Use",
    task="style.style_transfer:style_transfer -> StyleResult",
    also=("style.network:list_layers -> LayerList",),
    examples=(
        "dlnotes style-transfer --size 128 --steps 15 --out stylized.png",
        "dlnotes style-transfer --list-layers --backbone vgg19",
    ),
)
def style_transfer(config: StyleTransferConfig) -> None:
    """Transfer the style of one image to the content of another (neural style transfer).

    Layers named convB_I are the outputs of convolutions before their ReLU, as in the paper, and reluB_I those after it.
    Without images, an image from scikit-learn gets the style of a generated image.
    """
    from dlnotes_cli.style.network import list_layers
    from dlnotes_cli.style.style_transfer import style_transfer as task

    show(list_layers(config) if config.list_layers else task(config), config)
