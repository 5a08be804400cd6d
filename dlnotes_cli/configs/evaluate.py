"""The options of `dlnotes evaluate`."""

import shlex
from dataclasses import dataclass
from glob import escape, glob
from pathlib import Path
from typing import ClassVar, Literal

from dlnotes_cli.configs.common import VoiceOptions
from dlnotes_cli.configs.groups import NAMED_SETS, DeviceOptions, SourceOptions
from dlnotes_cli.configs.option import DATA, MODEL, OUTPUT, REQUIRED, Config, option
from dlnotes_cli.configs.parse import whole_numbers


def _model_paths(incomplete: str) -> list[str]:
    """Runs and model files that begin so, and the runs of `runs/`; names that a shell must quote are left to it."""
    patterns = (f"{escape(incomplete)}*", "runs/*")
    found = {path for pattern in patterns for path in glob(pattern)}  # noqa: PTH207  # words stay as they were typed
    models = [path for path in found if Path(path, "model.safetensors").is_file() or path.endswith("model.safetensors")]
    return sorted(path for path in models if shlex.quote(path) == path)


@dataclass(frozen=True, kw_only=True)
class ModelArgument(Config):
    """The model that a command uses."""

    model: Path = option(
        REQUIRED, "A model file, or the folder of the run that made it.", group=MODEL, is_argument=True,
        metavar="MODEL", complete=_model_paths,
    )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class ViewOptions(Config):
    """How a model looks at pictures."""

    tta: bool = option(
        False,
        "Pictures: average over shifts by a pixel and mirror images (never of digits); takes 3 or 6 times as long.",
        group=MODEL,
        names=("--tta",),
    )


@dataclass(frozen=True, kw_only=True)
class EvaluateOptions(Config):
    """What `evaluate` alone has."""

    data: str | None = option(
        None,
        "A named set, a folder of class folders, or a CSV file.",
        group=DATA,
        metavar="NAME|FOLDER|CSV",
        shown_default="what the model was trained on",
        complete=lambda: list(NAMED_SETS),
    )
    split: Literal["auto", "train", "val", "test", "all"] = option(
        "auto", "Part of the data; auto is the test part, or else all that the model has not seen.", group=DATA
    )
    top: tuple[int, ...] = option(
        (5,),
        "Count a sample as right if its class is among the k most probable, where there are more than k.",
        group=OUTPUT,
        parse=whole_numbers,
        within="[1, 1e6]",
        metavar="K,…",
    )
    out: Path | None = option(None, "Folder for the pictures.", group=OUTPUT, shown_default="no pictures")
    csv: str | None = option(
        None,
        "Write the scores of each class to this file; - is stdout.",
        group=OUTPUT,
        metavar="PATH|-",
        shown_default="none",
    )
    overwrite: bool = option(False, "Replace files that exist.", group=OUTPUT, names=("--overwrite",))
    min_accuracy: float | None = option(
        None, "Exit with 4 if the accuracy is lower.", group=OUTPUT, within="[0, 1]", shown_default="no gate"
    )


@dataclass(frozen=True, kw_only=True)
class EvaluateConfig(VoiceOptions, DeviceOptions, EvaluateOptions, SourceOptions, ViewOptions, ModelArgument):
    """Every option of `evaluate`."""

    command: ClassVar[str] = "evaluate"
