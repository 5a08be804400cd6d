"""The options of `dlnotes train-cnn`."""

from dataclasses import dataclass
from typing import ClassVar

from dlnotes_cli.models.cnn_architectures import ARCHITECTURES
from dlnotes_cli.shell.option import MODEL, OUTPUT, Config, option
from dlnotes_cli.training.options import ImageClassifierConfig


@dataclass(frozen=True, kw_only=True)
class CnnOptions(Config):
    """The network of `train-cnn`."""

    arch: str | None = option(
        None,
        "; ".join(f"{name}: {architecture.summary}" for name, architecture in ARCHITECTURES.items()) + ".",
        group=MODEL,
        choices=ARCHITECTURES,
        shown_default="by recipe",
    )
    layers: str | None = option(
        None,
        "A network of your own in place of --arch, as conv-shape reads it: text, a file, or - for stdin.",
        group=MODEL,
        metavar="TEXT|FILE|-",
        shown_default="none",
    )
    width: float | None = option(
        None, "Factor on the channels of --arch.", group=MODEL, within="[0.1, 32]", shown_default="1"
    )
    dropout: float | None = option(
        None, "Part of the units dropped before a linear layer.", group=MODEL, within="[0, 1)", shown_default="by arch"
    )
    batch_norm: bool | None = option(
        None,
        "Normalize after each convolution over the batch.",
        group=MODEL,
        names=("--batch-norm/--no-batch-norm",),
        shown_default="by arch",
    )
    print: bool = option(
        False, "Show the network as conv-shape does, and end without training.", group=OUTPUT, names=("--print",)
    )


@dataclass(frozen=True, kw_only=True)
class TrainCnnConfig(ImageClassifierConfig, CnnOptions):
    """Every option of `train-cnn`."""

    command: ClassVar[str] = "train-cnn"
