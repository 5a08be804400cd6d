"""The options of `dlnotes conv-shape`."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from dlnotes_cli.shapes.choices import AssumedOptimizer, Dtype, Hyperparameter, NetworkName
from dlnotes_cli.shell.errors import InputError
from dlnotes_cli.shell.option import (
    STDOUT_TWICE,
    Config,
    check_at_most_one,
    option,
    option_group,
)
from dlnotes_cli.shell.option_groups import CsvOption, OutputOptions, OverwriteOption

_POSITIVE = "[1, 9.2e18]"
_LETTERS = {"width": "-W", "kernel": "-F", "stride": "-S", "padding": "-P", "filters": "-K", "depth": "-D"}

FieldName = Literal[
    "output", "values", "parameters", "buffers", "macs", "flops", "bias_adds", "activation_bytes", "inference_bytes",
    "training_bytes", "receptive_field", "jump", "start", "vectorized", "gram",
]  # fmt: skip


def shape(text: str) -> tuple[int, ...]:
    """Parse the shape of a sample: sizes joined by `x` or commas.

    >>> shape("3x130x130"), shape("784")
    ((3, 130, 130), (784,))
    """
    sizes = re.split(r"\s*[xX,]\s*", text.strip().strip("()"))
    if not all(re.fullmatch(r"[0-9]{1,19}", size) for size in sizes) or not all(map(int, sizes)):
        raise ValueError(f"'{text}' is not a shape of positive integers like 3x130x130")
    return tuple(map(int, sizes))


@option_group
class StackOptions(Config):
    """A stack of layers and its input."""

    layers: tuple[str, ...] = option(
        (), "Layers in PyTorch's notation, or a file of them such as net.py; - is standard input.", panel="Model",
        is_argument=True, metavar="LAYERS",
    )  # fmt: skip
    file: str | None = option(
        None, "Read the layers from a file of PyTorch code, which is not run; - is standard input.", panel="Model",
        metavar="FILE|-",
    )  # fmt: skip
    network: NetworkName | None = option(None, "A network by name", panel="Model", short="--arch")
    model: Path | None = option(
        None, "The network of a run folder or model file of dlnotes, without loading torch.", panel="Model",
        metavar="RUN",
    )  # fmt: skip
    compare: bool = option(
        False, "Compare parameters, MACs and memory: each LAYERS is a network of its own; names for --network and run "
        "folders too.", panel="Output",
    )  # fmt: skip
    input: tuple[int, ...] | None = option(
        None, "Shape of one sample, without the batch dimension, such as 3x130x130.", panel="Data", parse=shape,
        metavar="CxHxW", shown_default="with --network and --model: the network's own",
    )  # fmt: skip
    batch: int = option(1, "Batch size, which scales MACs and memory.", panel="Data", within=_POSITIVE)


@option_group
class LetterOptions(Config):
    """One convolution or pooling layer, in the letters of the course's formulas."""

    width: int | None = option(
        None, "Input size along one axis.", panel="Data", within=_POSITIVE, short="-W", name="--input-size"
    )
    kernel: int | None = option(
        None, "Kernel (filter) size.", panel="Model", within=_POSITIVE, short="-F", name="--kernel-size"
    )
    stride: int | None = option(None, "Stride.", panel="Model", within=_POSITIVE, short="-S", shown_default="1")
    padding: int | None = option(
        None, "Padding on each side.", panel="Model", within="[0, 9.2e18]", short="-P", shown_default="0"
    )
    filters: int | None = option(
        None, "Number of filters (output channels); with -D, computes the parameters.", panel="Model", within=_POSITIVE,
        short="-K",
    )  # fmt: skip
    depth: int | None = option(
        None, "Depth of the input (input channels).", panel="Model", within=_POSITIVE, short="-D"
    )
    solve: Hyperparameter | None = option(
        None, "With -W or one layer: find every value of this setting that gives the size --want", panel="Output"
    )
    want: int | None = option(None, "Output size for --solve.", panel="Output", within=_POSITIVE)


@dataclass(frozen=True, kw_only=True)
class ConvShapeConfig(OutputOptions, OverwriteOption, CsvOption, LetterOptions, StackOptions):
    """Every option of `conv-shape`."""

    command: ClassVar[str] = "conv-shape"

    dtype: Dtype = option("float32", "Data type of weights and activations", panel="Training")
    optimizer: AssumedOptimizer = option("adam", "Optimizer assumed for training memory", panel="Training")
    explain: bool = option(False, "Print each formula with its numbers.", panel="Output")
    gram: bool = option(
        False,
        "Print the sizes of the output as a matrix (channels x positions) and of its Gram matrix.",
        panel="Output",
    )
    field: FieldName | None = option(None, "Print only this number or shape", panel="Output")

    def __post_init__(self) -> None:
        """Validate each option, then their combination."""
        super().__post_init__()
        check_at_most_one(
            {"--json": self.json, "--csv -": self.csv_to_stdout, "--field": self.field is not None}, STDOUT_TWICE
        )
        check_at_most_one(
            {
                "LAYERS": bool(self.layers), "--file": self.file is not None, "--network": self.network is not None,
                "--model": self.model is not None,
            }
        )  # fmt: skip
        self._check_comparison()
        if self.letters:
            letter = self.letters[0]
            for name, is_requested in (("--input", self.input is not None), ("LAYERS", self.has_stack)):
                check_at_most_one({letter: True, name: is_requested}, f"{letter} describes a single filter")
        if self.solve and (self.filters or self.depth):
            raise InputError("-K" if self.filters else "-D", "has no effect with --solve", "drop it")
        if (self.filters is None) != (self.depth is None):
            present, missing = ("-K", "-D") if self.depth is None else ("-D", "-K")
            raise InputError(present, f"needs {missing}: the parameters are K*F*F*D + K", f"add {missing}")
        if self.gram and (self.letters or self.solve):
            raise InputError("--gram", "needs a shape or a stack of layers", "give --input, with or without layers")
        if (self.solve is None) != (self.want is None):
            present, missing = ("--solve", "--want") if self.want is None else ("--want", "--solve")
            raise InputError(present, f"needs {missing}", f"add {missing}")

    def _check_comparison(self) -> None:
        """Raise InputError for `--compare` of fewer than two networks, or with what a single one has."""
        if not self.compare:
            return
        for name, value in {
            "--csv": self.csv is not None, "--field": self.field is not None, "--gram": self.gram,
            "--explain": self.explain, "--file": self.file is not None, "--network": self.network is not None,
            "--model": self.model is not None,
        }.items():  # fmt: skip
            check_at_most_one({"--compare": True, name: value}, "--compare prints a row for each LAYERS")
        if len(self.layers) < 2:  # noqa: PLR2004  # to compare
            what = f"needs two networks or more, got {len(self.layers)}"
            raise InputError("--compare", what, 'give them one by one: "Linear(16, 4)" resnet18 runs/digits')

    @property
    def has_stack(self) -> bool:
        """Whether there are layers, from any source."""
        return bool(self.layers) or self.file is not None or self.network is not None or self.model is not None

    @property
    def letters(self) -> list[str]:
        """The options of a single filter that are set, as letters: -W, -F and so on."""
        return [letter for name, letter in _LETTERS.items() if getattr(self, name) is not None]
