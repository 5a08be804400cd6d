"""The drawings of a lesson: which files its options name, and how they are written."""

from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar

from dlnotes_cli.shell import files
from dlnotes_cli.shell.codec import HIDDEN, in_json

_MOST_FRAMES = 60


@dataclass(frozen=True)
class Plotted:
    """A result that `--plot` draws."""

    config: Any = field(metadata=HIDDEN)

    @property
    @in_json
    def plot(self) -> Path | None:
        """The plot that is drawn."""
        path: Path | None = self.config.plot
        return path

    @property
    def paths(self) -> list[Path]:
        """The files that are written."""
        return [path for path in (self.plot, getattr(self.config, "animate", None)) if path is not None]


@dataclass(frozen=True)
class Animated(Plotted):
    """A result that `--animate` draws, too."""

    @property
    @in_json
    def animation(self) -> Path | None:
        """The animation that is drawn."""
        path: Path | None = self.config.animate
        return path


Drawable = TypeVar("Drawable", bound=Plotted)


def drawn(result: Drawable, module: str) -> Drawable:
    """The result, after writing what `draw` and `animate` of a module of lessons make of it, loaded only if needed."""
    for path in result.paths:
        function = "draw" if path is result.plot else "animate"
        files.atomic_write(path, getattr(import_module(f"dlnotes_cli.lessons.{module}"), function)(result))
    return result


def frame_lengths(length: int) -> list[int]:
    """How much of a path of this length each frame of an animation shows."""
    count = min(length, _MOST_FRAMES)
    return sorted({round(1 + i * (length - 1) / max(count - 1, 1)) for i in range(count)})
