"""The options of `dlnotes train-mlp`."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from dlnotes_cli.configs.groups import ClassifierConfig
from dlnotes_cli.configs.option import MODEL, Config, option
from dlnotes_cli.configs.parse import whole_numbers

Activation = Literal["relu", "sigmoid", "tanh", "leaky-relu", "gelu"]
Initialisation = Literal["default", "zeros", "ones", "uniform", "normal"]


@dataclass(frozen=True, kw_only=True)
class MlpOptions(Config):
    """The network of `train-mlp`."""

    hidden: tuple[int, ...] = option(
        (512, 512),
        "Units of each hidden layer; '' for none.",
        group=MODEL,
        parse=whole_numbers,
        within="[1, 1e6]",
        metavar="N,N,…",
    )
    activation: Activation = option("relu", "Between the layers.", group=MODEL)
    dropout: float | None = option(
        None, "Part of the hidden units dropped in each step.", group=MODEL, within="[0, 1)", shown_default="by recipe"
    )
    batch_norm: bool | None = option(
        None,
        "Normalise each hidden layer over the batch.",
        group=MODEL,
        names=("--batch-norm/--no-batch-norm",),
        shown_default="by recipe",
    )
    init: Initialisation = option(
        "default",
        "First weights: default (PyTorch's), zeros, ones, uniform or normal (within or with deviation 1/sqrt(inputs)).",
        group=MODEL,
    )


@dataclass(frozen=True, kw_only=True)
class TrainMlpConfig(ClassifierConfig, MlpOptions):
    """Every option of `train-mlp`."""

    command: ClassVar[str] = "train-mlp"
