"""What a model expects of a sample, stored in its file: the shape and scale of pictures, or the columns of a table."""

from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Literal

Resize = Literal["crop", "squash", "letterbox"]
_RESIZES = ("crop", "squash", "letterbox")


@dataclass(frozen=True)
class PictureFormat:
    """Pictures of one size; `mean` and `std` are per channel, for pixels scaled to 0..1."""

    kind: ClassVar[str] = "picture"

    channels: int
    height: int
    width: int
    resize: Resize
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __post_init__(self) -> None:
        """Raise ValueError on values that no training run writes."""
        if self.channels not in {1, 3} or not (1 <= self.height <= 1 << 16 and 1 <= self.width <= 1 << 16):
            raise ValueError("picture size")
        if self.resize not in _RESIZES or not len(self.mean) == len(self.std) == self.channels or min(self.std) <= 0:
            raise ValueError("picture scale")

    @property
    def shape(self) -> tuple[int, ...]:
        """(C, H, W)."""
        return (self.channels, self.height, self.width)


@dataclass(frozen=True)
class Column:
    """One column of a table: numeric with its mean and deviation, or categorical with its values."""

    name: str
    mean: float = 0.0
    std: float = 1.0
    categories: tuple[str, ...] = ()

    @property
    def width(self) -> int:
        """How many numbers the column becomes."""
        return len(self.categories) or 1


@dataclass(frozen=True)
class TableFormat:
    """The feature columns of a table, in the order of the network's inputs."""

    kind: ClassVar[str] = "table"

    target: str
    columns: tuple[Column, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """(F,): numeric columns count once, categorical ones once for each value."""
        return (sum(column.width for column in self.columns),)


SampleFormat = PictureFormat | TableFormat


def format_to_json(sample_format: SampleFormat) -> dict[str, Any]:
    """The format as JSON values, for a model file."""
    return {"kind": sample_format.kind, **asdict(sample_format)}


def format_from_json(stored: dict[str, Any]) -> SampleFormat:
    """Rebuild a format; raises KeyError, TypeError or ValueError where `stored` is not one."""
    fields = dict(stored)
    kind = fields.pop("kind")
    if kind == PictureFormat.kind:
        mean, std = (tuple(float(value) for value in fields.pop(name)) for name in ("mean", "std"))
        return PictureFormat(**fields, mean=mean, std=std)
    if kind == TableFormat.kind:
        columns = tuple(Column(**column | {"categories": tuple(column["categories"])}) for column in fields["columns"])
        return TableFormat(str(fields["target"]), columns)
    raise ValueError(f"unknown format {kind}")
