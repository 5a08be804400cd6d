"""The text with which `filter` describes kernels, line by line."""

from collections.abc import Callable, Iterator, Sequence

from dlnotes_cli.filter.kernels.catalog import NAMES, named_kernel
from dlnotes_cli.filter.kernels.explain import PASSES, Explanation, explain
from dlnotes_cli.filter.kernels.kernel import text_of
from dlnotes_cli.filter.options import FilterConfig
from dlnotes_cli.shell import output

Formatter = Callable[[Explanation], Iterator[str]]


def explanations(config: FilterConfig) -> list[Explanation]:
    """Explain the kernels of `--kernel` and `--then`."""
    return [explain(kernel) for kernels in config.parsed_kernels() for kernel in kernels]


def show_all(config: FilterConfig) -> None:
    """Print every named kernel."""
    _show(config, [explain(named_kernel(name)) for name in NAMES], summary)


def show_requested(config: FilterConfig) -> None:
    """Print the kernels of `--kernel` and `--then`."""
    _show(config, explanations(config), details)


def lines(explained: Sequence[Explanation], formatter: Formatter) -> Iterator[str]:
    """The lines of each kernel, with an empty line between two kernels."""
    for i, explanation in enumerate(explained):
        if i:
            yield ""
        yield from formatter(explanation)


def summary(one: Explanation) -> Iterator[str]:
    """Name, size, sum, purpose and weights of a kernel."""
    height, width = one.kernel.size
    yield f"{one.kernel.name}  {height}x{width}  sum {one.total:.6g}  {one.kernel.purpose}"
    for i, matrix in enumerate(one.kernel.matrices):
        if i:
            yield "  and"
        yield from (f"  {line}" for line in text_of(matrix, digits=4))


def details(one: Explanation) -> Iterator[str]:
    """The summary of a kernel, and what follows from its weights."""
    yield from summary(one)
    yield f"  passes     {one.passes}: {PASSES[one.passes]}"
    if one.separable is None:
        yield "  separable  no"
    else:
        column, row = (" ".join(f"{weight + 0.0:.4g}" for weight in line) for line in one.separable)
        yield f"  separable  column {column} times row {row}"
    yield f"  direction  {one.direction}"


def _show(config: FilterConfig, explained: Sequence[Explanation], formatter: Formatter) -> None:
    if config.json:
        output.document(config.command, {"kernels": [one.as_json() for one in explained]})
        return
    for line in lines(explained, formatter):
        output.line(line)
