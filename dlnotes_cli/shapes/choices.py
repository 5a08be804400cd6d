"""The closed sets of words, apart from what they mean, so that options can name them at no cost."""

from typing import Literal

NetworkName = Literal["lenet5", "alexnet", "vgg11", "vgg13", "vgg16", "vgg19", "notes-mlp", "notes-cnn"]
Dtype = Literal["float32", "float16", "bfloat16", "float64"]
OptimizerName = Literal["sgd", "momentum", "rmsprop", "adagrad", "adam", "adamw"]
Unknown = Literal["padding", "kernel", "stride", "output_padding"]
