"""The options of `dlnotes conv-shape`."""

import re
from dataclasses import dataclass
from typing import ClassVar, Literal

from dlnotes_cli.shapes.choices import Dtype, Hyperparameter, NetworkName, OptimizerName
from dlnotes_cli.shell.errors import InputError
from dlnotes_cli.shell.option import DATA, MODEL, OUTPUT, TRAINING, Config, option
from dlnotes_cli.shell.option_groups import OutputOptions

_SIZE = "[1, 9.2e18]"
_LETTERS = {"width": "-W", "kernel": "-F", "stride": "-S", "padding": "-P", "filters": "-K", "depth": "-D"}

FieldName = Literal[
    "output", "values", "parameters", "buffers", "macs", "flops", "bias_adds", "activation_bytes", "inference_bytes",
    "training_bytes", "receptive_field", "jump", "start", "vectorized", "gram",
]  # fmt: skip


def shape(text: str) -> tuple[int, ...]:
    """Sizes joined by `x` or commas.

    >>> shape("3x130x130"), shape("784")
    ((3, 130, 130), (784,))
    """
    parts = re.split(r"\s*[xX,]\s*", text.strip().strip("()"))
    if not all(re.fullmatch(r"[0-9]{1,19}", part) for part in parts) or not all(map(int, parts)):
        raise ValueError(f"'{text}' is not a shape of whole numbers above 0, like 3x130x130")
    return tuple(map(int, parts))


@dataclass(frozen=True, kw_only=True)
class StackOptions(Config):
    """What is asked about: a stack of layers and its input."""

    layers: tuple[str, ...] = option(
        (), "Layers as PyTorch writes them; - reads stdin.", group=MODEL, is_argument=True, metavar="LAYERS"
    )
    file: str | None = option(
        None, "Read the layers from a file of PyTorch code, never run; - is stdin.", group=MODEL, metavar="PATH|-"
    )
    arch: NetworkName | None = option(None, "A known network", group=MODEL)
    input: tuple[int, ...] | None = option(
        None, "One sample without batch dimension, such as 3x130x130.", group=DATA, parse=shape, metavar="CxHxW",
        shown_default="with --arch, the network's own",
    )  # fmt: skip
    batch: int = option(1, "Samples; scales MACs and memory.", group=DATA, within=_SIZE)


@dataclass(frozen=True, kw_only=True)
class LetterOptions(Config):
    """One question in the course's letters."""

    width: int | None = option(
        None, "Size of the input along one axis.", group=DATA, within=_SIZE, names=("-W", "--width")
    )
    kernel: int | None = option(None, "Size of the filter.", group=MODEL, within=_SIZE, names=("-F", "--kernel"))
    stride: int | None = option(None, "Stride.", group=MODEL, within=_SIZE, names=("-S", "--stride"), shown_default="1")
    padding: int | None = option(
        None, "Padding on each side.", group=MODEL, within="[0, 9.2e18]", names=("-P", "--padding"), shown_default="0"
    )
    filters: int | None = option(
        None, "Number of filters; with -D, gives the parameters.", group=MODEL, within=_SIZE, names=("-K", "--filters")
    )
    depth: int | None = option(
        None, "Depth of the input, its channels.", group=MODEL, within=_SIZE, names=("-D", "--depth")
    )
    solve: Hyperparameter | None = option(
        None, "With -W or one layer: every value of this setting that gives --want", group=OUTPUT
    )
    want: int | None = option(None, "The size to reach.", group=OUTPUT, within=_SIZE)


@dataclass(frozen=True, kw_only=True)
class ConvShapeConfig(OutputOptions, LetterOptions, StackOptions):
    """Every option of `conv-shape`."""

    command: ClassVar[str] = "conv-shape"

    dtype: Dtype = option("float32", "Numbers in memory", group=TRAINING)
    optimizer: OptimizerName = option("adam", "Whose state training keeps", group=TRAINING)
    explain: bool = option(False, "Show each formula with the numbers put in.", group=OUTPUT, names=("--explain",))
    gram: bool = option(
        False, "Sizes of the vectorized output and of its Gram matrix.", group=OUTPUT, names=("--gram",)
    )
    csv: bool = option(False, "Print a row for each layer as CSV.", group=OUTPUT, names=("--csv",))
    field: FieldName | None = option(None, "Print this one number or shape, bare", group=OUTPUT)

    def __post_init__(self) -> None:
        """Check each option, then that they go together."""
        super().__post_init__()
        _at_most_one(self.forms)
        _at_most_one({"LAYERS": bool(self.layers), "--file": self.file is not None, "--arch": self.arch is not None})
        if self.letters and (self.has_stack or self.input):
            raise InputError(
                self.letters[0], "asks about one filter, without --input and layers", "leave out one or the other"
            )
        if self.solve and (self.filters or self.depth):
            raise InputError("-K" if self.filters else "-D", "has no part in --solve", "leave it out")
        if self.gram and (self.letters or self.solve):
            raise InputError("--gram", "asks about a shape or a stack", "give --input, and layers if you like")
        if (self.solve is None) != (self.want is None):
            given, missing = ("--solve", "--want") if self.want is None else ("--want", "--solve")
            raise InputError(given, f"needs {missing}", f"add {missing}")

    @property
    def forms(self) -> dict[str, bool]:
        """The forms in which scripts are answered."""
        return {"--json": self.json, "--csv": self.csv, "--field": self.field is not None}

    @property
    def has_stack(self) -> bool:
        """Whether there are layers, from wherever."""
        return bool(self.layers) or self.file is not None or self.arch is not None

    @property
    def letters(self) -> list[str]:
        """The letters that are given."""
        return [letter for name, letter in _LETTERS.items() if getattr(self, name) is not None]


def _at_most_one(given: dict[str, bool]) -> None:
    names = [name for name, is_given in given.items() if is_given]
    if len(names) > 1:
        raise InputError(names[1], f"does not go with {names[0]}", "give one of them")
