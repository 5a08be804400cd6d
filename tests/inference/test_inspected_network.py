"""Opened networks: their layers and shapes, and captured activations against plain forward hooks."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from dlnotes_cli.cli import main
from dlnotes_cli.data.folder import DecodeSettings
from dlnotes_cli.inference.inspected_network import InspectedNetwork
from dlnotes_cli.inference.inspection import open_network, read_batches
from dlnotes_cli.shell.errors import InputError
from dlnotes_cli.visualize.options import LayersConfig


def opened(model: object, weights: str | None = None) -> InspectedNetwork:
    return open_network(LayersConfig(model=str(model), weights=weights))


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Trained runs of every kind of model."""
    folder = tmp_path_factory.mktemp("runs")
    commands = {
        "mlp": "train-mlp --epochs 1 --limit 64 --hidden 4",
        "cnn": "train-cnn --epochs 1 --limit 64 --recipe notes --arch notes-cnn",
        "resnet": "train-cnn --epochs 1 --limit 64 --arch resnet --width 0.1",
        "backbone": "transfer --weights none --limit 64 --size 32 --backbone squeezenet1_1",
    }
    for name, words in commands.items():
        assert main([*words.split(), "--quiet", "--out", str(folder / name)]) == 0
    return {name: folder / name for name in commands}


def samples(network: InspectedNetwork, count: int = 2) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (count, *network.preprocessing.shape), dtype=torch.uint8, generator=generator)


def test_the_embedded_network_has_its_classes_and_its_default_layer() -> None:
    network = opened("small")
    assert network.classes[:2] == ("airplane", "automobile")
    assert network.cam_layer is not None
    assert (network.cam_layer.name, network.cam_layer.shape) == ("relu5", (96, 8, 8))
    assert network.output_layer.units == len(network.classes)
    assert [layer.name for layer in network.layers][:5] == ["conv1", "relu1", "pool1", "conv2", "relu2"]


@pytest.mark.parametrize("kind", ["mlp", "cnn", "resnet", "backbone"])
def test_activations_are_those_of_a_plain_forward_hook(runs: dict[str, Path], kind: str) -> None:
    network = opened(runs[kind])
    x = network.prepare(samples(network, 3))
    for layer in network.layers[:: max(1, len(network.layers) // 5)]:
        seen: list[Tensor] = []
        handle = layer.module.register_forward_hook(
            lambda _module, _inputs, output, seen=seen: seen.append(output.clone())
        )
        network(x)
        handle.remove()
        outputs = network.activations(x, [layer])
        assert torch.equal(outputs[layer.name], seen[0])
        assert outputs[layer.name].shape[1:] == layer.shape


@pytest.mark.parametrize("kind", ["mlp", "cnn", "resnet", "backbone"])
def test_every_layer_runs_once_and_the_last_one_returns_the_logits(runs: dict[str, Path], kind: str) -> None:
    network = opened(runs[kind])
    x = network.prepare(samples(network))
    outputs = network.activations(x, network.layers)
    assert list(outputs) == [layer.name for layer in network.layers]
    assert torch.equal(outputs[network.output_layer.name].flatten(1), network(x))


def test_the_layers_of_an_mlp_have_their_own_names(runs: dict[str, Path]) -> None:
    names = [layer.name for layer in opened(runs["mlp"]).layers]
    assert names == ["flatten", "linear1", "norm1", "activation1", "output"]
    assert opened(runs["mlp"]).cam_layer is None


def test_capturing_changes_nothing_although_torchvision_works_in_place() -> None:
    network = opened("googlenet", weights="none")
    x = network.prepare(samples(network)[..., :64, :64])
    expected = network(x)
    layer = network.layer("conv1.bn")  # whose output a functional ReLU overwrites in place
    with network.capture([layer]) as outputs:
        assert torch.equal(network(x), expected)
    assert outputs["conv1.bn"].min() < 0


def test_detached_activations_have_the_gradient_of_the_whole_graph() -> None:
    network = opened("small")
    layer = network.layer("relu4")
    gradients: list[Tensor] = []
    for detached in (False, True):
        x = network.prepare(samples(network)).requires_grad_()
        with network.capture([layer], detached=detached) as outputs:
            score = network(x)[:, 3].sum()
        gradients += torch.autograd.grad(score, outputs["relu4"])
    assert torch.equal(*gradients)
    assert gradients[0].abs().max() > 0


def test_a_container_stands_for_the_layer_it_ends_with() -> None:
    network = opened("resnet18", weights="none")
    assert network.layer("layer4").name == "layer4.1"
    assert "layer1.0.relu" not in [layer.name for layer in network.layers]  # it runs twice


def test_weights_of_a_file_may_have_other_classes(tmp_path: Path) -> None:
    from torchvision import models

    network = models.squeezenet1_1(num_classes=3)
    torch.save(network.state_dict(), tmp_path / "three.pth")
    inspected = opened("squeezenet1_1", weights=str(tmp_path / "three.pth"))
    assert inspected.classes == ("class 0", "class 1", "class 2")
    x = inspected.prepare(samples(inspected)[..., :64, :64])
    assert torch.allclose(inspected(x), network.eval()(x), atol=1e-5)


def test_prepare_is_differentiable_and_resizes_for_a_transferred_network(runs: dict[str, Path]) -> None:
    network = opened(runs["backbone"])
    pixels = samples(network).float().requires_grad_()
    x = network.prepare(pixels)
    assert x.shape[2:] == (32, 32)
    (gradient,) = torch.autograd.grad(network(x).sum(), pixels)
    assert gradient.shape == pixels.shape


def test_no_parameter_has_a_gradient_and_no_layer_works_in_place() -> None:
    network = opened("squeezenet1_1", weights="none").network
    assert not any(parameter.requires_grad for parameter in network.parameters())
    assert not any(getattr(module, "inplace", False) for module in network.modules())
    assert not network.training


def test_classes_are_found_by_name_case_and_index() -> None:
    network = opened("small")
    assert [network.class_index(name) for name in ("cat", "Cat", "3")] == [3, 3, 3]


def test_images_are_read_in_batches_and_know_the_class_of_their_folder(tmp_path: Path) -> None:
    for name, count in (("cat", 3), ("other", 2)):
        (tmp_path / name).mkdir()
        for i in range(count):
            Image.fromarray(np.full((40, 50, 3), 40 * i, np.uint8)).save(tmp_path / name / f"{i}.png")
    (tmp_path / "other" / "bad.png").write_bytes(b"no image")
    network = opened("small")
    with pytest.raises(InputError, match=r"bad\.png: not an image"):
        list(read_batches([str(tmp_path)], network, DecodeSettings(1, 10**6), 4))
    settings = DecodeSettings(1, 10**6, skip_bad=True)
    batches = list(read_batches([str(tmp_path)], network, settings, 4))
    assert [len(batch.images) for batch in batches] == [4, 1]
    assert batches[0].samples().shape == (4, 3, 32, 32)
    classes = [image.true_class(network.classes) for batch in batches for image in batch.images]
    assert classes == ["cat"] * 3 + [None] * 2
    assert batches[0].images[0].geometry.region == (5, 0, 45, 40)


def test_models_that_do_not_classify_images_are_refused(runs: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "style").mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "photo.jpg")
    for model, what in {
        str(tmp_path / "style"): "has no model.safetensors",
        str(tmp_path / "photo.jpg"): "is an image; name the model first",
        "resnet8": "unknown model 'resnet8'; did you mean 'resnet18'",
        str(tmp_path / "missing.safetensors"): "no such file",
    }.items():
        with pytest.raises(InputError, match=what):
            opened(model)
    with pytest.raises(InputError, match="has its own weights"):
        opened(runs["mlp"], weights="none")


def test_the_output_layer_of_a_network_is_its_last_linear_layer_or_convolution() -> None:
    network = opened("squeezenet1_1", weights="none")
    assert isinstance(network.output_layer.module, nn.Conv2d)
    assert network.cam_layer is not None
    assert network.cam_layer.name == "features.12"  # not the maps of class scores after it
