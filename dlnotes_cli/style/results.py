"""What `style-transfer` returns: one result per image, with the losses of each scale."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from dlnotes_cli.device import Runtime
from dlnotes_cli.shell import output
from dlnotes_cli.style.feature_layers import LossLayers
from dlnotes_cli.style.images import Size
from dlnotes_cli.style.optimization import LossValues


@dataclass(frozen=True)
class ScaleResult:
    """The optimization at one size."""

    size: Size
    steps: int
    seconds: float
    losses: Sequence[LossValues]  # of every evaluation: before the first step, and after each

    @property
    def best(self) -> int:
        """Index of the evaluation with the lowest total, whose image is kept; nan is never the lowest."""
        totals = [values.total for values in self.losses]
        return min((i for i, total in enumerate(totals) if not math.isnan(total)), key=totals.__getitem__)

    def as_json(self, *, curves: bool = False) -> dict[str, Any]:
        """The losses of the first, last and best evaluation, and with `curves` of all; nan and inf become None."""
        named = {"first": 0, "last": -1, "best": self.best}
        losses = {name: self.losses[index]._asdict() for name, index in named.items()}
        scale = {**self._measured(), "losses": output.finite(losses)}
        return scale | {"curves": self._curves()} if curves else scale

    def as_stored(self) -> dict[str, Any]:
        """The fields as checkpoints store them, with the losses of every evaluation."""
        return {**self._measured(), "losses": self._curves()}

    def _measured(self) -> dict[str, Any]:
        return {"size": list(self.size), "steps": self.steps, "seconds": round(self.seconds, 3)}

    def _curves(self) -> Any:
        """One list per term; nan and inf become None."""
        return output.finite({name: [getattr(values, name) for values in self.losses] for name in LossValues._fields})

    @classmethod
    def from_stored(cls, stored: Mapping[str, Any]) -> Self:
        """Rebuild from `as_stored`; None becomes nan."""
        height, width = stored["size"]
        columns = (stored["losses"][name] for name in LossValues._fields)
        losses = [
            LossValues(*(math.nan if loss is None else loss for loss in row)) for row in zip(*columns, strict=True)
        ]
        return cls((height, width), stored["steps"], stored["seconds"], losses)


@dataclass(frozen=True)
class StylizedImage:
    """One output file."""

    content: str
    out: Path
    ratio: float
    size: Size | None = None  # None: finished by an earlier call, with `--continue`
    seconds: float = 0.0
    scales: Sequence[ScaleResult] = ()

    def as_json(self, *, curves: bool = False) -> dict[str, Any]:
        """The fields as JSON values; an image of an earlier call has neither size nor seconds."""
        if self.size is None:
            return {"content": self.content, "out": str(self.out), "ratio": self.ratio, "scales": []}
        return {
            "content": self.content,
            "out": str(self.out),
            "size": list(self.size),
            "ratio": self.ratio,
            "seconds": round(self.seconds, 3),
            "scales": [scale.as_json(curves=curves) for scale in self.scales],
        }


@dataclass(frozen=True)
class StyleResult:
    """All images of one call, with what is needed to repeat it."""

    runtime: Runtime
    backbone: str
    weights: str
    layers: LossLayers
    options: Mapping[str, Any]  # JSON values, as resolved by the recipe
    seed: int
    styles: Sequence[tuple[str, float]]  # file and weight
    images: Sequence[StylizedImage]
    sheet: Path | None
    gram: Path | None
    animation: Path | None
    total_s: float

    @property
    def drawings(self) -> dict[str, Path | None]:
        """The files next to the results, by their names in JSON."""
        return {"sheet": self.sheet, "gram": self.gram, "animation": self.animation}

    def as_json(self, *, curves: bool = False) -> dict[str, Any]:
        """The fields that `--json` prints; with `curves`, the losses of every step."""
        return {
            **self.runtime.as_json(),
            "backbone": self.backbone,
            "weights": self.weights,
            "content_layer": self.layers.content,
            "style_layers": dict(self.layers.style),
            "options": dict(self.options),
            "seed": self.seed,
            "styles": [{"file": name, "weight": weight} for name, weight in self.styles],
            "results": [image.as_json(curves=curves) for image in self.images],
            **{name: path and str(path) for name, path in self.drawings.items()},
            "timing": {"total_s": round(self.total_s, 3)},
        }
