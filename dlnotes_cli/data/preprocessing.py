"""Preprocessing that a model file stores: size and scale of images, columns of a table, vocabulary of a text."""

from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from dlnotes_cli.data.options import Resize
from dlnotes_cli.shell.codec import OPTIONAL, build, to_json

Interpolation = Literal["bilinear", "bicubic"]
_LARGEST_SIDE = 4096  # as of --size
_LARGEST = 1e30  # of a mean or standard deviation; beyond it float32 overflows


@dataclass(frozen=True)
class ImageShape:
    """Size and channels that images are decoded to, and how they are resized."""

    channels: int
    height: int
    width: int
    resize: Resize
    crop_pct: float = 1.0  # for "crop": side of the center crop as a fraction of the largest one
    interpolation: Interpolation = "bilinear"

    @property
    def dimensions(self) -> tuple[int, int, int]:
        """(C, H, W)."""
        return (self.channels, self.height, self.width)

    @property
    def nbytes(self) -> int:
        """Bytes of one decoded image."""
        return self.channels * self.height * self.width

    def __str__(self) -> str:
        crop = (f"{self.crop_pct:.6g}",) if self.crop_pct < 1 else ()
        interpolation = (self.interpolation,) if self.interpolation != "bilinear" else ()
        return "-".join((f"{self.channels}x{self.height}x{self.width}", self.resize, *crop, *interpolation))


@dataclass(frozen=True)
class ImagePreprocessing:
    """Images of one size; `mean` and `std` are per channel, of pixels scaled to 0..1."""

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
        """Raise ValueError for values that no training run writes."""
        if self.channels not in {1, 3} or not all(1 <= side <= _LARGEST_SIDE for side in self.shape[1:]):
            raise ValueError("image size")
        if not 0 < self.crop_pct <= 1:
            raise ValueError("crop_pct")
        if not len(self.mean) == len(self.std) == self.channels or not all(map(_is_scale, self.mean, self.std)):
            raise ValueError("mean or std of images")

    @property
    def shape(self) -> tuple[int, ...]:
        """(C, H, W)."""
        return (self.channels, self.height, self.width)

    @property
    def image_shape(self) -> ImageShape:
        """The shape that image files are decoded to."""
        return ImageShape(self.channels, self.height, self.width, self.resize, self.crop_pct, self.interpolation)


@dataclass(frozen=True)
class Column:
    """One column of a table: numeric with mean and standard deviation, or categorical with its categories.

    Where the training data had missing numbers, `median` stands for them, and another input says where they are.
    """

    name: str
    mean: float = 0.0
    std: float = 1.0
    categories: tuple[str, ...] = ()
    median: float | None = field(default=None, metadata=OPTIONAL)

    def __post_init__(self) -> None:
        """Raise ValueError for values that no training run writes."""
        if len(set(self.categories)) < len(self.categories):
            raise ValueError("repeated category of a column")
        if not _is_scale(self.mean, self.std) or not _is_scale(self.median or 0.0, 1.0):
            raise ValueError("mean, std or median of a column")

    @property
    def inputs(self) -> list[tuple[str, float, float]]:
        """The network inputs that encode the column: the name of each, its mean and its standard deviation."""
        if self.categories:
            return [(f"{self.name}={category}", 0.0, 1.0) for category in self.categories]
        missing = [] if self.median is None else [(f"{self.name} is missing", 0.0, 1.0)]
        return [(self.name, self.mean, self.std), *missing]

    @property
    def width(self) -> int:
        """Number of network inputs that encode the column."""
        return len(self.inputs)


@dataclass(frozen=True)
class TablePreprocessing:
    """The feature columns of a table, in the order of the network inputs."""

    kind: ClassVar[str] = "table"

    target: str
    columns: tuple[Column, ...]

    def __post_init__(self) -> None:
        """Raise ValueError for a table without columns."""
        if not self.columns:
            raise ValueError("columns of a table")

    @property
    def shape(self) -> tuple[int, ...]:
        """(F,): one for each numeric column, a second one where it has missing values, and one for each category."""
        return (sum(column.width for column in self.columns),)

    @property
    def scales(self) -> tuple[list[float], list[float]]:
        """Mean and standard deviation of each input, (F,); 0 and 1 for a category, and for what is missing."""
        scales = [(mean, std) for column in self.columns for _, mean, std in column.inputs]
        return [mean for mean, _ in scales], [std for _, std in scales]

    @property
    def inputs(self) -> list[str]:
        """The name of each input, (F,): that of a numeric column, `column=category`, or `column is missing`."""
        return [name for column in self.columns for name, _, _ in column.inputs]


@dataclass(frozen=True)
class TextPreprocessing:
    """How text becomes tokens: a vocabulary of characters, or bytes, and the normalization of the text."""

    kind: ClassVar[str] = "text"

    unit: Literal["chars", "bytes"]
    characters: str = ""  # sorted by token; empty for bytes
    lower: bool = False
    newline: Literal["translate", "keep"] = "translate"

    def __post_init__(self) -> None:
        """Raise ValueError for values that no training run writes."""
        if list(self.characters) != sorted(set(self.characters)) or (self.unit == "bytes" and self.characters):
            raise ValueError("characters of a text")

    @property
    def vocabulary(self) -> int:
        """Number of distinct tokens."""
        return 256 if self.unit == "bytes" else len(self.characters)


Preprocessing = ImagePreprocessing | TablePreprocessing


def preprocessing_to_json(preprocessing: Any) -> dict[str, Any]:
    """A preprocessing as JSON values, for a model file."""
    return {"kind": preprocessing.kind, **to_json(preprocessing)}


def preprocessing_from_json(stored: dict[str, Any], *kinds: Any) -> Any:
    """A preprocessing of one of these classes, from JSON values.

    Raises KeyError, TypeError or ValueError for other values.
    """
    fields, by_name = dict(stored), {kind.kind: kind for kind in kinds}
    if (name := fields.pop("kind")) not in by_name:
        raise ValueError(f"not the preprocessing of {' or '.join(by_name)}")
    return build(by_name[name], fields)


def _is_scale(mean: float, std: float) -> bool:
    """Whether these are a finite mean and a positive standard deviation; nan is neither."""
    return abs(mean) <= _LARGEST >= std > 0
