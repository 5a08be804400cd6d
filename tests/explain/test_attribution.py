"""Explanation methods against plain loops, the classic class activation map, and axioms."""

from collections.abc import Callable
from functools import partial
from itertools import product

import pytest
import torch
import torch.nn.functional as F  # noqa: N812  # PyTorch's own abbreviation
from explain.toy_networks import CLASSES, SIDE, ConvGapLinear, deep, images, linear, opened
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from dlnotes_cli.explain import attribution
from dlnotes_cli.explain.attribution import Attribution
from dlnotes_cli.inference.inspected_network import InspectedNetwork

Method = Callable[[InspectedNetwork, Tensor, attribution.ClassSelector], Attribution]


def predicted(logits: Tensor) -> Tensor:
    return logits.argmax(1, keepdim=True)


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
def simple() -> InspectedNetwork:
    torch.manual_seed(1)
    return opened(ConvGapLinear())


@pytest.fixture
def network() -> InspectedNetwork:
    torch.manual_seed(2)
    return opened(deep())


def conv_gap_linear(network: InspectedNetwork) -> ConvGapLinear:
    assert isinstance(network.network, ConvGapLinear)
    return network.network


@pytest.mark.parametrize(("formula", "lowest"), [(attribution.gradcam, None), (attribution.layercam, 0.0)])
def test_maps_of_linear_scores_are_the_classic_cam_or_its_positive_weights(
    simple: InspectedNetwork, formula: attribution.MapFormula, lowest: float | None
) -> None:
    x, module = images(simple), conv_gap_linear(simple)
    found = cam(formula, "activation")(simple, x, every_class)
    features = F.relu(F.conv2d(x, module.convolution.weight, module.convolution.bias, padding=1))
    weights = module.output.weight if lowest is None else module.output.weight.clamp(min=lowest)
    torch.testing.assert_close(found.maps * SIDE * SIDE, torch.einsum("kc,nchw->nkhw", weights, features).relu())
    assert (found.maps > 0).any()


def test_gradcam_plus_plus_follows_from_the_derivatives_of_the_exponential(simple: InspectedNetwork) -> None:
    x = images(simple, 1)
    found = cam(attribution.gradcam_plus_plus, "activation")(simple, x, every_class)
    with simple.capture([simple.layer("activation")], detached=True) as outputs:
        logits = simple(x)
    features = outputs["activation"].detach()
    weight = conv_gap_linear(simple).output.weight / (SIDE * SIDE)
    for k in range(len(CLASSES)):
        # The score is linear in the features, so that derivative n of exp(score) is exp(score) times weight to the n.
        y = logits[0, k].detach().exp()
        first, second, third = (y * weight[k] ** n for n in (1, 2, 3))
        expected = torch.zeros(SIDE, SIDE)
        for c in range(features.shape[1]):
            alpha = second[c] / (2 * second[c] + (features[0, c] * third[c]).sum())
            expected += features[0, c] * (alpha * first[c].clamp(min=0) * SIDE * SIDE)
        torch.testing.assert_close(found.maps[0, k] * y, expected.relu())


@pytest.mark.parametrize("layer", ["0", "1", "3", "5"])
def test_gradients_of_a_layer_are_those_of_the_whole_graph(network: InspectedNetwork, layer: str) -> None:
    x = images(network)
    seen: list[Tensor] = []

    def formula(features: Tensor, gradients: Tensor) -> Tensor:
        seen.append(gradients)
        return features.sum(1)

    found = cam(formula, layer)(network, x, every_class)
    layers = list(network.network.children())
    features = torch.nn.Sequential(*layers[: int(layer) + 1])(x).requires_grad_()
    logits = torch.nn.Sequential(*layers[int(layer) + 1 :])(features)
    torch.testing.assert_close(found.maps[:, 0], features.detach().sum(1))
    for k, gradients in enumerate(seen):
        expected = torch.autograd.grad(logits[:, k].sum(), features, retain_graph=True)[0]
        torch.testing.assert_close(gradients, expected)


def test_scorecam_is_a_plain_loop_over_channels(network: InspectedNetwork) -> None:
    x = images(network, 2)
    found = attribution.scorecam(network, network.layer("5"), x, every_class)
    with network.capture([network.layer("5")]) as outputs:
        network(x)
    for image, features, maps in zip(x, outputs["5"], found.maps, strict=True):
        scores = []
        for channel in features:
            if channel.max() == channel.min():
                scores.append(torch.full((len(CLASSES),), -torch.inf))
                continue
            mask = (channel - channel.min()) / (channel.max() - channel.min())
            mask = F.interpolate(mask[None, None], (SIDE, SIDE), mode="bilinear")[0]
            scores.append(network(image[None] * mask)[0])
        weights = torch.stack(scores).softmax(0)
        for k in range(len(CLASSES)):
            expected = sum(w * channel for w, channel in zip(weights[:, k], features, strict=True))
            torch.testing.assert_close(maps[k], expected.relu())


def test_gradients_of_a_linear_function_are_its_weights() -> None:
    network = opened(linear(), "mlp")
    x = images(network)
    weights = network.network[1].weight.view(len(CLASSES), 3, SIDE, SIDE)  # type: ignore[index]
    largest = weights.abs().amax(1).expand(len(x), -1, -1, -1)
    torch.testing.assert_close(attribution.saliency(network, x, every_class).maps, largest)
    torch.testing.assert_close(attribution.smoothgrad(network, x, every_class, seed=0).maps, largest)
    black = network.prepare(torch.zeros(1, 3, SIDE, SIDE))
    integrated = ((x - black)[:, None] * weights).sum(2)
    torch.testing.assert_close(attribution.integrated_gradients(network, x, every_class).maps, integrated)


def test_integrated_gradients_sum_to_the_difference_of_the_scores(network: InspectedNetwork) -> None:
    x = images(network, 8)
    found = attribution.integrated_gradients(network, x, every_class)
    black = network(network.prepare(torch.zeros(1, 3, SIDE, SIDE)))
    torch.testing.assert_close(found.maps.sum((2, 3)), network(x) - black, rtol=1e-2, atol=1e-2)


def test_the_noise_of_smoothgrad_follows_the_seed(network: InspectedNetwork) -> None:
    x = images(network)
    one, same, other = (attribution.smoothgrad(network, x, predicted, seed).maps for seed in (0, 0, 1))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


@settings(max_examples=15)
@given(window=st.integers(1, SIDE + 2), data=st.data())
def test_occlusion_is_a_plain_loop_over_windows(window: int, data: st.DataObject) -> None:
    stride = data.draw(st.integers(1, window))
    torch.manual_seed(4)
    network = opened(deep())
    x = images(network, 2)
    found = attribution.occlusion(network, x, every_class, window, stride)
    last = max(SIDE - window, 0)
    starts = sorted({*range(0, last, stride), last})
    for n, k in product(range(2), range(len(CLASSES))):
        total, count = torch.zeros(SIDE, SIDE), torch.zeros(SIDE, SIDE)
        for top, left in product(starts, starts):
            image = x[n : n + 1].clone()
            image[..., top : top + window, left : left + window] = 0
            total[top : top + window, left : left + window] += network(x[n : n + 1])[0, k] - network(image)[0, k]
            count[top : top + window, left : left + window] += 1
        torch.testing.assert_close(found.maps[n, k], total / count, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", METHODS)
def test_a_map_depends_neither_on_other_images_nor_on_other_classes(network: InspectedNetwork, name: str) -> None:
    x, method = images(network), METHODS[name]
    together = method(network, x, every_class)
    assert together.maps.shape[:2] == (3, len(CLASSES))
    assert together.maps.dtype == torch.float32
    assert torch.isfinite(together.maps).all()
    torch.testing.assert_close(together.logits, network(x))
    for n, k in product(range(3), range(len(CLASSES))):
        alone = method(network, x[n : n + 1], lambda logits, k=k: torch.full((len(logits), 1), k))  # type: ignore[misc]
        torch.testing.assert_close(alone.maps[0, 0], together.maps[n, k], atol=1e-5, rtol=1e-3)
    assert torch.equal(method(network, x, predicted).classes, network(x).argmax(1, keepdim=True))
