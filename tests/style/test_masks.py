"""Regions: their weights at every layer, and the files of masks."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from dlnotes_cli.shell.errors import InputError
from dlnotes_cli.style.masks import mask_files, read_masks, region_weights

CPU = torch.device("cpu")
SHAPES = {"a": (1, 3, 12, 20), "b": (1, 5, 6, 10)}


def stripe(folder: Path, columns: slice, size: tuple[int, int] = (24, 40)) -> Path:
    """A mask with some white columns."""
    mask = np.zeros(size, np.uint8)
    mask[:, columns] = 255
    path = folder / f"{columns.start}-{columns.stop}-{size[1]}.png"
    Image.fromarray(mask).save(path)
    return path


def test_what_no_mask_covers_is_the_last_region(tmp_path: Path) -> None:
    left, right = stripe(tmp_path, slice(0, 10)), stripe(tmp_path, slice(30, 40))
    masks = read_masks([(left, left), (right, right)], (24, 40), (24, 40), 1000)
    assert masks is not None
    assert masks.names == ["region 1", "region 2", "rest"]
    regions = region_weights(masks.content, (24, 40), 0, SHAPES, CPU)
    for name, shape in SHAPES.items():
        assert regions[name].shape == (3, *shape[2:])
        torch.testing.assert_close(regions[name].sum(0), torch.ones(shape[2:]))
    torch.testing.assert_close(regions["b"][:, 0, :].mean(1), torch.tensor([0.25, 0.25, 0.5]))
    style = region_weights(masks.style, (24, 40), 0, SHAPES, CPU)["a"]
    torch.testing.assert_close(style[:, 0, :].mean(1), torch.tensor([0.25, 0.25, 0.5]))


def test_masks_that_cover_an_image_have_no_rest_and_the_rest_of_a_covered_style_is_all_of_it(tmp_path: Path) -> None:
    left, right = stripe(tmp_path, slice(0, 10)), stripe(tmp_path, slice(10, 40))
    masks = read_masks([(left, left), (right, left)], (24, 40), (24, 40), 1000)
    assert masks is not None
    assert masks.names == ["region 1", "region 2"]
    assert region_weights(masks.content, (12, 20), 4, SHAPES, CPU)["a"].shape == (2, 12, 20)
    covered = read_masks([(left, stripe(tmp_path, slice(0, 16), (16, 16)))], (24, 40), (16, 16), 1000)
    assert covered is not None
    assert region_weights(covered.style, (16, 16), 0, SHAPES, CPU)["a"].unique().tolist() == [1.0]


def test_the_two_files_of_a_mask_may_contain_colons(tmp_path: Path) -> None:
    assert mask_files("a.png:b.png") == (Path("a.png"), Path("b.png"))
    (tmp_path / "a:b.png").touch()
    (tmp_path / "c.png").touch()
    assert mask_files(f"{tmp_path}/a:b.png:{tmp_path}/c.png") == (tmp_path / "a:b.png", tmp_path / "c.png")
    with pytest.raises(InputError, match=r"'a\.png' is not CONTENT\.png:STYLE\.png"):
        mask_files("a.png")


def test_masks_of_16_bits_and_with_transparency(tmp_path: Path) -> None:
    Image.fromarray(np.full((20, 30), 65535, np.uint16)).save(tmp_path / "deep.png")
    layers = np.full((20, 30, 4), 255, np.uint8)
    layers[:, :10, 3] = 0
    Image.fromarray(layers).save(tmp_path / "clear.png")
    masks = read_masks([(tmp_path / "deep.png", tmp_path / "clear.png")], (20, 30), (20, 30), 1000)
    assert masks is not None
    assert masks.content[0].min() == 255
    np.testing.assert_array_equal(masks.style[0], np.where(np.arange(30) < 10, 0, 255)[None].repeat(20, 0))
