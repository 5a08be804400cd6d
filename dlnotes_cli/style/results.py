"""What `style-transfer` returns: one result per image, with the losses of each scale."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Self

from dlnotes_cli.device import RuntimeInfo
from dlnotes_cli.shell.codec import HIDDEN, INLINE, OPTIONAL, in_json, in_json_as, named, to_json
from dlnotes_cli.shell.show import Table
from dlnotes_cli.style.images import Size
from dlnotes_cli.style.optimization import LossValues

_COLUMNS = ("content", "ratio", "size", "steps", "seconds", "loss", "content loss", "style loss")


class NamedLosses(NamedTuple):
    """The losses of the first, the last and the best evaluation."""

    first: LossValues
    last: LossValues
    best: LossValues


@dataclass(frozen=True)
class ScaleResult:
    """The optimization at one size."""

    size: Size
    steps: int
    seconds: float
    evaluations: Sequence[LossValues] = field(metadata=HIDDEN)  # before the first step, and after each
    has_curves: bool = field(default=False, metadata=HIDDEN)  # whether JSON has the losses of every evaluation

    @property
    def best(self) -> LossValues:
        """The first evaluation with the lowest total, whose image is kept; nan is never the lowest."""
        return min((values for values in self.evaluations if not math.isnan(values.total)), key=lambda one: one.total)

    @property
    @in_json
    def losses(self) -> NamedLosses:
        """The losses of three evaluations."""
        return NamedLosses(self.evaluations[0], self.evaluations[-1], self.best)

    @property
    @in_json_as("curves", optional=True)
    def curves(self) -> dict[str, list[float]] | None:
        """One list per term, with `has_curves`."""
        return self._columns() if self.has_curves else None

    def _columns(self) -> dict[str, list[float]]:
        return {name: [getattr(values, name) for values in self.evaluations] for name in LossValues._fields}

    def as_stored(self) -> dict[str, Any]:
        """The fields as checkpoints store them, with the losses of every evaluation; nan and inf become None."""
        return to_json({"size": self.size, "steps": self.steps, "seconds": self.seconds, "losses": self._columns()})  # type: ignore[no-any-return]

    @classmethod
    def from_stored(cls, stored: Mapping[str, Any]) -> Self:
        """Rebuild from `as_stored`; None becomes nan."""
        height, width = stored["size"]
        columns = (stored["losses"][name] for name in LossValues._fields)
        rows = [LossValues(*(math.nan if loss is None else loss for loss in row)) for row in zip(*columns, strict=True)]
        return cls((height, width), stored["steps"], stored["seconds"], rows)


@dataclass(frozen=True)
class StylizedImage:
    """One output file; without size and seconds if an earlier call finished it."""

    content: str
    out: Path
    ratio: float
    size: Size | None = field(default=None, metadata=OPTIONAL)
    seconds: float | None = field(default=None, metadata=OPTIONAL)
    scales: Sequence[ScaleResult] = ()


class WeightedStyle(NamedTuple):
    """The file of a style image, and its weight."""

    file: str
    weight: float


class StyleTiming(NamedTuple):
    """How long a call took, in seconds."""

    total_s: float


@dataclass(frozen=True)
class StyleResult:
    """All images of one call, with what is needed to repeat it."""

    runtime: RuntimeInfo = field(metadata=INLINE)
    backbone: str
    weights: str
    content_layer: str
    style_layers: dict[str, float]  # with their weights
    options: dict[str, Any]  # JSON values, as resolved by the recipe
    seed: int
    styles: Sequence[WeightedStyle]
    images: Sequence[StylizedImage] = field(metadata=named("results"))
    sheet: Path | None
    gram: Path | None
    animation: Path | None
    timing: StyleTiming

    def table(self) -> Iterator[Table | str]:
        """A row per scale with the losses of its best evaluation, then the files."""
        rows = []
        for image in self.images:
            for scale in image.scales:
                height, width = scale.size
                losses = (f"{loss:.4g}" for loss in (scale.best.total, scale.best.content, scale.best.style))
                where = (image.content, f"{image.ratio:g}", f"{width}x{height}")
                rows.append((*where, scale.steps, f"{scale.seconds:.1f}", *losses))
        yield Table(_COLUMNS, rows, numeric={*_COLUMNS} - {"content", "size"}, is_result=True)

    @property
    def paths(self) -> Iterator[Path]:
        """The files that were written."""
        files = (*(image.out for image in self.images), self.sheet, self.gram, self.animation)
        yield from (path for path in files if path is not None)
