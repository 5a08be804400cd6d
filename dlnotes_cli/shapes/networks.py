"""The course's networks by name, each as a layer list with its usual input shape."""

from typing import NamedTuple

from dlnotes_cli.shapes.layer import Shape


class NamedNetwork(NamedTuple):
    """A layer list, and the shape of one sample that it expects."""

    input: Shape
    layers: str


LENET5 = """
Conv2d(1, 6, 5); Tanh(); AvgPool2d(2)
Conv2d(6, 16, 5); Tanh(); AvgPool2d(2)
Flatten()
Linear(400, 120); Tanh()
Linear(120, 84); Tanh()
Linear(84, 10)
"""  # LeCun et al. 1998, but with a second convolution over all channels, as is usual today

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

REMARKS = {  # which of several networks that share a name this one is
    "alexnet": "alexnet is torchvision's, for one GPU, with 64/192/384/256/256 filters; the one of 2012 and of the "
    "course's slide, for two GPUs with 48/128/192/192/128 filters each, is alexnet-2gpu",
    "alexnet-2gpu": "alexnet-2gpu is the network of 2012 and of the course's slide, for two GPUs with "
    "48/128/192/192/128 filters each; torchvision's, for one GPU, is alexnet",
    "googlenet": "googlenet is torchvision's, without the two auxiliary heads, which only training uses",
    "inception_v3": "inception_v3 is torchvision's, without the auxiliary head, which only training uses",
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

NETWORKS: dict[str, NamedNetwork] = {
    "lenet5": NamedNetwork((1, 32, 32), LENET5),
    "alexnet-2gpu": NamedNetwork((3, 224, 224), ALEXNET_2GPU),
    "notes-mlp": NamedNetwork((1, 28, 28), COURSE_MLP),
    "notes-cnn": NamedNetwork((3, 32, 32), COURSE_CNN),
}
