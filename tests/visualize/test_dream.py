"""`visualize dream`: size, transparency and orientation are kept, tiles bound the memory, a guide has an effect."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from builders import Command
from PIL import Image
from scipy import ndimage

from dlnotes_cli.inference.inspection import open_network
from dlnotes_cli.visualize import dream as module
from dlnotes_cli.visualize.dream import dream
from dlnotes_cli.visualize.options import DreamConfig


def photo(path: Path, size: tuple[int, int] = (50, 40), mode: str = "RGB", orientation: int = 1) -> Path:
    channels = {"RGB": 3, "RGBA": 4, "L": 1}[mode]
    pixels = np.random.default_rng(0).integers(60, 200, (size[1], size[0], channels), dtype=np.uint8)
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(pixels[..., 0] if channels == 1 else pixels).save(path, exif=exif)
    return path


def quick(path: Path, out: Path, **options: object) -> DreamConfig:
    values = {"octaves": 2, "steps": 2, "overwrite": True} | options
    return DreamConfig(image=str(path), out=out, **values)  # type: ignore[arg-type]


def test_size_and_transparency_are_kept_and_activations_grow(tmp_path: Path) -> None:
    path = photo(tmp_path / "photo.png", mode="RGBA")
    result = dream(quick(path, tmp_path / "dream.png"))
    with Image.open(tmp_path / "dream.png") as image, Image.open(path) as original:
        assert image.size == original.size
        assert np.array_equal(np.asarray(image)[..., 3], np.asarray(original)[..., 3])
        assert not np.array_equal(np.asarray(image)[..., :3], np.asarray(original)[..., :3])
    assert result.end > result.start
    assert result.octaves == ((29, 36), (40, 50))
    many = dream(quick(path, tmp_path / "dream.png", octaves=20, steps=1, octave_scale=2.0))
    assert many.octaves == ((20, 25), (40, 50))  # smaller ones are left out


def test_a_rotated_photo_is_written_upright(tmp_path: Path) -> None:
    dream(quick(photo(tmp_path / "photo.jpg", orientation=6), tmp_path / "dream.png", octaves=1, strength=1e-6))
    with Image.open(tmp_path / "dream.png") as image, Image.open(tmp_path / "photo.jpg") as original:
        assert image.size == (40, 50)
        assert image.getexif().get(0x0112, 1) == 1
        upright = np.asarray(original.transpose(Image.Transpose.ROTATE_270), np.int16)
        assert np.abs(np.asarray(image, np.int16) - upright).max() <= 1


def test_the_same_seed_gives_the_same_image(tmp_path: Path) -> None:
    path = photo(tmp_path / "photo.png", (64, 64))

    def dreamed(seed: int) -> bytes:
        dream(quick(path, tmp_path / "dream.png", octaves=1, seed=seed))
        return (tmp_path / "dream.png").read_bytes()

    assert dreamed(0) == dreamed(0) != dreamed(1)


def ascent(path: Path, layer: str = "relu2", strength: float = 0.5) -> module._Ascent:
    config = quick(path, path.with_name("dream.png"), strength=strength)
    network = open_network(config)
    return module._Ascent(network, network.layer(layer), None, config)


def test_a_step_raises_the_activations_and_keeps_to_the_range_of_pixels(tmp_path: Path) -> None:
    climber = ascent(photo(tmp_path / "photo.png"))
    image = 255 * torch.rand(1, 3, 32, 48, generator=torch.Generator().manual_seed(7)).round()  # black and white
    image[..., 16:] = 100 + 50 * torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(8))
    stepped = climber.step(image)
    assert climber.strength(stepped) > climber.strength(image)
    assert 0 <= float(stepped.min()) <= float(stepped.max()) <= 255
    change = (stepped - image)[..., 16:]
    assert 0.1 < float(change.abs().mean()) < 0.8
    assert float(change.abs().max()) <= 0.5 * module._LARGEST + 1e-4


def test_fine_and_coarse_structures_of_a_gradient_have_the_same_weight() -> None:
    gradient = torch.rand(1, 3, 50, 40, generator=torch.Generator().manual_seed(0)) - 0.5
    expected = np.zeros(gradient.shape)
    for sigma in module._SMOOTHING:
        smooth = ndimage.gaussian_filter(gradient.numpy(), (0, 0, sigma, sigma), mode="mirror", truncate=3)
        expected += smooth / smooth.std()
    expected = np.clip(expected / expected.std(), -module._LARGEST, module._LARGEST)
    assert np.abs(module._evened(gradient).numpy() - expected).mean() < 0.02


@pytest.mark.parametrize("size", [(16, 16), (16, 700), (1100, 33)])
def test_tiles_cover_every_pixel_once_and_are_not_too_large(size: tuple[int, int]) -> None:
    image = torch.arange(float(size[0] * size[1])).view(1, 1, *size)
    tiles = module._tiles(image)
    assert torch.equal(torch.cat([tile.flatten() for tile in tiles]).sort().values, image.flatten())
    assert max(max(tile.shape) for tile in tiles) <= module._TILE


def test_a_guide_draws_the_image_to_its_most_similar_features(tmp_path: Path) -> None:
    path = photo(tmp_path / "photo.png")
    plain = dream(quick(path, tmp_path / "plain.png", sheet=tmp_path / "sheet.png"))
    guided = dream(quick(path, tmp_path / "guided.png", guide=str(photo(tmp_path / "guide.png", (32, 20)))))
    assert (plain.guide, guided.guide) == (None, str(tmp_path / "guide.png"))
    assert (tmp_path / "plain.png").read_bytes() != (tmp_path / "guided.png").read_bytes()
    assert (tmp_path / "sheet.png").is_file()
    climber, generator = ascent(path), torch.Generator().manual_seed(0)
    climber._guide, features = (torch.rand(shape, generator=generator) for shape in ((5, 7), (1, 5, 2, 3)))
    similar = torch.einsum("chw,cg->ghw", features[0], climber._guide)
    torch.testing.assert_close(climber._score(features), similar.amax(0).sum())


def test_a_gray_network_dreams_in_gray(tmp_path: Path, dlnotes: Command) -> None:
    training = ("--arch", "fast", "--width", 0.25, "--epochs", 1, "--limit", 64, "-q")
    assert dlnotes("train-cnn", *training, "--out", tmp_path / "run").code == 0
    path = photo(tmp_path / "photo.png", mode="RGB")
    words = ("--model", tmp_path / "run", "--octaves", 1, "--steps", 1, "--out", tmp_path / "gray.png", "--json")
    outcome = dlnotes("visualize", "dream", path, *words)
    assert outcome.code == 0, outcome.err
    assert json.loads(outcome.out)["size"] == [40, 50]
    with Image.open(tmp_path / "gray.png") as image:
        assert image.mode == "L"
