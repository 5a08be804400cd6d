"""Limits of a network's configuration, which may come from an option or from a file."""

from dlnotes_cli.shell.errors import InputError

MAX_UNITS = 1 << 28  # of a layer: the size in bytes of a matrix between two such layers fits into 64 bits
_MAX_HIDDEN_LAYERS = 1000


class InvalidNetworkError(InputError, ValueError):
    """A configuration that no network has.

    It is an InputError because the values may be those of an option, and a ValueError because they may be those of a
    model file.
    """


class TooLargeNetworkError(InputError, ValueError):
    """A configuration whose activations for one sample exceed what a machine can hold."""


def check_hidden(hidden: tuple[int, ...]) -> None:
    """Validate the units of hidden layers. Raises InvalidNetworkError."""
    if len(hidden) > _MAX_HIDDEN_LAYERS:
        what = f"{len(hidden):,} hidden layers"
        raise InvalidNetworkError("--hidden", what, f"give at most {_MAX_HIDDEN_LAYERS:,}")
    if not all(1 <= units <= MAX_UNITS for units in hidden):
        raise InvalidNetworkError("--hidden", "units of a layer out of range", f"give 1 to {MAX_UNITS:,}")
