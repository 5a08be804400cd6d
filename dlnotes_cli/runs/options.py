"""The options of `dlnotes runs ...`."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from dlnotes_cli.data.options import ReadOptions
from dlnotes_cli.inference import options as inference_options
from dlnotes_cli.shell import option_groups as common
from dlnotes_cli.shell.errors import InputError
from dlnotes_cli.shell.option import REQUIRED, Config, option
from dlnotes_cli.shell.parse import integers, items
from dlnotes_cli.training.options import complete_models


def _runs(text: str) -> Any:
    return option(REQUIRED, text, panel="Data", is_argument=True, metavar="RUN...", complete=complete_models)


_FOLDER = option(
    Path("runs"), "Folder whose runs are read, also those in its subfolders.", panel="Data", is_argument=True,
    metavar="FOLDER",
)  # fmt: skip
_WHERE = option(
    (), "Only runs that meet a condition: NAME=VALUE, or with !=, <, <=, > or >=; may be repeated.", panel="Data",
    metavar="NAME=VALUE",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class ListConfig(Config, command="runs list"):
    """Every option of `runs list`."""

    folder: Path = _FOLDER
    where: tuple[str, ...] = _WHERE
    sort: str | None = option(
        None, "Sort by this option or number of the result, such as lr or test.accuracy; the best metric comes first.",
        panel="Output", metavar="NAME", shown_default="by path",
    )  # fmt: skip
    reverse: bool = option(False, "Reverse the order.", panel="Output")
    columns: tuple[str, ...] = option(
        (), "Options and numbers of the result to show, such as lr,test.accuracy.", panel="Output", parse=items,
        metavar="NAME,…", shown_default="data, network, losses, accuracies and seconds",
    )  # fmt: skip
    csv: str | None = common.CSV
    overwrite: bool = common.OVERWRITE


@dataclass(frozen=True, kw_only=True)
class ShowConfig(Config, command="runs show"):
    """Every option of `runs show`."""

    run: Path = option(REQUIRED, "Run folder.", panel="Data", is_argument=True, metavar="RUN", complete=complete_models)


@dataclass(frozen=True, kw_only=True)
class BestConfig(Config, command="runs best"):
    """Every option of `runs best`."""

    folder: Path = _FOLDER
    where: tuple[str, ...] = _WHERE
    metric: str = option(
        "validation.loss", "Number of the result that the best run has the best value of, such as test.accuracy.",
        panel="Data", metavar="NAME",
    )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class DiffConfig(Config, command="runs diff"):
    """Every option of `runs diff`."""

    runs: tuple[Path, ...] = _runs("Two or more run folders.")


@dataclass(frozen=True, kw_only=True)
class CompareConfig(common.OnDevice, ReadOptions, command="runs compare"):
    """Every option of `runs compare`."""

    runs: tuple[Path, ...] = _runs("Run folders or model files; each is compared with the first.")

    data: str | None = replace(inference_options.DATA, shown_default="the data that the runs were trained on")
    split: inference_options.SplitName = inference_options.SPLIT

    plot: Path | None = common.png_option("Plot the validations of the runs over each other.")
    fail_if_worse: bool = option(
        False, "Exit with code 4 if a run has a lower accuracy than the first, by more than chance.", panel="Output"
    )
    confidence: float = option(
        0.95, "Probability with which no difference by chance is called more; that of the intervals.", panel="Output",
        within="[0.5, 0.9999]",
    )  # fmt: skip
    overwrite: bool = common.OVERWRITE

    seed: int = replace(common.SEED, help="Seed of the bootstrap.")


@dataclass(frozen=True, kw_only=True)
class EarlyStoppingConfig(Config, command="runs early-stopping"):
    """Every option of `runs early-stopping`."""

    runs: tuple[Path, ...] = option(
        REQUIRED, "Run folders, or metrics.jsonl files.", panel="Data", is_argument=True, metavar="RUN...",
        complete=complete_models,
    )  # fmt: skip

    patience: tuple[int, ...] = option(
        (1, 2, 3, 5, 8), "Validations in a row without improvement after which training stops, as in the training.",
        panel="Training", parse=integers, within="[1, 1e6]", metavar="N,…",
    )  # fmt: skip
    monitor: Literal["loss", "accuracy", "macro-f1"] = option(
        "loss", "Metric of the validations: loss, accuracy or macro-f1.", panel="Training"
    )

    plot: Path | None = common.png_option("Plot the validations, with what each patience keeps and where it stops.")
    overwrite: bool = common.OVERWRITE

    def __post_init__(self) -> None:
        """Validate each option, then that there is a patience."""
        super().__post_init__()
        if not self.patience:
            raise InputError("--patience", "is empty", "give one or more, such as 1,2,3,5,8")
