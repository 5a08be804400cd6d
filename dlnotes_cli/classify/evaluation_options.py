"""The options of `dlnotes evaluate` and `predict`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from dlnotes_cli.data import options as data_options
from dlnotes_cli.inference import options as inference_options
from dlnotes_cli.shell import option_groups as common
from dlnotes_cli.shell.option import check_at_most_one, option
from dlnotes_cli.shell.parse import integers
from dlnotes_cli.training import options as training_options
from dlnotes_cli.training.options import complete_models_and_onnx


@dataclass(frozen=True, kw_only=True)
class EvaluateConfig(inference_options.LabeledDataOptions, command="evaluate"):
    """Every option of `evaluate`."""

    others: tuple[Path, ...] = option(
        (), "With --shift-test: more models to compare with.", panel="Data", is_argument=True, metavar="MODEL...",
        complete=complete_models_and_onnx, needs=("shift_test",),
    )  # fmt: skip
    # Data
    shift_test: str | None = option(
        None, "Measure the accuracy on images changed by shift:N, rotate:DEG, scale:A-B, noise:X or blur:X.",
        panel="Data", metavar="CHANGE,…", conflicts=("min_accuracy",),
    )  # fmt: skip
    # Output
    top: tuple[int, ...] = option(
        (5,), "Report top-k accuracy for these k, as far as there are more than k classes.", panel="Output",
        name="--top-k", parse=integers, within="[1, 1e6]", metavar="K,…",
    )  # fmt: skip
    out: Path | None = option(
        None, "Folder to create for the plots.", panel="Output", metavar="FOLDER", shown_default="no plots"
    )
    min_accuracy: float | None = training_options.MIN_ACCURACY
    csv: str | None = common.CSV
    overwrite: bool = common.OVERWRITE


@dataclass(frozen=True, kw_only=True)
class PredictConfig(inference_options.OpensClassifier, command="predict"):
    """Every option of `predict`."""

    paths: tuple[str, ...] = option(
        (), "Images, folders, patterns, CSV files or - (an image); for a text model texts, .txt or CSV files, or -.",
        panel="Data", is_argument=True, metavar="PATH",
    )  # fmt: skip
    # Data
    files_from: str | None = option(
        None, "Read more paths from this file, one per line; - is standard input.", panel="Data", metavar="FILE|-"
    )
    image_column: str | None = data_options.IMAGE_COLUMN
    image_root: str | None = data_options.IMAGE_ROOT
    text: tuple[str, ...] = option(
        (), "Text model: classify this text, even if it is the name of a file; may be repeated.", panel="Data",
        metavar="TEXT",
    )  # fmt: skip
    text_column: str | None = data_options.TEXT_COLUMN
    skip_bad: bool = common.SKIP_BAD
    max_pixels: int = common.MAX_PIXELS_OPTION
    # Model
    min_similarity: float | None = option(
        None, "Refuse an image that is less similar to the training images.", panel="Model", within="[-1, 1]"
    )
    # Output
    jsonl: bool = option(
        False, "Print one line of JSON per prediction, as soon as it is made.", panel="Output",
        conflicts=("json", "csv=-"),
    )  # fmt: skip
    sheet: Path | None = common.png_option(
        "Draw each image next to bars of its classes' probabilities, into this PNG file."
    )
    explain: bool = option(False, "Texts: show which words carried each prediction.", panel="Output")
    explain_html: Path | None = option(
        None, "Texts: write each text as HTML, its words colored by what they contributed.", panel="Output",
        metavar="FILE.html", ends_in=".html",
    )  # fmt: skip
    top: int = inference_options.TOP
    csv: str | None = common.CSV
    overwrite: bool = common.OVERWRITE
    # Runtime
    precision: Literal["auto", "fp32", "bf16", "fp16"] = inference_options.PRECISION

    def __post_init__(self) -> None:
        """Validate each option, then their combination."""
        super().__post_init__()
        reading = {"PATH -": "-" in self.paths, "--files-from -": self.files_from == "-"}
        check_at_most_one(reading, "both read standard input")
