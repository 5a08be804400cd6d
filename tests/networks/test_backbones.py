"""Backbones: the last layer of every torchvision network is replaced by a head, and nothing else is changed."""

import re

import pytest
import torch
from builders import build_from_json
from torch import nn
from torchvision import models

from dlnotes_cli.networks import backbones
from dlnotes_cli.networks.backbones import (
    BackboneConfig,
    build_backbone,
    load_backbone,
    named_blocks,
    published_weights,
)
from dlnotes_cli.networks.choices import BACKBONES
from dlnotes_cli.shell.codec import to_json
from dlnotes_cli.shell.errors import InputError
from dlnotes_cli.training.model_file import EMBEDDED_MODEL, load_classifier

FAMILIES = (
    "alexnet", "convnext_tiny", "densenet121", "efficientnet_b0", "googlenet", "inception_v3", "maxvit_t", "mnasnet0_5",
    "mobilenet_v2", "mobilenet_v3_small", "regnet_x_400mf", "resnet18", "shufflenet_v2_x0_5", "squeezenet1_0", "swin_t",
    "swin_v2_t", "vgg11_bn", "vit_b_16",
)  # fmt: skip


def small(name: str, classes: int = 7, size: int = 64) -> backbones.TransferModel:
    torch.manual_seed(0)
    return build_backbone(BackboneConfig(name, classes, size)).eval()


def test_the_names_of_the_option_are_names_of_torchvision() -> None:
    assert set(BACKBONES) <= set(backbones.backbone_names()) == set(models.list_models(module=models))


def test_the_network_in_the_package_is_a_backbone_with_its_features() -> None:
    reference = load_classifier(EMBEDDED_MODEL).network
    assert isinstance(reference, nn.Sequential)
    network = small("small", 7, 48)
    load_backbone(network, "small", reference.state_dict(), "small")
    x = torch.randn(2, 3, 48, 48)
    torch.testing.assert_close(network.features(x), reference[:-1](x), rtol=1e-4, atol=1e-5)
    assert (network(x).shape, network.width) == ((2, 7), 320)
    assert [name for name, _ in named_blocks(network.backbone)] == ["0", "3", "5", "8", "10", "13", "15", "17"]


@pytest.mark.parametrize(
    "name", [name if name in FAMILIES else pytest.param(name, marks=pytest.mark.slow) for name in BACKBONES]
)
def test_every_network_accepts_a_new_head(name: str) -> None:
    for size in {weights.expected.size for weights in published_weights(name)}:  # two of vision transformers
        config = BackboneConfig(name, 7, size, (5,))
        network = build_from_json("backbone", to_json(config))
        assert isinstance(network, backbones.TransferModel)
        x = torch.empty(2, 3, config.size, config.size, device="meta")
        assert network.eval()(x).shape == network.train()(x).shape == (2, 7)
        assert network.eval().features(x).shape == (2, network.width)
        assert all(tensor.device.type == "meta" for tensor in network.state_dict().values())
        assert {buffer for buffer, _ in network.named_buffers()} <= set(network.state_dict())  # no buffer is left out
        names = [block for block, _ in named_blocks(network.backbone)]
        assert len(names) == len(set(names)) > 4
        assert not any(isinstance(module, nn.Linear) and module.out_features == 1000 for module in network.modules())


@pytest.mark.parametrize("name", ["vit_b_32", "mobilenet_v3_small"])
def test_a_network_with_its_original_last_layer_as_head_has_the_original_outputs(name: str) -> None:
    torch.manual_seed(0)
    original = models.get_model(name, weights=None).eval()
    size = 224 if name.startswith("vit") else 64
    network = small(name, 1000, size)
    load_backbone(network, name, original.state_dict(), name)
    path, last = backbones.last_layer(original)
    assert isinstance(last, nn.Linear)
    network.head[0].load_state_dict(last.state_dict())
    x = torch.randn(2, 3, size, size)
    torch.testing.assert_close(network.eval()(x), original(x), rtol=1e-4, atol=1e-4)
    assert path in {"fc", "heads.head", "classifier.3", "classifier"}


def test_googlenet_rescales_its_input_for_pretrained_weights() -> None:
    x = torch.rand(2, 3, 64, 64)
    torch.manual_seed(0)
    original = models.googlenet(weights=None, init_weights=False, aux_logits=False, transform_input=True).eval()
    network = build_backbone(BackboneConfig("googlenet", 1000, 64, transform_input=True)).eval()
    load_backbone(network, "googlenet", original.state_dict(), "googlenet")
    network.head[0].load_state_dict(original.fc.state_dict())
    torch.testing.assert_close(network(x), original(x), rtol=1e-4, atol=1e-4)


def test_old_names_in_densenet_files_are_renamed() -> None:
    state = models.densenet121(weights=None).state_dict()
    pattern = re.compile(r"(denselayer\d+\.(?:norm|conv))([12]\.)")
    old = {pattern.sub(r"\1.\2", name): tensor for name, tensor in state.items() if "num_batches" not in name}
    assert set(old) - set(state)
    network = small("densenet121")
    load_backbone(network, "densenet121", old, "densenet121")
    name = "features.denseblock1.denselayer1.norm1.weight"
    assert network.backbone.state_dict()[name] is not None
    torch.testing.assert_close(network.backbone.state_dict()[name], state[name])


@pytest.mark.parametrize(
    ("name", "other", "misfit"),
    [
        (
            "resnet18",
            "resnet50",
            r"layer1.0.conv1.weight: shape \(64, 64, 1, 1\) in the file, \(64, 64, 3, 3\) in the",
        ),
        ("resnet18", "alexnet", "tensor conv1.weight is missing; use weights of resnet18, or another --backbone"),
        ("resnet18", "resnet34", "the network has no tensor layer1.2.conv1.weight"),
        ("small", "vgg11", "tensor 0.weight is missing"),
    ],
)
def test_the_first_tensor_that_differs_is_described(name: str, other: str, misfit: str) -> None:
    weights = models.get_model(other, weights=None).state_dict()
    with pytest.raises(InputError, match=misfit):
        load_backbone(small(name), name, weights, "file.pth")


def test_frozen_blocks_keep_their_statistics_while_others_train() -> None:
    network = small("resnet18")
    network.backbone.requires_grad_(False)
    dict(named_blocks(network.backbone))["layer4.1"].requires_grad_(True)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    network.train()(torch.randn(4, 3, 64, 64))
    changed = {name for name, tensor in network.state_dict().items() if not torch.equal(tensor, before[name])}
    assert changed
    assert all(name.startswith("backbone.layer4.1.") for name in changed)
