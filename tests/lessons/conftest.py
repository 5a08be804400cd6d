"""The check that a command refuses bad input."""

import shlex
from collections.abc import Callable

import pytest
from builders import Command


@pytest.fixture
def refused(dlnotes: Command) -> Callable[[str, str], None]:
    """Run a command line, which must end with exit code 2, no output and an error of one line with a message."""

    def check(line: str, message: str) -> None:
        outcome = dlnotes(*shlex.split(line))
        assert (outcome.code, outcome.out, outcome.err.count("\n")) == (2, "", 1), outcome
        assert outcome.err.startswith("dlnotes: error: ")
        assert message in outcome.err
        assert len(outcome.err) < 700

    return check
