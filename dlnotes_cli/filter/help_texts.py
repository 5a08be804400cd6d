"""The text with which `filter` describes kernels, line by line."""

from collections.abc import Callable, Iterator, Sequence

from dlnotes_cli.filter.kernels.catalog import NAMES, named_kernel
from dlnotes_cli.filter.kernels.kernel import PASSES, Kernel, abbreviated, format_matrix
from dlnotes_cli.filter.options import FilterConfig
from dlnotes_cli.shell import output
from dlnotes_cli.shell.codec import to_json

_MOST_SHOWN = 10  # rows and columns of a kernel
Formatter = Callable[[Kernel], Iterator[str]]


def requested(config: FilterConfig) -> list[Kernel]:
    """The kernels of `--kernel` and `--then`."""
    return [kernel for kernels in config.parsed_kernels() for kernel in kernels]


def show_all(config: FilterConfig) -> None:
    """Print every named kernel."""
    _show(config, [named_kernel(name) for name in NAMES], summary)


def show_requested(config: FilterConfig) -> None:
    """Print the kernels of `--kernel` and `--then`."""
    _show(config, requested(config), details)


def lines(kernels: Sequence[Kernel], formatter: Formatter) -> Iterator[str]:
    """The lines of each kernel, with an empty line between two kernels."""
    for i, kernel in enumerate(kernels):
        if i:
            yield ""
        yield from formatter(kernel)


def summary(kernel: Kernel) -> Iterator[str]:
    """Name, size, sum, purpose and weights of a kernel."""
    height, width = kernel.size
    yield f"{kernel.name}  {height}x{width}  sum {kernel.description.total:.6g}  {kernel.purpose}"
    for i, matrix in enumerate(kernel.matrices):
        if i:
            yield "  and"
        yield from (f"  {line}" for line in format_matrix(matrix, digits=4, most=_MOST_SHOWN))


def details(kernel: Kernel) -> Iterator[str]:
    """The summary of a kernel, and what follows from its weights."""
    description = kernel.description
    yield from summary(kernel)
    yield f"  passes     {description.passes}: {PASSES[description.passes]}"
    if description.column is None or description.row is None:
        yield "  separable  no"
    else:
        column, row = (
            " ".join(abbreviated([f"{weight + 0.0:.4g}" for weight in line], _MOST_SHOWN, "..."))
            for line in (description.column, description.row)
        )
        yield f"  separable  column {column} times row {row}"
    yield f"  direction  {description.direction}"


def _show(config: FilterConfig, kernels: Sequence[Kernel], formatter: Formatter) -> None:
    if config.json:
        output.document(config.command, {"kernels": to_json(kernels)})
        return
    for line in lines(kernels, formatter):
        output.line(line)
