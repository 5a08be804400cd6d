"""The map of embeddings marks the evaluated points and the mistakes among them."""

import numpy as np
import pytest
from drawn import texts
from matplotlib.collections import Collection, PathCollection
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure

from dlnotes_cli.plots.embedding import EmbeddedPoints, draw_embedding_map
from dlnotes_cli.plots.figure import RED


def offsets(collection: Collection) -> list[list[float]]:
    """The points of a scatter plot."""
    points: list[list[float]] = np.asarray(collection.get_offsets()).tolist()
    return points


@pytest.mark.parametrize(("split", "others"), [("test", "train, validation"), ("validation", "train")])
def test_evaluated_and_wrong_points_are_marked(split: str, others: str, figures: list[Figure]) -> None:
    generator = np.random.default_rng(0)
    points, labels = generator.normal(size=(30, 2)), generator.integers(0, 3, 30)
    is_evaluated = np.arange(30) >= 20
    is_wrong = np.isin(np.arange(30), [21, 25])
    embedded = EmbeddedPoints(points, labels, is_evaluated, is_wrong, split)
    draw_embedding_map(embedded, list("abc"), ("x", "y"))
    drawn = texts(figures[-1])
    assert {f"{others}: 20", f"{split}: 10", f"{split}, wrong: 2"} <= set(drawn)
    layers = [c for c in figures[-1].axes[0].collections if isinstance(c, PathCollection) and len(offsets(c))]
    crosses = [c for c in layers if np.allclose(np.asarray(c.get_edgecolor())[:1], [to_rgba(RED)])]
    assert [offsets(c) for c in crosses] == [points[is_wrong].tolist()]
    edged = [c for c in layers if c not in crosses and np.max(c.get_linewidth()) > 0]
    assert sorted(point for c in edged for point in offsets(c)) == sorted(points[is_evaluated].tolist())


def test_up_to_64_classes_differ_in_color_or_marker(figures: list[Figure]) -> None:
    labels, none = np.arange(64), np.zeros(64, bool)
    embedded = EmbeddedPoints(np.zeros((64, 2)), labels, none, none, "test")
    draw_embedding_map(embedded, [str(i) for i in labels], ("x", "y"))
    styles = {
        (tuple(np.asarray(c.get_facecolor())[0]), np.asarray(c.get_paths()[0].vertices).tobytes())
        for c in figures[-1].axes[0].collections
        if len(offsets(c)) and len(np.asarray(c.get_facecolor()))
    }
    assert len(styles) == 64


def test_each_class_is_named_in_the_middle_of_its_points(figures: list[Figure]) -> None:
    labels, none = np.arange(20) % 10, np.zeros(20, bool)
    points = np.stack([labels, np.arange(20) // 10], 1).astype(float)
    names = [f"c{i}" for i in range(10)]
    draw_embedding_map(EmbeddedPoints(points, labels, none, none, ""), names, ("x", "y"), "a title")
    axes = figures[-1].axes[0]
    assert {text.get_text(): text.get_position() for text in axes.texts} == {
        name: (float(i), 0.5) for i, name in enumerate(names)
    }
    colors = {tuple(np.asarray(c.get_facecolor())[0][:3]) for c in axes.collections if len(offsets(c))}
    assert len(colors) == 10
    assert axes.get_title() == "a title"


def test_long_names_stay_inside_the_plot(figures: list[Figure]) -> None:
    labels, none = np.arange(3), np.zeros(3, bool)
    points = np.array([[0.0, 0.0], [5.0, 1.0], [10.0, 2.0]])
    names = ["a long class name", "another long name", "猫の長い名前"]
    draw_embedding_map(EmbeddedPoints(points, labels, none, none, ""), names, ("x", "y"))
    axes = figures[-1].axes[0]
    box = axes.get_window_extent()
    for text in axes.texts:
        found = text.get_window_extent()
        assert box.x0 <= found.x0 < found.x1 <= box.x1
