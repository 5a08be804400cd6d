"""From numbers to values, against what each word says."""

import numpy as np
import pytest

from dlnotes_cli.filter.tone import Mapping, Range, Result

NUMBERS = np.array([[-510.0, -0.4, 0.0], [0.5, 127.6, 1020.0]], np.float32)
FOUND = Range(-510, 1020)


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        (None, [0, 0, 0, 0, 128, 255]),
        ("clip", [0, 0, 0, 0, 128, 255]),
        ("abs", [255, 0, 0, 0, 128, 255]),
        ("rescale", [0, 85, 85, 85, 106, 255]),
        ("signed", [64, 127, 128, 128, 143, 255]),
    ],
)
def test_results(result: Result | None, expected: list[int]) -> None:
    mapping = Mapping(result, 255, found=FOUND)
    assert mapping.levels(NUMBERS, np.uint8).ravel().tolist() == expected
    wide = Mapping(result, 65_535, found=Range(-510 * 257, 1020 * 257)).levels(NUMBERS * 257, np.uint16)
    np.testing.assert_allclose(wide.ravel() / 257, mapping.floats(NUMBERS).ravel().clip(0, 255), atol=0.6)


@pytest.mark.parametrize("result", ["clip", None])
def test_whole_numbers_take_the_short_way_to_the_same_values(result: Result | None) -> None:
    numbers = np.arange(-1020, 1021, dtype=np.int16)[None]
    short = Mapping(result, 255).levels(numbers, np.uint8)
    assert np.array_equal(short, Mapping(result, 255).levels(numbers.astype(np.float32), np.uint8))


def test_floats_are_in_units_of_a_white_of_255() -> None:
    numbers = np.array([[-257.0, 65_535.0]], np.float32)
    np.testing.assert_allclose(Mapping(None, 65_535).floats(numbers), [[-1, 255]], rtol=1e-6)
    np.testing.assert_allclose(Mapping("abs", 65_535).floats(numbers), [[1, 255]], rtol=1e-6)


def test_a_threshold_gives_black_and_white() -> None:
    assert Mapping("clip", 255, threshold=127).levels(NUMBERS, np.uint8).ravel().tolist() == [0, 0, 0, 0, 255, 255]
    assert Mapping("abs", 255, threshold=127).levels(NUMBERS, np.uint8).ravel().tolist() == [255, 0, 0, 0, 255, 255]
    wide = Mapping("clip", 65_535, threshold=127).levels(NUMBERS * 257, np.uint16)
    assert wide.ravel().tolist() == [0, 0, 0, 0, 65_535, 65_535]


@pytest.mark.parametrize(("result", "level"), [("rescale", 0), ("signed", 128)])
def test_a_result_without_any_change(result: Result, level: int) -> None:
    flat = np.zeros((2, 2), np.float32)
    assert set(Mapping(result, 255, found=Range(0, 0)).levels(flat, np.uint8).ravel()) == {level}


def test_sixteen_bits_into_eight() -> None:
    numbers = np.array([[0.0, 65_535.0, 257 * 100.0]], np.float32)
    assert Mapping("clip", 65_535).levels(numbers, np.uint8).tolist() == [[0, 255, 100]]
