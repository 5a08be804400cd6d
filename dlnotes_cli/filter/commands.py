"""`dlnotes filter`."""

from dlnotes_cli.filter.options import FilterConfig
from dlnotes_cli.shell import output
from dlnotes_cli.shell.binding import command
from dlnotes_cli.shell.show import show


@command(
    panel="Use",
    task="filter.filter:filter_images -> FilterResult",
    also=(
        "filter.patch:filter_patch -> PatchResult",
        "filter.kernel_list:describe_kernels -> KernelList",
    ),
    examples=(
        "dlnotes filter --kernel sobel-x --out edges.png",
        'dlnotes filter --patch "1 2 3; 4 9 6; 7 8 9" --kernel high-pass --edges crop',
    ),
)
def filter_(config: FilterConfig) -> None:
    """Apply a convolution kernel to images: edge detection, blur, sharpening, or your own.

    Without an image, it filters an image from scikit-learn.
    Alpha, color profile and 16-bit gray are kept where the file format has them.
    A kernel is applied as written (cross-correlation); --convolve flips it first.
    """
    if config.list_kernels or config.only_explains:
        from dlnotes_cli.filter.kernel_list import describe_kernels

        show(describe_kernels(config), config)
    elif config.patch is not None:
        from dlnotes_cli.filter.patch import filter_patch

        show(filter_patch(config), config)
    else:
        from dlnotes_cli.filter.filter import filter_images

        result = filter_images(config)
        if config.out == "-":
            output.raw_bytes(result.stdout)
        else:
            show(result, config)
