"""Closed sets of names that options offer and models build; loaded without torch."""

from typing import Literal

Activation = Literal["relu", "sigmoid", "tanh", "leaky-relu", "gelu"]
Initialization = Literal["default", "zeros", "ones", "uniform", "normal"]
Cell = Literal["lstm", "gru", "rnn"]
