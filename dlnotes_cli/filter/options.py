"""The options of `dlnotes filter`."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from dlnotes_cli.shell import option_groups as common
from dlnotes_cli.shell.option import JSON, Config, option

if TYPE_CHECKING:
    from dlnotes_cli.filter.kernel import Kernel
    from dlnotes_cli.filter.operations import FilterOperation

FormatName = Literal["png", "jpg", "webp", "tiff", "bmp", "ppm", "npy"]
USUAL_KERNEL = "sobel-x"
_SIDE = "[1, 1023]"
_DEFAULT_POOL_SIZE = 2


def _kernel_names() -> list[str]:
    from dlnotes_cli.filter.catalog import NAMES

    return list(NAMES)


def _operation_names() -> list[str]:
    from dlnotes_cli.filter.operations import OPERATIONS

    return list(OPERATIONS)


@dataclass(frozen=True, kw_only=True)
class FilterConfig(Config, command="filter"):
    """Every option of `filter`."""

    paths: tuple[str, ...] = option(
        (), "Images, folders, patterns such as 'in/*.jpg', or - for standard input.", panel="Data", is_argument=True,
        metavar="PATH", shown_default="an image from scikit-learn", conflicts=("patch",),
    )  # fmt: skip
    recursive: bool = option(
        False, "Include the subfolders of folders.", panel="Data", short="-r", conflicts=("patch",)
    )
    color: Literal["gray", "rgb"] | None = option(
        None, "Convert to gray, or to rgb, whose channels are filtered separately.", panel="Data",
        shown_default="as the input", conflicts=("patch",),
    )  # fmt: skip
    patch: str | None = option(
        None, 'Filter these numbers and print the result: "1 2; 3 4"; | separates channels, which are summed.',
        panel="Data", metavar="NUMBERS",
    )  # fmt: skip
    skip_bad: bool = common.SKIP_BAD
    max_pixels: int = common.MAX_PIXELS_OPTION
    kernel: tuple[str, ...] = option(
        (), 'A name (see --list), numbers ("-1 0 1; -2 0 2; -1 0 1"), or a file of them; repeatable.',
        panel="Model", metavar="KERNEL", shown_default=USUAL_KERNEL, complete=_kernel_names,
    )  # fmt: skip
    then: tuple[str, ...] = option(
        (), "Kernel to apply to the unrounded result of the one before; may be repeated.", panel="Model",
        metavar="KERNEL", complete=_kernel_names,
    )  # fmt: skip
    op: tuple[str, ...] = option(
        (), "First median:N, erode:N, dilate:N, open:N, close:N, bilateral:PX:TONE or canny:LOW:HIGH.",
        panel="Model", metavar="OPERATION", complete=_operation_names,
    )  # fmt: skip
    size: int | None = option(
        None, "Rows and columns of the kernels box, motion, gaussian, unsharp and log, or of the window of --pool.",
        panel="Model", within=_SIDE, shown_default="set by --kernel; --pool: 2", name="--kernel-size",
    )  # fmt: skip
    sigma: float | None = option(
        None,
        "Standard deviation of gaussian, unsharp and log, in pixels.",
        panel="Model",
        within="(0, 170]",
        shown_default="set by --kernel-size",
    )
    edges: Literal["extend", "pad", "crop", "reflect", "wrap"] = option(
        "extend", "Pixels beyond the edge: extend the last one, pad (0), reflect, wrap, or crop the result.",
        panel="Model",
    )  # fmt: skip
    convolve: bool = option(
        False, "Flip the kernel (180° rotation): convolution as in mathematics, not as in torch and OpenCV.",
        panel="Model",
    )  # fmt: skip
    result: Literal["clip", "abs", "rescale", "signed", "raw"] | None = option(
        None, "Map values to pixels: clip, abs, rescale (to black and white), signed (0 is gray), or keep them raw.",
        panel="Model",
        shown_default="clip; .npy and --patch: raw",
    )  # fmt: skip
    threshold: float | None = option(
        None, "Make values above this white and all others black; 255 is white.", panel="Model",
        within="[-1e9, 1e9]", conflicts=("result=raw",),
    )  # fmt: skip
    stride: int | None = option(
        None, "Stride of the last kernel; with --pool, of the pooling window.", panel="Model", within=_SIDE,
        shown_default="1; --pool: --kernel-size",
    )  # fmt: skip
    relu: bool = option(False, "Apply ReLU, which sets negative results to 0.", panel="Model")
    pool: Literal["max", "mean", "min"] | None = option(
        None,
        "Pooling by maximum, mean or minimum, after kernel and ReLU; without --kernel, of the input.",
        panel="Model",
    )
    out: str | None = option(
        None, "File (kernels side by side), folder, pattern with {name}, {kernel} and {index}, or - for stdout.",
        panel="Output",
        metavar="PATH|-", shown_default="{name}-{kernel}.png", conflicts=("patch",),
    )  # fmt: skip
    format: FormatName | None = option(
        None, "File format for standard output and for files in a folder; npy stores floats, with white as 255",
        panel="Output", shown_default="standard output: png; files: as the input; --result raw: npy",
        conflicts=("patch",),
    )  # fmt: skip
    sheet: Path | None = common.png_option(
        "Save image, kernel weights and result side by side in this PNG file.", conflicts=("patch",)
    )
    spectrum: bool = option(
        False, "Add the frequency spectra of image and result to --sheet.", panel="Output", needs=("sheet",)
    )
    list_kernels: bool = option(
        False, "List the named kernels with weights, sum and purpose; do not filter.", panel="Output", name="--list"
    )
    explain: bool = option(
        False,
        "Explain each kernel: sum, low-pass or high-pass, separable or not, direction.",
        panel="Output",
    )
    overwrite: bool = common.OVERWRITE
    json: bool = replace(JSON, conflicts=("out=-",))
    threads: int | None = common.THREADS

    def parsed_kernels(self) -> "tuple[list[Kernel], list[Kernel]]":
        """Parse the kernels of `--kernel` and of `--then`; raises InputError for one that is not valid."""
        from dlnotes_cli.filter.catalog import parse_kernels  # here, to keep start-up fast

        if self.needs_no_kernel:
            return [], []
        first = [("--kernel", text) for text in self.kernel or (USUAL_KERNEL,)]
        then = [("--then", text) for text in self.then]
        size = None if self.pool else self.size
        kernels = parse_kernels([*first, *then], size=size, sigma=self.sigma)
        return kernels[: len(first)], kernels[len(first) :]

    @property
    def only_explains(self) -> bool:
        """Whether the kernels are explained and nothing is filtered."""
        return self.explain and not (self.paths or self.out or self.sheet or self.patch)

    def parsed_operations(self) -> "tuple[FilterOperation, ...]":
        """Parse the operations of `--op`; raises InputError for one that is not valid."""
        from dlnotes_cli.filter.operations import parse_operations

        return parse_operations(self.op)

    @property
    def needs_no_kernel(self) -> bool:
        """Whether the input is pooled, or an operation applied to it, without a kernel."""
        return bool(self.pool or self.op) and not (self.kernel or self.then)

    @property
    def pooling_size(self) -> int | None:
        """Rows and columns of the pooling window; None without `--pool`."""
        return (self.size or _DEFAULT_POOL_SIZE) if self.pool else None

    @property
    def resolved_stride(self) -> int:
        """The stride of the pooling window, or without `--pool` of the last kernel."""
        return self.stride or self.pooling_size or 1

    @property
    def clips_by_default(self) -> bool:
        """Whether results below 0 become black by default, without an option that says so."""
        return self.result is None and self.threshold is None
