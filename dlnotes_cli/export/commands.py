"""`dlnotes export`."""

from dlnotes_cli.export.options import ExportConfig
from dlnotes_cli.shell.binding import command


@command(
    panel="Use",
    task="export.export:export_model -> ExportResult",
    also=("export.results:Parity",),
    examples=(
        "dlnotes export runs/digits --overwrite",
        "dlnotes export runs/digits --dtype float16 --out digits-16.onnx --overwrite",
    ),
)
def export(config: ExportConfig) -> None:
    """Export a trained model to ONNX or PyTorch, with its preprocessing inside, and prove that it answers the same.

    The file runs on real samples first: where a class or a probability differs, no file is written, and the exit code
    is 3.
    """
