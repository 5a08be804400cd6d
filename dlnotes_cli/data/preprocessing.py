"""What a model expects, stored in its file: shape and scale of images, columns of a table, characters of a text."""

from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Literal, get_args

Resize = Literal["crop", "squash", "letterbox"]
Interpolation = Literal["bilinear", "bicubic"]
_LARGEST_SIDE = 1 << 16
_LARGEST = 1e30  # a mean or deviation beyond it would leave float32


@dataclass(frozen=True)
class ImageShape:
    """The form that images are brought into."""

    channels: int
    height: int
    width: int
    resize: Resize
    crop_pct: float = 1.0  # of "crop": the part of the largest crop's sides that is kept, about the middle
    interpolation: Interpolation = "bilinear"

    @property
    def dimensions(self) -> tuple[int, int, int]:
        """(C, H, W)."""
        return (self.channels, self.height, self.width)

    @property
    def bytes(self) -> int:
        """Of one image."""
        return self.channels * self.height * self.width

    def __str__(self) -> str:
        own = (f"{self.crop_pct:.6g}",) if self.crop_pct < 1 else ()
        how = (self.interpolation,) if self.interpolation != "bilinear" else ()
        return "-".join((f"{self.channels}x{self.height}x{self.width}", self.resize, *own, *how))


@dataclass(frozen=True)
class ImagePreprocessing:
    """Images of one size; `mean` and `std` are per channel, for pixels scaled to 0..1."""

    kind: ClassVar[str] = "image"

    channels: int
    height: int
    width: int
    resize: Resize
    mean: tuple[float, ...]
    std: tuple[float, ...]
    crop_pct: float = 1.0
    interpolation: Interpolation = "bilinear"

    def __post_init__(self) -> None:
        """Raise ValueError on values that no training run writes."""
        if self.channels not in {1, 3} or not all(1 <= side <= _LARGEST_SIDE for side in self.shape[1:]):
            raise ValueError("image size")
        if not all(type(number) is int for number in self.shape) or self.resize not in get_args(Resize):
            raise ValueError("image form")
        if type(self.crop_pct) not in {int, float} or not 0 < self.crop_pct <= 1:
            raise ValueError("part of a crop")
        if self.interpolation not in get_args(Interpolation):
            raise ValueError("interpolation")
        if not len(self.mean) == len(self.std) == self.channels or not all(map(_is_scale, self.mean, self.std)):
            raise ValueError("image scale")

    @property
    def shape(self) -> tuple[int, ...]:
        """(C, H, W)."""
        return (self.channels, self.height, self.width)

    @property
    def form(self) -> ImageShape:
        """What a file is decoded into."""
        return ImageShape(self.channels, self.height, self.width, self.resize, self.crop_pct, self.interpolation)


@dataclass(frozen=True)
class Column:
    """One column of a table: numeric with its mean and deviation, or categorical with its values."""

    name: str
    mean: float = 0.0
    std: float = 1.0
    categories: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Raise ValueError on values that no training run writes."""
        texts = (self.name, *self.categories)
        if not all(isinstance(text, str) for text in texts) or len(set(texts[1:])) < len(texts[1:]):
            raise ValueError("names of a column")
        if not _is_scale(self.mean, self.std):
            raise ValueError("scale of a column")

    @property
    def width(self) -> int:
        """How many numbers the column becomes."""
        return len(self.categories) or 1


@dataclass(frozen=True)
class TablePreprocessing:
    """The feature columns of a table, in the order of the network's inputs."""

    kind: ClassVar[str] = "table"

    target: str
    columns: tuple[Column, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """(F,): numeric columns count once, categorical ones once for each value."""
        return (sum(column.width for column in self.columns),)


@dataclass(frozen=True)
class TextPreprocessing:
    """What text is made of: characters, in the order of their tokens, or bytes; and how it is read."""

    kind: ClassVar[str] = "text"

    unit: Literal["chars", "bytes"]
    characters: str = ""  # sorted; none for bytes
    lower: bool = False
    newline: Literal["translate", "keep"] = "translate"

    def __post_init__(self) -> None:
        """Raise ValueError on values that no training run writes."""
        if self.unit not in {"chars", "bytes"} or self.newline not in {"translate", "keep"}:
            raise ValueError("form of a text")
        if type(self.lower) is not bool or list(self.characters) != sorted(set(self.characters)):
            raise ValueError("characters of a text")

    @property
    def vocabulary(self) -> int:
        """How many tokens there are."""
        return 256 if self.unit == "bytes" else len(self.characters)


Preprocessing = ImagePreprocessing | TablePreprocessing


def preprocessing_to_json(preprocessing: Preprocessing | TextPreprocessing) -> dict[str, Any]:
    """The format as JSON values, for a model file."""
    return {"kind": preprocessing.kind, **asdict(preprocessing)}


def preprocessing_from_json(stored: dict[str, Any]) -> Preprocessing:
    """Rebuild a format; raises KeyError, TypeError or ValueError where `stored` is not one."""
    fields = dict(stored)
    kind = fields.pop("kind")
    if kind in {ImagePreprocessing.kind, "picture"}:  # as version 0.1 wrote it
        return ImagePreprocessing(**fields | {name: tuple(fields[name]) for name in ("mean", "std")})
    if kind == TablePreprocessing.kind:
        columns = [Column(**column | {"categories": tuple(column["categories"])}) for column in fields.pop("columns")]
        if not columns or not isinstance(fields["target"], str):
            raise ValueError("columns of a table")
        return TablePreprocessing(**fields, columns=tuple(columns))
    raise ValueError(f"unknown format {kind}")


def text_preprocessing_from_json(stored: dict[str, Any]) -> TextPreprocessing:
    """Rebuild the format of a text; raises KeyError, TypeError or ValueError where `stored` is not one."""
    fields = dict(stored)
    if fields.pop("kind") != TextPreprocessing.kind:
        raise ValueError("not the format of a text")
    return TextPreprocessing(**fields)


def _is_scale(mean: float, std: float) -> bool:
    """Whether these can be a mean and a deviation; nan is neither."""
    return isinstance(mean, int | float) and isinstance(std, int | float) and abs(mean) <= _LARGEST >= std > 0
