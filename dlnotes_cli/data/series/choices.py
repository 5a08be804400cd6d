"""The names of what is done with time series, for the choices of options; importing them loads nothing heavy."""

from typing import Literal

Fill = Literal["refuse", "linear", "forward", "skip"]
Scaling = Literal["standard", "minmax", "none"]
GENERATED_SETS = ("sine", "trend-season")
