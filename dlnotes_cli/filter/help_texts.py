"""What `filter` says of kernels, in lines."""

from collections.abc import Callable, Iterator, Sequence

from dlnotes_cli.filter.kernels.catalog import NAMES, named_kernel
from dlnotes_cli.filter.kernels.description import PASSES, KernelDescription, describe
from dlnotes_cli.filter.kernels.kernel import format_matrix
from dlnotes_cli.filter.options import FilterConfig
from dlnotes_cli.shell import output

Form = Callable[[KernelDescription], Iterator[str]]


def explanations(config: FilterConfig) -> list[KernelDescription]:
    """What can be said of the kernels that are asked for."""
    return [describe(kernel) for kernels in config.parsed_kernels() for kernel in kernels]


def tell_all(config: FilterConfig) -> None:
    """Show every named kernel."""
    _tell(config, [describe(named_kernel(name)) for name in NAMES], summary)


def tell_of(config: FilterConfig) -> None:
    """Explain the kernels that are asked for."""
    _tell(config, explanations(config), details)


def lines(explained: Sequence[KernelDescription], form: Form) -> Iterator[str]:
    """The lines of each kernel, an empty one between two."""
    for i, one in enumerate(explained):
        if i:
            yield ""
        yield from form(one)


def summary(one: KernelDescription) -> Iterator[str]:
    """Name, size, sum, purpose and weights."""
    height, width = one.kernel.size
    yield f"{one.kernel.name}  {height}x{width}  sum {one.total:.6g}  {one.kernel.purpose}"
    for i, matrix in enumerate(one.kernel.matrices):
        if i:
            yield "  and"
        yield from (f"  {line}" for line in format_matrix(matrix, digits=4))


def details(one: KernelDescription) -> Iterator[str]:
    """The summary and what follows from the weights."""
    yield from summary(one)
    yield f"  passes     {one.passes}: {PASSES[one.passes]}"
    if one.separable is None:
        yield "  separable  no"
    else:
        column, row = (" ".join(f"{weight + 0.0:.4g}" for weight in line) for line in one.separable)
        yield f"  separable  column {column} times row {row}"
    yield f"  direction  {one.direction}"


def _tell(config: FilterConfig, explained: Sequence[KernelDescription], form: Form) -> None:
    if config.json:
        output.document(config.command, {"kernels": [one.as_json() for one in explained]})
        return
    for line in lines(explained, form):
        output.line(line)
