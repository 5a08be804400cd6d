"""`filter --patch` against the numbers on the slides of lesson 5, and images against `--patch`."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from builders import Command
from PIL import Image

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
TWO = "1 2; 3 4"


@pytest.mark.parametrize(
    ("patch", "kernel", "options", "expected"),
    [
        (CAMERA, "high-pass", {}, [[60]]),
        (" | ".join([SEVEN] * 3), "-1 -1 1; -1 1 -1; 1 -1 -1", {"relu": True}, [[0, 0, 0], [0, 0, 9], [0, 9, 0]]),
        (SEVEN, STEP, {"stride": 2, "relu": True}, [[1, 2], [0, 0]]),
        (PADDED_RIGHT_AND_BOTTOM, STEP, {"stride": 2, "relu": True}, [[1, 2, 0], [0, 0, 0], [1, 0, 0]]),
        (PADDED_ON_ALL_SIDES, STEP, {"stride": 2}, [[0, -2, -2], [0, 0, 0], [0, 0, 0]]),
        (POOLED, "", {"pool": "max", "size": 2, "stride": 1}, [[8, 5], [9, 5]]),
        (POOLED, "", {"pool": "mean", "size": 2, "stride": 1}, [[4.5, 2.75], [5.75, 3.5]]),
        (f"{POOLED} | {CAMERA}", "", {"pool": "max", "size": 3}, [[[9]], [[255]]]),
        ("1 -9 1 -9", "1", {"relu": True, "pool": "mean", "size": 1, "stride": 1}, [[1, 0, 1, 0]]),
        ("1 -9; 1 -9", "1", {"relu": True, "pool": "mean"}, [[0.5]]),  # ReLU comes before the pooling
        (TWO, "1 1; 1 1", {"edges": "extend"}, [[4, 6], [8, 10]]),  # the anchor is at the lower right
        (TWO, "1 1; 1 1", {"edges": "pad"}, [[1, 3], [4, 10]]),
        (TWO, "1 1; 1 1", {"edges": "reflect"}, [[10, 10], [10, 10]]),
        ("1 2 3", "1 0 0", {}, [[1]]),
        ("1 2 3", "1 0 0", {"convolve": True}, [[3]]),
        ("123456789.25", "1", {}, [[123456789.25]]),
        ("0 0 0; 0 0 3; 0 0 0", "gradient", {}, [[6]]),
        ("0 0 0; 0 0 3; 0 4 0 | 0 0 0; 0 0 0; 0 0 0", "gradient", {}, [[10]]),  # of the sum of the channels
        ("5 3 1", "-1 0", {"result": "abs"}, [[5, 3]]),
        ("5 3 1", "-1 0", {"result": "clip"}, [[0, 0]]),
        ("5 3 1", "1 0", {"threshold": 4.0}, [[255, 0]]),
    ],
)
def test_the_numbers_of_a_patch(patch: str, kernel: str, options: dict[str, Any], expected: list[Any]) -> None:
    settings = {"edges": "crop", "kernel": (kernel,) * bool(kernel), **options}
    (result,) = filter_patch(FilterConfig(patch=patch, **settings)).results
    assert result.values == expected


def test_the_animation_with_its_two_wrong_numbers_corrected() -> None:
    result = filter_patch(FilterConfig(patch=ANIMATION, kernel=(CROSS,), edges="crop"))
    assert result.results[0].values == [[181, 303, 618], [115, 338, 605], [189, 351, 660]]
    assert result.remark == "the course's animation shows 169 and 560 in the last row; the sums are 189 and 660"
    assert not filter_patch(FilterConfig(patch=CAMERA, kernel=(CROSS,), edges="crop")).remark


def test_kernels_one_after_another_and_side_by_side(dlnotes: Command) -> None:
    command = ("filter", "--patch", "1 2 3 4", "--kernel", "1 1", "--kernel", "1 -1", "--then", "2", "--edges", "crop")
    assert dlnotes(*command).out == "custom-custom-3\n 6 10 14\n\ncustom-2-custom-3\n-2 -2 -2\n"
    assert json.loads(dlnotes(*command, "--json").out)["results"] == [
        {"kernel": "custom-custom-3", "shape": [1, 1, 3], "values": [[6, 10, 14]]},
        {"kernel": "custom-2-custom-3", "shape": [1, 1, 3], "values": [[-2, -2, -2]]},
    ]
    assert dlnotes("filter", "--patch", "1 2; 3 4 | 5 6; 7 8", "--pool", "max").out == "4\n|\n8\n"


@pytest.mark.parametrize(
    ("patch", "options", "message"),
    [
        (POOLED, {"pool": "max", "size": 4}, "--kernel-size: a pooling window of 4x4 does not fit into 3x3; use a"),
        (POOLED, {"kernel": "notes-5x5-x"}, r"--edges: crop leaves no pixel of 3x3 .* under a kernel of 5x5"),
        ("1 2; 3", {}, "--patch: row 2 has 1 number, row 1 has 2"),
        ("1 2 | 3", {}, "--patch: channel 2 is 1x1, channel 1 is 1x2; make the channels equally large"),
        ("1 | x", {}, "--patch, channel 2: row 1, column 1: 'x' is not a number"),
    ],
)
def test_wrong_sizes_and_matrices_are_refused(patch: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        filter_patch(FilterConfig(patch=patch, edges="crop", **options))


@pytest.mark.parametrize(
    "options",
    [
        "--stride 3", "--relu", "--pool max", "--pool mean --relu", "--pool min --stride 1", "--relu --stride 2",
        "--pool max --kernel-size 3 --stride 2 --result abs",
    ],
)  # fmt: skip
def test_images_and_numbers_give_the_same(
    options: str, tmp_path: Path, dlnotes: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    values = np.random.default_rng(1).integers(0, 256, (11, 12), dtype=np.uint8)
    Image.fromarray(values).save("small.png")
    command = ("--kernel", "-1 2 1; 0 1 -2", "--edges", "extend", *options.split())
    assert dlnotes("filter", "small.png", *command, "--out", "small.npy").code == 0
    patch = "; ".join(" ".join(map(str, row)) for row in values.tolist())
    numbers = json.loads(dlnotes("filter", "--patch", patch, *command, "--json").out)["results"][0]["values"]
    np.testing.assert_allclose(np.load("small.npy"), numbers, atol=1e-3)
