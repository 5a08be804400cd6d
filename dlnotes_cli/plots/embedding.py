"""The map of embeddings in a plane."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dlnotes_cli.plots.figure import COLORS, GRAY, RED, new_figure, png
from dlnotes_cli.plots.names import distinct_names, plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.lines import Line2D

_MARKERS = "o^svDP*<"
_MOST_IN_LEGEND = 30  # classes
_LEGEND_COLUMNS = 24  # characters of a class name


@dataclass(frozen=True)
class EmbeddedPoints:
    """Points (N, 2) of samples, their classes, and which of them were evaluated and which of those are mistakes."""

    points: NDArray[np.floating[Any]]
    labels: NDArray[np.int64]
    is_evaluated: NDArray[np.bool_]
    is_wrong: NDArray[np.bool_]
    split: str  # on which the classifier was evaluated; empty: on none

    @classmethod
    def unevaluated(cls, points: NDArray[np.floating[Any]], labels: NDArray[np.int64]) -> "EmbeddedPoints":
        """Points of samples that no classifier was evaluated on."""
        is_evaluated = np.zeros(len(labels), dtype=bool)
        return cls(points, labels, is_evaluated, is_evaluated, "")


def draw_embedding_map(embedded: EmbeddedPoints, classes: Sequence[str], axes_names: tuple[str, str]) -> bytes:
    """Scatter plot with a color and marker for each class; evaluated points have an edge, and mistakes a cross."""
    figure = new_figure(8.0, 6.4)
    axes = figure.add_subplot()
    for i, name in enumerate(distinct_names(classes, _LEGEND_COLUMNS)):
        color, marker = COLORS[i % len(COLORS)], _MARKERS[i // len(COLORS) % len(_MARKERS)]
        for is_evaluated, size, alpha, edge in ((False, 16, 0.6, 0.0), (True, 34, 1.0, 0.9)):
            x, y = embedded.points[(embedded.labels == i) & (embedded.is_evaluated == is_evaluated)].T
            axes.scatter(
                x, y, size, color=color, marker=marker, alpha=alpha, edgecolors="black", linewidths=edge,
                zorder=3 if is_evaluated else 1,
            )  # fmt: skip
        axes.scatter([], [], 24, color=color, marker=marker, label=plain(name))
    x, y = embedded.points[embedded.is_wrong].T
    axes.scatter(x, y, 110, marker="x", color=RED, linewidths=1.4, zorder=2)  # whose arms the points leave free
    axes.set_xlabel(axes_names[0])
    axes.set_ylabel(axes_names[1])
    axes.set_title(f"features of {len(embedded.points):,} images")
    _add_legend(axes, embedded, len(classes))
    return png(figure)


def _add_legend(axes: "Axes", embedded: EmbeddedPoints, classes: int) -> None:
    """Classes, unless they are too many, and what edges and crosses mean."""
    from matplotlib.lines import Line2D

    def symbol(label: str, **style: Any) -> "Line2D":
        return Line2D([], [], linestyle="", color=GRAY, label=label, **style)

    evaluated, wrong = int(embedded.is_evaluated.sum()), int(embedded.is_wrong.sum())
    others = "train" if embedded.split == "validation" else "train, validation"
    handles = axes.get_legend_handles_labels()[0] if classes <= _MOST_IN_LEGEND else []
    if embedded.split:
        handles += [
            symbol(f"{others}: {len(embedded.labels) - evaluated:,}", marker="o", ms=4, alpha=0.6),
            symbol(f"{embedded.split}: {evaluated:,}", marker="o", ms=6, mec="black"),
            symbol(f"{embedded.split}, wrong: {wrong:,}", marker="x", ms=9, mec=RED, mew=1.4),
        ]
    axes.legend(handles=handles, frameon=False, bbox_to_anchor=(1.0, 1.0), loc="upper left")
