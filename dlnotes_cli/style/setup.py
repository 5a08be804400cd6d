"""What the images of one call have in common, and what is to be made."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dlnotes_cli.style.feature_network import FeatureNetwork
from dlnotes_cli.style.images import InputImage, StyleImage
from dlnotes_cli.style.masks import RegionMasks
from dlnotes_cli.style.options import StyleTransferConfig
from dlnotes_cli.style.recipes import StyleRecipe


@dataclass(frozen=True)
class StyleSetup:
    """What all images of one call have in common."""

    config: StyleTransferConfig
    recipe: StyleRecipe
    network: FeatureNetwork
    styles: Sequence[StyleImage]
    start: InputImage | None  # None: the content, or noise
    budget_s: float | None  # for each image
    masks: RegionMasks | None = None  # None: one region, the whole image


@dataclass(frozen=True)
class Stylization:
    """One image to make."""

    content: InputImage
    ratio: float  # content weight / style weight
    longer_side: int  # of the result, in pixels
    out: Path
