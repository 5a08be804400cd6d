"""Sequence batching: every character once, in order, in streams that texts do not cross."""

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from dlnotes_cli.char_rnn.streams import IGNORED, Streams
from dlnotes_cli.data.text import Text


@st.composite
def texts(draw: st.DrawFn) -> Text:
    lengths = draw(st.lists(st.integers(0, 30), min_size=1, max_size=5).filter(lambda found: max(found) > 1))
    bounds = tuple(np.cumsum([0, *lengths]).tolist())
    return Text(np.arange(bounds[-1], dtype=np.uint32), bounds, tuple(map(str, range(len(lengths)))))


@given(texts(), st.integers(1, 6), st.integers(1, 9), st.data())
def test_every_character_but_the_first_of_a_text_is_predicted_once(
    text: Text, rows: int, seq_len: int, data: st.DataObject
) -> None:
    first = data.draw(st.none() | st.integers(1, seq_len))
    streams = Streams(text, rows, seq_len, first)
    seen: list[int] = []
    before: dict[int, int] = {}
    starts = {start for start, stop in pairwise(text.bounds) if stop - start > 1}
    if first is not None and first < seq_len:  # behind a window that is filled up
        starts |= {start + first for start in starts}
    for step in range(streams.steps):
        window = streams.window(step)
        assert window.inputs.shape[1] <= seq_len
        there = window.targets != IGNORED
        assert window.predicted == int(there.sum())
        assert (window.targets[there] == window.inputs[there] + 1).all()  # tokens are their own places
        assert (window.places[there.numpy()] == window.targets[there].numpy()).all()
        for row in range(streams.rows):
            targets = window.targets[row][there[row]].tolist()
            if targets:
                assert window.fresh[row].item() == (targets[0] - 1 in starts)
                assert window.fresh[row].item() or row not in before or targets[0] == before[row] + 1
                before[row] = targets[-1]
                seen += targets
    expected = [place for start, stop in pairwise(text.bounds) for place in range(start + 1, stop)]
    assert sorted(seen) == expected
    assert streams.predicted == len(expected)


@given(texts(), st.integers(1, 6), st.integers(1, 9))
def test_the_number_of_steps_does_not_depend_on_where_windows_begin(text: Text, rows: int, seq_len: int) -> None:
    found = {
        (streams.steps, streams.rows) for streams in (Streams(text, rows, seq_len, n) for n in range(1, seq_len + 1))
    }
    assert len(found) == 1


def test_a_last_step_may_have_nothing_to_predict() -> None:
    text = Text(np.arange(10, dtype=np.uint32), (0, 10), ("x",))
    predicted = [Streams(text, 1, 4, first).window(2).predicted for first in (1, 2, 3, 4)]
    assert predicted == [4, 3, 2, 1]
    assert [Streams(text, 1, 8, first).window(1).predicted for first in (1, 8)] == [8, 1]
    nine = Text(np.arange(9, dtype=np.uint32), (0, 9), ("x",))
    assert [Streams(nine, 1, 4, first).window(2).predicted for first in (1, 4)] == [3, 0]


def test_a_step_below_zero_gives_what_comes_before_a_stream() -> None:
    streams = Streams(Text(np.arange(25, dtype=np.uint32), (0, 25), ("x",)), 3, 2)
    assert streams.window(0).inputs.tolist() == [[0, 1], [8, 9], [16, 17]]
    before = streams.window(-1)
    assert before.inputs.tolist()[1:] == [[6, 7], [14, 15]]
    assert (before.targets[0] == IGNORED).all()
