"""The options of `dlnotes export`."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal, NamedTuple

from dlnotes_cli.data.options import DataOption, SourceOptions
from dlnotes_cli.shell.errors import InputError
from dlnotes_cli.shell.option import Config, option, option_group, option_like
from dlnotes_cli.shell.option_groups import OutputOptions, OverwriteOption, ThreadsOption
from dlnotes_cli.training.options import CourseArchOption, ModelArgument

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
_OF_GRAPHS = ("opset", "dynamic", "dtype")  # options that need a format with a graph


@option_group
class FormatOptions(Config):
    """What is written."""

    format: str = option(
        "onnx",
        "onnx (runs anywhere with ONNX Runtime), pt2 (torch.export, for PyTorch), state-dict (weights alone, as "
        ".safetensors), or with --arch dlnotes (a model file).",
        panel="Output", choices=FORMATS,
    )  # fmt: skip
    out: Path | None = option(
        None, "File to write.", panel="Output", metavar="FILE", shown_default="next to the model file: model.onnx, "
        "model.pt2, state-dict.safetensors or model.safetensors",
    )  # fmt: skip
    opset: int | None = option(
        None, "ONNX: version of the operator set.", panel="Output", within="[18, 25]", shown_default=str(DEFAULT_OPSET)
    )
    dynamic: bool | None = option(
        None, "Accept batches of any size; --no-dynamic: exactly one sample per call.", panel="Output",
        shown_default="--dynamic",
    )  # fmt: skip
    dtype: DtypeName | None = option(
        None, "Weights and arithmetic in float32 or float16; inputs and probabilities stay as they are.",
        panel="Output", shown_default="float32",
    )  # fmt: skip


@option_group
class CheckOptions(Config):
    """How the exported file is compared with the model file."""

    data: str | None = option_like(
        DataOption, "data", default=None,
        help="Data for the check: a named set, an image folder or a CSV file.",
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
    time: bool = option(
        False, "Also compare speed and accuracy: PyTorch in fp32 and bf16, the exported file, and for ONNX its weights "
        "as int8.", panel="Runtime",
    )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class ExportConfig(
    OutputOptions,
    OverwriteOption,
    ThreadsOption,
    CheckOptions,
    FormatOptions,
    SourceOptions,
    CourseArchOption,
    ModelArgument,
):
    """Every option of `export`."""

    command: ClassVar[str] = "export"

    model: Path = option_like(ModelArgument, "model", panel="Model")

    def __post_init__(self) -> None:
        """Validate each option, then their combination."""
        if self.format == _TORCHSCRIPT:
            what = "is deprecated in PyTorch, whose torch.export replaces it"
            raise InputError(f"--format {_TORCHSCRIPT}", what, "use --format pt2")
        super().__post_init__()
        if not FORMATS[self.format].has_graph:
            for name in _OF_GRAPHS:
                if getattr(self, name) is not None:
                    what = f"has no effect with --format {self.format}, which stores the weights as they are"
                    raise InputError(f"--{name}", what, "drop it, or use --format onnx")
        if self.format == "dlnotes" and self.arch is None:
            raise InputError(
                "--format dlnotes", "is for a state dict of the course", "add --arch, or use --format onnx"
            )
        if self.time and not (FORMATS[self.format].has_graph and self.is_dynamic):
            raise InputError("--time", "needs an exported graph with batches", "use --format onnx with --dynamic")
        if self.opset is not None and self.format != "onnx":
            raise InputError("--opset", f"has no effect with --format {self.format}", "drop it, or use --format onnx")
        suffix = Path(FORMATS[self.format].file).suffix
        if self.out is not None and self.out.suffix.lower() != suffix:
            raise InputError("--out", f"{self.out} does not end in {suffix}", f"give the name of a {suffix} file")

    @property
    def dtype_name(self) -> DtypeName:
        """The element type of weights and arithmetic."""
        return self.dtype or "float32"

    @property
    def opset_version(self) -> int:
        """The version of the ONNX operator set."""
        return self.opset or DEFAULT_OPSET

    @property
    def is_dynamic(self) -> bool:
        """Whether the file accepts batches of any size."""
        return self.dynamic is not False

    @property
    def largest_difference(self) -> float:
        """The largest difference of a probability that passes the check."""
        return self.tolerance or TOLERANCES[self.dtype_name]
