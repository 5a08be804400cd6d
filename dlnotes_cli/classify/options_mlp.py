"""The options of `dlnotes train-mlp`."""

from dataclasses import dataclass
from typing import ClassVar

from dlnotes_cli.models.choices import Activation, Initialization
from dlnotes_cli.shell.option import MODEL, Config, option
from dlnotes_cli.shell.parse import whole_numbers
from dlnotes_cli.training.options import ClassifierConfig


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
        "Normalize each hidden layer over the batch.",
        group=MODEL,
        names=("--batch-norm/--no-batch-norm",),
        shown_default="by recipe",
    )
    init: Initialization = option(
        "default",
        "First weights: default (PyTorch's), zeros, ones, uniform or normal (within or with deviation 1/sqrt(inputs)).",
        group=MODEL,
    )


@dataclass(frozen=True, kw_only=True)
class TrainMlpConfig(ClassifierConfig, MlpOptions):
    """Every option of `train-mlp`."""

    command: ClassVar[str] = "train-mlp"
