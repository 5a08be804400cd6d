"""The check of an exported file: which differences pass, and on which batches it runs."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlnotes_cli.export.checks import batch_bounds, compared, compared_texts
from dlnotes_cli.export.options import ExportConfig
from dlnotes_cli.shell.errors import UnfinishedError

EXPECTED = np.array([[0.7, 0.3], [0.2, 0.8], [0.5, 0.5]], np.float32)


def config(**options: Any) -> ExportConfig:
    return ExportConfig(model="model.safetensors", out="model.onnx", **options)  # type: ignore[arg-type]  # text


def check(answered: Any, expected: Any = EXPECTED, **options: Any) -> Any:
    """Compare fixed answers with the expected ones."""
    return compared(config(**options), "data", (1, 2), expected, np.array(answered, np.float32))


@given(samples=st.integers(1, 400), largest=st.integers(1, 130))
def test_batches_cover_each_sample_once_in_order_and_start_with_one_and_five(samples: int, largest: int) -> None:
    bounds = list(batch_bounds(samples, largest))
    assert [index for start, stop in bounds for index in range(start, stop)] == list(range(samples))
    assert all(0 < stop - start <= max(largest, 1) for start, stop in bounds)
    if samples > 6 and largest >= 5:
        assert bounds[:2] == [(0, 1), (1, 6)]


def test_equal_answers_pass() -> None:
    parity = check(EXPECTED)
    assert (parity.largest_difference, parity.same_class, parity.ties, parity.batches) == (0.0, 1.0, 0, (1, 2))
    text = "3 samples of data, batches of 1 and 2: largest difference of a probability 0, same class 100.00%"
    assert str(parity) == text
    off = check(EXPECTED + np.array([[0, 0], [0.00003, -0.00009], [0, 0]], np.float32))
    assert off.largest_difference == pytest.approx(0.00009, rel=1e-2)


@pytest.mark.parametrize(
    ("first", "tolerance", "message"),
    [
        ([0.6998, 0.3002], None, r"0 of 3 classes changed, largest difference of a probability 0\.0002 "),
        ([0.3, 0.7], None, r"1 of 3 classes changed, largest difference of a probability 0\.4 "),
        ([0.49, 0.51], 1.0, "1 of 3 classes changed"),  # whatever the tolerance
        ([np.nan, np.nan], None, r"largest difference of a probability nan "),
    ],
)
def test_a_difference_a_changed_class_and_nan_fail(first: Any, tolerance: float | None, message: str) -> None:
    what = rf"model\.onnx: .*{message}.*nothing was written; use another --format"
    with pytest.raises(UnfinishedError, match=what):
        check([first, *EXPECTED[1:]], tolerance=tolerance)


def test_a_tie_may_change_places_and_is_counted() -> None:
    expected = np.array([[0.5000001, 0.4999999]], np.float32)
    parity = check([[0.4999999, 0.5000001]], expected=expected)
    assert (parity.ties, parity.same_class) == (1, 0.0)
    assert str(parity).endswith(", same class 0.00%, 1 tie")
    with pytest.raises(UnfinishedError, match="1 of 1 classes changed"):
        check([[0.49999, 0.50001]], expected=np.array([[0.50001, 0.49999]], np.float32))


def test_each_side_of_a_language_model_keeps_its_own_states() -> None:
    def step(drift: float) -> Any:
        def run(tokens: Any, h: Any) -> Any:
            after = h + 1 + drift
            return np.concatenate([after[0], -after[0], tokens[:, None].astype(np.float32)], 1), after

        return run

    starts: Any = [(np.zeros((1, 1, 1), np.float32),), (np.zeros((1, 5, 1), np.float32),)]
    parity = compared_texts(config(samples=50), step(0.0), step(0.0), starts)
    assert (parity.samples, parity.batches, parity.largest_difference) == (54, (1, 5), 0.0)
    with pytest.raises(UnfinishedError, match="largest difference"):
        compared_texts(config(samples=50), step(0.01), step(0.0), starts)
