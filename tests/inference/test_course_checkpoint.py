"""Checkpoints of the course's notebooks, whose networks are written here as the notebooks have them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812  # as in the notebooks
from builders import Command
from PIL import Image
from torch import Tensor, nn

from dlnotes_cli.data.published import NAMED
from dlnotes_cli.inference.course_checkpoint import load_course_classifier, load_named_model
from dlnotes_cli.shell.errors import InputError
from dlnotes_cli.training.model_file import load_classifier


class MnistNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.fc2, self.fc3 = nn.Linear(784, 512), nn.Linear(512, 512), nn.Linear(512, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.fc1(x.view(-1, 784)))
        scores: Tensor = self.fc3(F.relu(self.fc2(x)))
        return scores


class CifarNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, padding=1)
        self.conv2 = nn.Conv2d(16, 32, 3, padding=1)
        self.conv3 = nn.Conv2d(32, 64, 3, padding=1)
        self.fc1, self.fc2 = nn.Linear(64 * 4 * 4, 500), nn.Linear(500, 10)

    def forward(self, x: Tensor) -> Tensor:
        for layer in (self.conv1, self.conv2, self.conv3):
            x = F.max_pool2d(F.relu(layer(x)), 2, 2)
        scores: Tensor = self.fc2(F.relu(self.fc1(x.view(-1, 64 * 4 * 4))))
        return scores


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("course")
    torch.manual_seed(0)
    torch.save(MnistNet().state_dict(), folder / "model.pt")
    torch.save(CifarNet().state_dict(), folder / "model_cifar.pt", _use_new_zipfile_serialization=False)  # as in 2018
    return folder


NETWORKS: dict[Any, tuple[type[nn.Module], str, tuple[int, ...], str]] = {
    "notes-mlp": (MnistNet, "model.pt", (1, 28, 28), "mnist"),
    "notes-cnn": (CifarNet, "model_cifar.pt", (3, 32, 32), "cifar10"),
}


@pytest.mark.parametrize("arch", NETWORKS)
def test_the_network_of_a_notebook_gives_its_scores(arch: Any, folder: Path) -> None:
    network_type, name, shape, data = NETWORKS[arch]
    model, original = load_course_classifier(folder / name, arch), network_type().eval()
    original.load_state_dict(torch.load(folder / name, weights_only=True))
    x = torch.rand(2, *shape)
    with torch.no_grad():
        assert torch.allclose(model.network(x), original(x), atol=1e-6)
    assert (model.classes, model.preprocessing.shape) == (NAMED[data].classes, shape)
    assert model.metadata["data"] == {"name": data}


def test_pixels_are_normalized_as_in_the_notebooks(folder: Path, dlnotes: Command, tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    words = ["predict", folder / "model_cifar.pt", tmp_path / "photo.png", "--arch", "notes-cnn", "--json", "-q"]
    outcome = dlnotes(*words, "--top", "10")
    assert outcome.code == 0, outcome.err
    network = CifarNet().eval()
    network.load_state_dict(torch.load(folder / "model_cifar.pt", weights_only=True))
    x = torch.from_numpy(pixels).permute(2, 0, 1)[None] / 255  # transforms.ToTensor()
    with torch.no_grad():
        expected = network((x - 0.5) / 0.5).softmax(1)[0].tolist()  # transforms.Normalize((.5,) * 3, (.5,) * 3)
    top = {entry["class"]: entry["probability"] for entry in json.loads(outcome.out)["predictions"][0]["top"]}
    assert [top[name] for name in NAMED["cifar10"].classes] == pytest.approx(expected, abs=1e-6)


def test_a_checkpoint_becomes_a_model_file_that_every_command_reads(
    folder: Path, dlnotes: Command, tmp_path: Path
) -> None:
    out = tmp_path / "mnist.safetensors"
    words = ["export", folder / "model.pt", "--arch", "notes-mlp", "--format", "dlnotes", "--out", out, "--offline"]
    outcome = dlnotes(*words, "--data-root", tmp_path)
    assert outcome.code == 0, outcome.err
    assert "256 samples of crops of example photos" in outcome.out
    original = load_course_classifier(folder / "model.pt", "notes-mlp").network.state_dict()
    stored = load_classifier(out).network.state_dict()
    assert {name: tensor.tolist() for name, tensor in original.items()} == {n: t.tolist() for n, t in stored.items()}


def _changed(folder: Path, name: str, change: Any) -> Path:
    tensors = torch.load(folder / "model.pt", weights_only=True)
    torch.save(change(tensors), folder / name)
    return folder / name


def test_other_checkpoints_are_refused(folder: Path, tmp_path: Path) -> None:
    without = _changed(folder, "without.pt", lambda t: {n: v for n, v in t.items() if n != "fc2.bias"})
    wide = _changed(folder, "wide.pt", lambda t: t | {"fc3.weight": torch.zeros(11, 512)})
    cases: list[tuple[Path, Any, str]] = [
        (without, "notes-mlp", r"without.pt: tensor linear2.bias is missing; use another --arch"),
        (wide, "notes-mlp", r"shape \(11, 512\) in the file, \(10, 512\) in the network; use another --arch"),
        (tmp_path, "notes-mlp", "is a folder; name the file of the state dict"),
        (folder / "model.pt", None, "is not a dlnotes model file; use a model file that dlnotes trained, or .*--arch"),
    ]
    for path, arch, message in cases:
        with pytest.raises(InputError, match=message):
            load_named_model(path, arch, load_classifier)
