"""`dlnotes loss`: the numbers of the course, PyTorch as oracle on drawn cases, formats, and invalid input."""

import io
import json
import math
import sys
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812  # PyTorch's own abbreviation
from builders import Command
from hypothesis import given
from hypothesis import strategies as st
from test_structure import loaded_by

from dlnotes_cli.api import LossConfig, LossResult, calculate_loss
from dlnotes_cli.lessons.loss import log_softmax

SCORES = st.floats(-50, 50)
TOLERANCE = 1e-10


def matrices(
    cells: st.SearchStrategy[float], rows: int = 4, columns: int = 5, least: int = 2
) -> st.SearchStrategy[Any]:
    return st.tuples(st.integers(1, rows), st.integers(least, columns)).flatmap(
        lambda size: st.lists(st.lists(cells, min_size=size[1], max_size=size[1]), min_size=size[0], max_size=size[0])
    )


def text(rows: Any) -> str:
    return "; ".join(" ".join(map(repr, row)) for row in rows)


def column(values: Any) -> str:
    return "; ".join(map(str, values))


def draw_classes(data: st.DataObject, scores: Any) -> list[int]:
    return data.draw(st.lists(st.integers(0, len(scores[0]) - 1), min_size=len(scores), max_size=len(scores)))


def assert_agrees(
    config: LossConfig, x: torch.Tensor, expected: torch.Tensor, *, has_kinks: bool = False
) -> LossResult:
    """Assert that the loss and its gradient by `x` are those of PyTorch."""
    result = calculate_loss(config)
    expected.backward()
    assert x.grad is not None
    assert_close(result.value, expected)
    if not has_kinks:  # a kink has several slopes
        found = [list(sample.gradient or ()) for sample in result.samples]
        np.testing.assert_allclose(found, x.grad, rtol=TOLERANCE, atol=1e-9)
    return result


def tensor(rows: Any) -> torch.Tensor:
    return torch.tensor(rows, dtype=torch.float64, requires_grad=True)


def assert_close(have: Any, want: torch.Tensor) -> None:
    np.testing.assert_allclose(have, want.detach().numpy(), rtol=TOLERANCE, atol=1e-12)


# PyTorch


@given(
    st.data(), matrices(SCORES), st.floats(0, 1), st.floats(0.1, 10), st.sampled_from(["mean", "sum"]), st.booleans()
)
def test_cross_entropy_agrees_with_torch(
    data: st.DataObject, scores: Any, smoothing: float, temperature: float, reduction: Any, has_classes: bool
) -> None:
    options: dict[str, Any] = {"label_smoothing": smoothing, "reduction": reduction}
    x, weights = tensor(scores), None
    if has_classes:
        classes = draw_classes(data, scores)
        weights = tuple(data.draw(st.lists(st.floats(0.1, 3), min_size=len(scores[0]), max_size=len(scores[0]))))
        true, targets = column(classes), torch.tensor(classes)
        options["weight"] = torch.tensor(weights, dtype=torch.float64)
    else:  # distributions
        rows = st.lists(SCORES, min_size=len(scores[0]), max_size=len(scores[0]))
        drawn = data.draw(st.lists(rows, min_size=len(scores), max_size=len(scores)))
        targets = torch.softmax(torch.tensor(drawn, dtype=torch.float64), 1)
        true = text(targets.tolist())
    config = LossConfig(
        scores=text(scores), true=true, label_smoothing=smoothing, temperature=temperature, class_weights=weights,
        reduction=reduction,
    )  # fmt: skip
    result = assert_agrees(config, x, F.cross_entropy(x / temperature, targets, **options))
    assert result.loss == "cross-entropy"
    assert_close([sample.probabilities for sample in result.samples], torch.softmax(x / temperature, 1))
    assert_close([sample.log_probabilities for sample in result.samples], torch.log_softmax(x / temperature, 1))


ELEMENTWISE: dict[str, Any] = {
    "mse": F.mse_loss,
    "mae": F.l1_loss,
    "huber": F.huber_loss,
    "bce": F.binary_cross_entropy_with_logits,
    "hinge": lambda x, t, reduction: F.margin_ranking_loss(x, torch.zeros_like(x), t, margin=1.0, reduction=reduction),
}


@pytest.mark.parametrize("loss", ELEMENTWISE)
@given(data=st.data(), scores=matrices(SCORES, least=1), reduction=st.sampled_from(["mean", "sum"]))
def test_elementwise_losses_agree_with_torch(loss: Any, data: st.DataObject, scores: Any, reduction: Any) -> None:
    cells = {"bce": st.floats(0, 1), "hinge": st.sampled_from([-1.0, 1.0])}.get(loss, SCORES)
    rows = st.lists(cells, min_size=len(scores[0]), max_size=len(scores[0]))
    targets = data.draw(st.lists(rows, min_size=len(scores), max_size=len(scores)))
    config = LossConfig(scores=text(scores), true=text(targets), loss=loss, reduction=reduction)
    x, t = tensor(scores), torch.tensor(targets, dtype=torch.float64)
    has_kinks = loss in {"mae", "hinge"} and bool((x == t).any())
    assert_agrees(config, x, ELEMENTWISE[loss](x, t, reduction=reduction), has_kinks=has_kinks)


@given(st.data(), matrices(SCORES))
def test_nll_and_multi_margin_agree_with_torch(data: st.DataObject, scores: Any) -> None:
    classes = draw_classes(data, scores)
    functions: dict[Any, Any] = {"nll": F.nll_loss, "hinge": F.multi_margin_loss}
    logarithms = torch.log_softmax(torch.tensor(scores, dtype=torch.float64), 1).clamp(max=0).tolist()
    for loss, function in functions.items():
        x = tensor(rows := logarithms if loss == "nll" else scores)
        config = LossConfig(scores=text(rows), true=column(classes), loss=loss)
        assert_agrees(config, x, function(x, torch.tensor(classes)))


@given(st.lists(st.floats(0.01, 0.99), min_size=1, max_size=6), st.data())
def test_binary_cross_entropy_of_probabilities_agrees_with_torch(p: list[float], data: st.DataObject) -> None:
    targets = data.draw(st.lists(st.sampled_from([0.0, 1.0]), min_size=len(p), max_size=len(p)))
    result = calculate_loss(LossConfig(probabilities=text([p]), true=text([targets]), loss="bce"))
    expected = F.binary_cross_entropy(torch.tensor(p, dtype=torch.float64), torch.tensor(targets, dtype=torch.float64))
    assert_close(result.value, expected)
    likelihood = math.prod(q if t else 1 - q for q, t in zip(p, targets, strict=True))
    assert result.likelihood == pytest.approx(likelihood, rel=1e-9)


def test_large_scores_are_exact() -> None:
    assert log_softmax([1e30, 0]) == [0.0, -1e30]
    assert log_softmax([40.0, 0.0])[0] == -math.log1p(math.exp(-40.0))  # where 1 + exp(-40) is 1
    result = calculate_loss(LossConfig(scores="1000 -1000", true="1 1", loss="bce"))
    assert result.samples[0].losses == (0.0, 1000.0)


# Inputs and formats


def test_standard_input_and_a_table_without_header(dlnotes: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    for content, true in ((b"2,1,0\n0,3,1\n", "0 2"), (b"2 ; 1;0;0\n0;3;1;2\n", "4")):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
        document = json.loads(dlnotes("loss", "--scores", "-", "--true", true, "--json").out)
        assert document["mean"] == pytest.approx((0.40760596 + 2.16984602) / 2, abs=1e-7)


def test_nothing_heavy_is_loaded() -> None:
    assert not {"torch", "numpy", "matplotlib"} & loaded_by("loss", "--scores", "2 1 0", "--true", "0")
