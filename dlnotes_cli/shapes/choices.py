"""Closed sets of names that options offer, in a module of their own so that `--help` loads little."""

from typing import Literal

BranchedName = Literal[
    "resnet18", "resnet34", "resnet50", "resnet101", "resnet152", "squeezenet1_0", "mobilenet_v2", "densenet121",
    "googlenet",
]  # fmt: skip
NetworkName = Literal[
    "lenet5", "alexnet", "alexnet-2gpu", "vgg11", "vgg13", "vgg16", "vgg19", "resnet18", "resnet34", "resnet50",
    "resnet101", "resnet152", "squeezenet1_0", "mobilenet_v2", "densenet121", "googlenet", "notes-mlp", "notes-cnn",
]  # fmt: skip
Dtype = Literal["float32", "float16", "bfloat16", "float64"]
AssumedOptimizer = Literal["sgd", "momentum", "rmsprop", "adagrad", "adam", "adamw"]
Hyperparameter = Literal["padding", "kernel", "stride", "output_padding"]
