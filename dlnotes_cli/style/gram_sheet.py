"""The contact sheet of `--gram`: heat maps of the Gram matrices of style, content and results."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from dlnotes_cli.plots.sheet import ColorBar, Panel, Section, Sheet, colored, short_number

_SIDE = 264  # pixels of a heat map
_PERCENTILE = 99.0  # of the magnitudes: where the colors end, since a few values on the diagonal are much larger
_CAPTION = (
    "Row i, column j: the product of channels i and j, averaged over the image. The colors of a layer end at the 99th "
    "percentile of its magnitudes. Difference: of a matrix from that of the style, in Frobenius norms, relative to it."
)

GramMatrix = NDArray[np.float64]  # (C, C)


def draw_grams(images: Sequence[tuple[str, Mapping[str, Tensor]]], regions: Sequence[str]) -> bytes:
    """A PNG with a row per layer and region, and a column per image; the first one is the style.

    `images` are titles with Gram matrices (R, C, C) by layer, `regions` the names of the regions.
    """
    sections = []
    for layer in images[0][1]:
        for index, region in enumerate(regions or [""]):
            matrices = [(title, grams[layer][index].double().cpu().numpy()) for title, grams in images]
            heading = f"{layer}, {region}" if region else layer
            sections.append(_section(f"{heading}: {matrices[0][1].shape[0]} channels", matrices))
    return Sheet("Gram matrices", sections, _CAPTION, columns=max(len(images), 1), side=_SIDE).png()


def _section(heading: str, matrices: Sequence[tuple[str, GramMatrix]]) -> Section:
    values = np.stack([matrix for _, matrix in matrices])
    limit = float(np.percentile(np.abs(values), _PERCENTILE)) or float(np.abs(values).max()) or 1.0
    low = -limit if (values < 0).any() else 0.0
    style = matrices[0][1]
    panels = [
        Panel(colored(matrix, low, limit), title, "" if matrix is style else _difference(matrix, style))
        for title, matrix in matrices
    ]
    return Section(panels, heading, bar=ColorBar(low, limit, short_number(low), short_number(limit)))


def _difference(matrix: GramMatrix, style: GramMatrix) -> str:
    norm = float(np.linalg.norm(style)) or 1.0
    return f"difference {float(np.linalg.norm(matrix - style)) / norm:.0%}"
