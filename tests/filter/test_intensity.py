"""The mapping of responses to intensities, for every mode."""

import numpy as np
import pytest

from dlnotes_cli.filter.intensity import IntensityMapping, ResultMode, ValueRange

RESPONSE = np.array([[-510.0, -0.4, 0.0], [0.5, 127.6, 1020.0]], np.float32)
VALUE_RANGE = ValueRange(-510, 1020)


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        (None, [0, 0, 0, 0, 128, 255]),
        ("clip", [0, 0, 0, 0, 128, 255]),
        ("abs", [255, 0, 0, 0, 128, 255]),
        ("rescale", [0, 85, 85, 85, 106, 255]),
        ("signed", [64, 127, 128, 128, 143, 255]),
    ],
)
def test_modes(mode: ResultMode | None, expected: list[int]) -> None:
    mapping = IntensityMapping(mode, 255, value_range=VALUE_RANGE)
    assert mapping.to_integers(RESPONSE, np.uint8).ravel().tolist() == expected
    wide_mapping = IntensityMapping(mode, 65_535, value_range=ValueRange(-510 * 257, 1020 * 257))
    wide = wide_mapping.to_integers(RESPONSE * 257, np.uint16)
    np.testing.assert_allclose(wide.ravel() / 257, mapping.to_floats(RESPONSE).ravel().clip(0, 255), atol=0.6)


@pytest.mark.parametrize("mode", ["clip", None])
def test_int16_responses_give_the_same_intensities_as_float32(mode: ResultMode | None) -> None:
    response = np.arange(-1020, 1021, dtype=np.int16)[None]
    integers = IntensityMapping(mode, 255).to_integers(response, np.uint8)
    assert np.array_equal(integers, IntensityMapping(mode, 255).to_integers(response.astype(np.float32), np.uint8))


def test_floats_are_in_units_of_a_white_of_255() -> None:
    response = np.array([[-257.0, 65_535.0]], np.float32)
    np.testing.assert_allclose(IntensityMapping(None, 65_535).to_floats(response), [[-1, 255]], rtol=1e-6)
    np.testing.assert_allclose(IntensityMapping("abs", 65_535).to_floats(response), [[1, 255]], rtol=1e-6)


@pytest.mark.parametrize(("mode", "first"), [("clip", 0), ("abs", 255)])
def test_a_threshold_gives_black_and_white(mode: ResultMode, first: int) -> None:
    binary = IntensityMapping(mode, 255, threshold=127).to_integers(RESPONSE, np.uint8)
    assert binary.ravel().tolist() == [first, 0, 0, 0, 255, 255]
    wide = IntensityMapping(mode, 65_535, threshold=127).to_integers(RESPONSE * 257, np.uint16)
    assert wide.ravel().tolist() == [257 * first, 0, 0, 0, 65_535, 65_535]


@pytest.mark.parametrize(("mode", "intensity"), [("rescale", 0), ("signed", 128)])
def test_a_constant_response(mode: ResultMode, intensity: int) -> None:
    flat = np.zeros((2, 2), np.float32)
    mapping = IntensityMapping(mode, 255, value_range=ValueRange(0, 0))
    assert set(mapping.to_integers(flat, np.uint8).ravel()) == {intensity}


def test_a_16_bit_response_becomes_8_bit() -> None:
    response = np.array([[0.0, 65_535.0, 257 * 100.0]], np.float32)
    assert IntensityMapping("clip", 65_535).to_integers(response, np.uint8).tolist() == [[0, 255, 100]]
