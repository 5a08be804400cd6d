"""Closed sets of names that options offer, in a module of their own so that `--help` loads little."""

from typing import Literal

NetworkName = Literal["lenet5", "alexnet-2gpu", "notes-mlp", "notes-cnn"]
Dtype = Literal["float32", "float16", "bfloat16", "float64"]
AssumedOptimizer = Literal["sgd", "momentum", "rmsprop", "adagrad", "adam", "adamw"]
Hyperparameter = Literal["padding", "kernel", "stride", "output_padding"]
