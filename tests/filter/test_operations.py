"""`filter --op` against slow loops: rank operations, the bilateral filter and Canny's edges."""

import json
import math
from collections import deque
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from builders import Command
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as stn
from numpy.typing import NDArray
from PIL import Image

from dlnotes_cli.filter.operations import OPERATIONS, bilateral, canny, parse_operations
from dlnotes_cli.shell.errors import InputError

BORDERS = {"extend": "edge", "reflect": "reflect", "wrap": "wrap", "pad": "constant"}  # numpy.pad's names


def windows(values: NDArray[np.float64], side: int, border: str) -> NDArray[np.float64]:
    """The window around each pixel of (H, W): (H, W, side, side), smaller if the border is cropped."""
    padded = values if border == "crop" else np.pad(values, side // 2, BORDERS[border])  # type: ignore[call-overload]
    return np.lib.stride_tricks.sliding_window_view(padded, (side, side))


def apply(values: NDArray[Any], text: str, border: str = "extend") -> NDArray[Any]:
    return parse_operations((text,))[0].apply(values, border, 255)  # type: ignore[arg-type]


RANK_ORACLES: dict[str, list[Callable[[NDArray[np.float64]], NDArray[np.float64]]]] = {
    "median": [lambda w: np.median(w, axis=(2, 3))],
    "erode": [lambda w: w.min(axis=(2, 3))],
    "dilate": [lambda w: w.max(axis=(2, 3))],
    "open": [lambda w: w.min(axis=(2, 3)), lambda w: w.max(axis=(2, 3))],
    "close": [lambda w: w.max(axis=(2, 3)), lambda w: w.min(axis=(2, 3))],
}


@given(
    stn.arrays(np.uint8, st.tuples(st.integers(6, 11), st.integers(6, 11), st.sampled_from([1, 3]))),
    st.sampled_from(sorted(RANK_ORACLES)),
    st.sampled_from([3, 5]),
    st.sampled_from([*BORDERS, "crop"]),
)
@settings(max_examples=60)
def test_rank_operations_are_those_of_every_window(
    values: NDArray[np.uint8], name: str, side: int, border: str
) -> None:
    if border == "crop" and len(RANK_ORACLES[name]) * (side - 1) >= min(values.shape[:2]):
        return
    found = apply(values, f"{name}:{side}", border)
    assert np.array_equal(apply(values.astype(np.float64), f"{name}:{side}", border), found)
    for channel in range(values.shape[2]):
        expected = values[..., channel].astype(np.float64)
        for step in RANK_ORACLES[name]:
            expected = step(windows(expected, side, border))
        assert np.array_equal(found[..., channel], expected)


@pytest.mark.parametrize(("space", "tone", "channels", "border"), [(1.0, 30, 1, "extend"), (0.8, 90, 3, "crop")])
def test_the_bilateral_filter_is_the_loop_of_the_paper(space: float, tone: float, channels: int, border: str) -> None:
    values = np.random.default_rng(1).integers(0, 256, (9, 8, channels), dtype=np.uint8)
    radius = math.ceil(2 * space)
    found = bilateral(values, space, tone, border)  # type: ignore[arg-type]
    margin = radius if border == "crop" else 0
    height, width = values.shape[0] - 2 * margin, values.shape[1] - 2 * margin
    assert found.shape == (height, width, channels)
    for y, x in product(range(height), range(width)):
        center = values[y + margin, x + margin].astype(float)
        total, weights = np.zeros(channels), 0.0
        for dy, dx in product(range(-radius, radius + 1), repeat=2):
            row = min(max(y + margin + dy, 0), values.shape[0] - 1)
            column = min(max(x + margin + dx, 0), values.shape[1] - 1)
            neighbor = values[row, column].astype(float)
            distance, difference = dy * dy + dx * dx, float(np.abs(neighbor - center).sum())
            if distance > radius * radius:
                continue
            weight = math.exp(-distance / (2 * space**2)) * math.exp(-(difference**2) / (2 * tone**2))
            total += weight * neighbor
            weights += weight
        np.testing.assert_allclose(found[y, x], total / weights, atol=1e-3)


def test_the_bilateral_filter_smooths_noise_and_keeps_the_edge() -> None:
    noise = np.random.default_rng(2).normal(0, 5, (20, 20, 1))
    values = np.where(np.arange(20)[None, :, None] < 10, 60, 200) + noise
    found = bilateral(values, 2, 30, "extend")
    assert found[:, :8].std() < 0.4 * values[:, :8].std()
    assert (found[:, 10] - found[:, 9]).min() > 120


def slow_canny(gray: NDArray[np.float64], low: float, high: float, sigma: float) -> NDArray[np.bool_]:
    """Canny's algorithm, pixel by pixel: blur, gradient, thinning along the gradient, flood fill."""
    radius = math.ceil(3 * sigma)
    weights = [math.exp(-(i * i) / (2 * sigma**2)) for i in range(-radius, radius + 1)]
    weights = [weight / sum(weights) for weight in weights]
    height, width = gray.shape

    def pixel(image: NDArray[np.float64], y: int, x: int) -> float:
        return float(image[min(max(y, 0), height - 1), min(max(x, 0), width - 1)])

    places = list(product(range(height), range(width)))
    across, blurred, gx, gy, size = (np.zeros_like(gray) for _ in range(5))
    for y, x in places:
        across[y, x] = sum(weight * pixel(gray, y, x + i - radius) for i, weight in enumerate(weights))
    for y, x in places:
        blurred[y, x] = sum(weight * pixel(across, y + i - radius, x) for i, weight in enumerate(weights))
    for y, x in places:
        for d, k in ((-1, 1), (0, 2), (1, 1)):
            gx[y, x] += k * (pixel(blurred, y + d, x + 1) - pixel(blurred, y + d, x - 1))
            gy[y, x] += k * (pixel(blurred, y + 1, x + d) - pixel(blurred, y - 1, x + d))
        size[y, x] = math.hypot(gx[y, x], gy[y, x])

    return connected_ridges(gx, gy, size, low, high)


def connected_ridges(
    gx: NDArray[np.float64], gy: NDArray[np.float64], size: NDArray[np.float64], low: float, high: float
) -> NDArray[np.bool_]:
    """The second half of Canny's algorithm: thinning along the gradient, and the flood fill from strong pixels."""
    height, width = size.shape
    places = list(product(range(height), range(width)))

    def magnitude(y: int, x: int) -> float:
        return float(size[y, x]) if 0 <= y < height and 0 <= x < width else 0.0

    ridge = np.zeros(size.shape, bool)
    for y, x in places:  # the direction of the gradient is rounded to multiples of 45 degrees
        angle = round(math.degrees(math.atan2(gy[y, x], gx[y, x])) / 45) % 4
        dy, dx = ((0, 1), (1, 1), (1, 0), (1, -1))[angle]
        ridge[y, x] = size[y, x] > max(magnitude(y + dy, x + dx), magnitude(y - dy, x - dx))
    queue = deque((y, x) for y, x in places if ridge[y, x] and size[y, x] >= high)
    edges = np.zeros(size.shape, bool)
    while queue:
        y, x = queue.popleft()
        if 0 <= y < height and 0 <= x < width and ridge[y, x] and size[y, x] >= low and not edges[y, x]:
            edges[y, x] = True
            queue += [(y + dy, x + dx) for dy, dx in product((-1, 0, 1), repeat=2)]
    return edges


@pytest.mark.parametrize("seed", range(3))
def test_canny_is_the_slow_algorithm(seed: int) -> None:
    generator = np.random.default_rng(seed)
    rows, columns = np.indices((24, 26))
    gray = 90 + 60 * np.sin(rows / 4 + seed) * np.cos(columns / 5) + generator.normal(0, 8, rows.shape)
    gray[8:18, 9:20] += 70
    expected = slow_canny(gray, 40, 120, 1.0)
    found = canny(gray[..., None], 40, 120, 1.0, "extend")[..., 0]
    assert 20 < expected.sum() < 200
    assert np.array_equal(found, expected)


def test_canny_draws_one_line_along_a_step_and_needs_a_strong_pixel() -> None:
    step = np.where(np.arange(20) < 10, 50.0, 150.0)[None, :, None].repeat(12, axis=0)
    edges = canny(step, 50, 100, 1.4, "extend")
    assert edges.sum(axis=1).max() == edges.sum(axis=1).min() == 1
    peak = 2 * (step[0, :, 0].max() - 50) * 4 / (1.4 * math.sqrt(2 * math.pi))  # of the gradient of a blurred step
    assert not canny(step, 50, 1.01 * peak, 1.4, "extend").any()
    assert canny(step, 50, 0.85 * peak, 1.4, "extend").any()


def test_canny_of_color_takes_the_strongest_channel() -> None:
    gray = np.random.default_rng(3).integers(0, 100, (16, 16, 1)).astype(np.float64)
    gray[:, 8:] += 100
    color = np.concatenate([np.full_like(gray, 7), gray, np.zeros_like(gray)], axis=2)
    assert np.array_equal(canny(color, 40, 90, 1.0, "extend"), canny(gray, 40, 90, 1.0, "extend"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("medan", "unknown operation 'medan'; did you mean 'median'"),
        ("median:4", "median:4 is not an odd number of rows and columns; write median:3"),
        ("median:101", "median: 101 is out of range"),
        ("erode:x", "erode: 'x' is not a number; write erode:3"),
        ("open:nan", "open: nan is out of range"),
        ("median:3:5", "median has one number, got 2"),
        ("canny:100:50", "the lower threshold 100 of canny is above the upper one, 50"),
        ("canny:1:2:3:4", "canny has at most 3 numbers, got 4"),
        ("bilateral:0", "bilateral: 0 is out of range"),
        ("", "unknown operation ''"),
    ],
)
def test_wrong_operations_are_refused(text: str, message: str) -> None:
    with pytest.raises(InputError, match="--op: ") as caught:
        parse_operations((text,))
    assert message in str(caught.value)


def test_every_operation_has_defaults() -> None:
    assert [operation.name for operation in parse_operations(OPERATIONS)] == list(OPERATIONS)
    assert parse_operations(("Median:5",))[0].label == "median-5"


# the command


@pytest.fixture
def photo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> NDArray[np.uint8]:
    monkeypatch.chdir(tmp_path)
    values = np.random.default_rng(0).integers(0, 256, (20, 24, 3), dtype=np.uint8)
    Image.fromarray(values).save("photo.png")
    return values


def test_operations_come_one_after_another_in_front_of_the_kernels(photo: NDArray[np.uint8], dlnotes: Command) -> None:
    for arguments, name in (
        (("--op", "open:3"), "photo-open-3.npy"),
        (("--op", "erode:3", "--op", "dilate:3"), "photo-erode-3-dilate-3.npy"),
        (("--op", "median:3", "--kernel", "sobel-x"), "photo-median-3-sobel-x.npy"),
    ):
        outcome = dlnotes("filter", "photo.png", *arguments, "--result", "raw")
        assert (outcome.code, outcome.out.split()[0]) == (0, name)
    assert np.array_equal(np.load("photo-open-3.npy"), np.load("photo-erode-3-dilate-3.npy"))
    padded = np.pad(apply(photo, "median:3").astype(float), ((1, 1), (1, 1), (0, 0)), "edge")
    right, left = padded[:, 2:], padded[:, :-2]
    response = (right - left)[:-2] + 2 * (right - left)[1:-1] + (right - left)[2:]
    assert np.array_equal(np.load("photo-median-3-sobel-x.npy"), response)


def test_16_bits_and_transparency_go_through_operations(photo: NDArray[np.uint8], dlnotes: Command) -> None:
    deep = photo[..., 0].astype(np.uint16) * 257
    Image.fromarray(deep).save("deep.png")
    assert dlnotes("filter", "deep.png", "--op", "canny:200:400:1", "--out", "edges.png").code == 0
    Image.fromarray(photo[..., 0]).save("gray.png")
    assert dlnotes("filter", "gray.png", "--op", "canny:200:400:1", "--out", "gray-edges.png").code == 0
    with Image.open("edges.png") as edges, Image.open("gray-edges.png") as shallow:
        assert np.array_equal(np.asarray(edges), np.asarray(shallow).astype(np.uint16) * 257)
    image = Image.fromarray(photo)
    alpha = np.arange(480, dtype=np.uint16).reshape(20, 24).astype(np.uint8)
    image.putalpha(Image.fromarray(alpha))
    image.save("transparent.png")
    command = ("filter", "transparent.png", "--op", "erode:5", "--edges", "crop", "--out", "eroded.png")
    assert dlnotes(*command, "--stride", 3).code == 0
    with Image.open("eroded.png") as eroded:
        values = np.asarray(eroded)
    assert np.array_equal(values[..., 3], alpha[2:-2:3, 2:-2:3])
    assert np.array_equal(values[..., :3], apply(photo, "erode:5", "crop")[::3, ::3])


def test_operations_on_numbers(dlnotes: Command) -> None:
    assert dlnotes("filter", "--patch", "1 2 3; 4 99 6; 7 8 9", "--op", "median:3").out == "2 3 3\n4 6 6\n7 8 9\n"
    document = json.loads(dlnotes("filter", "--patch", "1 2; 3 4", "--op", "dilate", "--json").out)
    assert document["results"] == [{"kernel": "dilate", "shape": [1, 2, 2], "values": [[4, 4], [4, 4]]}]
