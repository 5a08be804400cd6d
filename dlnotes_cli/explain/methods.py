"""The methods by name: what each needs of a network, its maps for a batch, and what a sheet says about it."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import NamedTuple

from torch import Tensor

from dlnotes_cli.explain import attribution
from dlnotes_cli.explain.attribution import Attribution, ClassSelector
from dlnotes_cli.explain.options import CAM_METHODS, PIXEL_METHODS, ExplainConfig
from dlnotes_cli.inference.inspected_network import InspectedNetwork, NamedLayer, check_spatial
from dlnotes_cli.shell.errors import InputError

AttributionMethod = Callable[[Tensor, ClassSelector], Attribution]  # of prepared images and the choice of their classes

_TEXTS: Mapping[str, tuple[str, str]] = {  # the name of a method, and what its heat is
    "layercam": ("LayerCAM", "the activations of {layer}, each weighted by its own positive gradient"),
    "gradcam": ("Grad-CAM", "the activations of {layer}, each channel weighted by its mean gradient"),
    "gradcam++": ("Grad-CAM++", "the activations of {layer}, each channel weighted by its positive gradients"),
    "scorecam": (
        "Score-CAM", "the activations of {layer}, each channel weighted by the score of the image that it masks",
    ),
    "saliency": ("saliency", "the largest absolute gradient of the class's score over the colors of a pixel"),
    "smoothgrad": (
        "SmoothGrad", "the largest absolute mean gradient of the class's score over noisy copies of the image",
    ),
    "integrated-gradients": (
        "integrated gradients", "what a pixel adds to the class's score on the way from a black image",
    ),
    "occlusion": (
        "occlusion",
        (
            "the drop of the class's score while a window of {window}x{window} pixels of the input is covered, moved "
            "by {stride}; each pixel has the mean of the windows that cover it"
        ),
    ),
}  # fmt: skip
_SMOOTHED = (
    "Single pixels are drawn slightly smoothed, except those of small inputs, so that they are visible; the files of "
    "--maps are not."
)
_WINDOWS_ON_A_SIDE = 6  # default of --window: this fraction of the shorter side
_FORMULAS = {
    "layercam": attribution.layercam,
    "gradcam": attribution.gradcam,
    "gradcam++": attribution.gradcam_plus_plus,
}


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


def explainer_of(config: ExplainConfig, network: InspectedNetwork, layer: NamedLayer | None) -> AttributionMethod:
    """The method that a config chooses, as a function of images and classes."""
    if layer is not None:
        if config.method == "scorecam":
            return partial(attribution.scorecam, network, layer)
        return partial(attribution.gradient_cam, network, layer, formula=_FORMULAS[config.method])
    if config.method == "smoothgrad":
        return partial(attribution.smoothgrad, network, seed=config.seed)
    if config.method == "occlusion":
        window, stride = occlusion_window(config, network)
        return partial(attribution.occlusion, network, window=window, stride=stride)
    return partial({"saliency": attribution.saliency}.get(config.method, attribution.integrated_gradients), network)


def occlusion_window(config: ExplainConfig, network: InspectedNetwork) -> tuple[int, int]:
    """The side of the window of occlusion, and its stride. Raises InputError if they do not fit the input."""
    side = min(network.input_shape[1:])
    window = config.window or max(1, round(side / _WINDOWS_ON_A_SIDE))
    if window >= side:
        what = f"a window of {window} pixels covers the whole input of {side}"
        raise InputError("--window", what, f"give less, {max(1, side // _WINDOWS_ON_A_SIDE)} for example")
    stride = config.stride or max(1, window // 2)
    if stride > window:
        raise InputError("--stride", f"{stride} is more than the window's {window}", "give less, to cover every pixel")
    return window, stride


class Wording(NamedTuple):
    """The texts of a sheet: its title, the label of the color bar, and what the heat is."""

    title: str
    scale: str
    notes: list[str]


def wording_of(config: ExplainConfig, network: InspectedNetwork, layer: NamedLayer | None) -> Wording:
    """The texts for a method, and for the layer of a class activation map."""
    name, heat = _TEXTS[config.method]
    of_score, window, stride = config.method == "occlusion", 0, 0
    if of_score:
        window, stride = occlusion_window(config, network)
    where = "the input" if layer is None else layer.name
    return Wording(
        f"Why the {network.title} answers: {name} of {where}",
        f"{'drop of the score' if of_score else 'heat'}, relative to the map's own maximum",
        [
            f"Heat: {heat.format(layer=where, window=window, stride=stride)}.",
            "Each map is scaled to its own maximum (its highest 0.5%), so that the colors of two maps do not compare.",
            *([_SMOOTHED] if config.method in PIXEL_METHODS else []),
        ],
    )
