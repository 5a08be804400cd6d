"""`train_small.py`, which trains the embedded network, on a few generated images; the page of `write_gallery.py`."""

import importlib
import json
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from builders import COLORS, Command, make_images
from PIL import Image
from torchvision.models import squeezenet1_0

from dlnotes_cli.training.tensor_file import read_tensors

ROOT = Path(__file__).parents[1]


@pytest.fixture
def tool(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script as a module, with few and small scenes."""
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    module = importlib.import_module("train_small")
    for name, value in (("SCENES", 5), ("SCENE_PIXELS", 2 * 96**2), ("SCENE_SIDES", (96,)), ("IMAGES", 8)):
        monkeypatch.setattr(module, name, value)
    monkeypatch.setattr(importlib.import_module("training_scenes"), "_TEXTURES", 2)
    return module


def test_scaled_channels_have_equal_energy_and_the_same_logits(tool: ModuleType) -> None:
    torch.manual_seed(0)
    student = tool.Student(10)
    batches = [torch.randn(2, 3, 64, 64) for _ in range(2)]
    features, logits = student.features(torch.cat(batches)), student.network(batches[0])
    tool.scale_to_equal_energy(student, batches)
    torch.testing.assert_close(student.network(batches[0]), logits, rtol=1e-3, atol=1e-5)
    for i, scaled in student.features(torch.cat(batches)).items():
        root = features[i].square().mean((0, 2, 3)).sqrt()
        expected = (root / root.clamp(min=root.mean() / 2)).square()  # 1, but less in channels that are hardly active
        torch.testing.assert_close(scaled.square().mean((0, 2, 3)), expected, rtol=1e-3, atol=1e-5)


def test_features_of_the_teacher_and_the_network_have_the_same_sizes(tool: ModuleType, tmp_path: Path) -> None:
    torch.save(squeezenet1_0(weights=None).state_dict(), tmp_path / "teacher.pth")
    teacher, student = tool.Teacher(tmp_path / "teacher.pth"), tool.Student(10)
    images = torch.randn(1, 3, 96, 96)
    teacher.calibrate([images])
    targets, predictions = teacher(images, (0, 1)), student.predictions(images, (0, 1))
    assert {name: values.shape for name, values in targets.items()} == {
        name: values.shape for name, values in predictions.items()
    }


def test_a_folder_without_images_is_refused(tool: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"has no \.jpg or \.png images"):
        tool.read_images(tmp_path)


def test_the_tool_writes_a_network_that_commands_read(
    tool: ModuleType, tmp_path: Path, dlnotes: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = tmp_path / "data"
    make_images(data / "train", count=8, size=(32, 32))
    make_images(data / "test", count=4, size=(32, 32), seed=1)
    (tmp_path / "images").mkdir()
    noise = np.random.default_rng(0).integers(0, 256, (120, 150, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "images" / "noise.png")
    torch.save(squeezenet1_0(weights=None).state_dict(), tmp_path / "teacher.pth")
    monkeypatch.setattr(sys, "argv", [
        "train_small.py", str(data), "--teacher", str(tmp_path / "teacher.pth"), "--images", str(tmp_path / "images"),
        "--steps", "2", "1", "--unlabeled", min(COLORS), "--out", str(tmp_path / "small.safetensors"),
    ])  # fmt: skip
    tool.main()
    tensors, metadata = read_tensors(tmp_path / "small.safetensors")
    assert {tensor.dtype for tensor in tensors.values()} == {torch.float16}
    assert metadata["configuration"]["layers"] == tool.classifier_layers(len(COLORS))
    assert metadata["provenance"]["command"].endswith(f"--steps 2 1 --seed 0 --unlabeled {min(COLORS)}")
    run = dlnotes("evaluate", tmp_path / "small.safetensors", "--data", data, "--precision", "fp32", "--json")
    assert run.code == 0, run.err
    assert json.loads(run.out)["accuracy"] == metadata["provenance"]["test_accuracy"]


def test_the_gallery_is_up_to_date_and_small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    gallery = importlib.import_module("write_gallery")
    assert (ROOT / "docs" / "gallery.md").read_text() == gallery.page()
    sizes = {path.name: path.stat().st_size for path in (ROOT / "docs" / "gallery").iterdir()}
    assert sizes.keys() == {gallery.shown_name(file) for entry in gallery.ENTRIES for file in entry.pictures}
    assert (max(sizes.values()) <= gallery.MOST_BYTES, sum(sizes.values()) <= 1_200_000) == (True, True)
