"""The names of what models are built from, for the choices of options; importing them loads no torch."""

from typing import Literal

Activation = Literal["relu", "sigmoid", "tanh", "leaky-relu", "gelu"]
Initialization = Literal["default", "zeros", "ones", "uniform", "normal"]
CellType = Literal["lstm", "gru", "rnn"]
