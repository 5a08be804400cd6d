"""The options of `dlnotes loss`."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from dlnotes_cli.shell.errors import InputError
from dlnotes_cli.shell.files import check_png
from dlnotes_cli.shell.option import Config, check_at_most_one, option, option_group
from dlnotes_cli.shell.option_groups import OutputOptions, OverwriteOption
from dlnotes_cli.shell.parse import numbers

LossName = Literal["cross-entropy", "nll", "bce", "mse", "mae", "huber", "hinge"]
Reduction = Literal["mean", "sum", "none"]
_SOURCE = "ROWS|CSV|-"


@option_group
class NumberOptions(Config):
    """The outputs of a network and their targets."""

    scores: str | None = option(
        None, 'Scores (logits) or predictions: one row for each sample, as in "2 1 0; 0 3 1", a CSV file, or - for CSV '
        "from standard input.", panel="Data", metavar=_SOURCE,
    )  # fmt: skip
    probabilities: str | None = option(
        None, "Probabilities in place of --scores. Without --true: the probabilities of the observed outcomes; their "
        "product is the likelihood.", panel="Data", metavar=_SOURCE,
    )  # fmt: skip
    true: str | None = option(
        None, "Targets: the class of each row, from 0; or one target for each score; or the column of the CSV file "
        "that has them, with the other columns as classes.", panel="Data", metavar="ROWS|COLUMN",
    )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class LossConfig(OutputOptions, OverwriteOption, NumberOptions):
    """Every option of `loss`."""

    command: ClassVar[str] = "loss"

    loss: LossName | None = option(
        None, "Loss: cross-entropy, nll (--scores are logarithms of probabilities), bce (binary cross-entropy), mse, "
        "mae, huber (delta 1), or hinge (classes, or signs -1 and 1).", panel="Model",
        shown_default="cross-entropy; bce for one target per probability",
    )  # fmt: skip
    temperature: float | None = option(
        None,
        "Divide the scores by X before softmax or sigmoid.",
        panel="Model",
        within="[1e-6, 1e6]",
        shown_default="1",
    )
    label_smoothing: float | None = option(
        None, "Cross-entropy: share of the target spread evenly over the classes.", panel="Training", within="[0, 1]",
        shown_default="0",
    )  # fmt: skip
    class_weights: tuple[float, ...] | None = option(
        None, "Cross-entropy and nll: weight of each class.", panel="Training", parse=numbers, within="[0, 1e9]",
        metavar="X,X,…",
    )  # fmt: skip
    reduction: Reduction = option("mean", "Reduce the losses to their mean, sum, or none", panel="Model")
    explain: bool = option(False, "Print each formula with its numbers, for the first row.", panel="Output")
    plot: Path | None = option(
        None, "Draw scores, probabilities and gradients of the first rows as bars.", panel="Output", metavar="FILE.png"
    )

    def __post_init__(self) -> None:
        """Validate each option, then their combination."""
        super().__post_init__()
        check_at_most_one({"--scores": self.scores is not None, "--probabilities": self.probabilities is not None})
        if self.scores is None and self.probabilities is None:
            raise InputError("--scores", "no numbers", 'add --scores "2 1 0" or --probabilities ".8 .7 .1"')
        if self.plot is not None:
            check_png("--plot", self.plot)

    @property
    def source(self) -> tuple[str, str]:
        """The option that has the numbers, and its value."""
        if self.scores is not None:
            return "--scores", self.scores
        return "--probabilities", str(self.probabilities)
