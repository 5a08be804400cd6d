"""The options of `dlnotes conv-shape`."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from dlnotes_cli.networks.choices import BACKBONES
from dlnotes_cli.shapes.choices import AssumedOptimizer, Dtype, Hyperparameter, NetworkName
from dlnotes_cli.shell import option_groups as common
from dlnotes_cli.shell.errors import has_package, require, unknown_choice
from dlnotes_cli.shell.option import Config, option

_POSITIVE = "[1, 9.2e18]"
_LETTERS = {"width": "-W", "kernel": "-F", "stride": "-S", "padding": "-P", "filters": "-K", "depth": "-D"}
NETWORKS: tuple[str, ...] = (*get_args(NetworkName), *BACKBONES)
_STACK = ("layers", "file", "network", "model", "input", "gram", "draw")  # what a single filter has not

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


@dataclass(frozen=True, kw_only=True)
class ConvShapeConfig(Config, command="conv-shape"):
    """Every option of `conv-shape`."""

    layers: tuple[str, ...] = option(
        (), "Layers, a file of them, net.py with a class, net.py:Net(10), or - for standard input.", panel="Model",
        is_argument=True, metavar="LAYERS",
    )  # fmt: skip
    input: tuple[tuple[int, ...], ...] = option(
        (), "Shape of one sample, without the batch, as 3x130x130; once for each input.", panel="Data", parse=shape,
        metavar="CxHxW", shown_default="with --network and --model: the network's own",
    )  # fmt: skip
    batch: int = option(1, "Batch size, which scales MACs and memory.", panel="Data", within=_POSITIVE)
    width: int | None = option(
        None, "Input size along one axis.", panel="Data", within=_POSITIVE, short="-W", name="--input-size",
        conflicts=_STACK,
    )  # fmt: skip
    file: str | None = option(
        None, "Read layers, or execute the Python code of a class, from a file; - is standard input.", panel="Model",
        metavar="FILE|-", conflicts=("layers",),
    )  # fmt: skip
    network: str | None = option(
        None, f"A network by name: {', '.join(get_args(NetworkName))}, any that transfer --list lists, or one of timm.",
        panel="Model", short="--arch", complete=lambda: list(NETWORKS), metavar="NAME", conflicts=("layers", "file"),
    )  # fmt: skip
    model: Path | None = option(
        None, "The network of a run folder or model file of dlnotes.", panel="Model",
        metavar="RUN", conflicts=("layers", "file", "network"),
    )  # fmt: skip
    kernel: int | None = option(
        None, "Kernel (filter) size.", panel="Model", within=_POSITIVE, short="-F", name="--kernel-size",
        conflicts=_STACK,
    )  # fmt: skip
    stride: int | None = option(
        None, "Stride.", panel="Model", within=_POSITIVE, short="-S", shown_default="1", conflicts=_STACK
    )
    padding: int | None = option(
        None, "Padding on each side.", panel="Model", within="[0, 9.2e18]", short="-P", shown_default="0",
        conflicts=_STACK,
    )  # fmt: skip
    filters: int | None = option(
        None, "Number of filters (output channels); with -D, computes the parameters.", panel="Model", within=_POSITIVE,
        short="-K", conflicts=_STACK, needs=("depth",), unused_with=("solve",),
    )  # fmt: skip
    depth: int | None = option(
        None, "Depth of the input (input channels).", panel="Model", within=_POSITIVE, short="-D", conflicts=_STACK,
        needs=("filters",), unused_with=("solve",),
    )  # fmt: skip
    dtype: Dtype = option("float32", "Data type of weights and activations", panel="Training")
    optimizer: AssumedOptimizer = option("adam", "Optimizer assumed for training memory", panel="Training")
    compare: bool = option(
        False, "Compare networks: each LAYERS is one; names for --network and run folders too.", panel="Output",
        conflicts=("csv", "field", "gram", "explain", "file", "network", "model", "solve"),
    )  # fmt: skip
    solve: Hyperparameter | None = option(
        None, "With -W or one layer: find every value of this setting that gives the size --want", panel="Output",
        conflicts=("gram",), needs=("want",),
    )  # fmt: skip
    want: int | None = option(None, "Output size for --solve.", panel="Output", within=_POSITIVE, needs=("solve",))
    explain: bool = option(False, "Print each formula with its numbers.", panel="Output")
    gram: bool = option(
        False, "Print the sizes of the output as a matrix (channels x positions) and of its Gram matrix.",
        panel="Output",
    )  # fmt: skip
    draw: Path | None = option(
        None, "Draw the network as boxes with their shapes, branches side by side.", panel="Output",
        metavar="FILE.svg|.png", ends_in=".svg|.png", conflicts=("compare", "solve", "gram", "field"),
    )  # fmt: skip
    field: FieldName | None = option(None, "Print only this number or shape", panel="Output", conflicts=("json", "csv"))
    csv: str | None = common.CSV
    overwrite: bool = common.OVERWRITE

    def __post_init__(self) -> None:
        """Validate each option, then the number of networks to compare; one shape stands for a tuple of one."""
        if self.input and all(isinstance(size, int) for size in self.input):
            object.__setattr__(self, "input", (self.input,))
        super().__post_init__()
        if self.network is not None and self.network not in NETWORKS and not has_package("timm"):
            see = (
                f"use {', '.join(get_args(NetworkName))}, or a name of dlnotes transfer --list; "
                "pip install 'dlnotes-cli[timm]' adds those of timm"
            )
            raise unknown_choice("--network", self.network, NETWORKS, see=see)
        what = f"needs two networks or more, got {len(self.layers)}"
        fix = 'give them one by one: "Linear(16, 4)" resnet18 runs/digits'
        require(not self.compare or len(self.layers) > 1, "--compare", what, fix)

    @property
    def has_stack(self) -> bool:
        """Whether there are layers, from any source."""
        return bool(self.layers) or self.file is not None or self.network is not None or self.model is not None

    @property
    def letters(self) -> list[str]:
        """The options of a single filter that are set, as letters: -W, -F and so on."""
        return [letter for name, letter in _LETTERS.items() if getattr(self, name) is not None]
