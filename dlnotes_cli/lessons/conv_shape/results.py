"""What every result of `conv-shape` offers; each kind of question has its own type, next to its calculation."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any


class ConvShapeResult(ABC):
    """A result of `conv-shape`: `as_json()` for scripts, `lines()` and `notes()` for people."""

    @abstractmethod
    def as_json(self) -> dict[str, Any]:
        """The fields of the JSON document."""

    @abstractmethod
    def lines(self) -> Iterator[str]:
        """Yield the lines of the text output."""

    def notes(self) -> Iterator[str]:
        """Yield the notes for stderr."""
        yield from ()
