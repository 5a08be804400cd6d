"""Well-known networks by name, each as a layer list with its usual input shape."""

from collections.abc import Callable
from typing import NamedTuple

from dlnotes_cli.shapes.choices import BranchedName, NetworkName
from dlnotes_cli.shapes.graph import Network
from dlnotes_cli.shapes.layer import Shape
from dlnotes_cli.shapes.parsing.layer_list import parse_network


class NamedNetwork(NamedTuple):
    """A layer list, or a graph of branches, and the shape of one sample that it expects."""

    input: Shape
    layers: str
    branches: Network | None = None

    @property
    def network(self) -> Network:
        """The network, parsed."""
        return self.branches or parse_network(self.layers)


LENET5 = """
Conv2d(1, 6, 5); Tanh(); AvgPool2d(2)
Conv2d(6, 16, 5); Tanh(); AvgPool2d(2)
Flatten()
Linear(400, 120); Tanh()
Linear(120, 84); Tanh()
Linear(84, 10)
"""  # LeCun et al. 1998, but with a second convolution over all channels, as is usual today

ALEXNET = """
Conv2d(3, 64, kernel_size=11, stride=4, padding=2); ReLU(inplace=True); MaxPool2d(kernel_size=3, stride=2)
Conv2d(64, 192, kernel_size=5, padding=2); ReLU(inplace=True); MaxPool2d(kernel_size=3, stride=2)
Conv2d(192, 384, kernel_size=3, padding=1); ReLU(inplace=True)
Conv2d(384, 256, kernel_size=3, padding=1); ReLU(inplace=True)
Conv2d(256, 256, kernel_size=3, padding=1); ReLU(inplace=True); MaxPool2d(kernel_size=3, stride=2)
AdaptiveAvgPool2d((6, 6)); Flatten()
Dropout(0.5); Linear(256 * 6 * 6, 4096); ReLU(inplace=True)
Dropout(0.5); Linear(4096, 4096); ReLU(inplace=True)
Linear(4096, 1000)
"""  # Krizhevsky 2014 (arXiv:1404.5997), as in torchvision

ALEXNET_2GPU = """
Conv2d(3, 96, kernel_size=11, stride=4, padding=2); ReLU(inplace=True); LocalResponseNorm(5, k=2.0)
MaxPool2d(kernel_size=3, stride=2)
Conv2d(96, 256, kernel_size=5, padding=2, groups=2); ReLU(inplace=True); LocalResponseNorm(5, k=2.0)
MaxPool2d(kernel_size=3, stride=2)
Conv2d(256, 384, kernel_size=3, padding=1); ReLU(inplace=True)
Conv2d(384, 384, kernel_size=3, padding=1, groups=2); ReLU(inplace=True)
Conv2d(384, 256, kernel_size=3, padding=1, groups=2); ReLU(inplace=True); MaxPool2d(kernel_size=3, stride=2)
Flatten(); Dropout(0.5); Linear(256 * 6 * 6, 4096); ReLU(inplace=True)
Dropout(0.5); Linear(4096, 4096); ReLU(inplace=True)
Linear(4096, 1000)
"""  # Krizhevsky et al. 2012: each GPU has half of the channels (groups=2), and both meet in the third convolution

REMARKS: dict[NetworkName, str] = {  # which of several networks that share a name this one is
    "alexnet": "alexnet is torchvision's, for one GPU, with 64/192/384/256/256 filters; the one of 2012 and of the "
    "course's slide, for two GPUs with 48/128/192/192/128 filters each, is alexnet-2gpu",
    "alexnet-2gpu": "alexnet-2gpu is the network of 2012 and of the course's slide, for two GPUs with "
    "48/128/192/192/128 filters each; torchvision's, for one GPU, is alexnet",
    "googlenet": "googlenet is torchvision's, without the two auxiliary heads, which only training uses",
}

COURSE_MLP = """
Flatten()
Linear(784, 512); ReLU(); Dropout(0.2)
Linear(512, 512); ReLU(); Dropout(0.2)
Linear(512, 10)
"""

COURSE_CNN = """
Conv2d(3, 16, 3, padding=1); ReLU(); MaxPool2d(2, 2)
Conv2d(16, 32, 3, padding=1); ReLU(); MaxPool2d(2, 2)
Conv2d(32, 64, 3, padding=1); ReLU(); MaxPool2d(2, 2)
Flatten(); Dropout(0.25)
Linear(1024, 500); ReLU(); Dropout(0.25)
Linear(500, 10)
"""

VGG_HEAD = """
AdaptiveAvgPool2d((7, 7)); Flatten()
Linear(512 * 7 * 7, 4096); ReLU(inplace=True); Dropout(0.5)
Linear(4096, 4096); ReLU(inplace=True); Dropout(0.5)
Linear(4096, 1000)
"""


def _vgg(*convolutions: int) -> str:
    """Simonyan and Zisserman 2014 (arXiv:1409.1556), as in torchvision: how many 3x3 convolutions per block."""
    lines, inputs = [], 3
    for count, outputs in zip(convolutions, (64, 128, 256, 512, 512), strict=True):
        for _ in range(count):
            lines.append(f"Conv2d({inputs}, {outputs}, kernel_size=3, padding=1); ReLU(inplace=True)")
            inputs = outputs
        lines.append("MaxPool2d(kernel_size=2, stride=2)")
    return "\n".join(lines) + VGG_HEAD


def _branched(name: BranchedName) -> NamedNetwork:
    from dlnotes_cli.shapes.branched_networks import branched_network  # only networks with branches need it

    return NamedNetwork((3, 224, 224), "", branched_network(name))


_NETWORKS: dict[NetworkName, Callable[[], NamedNetwork]] = {
    "lenet5": lambda: NamedNetwork((1, 32, 32), LENET5),
    "alexnet": lambda: NamedNetwork((3, 224, 224), ALEXNET),
    "alexnet-2gpu": lambda: NamedNetwork((3, 224, 224), ALEXNET_2GPU),
    "vgg11": lambda: NamedNetwork((3, 224, 224), _vgg(1, 1, 2, 2, 2)),
    "vgg13": lambda: NamedNetwork((3, 224, 224), _vgg(2, 2, 2, 2, 2)),
    "vgg16": lambda: NamedNetwork((3, 224, 224), _vgg(2, 2, 3, 3, 3)),
    "vgg19": lambda: NamedNetwork((3, 224, 224), _vgg(2, 2, 4, 4, 4)),
    "resnet18": lambda: _branched("resnet18"),
    "resnet34": lambda: _branched("resnet34"),
    "resnet50": lambda: _branched("resnet50"),
    "resnet101": lambda: _branched("resnet101"),
    "resnet152": lambda: _branched("resnet152"),
    "squeezenet1_0": lambda: _branched("squeezenet1_0"),
    "mobilenet_v2": lambda: _branched("mobilenet_v2"),
    "densenet121": lambda: _branched("densenet121"),
    "googlenet": lambda: _branched("googlenet"),
    "notes-mlp": lambda: NamedNetwork((1, 28, 28), COURSE_MLP),
    "notes-cnn": lambda: NamedNetwork((3, 32, 32), COURSE_CNN),
}


def named_network(name: NetworkName) -> NamedNetwork:
    """A network, as a layer list or with its branches, and its usual input shape.

    >>> named_network("lenet5").input
    (1, 32, 32)
    """
    return _NETWORKS[name]()
