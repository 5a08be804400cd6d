"""The options of `dlnotes filter`."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from dlnotes_cli.shell.errors import InputError
from dlnotes_cli.shell.files import check_png
from dlnotes_cli.shell.option import DATA, DEVICE, MODEL, OUTPUT, option
from dlnotes_cli.shell.option_groups import OutputOptions, ReadImagesOptions

if TYPE_CHECKING:
    from dlnotes_cli.filter.kernels.kernel import Kernel

FormatName = Literal["png", "jpg", "webp", "tiff", "bmp", "ppm", "npy"]
USUAL_KERNEL = "sobel-x"
_SIDE = "[1, 1023]"


def _kernel_names() -> list[str]:
    from dlnotes_cli.filter.kernels.catalog import NAMES

    return list(NAMES)


@dataclass(frozen=True, kw_only=True)
class FilterConfig(OutputOptions, ReadImagesOptions):
    """Every option of `filter`."""

    command: ClassVar[str] = "filter"

    paths: tuple[str, ...] = option(
        (), "Images, folders, patterns like 'in/*.jpg'; - is stdin.", group=DATA, is_argument=True, metavar="PATH",
        shown_default="a photograph that comes with scikit-learn",
    )  # fmt: skip
    recursive: bool = option(False, "Look below folders too.", group=DATA, names=("--recursive", "-r"))
    color: Literal["gray", "rgb"] | None = option(
        None, "gray, or rgb: each channel by itself.", group=DATA, shown_default="as the input"
    )
    patch: str | None = option(
        None, 'Filter these numbers and print the answer: "1 2; 3 4", channels with | between are summed.', group=DATA,
        metavar="NUMBERS",
    )  # fmt: skip

    kernel: tuple[str, ...] = option(
        (), 'A name (see --list), numbers ("-1 0 1; -2 0 2; -1 0 1") or a text, CSV or JSON file; may be repeated.',
        group=MODEL, metavar="KERNEL", shown_default=USUAL_KERNEL, complete=_kernel_names,
    )  # fmt: skip
    then: tuple[str, ...] = option(
        (), "A kernel for what the one before gave, not rounded; may be repeated.", group=MODEL, metavar="KERNEL",
        complete=_kernel_names,
    )  # fmt: skip
    size: int | None = option(
        None, "Rows and columns of box, motion, gaussian, unsharp, log; of --pool.", group=MODEL, within=_SIDE,
        shown_default="by kernel; pool 2",
    )  # fmt: skip
    sigma: float | None = option(
        None,
        "Spread of gaussian, unsharp and log, in pixels.",
        group=MODEL,
        within="(0, 170]",
        shown_default="by --size",
    )
    edges: Literal["extend", "pad", "crop", "reflect", "wrap"] = option(
        "extend", "Beyond the edge: extend repeats the last pixel, pad is 0, crop leaves out what needs it, reflect "
        "mirrors without the last pixel, wrap starts again at the other side.", group=MODEL,
    )  # fmt: skip
    convolve: bool = option(
        False, "Turn the kernel by 180 degrees first: a true convolution. Without it the kernel is laid on as written "
        "(correlation), as Conv2d and filter2D do.", group=MODEL, names=("--convolve",),
    )  # fmt: skip
    result: Literal["clip", "abs", "rescale", "signed"] | None = option(
        None, "clip cuts off below 0 and above white, abs takes the size, rescale stretches to the full range, "
        "signed makes 0 gray.", group=MODEL, shown_default="clip; .npy and --patch: the numbers themselves",
    )  # fmt: skip
    threshold: float | None = option(
        None, "White where the result is above this (white is 255), else black.", group=MODEL, within="[-1e9, 1e9]",
        shown_default="none",
    )  # fmt: skip
    stride: int | None = option(
        None, "Of --patch: steps between answers; with --pool, of the pooling.", group=MODEL, within=_SIDE,
        shown_default="1; pool: --size",
    )  # fmt: skip
    relu: bool = option(False, "Of --patch: negative numbers become 0.", group=MODEL, names=("--relu",))
    pool: Literal["max", "mean"] | None = option(
        None, "Of --patch: pool by max or mean; after the kernel, if one is given.", group=MODEL
    )

    out: str | None = option(
        None, "A file (several kernels side by side), a folder, a pattern with {name} {kernel} {index}, or - for "
        "stdout. PNG is packed lightly, for speed.", group=OUTPUT, metavar="PATH|-",
        shown_default="{name}-{kernel}.png",
    )  # fmt: skip
    format: FormatName | None = option(
        None, "Form of stdout and of files in a folder; npy keeps the floats, white being 255", group=OUTPUT,
        shown_default="stdout: png; files: as the input",
    )  # fmt: skip
    overwrite: bool = option(False, "Replace files that exist.", group=OUTPUT, names=("--overwrite",))
    sheet: Path | None = option(
        None, "Draw image, kernel with its numbers and result side by side into this PNG.", group=OUTPUT,
        shown_default="none",
    )  # fmt: skip
    spectrum: bool = option(
        False, "Add to the sheet the frequencies before and after.", group=OUTPUT, names=("--spectrum",)
    )
    list_kernels: bool = option(
        False, "Show every named kernel: matrix, sum, purpose.", group=OUTPUT, names=("--list",)
    )
    explain: bool = option(
        False,
        "Say of each kernel: sum, low-pass or high-pass, separable, direction.",
        group=OUTPUT,
        names=("--explain",),
    )

    device: str = option("cpu", "cpu, cuda, cuda:N, mps or auto; all but cpu load PyTorch.", group=DEVICE)
    threads: int | None = option(
        None, "Processor threads.", group=DEVICE, within="[1, 1024]", shown_default="OMP_NUM_THREADS, else all cores"
    )

    def __post_init__(self) -> None:
        """Check each option, then that they go together."""
        super().__post_init__()
        self._check_patch()
        if self.spectrum and self.sheet is None:
            raise InputError("--spectrum", "is drawn on the sheet", "add --sheet sheet.png")
        if self.sheet is not None:
            check_png("--sheet", self.sheet)
        if self.json and self.out == "-":
            raise InputError("--json", "and --out - both print to stdout", "give one of them")

    def _check_patch(self) -> None:
        """Refuse what is about numbers without them, and what is about images with them."""
        if self.patch is None:
            of_numbers = {"--stride": self.stride, "--relu": self.relu, "--pool": self.pool}
            option_ = next((name for name, given in of_numbers.items() if given), None)
            if option_:
                raise InputError(option_, "goes with --patch", "add --patch, or leave it out")
            return
        of_images = {
            "PATH": self.paths, "--out": self.out, "--sheet": self.sheet, "--format": self.format,
            "--color": self.color, "--recursive": self.recursive, "--device": self.device not in {"cpu", "auto"},
        }  # fmt: skip
        option_ = next((name for name, given in of_images.items() if given), None)
        if option_:
            what = f"filters numbers and prints its answer, and does not go with {option_}"
            raise InputError("--patch", what, "give one of them")

    def parsed_kernels(self) -> "tuple[list[Kernel], list[Kernel]]":
        """The kernels of `--kernel`, and those of `--then`. Raises InputError for one that is wrong."""
        from dlnotes_cli.filter.kernels.parsing import parse_kernels  # not when any other command starts

        first = [("--kernel", word) for word in self.kernel or (USUAL_KERNEL,)]
        then = [("--then", word) for word in self.then]
        size = None if self.pool else self.size
        found = parse_kernels([*first, *then], size=size, sigma=self.sigma)
        return found[: len(first)], found[len(first) :]

    @property
    def only_talks(self) -> bool:
        """Whether an explanation is all that is asked for."""
        return self.explain and not (self.paths or self.out or self.sheet or self.patch)

    @property
    def pools_alone(self) -> bool:
        """Whether numbers are pooled without a kernel before it."""
        return self.pool is not None and not (self.kernel or self.then)

    @property
    def cuts_silently(self) -> bool:
        """Whether numbers below 0 become black though nobody asked for it."""
        return self.result is None and self.threshold is None
