"""Batches are loaded in order, at most one ahead, in a thread that ends."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import torch
from torch import Tensor

from dlnotes_cli.data.prefetch import Prefetcher, SampleBatches

WAIT_S = 10.0


@contextmanager
def prefetcher(load: Callable[[int], int], count: int) -> Iterator[Prefetcher[int]]:
    """A prefetcher whose thread has ended when the block ends."""
    created = Prefetcher(load, count)
    try:
        yield created
    finally:
        created.close()
        assert not [thread for thread in threading.enumerate() if thread.name.startswith("dlnotes-prefetch")]


def recorded(loaded: list[int], index: int) -> int:
    loaded.append(index)
    return index


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_items_are_loaded_in_order_and_at_most_one_ahead() -> None:
    loaded: list[int] = []

    def load(index: int) -> int:
        loaded.append(index)
        assert threading.current_thread() is not threading.main_thread()
        return index * index

    with prefetcher(load, 4) as items:
        for index in range(4):
            assert items.take(index) == index * index
            wait_until(lambda index=index: len(loaded) == min(index + 2, 4))  # type: ignore[misc]
            time.sleep(0.005)
            assert loaded == list(range(min(index + 2, 4)))


def test_the_next_item_is_loaded_while_the_caller_computes() -> None:
    started, computed = threading.Event(), threading.Event()

    def load(index: int) -> int:
        if index == 1:
            started.set()
            assert computed.wait(WAIT_S)
        return index

    with prefetcher(load, 2) as items:
        assert items.take(0) == 0
        assert started.wait(WAIT_S)
        computed.set()
        assert items.take(1) == 1


def test_a_resumed_run_starts_in_the_middle() -> None:
    loaded: list[int] = []
    with prefetcher(lambda index: recorded(loaded, index), 6) as items:
        assert [items.take(3), items.take(4)] == [3, 4]
        assert items.take(0) == 0
        assert items.take(5) == 5
    assert loaded[:4] == [3, 4, 5, 0]


def test_an_error_is_raised_with_the_item_that_it_concerns() -> None:
    def load(index: int) -> int:
        if index == 1:
            raise OSError("cannot read batch 1")
        return index

    with prefetcher(load, 3) as items:
        assert items.take(0) == 0
        with pytest.raises(OSError, match="cannot read batch 1"):
            items.take(1)
        assert items.take(2) == 2


def test_closing_waits_for_the_item_that_is_loaded_and_loads_no_other() -> None:
    loaded: list[int] = []
    with prefetcher(lambda index: recorded(loaded, index), 100) as items:
        items.take(0)
    assert loaded in ([0], [0, 1])


class RecordedCopier:
    """Stands in for CopyStream on a machine without a GPU: a copy is complete only when it is finished."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def buffer(self, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        self.calls.append("buffer")
        return torch.empty(shape, dtype=dtype)

    def start(self, pinned: Tensor) -> Tensor:
        assert threading.current_thread() is not threading.main_thread()
        self.calls.append("start")
        return pinned

    def finish(self, started: Tensor) -> Tensor:
        assert threading.current_thread() is threading.main_thread()
        self.calls.append("finish")
        return started.clone()


def test_copied_batches_are_those_of_samples_on_the_device() -> None:
    samples = torch.randint(0, 256, (30, 3, 4, 5), dtype=torch.uint8)
    order = torch.randperm(30).split(8)
    copier = RecordedCopier()
    on_device, copied = SampleBatches(samples, order, None), SampleBatches(samples, order, copier)
    for index in range(4):
        assert copied.take(index).equal(on_device.take(index))
    assert copier.calls.count("buffer") == copier.calls.count("start") == copier.calls.count("finish") == 4
    on_device.close()
    copied.close()
