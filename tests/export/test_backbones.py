"""Every family of backbones is exported, answers the same, and loads into torchvision's own network."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from builders import write_model

from dlnotes_cli.data.preprocessing import ImagePreprocessing
from dlnotes_cli.export.export import export_model
from dlnotes_cli.export.options import ExportConfig
from dlnotes_cli.inference.onnx_classifier import load_onnx_classifier
from dlnotes_cli.networks.backbones import BackboneConfig
from dlnotes_cli.shell.errors import InputError
from dlnotes_cli.training.model_file import load_classifier

PREPROCESSING = ImagePreprocessing(3, 48, 40, "crop", (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
SIZES = {"inception_v3": 80, "maxvit_t": 224, "vit_b_32": 224}  # the smallest that a network accepts, where not 64
FAMILIES = [
    "alexnet", "convnext_tiny", "densenet121", "efficientnet_b0", "efficientnet_v2_s", "googlenet", "inception_v3",
    "maxvit_t", "mnasnet0_5", "mobilenet_v2", "mobilenet_v3_small", "regnet_x_400mf", "regnet_y_400mf", "resnet18",
    "shufflenet_v2_x0_5", "squeezenet1_1", "swin_t", "swin_v2_t", "vgg11", "vit_b_32",
]  # fmt: skip
FAST = {"squeezenet1_1"}


def trained(path: Path, backbone: str, hidden: tuple[int, ...] = ()) -> Path:
    config = BackboneConfig(backbone, 3, SIZES.get(backbone, 64), hidden, transform_input=backbone == "googlenet")
    return write_model(path, "backbone", config, PREPROCESSING, ("a", "b", "c"))


def export(model: Path, **options: Any) -> Any:
    return export_model(ExportConfig(model=model, samples=8, threads=1, **options))


@pytest.mark.parametrize(
    "backbone",
    ["small", *(name if name in FAST else pytest.param(name, marks=pytest.mark.slow) for name in FAMILIES)],
)
def test_an_exported_backbone_answers_the_same_in_batches_of_any_size(backbone: str, tmp_path: Path) -> None:
    model = trained(tmp_path / "model.safetensors", backbone)
    result = export(model)
    exported, network = load_onnx_classifier(result.out, 1), load_classifier(model).network
    images = np.random.default_rng(0).integers(0, 256, (3, *PREPROCESSING.shape), np.uint8)
    mean, std = (np.array(values).reshape(3, 1, 1) for values in (PREPROCESSING.mean, PREPROCESSING.std))
    with torch.no_grad():
        expected = network(torch.from_numpy((images / 255 - mean) / std).float()).softmax(1).numpy()
    for batch in (images[:1], images):
        assert exported.probabilities(batch) == pytest.approx(expected[: len(batch)], abs=1e-4)


@pytest.mark.parametrize(
    ("backbone", "hidden"),
    [
        *(pytest.param(name, (), marks=pytest.mark.slow) for name in FAMILIES if name != "squeezenet1_1"),
        pytest.param("resnet18", (8,), marks=pytest.mark.slow),
        ("mobilenet_v3_small", (8, 4)),
    ],
)
def test_the_state_dict_of_a_backbone_loads_into_plain_torchvision(
    backbone: str, hidden: tuple[int, ...], tmp_path: Path
) -> None:
    model = trained(tmp_path / "model.safetensors", backbone, hidden)
    result = export(model, format="state-dict")
    names: dict[str, Any] = {}
    exec(result.load_with, names)  # noqa: S102  # the code that the command prints
    size = SIZES.get(backbone, 64)
    x = torch.rand(2, 3, size, size)
    with torch.no_grad():
        expected = load_classifier(model).network(x)
        assert torch.allclose(names["model"](x), expected, atol=1e-4 * float(expected.abs().max()))


@pytest.mark.parametrize(
    ("backbone", "message"),
    [
        ("small", "torchvision has no network small, which is part of"),
        ("squeezenet1_1", "torchvision's squeezenet1_1 applies ReLU after its last"),
    ],
)
def test_networks_that_torchvision_lacks_have_no_state_dict(backbone: str, message: str, tmp_path: Path) -> None:
    model = trained(tmp_path / "model.safetensors", backbone)
    with pytest.raises(InputError, match=f"--format state-dict: {message}"):
        export(model, format="state-dict")
