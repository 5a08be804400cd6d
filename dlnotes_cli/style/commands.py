"""`dlnotes style-transfer`."""

from typing import Any

import typer

from dlnotes_cli.shell import output
from dlnotes_cli.shell.binding import add_command
from dlnotes_cli.style.options import StyleTransferConfig

EXAMPLES = (
    "dlnotes style-transfer --size 128 --steps 15 --out painted.png",
    "dlnotes style-transfer --list-layers --backbone vgg19",
)


def style_transfer(config: StyleTransferConfig) -> None:
    """Paint one image in the style of another.

    Layers named convB_I are taken before their ReLU, as in the paper, and reluB_I after it; nothing overwrites them.
    Without images it paints a photograph of scikit-learn's in the style of a drawing made here.
    """
    from dlnotes_cli.style.network import layer_names
    from dlnotes_cli.style.task import style_transfer as task

    if config.list_layers:
        names = layer_names(config)
        if config.json:
            output.document(config.command, {"backbone": config.backbone, "layers": names})
        else:
            for name in names:
                output.line(name)
        return
    fields = task(config).fields
    if config.json:
        output.document(config.command, fields)
        return
    rows = [
        (
            result["content"], f"{result['ratio']:g}",
            f"{scale['size'][1]}x{scale['size'][0]}", scale["steps"], f"{scale['seconds']:.1f}",
            *(f"{scale['losses'][part][_best(scale)]:.4g}" for part in ("total", "content", "style")),
        )
        for result in fields["results"]
        for scale in result["scales"]
    ]  # fmt: skip
    output.table(("content", "ratio", "size", "steps", "seconds", "loss", "content loss", "style loss"), rows)
    output.line()
    for path in [*(result["out"] for result in fields["results"]), *([fields["sheet"]] if fields["sheet"] else [])]:
        output.line(path)


def _best(scale: dict[str, Any]) -> int:
    """The look with the lowest loss; its image is the one that is kept."""
    totals = scale["losses"]["total"]
    return min((i for i, total in enumerate(totals) if total is not None), key=totals.__getitem__)


def register(app: typer.Typer) -> None:
    """Add the command to the app."""
    add_command(app, style_transfer, panel="Use", examples=EXAMPLES)
