"""Work in threads: order, errors, and how much is under way at once."""

import threading
import time
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlnotes_cli.data.cache import chunks
from dlnotes_cli.data.cache.chunks import in_chunks


@given(count=st.integers(0, 3000), threads=st.integers(1, 5), size=st.sampled_from([1, 3072, 1 << 21, 1 << 30]))
def test_every_position_is_answered_once_and_in_order(count: int, threads: int, size: int) -> None:
    answers = in_chunks(list, range(count), threads=threads, sample_bytes=size)
    assert [i for chunk in answers for i in chunk] == list(range(count))


def test_chunks_are_small_where_samples_are_large_or_few() -> None:
    def longest(count: int, size: int) -> int:
        return max(in_chunks(len, range(count), threads=2, sample_bytes=size))

    assert longest(60_000, 3072) == 256
    assert longest(60_000, 1 << 20) == 8
    assert longest(60, 1 << 30) == 1
    assert longest(245, 3072) == 30


def test_little_is_under_way_at_once() -> None:
    begun: list[int] = []

    def work(positions: Sequence[int]) -> None:
        begun.extend(positions)

    for done, _ in enumerate(in_chunks(work, range(100), threads=2, sample_bytes=1 << 30)):
        time.sleep(0.001)
        assert len(begun) <= done + 2 * 2


def test_an_error_ends_it() -> None:
    begun: list[int] = []

    def work(positions: Sequence[int]) -> None:
        begun.extend(positions)
        if 5 in positions:
            raise ValueError("five")

    with pytest.raises(ValueError, match="five"):
        list(in_chunks(work, range(1000), threads=2, sample_bytes=1 << 30))
    assert len(begun) < 20
    assert threading.active_count() < 10


def test_long_work_shows_how_far_it_is(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def work(_: Sequence[int]) -> None:
        time.sleep(0.06)

    list(in_chunks(work, range(6), threads=1, sample_bytes=1))
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(chunks, "_QUIET_S", 0.0)
    list(in_chunks(work, range(6), threads=1, sample_bytes=1))
    assert "of 6\n" in capsys.readouterr().err


@pytest.mark.parametrize(("count", "threads", "multiple"), [(1000, 2, 16), (100, 1, 16), (5, 2, 16), (33, 1, 7)])
def test_chunks_come_in_multiples(count: int, threads: int, multiple: int) -> None:
    sizes = list(in_chunks(len, range(count), threads=threads, sample_bytes=1 << 17, multiple=multiple))
    assert sum(sizes) == count
    assert all(size % multiple == 0 for size in sizes[:-1])
