"""Small networks with random weights, opened as the program opens trained ones."""

import torch
from torch import Tensor, nn

from dlnotes_cli.data.preprocessing import ImagePreprocessing
from dlnotes_cli.device import Runtime
from dlnotes_cli.inference.inspected_network import InspectedNetwork, path_names

SIDE = 9
CLASSES = ("a", "b", "c")


def conv_gap_linear() -> nn.Sequential:
    """Convolution, global average pooling and one linear layer, for which the classic class activation map exists."""
    return nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, len(CLASSES))
    )


def deep() -> nn.Sequential:
    """Several convolutions with batch normalization and pooling."""
    network = nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(), nn.MaxPool2d(2, ceil_mode=True),
        nn.Conv2d(6, 8, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(),
        nn.Linear(32, 10), nn.Tanh(), nn.Linear(10, len(CLASSES)),
    )  # fmt: skip
    for buffer in network.buffers():
        if buffer.is_floating_point():
            buffer.add_(torch.rand_like(buffer))
    return network


def opened(module: nn.Module, kind: str = "cnn", size: tuple[int, int] = (SIDE, SIDE)) -> InspectedNetwork:
    """A module as an opened network for images of this height and width."""
    preprocessing = ImagePreprocessing(3, *size, "squash", (0.5, 0.4, 0.3), (0.2, 0.25, 0.3))
    runtime = Runtime(torch.device("cpu"), "fp32", 1)
    network = module.eval().requires_grad_(requires_grad=False)
    return InspectedNetwork(
        "toy", kind, "toy", "0", network, runtime, preprocessing, CLASSES, names=path_names(network)
    )  # fmt: skip


def images(network: InspectedNetwork, count: int = 3, seed: int = 0) -> Tensor:
    """Random images as the network reads them."""
    generator = torch.Generator().manual_seed(seed)
    shape = (count, *network.input_shape)
    return network.prepare(torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator))
