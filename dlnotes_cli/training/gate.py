"""The gate `--min-accuracy`: a condition on the result that scripts read from the exit code."""

from dlnotes_cli.shell.errors import GateError, InputError


def require_test_split(min_accuracy: float | None, data: str, *, has_test_split: bool) -> None:
    """Refuse `--min-accuracy` for data without a test split. Raises InputError."""
    if min_accuracy is not None and not has_test_split:
        raise InputError("--min-accuracy", f"{data} has no test split", "add one, or drop the option")


def check_accuracy(accuracy: float | None, min_accuracy: float | None) -> None:
    """Raise GateError for an accuracy below `--min-accuracy`; call it after the result is printed."""
    if min_accuracy is not None and (accuracy is None or accuracy < min_accuracy):
        measured = "none" if accuracy is None else f"{accuracy:.4f}"
        fix = "train longer, or use a lower --min-accuracy"
        raise GateError("--min-accuracy", f"accuracy {measured} is below {min_accuracy:g}", fix)
