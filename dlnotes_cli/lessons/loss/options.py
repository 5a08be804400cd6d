"""The options of `dlnotes loss`."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from dlnotes_cli.shell import option_groups as common
from dlnotes_cli.shell.errors import InputError
from dlnotes_cli.shell.option import Config, option
from dlnotes_cli.shell.parse import numbers

LossName = Literal["cross-entropy", "nll", "bce", "mse", "mae", "huber", "hinge"]
Reduction = Literal["mean", "sum", "none"]
_SOURCE = "ROWS|CSV|-"


@dataclass(frozen=True, kw_only=True)
class LossConfig(Config):
    """Every option of `loss`."""

    command: ClassVar[str] = "loss"

    scores: str | None = option(
        None, 'Scores (logits) or predictions, a row for each sample: "2 1 0; 0 3 1", a CSV file, or -.',
        panel="Data", metavar=_SOURCE,
    )  # fmt: skip
    probabilities: str | None = option(
        None, "Probabilities in place of --scores; without --true, those of the observed outcomes.",
        panel="Data", metavar=_SOURCE, conflicts=("scores",),
    )  # fmt: skip
    true: str | None = option(
        None, "Targets: the class of each row, from 0, one target for each score, or a column of the CSV file.",
        panel="Data", metavar="ROWS|COLUMN",
    )  # fmt: skip
    loss: LossName | None = option(
        None, "cross-entropy, nll (of log-probabilities), bce (binary), mse, mae, huber (delta 1) or hinge.",
        panel="Model", needs=("true",), shown_default="cross-entropy; bce for one target per probability",
    )  # fmt: skip
    temperature: float | None = option(
        None, "Divide the scores by X before softmax or sigmoid.", panel="Model", within="[1e-6, 1e6]",
        shown_default="1",
    )  # fmt: skip
    reduction: Reduction = option("mean", "Reduce the losses to their mean, sum, or none", panel="Model")
    label_smoothing: float | None = option(
        None, "Cross-entropy: share of the target spread evenly over the classes.", panel="Training", within="[0, 1]",
        shown_default="0",
    )  # fmt: skip
    class_weights: tuple[float, ...] | None = option(
        None, "Cross-entropy and nll: weight of each class.", panel="Training", parse=numbers, within="[0, 1e9]",
        metavar="X,X,…",
    )  # fmt: skip
    explain: bool = option(False, "Print each formula with its numbers, for the first row.", panel="Output")
    plot: Path | None = option(
        None, "Draw scores, probabilities and gradients of the first rows as bars.", panel="Output",
        metavar="FILE.png", ends_in=".png",
    )  # fmt: skip
    overwrite: bool = common.OVERWRITE
    json: bool = common.JSON
    quiet: bool = common.QUIET
    verbose: bool = common.VERBOSE

    def __post_init__(self) -> None:
        """Validate each option, then that there are numbers."""
        super().__post_init__()
        if self.scores is None and self.probabilities is None:
            raise InputError("--scores", "no numbers", 'add --scores "2 1 0" or --probabilities ".8 .7 .1"')
