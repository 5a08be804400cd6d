"""`filter --patch` against the numbers on the slides of lesson 5."""

import pytest

from dlnotes_cli.filter.options import FilterConfig
from dlnotes_cli.filter.patch import filter_patch
from dlnotes_cli.shell.errors import InputError

CAMERA = "120 140 120; 225 220 205; 255 250 230"
ANIMATION = "128 97 53 201 198; 35 22 25 200 195; 37 24 28 197 182; 33 28 92 195 179; 31 40 100 192 177"
CROSS = "0 1 0; 1 0 1; 0 1 0"
SEVEN = "0 1 1 1 1; 0 0 0 0 1; 0 0 0 1 0; 0 0 1 0 0; 0 1 0 0 0"
PADDED_RIGHT_AND_BOTTOM = "0 1 1 1 1 0; 0 0 0 0 1 0; 0 0 0 1 0 0; 0 0 1 0 0 0; 0 1 0 0 0 0; 0 0 0 0 0 0"
PADDED_ON_ALL_SIDES = (
    "0 0 0 0 0 0 0; 0 0 1 1 1 1 0; 0 0 0 0 0 1 0; 0 0 0 0 1 0 0; 0 0 0 1 0 0 0; 0 0 1 0 0 0 0; 0 0 0 0 0 0 0"
)
STEP = "1 1; -1 -1"
POOLED = "5 3 1; 8 2 5; 9 4 3"


def values(patch: str, *kernels: str, **options: object) -> list[list[float]]:
    settings = {"edges": "crop", **options}
    (result,) = filter_patch(FilterConfig(patch=patch, kernel=kernels, **settings)).results  # type: ignore[arg-type]
    return result.values


def test_the_high_pass_slide() -> None:
    assert values(CAMERA, "high-pass") == [[60]]


def test_the_animation_with_its_two_wrong_numbers_corrected() -> None:
    result = filter_patch(FilterConfig(patch=ANIMATION, kernel=(CROSS,), edges="crop"))
    assert result.results[0].values == [[181, 303, 618], [115, 338, 605], [189, 351, 660]]
    assert result.remark == "the course's animation shows 169 and 560 in the last row; the sums are 189 and 660"
    assert not filter_patch(FilterConfig(patch=CAMERA, kernel=(CROSS,), edges="crop")).remark


def test_the_slide_of_three_channels() -> None:
    diagonal = "-1 -1 1; -1 1 -1; 1 -1 -1"
    assert values(" | ".join([SEVEN] * 3), diagonal, relu=True) == [[0, 0, 0], [0, 0, 9], [0, 9, 0]]


def test_the_slides_of_stride_and_padding() -> None:
    assert values(SEVEN, STEP, stride=2, relu=True) == [[1, 2], [0, 0]]
    assert values(PADDED_RIGHT_AND_BOTTOM, STEP, stride=2, relu=True) == [[1, 2, 0], [0, 0, 0], [1, 0, 0]]
    assert values(PADDED_ON_ALL_SIDES, STEP, stride=2) == [[0, -2, -2], [0, 0, 0], [0, 0, 0]]


def test_the_pooling_slide() -> None:
    assert values(POOLED, pool="max", size=2, stride=1) == [[8, 5], [9, 5]]
    assert values(POOLED, pool="mean", size=2, stride=1) == [[4.5, 2.75], [5.75, 3.5]]
    assert values(POOLED, pool="max", size=3) == [[9]]
    assert values(f"{POOLED} | {CAMERA}", pool="max", size=3) == [[[9]], [[255]]]  # type: ignore[comparison-overlap]


def test_relu_comes_before_pooling() -> None:
    filtered = values(ANIMATION, STEP, relu=True)
    pooled = values(ANIMATION, STEP, relu=True, pool="max", size=2)
    assert pooled == [[max(filtered[y][x] for y in (a, a + 1) for x in (b, b + 1)) for b in (0, 2)] for a in (0, 2)]


@pytest.mark.parametrize(
    ("edges", "corner"), [("extend", 1 + 1 + 1 + 1), ("pad", 1), ("reflect", 4 + 3 + 2 + 1), ("wrap", 4 + 3 + 2 + 1)]
)
def test_borders_at_the_first_corner(edges: str, corner: int) -> None:
    assert values("1 2; 3 4", "1 1; 1 1", edges=edges)[0][0] == corner  # the anchor is the lower right


def test_convolution_rotates_the_kernel() -> None:
    assert values("1 2 3", "1 0 0") == [[1]]
    assert values("1 2 3", "1 0 0", convolve=True) == [[3]]


def test_large_numbers_stay_exact() -> None:
    assert values("123456789.25", "1") == [[123456789.25]]


def test_channels_are_summed_before_the_magnitude() -> None:
    assert values("0 0 0; 0 0 3; 0 0 0", "gradient") == [[6]]
    assert values("0 0 0; 0 0 3; 0 4 0 | 0 0 0; 0 0 0; 0 0 0", "gradient") == [[10]]


def test_result_modes_and_threshold() -> None:
    assert values("5 3 1", "-1 0", result="abs") == [[5, 3]]
    assert values("5 3 1", "-1 0", result="clip") == [[0, 0]]
    assert values("5 3 1", "1 0", threshold=4.0) == [[255, 0]]


def test_kernels_one_after_another_and_side_by_side() -> None:
    result = filter_patch(FilterConfig(patch="1 2 3 4", kernel=("1 1", "1 -1"), then=("2",), edges="crop"))
    assert [(response.kernel, response.values) for response in result.results] == [
        ("custom-custom-3", [[6, 10, 14]]),
        ("custom-2-custom-3", [[-2, -2, -2]]),
    ]


def test_wrong_sizes_and_matrices_are_refused() -> None:
    with pytest.raises(
        InputError, match="--kernel-size: a pooling window of 4x4 does not fit into 3x3; use a smaller one"
    ):
        values(POOLED, pool="max", size=4)
    with pytest.raises(InputError, match=r"--edges: crop leaves no pixel of 3x3 .* under a kernel of 5x5"):
        values(POOLED, "notes-5x5-x")
    with pytest.raises(InputError, match="--patch: row 2 has 1 number, row 1 has 2"):
        values("1 2; 3", "1")
