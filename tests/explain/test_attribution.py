"""Explanation methods against plain loops, the classic class activation map, and axioms."""

from collections.abc import Callable
from functools import partial
from itertools import product

import pytest
import torch
import torch.nn.functional as F  # noqa: N812  # PyTorch's own abbreviation
from explain.toy_networks import CLASSES, SIDE, conv_gap_linear, deep, images, opened
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from dlnotes_cli.explain import attribution
from dlnotes_cli.explain.attribution import Attribution
from dlnotes_cli.inference.inspected_network import InspectedNetwork

Method = Callable[[InspectedNetwork, Tensor, attribution.ClassSelector], Attribution]


def every_class(logits: Tensor) -> Tensor:
    return torch.arange(len(CLASSES)).expand(len(logits), -1)


def cam(formula: attribution.MapFormula, layer: str) -> Method:
    return lambda network, x, choose: attribution.gradient_cam(network, network.layer(layer), x, choose, formula)


METHODS: dict[str, Method] = {
    "layercam": cam(attribution.layercam, "5"),
    "gradcam": cam(attribution.gradcam, "3"),
    "gradcam++": cam(attribution.gradcam_plus_plus, "4"),
    "scorecam": lambda network, x, choose: attribution.scorecam(network, network.layer("5"), x, choose),
    "saliency": attribution.saliency,
    "smoothgrad": partial(attribution.smoothgrad, seed=3),
    "integrated-gradients": attribution.integrated_gradients,
    "occlusion": partial(attribution.occlusion, window=3, stride=2),
}


@pytest.fixture
def network() -> InspectedNetwork:
    torch.manual_seed(2)
    return opened(deep())


def test_maps_of_linear_scores_are_the_classic_cam_and_follow_from_its_weights() -> None:
    torch.manual_seed(1)
    module = conv_gap_linear()
    network, weights = opened(module), module.get_parameter("4.weight") / (SIDE * SIDE)
    x = images(network)
    features = module[:2](x)
    for formula, lowest in ((attribution.gradcam, -torch.inf), (attribution.layercam, 0.0)):
        found = cam(formula, "1")(network, x, every_class).maps
        classic = torch.einsum("kc,nchw->nkhw", weights.clamp(min=lowest), features).relu()
        torch.testing.assert_close(found, classic)
        assert (found > 0).any()
    sums = torch.einsum("kc,nchw->nkc", weights**3, features)  # derivative n of exp(score) is exp(score) * weights ** n
    alpha = weights**2 / (2 * weights**2 + sums)
    plus_plus = torch.einsum("nkc,nchw->nkhw", alpha * weights.clamp(min=0) * SIDE * SIDE, features).relu()
    torch.testing.assert_close(cam(attribution.gradcam_plus_plus, "1")(network, x, every_class).maps, plus_plus)


def test_scorecam_is_a_plain_loop_over_channels(network: InspectedNetwork) -> None:
    x = images(network, 2)
    assert isinstance(network.network, nn.Sequential)
    network.network.get_parameter("4.bias")[2] = -100  # the output of this channel is 0 everywhere, and masks nothing
    found = attribution.scorecam(network, network.layer("5"), x, every_class)
    for image, features, maps in zip(x, network.network[:6](x), found.maps, strict=True):
        used = [channel for channel in features if channel.max() > channel.min()]
        assert len(used) < len(features)
        masks = [(channel - channel.min()) / (channel.max() - channel.min()) for channel in used]
        shown = [F.interpolate(mask[None, None], (SIDE, SIDE), mode="bilinear") for mask in masks]
        weights = torch.cat([network(image[None] * mask) for mask in shown]).softmax(0)
        torch.testing.assert_close(maps, torch.einsum("ck,chw->khw", weights, torch.stack(used)).relu())


def test_gradients_of_a_linear_function_are_its_weights() -> None:
    linear = nn.Linear(3 * SIDE * SIDE, len(CLASSES))
    weights = linear.weight.detach().view(len(CLASSES), 3, SIDE, SIDE)
    network = opened(nn.Sequential(nn.Flatten(), linear), "mlp")
    x = images(network)
    largest = weights.abs().amax(1).expand(len(x), -1, -1, -1)
    torch.testing.assert_close(attribution.saliency(network, x, every_class).maps, largest)
    torch.testing.assert_close(attribution.smoothgrad(network, x, every_class, seed=0).maps, largest)
    black = network.prepare(torch.zeros(1, 3, SIDE, SIDE))
    integrated = ((x - black)[:, None] * weights).sum(2)
    torch.testing.assert_close(attribution.integrated_gradients(network, x, every_class).maps, integrated)


def test_integrated_gradients_are_the_midpoint_rule_with_as_many_steps_as_the_sum_needs(
    network: InspectedNetwork,
) -> None:
    network.network.get_parameter("0.weight").mul_(10)
    x, black = images(network), network.prepare(torch.zeros(1, 3, SIDE, SIDE))
    found, needed = attribution.integrated_gradients(network, x, every_class), []
    for image, maps, change in zip(x, found.maps, network(x) - network(black), strict=True):
        for steps in (27, 81, 243, 729):
            at = (torch.arange(steps) + 0.5) / steps
            path = (black + at.view(-1, 1, 1, 1) * (image - black)).requires_grad_()
            gradients = [torch.autograd.grad(logits.sum(), path, retain_graph=True)[0] for logits in network(path).T]
            expected = (torch.stack(gradients).mean(1) * (image - black)).sum(1)
            if ((expected.sum((1, 2)) - change).abs() <= 0.005 * change.abs().clamp_min(1)).all():
                break
        needed.append(steps)
        torch.testing.assert_close(maps, expected, atol=1e-4, rtol=1e-3)
    assert 27 < max(needed) < 729, needed


@settings(max_examples=10)
@given(window=st.integers(1, SIDE + 2), data=st.data())
def test_occlusion_is_a_plain_loop_over_windows(window: int, data: st.DataObject) -> None:
    stride = data.draw(st.integers(1, window))
    network = opened(deep())
    x = images(network, 1)
    last = max(SIDE - window, 0)
    starts = sorted({*range(0, last, stride), last})
    total, count = torch.zeros(len(CLASSES), SIDE, SIDE), torch.zeros(SIDE, SIDE)
    for top, left in product(starts, starts):
        covered, place = x.clone(), (slice(top, top + window), slice(left, left + window))
        covered[:, :, *place] = 0
        total[:, *place] += (network(x) - network(covered))[0, :, None, None]
        count[place] += 1
    found = attribution.occlusion(network, x, every_class, window, stride)
    torch.testing.assert_close(found.maps[0], total / count, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", METHODS)
def test_a_map_depends_neither_on_other_images_nor_on_other_classes(network: InspectedNetwork, name: str) -> None:
    x, method = images(network), METHODS[name]
    together = method(network, x, every_class)
    assert (together.maps.shape[:2], together.maps.dtype) == ((3, len(CLASSES)), torch.float32)
    torch.testing.assert_close(together.logits, network(x))
    for n, k in ((0, 0), (1, 2), (2, 1)):
        alone = method(network, x[n : n + 1], lambda logits, k=k: torch.full((len(logits), 1), k))  # type: ignore[misc]
        torch.testing.assert_close(alone.maps[0, 0], together.maps[n, k], atol=1e-5, rtol=1e-3)
