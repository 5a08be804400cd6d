"""The number of threads of a command, and its variable OMP_NUM_THREADS, hidden from OpenMP where it is invalid."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager

from dlnotes_cli.shell.cores import available_cores
from dlnotes_cli.shell.errors import InputError

_MAX_THREADS = 1024
_VARIABLE = "OMP_NUM_THREADS"
_VALID = r"\s*[1-9]\d{0,5}(,[1-9]\d{0,5})*\s*"
_hidden: list[str] = []  # its value, while that is not in the environment


@contextmanager
def invalid_hidden() -> Iterator[None]:
    """Hide an OMP_NUM_THREADS from OpenMP that it would print lines about; `default_threads` knows it."""
    value = os.environ.get(_VARIABLE)
    if value is None or re.fullmatch(_VALID, value):
        yield
        return
    _hidden.append(os.environ.pop(_VARIABLE))
    try:
        yield
    finally:
        os.environ[_VARIABLE] = _hidden.pop()


def default_threads() -> int:
    """Default number of threads: OMP_NUM_THREADS, as in PyTorch, else one per core.

    Of a list, which OpenMP reads as the numbers of nested levels, the first counts; empty and 0 count as not set.
    Raises InputError for anything else.
    """
    return threads_of_variable() or available_cores()


def threads_of_variable() -> int | None:
    """The number of threads that OMP_NUM_THREADS sets, if it does. Raises InputError as `default_threads`."""
    variable = os.environ.get(_VARIABLE, _hidden[-1] if _hidden else "")
    first = variable.partition(",")[0].strip()
    if not first:
        return None
    if not (first.isascii() and first.isdecimal() and len(first.lstrip("0")) <= len(str(_MAX_THREADS))):
        raise _bad_threads(variable)
    threads = int(first)
    if threads > _MAX_THREADS:
        raise _bad_threads(variable)
    return threads or None


def _bad_threads(variable: str) -> InputError:
    what = f"'{variable}' is not a number of threads from 1 to {_MAX_THREADS:,}"
    return InputError("$OMP_NUM_THREADS", what, "correct it, unset it, or pass --threads")
