"""The text with which `filter` describes kernels, line by line."""

from collections.abc import Callable, Iterator, Sequence

from dlnotes_cli.filter.kernels.catalog import NAMES, named_kernel
from dlnotes_cli.filter.kernels.description import PASSES, KernelDescription, describe
from dlnotes_cli.filter.kernels.kernel import abbreviated, format_matrix
from dlnotes_cli.filter.options import FilterConfig
from dlnotes_cli.shell import output

_MOST_SHOWN = 10  # rows and columns of a kernel
Formatter = Callable[[KernelDescription], Iterator[str]]


def descriptions(config: FilterConfig) -> list[KernelDescription]:
    """Describe the kernels of `--kernel` and `--then`."""
    return [describe(kernel) for kernels in config.parsed_kernels() for kernel in kernels]


def show_all(config: FilterConfig) -> None:
    """Print every named kernel."""
    _show(config, [describe(named_kernel(name)) for name in NAMES], summary)


def show_requested(config: FilterConfig) -> None:
    """Print the kernels of `--kernel` and `--then`."""
    _show(config, descriptions(config), details)


def lines(described: Sequence[KernelDescription], formatter: Formatter) -> Iterator[str]:
    """The lines of each kernel, with an empty line between two kernels."""
    for i, description in enumerate(described):
        if i:
            yield ""
        yield from formatter(description)


def summary(description: KernelDescription) -> Iterator[str]:
    """Name, size, sum, purpose and weights of a kernel."""
    height, width = description.kernel.size
    yield f"{description.kernel.name}  {height}x{width}  sum {description.total:.6g}  {description.kernel.purpose}"
    for i, matrix in enumerate(description.kernel.matrices):
        if i:
            yield "  and"
        yield from (f"  {line}" for line in format_matrix(matrix, digits=4, most=_MOST_SHOWN))


def details(description: KernelDescription) -> Iterator[str]:
    """The summary of a kernel, and what follows from its weights."""
    yield from summary(description)
    yield f"  passes     {description.passes}: {PASSES[description.passes]}"
    if description.separable is None:
        yield "  separable  no"
    else:
        column, row = (
            " ".join(abbreviated([f"{weight + 0.0:.4g}" for weight in line], _MOST_SHOWN, "..."))
            for line in description.separable
        )
        yield f"  separable  column {column} times row {row}"
    yield f"  direction  {description.direction}"


def _show(config: FilterConfig, described: Sequence[KernelDescription], formatter: Formatter) -> None:
    if config.json:
        output.document(config.command, {"kernels": [description.as_json() for description in described]})
        return
    for line in lines(described, formatter):
        output.line(line)
