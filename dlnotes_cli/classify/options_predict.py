"""The options of `dlnotes predict`."""

from dataclasses import dataclass
from typing import ClassVar

from dlnotes_cli.classify.options_evaluate import ViewOptions
from dlnotes_cli.shell.option import DATA, OUTPUT, Config, option
from dlnotes_cli.shell.option_groups import DeviceOptions, OutputOptions, ReadImagesOptions
from dlnotes_cli.training.options import ModelArgument


@dataclass(frozen=True, kw_only=True)
class PredictOptions(Config):
    """What `predict` alone has."""

    paths: tuple[str, ...] = option(
        (), "Images, folders, patterns like 'in/*.jpg', or CSV files.", group=DATA, is_argument=True, metavar="PATH"
    )
    files_from: str | None = option(
        None,
        "Read more paths from this file, one on a line; - is stdin.",
        group=DATA,
        metavar="LIST|-",
        shown_default="none",
    )
    top: int = option(3, "Classes shown for each item.", group=OUTPUT, within="[1, 1e6]")
    csv: str | None = option(
        None,
        "Write a row for each item to this file; - is stdout.",
        group=OUTPUT,
        metavar="PATH|-",
        shown_default="none",
    )
    jsonl: bool = option(False, "Print one JSON line for each item, as it is done.", group=OUTPUT, names=("--jsonl",))
    overwrite: bool = option(False, "Replace a file that exists.", group=OUTPUT, names=("--overwrite",))


@dataclass(frozen=True, kw_only=True)
class PredictConfig(OutputOptions, DeviceOptions, ReadImagesOptions, PredictOptions, ViewOptions, ModelArgument):
    """Every option of `predict`."""

    command: ClassVar[str] = "predict"
