"""Regions: their weights at every layer, and the style losses of each, compared with plain formulas."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from dlnotes_cli.shell.errors import InputError
from dlnotes_cli.style.losses import GramSums, LossNormalization, LossWeights, StyleTransferLoss
from dlnotes_cli.style.masks import MaskFiles, RegionMasks, mask_files, read_masks

SIZES = {"a": (12, 20), "b": (6, 10)}


def half(height: int, width: int, columns: int) -> np.ndarray[tuple[int, int], np.dtype[np.uint8]]:
    """A mask whose first columns are white."""
    mask = np.zeros((height, width), np.uint8)
    mask[:, :columns] = 255
    return mask


def test_what_no_mask_covers_is_the_last_region() -> None:
    masks = RegionMasks([half(24, 40, 10), half(24, 40, 40)[:, ::-1] - half(24, 40, 30)], [half(24, 40, 8)] * 2)
    regions = masks.content_regions((24, 40), 0, SIZES)
    assert masks.names() == ["region 1", "region 2", "rest"]
    for name, (height, width) in SIZES.items():
        assert regions[name].shape == (3, height, width)
        torch.testing.assert_close(regions[name].sum(0), torch.ones(height, width))
    torch.testing.assert_close(regions["b"][:, 0, :].mean(1), torch.tensor([0.25, 0.25, 0.5]))


def test_masks_that_cover_an_image_have_no_rest() -> None:
    masks = RegionMasks([half(24, 40, 10), 255 - half(24, 40, 10)], [half(24, 40, 8)] * 2)
    assert masks.names() == ["region 1", "region 2"]
    assert masks.content_regions((12, 20), 4, SIZES)["a"].shape == (2, 12, 20)
    assert masks.style_regions((12, 20), SIZES)["a"].shape == (2, 12, 20)
    covered = RegionMasks([half(24, 40, 10)], [half(16, 16, 16)])  # the rest is the whole style
    assert covered.style_regions((16, 16), SIZES)["a"].unique().tolist() == [1.0]


@pytest.mark.parametrize("normalization", ["relative", "notes"])
def test_the_style_loss_of_regions_is_that_of_each_weighted_by_its_area(normalization: LossNormalization) -> None:
    generator = np.random.default_rng(0)
    image, style = (torch.tensor(generator.normal(size=(1, 3, 4, 5))) for _ in range(2))
    weights, style_weights = (torch.tensor(generator.uniform(size=(2, 4, 5))) for _ in range(2))
    targets = {"a": GramSums.of({"a": style}, ["a"], {"a": style_weights}).normalized("a", normalization)}
    settings = LossWeights(1.0, 1.0, 0.0, {"a": 1.0})
    loss = StyleTransferLoss("a", image, targets, settings, normalization, {"a": weights})
    expected = 0.0
    for region in range(2):
        grams = [
            np.einsum("chw,dhw,hw->cd", values[0].numpy(), values[0].numpy(), weight[region].numpy())
            / weight[region].sum().item()
            for values, weight in ((image, weights), (style, style_weights))
        ]
        squared = (grams[0] - grams[1]) ** 2
        share = float(weights[region].sum() / weights.sum())
        if normalization == "notes":
            expected += share * (squared * 20**2).mean() / (3 * 20)
        else:
            expected += share * squared.sum() / (grams[1] ** 2).sum()
    assert float(loss({"a": image}, image).style) == pytest.approx(expected, rel=1e-12)


def test_the_two_files_of_a_mask_may_contain_colons(tmp_path: Path) -> None:
    assert mask_files("a.png:b.png") == MaskFiles(Path("a.png"), Path("b.png"))
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
    pair = MaskFiles(tmp_path / "deep.png", tmp_path / "clear.png")
    masks = read_masks([pair], (20, 30), (20, 30), 1000)
    assert masks is not None
    assert masks.content[0].min() == 255
    np.testing.assert_array_equal(masks.style[0], half(20, 30, 30) - half(20, 30, 10))
