"""`dlnotes filter`."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from dlnotes_cli.filter.options import FilterConfig
from dlnotes_cli.shell import output
from dlnotes_cli.shell.binding import command
from dlnotes_cli.shell.codec import to_json

if TYPE_CHECKING:
    from dlnotes_cli.filter.filter import FilterResult, KernelResult
    from dlnotes_cli.filter.patch import PatchResponse, PatchResult

_SMALL_SHARE = 0.01  # of clipped values, which is not worth a note


@command(
    panel="Use",
    task="filter.filter:filter_images",
    also=("filter.filter:FilterResult", "filter.patch:filter_patch", "filter.patch:PatchResult"),
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
        from dlnotes_cli.filter.help_texts import show_all, show_requested

        (show_all if config.list_kernels else show_requested)(config)
    elif config.patch is not None:
        _filter_patch(config)
    else:
        _filter_images(config)


def _filter_images(config: FilterConfig) -> None:
    from dlnotes_cli.filter.filter import filter_images

    filtered = filter_images(config)
    if config.out == "-":
        output.raw_bytes(filtered.stdout)
    elif config.json:
        output.document(config.command, to_json(filtered))
    else:
        _show_results(config, filtered)
    if filtered.skipped:
        output.warn(f"{len(filtered.skipped)} skipped: {', '.join(filtered.skipped)}")


def _filter_patch(config: FilterConfig) -> None:
    from dlnotes_cli.filter.patch import filter_patch

    found = filter_patch(config)
    if config.json:
        output.document(config.command, to_json(found))
    else:
        _explain(config)
        for line in _patch_lines(found):
            output.line(line)
    if found.remark:
        output.note(found.remark)


def _explain(config: FilterConfig) -> None:
    if not config.explain:
        return
    from dlnotes_cli.filter.help_texts import details, lines, requested

    for line in lines(requested(config), details):
        output.line(line)


def _show_results(config: FilterConfig, filtered: "FilterResult") -> None:
    _explain(config)
    if config.quiet:
        for file in dict.fromkeys(result.file for result in filtered.results):
            output.line(file)
    else:
        for result in filtered.results:
            height, width = result.output_shape[:2]
            size = f"{width}x{height}"
            output.line(f"{result.file}  {result.kernel}  {size}  from {result.low:.6g} to {result.high:.6g}")
    if config.sheet is not None:
        output.line(str(config.sheet))
    kernels = dict.fromkeys(result.kernel for result in filtered.results)
    clipped = [text for kernel in kernels if (text := _clipping(kernel, filtered.results))]
    if clipped:
        how = "--result rescale shows them; abs or signed show those below 0"
        output.note(f"clipped values: {', '.join(clipped)}; {how}")


def _clipping(kernel: str, results: "Sequence[KernelResult]") -> str:
    """A kernel with the largest shares of clipped values in an image, without shares up to 1%; "" if none is left."""
    chosen = [result for result in results if result.kernel == kernel]
    shares = {"below 0": max(r.black for r in chosen), "above white": max(r.white for r in chosen)}
    parts = [f"{share:.0%} {where}" for where, share in shares.items() if share > _SMALL_SHARE]
    return f"{kernel} {' and '.join(parts)}" if parts else ""


def _patch_lines(found: "PatchResult") -> Iterator[str]:
    for i, result in enumerate(found.results):
        if i:
            yield ""
        if len(found.results) > 1:
            yield result.kernel or ""
        yield from _matrix_lines(result)


def _matrix_lines(result: "PatchResponse") -> Iterator[str]:
    from dlnotes_cli.filter.kernels.kernel import format_matrix

    for i, channel in enumerate(result.channels.tolist()):
        if i:
            yield "|"
        yield from format_matrix(channel, digits=10)
