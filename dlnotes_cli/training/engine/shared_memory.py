"""Sums over the processes of one machine in memory that all of them map; several times as fast as through TCP.

Each process copies its tensor into a buffer of its own, sets its counter to the number of the sum, waits until the
counters of all have that number, and adds all buffers in the same order. There are two buffers for each process: one
that writes the next tensor does not disturb one that still reads the last, and can be at most one sum ahead.

The memory has no name in any file system, so that nothing is left after a process is killed. Each process holds a lock
on one byte of it, which the system releases when the process ends, however it ends.
"""

import ctypes
import mmap
import os
import platform
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import torch
from torch import Tensor

LARGEST_BYTES = 1 << 22  # of a tensor; for larger ones, computing takes much longer than the connection
_MOST_PROCESSES = 16  # each of which reads the buffers of all
_LINE_BYTES = 64  # of a processor's cache, so that counters do not share one
_CHECK_S = 0.1  # between two looks at whether the others live
_FUTEX, _WAIT, _WAKE = 202, 0, 1  # the system call on this processor, and its operations
_ALL = (1 << 31) - 1


class _Timespec(ctypes.Structure):
    _fields_ = (("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))


class _Counters:
    """A counter of each process in mapped memory; one that waits for a counter sleeps until it changes."""

    def __init__(self, memory: memoryview, count: int) -> None:
        self._counters = [ctypes.c_uint64.from_buffer(memory, _LINE_BYTES * rank) for rank in range(count)]
        self._system_call = ctypes.CDLL(None).syscall

    def set(self, rank: int, value: int) -> None:
        """Set a counter, which only its own process does."""
        self._counters[rank].value = value
        self._futex(rank, _WAKE, _ALL, None)

    def late(self, value: int) -> list[int]:
        """The processes whose counters are below `value`."""
        return [rank for rank, counter in enumerate(self._counters) if counter.value < value]

    def wait(self, rank: int, value: int) -> None:
        """Sleep until the counter of a process has changed, unless it has reached `value`, or for a short time."""
        found = self._counters[rank].value
        if found < value:
            self._futex(rank, _WAIT, found & 0xFFFFFFFF, ctypes.byref(_Timespec(0, int(1e9 * _CHECK_S))))

    def _futex(self, rank: int, operation: int, value: int, timeout: Any) -> None:
        """The system call on the lower half of a counter, which comes first on this processor."""
        address = ctypes.c_void_p(ctypes.addressof(self._counters[rank]))
        self._system_call(_FUTEX, address, operation, ctypes.c_uint32(value), timeout, None, 0)


class SharedSums:
    """The mapped memory, seen from the process `rank` of `count`."""

    def __init__(self, rank: int, count: int, file: int, timeout_s: float) -> None:
        """Map the memory of a `file` descriptor. Raises OSError if it cannot be mapped."""
        import fcntl

        self._rank, self._count, self._file, self._timeout_s = rank, count, file, timeout_s
        self._memory = memoryview(mmap.mmap(file, _size(count)))
        self._counters = _Counters(self._memory, count)
        buffers = torch.frombuffer(self._memory, dtype=torch.uint8, offset=_LINE_BYTES * count)
        self._buffers = buffers.view(2, count, LARGEST_BYTES)
        self._total = torch.empty(LARGEST_BYTES, dtype=torch.uint8)
        self._number = 0
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, rank)

    @staticmethod
    def is_possible(count: int) -> bool:
        """Whether this machine can share memory as it is done here: its processor must not reorder what is stored."""
        is_ordered = platform.machine().lower() in {"x86_64", "amd64"}
        return is_ordered and sys.platform == "linux" and count <= _MOST_PROCESSES

    @classmethod
    def among(
        cls, rank: int, count: int, share: Callable[[Any], Any], total: Callable[[int], int], timeout_s: float
    ) -> "SharedSums | None":
        """The memory of all processes, which call this together; None if one of them cannot map it.

        `share` returns the value of process 0 in all of them, and `total` the sum of their numbers.
        """
        file, path, sums = None, None, None
        with suppress(OSError):
            if rank == 0:
                file = os.memfd_create("dlnotes")
                os.posix_fallocate(file, 0, _size(count))  # else a full memory would end the process later
                path = f"/proc/{os.getpid()}/fd/{file}"
        path = share(path)
        with suppress(OSError):
            if path is not None:
                file = os.open(path, os.O_RDWR) if file is None else file
                sums = cls(rank, count, file, timeout_s)
        if total(sums is not None) == count:
            return sums
        if file is not None:
            os.close(file)
        return None

    def fits(self, pieces: Sequence[Tensor]) -> bool:
        """Whether the pieces, of one type, can be summed here."""
        has_one_type = len({piece.dtype for piece in pieces}) == 1 and pieces[0].device.type == "cpu"
        return has_one_type and sum(piece.nbytes for piece in pieces) <= LARGEST_BYTES

    def sum(self, pieces: Sequence[Tensor], out: Tensor | None = None) -> Tensor:
        """The sum over all processes of the pieces, joined in one flat tensor, with the same bits in each process.

        It is `out`, or in memory that the next such call overwrites: new memory costs more than the sum. Raises
        ConnectionError if another process has ended.
        """
        self._number += 1
        size = sum(piece.nbytes for piece in pieces)
        parts = [buffer[:size].view(pieces[0].dtype) for buffer in self._buffers[self._number % 2]]
        torch.cat([piece.detach().reshape(-1) for piece in pieces], out=parts[self._rank])
        self._counters.set(self._rank, self._number)
        self._wait()
        total = self._total[:size].view(pieces[0].dtype) if out is None else out.view(-1)
        torch.add(parts[0], parts[1], out=total)
        for part in parts[2:]:
            total += part
        return total

    def close(self) -> None:
        """Let the others know that this process takes part no longer."""
        os.close(self._file)

    def _wait(self) -> None:
        """Wait until all processes have stored their tensors."""
        started = time.monotonic()
        while late := self._counters.late(self._number):
            waited_s = time.monotonic() - started
            if waited_s > self._timeout_s or (waited_s > _CHECK_S and any(map(self._has_ended, late))):
                raise ConnectionError("another process has ended")
            self._counters.wait(late[0], self._number)

    def _has_ended(self, rank: int) -> bool:
        """Whether a process holds its lock no longer."""
        import fcntl

        try:
            fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, rank)
        except OSError:
            return False
        fcntl.lockf(self._file, fcntl.LOCK_UN, 1, rank)  # so that the others see it, too
        return True


def _size(count: int) -> int:
    """Bytes of the memory of `count` processes."""
    return _LINE_BYTES * count + 2 * count * LARGEST_BYTES
