"""What the sheet of `explain` says about the method: a title, what the heat is, and the label of the color bar."""

from dataclasses import dataclass

from dlnotes_cli.explain.methods import occlusion_window
from dlnotes_cli.explain.options import ExplainConfig
from dlnotes_cli.training.inspection.layers import NamedLayer
from dlnotes_cli.training.inspection.network import InspectedNetwork

PIXEL_METHODS = ("saliency", "integrated-gradients", "smoothgrad")  # whose maps are single pixels next to each other

_NAMES = {
    "layercam": "LayerCAM", "gradcam": "Grad-CAM", "gradcam++": "Grad-CAM++", "scorecam": "Score-CAM",
    "saliency": "saliency", "integrated-gradients": "integrated gradients", "smoothgrad": "SmoothGrad",
    "occlusion": "occlusion",
}  # fmt: skip
_WEIGHTS = {
    "layercam": "each weighted by its own positive gradient",
    "gradcam": "each channel weighted by its mean gradient",
    "gradcam++": "each channel weighted by its positive gradients",
    "scorecam": "each channel weighted by the score of the image that it masks",
}
_INPUT = {
    "saliency": "the largest absolute gradient of the class's score over the colors of a pixel",
    "smoothgrad": "the largest absolute mean gradient of the class's score over noisy copies of the image",
    "integrated-gradients": "what a pixel adds to the class's score on the way from a black image",
}

_SMOOTHED = (
    "Single pixels are drawn slightly smoothed, except those of small inputs, so that they are visible; the files of "
    "--maps are not."
)


@dataclass(frozen=True)
class Wording:
    """The texts of a sheet."""

    title: str
    heat: str  # what the heat is
    scale: str  # label of the color bar
    notes: tuple[str, ...] = ()


def wording_of(config: ExplainConfig, network: InspectedNetwork, layer: NamedLayer | None) -> Wording:
    """The texts for a method, and for the layer of a class activation map."""
    where = "the input" if layer is None else layer.name
    title = f"Why the {network.title} answers: {_NAMES[config.method]} of {where}"
    relative = "relative to the map's own maximum"
    if config.method == "occlusion":
        window, stride = occlusion_window(config, network)
        heat = (
            f"the drop of the class's score while a window of {window}x{window} pixels of the input is covered, moved "
            f"by {stride}; each pixel has the mean of the windows that cover it"
        )
        return Wording(title, heat, f"drop of the score, {relative}")
    if layer is not None:
        heat = f"the activations of {layer.name}, {_WEIGHTS[config.method]}"
        return Wording(title, heat, f"heat, {relative}")
    return Wording(title, _INPUT[config.method], f"heat, {relative}", (_SMOOTHED,))
