"""What `explain` reports."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from dlnotes_cli.device import RuntimeInfo
from dlnotes_cli.explain.check import MapCheck
from dlnotes_cli.shell.codec import INLINE, OPTIONAL, named
from dlnotes_cli.shell.show import Detail, Table


@dataclass(frozen=True)
class Explanation:
    """The map of one class for one image, summarized."""

    file: str
    class_name: str = field(metadata=named("class"))
    probability: float
    layer: str | None  # None: the input itself
    box: tuple[int, int, int, int] | None  # of the highest 20%, in pixels of the stored image; None for an empty map
    center_of_mass: tuple[float, float] | None
    out: Path | None = field(default=None, metadata=OPTIONAL)  # the image with its heat
    map: Path | None = field(default=None, metadata=OPTIONAL)  # the values
    check: MapCheck | None = field(default=None, metadata=OPTIONAL)


@dataclass(frozen=True)
class ExplainResult:
    """The result of `explain`."""

    model: str
    weights: str
    method: str
    layer: str | None
    runtime: RuntimeInfo = field(metadata=INLINE)
    seed: int
    results: Sequence[Explanation]
    skipped: Sequence[str]
    sheet: Path | None

    def table(self) -> Iterator[Table | str]:
        """Each map, and what the tests of it say."""
        where = f"layer {self.layer}" if self.layer else "input"
        yield Detail(f"{self.method} of {self.model}, {where}")
        columns = ("file", "class", "probability", "box of the top 20%", "center of mass")
        yield Table(columns, [_row(one) for one in self.results], ("probability",))
        for one in self.results:
            if one.check is not None:
                yield f"{one.file}  {one.class_name}: {one.check}"

    @property
    def paths(self) -> list[Path]:
        """The files that were written."""
        every = (*(path for one in self.results for path in (one.out, one.map)), self.sheet)
        return [path for path in every if path is not None]


def _row(one: Explanation) -> tuple[str, ...]:
    box = "-" if one.box is None else " ".join(map(str, one.box))
    center = "-" if one.center_of_mass is None else " ".join(f"{value:g}" for value in one.center_of_mass)
    return one.file, one.class_name, f"{one.probability:.4f}", box, center
