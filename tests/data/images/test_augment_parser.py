"""Values of `--augment`: presets, operations, and errors that `tests/test_faults.py` has not."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlnotes_cli.data.images.augment_parser import Operation, is_flippable, parse_augment
from dlnotes_cli.shell.errors import InputError

SHAPE = (1, 28, 28)


@pytest.mark.parametrize(
    ("preset", "shape", "expected"),
    [
        ("none", SHAPE, ""), ("notes", SHAPE, "flip,rotate:10"), ("notes", (3, 9, 9), "flip,rotate:10"),
        *(("light", (1, side, side + 3), f"flip,shift:{reach}") for side, reach in ((1, 1), (28, 1), (56, 2))),
        *(("standard", (1, side, side + 3), f"flip,shift:{reach}") for side, reach in ((8, 1), (32, 1), (224, 8))),
        ("strong", SHAPE, "flip,rotate:10,shift:2"), ("strong", (1, 59, 56), "flip,rotate:10,shift:4"),
        *(("light", (3, 2 * side, 2 * side + 3), f"flip,crop:{reach}") for side, reach in ((8, 1), (32, 4))),
        *(("standard", (3, side, side + 3), f"flip,crop:{reach}") for side, reach in ((8, 1), (64, 8), (224, 28))),
        ("strong", (3, 35, 32), "flip,crop:4,color:0.2,erase:0.25"),
    ],
)  # fmt: skip
def test_presets_depend_on_the_shape_and_flip_only_what_keeps_its_class(
    preset: str, shape: tuple[int, ...], expected: str
) -> None:
    assert ",".join(map(str, parse_augment(preset, shape, flippable=True))) == expected
    unflipped = parse_augment(preset, shape, flippable=False)
    assert ",".join(map(str, unflipped)) == expected.replace("flip", "").strip(",")
    assert (is_flippable(["3", "8"]), is_flippable(["3", "cat"])) == (False, True)


amounts = st.one_of(
    st.tuples(st.sampled_from(["shift", "crop"]), st.integers(1, 27)),
    st.tuples(st.sampled_from(["rotate"]), st.integers(0, 180)),
    st.tuples(st.sampled_from(["color", "erase", "blur"]), st.sampled_from([0, 0.25, 0.5, 1])),
    st.tuples(st.just("perspective"), st.sampled_from([0, 0.6])),
    st.tuples(st.sampled_from(["flip", "vflip", "trivial"])),
    st.tuples(st.sampled_from(["scale", "resized-crop"]), st.sampled_from([0.1, 0.5]), st.sampled_from([0.75, 1])),
    st.tuples(st.just("rand"), st.integers(1, 10), st.integers(0, 30)),
)


@given(st.lists(amounts), st.sampled_from([(), (("mixup", 0.2),), (("cutmix", 1),)]))
def test_operations_round_trip_through_text(
    values: list[tuple[Any, ...]], mixing: tuple[tuple[str, float], ...]
) -> None:
    operations = tuple(Operation(*value) for value in (*values, *mixing))
    for separator in (",", " ,, "):
        assert parse_augment(separator.join(map(str, operations)), SHAPE, flippable=False) == operations


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("standard,rotate:5", "preset 'standard' cannot be combined; drop it, or list operations only: flip, vflip, "),
        ("flip:3", "'flip' has no amount; write flip"),
        ("shift:1.5", "'shift:1.5' needs a whole number from 1 to 27; write shift:2"),
        ("cutmix:inf", "'cutmix:inf' needs a number from 0.01 to 100; write cutmix:1"),
        ("rotate:nan", "'rotate:nan' needs a number from 0 to 180; write rotate:10"),
        ("scale:1.2", "'scale:1.2' needs numbers from 0.1 to 10 and from 0.1 to 10, the lower first; write"),
        ("scale:1.2-0.8", "'scale:1.2-0.8' needs numbers from 0.1 to 10"),
        ("resized-crop:0.5-1.5", "'resized-crop:0.5-1.5' needs numbers from 0.01 to 1"),
        ("rand:2:31", "'rand:2:31' needs whole numbers from 1 to 10 and from 0 to 30; write rand:2:9"),
        ("rand:1.5:9", "'rand:1.5:9' needs whole numbers"),
    ],
)  # fmt: skip
def test_invalid_values_are_refused(text: str, line: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_augment(text, SHAPE, flippable=True)
    assert str(caught.value).startswith(f"--augment: {line}")


def test_neither_tables_nor_single_pixels_are_augmented() -> None:
    assert parse_augment("none", (5,), flippable=True) == parse_augment("standard", (5,), flippable=True) == ()
    with pytest.raises(InputError, match="'crop' cannot move images that are one pixel wide or high; drop crop"):
        parse_augment("crop:1", (3, 1, 9), flippable=True)
