"""The losses of style transfer against plain formulas and finite differences, and the painting that lowers them."""

import json
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from dlnotes_cli.shell.errors import UnfinishedError
from dlnotes_cli.style.losses import (
    Painting,
    PaintOptions,
    Scaling,
    Target,
    Weights,
    gram,
    style_grams,
    total_variation,
)  # fmt: skip

SHAPES = st.tuples(st.just(1), st.integers(1, 5), st.integers(2, 6), st.integers(2, 6))
SCALINGS: list[Scaling] = ["relative", "notes"]


def drawn(shape: tuple[int, ...], seed: int) -> Tensor:
    return torch.tensor(np.random.default_rng(seed).normal(size=shape))


@given(shape=SHAPES, seed=st.integers(0, 99))
def test_a_gram_matrix_is_the_sum_of_products_over_all_places(shape: tuple[int, ...], seed: int) -> None:
    features = drawn(shape, seed)
    expected = np.einsum("chw,dhw->cd", features[0].numpy(), features[0].numpy())
    np.testing.assert_allclose(gram(features).numpy(), expected, atol=1e-12)


@given(shape=SHAPES, seed=st.integers(0, 99))
def test_a_gram_matrix_does_not_change_when_pixels_are_shuffled(shape: tuple[int, ...], seed: int) -> None:
    features = drawn(shape, seed)
    order = torch.randperm(shape[2] * shape[3], generator=torch.Generator().manual_seed(seed))
    shuffled = features.flatten(2)[..., order].view(shape)
    torch.testing.assert_close(gram(shuffled), gram(features))


def test_the_course_s_gram_matrix_of_eight_maps() -> None:
    assert gram(torch.zeros(1, 8, 4, 4)).shape == (8, 8)  # 8x16 times 16x8
    assert gram(torch.zeros(1, 20, 8, 8)).shape == (20, 20)


def target(content: Tensor, styles: Mapping[str, Tensor], scaling: Scaling) -> Target:
    layers = {name: 0.5 + i for i, name in enumerate(styles)}
    weights = Weights(0.7, 3.0, 0.2, layers)
    return Target("content", content, style_grams(styles, layers, scaling), weights, scaling)


@pytest.mark.parametrize("scaling", SCALINGS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_losses_are_those_of_a_plain_implementation(scaling: Scaling, dtype: torch.dtype) -> None:
    content, found, image = (drawn((1, 4, 5, 6), seed).to(dtype) for seed in range(3))
    styles = {name: drawn((1, 3 + i, 4, 5), 7 + i).to(dtype) for i, name in enumerate("ab")}
    shown = {name: drawn((1, 3 + i, 6, 4), 17 + i).to(dtype) for i, name in enumerate("ab")}
    losses = target(content, styles, scaling).losses({"content": found, **shown}, image)
    c, f, p = (values.double().numpy()[0] for values in (content, found, image))
    expected_content = ((f - c) ** 2).mean()
    expected_style = 0.0
    for weight, name in ((0.5, "a"), (1.5, "b")):
        s, t = (values[name].double().numpy()[0] for values in (styles, shown))
        aim, have = (np.einsum("chw,dhw->cd", v, v) for v in (s, t))
        if scaling == "notes":
            expected_style += weight * ((have - aim) ** 2).mean() / t.size
        else:
            aim, have = aim / s[0].size, have / t[0].size
            expected_style += weight / 2 * ((have - aim) ** 2).sum() / (aim**2).sum()
    if scaling == "relative":
        expected_content /= (c**2).mean()
    variation = (np.diff(p, axis=1) ** 2).mean() + (np.diff(p, axis=2) ** 2).mean()
    rel = 1e-5 if dtype == torch.float32 else 1e-12
    assert float(losses.content) == pytest.approx(expected_content, rel=rel)
    assert float(losses.style) == pytest.approx(expected_style, rel=rel)
    assert float(losses.variation) == pytest.approx(variation, rel=rel)
    total = 0.7 * expected_content + 3.0 * expected_style + 0.2 * variation
    assert float(losses.total) == pytest.approx(total, rel=rel)


@pytest.mark.parametrize("scaling", SCALINGS)
@pytest.mark.parametrize("part", ["content", "style", "variation", "total"])
def test_gradients_are_those_of_finite_differences(scaling: Scaling, part: str) -> None:
    kernel = drawn((4, 3, 3, 3), 5)

    def look(image: Tensor) -> dict[str, Tensor]:
        first = torch.nn.functional.conv2d(image, kernel).tanh()
        return {"content": first, "a": first, "b": first.square()}

    aim = target(look(drawn((1, 3, 6, 7), 1))["content"], {n: look(drawn((1, 3, 6, 7), 2))[n] for n in "ab"}, scaling)

    def loss(image: Tensor) -> Tensor:
        found: Tensor = getattr(aim.losses(look(image), image), part)
        return found

    assert torch.autograd.gradcheck(loss, drawn((1, 3, 6, 7), 3).requires_grad_(True))


def test_bf16_features_are_reckoned_in_float32() -> None:
    values = drawn((1, 3, 4, 4), 0).bfloat16()
    assert style_grams({"a": values}, {"a": 1.0}, "relative")["a"].dtype == torch.float32
    losses = target(values.float(), {"a": values}, "relative").losses({"content": values, "a": values}, values.float())
    assert losses.total.dtype == torch.float32
    assert float(losses.content) == float(losses.style) == 0.0


def identity(image: Tensor) -> dict[str, Tensor]:
    return {"content": image, "a": image}


def aim_at(image: Tensor, beta: float = 0.0) -> Target:
    grams = style_grams({"a": image}, {"a": 1.0}, "relative")
    return Target("content", image, grams, Weights(1.0, beta, 0.0, {"a": 1.0}), "relative")


BOUNDS = torch.zeros(1, 3, 1, 1), torch.ones(1, 3, 1, 1)


def paint(*arguments: Any, after: "Callable[[Painting], None]" = lambda _: None) -> Painting:
    painting = Painting(*arguments)
    painting.run(after)
    return painting


@pytest.mark.parametrize("optimizer", ["lbfgs", "adam"])
def test_painting_finds_what_it_aims_at_and_stays_in_range(optimizer: str) -> None:
    aim = torch.rand(1, 3, 6, 5, generator=torch.Generator().manual_seed(0)) * 1.5 - 0.2  # some beyond black and white
    options = PaintOptions(optimizer, 1.0 if optimizer == "lbfgs" else 0.05, 300, settles=False)  # type: ignore[arg-type]
    painted = paint(identity, aim_at(aim), torch.full((1, 3, 6, 5), 0.5), BOUNDS, options)
    torch.testing.assert_close(painted.best, aim.clamp(0, 1), atol=0.02, rtol=0)
    free = paint(identity, aim_at(aim), torch.full((1, 3, 6, 5), 0.5), None, options)
    torch.testing.assert_close(free.best, aim, atol=0.02, rtol=0)


def test_the_best_image_is_kept_and_told() -> None:
    aim, told = torch.rand(1, 3, 6, 5), []
    options = PaintOptions("adam", 0.9, 25, settles=False)  # far too fast: the loss goes up and down
    start = torch.rand(1, 3, 6, 5)
    painted = paint(identity, aim_at(aim), start, BOUNDS, options, after=lambda p: told.append((p.steps, p.lowest)))
    assert [step for step, _ in told] == list(range(1, 26))
    totals = [losses[0] for losses in painted.losses]
    assert len(totals) == 26  # before the first step, and after each
    assert [loss for _, loss in told] == np.minimum.accumulate(totals[:-1]).tolist()
    assert float(aim_at(aim).losses(identity(painted.best), painted.best).total) == pytest.approx(min(totals))


def test_it_ends_where_nothing_is_gained() -> None:
    aim = torch.rand(1, 3, 6, 5)
    painted = paint(identity, aim_at(aim), aim.clone(), BOUNDS, PaintOptions("lbfgs", 1.0, 500))
    assert 20 <= len(painted.losses) < 40
    ended = paint(identity, aim_at(aim), torch.rand(1, 3, 6, 5), BOUNDS, PaintOptions("adam", 0.01, 500, deadline=0.0))
    assert len(ended.losses) == 2


def test_a_painting_that_has_lost_its_way_begins_again_from_its_best_image() -> None:
    aim, looks = torch.rand(1, 3, 6, 5), 0

    def treacherous(image: Tensor) -> dict[str, Tensor]:
        nonlocal looks
        looks += 1
        factor = math.nan if looks % 7 == 0 else 1.0
        return {"content": image * factor, "a": image}

    options = PaintOptions("lbfgs", 1.0, 40, settles=False)
    painted = paint(treacherous, aim_at(aim), torch.rand(1, 3, 6, 5), BOUNDS, options)
    assert len(painted.losses) == 41
    torch.testing.assert_close(painted.best, aim, atol=0.05, rtol=0)


def test_what_is_told_may_stop_it() -> None:
    def stop(painting: Painting) -> None:
        if painting.steps == 3:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        paint(
            identity,
            aim_at(torch.rand(1, 3, 6, 5)),
            torch.rand(1, 3, 6, 5),
            None,
            PaintOptions("adam", 0.1, 9),
            after=stop,
        )


@pytest.mark.parametrize("optimizer", ["lbfgs", "adam"])
@pytest.mark.parametrize("steps", [0, 1, 2, 9, 30])
def test_a_painting_is_taken_up_just_where_it_stood(optimizer: str, steps: int) -> None:
    aim, start = torch.rand(1, 3, 6, 5), torch.rand(1, 3, 6, 5)
    options = PaintOptions(optimizer, 0.3, 40, settles=False)  # type: ignore[arg-type]
    whole = paint(identity, aim_at(aim, 0.1), start, BOUNDS, options)
    stopped = Painting(identity, aim_at(aim, 0.1), start, BOUNDS, options)

    def stop(painting: Painting) -> None:
        if painting.steps == steps:
            raise InterruptedError

    if steps:
        with pytest.raises(InterruptedError):
            stopped.run(stop)
    tensors, metadata = stopped.state()
    again = Painting(identity, aim_at(aim, 0.1), torch.zeros(1, 3, 6, 5), BOUNDS, options)
    again.restore({name: tensor.clone() for name, tensor in tensors.items()}, json.loads(json.dumps(metadata)))
    again.run()
    assert torch.equal(again.best, whole.best)
    assert again.losses == whole.losses


def test_the_last_step_is_looked_at_too() -> None:
    aim = torch.full((1, 3, 6, 5), 0.75)
    painted = paint(identity, aim_at(aim), torch.full((1, 3, 6, 5), 0.5), BOUNDS, PaintOptions("adam", 0.1, 1))
    torch.testing.assert_close(painted.best, torch.full((1, 3, 6, 5), 0.6))


def test_a_loss_that_is_no_number_ends_it() -> None:
    def broken(image: Tensor) -> dict[str, Tensor]:
        return {"content": image * math.nan, "a": image}

    with pytest.raises(
        UnfinishedError, match=r"--lr: the loss is not finite at step 1 \(--lr 0.1\); give a lower --lr"
    ):
        paint(broken, aim_at(torch.rand(1, 3, 6, 5)), torch.rand(1, 3, 6, 5), None, PaintOptions("adam", 0.1, 9))


def test_the_total_variation_of_a_flat_image_is_zero() -> None:
    assert float(total_variation(torch.full((1, 3, 4, 5), 0.3))) == 0.0
