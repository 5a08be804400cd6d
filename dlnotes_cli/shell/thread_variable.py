"""The environment variable OMP_NUM_THREADS, hidden from OpenMP where it is invalid."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager

_VARIABLE = "OMP_NUM_THREADS"
_VALID = r"\s*[1-9]\d{0,5}(,[1-9]\d{0,5})*\s*"
_hidden: list[str] = []  # its value, while that is not in the environment


@contextmanager
def invalid_hidden() -> Iterator[None]:
    """Hide an OMP_NUM_THREADS from OpenMP that it would print lines about; `requested` returns it."""
    value = os.environ.get(_VARIABLE)
    if value is None or re.fullmatch(_VALID, value):
        yield
        return
    _hidden.append(os.environ.pop(_VARIABLE))
    try:
        yield
    finally:
        os.environ[_VARIABLE] = _hidden.pop()


def requested() -> str:
    """The value of OMP_NUM_THREADS, valid or not; empty if it is not set."""
    return os.environ.get(_VARIABLE, _hidden[-1] if _hidden else "")
