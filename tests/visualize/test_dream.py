"""`visualize dream`: size, transparency and orientation are kept, tiles bound the memory, a guide has an effect."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from builders import Command
from PIL import Image

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


def test_a_rotated_photo_is_written_upright(tmp_path: Path) -> None:
    dream(quick(photo(tmp_path / "photo.jpg", orientation=6), tmp_path / "dream.png", octaves=1, strength=1e-6))
    with Image.open(tmp_path / "dream.png") as image, Image.open(tmp_path / "photo.jpg") as original:
        assert image.size == (40, 50)
        assert image.getexif().get(0x0112, 1) == 1
        upright = np.asarray(original.transpose(Image.Transpose.ROTATE_270), np.int16)
        assert np.abs(np.asarray(image, np.int16) - upright).max() <= 1


def test_the_same_seed_gives_the_same_image_and_tiles_hide_their_seams(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = photo(tmp_path / "photo.png", (64, 64))

    def dreamed(out: str, seed: int = 0) -> bytes:
        dream(quick(path, tmp_path / out, octaves=1, seed=seed))
        return (tmp_path / out).read_bytes()

    assert dreamed("one.png") == dreamed("two.png") != dreamed("three.png", seed=1)
    sizes: list[tuple[int, ...]] = []
    activations = module._Ascent._activations
    monkeypatch.setattr(module, "_TILE", 32)

    def recorded(ascent: module._Ascent, tile: torch.Tensor) -> torch.Tensor:
        sizes.append(tuple(tile.shape[2:]))
        return activations(ascent, tile)

    monkeypatch.setattr(module._Ascent, "_activations", recorded)
    dreamed("tiles.png")
    assert max(max(size) for size in sizes) <= 32


def test_a_step_ascends_along_the_gradient_of_the_whole_image(tmp_path: Path) -> None:
    """Against the gradient of one pass over an image that fits into one tile."""
    from dlnotes_cli.training.inspection.opening import open_network

    config = quick(photo(tmp_path / "photo.png"), tmp_path / "dream.png", strength=0.5)
    network = open_network(config)
    layer = network.layer("relu2")
    generator = torch.Generator().manual_seed(7)
    image = 100 + 50 * torch.rand(1, 3, 32, 48, generator=generator)
    stepped = module._Ascent(network, layer, None, config).step(image.clone())
    generator.manual_seed(config.seed)
    shift = [int(torch.randint(0, side, (), generator=generator)) for side in (32, 48)]
    shifted = image.roll(shift, (2, 3)).requires_grad_()
    loss = network.activations(network.normalized(shifted), [layer])["relu2"].square().sum()
    (gradient,) = torch.autograd.grad(loss, shifted)
    expected = shifted.detach() + 0.5 * gradient / gradient.abs().mean()
    assert torch.allclose(stepped.roll(shift, (2, 3)), expected, atol=1e-3)


def test_a_guide_draws_the_image_to_its_features(tmp_path: Path) -> None:
    path = photo(tmp_path / "photo.png")
    guide = np.zeros((32, 32, 3), np.uint8)
    guide[:, ::4] = (255, 0, 0)
    Image.fromarray(guide).save(tmp_path / "guide.png")
    plain = dream(quick(path, tmp_path / "plain.png", sheet=tmp_path / "sheet.png"))
    guided = dream(quick(path, tmp_path / "guided.png", guide=str(tmp_path / "guide.png")))
    assert guided.guide is not None
    assert plain.guide is None
    assert (tmp_path / "plain.png").read_bytes() != (tmp_path / "guided.png").read_bytes()
    assert (tmp_path / "sheet.png").is_file()


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


def test_faults_are_found_before_anything_is_written(tmp_path: Path, digits_run: Path, dlnotes: Command) -> None:
    path, tiny = photo(tmp_path / "photo.png"), photo(tmp_path / "tiny.png", (10, 10))
    out = tmp_path / "dream.png"
    cases = {
        "--layer: the output of linear1 is 10, which has no positions": (path, "--layer", "linear1"),
        "tiny.png: 10x10 pixels are too few": (tiny,),
        "has no layer with maps": (path, "--model", digits_run),
        "no image format has the suffix '.txt'": (path, "--out", tmp_path / "dream.txt"),
        "missing.png: no such file": (tmp_path / "missing.png",),
    }
    for what, words in cases.items():
        outcome = dlnotes("visualize", "dream", *words, *(() if "--out" in words else ("--out", out)))
        assert outcome.code == 2, what
        assert what in outcome.err
        assert not out.exists()


def test_octaves_that_are_too_small_are_left_out(tmp_path: Path) -> None:
    result = dream(quick(photo(tmp_path / "photo.png"), tmp_path / "d.png", octaves=20, steps=1, octave_scale=2.0))
    assert result.octaves == ((20, 25), (40, 50))
