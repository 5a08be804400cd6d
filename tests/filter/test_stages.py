"""Stride, ReLU and pooling on images, against loops and against the numbers of `--patch`."""

import json
from pathlib import Path

import numpy as np
import pytest
from builders import Command
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as stn
from numpy.typing import NDArray
from PIL import Image

from dlnotes_cli.filter.options import FilterConfig
from dlnotes_cli.filter.response import KernelChain, respond

LEFT_RIGHT = "-1 -1 1 1; -1 -1 1 1; -1 -1 1 1; -1 -1 1 1"


@given(
    stn.arrays(np.uint8, st.tuples(st.integers(4, 9), st.integers(4, 9), st.sampled_from([1, 3]))),
    st.sampled_from(["max", "mean", "min"]),
    st.integers(1, 4),
    st.integers(1, 4),
)
@settings(max_examples=60)
def test_pooling_is_that_of_each_window(values: NDArray[np.uint8], kind: str, size: int, step: int) -> None:
    config = FilterConfig(pool=kind, size=size, stride=step)  # type: ignore[arg-type]
    found = respond(values, KernelChain(config, (), ()), 255).values
    rows, columns = ((length - size) // step + 1 for length in values.shape[:2])
    assert found.shape == (rows, columns, values.shape[2])
    for y in range(rows):
        for x in range(columns):
            window = values[y * step : y * step + size, x * step : x * step + size].astype(float)
            np.testing.assert_allclose(found[y, x], getattr(window, kind)(axis=(0, 1)), rtol=1e-12)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (213, 320), dtype=np.uint8)).save("car.png")
    return tmp_path


@pytest.mark.usefixtures("home")
def test_the_layers_of_the_notebooks(dlnotes: Command) -> None:
    """Four kernels of 4x4 on the 213x320 car: maps of 210x317, which 2x2 max pooling reduces to 105x158."""
    kernels = [word for i in range(1, 5) for word in ("--kernel", f"notes-4x4-{i}")]
    command = ("filter", "car.png", *kernels, "--edges", "crop", "--result", "raw", "--out", "{kernel}.npy")
    shapes = {}
    for stage in ((), ("--relu",), ("--relu", "--pool", "max")):
        document = json.loads(dlnotes(*command, *stage, "--overwrite", "--json").out)
        shapes[stage] = [result["output_shape"] for result in document["results"]]
    assert list(shapes.values()) == [[[210, 317]] * 4, [[210, 317]] * 4, [[105, 158]] * 4]
    assert (document["relu"], document["pool"], document["pool_size"], document["stride"]) == (True, "max", 2, 2)
    with Image.open("car.png") as image:
        pixels = np.asarray(image, np.int64)
    halves = np.lib.stride_tricks.sliding_window_view(pixels, (4, 4))
    maps = np.maximum(halves[..., 2:].sum(axis=(2, 3)) - halves[..., :2].sum(axis=(2, 3)), 0)
    pooled = maps[:, :316].reshape(105, 2, 158, 2).max(axis=(1, 3))
    assert np.array_equal(np.load("notes-4x4-1.npy"), pooled)
    assert pooled.max() > 255


@pytest.mark.parametrize(
    "options",
    [
        ("--stride", 3), ("--relu",), ("--pool", "max"), ("--pool", "mean", "--relu"), ("--pool", "min", "--stride", 1),
        ("--pool", "max", "--kernel-size", 3, "--stride", 2, "--result", "abs"), ("--relu", "--stride", 2),
    ],
)  # fmt: skip
def test_images_and_numbers_give_the_same(options: tuple[object, ...], home: Path, dlnotes: Command) -> None:
    values = np.random.default_rng(1).integers(0, 256, (11, 12), dtype=np.uint8)
    Image.fromarray(values).save("small.png")
    command = ("--kernel", "-1 2 1; 0 1 -2", "--edges", "extend", *options)
    assert dlnotes("filter", "small.png", *command, "--out", "small.npy").code == 0
    patch = "; ".join(" ".join(map(str, row)) for row in values.tolist())
    numbers = json.loads(dlnotes("filter", "--patch", patch, *command, "--json").out)["results"][0]["values"]
    np.testing.assert_allclose(np.load(home / "small.npy"), numbers, atol=1e-3)


@pytest.mark.usefixtures("home")
def test_the_pooling_slide_as_an_image(dlnotes: Command) -> None:
    slide = np.array([[20, 45, 80, 90], [140, 85, 40, 50], [235, 215, 150, 45], [230, 240, 250, 200]], np.uint8)
    Image.fromarray(slide).save("slide.png")
    outcome = dlnotes("filter", "slide.png", "--pool", "max")
    assert outcome.out == "slide-max-pool.png  max-pool  2x2  from 90 to 250\n"
    with Image.open("slide-max-pool.png") as image:
        assert np.asarray(image).tolist() == [[140, 90], [240, 250]]


@pytest.mark.usefixtures("home")
def test_relu_changes_what_is_noted_as_clipped(dlnotes: Command) -> None:
    assert "% below 0" in dlnotes("filter", "car.png", "--out", "a.png").err
    assert "% below 0" not in dlnotes("filter", "car.png", "--relu", "--out", "b.png").err
    with Image.open("a.png") as clipped, Image.open("b.png") as rectified:
        assert np.array_equal(np.asarray(clipped), np.asarray(rectified))
