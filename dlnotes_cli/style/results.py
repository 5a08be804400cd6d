"""What `style-transfer` returns: one result per image, with the losses of each scale."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, NamedTuple

from dlnotes_cli.device import RuntimeInfo
from dlnotes_cli.shell.codec import INLINE, OPTIONAL, named
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
class FinishedScale:
    """The optimization at one size, as checkpoints store it."""

    size: Size
    steps: int
    seconds: float
    evaluations: list[LossValues]  # before the first step, and after each


@dataclass(frozen=True)
class ScaleResult:
    """The optimization at one size, as it is reported."""

    size: Size
    steps: int
    seconds: float
    losses: NamedLosses
    curves: dict[str, list[float]] | None = field(metadata=OPTIONAL)  # by term, of every evaluation

    @classmethod
    def of(cls, scale: FinishedScale, *, has_curves: bool) -> "ScaleResult":
        """The result; its best evaluation is the first with the lowest total, whose image is kept (nan never is)."""
        evaluations = scale.evaluations
        best = min((one for one in evaluations if not math.isnan(one.total)), key=lambda one: one.total)
        losses = NamedLosses(evaluations[0], evaluations[-1], best)
        terms = [term.name for term in fields(LossValues)]
        curves = {term: [getattr(one, term) for one in evaluations] for term in terms} if has_curves else None
        return cls(scale.size, scale.steps, scale.seconds, losses, curves)


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
                best = scale.losses.best
                losses = (f"{loss:.4g}" for loss in (best.total, best.content, best.style))
                where = (image.content, f"{image.ratio:g}", f"{width}x{height}")
                rows.append((*where, scale.steps, f"{scale.seconds:.1f}", *losses))
        yield Table(_COLUMNS, rows, numeric={*_COLUMNS} - {"content", "size"}, is_result=True)

    @property
    def paths(self) -> Iterator[Path]:
        """The files that were written."""
        files = (*(image.out for image in self.images), self.sheet, self.gram, self.animation)
        yield from (path for path in files if path is not None)
