"""`dlnotes explain`."""

from dlnotes_cli.explain.options import ExplainConfig
from dlnotes_cli.shell.binding import command
from dlnotes_cli.shell.show import show


@command(
    panel="Understand",
    task="explain.explain:explain_images -> ExplainResult",
    also=("explain.explain:Explanation",),
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

    show(explain_images(config), config)
