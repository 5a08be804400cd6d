"""The cores that a process may use, and how many of them other processes use."""

import math
import os
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100  # per second, of /proc/stat
_BUSY_COLUMNS = (0, 2, 5, 6, 7)  # user, system, irq, softirq, steal
_NICE_COLUMN = 1  # processes of low priority


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


class OtherProcesses:
    """Measures how many of the cores of this process other processes use, from one call to the next.

    `cores` is the number of cores of the process's affinity. Processes of low priority (`nice`) do not count, unless
    this one has a low priority as well, because they give their cores to others.
    """

    def __init__(self, root: Path = Path("/")) -> None:
        self._root, self.cores = root, len(_own_cores())
        self._last = self._seconds()

    def cores_used(self) -> float | None:
        """The mean number of cores since the last call; None where the system does not report it."""
        before, self._last = self._last, self._seconds()
        if before is None or self._last is None or self._last[0] <= before[0]:
            return None
        elapsed, busy, own = (now - then for now, then in zip(self._last, before, strict=True))
        return max(0.0, (busy - own) / elapsed)

    def _seconds(self) -> tuple[float, float, float] | None:
        """The time, the busy time of the cores, and the time that this process has used them."""
        with suppress(OSError, ValueError):
            names = {f"cpu{core}" for core in _own_cores()}
            lines = [line.split() for line in (self._root / "proc/stat").read_text().splitlines()]
            columns = (*_BUSY_COLUMNS, _NICE_COLUMN) if os.nice(0) > 0 else _BUSY_COLUMNS
            ticks = sum(int(fields[1 + i]) for fields in lines if fields[0] in names for i in columns)
            times = os.times()
            return time.monotonic(), ticks / _TICKS, times.user + times.system
        return None


def _own_cores() -> set[int]:
    """The cores of this process's affinity."""
    return os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set(range(os.cpu_count() or 1))


def _quota(group: Path) -> float | None:
    """The number of cores whose time a control group may use; None without a limit."""
    with suppress(OSError, ValueError):
        quota, period = (group / "cpu.max").read_text().split()
        return int(quota) / int(period)  # "max" is no number
    return None
