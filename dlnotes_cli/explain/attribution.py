"""Explanation methods: from a network, a batch of images and classes to maps that are high where a class is seen.

A score is a logit, the output for a class before the softmax. Every function returns maps of one batch, and a map does
not depend on the other images of its batch.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import product
from math import prod

import torch
import torch.nn.functional as F  # noqa: N812  # PyTorch's own abbreviation
from torch import Tensor

from dlnotes_cli.explain.options import CAM_METHODS, ExplainConfig
from dlnotes_cli.inference.inspected_network import InspectedNetwork, NamedLayer, check_spatial
from dlnotes_cli.shell.errors import InputError
from dlnotes_cli.training.metrics import inference_batch_size

ClassSelector = Callable[[Tensor], Tensor]  # from logits (N, classes) to the indices (N, K) of the classes to explain
MapFormula = Callable[[Tensor, Tensor], Tensor]  # from features and gradients (N, C, h, w) to maps (N, h, w)

_NOISE = 0.15  # standard deviation of SmoothGrad's noise, as a fraction of the range of the image's values
_NOISY_COPIES = 32
_STEPS = (27, 81, 243, 729)  # of the integral
_COMPLETENESS = 0.005  # of the score's difference, or absolute where that is below 1
_WINDOWS_ON_A_SIDE = 6  # default of --window: this fraction of the shorter side
_CPU_VALUES = 1 << 19  # of the images in one pass; with eight times as many, SqueezeNet takes half as long again


@dataclass(frozen=True)
class Attribution:
    """The maps of a batch, with the logits from which their classes were chosen."""

    logits: Tensor  # (N, classes)
    classes: Tensor  # int64 (N, K)
    maps: Tensor  # float32 (N, K, h, w), at the size of the layer, or of the input


AttributionMethod = Callable[[Tensor, ClassSelector], Attribution]  # of prepared images and the choice of their classes


def batch_size(x: Tensor) -> int:
    """The number of images like those of a batch in one pass; on a CPU as many as its caches hold well."""
    largest = inference_batch_size(x.shape[1:])
    return min(largest, max(1, _CPU_VALUES // prod(x.shape[1:]))) if x.device.type == "cpu" else largest


def gradient_cam(
    network: InspectedNetwork, layer: NamedLayer, x: Tensor, choose: ClassSelector, formula: MapFormula
) -> Attribution:
    """Maps from the features of a layer and the gradients of the scores, in one forward pass.

    Only the layers after it run backward: the others have no graph.
    """
    with torch.enable_grad(), network.capture([layer], detached=True) as outputs:
        logits = network(x)
    classes = choose(logits.detach())
    features = outputs[layer.name]
    maps = [formula(features.detach(), gradients) for gradients in _gradients(logits, classes, features).unbind(1)]
    return Attribution(logits.detach(), classes, torch.stack(maps, 1).float())


def layercam(features: Tensor, gradients: Tensor) -> Tensor:
    """LayerCAM: each activation is weighted by its own positive gradient (Jiang et al. 2021, TIP)."""
    return (features * gradients.relu()).sum(1).relu()


def gradcam(features: Tensor, gradients: Tensor) -> Tensor:
    """Grad-CAM: each channel is weighted by its mean gradient (Selvaraju et al. 2017, arXiv:1610.02391)."""
    return (features * gradients.mean((2, 3), keepdim=True)).sum(1).relu()


def gradcam_plus_plus(features: Tensor, gradients: Tensor) -> Tensor:
    """Grad-CAM++ (Chattopadhay et al. 2018, arXiv:1710.11063), for the exponential of the score."""
    squared, cubed = gradients**2, gradients**3
    denominator = 2 * squared + (features * cubed).sum((2, 3), keepdim=True)
    alpha = torch.where(denominator != 0, squared / torch.where(denominator != 0, denominator, 1.0), 0.0)
    weights = (alpha * gradients.relu()).sum((2, 3), keepdim=True)
    return (features * weights).sum(1).relu()


@torch.no_grad()
def scorecam(network: InspectedNetwork, layer: NamedLayer, x: Tensor, choose: ClassSelector) -> Attribution:
    """Score-CAM: each channel is weighted by the score of the image that it masks (Wang et al. 2020, arXiv:1910.01279).

    The weights are the softmax of these scores over the channels. Constant channels mask nothing and get no weight.
    """
    with network.capture([layer]) as outputs:
        logits = network(x)
    classes = choose(logits)
    maps = []
    for image, features, chosen in zip(x, outputs[layer.name].float(), classes, strict=True):
        low, high = features.amin((1, 2), keepdim=True), features.amax((1, 2), keepdim=True)
        has_range = (high > low).flatten()
        masks = F.interpolate(
            ((features - low) / (high - low).clamp_min(1e-12))[:, None], image.shape[1:], mode="bilinear"
        )
        parts = masks.split(batch_size(x))
        scores = torch.cat([network(image * part)[:, chosen] for part in parts])
        weights = scores.masked_fill(~has_range[:, None], -torch.inf).softmax(0).nan_to_num()  # nan: no channel is left
        maps.append(torch.einsum("ck,chw->khw", weights, features).relu())
    return Attribution(logits, classes, torch.stack(maps))


def saliency(network: InspectedNetwork, x: Tensor, choose: ClassSelector) -> Attribution:
    """The largest absolute gradient of the score over the channels of each pixel (Simonyan et al. 2013).

    arXiv:1312.6034.
    """
    inputs = x.detach().requires_grad_()
    with torch.enable_grad():
        logits = network(inputs)
    classes = choose(logits.detach())
    return Attribution(logits.detach(), classes, _gradients(logits, classes, inputs).abs().amax(2))


def smoothgrad(network: InspectedNetwork, x: Tensor, choose: ClassSelector, seed: int) -> Attribution:
    """Saliency of the mean gradient over noisy copies of the image (Smilkov et al. 2017, arXiv:1706.03825)."""
    with torch.no_grad():
        logits = network(x)
    classes = choose(logits)
    noise = torch.randn((_NOISY_COPIES, *x.shape[1:]), generator=torch.Generator().manual_seed(seed)).to(x.device)
    maps = []
    for image, chosen in zip(x, classes, strict=True):
        copies = image + _NOISE * (image.max() - image.min()) * noise
        maps.append(_mean_gradient(network, copies, chosen).abs().amax(1))
    return Attribution(logits, classes, torch.stack(maps))


def integrated_gradients(network: InspectedNetwork, x: Tensor, choose: ClassSelector) -> Attribution:
    """The mean gradient on the line from black to the image, times their difference (Sundararajan et al. 2017).

    arXiv:1703.01365. A map sums to the score minus the score of black. The midpoint rule is refined until it does so
    within 0.5%, or has 729 steps.
    """
    black = network.prepare(torch.zeros(1, *network.preprocessing.shape))[0]
    with torch.no_grad():
        logits, of_black = network(x), network(black[None])
    classes = choose(logits)
    rows = zip(x, classes, logits - of_black, strict=True)
    maps = [_integrated(network, image, black, chosen, change[chosen]) for image, chosen, change in rows]
    return Attribution(logits, classes, torch.stack(maps))


def _integrated(network: InspectedNetwork, image: Tensor, black: Tensor, chosen: Tensor, change: Tensor) -> Tensor:
    """Maps (K, H, W) for one image; midpoints of a refined grid include those of the grid before it."""
    total, maps = torch.zeros((), device=image.device), torch.empty(0)
    for steps in _STEPS:
        nodes = torch.arange(steps, device=image.device)
        nodes = nodes if steps == _STEPS[0] else nodes[nodes % 3 != 1]
        path = black + ((nodes + 0.5) / steps).view(-1, 1, 1, 1) * (image - black)
        total = total + _mean_gradient(network, path, chosen) * len(nodes)  # (K, C, H, W)
        maps = (total / steps * (image - black)).sum(1)
        gap = (maps.sum((1, 2)) - change).abs()
        if bool((gap <= _COMPLETENESS * change.abs().clamp_min(1)).all()):
            break
    return maps


@torch.no_grad()
def occlusion(network: InspectedNetwork, x: Tensor, choose: ClassSelector, window: int, stride: int) -> Attribution:
    """How much the score falls when a square window is covered (Zeiler and Fergus 2014, arXiv:1311.2901).

    The cover is the mean color of the training images, 0. A pixel's value is the mean over the windows that cover it;
    the last windows end at the border.
    """
    logits = network(x)
    classes = choose(logits)
    places = list(product(*(window_starts(side, window, stride) for side in x.shape[2:])))
    maps = []
    for image, chosen, scores in zip(x, classes, logits, strict=True):
        total, count = torch.zeros((), device=x.device), torch.zeros((), device=x.device)
        for start in range(0, len(places), size := batch_size(x)):
            part = places[start : start + size]
            is_covered = torch.zeros(len(part), *x.shape[2:], device=x.device)
            for covered, (top, left) in zip(is_covered, part, strict=True):
                covered[top : top + window, left : left + window] = 1
            drops = (scores - network(image * (1 - is_covered[:, None])))[:, chosen]
            total = total + torch.einsum("pk,phw->khw", drops, is_covered)
            count = count + is_covered.sum(0)
        maps.append(total / count)
    return Attribution(logits, classes, torch.stack(maps))


def window_starts(length: int, window: int, stride: int) -> list[int]:
    """Where windows start on one side, so that every pixel is covered.

    >>> window_starts(10, 4, 4), window_starts(3, 5, 1)
    ([0, 4, 6], [0])
    """
    last = max(length - window, 0)
    return [*range(0, last, stride), last]


def _gradients(logits: Tensor, classes: Tensor, inputs: Tensor) -> Tensor:
    """The gradients (N, K, ...) of the scores of some classes (N, K) with respect to `inputs` (N, ...)."""
    scores = logits.gather(1, classes).sum(0)
    return torch.stack([torch.autograd.grad(score, inputs, retain_graph=True)[0] for score in scores], 1)


@torch.enable_grad()
def _mean_gradient(network: InspectedNetwork, images: Tensor, chosen: Tensor) -> Tensor:
    """The mean gradients (K, C, H, W) of the scores of K classes over images (N, C, H, W)."""
    total = torch.zeros((), device=images.device)
    for part in images.detach().split(batch_size(images)):
        inputs = part.requires_grad_()
        total = total + _gradients(network(inputs), chosen.expand(len(part), -1), inputs).sum(0)
    return total / len(images)


def chosen_layer(config: ExplainConfig, network: InspectedNetwork) -> NamedLayer | None:
    """The layer whose features a CAM method weighs; None for the methods that explain the input itself.

    Raises InputError for an unknown layer, for one without positions, and for a network without feature maps.
    """
    if config.method not in CAM_METHODS:
        return None
    if network.cam_layer is None:
        kind = "multi-layer perceptron" if network.kind == "mlp" else "network"
        what = f"{config.method} weighs feature maps, and this {kind} has none"
        raise InputError("--method", what, "use occlusion, integrated-gradients, smoothgrad or saliency")
    layer = network.cam_layer if config.layer is None else network.layer(config.layer)
    check_spatial(layer)
    return layer


def occlusion_window(config: ExplainConfig, network: InspectedNetwork) -> tuple[int, int]:
    """The side of the window of occlusion, and its stride. Raises InputError if they do not fit the input."""
    side = min(network.input_shape[1:])
    usual = max(1, round(side / _WINDOWS_ON_A_SIDE))
    window = config.window or usual
    if window >= side:
        what = f"a window of {window} pixels covers the whole input of {side}"
        raise InputError("--window", what, f"give less, {usual} for example")
    stride = config.stride or max(1, window // 2)
    if stride > window:
        raise InputError("--stride", f"{stride} is more than the window's {window}", "give less, to cover every pixel")
    return window, stride


def method_of(config: ExplainConfig, network: InspectedNetwork, layer: NamedLayer | None) -> AttributionMethod:
    """The method that a config chooses, as a function of images and classes. Raises InputError for its window."""
    if layer is not None:
        if config.method == "scorecam":
            return partial(scorecam, network, layer)
        formulas = {"layercam": layercam, "gradcam": gradcam, "gradcam++": gradcam_plus_plus}
        return partial(gradient_cam, network, layer, formula=formulas[config.method])
    if config.method == "smoothgrad":
        return partial(smoothgrad, network, seed=config.seed)
    if config.method == "occlusion":
        window, stride = occlusion_window(config, network)
        return partial(occlusion, network, window=window, stride=stride)
    return partial(saliency if config.method == "saliency" else integrated_gradients, network)
