"""Sums in memory that processes share."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch
from builders import run_in_threads
from thread_sums import ThreadSums

from dlnotes_cli.training.engine import shared_memory
from dlnotes_cli.training.engine.shared_memory import LARGEST_BYTES, SharedSums

pytestmark = pytest.mark.skipif(not SharedSums.is_possible(2), reason="needs Linux on x86-64")

ROUNDS = 300
OTHER = """
import sys, time, torch
from dlnotes_cli.training.engine.shared_memory import SharedSums
rank, count, path = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
sums = SharedSums.among(rank, count, lambda _: path, lambda _: count, 60.0)
print("connected", flush=True)
sys.stdin.readline()  # one that is not connected yet looks as if it had ended
for number in range(int(sys.argv[4])):
    joined = sums.joined([torch.zeros(10, 100), torch.zeros(1)])
    joined.places[0].fill_(10.0**rank)
    joined.places[1].fill_(number)
    joined.add()
    sums.sum_numbers([10.0**rank, number])
time.sleep(60)
"""


def start_others(count: int, path: str, rounds: int) -> list[subprocess.Popen[bytes]]:
    """Processes 1 to `count` - 1, which sum some times and then sleep."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    words = [sys.executable, "-c", OTHER]
    return [
        subprocess.Popen(
            [*words, str(rank), str(count), path, str(rounds)],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        for rank in range(1, count)
    ]


def connected(count: int, rounds: int) -> tuple[SharedSums, list[subprocess.Popen[bytes]]]:
    """The memory of this process, which is the first of `count`, and the others."""
    others: list[subprocess.Popen[bytes]] = []

    def share(path: str) -> str:
        others.extend(start_others(count, path, rounds))
        return path

    def total(_: int) -> int:
        for process in others:
            assert process.stdout is not None
            assert process.stdout.readline() == b"connected\n"
        for process in others:
            assert process.stdin is not None
            process.stdin.write(b"\n")
            process.stdin.flush()
        return count

    sums = SharedSums.among(0, count, share, total, 60.0)
    assert sums is not None
    return sums, others


def end(others: list[subprocess.Popen[bytes]]) -> None:
    for process in others:
        process.kill()
        process.communicate()


def test_every_sum_is_that_of_all_processes_and_a_killed_one_is_noticed() -> None:
    sums, others = connected(3, ROUNDS)
    try:
        for number in range(ROUNDS):  # in step with the others
            ones, numbers = total(sums, torch.ones(10, 100), torch.tensor([float(number)]))
            assert torch.equal(ones, torch.full((10, 100), 111.0))
            assert numbers.item() == 3 * number
            assert sums.sum_numbers([1, number]) == [111.0, 3.0 * number]
        os.kill(others[1].pid, signal.SIGKILL)
        started = time.monotonic()
        with pytest.raises(ConnectionError):
            sums.joined([torch.zeros(1)]).add()
        assert time.monotonic() - started < 5
    finally:
        end(others)
        sums.close()


def total(sums: SharedSums, *tensors: torch.Tensor) -> Sequence[torch.Tensor]:
    """The sums over all processes."""
    joined = sums.joined(tensors)
    for place, tensor in zip(joined.places, tensors, strict=True):
        place.copy_(tensor)
    joined.add()
    return joined.totals


def in_threads(count: int, run: Callable[[SharedSums], torch.Tensor]) -> list[torch.Tensor]:
    """What `run` returns for each of several ranks, here threads of one process."""
    file = os.memfd_create("test")
    os.truncate(file, shared_memory._size(count))
    found = run_in_threads(count, lambda rank: run(ThreadSums(rank, count, file)))
    os.close(file)
    return found


def test_the_sum_has_the_same_bits_in_each_process() -> None:
    addends = torch.randn(4, 27, 37, generator=torch.Generator().manual_seed(1)) * torch.tensor(
        [1.0, 1e4, -1e4, 1]
    ).view(4, 1, 1)

    def run(sums: SharedSums) -> torch.Tensor:
        return total(sums, addends[sums._rank])[0].clone()

    expected = ((addends[0] + addends[1]) + addends[2]) + addends[3]
    for found in in_threads(4, run):
        assert torch.equal(found, expected)


def test_a_sum_repeats_with_what_was_computed_in_the_own_buffer() -> None:
    def run(sums: SharedSums) -> torch.Tensor:
        joined = sums.joined([torch.zeros(2, 3), torch.zeros(4)])
        assert torch.equal(joined.places[1], sums.own_buffer[6:10])
        totals = []
        for factor in (1, 10):
            torch.mul(torch.arange(10.0), factor * (1 + sums._rank), out=sums.own_buffer[:10])
            joined.add()
            totals.append(torch.cat([each.flatten() for each in joined.totals]))
        return torch.stack(totals)

    for found in in_threads(3, run):
        assert torch.equal(found, torch.stack([6 * torch.arange(10.0), 60 * torch.arange(10.0)]))


def test_sums_of_numbers_leave_the_totals_as_they_are() -> None:
    def run(sums: SharedSums) -> torch.Tensor:
        joined = sums.joined([torch.zeros(3)])
        joined.places[0].fill_(1 + sums._rank)
        joined.add()
        joined.places[0].zero_()
        for _ in range(3):
            sums.sum_numbers([1.0] * 8)
        return joined.totals[0].clone()

    assert [found.tolist() for found in in_threads(3, run)] == [[6.0] * 3] * 3


def test_the_sums_of_numbers_are_those_of_their_order_in_each_process() -> None:
    numbers = [[1e300, 0.1], [1.0, 0.2], [-1e300, 0.3]]

    def run(sums: SharedSums) -> torch.Tensor:
        return torch.tensor(sums.sum_numbers(numbers[sums._rank]), dtype=torch.float64)

    assert [found.tolist() for found in in_threads(3, run)] == [[0.0, 0.1 + 0.2 + 0.3]] * 3


def test_what_does_not_fit_is_left_to_the_connection() -> None:
    def run(sums: SharedSums) -> torch.Tensor:
        large, half = torch.zeros(LARGEST_BYTES // 4), torch.zeros(LARGEST_BYTES // 8 + 1)
        kinds = [torch.zeros(1), torch.zeros(1, dtype=torch.float64)]
        fitting = [sums.fits(pieces) for pieces in ([large], [half, half], kinds)]
        return torch.tensor([*fitting, *map(sums.has_room, ([0.0] * 8, [0.0] * 9))])

    assert [found.tolist() for found in in_threads(1, run)] == [[True, False, False, True, False]]


def test_a_process_that_cannot_map_the_memory_leaves_all_with_the_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    descriptors = Path("/proc/self/fd")
    before = len(list(descriptors.iterdir()))
    assert SharedSums.among(0, 2, lambda path: path, lambda number: number, 1.0) is None  # the other one counted 0
    assert SharedSums.among(1, 2, lambda _: None, lambda number: number, 1.0) is None  # process 0 had no memory

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", fail)
    paths: list[object] = []
    assert SharedSums.among(0, 2, paths.append, lambda number: number, 1.0) is None
    assert paths == [None]
    assert len(list(descriptors.iterdir())) == before
