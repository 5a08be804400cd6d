"""Batches for truncated BPTT: each token is a target once, in order, and no chunk crosses from one text to the next."""

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from dlnotes_cli.data.texts.characters import Text
from dlnotes_cli.training.sequence_batches import IGNORED, SequenceBatches


@st.composite
def texts(draw: st.DrawFn) -> Text:
    """Joined texts whose tokens are their own positions."""
    lengths = draw(st.lists(st.integers(0, 30), min_size=1, max_size=5).filter(lambda drawn: max(drawn) > 1))
    bounds = tuple(np.cumsum([0, *lengths]).tolist())
    return Text(np.arange(bounds[-1], dtype=np.uint32), bounds, tuple(map(str, range(len(lengths)))))


@given(texts(), st.integers(1, 6), st.integers(1, 9), st.data())
def test_every_token_but_the_first_of_a_text_is_a_target_once(
    text: Text, batch_size: int, seq_len: int, data: st.DataObject
) -> None:
    offset = data.draw(st.none() | st.integers(1, seq_len))
    batches = SequenceBatches(text, batch_size, seq_len, offset)
    seen: list[int] = []
    last_target: dict[int, int] = {}  # by row
    reset_positions = {start for start, stop in pairwise(text.bounds) if stop - start > 1}
    if offset is not None and offset < seq_len:  # after a chunk that is padded
        reset_positions |= {start + offset for start in reset_positions}
    for step in range(batches.steps):
        batch = batches.batch(step)
        assert batch.inputs.shape[1] <= seq_len
        is_target = batch.targets != IGNORED
        assert batch.predicted == int(is_target.sum())
        assert (batch.targets[is_target] == batch.inputs[is_target] + 1).all()
        assert (batch.target_positions[is_target.numpy()] == batch.targets[is_target].numpy()).all()
        for row in range(batches.batch_size):
            targets = batch.targets[row][is_target[row]].tolist()
            if targets:
                is_reset = batch.reset[row].item()
                assert is_reset == (targets[0] - 1 in reset_positions)
                assert is_reset or row not in last_target or targets[0] == last_target[row] + 1
                last_target[row] = targets[-1]
                seen += targets
    expected = [position for start, stop in pairwise(text.bounds) for position in range(start + 1, stop)]
    assert sorted(seen) == expected
    assert batches.predicted == len(expected)


@given(texts(), st.integers(1, 6), st.integers(1, 9))
def test_the_number_of_steps_does_not_depend_on_the_offset(text: Text, batch_size: int, seq_len: int) -> None:
    all_batches = [SequenceBatches(text, batch_size, seq_len, offset) for offset in range(1, seq_len + 1)]
    assert len({(batches.steps, batches.batch_size) for batches in all_batches}) == 1


def test_a_negative_step_gives_the_chunks_in_front_of_the_rows() -> None:
    batches = SequenceBatches(Text(np.arange(25, dtype=np.uint32), (0, 25), ("x",)), 3, 2)
    assert batches.batch(0).inputs.tolist() == [[0, 1], [8, 9], [16, 17]]
    before = batches.batch(-1)
    assert before.inputs.tolist()[1:] == [[6, 7], [14, 15]]
    assert (before.targets[0] == IGNORED).all()
