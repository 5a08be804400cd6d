"""The map of embeddings in a plane."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dlnotes_cli.plots.figure import GRAY, RED, new_figure, png, with_fonts
from dlnotes_cli.plots.names import distinct_names, plain, words_in_lines

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

_COLORS = (  # of Petroff 2021 (arXiv:2107.02270), distinct for any color vision
    "#3f90da", "#ffa90e", "#bd1f01", "#94a4a2", "#832db6", "#a96b59", "#e76300", "#b9ac70", "#717581", "#92dadd",
)  # fmt: skip
_TITLE_COLUMNS = 76  # characters of a line of the title
_MARKERS = "o^svDP*<"  # which change with the color, and where a color is used again
_MOST_IN_LEGEND = 30  # classes
_LABEL_COLUMNS = 14  # characters of a class name in the plot
_LEGEND_COLUMNS, _LEGEND_ROWS = 24, 20  # characters of a class name, and classes one below the other


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


def draw_embedding_map(
    embedded: EmbeddedPoints, classes: Sequence[str], axes_names: tuple[str, str], title: str = ""
) -> bytes:
    """Scatter plot with a color, a marker and a name in the middle of the points for each class.

    Evaluated points have an edge, and mistakes a cross.
    """
    figure = new_figure(8.0 if len(classes) <= _LEGEND_ROWS else 10.0, 6.4)
    axes = figure.add_subplot()
    for i, name in enumerate(distinct_names(classes, _LEGEND_COLUMNS)):
        color, marker = _COLORS[i % len(_COLORS)], _MARKERS[(i + i // len(_COLORS)) % len(_MARKERS)]
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
    lines = words_in_lines(title or f"features of {len(embedded.points):,} images", _TITLE_COLUMNS)
    axes.set_title("\n".join(map(plain, lines)), fontsize=11)
    _add_legend(axes, embedded, len(classes))
    if 1 < len(classes) <= _MOST_IN_LEGEND:
        _name_classes(figure, axes, embedded, classes)
    return png(figure)


def _name_classes(figure: "Figure", axes: "Axes", embedded: EmbeddedPoints, classes: Sequence[str]) -> None:
    """The name of each class at the median of its points with a white outline, unless it would cover another one."""
    from matplotlib.patheffects import withStroke

    outline, texts, boxes = [withStroke(linewidth=3, foreground="white")], [], []
    for i, name in enumerate(distinct_names(classes, _LABEL_COLUMNS)):
        points = embedded.points[embedded.labels == i]
        if len(points):
            x, y = np.median(points, axis=0)
            text = axes.text(x, y, plain(name), ha="center", va="center", fontsize=12, fontweight="bold", zorder=4)
            text.set(path_effects=outline, in_layout=False)
            texts.append(text)
    with with_fonts(figure):
        figure.draw_without_rendering()  # which moves the axes
        inside = axes.get_window_extent()
        for text in texts:
            box = text.get_window_extent()
            text.set_horizontalalignment("left" if box.x0 < inside.x0 else "right" if box.x1 > inside.x1 else "center")
            boxes.append(text.get_window_extent())
            if any(map(boxes[-1].overlaps, boxes[:-1])):
                text.remove()
                boxes.pop()


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
    columns = -(-len(handles) // _LEGEND_ROWS)
    axes.legend(handles=handles, frameon=False, bbox_to_anchor=(1.0, 1.0), loc="upper left", ncols=max(columns, 1))
