"""`dlnotes style-transfer`."""

from typing import TYPE_CHECKING

from dlnotes_cli.shell import output
from dlnotes_cli.shell.binding import command
from dlnotes_cli.style.options import StyleTransferConfig

if TYPE_CHECKING:
    from dlnotes_cli.style.results import StyleResult


@command(
    panel="Use",
    task="style.style_transfer:style_transfer -> StyleResult",
    also=("style.feature_network:layer_names",),
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
    from dlnotes_cli.style.style_transfer import style_transfer as task

    if config.list_layers:
        _list_layers(config)
        return
    result = task(config)
    if config.json:
        output.document(config.command, result.as_json(curves=config.verbose))
    else:
        _print(result)


def _list_layers(config: StyleTransferConfig) -> None:
    from dlnotes_cli.style.feature_network import layer_names

    names = layer_names(config)
    if config.json:
        output.document(config.command, {"backbone": config.backbone, "layers": names})
    else:
        for name in names:
            output.line(name)


def _print(result: "StyleResult") -> None:
    """A row per scale with the losses of its best evaluation, then the files."""
    rows = []
    for image in result.images:
        for scale in image.scales:
            height, width = scale.size
            best = scale.losses[scale.best]
            losses = (f"{loss:.4g}" for loss in (best.total, best.content, best.style))
            where = (image.content, f"{image.ratio:g}", f"{width}x{height}")
            rows.append((*where, scale.steps, f"{scale.seconds:.1f}", *losses))
    columns = ("content", "ratio", "size", "steps", "seconds", "loss", "content loss", "style loss")
    output.table(columns, rows, numeric={*columns} - {"content", "size"})
    output.line()
    for path in (*(image.out for image in result.images), *result.drawings.values()):
        if path is not None:
            output.line(str(path))
