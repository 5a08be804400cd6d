"""Strips cover every row once and in order, in any number of threads."""

from hypothesis import given
from hypothesis import strategies as st

from dlnotes_cli.filter.strips import over_strips


@given(st.integers(1, 200), st.integers(1, 50), st.sampled_from([1, 3]))
def test_every_row_is_processed_once(height: int, strip: int, threads: int) -> None:
    strips = list(over_strips(lambda start, stop: (start, stop), height, strip, threads))
    assert [row for start, stop in strips for row in range(start, stop)] == list(range(height))
    assert max(stop - start for start, stop in strips) <= strip
