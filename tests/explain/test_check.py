"""`explain --check`: curves against plain loops, rank correlation against SciPy, and verdicts of known maps."""

import math

import numpy as np
import pytest
import torch
from explain.toy_networks import SIDE, deep, images, opened
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from torch import Tensor, nn

from dlnotes_cli.explain.check import Curves, MapCheck, check_map, curves, rank_correlation, reinitialized
from dlnotes_cli.inference.inspected_network import InspectedNetwork

PATCH = (slice(2, 5), slice(3, 6))


class ReadsPatch(nn.Module):
    """The first class is the brightness of a patch; the others are constant."""

    def forward(self, x: Tensor) -> Tensor:
        score = 4 * x[:, :, PATCH[0], PATCH[1]].mean((1, 2, 3))
        return torch.stack([score, torch.ones_like(score), torch.zeros_like(score)], 1)


def patch_image() -> Tensor:
    image = -torch.ones(3, SIDE, SIDE)
    image[:, PATCH[0], PATCH[1]] = 2.0
    return image


def patch_map(inside: float, outside: float) -> Tensor:
    values = torch.full((SIDE, SIDE), outside)
    values[PATCH] = inside
    return values


@pytest.fixture
def reads_patch() -> InspectedNetwork:
    return opened(ReadsPatch())


def test_curves_are_a_plain_loop_over_pixels(reads_patch: InspectedNetwork) -> None:
    torch.manual_seed(0)
    image, values = images(reads_patch, 1)[0], torch.rand(SIDE, SIDE)
    found = curves(reads_patch, image, 0, values)
    blurred = nn.functional.interpolate(
        image[None].unfold(2, 3, 3).unfold(3, 3, 3).mean((4, 5)), (SIDE, SIDE), mode="bilinear"
    )[0]
    order = sorted(range(SIDE * SIDE), key=lambda i: -float(values.flatten()[i]))
    for step in range(21):
        chosen = order[: round(step / 20 * SIDE * SIDE)]
        deleted, inserted = image.clone().flatten(1), blurred.clone().flatten(1)
        deleted[:, chosen] = 0
        inserted[:, chosen] = image.flatten(1)[:, chosen]
        for curve, pixels in ((found.deletion_curve, deleted), (found.insertion_curve, inserted)):
            expected = reads_patch(pixels.view(1, 3, SIDE, SIDE)).softmax(1)[0, 0]
            assert curve[step] == pytest.approx(float(expected), abs=1e-5)
    assert found.deletion == pytest.approx(float(np.trapezoid(found.deletion_curve, np.linspace(0, 1, 21))))


def test_the_map_of_the_deciding_patch_is_credible_and_its_opposite_is_not(reads_patch: InspectedNetwork) -> None:
    other = torch.arange(float(SIDE * SIDE)).view(SIDE, SIDE)
    good = check_map(reads_patch, patch_image(), 0, patch_map(1.0, 0.1), other, 0)
    bad = check_map(reads_patch, patch_image(), 0, patch_map(0.1, 1.0), other, 0)
    assert good.curves.deletion < good.random_deletion < bad.curves.deletion
    assert good.curves.insertion > good.random_insertion > bad.curves.insertion
    assert good.verdict.startswith("credible")
    assert bad.verdict.startswith("doubtful: these pixels matter no more")


@pytest.mark.parametrize(("inside", "outside", "verdict"), [(1.0, 0.1, "doubtful: re-in"), (0.1, 1.0, "not credible")])
def test_a_map_that_random_weights_give_too_is_doubtful(
    reads_patch: InspectedNetwork, inside: float, outside: float, verdict: str
) -> None:
    values = patch_map(inside, outside)
    assert check_map(reads_patch, patch_image(), 0, values, values, 0).verdict.startswith(verdict)


def test_a_class_without_probability_and_a_constant_map_are_named() -> None:
    low = Curves((0.0, 0.01), (0.0, 0.01))
    check = MapCheck(low, (low,), math.nan)
    assert check.verdict.startswith("undecided")
    assert "no map of re-initialized weights" in str(check)
    assert check.depends_on_weights


@given(st.lists(st.integers(0, 6), min_size=6, max_size=6), st.lists(st.integers(-3, 6), min_size=6, max_size=6))
def test_rank_correlation_is_that_of_scipy(one: list[int], other: list[int]) -> None:
    first, second = (np.array(values, np.float32).reshape(2, 3) for values in (one, other))
    found = rank_correlation(first, second)
    if len(set(one)) == 1 or len(set(other)) == 1:
        assert math.isnan(found)
    else:
        assert found == pytest.approx(stats.spearmanr(one, other).statistic)


def test_weights_are_drawn_again_with_their_moments_and_restored() -> None:
    network = deep().requires_grad_(requires_grad=False)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    x = torch.randn(1, 3, SIDE, SIDE)
    with reinitialized(network, 0):
        inside, drawn = network.eval()(x), network[8].weight.clone()  # type: ignore[index]
        assert not torch.equal(drawn, before["8.weight"])
        assert float(drawn.std()) == pytest.approx(float(before["8.weight"].std()), rel=0.2)
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
    with reinitialized(network, 0):
        assert torch.equal(network(x), inside)
    with pytest.raises(RuntimeError), reinitialized(network, 1):
        raise RuntimeError
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
