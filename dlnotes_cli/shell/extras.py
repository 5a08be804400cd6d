"""Packages that only some commands need, each part of an extra of the distribution."""

from importlib import import_module
from typing import Any

from dlnotes_cli.shell.errors import InputError


def import_extra(package: str, extra: str, where: object) -> Any:
    """Import a package of an extra. Raises InputError with the command that installs it, naming `where` it is needed.

    >>> import_extra("absent", "onnx", "--format onnx")
    Traceback (most recent call last):
    dlnotes_cli.shell.errors.InputError: --format onnx: needs the package absent; run pip install 'dlnotes-cli[onnx]'
    """
    try:
        return import_module(package)
    except ModuleNotFoundError as error:
        if error.name != package.partition(".")[0]:  # a package that is installed, but not what it needs
            raise InputError(
                where, f"{package} needs the package {error.name}", f"run pip install {error.name}"
            ) from error
        raise InputError(where, f"needs the package {package}", f"run pip install 'dlnotes-cli[{extra}]'") from error
    except ImportError as error:  # such as a shared library that is missing
        what = f"the package {package} cannot be loaded ({' '.join(str(error).split())})"
        raise InputError(where, what, f"run pip install --force-reinstall 'dlnotes-cli[{extra}]'") from error


def has_package(name: str) -> bool:
    """Whether a package is installed, without importing it."""
    from importlib.util import find_spec

    return find_spec(name) is not None
