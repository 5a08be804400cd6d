"""The errors of dlnotes, each kind with the exit code that the command ends with."""

from collections.abc import Iterable
from enum import IntEnum
from importlib import import_module
from typing import Any

_NEAR = 0.7  # share of equal characters
_SHORTEST_PREFIX = 3  # that a suggestion may start with


class ExitCode(IntEnum):
    """The published exit codes; only `cli` ends the process with one."""

    DONE = 0
    BUG = 1
    BAD_INPUT = 2
    UNFINISHED = 3
    GATE = 4
    INTERRUPTED = 130
    TERMINATED = 143


class DlnotesError(Exception):
    """A failure that the user can fix, as one line: where it is, what is wrong, how to fix it.

    >>> str(InputError("--lr", "nan is not a number", "give a value above 0"))
    '--lr: nan is not a number; give a value above 0'
    """

    exit_code = ExitCode.BAD_INPUT

    def __init__(self, where: object, what: str, fix: str = "") -> None:
        self.where, self.what, self.fix = str(where), what, fix
        super().__init__(f"{where}: {what}" + (f"; {fix}" if fix else ""))

    @property
    def fault(self) -> str:
        """The line without how to fix it, for a warning about a file that is skipped."""
        return f"{self.where}: {self.what}"


class InputError(DlnotesError):
    """A bad option, file, data set or model file, or data that is unavailable."""


def require(is_met: object, where: object, what: str, fix: str = "") -> None:
    """Raise InputError unless a condition is met."""
    if not is_met:
        raise InputError(where, what, fix)


class SeveralProcessesError(InputError):
    """The command needs `count` processes, which the program starts; another program starts with torchrun."""

    def __init__(self, count: int) -> None:
        super().__init__("--devices", "starts processes of dlnotes only", "run the program under torchrun")
        self.count = count


class UnfinishedError(DlnotesError):
    """The run could not finish: disk full, out of memory, divergence."""

    exit_code = ExitCode.UNFINISHED


class DiskFullError(UnfinishedError):
    """A file could not be written because of a full disk, a quota or a limit on file sizes; `remedy` is what to do."""

    def __init__(self, where: object, what: str, remedy: str, then: str = "run again") -> None:
        super().__init__(where, what, f"{remedy}, then {then}")
        self.remedy = remedy


class GateError(DlnotesError):
    """A gate such as `--min-accuracy` was not met; the result is printed all the same."""

    exit_code = ExitCode.GATE


class StoppedError(DlnotesError):
    """A signal stopped the command, which has saved its work; `where` names the signal."""

    def __init__(self, exit_code: ExitCode, what: str, fix: str = "") -> None:
        super().__init__("interrupted" if exit_code is ExitCode.INTERRUPTED else "terminated", what, fix)
        self.exit_code = exit_code


def reason(error: OSError) -> str:
    """The operating system's description of a failure, in lower case.

    >>> reason(PermissionError(13, "Permission denied"))
    'permission denied'
    """
    return (error.strerror or type(error).__name__).lower()


def unreadable(where: object, error: OSError, fix: str = "check the path") -> InputError:
    """Build the error for a file that cannot be read."""
    if isinstance(error, FileNotFoundError):
        return InputError(where, "no such file", "check the path")
    return InputError(where, f"cannot be read ({reason(error)})", fix)


def unknown_choice(where: object, value: str, choices: Iterable[str], kind: str = "value", see: str = "") -> InputError:
    """Build the error for a name outside a closed set; it suggests the nearest name, then lists all or says `see`.

    >>> str(unknown_choice("--optimizer", "adma", ["sgd", "adam"]))
    "--optimizer: unknown value 'adma'; did you mean 'adam'? choose from sgd, adam"
    """
    known = list(choices)
    near = nearest(value, known)
    hint = f"did you mean '{near}'? " if near else ""
    return InputError(where, f"unknown {kind} '{value}'", hint + (see or f"choose from {', '.join(known)}"))


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that a misspelled one most likely stands for; None if none is near.

    Near is a name that is almost the same, or that starts with the misspelled one. Case and leading
    dashes do not count.

    >>> nearest("--epohcs", ["--epochs", "--resume"]), nearest("--kern", ["--kernel"]), nearest("--file", ["--tile"])
    ('--epochs', '--kernel', '--tile')
    """
    from difflib import get_close_matches

    bare = {candidate.lower().lstrip("-"): candidate for candidate in known}
    word = name.lower().lstrip("-")
    near = get_close_matches(word, bare, n=1, cutoff=_NEAR)
    if not near and len(word) >= _SHORTEST_PREFIX:
        near = [candidate for candidate in bare if candidate.startswith(word)]
    return bare[near[0]] if near else None


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
