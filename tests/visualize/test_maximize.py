"""`visualize maximize`: activations grow, colors vary as in photographs, and units are found by name."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from dlnotes_cli.inference.inspection import open_network
from dlnotes_cli.visualize.maximize import FourierImages, maximize, natural_colors, transformed
from dlnotes_cli.visualize.options import MaximizeConfig


def test_classes_of_the_embedded_network_grow_tenfold(tmp_path: Path) -> None:
    units = ("ship", "0")  # whose logits are positive at the start; growth from a negative value is not a ratio
    config = MaximizeConfig(unit=units, steps=30, sheet=tmp_path / "sheet.png", out=tmp_path / "units")
    result = maximize(config)
    assert [unit.name for unit in result.units] == ["ship", "airplane"]
    for unit in result.units:
        assert unit.growth is not None
        assert unit.growth >= 10
        network = open_network(config)
        with Image.open(str(unit.file)) as image:
            pixels = torch.tensor(np.asarray(image)).permute(2, 0, 1)[None]
        logits = network(network.prepare(pixels))
        assert float(logits[0, unit.unit]) == pytest.approx(unit.end, rel=1e-3)
        assert int(logits.argmax()) == unit.unit


def test_an_inactive_unit_of_a_relu_becomes_active(tmp_path: Path) -> None:
    result = maximize(
        MaximizeConfig(layer="relu2", unit=("0", "1", "2"), steps=40, size=32, sheet=tmp_path / "sheet.png")
    )
    assert all(unit.end > 0.1 for unit in result.units if unit.start < 0.05)
    assert result.size == (32, 32)
    assert any(unit.start < 0.05 for unit in result.units)


def test_units_of_a_relu_grow_tenfold_without_a_grid_of_pixels(tmp_path: Path) -> None:
    result = maximize(MaximizeConfig(layer="relu3", top=4, steps=30, sheet=tmp_path / "sheet.png"))
    for unit in result.units:
        assert unit.end >= 10 * max(unit.start, 0.02)
        spectrum = np.abs(np.fft.fft2(unit.pixels - unit.pixels.mean((1, 2), keepdims=True))) ** 2
        height, width = spectrum.shape[1:]
        finest = np.add.outer(np.abs(np.fft.fftfreq(height)) > 0.4, np.abs(np.fft.fftfreq(width)) > 0.4)
        assert spectrum[:, finest].sum() < 0.02 * spectrum.sum()


def test_the_same_seed_gives_the_same_images(tmp_path: Path) -> None:
    def image(seed: int) -> bytes:
        config = MaximizeConfig(unit=("1",), steps=2, seed=seed, sheet=tmp_path / "sheet.png", overwrite=True)
        return maximize(config).units[0].pixels.tobytes()

    assert image(0) == image(0) != image(1)


def test_a_spectrum_of_low_frequencies_gives_smooth_images_with_correlated_colors() -> None:
    images = FourierImages(1, (3, 32, 32), torch.Generator().manual_seed(0), torch.device("cpu"))
    with torch.no_grad():
        images.spectrum.mul_(30)
        values = torch.logit(images()[0] / 255).double()
    steps = (values[:, :, 1:] - values[:, :, :-1]).std()
    assert steps < values.std()  # of independent pixels it would be 1.4 times as large
    covariance = torch.cov(values.flatten(1))
    assert covariance[0, 1] > 0.5 * covariance[0, 0]
    assert float(natural_colors().norm(dim=0).max()) == pytest.approx(1, abs=1e-6)


def test_transformed_images_keep_their_size_and_differ() -> None:
    images = torch.rand(2, 3, 16, 16)
    changed = transformed(images, torch.Generator().manual_seed(0))
    assert changed.shape == images.shape
    assert not torch.allclose(changed, images)
    assert torch.allclose(transformed(torch.ones(1, 1, 8, 8), torch.Generator()), torch.ones(1, 1, 8, 8), atol=1e-6)


def test_an_mlp_is_maximized_at_its_own_size(digits_run: Path, tmp_path: Path) -> None:
    result = maximize(MaximizeConfig(model=str(digits_run), steps=40, top=3, sheet=tmp_path / "mlp.png"))
    assert result.size == (8, 8)
    assert [unit.name for unit in result.units] == ["0", "1", "2"]
    assert all(unit.end > unit.start for unit in result.units)
