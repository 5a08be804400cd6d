"""Networks with branches against torchvision: parameters, buffers, MACs and outputs."""

from typing import get_args

import pytest
import torch
from torch import nn
from torchvision import models

from dlnotes_cli.shapes import analyze, named_network
from dlnotes_cli.shapes.branched_networks import branched_network
from dlnotes_cli.shapes.choices import BranchedName, NetworkName
from dlnotes_cli.shapes.layer import Layer

SLIDE_FILTERS = (48, 128, 192, 192, 128)  # of one of AlexNet's two GPUs


def torchvision_network(name: str) -> nn.Module:
    """Torchvision's network on the meta device, GoogLeNet without its auxiliary heads."""
    options = {"aux_logits": False, "init_weights": False} if name == "googlenet" else {}
    with torch.device("meta"):
        network: nn.Module = models.get_model(name, weights=None, **options)
    return network


def run_sizes(network: nn.Module, shape: tuple[int, ...]) -> list[tuple[str, tuple[int, ...]]]:
    """Type and output shape of every convolution, batch norm, pooling and linear layer."""
    runs: list[tuple[str, tuple[int, ...]]] = []

    def note(module: nn.Module, _inputs: object, output: torch.Tensor) -> None:
        runs.append((type(module).__name__, tuple(output.shape[1:])))

    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.BatchNorm2d | nn.MaxPool2d | nn.AvgPool2d | nn.Linear):
            module.register_forward_hook(note)
    with torch.no_grad():
        network.eval()(torch.empty(1, *shape, device="meta"))
    return runs


@pytest.mark.parametrize("name", get_args(BranchedName))
def test_totals_and_layers_are_those_of_torchvision(name: BranchedName) -> None:
    published = models.get_model_weights(name).DEFAULT.meta
    network = torchvision_network(name)
    report = analyze(named_network(name).network, (3, 224, 224))
    assert report.parameters == sum(p.numel() for p in network.parameters()) == published["num_params"]
    assert report.buffers == sum(buffer.numel() for buffer in network.buffers())
    assert round(report.macs / 1e9, 3) == published["_ops"]
    assert report.output == (1000,)
    expected = run_sizes(network, (3, 224, 224))
    names = {kind for kind, _ in expected}
    found = [(traced.layer.name, traced.output) for traced in report.traced if traced.layer.name in names]
    assert sorted(found) == sorted(expected)  # branches may run in another order


def test_another_head_replaces_the_last_layer() -> None:
    for name in ("resnet18", "squeezenet1_0"):
        report = analyze(branched_network(name, lambda inputs: f"Linear({inputs}, 7)"), (3, 64, 64))
        network = torchvision_network(name)
        body = sum(p.numel() for p in network.parameters()) - 513_000
        assert (report.output, report.parameters) == ((7,), body + 513 * 7 - 7 + 7)


def convolutions(name: NetworkName) -> list[Layer]:
    report = analyze(named_network(name).network, (3, 224, 224))
    return [traced.layer for traced in report.traced if traced.layer.name == "Conv2d"]


def test_alexnet_for_one_gpu_is_that_of_torchvision_and_for_two_that_of_the_slide() -> None:
    one, two = (analyze(named_network(name).network, (3, 224, 224)) for name in ("alexnet", "alexnet-2gpu"))
    assert one.parameters == sum(p.numel() for p in torchvision_network("alexnet").parameters())
    assert round(one.macs / 1e9, 3) == models.AlexNet_Weights.DEFAULT.meta["_ops"]
    assert [layer.positional[1] for layer in convolutions("alexnet")] == [64, 192, 384, 256, 256]
    halves = [layer.positional[1] // 2 for layer in convolutions("alexnet-2gpu")]
    assert tuple(halves) == SLIDE_FILTERS
    kernels, inputs = (11, 5, 3, 3, 3), (3, 48, 256, 192, 192)  # the third convolution reads both GPUs
    weights = sum(2 * f * i * k * k + 2 * f for f, i, k in zip(SLIDE_FILTERS, inputs, kernels, strict=True))
    dense = sum(before * after + after for before, after in ((9216, 4096), (4096, 4096), (4096, 1000)))
    assert two.parameters == weights + dense == 60_965_224
    sides = [traced.output[1] for traced in two.traced if traced.layer.name == "Conv2d"]
    assert sides == [55, 27, 13, 13, 13]
