"""The choice of the images in predictions.png."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from dlnotes_cli.training.evaluation_plots import shown_positions
from dlnotes_cli.training.metrics import Predictions

samples = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2), st.floats(0, 1, width=32)), max_size=80)


@given(samples, st.sampled_from([2, 6, 24]))
def test_up_to_half_are_the_most_confident_mistakes(drawn: list[tuple[int, int, float]], count: int) -> None:
    labels, predicted = (np.array([sample[i] for sample in drawn], np.int64) for i in (0, 1))
    predictions = Predictions(labels, predicted, np.array([sample[2] for sample in drawn], np.float32))
    shown = shown_positions(predictions, count).tolist()
    mistakes = [i for i, (label, answer, _) in enumerate(drawn) if label != answer]
    expected = sorted(mistakes, key=lambda i: (-drawn[i][2], i))[: count // 2]
    assert shown[: len(expected)] == expected
    rest = shown[len(expected) :]
    assert not set(rest) & set(mistakes)
    assert rest == sorted(set(rest))
    assert len(rest) == min(count - len(expected), len(drawn) - len(mistakes))
