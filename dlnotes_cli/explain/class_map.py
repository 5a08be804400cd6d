"""The map of one class for one image."""

from dataclasses import dataclass

from dlnotes_cli.explain.check import MapCheck
from dlnotes_cli.explain.heat import Floats, TopRegion


@dataclass(frozen=True)
class ClassMap:
    """The map of a class, its summary, and the tests of `--check`."""

    requested: str  # the value of --class
    class_name: str
    probability: float
    is_predicted: bool  # whether it is the class that the network predicts
    values: Floats  # (h, w), as the method returns them
    at_input: Floats  # (H, W), resampled to the network's input
    region: TopRegion | None
    check: MapCheck | None = None
    randomized: Floats | None = None  # the map (h, w) of re-initialized weights
