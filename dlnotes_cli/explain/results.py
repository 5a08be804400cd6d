"""What `explain` reports."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dlnotes_cli.device import Runtime
from dlnotes_cli.explain.check import MapCheck


@dataclass(frozen=True)
class Explanation:
    """The map of one class for one image, summarized."""

    file: str
    class_name: str
    probability: float
    layer: str | None  # None: the input itself
    box: tuple[int, int, int, int] | None  # of the highest 20%, in pixels of the stored image; None for an empty map
    center_of_mass: tuple[float, float] | None
    out: Path | None = None  # the image with its heat
    map: Path | None = None  # the values
    check: MapCheck | None = None

    def as_json(self) -> dict[str, Any]:
        """An entry of `results`."""
        fields: dict[str, Any] = {
            "file": self.file, "class": self.class_name, "probability": self.probability, "layer": self.layer,
            "box": self.box and list(self.box),
            "center_of_mass": self.center_of_mass and list(self.center_of_mass),
        }  # fmt: skip
        files = {name: str(path) for name, path in (("out", self.out), ("map", self.map)) if path is not None}
        return fields | files | ({"check": self.check.as_json()} if self.check else {})


@dataclass(frozen=True)
class ExplainResult:
    """The result of `explain`."""

    model: str
    weights: str
    method: str
    layer: str | None
    runtime: Runtime
    seed: int
    results: Sequence[Explanation]
    skipped: Sequence[str]
    sheet: Path | None

    def as_json(self) -> dict[str, Any]:
        """The fields of the JSON document."""
        return {
            "model": self.model, "weights": self.weights, "method": self.method, "layer": self.layer,
            "seed": self.seed, **self.runtime.as_json(), "results": [result.as_json() for result in self.results],
            "skipped": list(self.skipped), "sheet": None if self.sheet is None else str(self.sheet),
        }  # fmt: skip
