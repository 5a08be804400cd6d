"""`dlnotes explain`."""

from typing import TYPE_CHECKING

from dlnotes_cli.explain.options import ExplainConfig
from dlnotes_cli.shell import output
from dlnotes_cli.shell.binding import command

if TYPE_CHECKING:
    from dlnotes_cli.explain.results import ExplainResult, Explanation


@command(
    panel="Understand",
    task="explain.explain:explain_images -> ExplainResult",
    also=("explain.results:Explanation",),
    examples=(
        "dlnotes explain --check --overwrite",
        "dlnotes explain small --method occlusion --class bird --sheet covered.png",
    ),
)
def explain(config: ExplainConfig) -> None:
    """Show which pixels a classifier's prediction depends on: heat maps by CAM methods, gradients or occlusion.

    Without a model, it explains the bundled network `small` (CIFAR-10 classes) on an image from scikit-learn.
    """
    from dlnotes_cli.explain.explain import explain_images

    result = explain_images(config)
    if config.json:
        output.document(config.command, result.as_json())
    else:
        _print(result, is_quiet=config.quiet)
    if result.skipped:
        output.warn(f"{len(result.skipped)} skipped: {', '.join(result.skipped)}")


def _print(result: "ExplainResult", *, is_quiet: bool) -> None:
    if not is_quiet:
        where = f"layer {result.layer}" if result.layer else "input"
        output.line(f"{result.method} of {result.model}, {where}")
        columns = ("file", "class", "probability", "box of the top 20%", "center of mass")
        output.table(columns, [_row(one) for one in result.results], numeric=("probability",))
        output.line()
    for one in result.results:
        if one.check is not None:
            output.line(f"{one.file}  {one.class_name}: {one.check}")
    for path in (*(path for one in result.results for path in (one.out, one.map)), result.sheet):
        if path is not None:
            output.line(str(path))


def _row(one: "Explanation") -> tuple[str, ...]:
    box = "-" if one.box is None else " ".join(map(str, one.box))
    center = "-" if one.center_of_mass is None else " ".join(f"{value:g}" for value in one.center_of_mass)
    return one.file, one.class_name, f"{one.probability:.4f}", box, center
