"""`explain --check`: curves against plain loops, rank correlation, and verdicts of known maps."""

import math
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace

import numpy as np
import pytest
import torch
from explain.toy_networks import SIDE, deep, images, opened
from torch import Tensor, nn

from dlnotes_cli.explain.check import Curves, MapCheck, check_map, curves, rank_correlation, reinitialized

PATCH = (slice(2, 5), slice(3, 6))


class ReadsPatch(nn.Module):
    """The first class is the brightness of a patch; the others are constant."""

    def forward(self, x: Tensor) -> Tensor:
        score = 4 * x[:, :, PATCH[0], PATCH[1]].mean((1, 2, 3))
        return torch.stack([score, torch.ones_like(score), torch.zeros_like(score)], 1)


def with_patch(inside: float, outside: float, *shape: int) -> Tensor:
    values = torch.full((*shape, SIDE, SIDE), outside)
    values[..., PATCH[0], PATCH[1]] = inside
    return values


def test_curves_are_a_plain_loop_over_pixels() -> None:
    torch.manual_seed(0)
    network = opened(ReadsPatch())
    image, values = images(network, 1)[0], torch.rand(SIDE, SIDE)
    [found] = curves(network, image, 0, [values])
    means = image[None].unfold(2, 3, 3).unfold(3, 3, 3).mean((4, 5))
    blurred = nn.functional.interpolate(means, (SIDE, SIDE), mode="bilinear")[0]
    order = sorted(range(SIDE * SIDE), key=lambda i: -float(values.flatten()[i]))
    for step in range(21):
        chosen = order[: round(step / 20 * SIDE * SIDE)]
        deleted, inserted = image.clone().flatten(1), blurred.clone().flatten(1)
        deleted[:, chosen] = 0
        inserted[:, chosen] = image.flatten(1)[:, chosen]
        for curve, pixels in ((found.deletion_curve, deleted), (found.insertion_curve, inserted)):
            expected = network(pixels.view(1, 3, SIDE, SIDE)).softmax(1)[0, 0]
            assert curve[step] == pytest.approx(float(expected), abs=1e-5)
    assert found.deletion == pytest.approx(sum(found.deletion_curve[:-1] + found.deletion_curve[1:]) / 40)


@pytest.mark.parametrize(
    ("values", "is_same", "verdict"),
    [
        ((1.0, 0.1), False, "credible"),
        ((0.1, 1.0), False, "doubtful: these pixels matter no more"),
        ((1.0, 0.1), True, "doubtful: re-initialized weights give a similar map"),
        ((0.1, 1.0), True, "not credible"),
    ],
)
def test_the_map_of_the_deciding_patch_is_credible_if_random_weights_give_another(
    values: tuple[float, float], is_same: bool, verdict: str
) -> None:
    own = with_patch(*values)
    randomized = own if is_same else torch.arange(float(SIDE * SIDE)).view(SIDE, SIDE)
    found = check_map(opened(ReadsPatch()), with_patch(2.0, -1.0, 3), 0, own, randomized, 0)
    assert found.verdict.startswith(verdict)
    finds = values[0] > values[1]
    assert (found.curves.deletion < found.random_deletion) == finds
    assert (found.curves.insertion > found.random_insertion) == finds


def test_a_check_does_not_depend_on_the_number_of_threads_and_leaves_it() -> None:
    network = opened(ReadsPatch())
    image, values, before = images(network, 1)[0], with_patch(1.0, 0.1), torch.get_num_threads()
    torch.set_num_threads(3)
    runtimes = (replace(network.runtime, threads=threads) for threads in (1, 3))
    one, other = (check_map(replace(network, runtime=each), image, 0, values, values, 0) for each in runtimes)
    assert one == other
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(torch.get_num_threads).result() == torch.get_num_threads() == 3
    torch.set_num_threads(before)


def test_a_class_without_probability_and_a_constant_map_are_named() -> None:
    low = Curves((0.0, 0.01), (0.0, 0.01))
    check = MapCheck(low, (low,), math.nan)
    assert check.verdict.startswith("undecided")
    assert "no map of re-initialized weights" in str(check)
    assert check.depends_on_weights


def test_rank_correlation_gives_ties_their_mean_rank_and_needs_two_values() -> None:
    one, other = (np.array(values, np.float32).reshape(2, 2) for values in ([1, 2, 2, 9], [0, 5, 7, 8]))
    ranks = np.array([1, 2.5, 2.5, 4]), np.array([1, 2, 3, 4])
    assert rank_correlation(one, other) == pytest.approx(np.corrcoef(*ranks)[0, 1])
    assert math.isnan(rank_correlation(one, np.ones_like(one)))


def test_weights_are_drawn_again_with_their_moments_and_restored() -> None:
    network = deep().requires_grad_(requires_grad=False)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    drawn = []
    for seed in (0, 0, 1):
        with suppress(InterruptedError), reinitialized(network, seed):
            drawn.append(network.state_dict()["8.weight"].clone())
            raise InterruptedError
        assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])
    assert float(drawn[0].std()) == pytest.approx(float(before["8.weight"].std()), rel=0.2)
