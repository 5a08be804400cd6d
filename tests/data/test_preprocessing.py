"""Preprocessing in model files: round trips through JSON, and invalid values."""

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlnotes_cli.data.options import Resize
from dlnotes_cli.data.preprocessing import (
    Column,
    ImagePreprocessing,
    Interpolation,
    TablePreprocessing,
    preprocessing_from_json,
    preprocessing_to_json,
)

KINDS = (ImagePreprocessing, TablePreprocessing)
SIDES = st.integers(1, 4096)
MEANS, DEVIATIONS = st.floats(-1e6, 1e6), st.floats(1e-6, 1e6)
RESIZES: st.SearchStrategy[Resize] = st.sampled_from(["crop", "squash", "letterbox"])
COLUMNS = st.one_of(
    st.builds(Column, st.text(), MEANS, DEVIATIONS),
    st.builds(lambda name, values: Column(name, categories=tuple(values)), st.text(), st.sets(st.text(), min_size=1)),
)


@st.composite
def image_preprocessings(draw: st.DrawFn) -> ImagePreprocessing:
    channels = draw(st.sampled_from([1, 3]))
    mean, std = (tuple(draw(st.tuples(*[values] * channels))) for values in (MEANS, DEVIATIONS))
    crop_pct = draw(st.floats(0, 1, exclude_min=True))
    interpolation: Interpolation = draw(st.sampled_from(["bilinear", "bicubic"]))
    return ImagePreprocessing(channels, draw(SIDES), draw(SIDES), draw(RESIZES), mean, std, crop_pct, interpolation)


TABLE_PREPROCESSINGS = st.builds(TablePreprocessing, st.text(), st.lists(COLUMNS, min_size=1, max_size=4).map(tuple))


@given(stored=st.one_of(image_preprocessings(), TABLE_PREPROCESSINGS))
def test_preprocessing_round_trips_through_json(stored: ImagePreprocessing | TablePreprocessing) -> None:
    assert (
        preprocessing_from_json(json.loads(json.dumps(preprocessing_to_json(stored), allow_nan=False)), *KINDS)
        == stored
    )


def test_shapes() -> None:
    assert ImagePreprocessing(3, 20, 10, "crop", (0.0,) * 3, (1.0,) * 3).shape == (3, 20, 10)
    columns = (Column("a"), Column("b", categories=("x", "y", "z")), Column("c"))
    assert TablePreprocessing("t", columns).shape == (5,)
    assert [column.width for column in columns] == [1, 3, 1]


IMAGE: dict[str, Any] = {
    "kind": "image", "channels": 1, "height": 8, "width": 9, "resize": "crop", "mean": [0.5], "std": [0.25]
}  # fmt: skip
NUMERIC: dict[str, Any] = {"name": "a", "mean": 0.5, "std": 2.0, "categories": []}
TABLE: dict[str, Any] = {"kind": "table", "target": "t", "columns": [NUMERIC]}
BAD_IMAGE_FIELDS: list[dict[str, Any]] = [
    {"channels": 2}, {"channels": True}, {"height": 0}, {"width": 1 << 17}, {"resize": "stretch"}, {"mean": []},
    {"mean": [0.5, 0.5]}, {"mean": [math.nan]}, {"mean": [-math.inf]}, {"mean": [10**400]}, {"std": [0.0]},
    {"std": [-1.0]}, {"std": [math.nan]}, {"crop_pct": 0}, {"crop_pct": 1.01}, {"crop_pct": math.nan},
    {"interpolation": "nearest"}, {"kind": "sound"}, {"kind": []}, {"kind": "table"}, {"invented": 1},
]  # fmt: skip
BAD_TABLE_FIELDS: list[dict[str, Any]] = [{"columns": []}, {"columns": 3}, {"target": 5}, {"more": 1}]
BAD: list[Any] = [
    *(IMAGE | change for change in BAD_IMAGE_FIELDS),
    *(TABLE | {"columns": [NUMERIC, column]} for column in (
        5, {}, NUMERIC | {"name": 5}, NUMERIC | {"mean": math.nan}, NUMERIC | {"std": 0}, NUMERIC | {"std": math.inf},
        NUMERIC | {"categories": ["x", "x"]}, NUMERIC | {"invented": 1},
    )),
    *(TABLE | change for change in BAD_TABLE_FIELDS),
    *({name: value for name, value in IMAGE.items() if name != missing} for missing in IMAGE),
    *({name: value for name, value in TABLE.items() if name != missing} for missing in TABLE),
    None, [], "image",
]  # fmt: skip


@pytest.mark.parametrize("stored", BAD, ids=repr)
def test_an_invalid_stored_value_is_refused(stored: Any) -> None:
    with pytest.raises((KeyError, TypeError, ValueError)):
        preprocessing_from_json(stored, *KINDS)
