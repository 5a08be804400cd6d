"""Values of `--augment`: presets, operations, and errors."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlnotes_cli.data.images.augment_parser import Operation, is_flippable, parse_augment
from dlnotes_cli.shell.errors import InputError

SHAPE, COLOR = (1, 28, 28), (3, 32, 32)
OPERATIONS = (
    "flip, vflip, shift, crop, rotate, scale, resized-crop, perspective, color, blur, erase, trivial, rand, mixup, "
    "cutmix"
)
CHOICES = f"none, notes, light, standard, strong, {OPERATIONS}"


@pytest.mark.parametrize(
    ("text", "operations"),
    [
        ("none", ()),
        ("notes", (Operation("flip"), Operation("rotate", 10))),
        ("standard", (Operation("flip"), Operation("shift", 1))),
        ("strong", (Operation("flip"), Operation("rotate", 10), Operation("shift", 2))),
        ("flip, shift:2 ,rotate:7.5", (Operation("flip"), Operation("shift", 2), Operation("rotate", 7.5))),
        ("rotate:180", (Operation("rotate", 180),)),
        ("shift:27", (Operation("shift", 27),)),
        ("", ()),
        ("crop:27", (Operation("crop", 27),)),
        ("color:0.3,erase:1,mixup:0.2", (Operation("color", 0.3), Operation("erase", 1), Operation("mixup", 0.2))),
        ("scale:0.8-1.2,blur:0.5", (Operation("scale", 0.8, 1.2), Operation("blur", 0.5))),
        ("resized-crop:0.08-1", (Operation("resized-crop", 0.08, 1),)),
        ("perspective:0.6,rand:2:9", (Operation("perspective", 0.6), Operation("rand", 2, 9))),
    ],
)
def test_operations_are_parsed(text: str, operations: tuple[Operation, ...]) -> None:
    assert parse_augment(text, SHAPE, flippable=True) == operations


@pytest.mark.parametrize(("side", "reach"), [(1, 1), (8, 1), (28, 1), (32, 1), (56, 2), (224, 8)])
def test_presets_shift_gray_images_by_a_28th_of_the_side(side: int, reach: int) -> None:
    for preset in ("light", "standard"):
        assert parse_augment(preset, (1, side, side + 3), flippable=False) == (Operation("shift", reach),)
    assert parse_augment("strong", (1, side + 3, side), flippable=False)[-1] == Operation("shift", 2 * reach)


@pytest.mark.parametrize(("side", "reach"), [(8, 1), (32, 4), (64, 8), (224, 28)])
def test_presets_crop_color_images_by_an_eighth_of_the_side(side: int, reach: int) -> None:
    light = parse_augment("light", (3, 2 * side, 2 * side + 3), flippable=True)
    standard = (Operation("flip"), Operation("crop", reach))
    assert light == standard
    assert parse_augment("standard", (3, side, side + 3), flippable=True) == standard
    strong = (*standard, Operation("color", 0.2), Operation("erase", 0.25))
    assert parse_augment("strong", (3, side + 3, side), flippable=True) == strong
    assert parse_augment("notes", (3, side, side), flippable=True) == (Operation("flip"), Operation("rotate", 10))


amounts = st.one_of(
    st.tuples(st.sampled_from(["shift", "crop"]), st.integers(1, 27)),
    st.tuples(st.just("rotate"), st.integers(0, 180)),
    st.tuples(st.sampled_from(["color", "erase", "blur"]), st.sampled_from([0, 0.25, 0.5, 1])),
    st.tuples(st.sampled_from(["flip", "vflip", "trivial"])),
    st.tuples(st.sampled_from(["scale", "resized-crop"]), st.sampled_from([0.1, 0.5]), st.sampled_from([0.75, 1])),
    st.tuples(st.just("rand"), st.integers(1, 10), st.integers(0, 30)),
)


@given(st.lists(amounts), st.sampled_from([(), (("mixup", 0.2),), (("cutmix", 1),)]))
def test_operations_round_trip_through_text(
    values: list[tuple[Any, ...]], mixing: tuple[tuple[str, float], ...]
) -> None:
    operations = tuple(Operation(*value) for value in (*values, *mixing))
    assert parse_augment(",".join(map(str, operations)), SHAPE, flippable=False) == operations


@pytest.mark.parametrize(
    ("classes", "expected"), [(("0", "1"), False), (("0", "one"), True), (("cat", "dog"), True), (("10", "7"), False)]
)
def test_only_digits_are_not_flippable(classes: tuple[str, ...], expected: bool) -> None:
    assert is_flippable(classes) is expected
    for preset in ("none", "notes", "standard", "strong"):
        assert (Operation("flip") in parse_augment(preset, SHAPE, flippable=expected)) == (
            expected and preset != "none"
        )


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("colour:0.2", f"unknown operation 'colour'; did you mean 'color'? choose from {CHOICES}"),
        (
            "standard,rotate:5",
            f"preset 'standard' cannot be combined; drop it, or list operations only: {OPERATIONS}",
        ),
        ("flip:3", "'flip' has no amount; write flip"),
        ("shift:1.5", "'shift:1.5' needs a whole number from 1 to 27; write shift:2"),
        ("cutmix:inf", "'cutmix:inf' needs a number from 0.01 to 100; write cutmix:1"),
        ("rotate:", "'rotate:' needs a number from 0 to 180; write rotate:10"),
        ("rotate:nan", "'rotate:nan' needs a number from 0 to 180; write rotate:10"),
        (
            "scale:1.2",
            "'scale:1.2' needs numbers from 0.1 to 10 and from 0.1 to 10, the lower first; write scale:0.8-1.2",
        ),
        (
            "scale:1.2-0.8",
            "'scale:1.2-0.8' needs numbers from 0.1 to 10 and from 0.1 to 10, the lower first; write scale:0.8-1.2",
        ),
        (
            "resized-crop:0.5-1.5",
            (
                "'resized-crop:0.5-1.5' needs numbers from 0.01 to 1 and from 0.01 to 1, the lower first; "
                "write resized-crop:0.5-1"
            ),
        ),
        ("rand:2:31", "'rand:2:31' needs whole numbers from 1 to 10 and from 0 to 30; write rand:2:9"),
        ("rand:1.5:9", "'rand:1.5:9' needs whole numbers from 1 to 10 and from 0 to 30; write rand:2:9"),
    ],
)
def test_invalid_values_are_refused(text: str, line: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_augment(text, SHAPE, flippable=True)
    assert str(caught.value) == f"--augment: {line}"


def test_neither_tables_nor_single_pixels_are_augmented() -> None:
    assert parse_augment("none", (5,), flippable=True) == parse_augment("standard", (5,), flippable=True) == ()
    with pytest.raises(InputError, match="--augment: 'flip' is for images; use none with a table"):
        parse_augment("flip", (5,), flippable=True)
    with pytest.raises(InputError, match="'crop' cannot move images that are one pixel wide or high; drop crop"):
        parse_augment("crop:1", (3, 1, 9), flippable=True)
