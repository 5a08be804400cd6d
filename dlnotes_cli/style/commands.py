"""`dlnotes style-transfer`."""

from typing import Any

from dlnotes_cli.shell import output
from dlnotes_cli.shell.binding import command
from dlnotes_cli.style.options import StyleTransferConfig


@command(
    panel="Use",
    examples=(
        "dlnotes style-transfer --size 128 --steps 15 --out painted.png",
        "dlnotes style-transfer --list-layers --backbone vgg19",
    ),
)
def style_transfer(config: StyleTransferConfig) -> None:
    """Transfer the style of one image to the content of another (neural style transfer).

    Layers convB_I are read in front of their ReLU, as in the paper, layers reluB_I after it.
    Without images, the content is a photo from scikit-learn and the style a generated image.
    """
    if config.list_layers:
        _list_layers(config)
        return
    from dlnotes_cli.style.task import style_transfer as task

    fields = task(config).fields
    if config.json:
        output.document(config.command, fields)
    else:
        _show_results(fields)


def _list_layers(config: StyleTransferConfig) -> None:
    from dlnotes_cli.style.network import layer_names

    names = layer_names(config)
    if config.json:
        output.document(config.command, {"backbone": config.backbone, "layers": names})
        return
    for name in names:
        output.line(name)


def _show_results(fields: dict[str, Any]) -> None:
    rows = [
        (
            result["content"], f"{result['ratio']:g}",
            f"{scale['size'][1]}x{scale['size'][0]}", scale["steps"], f"{scale['seconds']:.1f}",
            *(f"{scale['losses'][term][_lowest(scale)]:.4g}" for term in ("total", "content", "style")),
        )
        for result in fields["results"]
        for scale in result["scales"]
    ]  # fmt: skip
    columns = ("content", "ratio", "size", "steps", "seconds", "loss", "content loss", "style loss")
    output.table(columns, rows, numeric={*columns} - {"content", "size"})
    output.line()
    for path in [*(result["out"] for result in fields["results"]), *([fields["sheet"]] if fields["sheet"] else [])]:
        output.line(path)


def _lowest(scale: dict[str, Any]) -> int:
    """The index of the evaluation with the lowest loss, whose image is the result."""
    totals = scale["losses"]["total"]
    return min((i for i, total in enumerate(totals) if total is not None), key=totals.__getitem__)
