"""The cores that a process may use, its default number of threads, and whether other processes use the cores."""

import math
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from dlnotes_cli.shell import output
from dlnotes_cli.shell.errors import InputError

_VARIABLE = "OMP_NUM_THREADS"
_MAX_THREADS = 1024


def default_threads() -> int:
    """Default number of threads: OMP_NUM_THREADS, as in PyTorch, else one per core.

    Of a list, which OpenMP reads as the numbers of nested levels, the first counts; empty and 0 count as not set.
    Raises InputError for anything else.
    """
    variable = os.environ.get(_VARIABLE, "")
    try:
        threads = int(variable.partition(",")[0].strip() or 0)
    except ValueError:
        threads = -1
    if not 0 <= threads <= _MAX_THREADS:
        what = f"'{variable}' is not a number of threads from 1 to {_MAX_THREADS:,}"
        raise InputError(f"${_VARIABLE}", what, "correct it, unset it, or pass --threads")
    return threads or available_cores()


def available_cores(root: Path = Path("/")) -> int:
    """Number of cores that this process may use: of its affinity, but no more than its control groups allow."""
    quotas = [quota for group in control_groups(root) if (quota := _quota(group)) is not None]
    return max(1, min([len(_own_cores()), *map(math.floor, quotas)]))


def control_groups(root: Path = Path("/")) -> Iterator[Path]:
    """The folders of this process's control groups (version 2) below `root`, and of the groups around them."""
    mount, names = root / "sys/fs/cgroup", []
    with suppress(OSError):
        lines = (root / "proc/self/cgroup").read_text().splitlines()
        names = [line.removeprefix("0::/") for line in lines if line.startswith("0::/")]
    for path in (*(mount / name for name in names), mount):
        yield from (path, *path.parents)


def note_other_processes(threads: int) -> None:
    """Print a note if the load of the last minute leaves fewer cores than `threads`, which wait for each other."""
    machine = os.cpu_count() or 1
    with suppress(OSError):  # where the system does not measure its load
        load = os.getloadavg()[0]
        free = max(1, math.floor(machine - load + 0.5))
        if free < threads:
            what = f"the load of the last minute is {load:.1f} on {output.counted(machine, 'core')}"
            output.note(f"{what}; if other processes go on using them, --threads {free} may be faster")


def _own_cores() -> set[int]:
    """The cores of this process's affinity."""
    return os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set(range(os.cpu_count() or 1))


def _quota(group: Path) -> float | None:
    """The number of cores whose time a control group may use; None without a limit."""
    with suppress(OSError, ValueError):
        quota, period = (group / "cpu.max").read_text().split()
        return int(quota) / int(period)  # "max" is no number
    return None
