"""The methods by name: what each needs of a network, and its maps for a batch."""

from collections.abc import Callable
from functools import partial

from torch import Tensor

from dlnotes_cli.explain import attribution
from dlnotes_cli.explain.attribution import Attribution, ClassSelector
from dlnotes_cli.explain.covered import CoveredWindows
from dlnotes_cli.explain.options import CAM_METHODS, ExplainConfig
from dlnotes_cli.shell.errors import InputError
from dlnotes_cli.training.inspection.layers import NamedLayer
from dlnotes_cli.training.inspection.network import InspectedNetwork, check_spatial

AttributionMethod = Callable[[Tensor, ClassSelector], Attribution]  # of prepared images and the choice of their classes
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
        return partial(attribution.occlusion, network, CoveredWindows(network, window, stride))
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
