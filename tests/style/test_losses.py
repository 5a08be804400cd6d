"""The losses of style transfer, compared with plain formulas and finite differences."""

from collections.abc import Mapping

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from dlnotes_cli.style.losses import (
    LossNormalization,
    LossWeights,
    StyleTransferLoss,
    gram,
    style_grams,
)

SHAPES = st.tuples(st.just(1), st.integers(1, 5), st.integers(2, 6), st.integers(2, 6))
NORMALIZATIONS: list[LossNormalization] = ["relative", "notes"]


def random_tensor(shape: tuple[int, ...], seed: int) -> Tensor:
    return torch.tensor(np.random.default_rng(seed).normal(size=shape))


@given(shape=SHAPES, seed=st.integers(0, 99))
def test_a_gram_matrix_is_the_sum_of_products_over_all_positions(shape: tuple[int, ...], seed: int) -> None:
    features = random_tensor(shape, seed)
    expected = np.einsum("chw,dhw->cd", features[0].numpy(), features[0].numpy())
    np.testing.assert_allclose(gram(features).numpy(), expected, atol=1e-12)


def make_loss(content: Tensor, style: Mapping[str, Tensor], normalization: LossNormalization) -> StyleTransferLoss:
    layers = {name: 0.5 + i for i, name in enumerate(style)}
    weights = LossWeights(content=0.7, style=3.0, variation=0.2, style_layers=layers)
    return StyleTransferLoss("content", content, style_grams(style, layers, normalization), weights, normalization)


@pytest.mark.parametrize("normalization", NORMALIZATIONS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_losses_equal_those_of_a_plain_implementation(normalization: LossNormalization, dtype: torch.dtype) -> None:
    content, features, image = (random_tensor((1, 4, 5, 6), seed).to(dtype) for seed in range(3))
    targets = {name: random_tensor((1, 3 + i, 4, 5), 7 + i).to(dtype) for i, name in enumerate("ab")}
    style = {name: random_tensor((1, 3 + i, 6, 4), 17 + i).to(dtype) for i, name in enumerate("ab")}
    losses = make_loss(content, targets, normalization)({"content": features, **style}, image)
    c, f, p = (values.double().numpy()[0] for values in (content, features, image))
    expected_content = ((f - c) ** 2).mean()
    expected_style = 0.0
    for weight, name in ((0.5, "a"), (1.5, "b")):
        s, t = (values[name].double().numpy()[0] for values in (targets, style))
        target, actual = (np.einsum("chw,dhw->cd", v, v) for v in (s, t))
        if normalization == "notes":
            expected_style += weight * ((actual - target) ** 2).mean() / t.size
        else:
            target, actual = target / s[0].size, actual / t[0].size
            expected_style += weight / 2 * ((actual - target) ** 2).sum() / (target**2).sum()
    if normalization == "relative":
        expected_content /= (c**2).mean()
    variation = (np.diff(p, axis=1) ** 2).mean() + (np.diff(p, axis=2) ** 2).mean()
    rel = 1e-5 if dtype == torch.float32 else 1e-12
    assert float(losses.content) == pytest.approx(expected_content, rel=rel)
    assert float(losses.style) == pytest.approx(expected_style, rel=rel)
    assert float(losses.variation) == pytest.approx(variation, rel=rel)
    total = 0.7 * expected_content + 3.0 * expected_style + 0.2 * variation
    assert float(losses.total) == pytest.approx(total, rel=rel)


@pytest.mark.parametrize("normalization", NORMALIZATIONS)
@pytest.mark.parametrize("term", ["content", "style", "variation", "total"])
def test_gradients_equal_finite_differences(normalization: LossNormalization, term: str) -> None:
    kernel = random_tensor((4, 3, 3, 3), 5)

    def extract(image: Tensor) -> dict[str, Tensor]:
        first = torch.nn.functional.conv2d(image, kernel).tanh()
        return {"content": first, "a": first, "b": first.square()}

    content, style = (extract(random_tensor((1, 3, 6, 7), seed)) for seed in (1, 2))
    losses = make_loss(content["content"], {name: style[name] for name in "ab"}, normalization)

    def loss(image: Tensor) -> Tensor:
        value: Tensor = getattr(losses(extract(image), image), term)
        return value

    assert torch.autograd.gradcheck(loss, random_tensor((1, 3, 6, 7), 3).requires_grad_(True))


def test_losses_of_bf16_features_are_computed_in_float32() -> None:
    values = random_tensor((1, 3, 4, 4), 0).bfloat16()
    assert style_grams({"a": values}, {"a": 1.0}, "relative")["a"].dtype == torch.float32
    loss = make_loss(values.float(), {"a": values}, "relative")
    losses = loss({"content": values, "a": values}, values.float())
    assert losses.total.dtype == torch.float32
    assert float(losses.content) == float(losses.style) == 0.0
