"""`dlnotes filter`."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import typer

from dlnotes_cli.filter.options import FilterConfig
from dlnotes_cli.shell import output
from dlnotes_cli.shell.binding import add_command

if TYPE_CHECKING:
    from dlnotes_cli.filter.filter import FilterResult
    from dlnotes_cli.filter.patch import PatchResponse, PatchResult

EXAMPLES = (
    "dlnotes filter --kernel sobel-x --out edges.png",
    'dlnotes filter --patch "1 2 3; 4 9 6; 7 8 9" --kernel high-pass --edges crop',
)


def filter_(config: FilterConfig) -> None:
    """Lay a convolution kernel on images: edges, blur, sharpen, your own.

    Without an image it takes a photograph that comes with scikit-learn.
    Alpha, color profile and 16-bit gray are kept where the format has them.
    A kernel is laid on as written (correlation); --convolve turns it first.
    """
    if config.list_kernels or config.only_talks:
        from dlnotes_cli.filter.help_texts import tell_all, tell_of

        (tell_all if config.list_kernels else tell_of)(config)
    elif config.patch is not None:
        _filter_patch(config)
    else:
        _filter_images(config)


def _filter_images(config: FilterConfig) -> None:
    from dlnotes_cli.filter.filter import filter_images

    answer = filter_images(config)
    if config.out == "-":
        output.raw_bytes(answer.stdout)
    elif config.json:
        output.document(config.command, answer.as_json())
    else:
        _show_results(config, answer)
    if answer.skipped:
        output.warn(f"{len(answer.skipped)} skipped: {', '.join(answer.skipped)}")


def _filter_patch(config: FilterConfig) -> None:
    from dlnotes_cli.filter.patch import filter_patch

    answer = filter_patch(config)
    if config.json:
        output.document(config.command, answer.as_json())
    else:
        _explain(config)
        for line in _patch_lines(answer):
            output.line(line)
    if answer.remark:
        output.note(f"dlnotes: note: {answer.remark}")


def _explain(config: FilterConfig) -> None:
    if not config.explain:
        return
    from dlnotes_cli.filter.help_texts import details, explanations, lines

    for line in lines(explanations(config), details):
        output.line(line)


def _show_results(config: FilterConfig, answer: "FilterResult") -> None:
    _explain(config)
    for result in answer.results:
        height, width = result.output_shape[:2]
        output.line(f"{result.file}  {result.kernel}  {width}x{height}  from {result.low:.6g} to {result.high:.6g}")
    if config.sheet is not None:
        output.line(str(config.sheet))
    cut = dict.fromkeys(result.kernel for result in answer.results if result.is_clipped)
    if cut:
        output.note(f"dlnotes: note: {', '.join(cut)}: numbers below 0 became black; --result abs or signed shows them")


def _patch_lines(answer: "PatchResult") -> Iterator[str]:
    for i, result in enumerate(answer.results):
        if i:
            yield ""
        if len(answer.results) > 1:
            yield result.kernel
        yield from _matrix_lines(result)


def _matrix_lines(result: "PatchResponse") -> Iterator[str]:
    from dlnotes_cli.filter.kernels.kernel import format_matrix

    for i, channel in enumerate(result.channels.tolist()):
        if i:
            yield "|"
        yield from format_matrix(channel, digits=10)


def register(app: typer.Typer) -> None:
    """Add the command to the app."""
    add_command(app, filter_, panel="Use", examples=EXAMPLES, name="filter")
