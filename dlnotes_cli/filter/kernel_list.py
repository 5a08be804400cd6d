"""What `filter` says about kernels instead of filtering: the list of them, and what follows from their weights."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from dlnotes_cli.filter.catalog import NAMES, named_kernel
from dlnotes_cli.filter.kernel import Kernel, describe
from dlnotes_cli.filter.options import FilterConfig
from dlnotes_cli.shell.codec import HIDDEN


@dataclass(frozen=True)
class KernelList:
    """Kernels, with all of their properties or in brief."""

    kernels: tuple[Kernel, ...]
    is_brief: bool = field(metadata=HIDDEN)

    def table(self) -> Iterator[str]:
        """The lines of each kernel."""
        return describe(self.kernels, is_brief=self.is_brief)


def describe_kernels(config: FilterConfig) -> KernelList:
    """Describe every named kernel in brief with `--list`, else those of `--kernel` and `--then`."""
    if config.list_kernels:
        return KernelList(tuple(map(named_kernel, NAMES)), is_brief=True)
    first, then = config.parsed_kernels()
    return KernelList((*first, *then), is_brief=False)
