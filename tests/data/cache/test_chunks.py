"""Chunks in threads: order, errors, and the number submitted ahead."""

import threading
import time
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlnotes_cli.data.cache import chunks
from dlnotes_cli.data.cache.chunks import map_chunks


@given(count=st.integers(0, 3000), threads=st.integers(1, 5), size=st.sampled_from([1, 3072, 1 << 21, 1 << 30]))
def test_every_position_is_processed_once_and_in_order(count: int, threads: int, size: int) -> None:
    results = map_chunks(list, range(count), threads=threads, sample_bytes=size)
    assert [i for chunk in results for i in chunk] == list(range(count))


def test_chunks_are_small_for_large_or_few_samples() -> None:
    def longest(count: int, size: int) -> int:
        return max(map_chunks(len, range(count), threads=2, sample_bytes=size))

    assert longest(60_000, 3072) == 256
    assert longest(60_000, 1 << 20) == 8
    assert longest(60, 1 << 30) == 1
    assert longest(245, 3072) == 30


def test_few_chunks_are_submitted_ahead() -> None:
    started: list[int] = []

    def process(positions: Sequence[int]) -> None:
        started.extend(positions)

    for done, _ in enumerate(map_chunks(process, range(100), threads=2, sample_bytes=1 << 30)):
        time.sleep(0.001)
        assert len(started) <= done + 2 * 2


def test_an_error_cancels_the_remaining_chunks() -> None:
    started: list[int] = []

    def process(positions: Sequence[int]) -> None:
        started.extend(positions)
        if 5 in positions:
            raise ValueError("five")

    with pytest.raises(ValueError, match="five"):
        list(map_chunks(process, range(1000), threads=2, sample_bytes=1 << 30))
    assert len(started) < 20
    assert threading.active_count() < 10


def test_long_work_shows_its_progress(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def process(_: Sequence[int]) -> None:
        time.sleep(0.06)

    list(map_chunks(process, range(6), threads=1, sample_bytes=1))
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(chunks, "_QUIET_S", 0.0)
    list(map_chunks(process, range(6), threads=1, sample_bytes=1))
    assert "of 6\n" in capsys.readouterr().err


@pytest.mark.parametrize(("count", "threads", "multiple"), [(1000, 2, 16), (100, 1, 16), (5, 2, 16), (33, 1, 7)])
def test_chunks_have_a_multiple_of_positions(count: int, threads: int, multiple: int) -> None:
    sizes = list(map_chunks(len, range(count), threads=threads, sample_bytes=1 << 17, multiple=multiple))
    assert sum(sizes) == count
    assert all(size % multiple == 0 for size in sizes[:-1])
