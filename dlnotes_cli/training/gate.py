"""Gates: conditions on a result that scripts read from the exit code."""

from dlnotes_cli.shell.errors import GateError


def check_accuracy(accuracy: float | None, at_least: float | None) -> None:
    """Raise GateError where an accuracy is below what `--min-accuracy` asks; the result is printed before."""
    if at_least is not None and (accuracy is None or accuracy < at_least):
        found = "none" if accuracy is None else f"{accuracy:.4f}"
        raise GateError("--min-accuracy", f"accuracy {found} is below {at_least:g}", "train longer, or lower the gate")
