"""`dlnotes export` and its options."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

from dlnotes_cli.data import options as data_options
from dlnotes_cli.shell import option_groups as common
from dlnotes_cli.shell.binding import command
from dlnotes_cli.shell.errors import InputError
from dlnotes_cli.shell.option import option
from dlnotes_cli.training import options as training_options
from dlnotes_cli.training.options import CourseArch

DtypeName = Literal["float32", "float16"]
_TORCHSCRIPT = "torchscript"


class FileFormat(NamedTuple):
    """A format of exported files: its default file, next to the model file, and whether it stores more than weights."""

    file: str
    has_graph: bool = True


FORMATS: Mapping[str, FileFormat] = {
    "onnx": FileFormat("model.onnx"),
    "pt2": FileFormat("model.pt2"),
    "state-dict": FileFormat("state-dict.safetensors", has_graph=False),
    "dlnotes": FileFormat("model.safetensors", has_graph=False),
}
TOLERANCES = {"float32": 1e-4, "float16": 1e-2}  # default of --tolerance
DEFAULT_OPSET = 20
DEFAULT_SAMPLES = 256
_OF_WEIGHTS = "format=state-dict|dlnotes"  # formats without a graph


@dataclass(frozen=True, kw_only=True)
class ExportConfig(data_options.ReadOptions, command="export"):
    """Every option of `export`."""

    model: Path = training_options.MODEL
    # Data
    data: str | None = option(
        None, "Data for the check: a named set, an image folder or a CSV file.", panel="Data",
        metavar=data_options.DATA.metavar, complete=data_options.DATA.complete,
        shown_default="the test split of the training data, else crops of example photos, or rows drawn at random",
    )  # fmt: skip
    samples: int | None = option(
        None, "Number of samples for the check.", panel="Data", within="[6, 1e9]",
        shown_default=f"{DEFAULT_SAMPLES}; with --time all",
    )  # fmt: skip
    tolerance: float | None = option(
        None, "Largest difference of a probability that passes the check.", panel="Data", within="(0, 1]",
        shown_default=f"{TOLERANCES['float32']:g}, for float16 {TOLERANCES['float16']:g}",
    )  # fmt: skip
    # Model
    arch: CourseArch | None = training_options.ARCH
    # Output
    format: str = option(
        "onnx",
        "onnx (ONNX Runtime), pt2 (torch.export), state-dict (.safetensors), or with --arch dlnotes.",
        panel="Output", choices=FORMATS,
    )  # fmt: skip
    out: Path | None = option(
        None, "File to write.", panel="Output", metavar="FILE", shown_default="next to the model file: model.onnx, "
        "model.pt2, state-dict.safetensors or model.safetensors",
    )  # fmt: skip
    opset: int | None = option(
        None, "ONNX: version of the operator set.", panel="Output", within="[18, 25]", shown_default=str(DEFAULT_OPSET),
        unused_with=("format=pt2|state-dict|dlnotes",),
    )  # fmt: skip
    dynamic: bool | None = option(
        None, "Accept batches of any size; --no-dynamic: exactly one sample per call.", panel="Output",
        shown_default="--dynamic", unused_with=(_OF_WEIGHTS,),
    )  # fmt: skip
    dtype: DtypeName | None = option(
        None, "Weights and arithmetic in float32 or float16; inputs and probabilities stay as they are.",
        panel="Output", shown_default="float32", unused_with=(_OF_WEIGHTS,),
    )  # fmt: skip
    overwrite: bool = common.OVERWRITE
    # Runtime
    time: bool = option(
        False, "Also compare speed and accuracy: PyTorch in fp32 and bf16, the file, and its weights as int8.",
        panel="Runtime", unused_with=(_OF_WEIGHTS,),
    )  # fmt: skip
    threads: int | None = common.THREADS

    def __post_init__(self) -> None:
        """Validate each option, then their combination."""
        if self.format == _TORCHSCRIPT:
            what = "is deprecated in PyTorch, whose torch.export replaces it"
            raise InputError(f"--format {_TORCHSCRIPT}", what, "use --format pt2")
        super().__post_init__()
        if self.format == "dlnotes" and self.arch is None:
            what, fix = "is for a state dict of the course", "add --arch, or use --format onnx"
            raise InputError("--format dlnotes", what, fix)
        if self.time and not self.is_dynamic:
            raise InputError("--time", "needs an exported graph with batches", "drop --no-dynamic")
        suffix = Path(FORMATS[self.format].file).suffix
        if self.out is not None and self.out.suffix.lower() != suffix:
            raise InputError("--out", f"{self.out} does not end in {suffix}", f"give the name of a {suffix} file")

    @property
    def dtype_name(self) -> DtypeName:
        """The element type of weights and arithmetic."""
        return self.dtype or "float32"

    @property
    def is_dynamic(self) -> bool:
        """Whether the file accepts batches of any size."""
        return self.dynamic is not False


@command(
    panel="Use",
    task="export.export:export_model -> ExportResult",
    also=("export.results:Parity",),
    examples=(
        "dlnotes export runs/digits --overwrite",
        "dlnotes export runs/digits --dtype float16 --out digits-16.onnx --overwrite",
    ),
)
def export(config: ExportConfig) -> None:
    """Export a trained model to ONNX or PyTorch, with its preprocessing inside, and prove that it answers the same.

    The file runs on real samples first: where a class or a probability differs, no file is written, and the exit code
    is 3.
    """
