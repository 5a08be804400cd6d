"""What `filter` says about kernels: the list of them, and what follows from their weights."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from dlnotes_cli.filter.kernels.catalog import NAMES, named_kernel
from dlnotes_cli.filter.kernels.kernel import PASSES, Kernel, abbreviated, format_matrix, weight_sum
from dlnotes_cli.filter.options import FilterConfig
from dlnotes_cli.shell.codec import HIDDEN

_MOST_SHOWN = 10  # rows and columns of a kernel
Formatter = Callable[[Kernel], Iterator[str]]


@dataclass(frozen=True)
class KernelList:
    """Kernels, with all of their properties or in brief."""

    kernels: tuple[Kernel, ...]
    is_brief: bool = field(metadata=HIDDEN)

    def table(self) -> Iterator[str]:
        """The lines of each kernel."""
        return lines(self.kernels, _summary if self.is_brief else details)


def describe_kernels(config: FilterConfig) -> KernelList:
    """Describe every named kernel in brief with `--list`, else those of `--kernel` and `--then`."""
    if config.list_kernels:
        return KernelList(tuple(map(named_kernel, NAMES)), is_brief=True)
    first, then = config.parsed_kernels()
    return KernelList((*first, *then), is_brief=False)


def lines(kernels: Iterable[Kernel], formatter: Formatter) -> Iterator[str]:
    """The lines of each kernel, with an empty line between two kernels."""
    for i, kernel in enumerate(kernels):
        if i:
            yield ""
        yield from formatter(kernel)


def _summary(kernel: Kernel) -> Iterator[str]:
    """Name, size, sum, purpose and weights of a kernel."""
    height, width = kernel.size
    yield f"{kernel.name}  {height}x{width}  sum {weight_sum(kernel.matrix):.6g}  {kernel.purpose}"
    for i, matrix in enumerate(kernel.matrices):
        if i:
            yield "  and"
        yield from (f"  {line}" for line in format_matrix(matrix, digits=4, most=_MOST_SHOWN))


def details(kernel: Kernel) -> Iterator[str]:
    """The summary of a kernel, and what follows from its weights."""
    description = kernel.description
    yield from _summary(kernel)
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
