"""Sums over the processes of one machine in memory that all of them map; several times as fast as through TCP.

Each process has a buffer for its tensor, which it copies there or has computed there. When all are complete, each
process adds up its part of all buffers, in the same order, into the part of a common result that belongs to it. When
that is complete, each reads it. At these two barriers each process sets its counter to their number, and waits until
those of all have reached it.

A few numbers are summed without tensors, as after every step. There are two places for them in each process, since one
that writes its next numbers may be ahead of one that still reads the last.

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

from dlnotes_cli.shell.cores import available_cores
from dlnotes_cli.training.engine.joined_sum import JoinedSum, views

LARGEST_BYTES = 1 << 22  # of a tensor; for larger ones, computing takes much longer than the connection
_MOST_PROCESSES = 16  # each of which reads the buffers of all
_LINE_BYTES = 64  # of a processor's cache, so that counters do not share one
_MOST_NUMBERS = _LINE_BYTES // 8  # that are summed at once
_CHECK_S = 0.1  # between two looks at whether the others live
_SPIN_S = 2e-4  # of waiting, before a process sleeps: to be woken takes about as long as a small sum
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
        starts = range(_LINE_BYTES * count, _header(count), _LINE_BYTES)
        numbers = [self._memory[start : start + _LINE_BYTES].cast("d") for start in starts]
        self._numbers = numbers[:count], numbers[count:]
        buffers = torch.frombuffer(self._memory, dtype=torch.uint8, offset=_header(count))
        self._buffers: list[Tensor] = list(buffers.view(count + 1, LARGEST_BYTES))  # of each, and that of the result
        self._number = 0
        self._spin_s = _SPIN_S if count <= available_cores() else 0.0
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

    @staticmethod
    def has_room(numbers: Sequence[float]) -> bool:
        """Whether so many numbers can be summed here."""
        return len(numbers) <= _MOST_NUMBERS

    @property
    def own_buffer(self) -> Tensor:
        """The buffer of this process, as float32 (N,), where the places of every sum start; unused between sums."""
        return self._buffers[self._rank].view(torch.float32)

    def joined(self, like: Sequence[Tensor]) -> JoinedSum:
        """Sums of tensors of one type with these shapes; `add` raises ConnectionError if another process has ended."""
        dtype, size = like[0].dtype, sum(tensor.nbytes for tensor in like)
        *parts, common = (buffer[:size].view(dtype) for buffer in self._buffers)
        own = self._own(len(common))
        total, first, second, *others = (buffer[own] for buffer in (common, *parts))

        def add() -> None:
            self._barrier()
            torch.add(first, second, out=total)
            for other in others:
                total.add_(other)
            self._barrier()

        return JoinedSum(views(parts[self._rank], like), views(common, like), add)

    def _own(self, length: int) -> slice:
        """The part of `length` elements that this process adds up, in whole lines of the cache."""
        each = -(-length // (_LINE_BYTES * self._count)) * _LINE_BYTES
        return slice(each * self._rank, each * (self._rank + 1))

    def sum_numbers(self, numbers: Sequence[float]) -> list[float]:
        """The sum over all processes of each of at most 8 numbers; the same bits in each. Raises as `joined` says."""
        parts = self._numbers[self._number % 2]
        for position, number in enumerate(numbers):
            parts[self._rank][position] = number
        self._barrier()
        return [sum(part[position] for part in parts) for position in range(len(numbers))]

    def close(self) -> None:
        """Let the others know that this process takes part no longer."""
        os.close(self._file)

    def _barrier(self) -> None:
        """Wait until every process has reached this point."""
        self._number += 1
        self._counters.set(self._rank, self._number)
        started = time.monotonic()
        while late := self._counters.late(self._number):
            waited_s = time.monotonic() - started
            if waited_s > self._timeout_s or (waited_s > _CHECK_S and any(map(self._has_ended, late))):
                raise ConnectionError("another process has ended")
            if waited_s > self._spin_s:
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
    """Bytes of the memory of `count` processes: a buffer of each, and the result."""
    return _header(count) + (count + 1) * LARGEST_BYTES


def _header(count: int) -> int:
    """Bytes of the counter and the two places for numbers of each process, each in a line of the cache."""
    return 3 * count * _LINE_BYTES
