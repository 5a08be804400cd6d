"""`visualize activations`: maps against a plain forward hook, and the sizes of the course's network."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from dlnotes_cli.data.images.decode import decode_image
from dlnotes_cli.inference.inspection import open_network
from dlnotes_cli.visualize.activations import show_activations
from dlnotes_cli.visualize.options import ActivationsConfig


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    pixels = np.random.default_rng(0).integers(0, 255, (40, 50, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


def test_maps_and_their_numbers_are_those_of_a_forward_hook(photo: Path, tmp_path: Path) -> None:
    config = ActivationsConfig(
        image=str(photo), layer="conv3", top=5, sheet=tmp_path / "maps.png", out=tmp_path / "maps.npz"
    )
    result = show_activations(config)
    network = open_network(config)
    seen: list[Tensor] = []
    network.layer("conv3").module.register_forward_hook(lambda _module, _inputs, output: seen.append(output))
    pixels = decode_image(photo, network.preprocessing.image_shape, 10**6)
    logits = network(network.prepare(torch.tensor(pixels)[None]))
    expected = seen[0][0].numpy()
    with np.load(tmp_path / "maps.npz") as stored:
        assert np.array_equal(stored["conv3"], expected)
    shown = result.layers[0].units
    means = expected.mean(axis=(1, 2))
    assert [unit.unit for unit in shown] == np.argsort(-np.abs(expected).mean(axis=(1, 2)))[:5].tolist()
    for unit in shown:
        assert unit.mean == pytest.approx(means[unit.unit], abs=1e-5)
        assert expected[unit.unit][unit.position] == unit.max == expected[unit.unit].max()
    assert result.predicted == network.classes[int(logits.argmax())]
    assert result.probability == pytest.approx(float(logits.softmax(1).max()), abs=1e-6)


def test_an_mlp_has_one_strip_of_values_for_each_layer(digits_run: Path, photo: Path, tmp_path: Path) -> None:
    result = show_activations(ActivationsConfig(model=str(digits_run), image=str(photo), sheet=tmp_path / "mlp.png"))
    assert [found.layer for found in result.layers] == ["flatten", "linear1", "norm1", "activation1", "output"]
    assert [found.maps.shape for found in result.layers][-1] == (10, 1, 1)
