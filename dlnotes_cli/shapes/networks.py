"""Networks that are known by name, each as a plain layer list with its usual input."""

from typing import NamedTuple

from dlnotes_cli.shapes.names import NetworkName


class Network(NamedTuple):
    """A layer list and the shape of one sample that it is made for."""

    input: str
    layers: str


LENET5 = """
Conv2d(1, 6, 5); Tanh(); AvgPool2d(2)
Conv2d(6, 16, 5); Tanh(); AvgPool2d(2)
Flatten()
Linear(400, 120); Tanh()
Linear(120, 84); Tanh()
Linear(84, 10)
"""  # LeCun and others, 1998, with the full connection table that is usual today

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
"""  # Krizhevsky, 2014, as torchvision has it

NOTES_MLP = """
Flatten()
Linear(784, 512); ReLU(); Dropout(0.2)
Linear(512, 512); ReLU(); Dropout(0.2)
Linear(512, 10)
"""

NOTES_CNN = """
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


def _vgg(*blocks: int) -> str:
    """Simonyan and Zisserman, 2014, as torchvision has it: so many 3x3 convolutions before each halving of the size."""
    lines, inputs = [], 3
    for convolutions, outputs in zip(blocks, (64, 128, 256, 512, 512), strict=True):
        for _ in range(convolutions):
            lines.append(f"Conv2d({inputs}, {outputs}, kernel_size=3, padding=1); ReLU(inplace=True)")
            inputs = outputs
        lines.append("MaxPool2d(kernel_size=2, stride=2)")
    return "\n".join(lines) + VGG_HEAD


def known_network(name: NetworkName) -> Network:
    """The layer list of a network, and its usual input.

    >>> known_network("lenet5").input
    '1x32x32'
    """
    return {
        "lenet5": lambda: Network("1x32x32", LENET5),
        "alexnet": lambda: Network("3x224x224", ALEXNET),
        "vgg11": lambda: Network("3x224x224", _vgg(1, 1, 2, 2, 2)),
        "vgg13": lambda: Network("3x224x224", _vgg(2, 2, 2, 2, 2)),
        "vgg16": lambda: Network("3x224x224", _vgg(2, 2, 3, 3, 3)),
        "vgg19": lambda: Network("3x224x224", _vgg(2, 2, 4, 4, 4)),
        "notes-mlp": lambda: Network("1x28x28", NOTES_MLP),
        "notes-cnn": lambda: Network("3x32x32", NOTES_CNN),
    }[name]()
