"""The plot of a confusion matrix is readable for any number of classes and any accuracy."""

import re
from itertools import pairwise

import numpy as np
import pytest
from drawn import has_white_margin, texts
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as stn
from matplotlib.figure import Figure
from numpy.typing import NDArray

from dlnotes_cli.plots.confusion import draw_confusion, most_frequent_confusions

LONG = "Lepidoptera_Nymphalidae_Heliconius_{}_of_the_upper_river"


def matrix_of(classes: int, wrong: int = 1, samples: int = 100) -> NDArray[np.int64]:
    """Each class with so many samples, of which some are taken for the next class."""
    identity = np.eye(classes, dtype=np.int64)
    return identity * (samples - wrong) + np.roll(identity, 1, axis=1) * wrong


def number_sizes(figure: Figure) -> list[float]:
    """The font sizes of the counts in the matrix."""
    return [float(text.get_fontsize()) for text in figure.axes[0].texts if text.get_text().isdigit()]


@given(stn.arrays(np.int64, st.integers(1, 6).map(lambda n: (n, n)), elements=st.integers(0, 5)), st.integers(1, 12))
def test_the_most_frequent_confusions(matrix: NDArray[np.int64], most: int) -> None:
    found = most_frequent_confusions(matrix, most)
    errors = sorted((int(n) for (i, j), n in np.ndenumerate(matrix) if i != j and n), reverse=True)
    assert [confusion.count for confusion in found] == errors[:most]
    for confusion in found:
        assert confusion.true != confusion.predicted
        assert matrix[confusion.true, confusion.predicted] == confusion.count
    assert len({(confusion.true, confusion.predicted) for confusion in found}) == len(found)


def test_few_classes_have_large_numbers(figures: list[Figure]) -> None:
    sizes = []
    for count in (2, 10, 39):
        draw_confusion(matrix_of(count, samples=1000), [f"c{i}" for i in range(count)])
        sizes.append(max(number_sizes(figures[-1])))
    assert sizes[0] >= 16
    assert sizes[1] >= 14
    assert sizes[0] >= sizes[1] > sizes[2] >= 5


def test_from_40_classes_on_the_confusions_are_in_a_list(figures: list[Figure]) -> None:
    matrix = matrix_of(40)
    matrix[7, 30], matrix[20, 3] = 9, 5
    draw_confusion(matrix, [f"class {i}" for i in range(40)])
    assert not number_sizes(figures[-1])
    shown = [text for text in texts(figures[-1]) if "→" in text]
    assert len(shown) == 10
    assert shown[:2] == ["class 7\n→ class 30", "class 20\n→ class 3"]
    assert {"9", "5", "of 109", "of 105"} <= set(texts(figures[-1]))
    draw_confusion(matrix_of(39), [f"class {i}" for i in range(39)])
    assert len(number_sizes(figures[-1])) == 2 * 39  # no zeros
    assert not [text for text in texts(figures[-1]) if "→" in text]


@pytest.mark.parametrize(
    ("matrix", "text"),
    [
        (matrix_of(50, wrong=0), "no confusions"),
        (matrix_of(3, wrong=12, samples=1000), "accuracy 0.988 (2,964 of 3,000)"),
        (np.zeros((2, 2), np.int64), "no samples"),
    ],
)
def test_accuracy_and_what_is_missing_are_said(matrix: NDArray[np.int64], text: str, figures: list[Figure]) -> None:
    draw_confusion(matrix, [f"class {i}" for i in range(len(matrix))])
    assert text in figures[-1].axes[0].get_title(loc="left") or text in texts(figures[-1])


@pytest.mark.parametrize("count", [10, 60])
def test_the_errors_of_a_good_model_are_visible(count: int, figures: list[Figure]) -> None:
    matrix = matrix_of(count, wrong=0, samples=1000)
    matrix[0, count - 1] = 1
    draw_confusion(matrix, [f"class {i}" for i in range(count)])
    (image,) = figures[-1].axes[0].images
    colors = np.asarray(image.get_array())[..., :3]
    assert np.abs(colors[0, count - 1] - 1).sum() > 0.08
    assert (colors[1, count - 1] == 1).all()
    assert np.abs(colors[0, 0] - colors[0, count - 1]).sum() > 1  # correct is of another color


def test_a_larger_share_of_the_true_class_is_darker_whether_correct_or_not(figures: list[Figure]) -> None:
    draw_confusion(np.array([[68, 32], [90, 10]]), ["a", "b"], "digits, test split")
    colors = np.asarray(figures[-1].axes[0].images[0].get_array())[..., :3] @ [0.299, 0.587, 0.114]
    assert colors[1, 0] < colors[0, 1]
    assert colors[0, 0] < colors[0, 1] < colors[1, 1]
    assert figures[-1].axes[0].get_title(loc="left").startswith("digits, test split\naccuracy 0.390")


@pytest.mark.parametrize(
    "classes",
    [
        ["not admitted to the school", "admitted"],
        [LONG.format(i) for i in range(3)],
        [LONG.format(i) for i in range(12)],
        [LONG.format(f"{i}{'ab' * i}") for i in range(45)],
        ["猫" * 20, "ภาษาไทย" * 5, "$x^2$", "a\nb"],
        ["only"],
    ],
    ids=["words", "3", "12", "45", "scripts", "1"],
)
def test_nothing_is_cut_and_no_names_merge(classes: list[str], figures: list[Figure]) -> None:
    png = draw_confusion(matrix_of(len(classes), wrong=len(classes) > 1), classes)
    assert has_white_margin(png)
    axes = figures[-1].axes[0]
    for axis in (axes.xaxis, axes.yaxis):
        labels = [label for label in axis.get_ticklabels() if label.get_text()]
        assert len({label.get_text() for label in labels}) == len(classes)
        if labels[0].get_rotation() in {0.0, 90.0}:
            boxes = [label.get_window_extent() for label in labels]
            assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])
        else:  # slanted by 45 degrees
            distance = axes.bbox.width / len(classes) * 0.707
            assert float(labels[0].get_fontsize()) * 120 / 72 < distance


def test_names_that_do_not_fit_are_left_out_at_equal_steps(figures: list[Figure]) -> None:
    draw_confusion(matrix_of(300), [f"class {i}" for i in range(300)])
    shown = [int(re.sub(r"\D", "", label.get_text())) for label in figures[-1].axes[0].yaxis.get_ticklabels()]
    assert shown == list(range(0, 300, shown[1]))
    boxes = [label.get_window_extent() for label in figures[-1].axes[0].yaxis.get_ticklabels()]
    assert not any(a.overlaps(b) for a, b in pairwise(boxes))
