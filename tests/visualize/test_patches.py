"""`visualize patches`: against a search over all activations; gradients against hand arithmetic."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from builders import Command
from PIL import Image
from torch import nn

from dlnotes_cli.cli import main
from dlnotes_cli.data.named_sets import load_named
from dlnotes_cli.inference.inspection import open_network
from dlnotes_cli.visualize.options import PatchesConfig
from dlnotes_cli.visualize.patches import BEST, _Relus, find_patches, strongest_places, unit_gradients


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("patches") / "run"
    layers = "Conv2d(1, 6, 3, padding=1); ReLU(); MaxPool2d(2); Conv2d(6, 8, 3); ReLU(); Flatten(); Linear(32, 10)"
    words = ["train-cnn", "--layers", layers, "--epochs", "1", "--limit", "200", "-q", "--out", str(folder)]
    assert main(words) == 0
    return folder


def test_patches_are_those_of_a_search_over_every_activation(run: Path, tmp_path: Path) -> None:
    config = PatchesConfig(model=str(run), layer="relu2", unit=("0", "3", "5"), sheet=tmp_path / "sheet.png")
    result = find_patches(config)
    network = open_network(config)
    digits = load_named("digits", data_root=None, offline=True)
    samples = torch.tensor(np.asarray(digits.samples, np.uint8))
    maps = network.activations(network.prepare(samples), [network.layer("relu2")])["relu2"].detach().numpy()
    assert result.images == len(maps) == 1797
    assert result.receptive_field == (8, 8)
    for found in result.units:
        strongest = maps[:, found.unit].max(axis=(1, 2))
        order = np.argsort(-strongest, kind="stable")[:BEST]
        assert [patch.activation for patch in found.patches] == pytest.approx(strongest[order], abs=1e-5)
        for patch in found.patches:
            image = int(patch.file)
            assert maps[image, found.unit][patch.position] == pytest.approx(patch.activation, abs=1e-5)
            assert patch.class_name == digits.classes[digits.labels[image]]


def test_only_the_window_decides_the_activation(tmp_path: Path) -> None:
    """Noise outside the box of a patch leaves the activation as it is; noise inside changes it."""
    folder = tmp_path / "images"
    folder.mkdir()
    generator = np.random.default_rng(0)
    for i in range(12):
        Image.fromarray(generator.integers(0, 255, (32, 32, 3), dtype=np.uint8)).save(folder / f"{i}.png")
    config = PatchesConfig(layer="relu2", unit=("7",), data=str(folder), gradient="none", sheet=tmp_path / "sheet.png")
    network, layer = open_network(config), open_network(config).layer("relu2")
    patch = find_patches(config).units[0].patches[0]
    with Image.open(patch.file) as image:
        pixels = np.asarray(image)
    x0, y0, x1, y1 = (int(side) for side in patch.box)
    assert (x1 - x0) * (y1 - y0) <= 8 * 8

    def activation(changed: np.ndarray) -> float:
        samples = torch.tensor(changed.transpose(2, 0, 1)[None])
        outputs = network.activations(network.prepare(samples), [network.layer("relu2")])["relu2"]
        return float(outputs[0, 7][patch.position])

    outside = generator.integers(0, 255, pixels.shape, dtype=np.uint8)
    inside = outside.copy()
    outside[y0:y1, x0:x1] = pixels[y0:y1, x0:x1]
    assert layer.shape == (48, 16, 16)
    assert activation(pixels) == pytest.approx(patch.activation, abs=1e-4)
    assert activation(outside) == pytest.approx(patch.activation, abs=1e-4)
    assert activation(inside) != pytest.approx(patch.activation, abs=1e-2)


def test_a_patch_is_at_least_half_inside_the_image(tmp_path: Path) -> None:
    config = PatchesConfig(layer="relu4", top=6, gradient="none", sheet=tmp_path / "sheet.png")
    for unit in find_patches(config).units:
        for patch in unit.patches:  # boxes are clipped to the stored 8x8 pixels, a quarter of the input's
            x0, y0, x1, y1 = patch.box
            assert (x1 - x0) * (y1 - y0) * 16 >= 0.5 * 22 * 22


def test_the_best_of_many_batches_are_the_best_of_all() -> None:
    values = torch.rand(100, 4, 6, generator=torch.Generator().manual_seed(0))
    best = torch.zeros(3, 0, 4, dtype=torch.float64)
    for start in range(0, 100, 7):
        chunk = values[start : start + 7]
        best = strongest_places(best, chunk, range(start, start + len(chunk)))
        assert best.shape[1] <= BEST  # memory does not grow with the data
    expected = values.amax(dim=2).sort(dim=0, descending=True)
    assert torch.equal(best[0].float(), expected.values[:BEST])
    images, places = best[1:].long()
    assert torch.equal(images, expected.indices[:BEST])
    assert torch.equal(values[images, torch.arange(4), places], best[0].float())


def test_guided_and_deconvnet_gradients_are_those_of_hand_arithmetic() -> None:
    x = torch.tensor([-1.0, 2.0, 3.0, -4.0], requires_grad=True)
    weights = torch.tensor([1.0, -2.0, 3.0, 5.0])  # the gradient that reaches the ReLU
    for rule, expected in (("guided", [0.0, 0.0, 3.0, 0.0]), ("deconvnet", [1.0, 0.0, 3.0, 5.0])):
        with _Relus(rule):  # type: ignore[arg-type]  # one of the two
            (gradient,) = torch.autograd.grad((nn.ReLU()(x) * weights).sum(), x)
        assert gradient.tolist() == expected
    (plain,) = torch.autograd.grad((nn.ReLU()(x) * weights).sum(), x)
    assert plain.tolist() == [0.0, -2.0, 3.0, 0.0]


def test_a_gradient_reaches_only_the_receptive_field(tmp_path: Path) -> None:
    network = open_network(PatchesConfig(sheet=tmp_path / "sheet.png"))
    layer = network.layer("relu1")
    samples = torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    gradient = unit_gradients(network, layer, samples, [(20, (10, 12)), (20, (0, 0))], "deconvnet")
    rows, columns = gradient[0].abs().sum(0).nonzero(as_tuple=True)
    assert {*rows.tolist()} <= {9, 10, 11}
    assert {*columns.tolist()} <= {11, 12, 13}
    assert gradient.shape == samples.shape


def test_a_damaged_image_in_a_folder_is_an_error_or_skipped(tmp_path: Path, dlnotes: Command) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    for i in range(3):
        Image.fromarray(np.full((20, 20, 3), 60 * i, np.uint8)).save(folder / f"{i}.png")
    (folder / "bad.png").write_bytes(b"no image")
    words = ("--data", folder, "--layer", "relu1", "--top", 2, "--sheet", tmp_path / "sheet.png", "--json")
    outcome = dlnotes("visualize", "patches", "small", *words)
    assert (outcome.code, outcome.out) == (2, "")
    assert "bad.png: not an image" in outcome.err
    outcome = dlnotes("visualize", "patches", "small", *words, "--skip-bad")
    assert outcome.code == 0, outcome.err
    assert "skipped" in outcome.err
    assert "say little about a single neuron" in outcome.err
    document = json.loads(outcome.out)
    assert document["images"] == 3
    assert {patch["class"] for unit in document["units"] for patch in unit["patches"]} == {None}
