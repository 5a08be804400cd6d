"""The known layers: for each name, PyTorch's signature with the kinds of its parameters, and the rule of the layer."""

import re
from collections.abc import Callable, Iterator
from functools import cache
from typing import NamedTuple

from dlnotes_cli.shapes.layer import InvalidLayerError, LayerInfo, Shape
from dlnotes_cli.shapes.rules import features, reshaping, windows
from dlnotes_cli.shapes.rules.arguments import Arguments
from dlnotes_cli.shell.errors import nearest

Rule = Callable[[Arguments, Shape], LayerInfo]  # arguments and input shape of a batch of one


class LayerType(NamedTuple):
    """A layer's declaration, as `arguments` reads it, its rule, and its number of spatial axes if its name has it."""

    declaration: str
    rule: Rule
    rank: int = 0


_FACTORY = "device=None, dtype=None"
_CHANNELS = "in_channels:int1, out_channels:int1, kernel_size:exact1, stride:sizes1=1, "
_CONV = (
    f"{_CHANNELS}padding=0, dilation:sizes1=1, groups:int1=1, bias=True, "
    f"padding_mode:zeros|reflect|replicate|circular='zeros', {_FACTORY}"
)
_TRANSPOSED = (
    f"{_CHANNELS}padding:sizes0=0, output_padding:sizes0=0, groups:int1=1, bias=True, dilation:sizes1=1, "
    f"padding_mode:zeros|zeros='zeros', {_FACTORY}"
)
_MAX_POOL = (
    "kernel_size:sizes1, stride=None, padding:sizes0=0, dilation:sizes1=1, return_indices=False, ceil_mode:bool=False"
)
_AVG_POOL = "kernel_size:sizes1, stride=None, padding:sizes0=0, ceil_mode:bool=False, count_include_pad:bool=True"
_BATCH_NORM = (
    "num_features, eps:number=1e-05, momentum:number?=0.1, affine=True, track_running_stats=True, "
    f"{_FACTORY}, *, bias=True"
)
_RECURRENT = (
    "bias:bool=True, batch_first:bool=False, dropout:number=0.0, bidirectional:bool=False, proj_size:int0=0, "
    + _FACTORY
)
_SIZES = "input_size:int1, hidden_size:int1, num_layers:int1=1, "
_UNFOLD = "kernel_size:exact1, dilation:exact1=1, padding:exact0=0, stride:exact1=1"
_EMBEDDING = "num_embeddings:int1, embedding_dim:int1, padding_idx=None, max_norm:number?=None, norm_type:number?=2.0"
_DROPOUT = "p:number=0.5, inplace=False"
_UPSAMPLE = "size=None, scale_factor=None"
_MODES = "nearest|nearest-exact|area|linear|bilinear|bicubic|trilinear"

_RANKED: dict[str, tuple[str, Rule]] = {  # layers with variants for one, two and three spatial axes
    "Conv": (_CONV, windows.convolution),
    "ConvTranspose": (_TRANSPOSED, windows.transposed_convolution),
    "MaxPool": (_MAX_POOL, windows.pool),
    "AvgPool": (f"{_AVG_POOL}, divisor_override=None", windows.pool),
    "LPPool": ("norm_type:number, kernel_size:exact1, stride=None, ceil_mode:bool=False", windows.pool),
    "AdaptiveAvgPool": ("output_size", windows.adaptive_pool),
    "AdaptiveMaxPool": ("output_size, return_indices=False", windows.adaptive_pool),
    "BatchNorm": (_BATCH_NORM, features.batch_norm),
    "InstanceNorm": (re.sub(r"(affine|stats)=True", r"\1=False", _BATCH_NORM), features.instance_norm),
    "ZeroPad": ("padding", windows.pad),
    "ConstantPad": ("padding, value:number?", windows.pad),
    "ReflectionPad": ("padding", windows.pad),
    "ReplicationPad": ("padding", windows.pad),
    "CircularPad": ("padding", windows.pad),
    "Dropout": (_DROPOUT, features.dropout),
}
_IRREGULAR = {"AvgPool1d": _AVG_POOL, "LPPool1d": _RANKED["LPPool"][0].replace("exact1", "int1")}
_UNRANKED: dict[str, tuple[str, Rule]] = {
    "Linear": (f"in_features:int1, out_features:int1, bias=True, {_FACTORY}", features.linear),
    "Embedding": (
        f"{_EMBEDDING}, scale_grad_by_freq:bool=False, sparse:bool=False, {_FACTORY}",
        features.embedding,
    ),
    "RNN": (f"{_SIZES}nonlinearity:tanh|relu='tanh', {_RECURRENT}", features.recurrent),
    "LSTM": (_SIZES + _RECURRENT, features.recurrent),
    "GRU": (_SIZES + _RECURRENT, features.recurrent),
    "LayerNorm": (
        f"normalized_shape, eps:number=1e-05, elementwise_affine=True, bias=True, {_FACTORY}",
        features.layer_norm,
    ),
    "RMSNorm": (f"normalized_shape, eps:number?=None, elementwise_affine=True, {_FACTORY}", features.layer_norm),
    "GroupNorm": (
        f"num_groups:int1, num_channels:int, eps:number=1e-05, affine=True, {_FACTORY}, *, bias=True",
        features.group_norm,
    ),
    "LocalResponseNorm": (
        "size:int1, alpha:number=0.0001, beta:number=0.75, k:number=1.0",
        features.local_response_norm,
    ),
    "Flatten": ("start_dim=1, end_dim=-1", reshaping.flatten),
    "Unflatten": ("dim, unflattened_size", reshaping.unflatten),
    "PixelShuffle": ("upscale_factor:int1", reshaping.pixel_shuffle),
    "PixelUnshuffle": ("downscale_factor:int1", reshaping.pixel_unshuffle),
    "ChannelShuffle": ("groups:int1", reshaping.channel_shuffle),
    "Upsample": (
        f"{_UPSAMPLE}, mode:{_MODES}='nearest', align_corners=None, recompute_scale_factor=None",
        reshaping.upsample,
    ),
    "UpsamplingNearest2d": (_UPSAMPLE, reshaping.upsample),
    "UpsamplingBilinear2d": (_UPSAMPLE, reshaping.upsample),
    "Unfold": (_UNFOLD, windows.unfold),
    "Fold": (f"output_size:exact1, {_UNFOLD}", windows.fold),
    **dict.fromkeys(("Softmax", "Softmin", "LogSoftmax"), ("dim=None", features.softmax)),
    "Softmax2d": ("", features.softmax),
    "GLU": ("dim=-1", features.glu),
    "PReLU": (f"num_parameters:int1=1, init:number=0.25, {_FACTORY}", features.prelu),
    **dict.fromkeys(("Dropout", "AlphaDropout", "FeatureAlphaDropout"), (_DROPOUT, features.dropout)),
}
_ELEMENTWISE = {
    "Identity": "*",
    "ELU": "alpha:number=1.0, inplace=False",
    "CELU": "alpha:number=1.0, inplace=False",
    "GELU": "approximate:none|tanh='none'",
    "Hardshrink": "lambd:number=0.5",
    "Hardtanh": (
        "min_val:number=-1.0, max_val:number=1.0, inplace=False, min_value:number?=None, max_value:number?=None"
    ),
    "LeakyReLU": "negative_slope:number=0.01, inplace=False",
    "RReLU": "lower:number=0.125, upper:number=0.3333333333333333, inplace=False",
    "Softplus": "beta:number=1.0, threshold:number=20.0",
    "Softshrink": "lambd:number=0.5",
    "Threshold": "threshold:number, value:number, inplace=False",
    **dict.fromkeys(("Hardsigmoid", "Hardswish", "Mish", "ReLU", "ReLU6", "SELU", "SiLU"), "inplace=False"),
    **dict.fromkeys(("LogSigmoid", "Sigmoid", "Softsign", "Tanh", "Tanhshrink"), ""),
}
_LAZY = ("Conv1d", "Conv2d", "Conv3d", "ConvTranspose1d", "ConvTranspose2d", "ConvTranspose3d", "Linear", "BatchNorm1d",
         "BatchNorm2d", "BatchNorm3d", "InstanceNorm1d", "InstanceNorm2d", "InstanceNorm3d")  # fmt: skip


def layer_type(name: str) -> LayerType:
    """The type of a layer by its name; raises InvalidLayerError with the nearest name where it is unknown."""
    found = layer_types().get(name)
    if found is None:
        near = nearest(name, layer_types())
        hint = f"did you mean {near}?" if near else "layers are named as in torch.nn; see dlnotes conv-shape --help"
        raise InvalidLayerError(f"unknown layer '{name}'", hint)
    return found


@cache
def layer_types() -> dict[str, LayerType]:
    """Every known layer by name, `Lazy` ones included."""
    types = {name: LayerType(declaration, features.elementwise) for name, declaration in _ELEMENTWISE.items()}
    for name, (declaration, rule) in _UNRANKED.items():
        types[name] = LayerType(declaration, rule, 2 if "old" in name else 0)  # Fold and Unfold have images
    types |= _ranked()
    return types | {f"Lazy{name}": _lazy(name, types[name]) for name in _LAZY}


def _ranked() -> Iterator[tuple[str, LayerType]]:
    for rank in (1, 2, 3):
        for family, (declaration, rule) in _RANKED.items():
            name = f"{family}{rank}d"
            yield name, LayerType(_IRREGULAR.get(name, declaration), rule, rank)


def _lazy(name: str, known: LayerType) -> LayerType:
    """The variant of a layer that infers its first argument from the input; normalization has weights by default."""
    first, _, rest = known.declaration.partition(", ")
    first = first.partition(":")[0]

    def rule(arguments: Arguments, shape: Shape) -> LayerInfo:
        # The channels come first; a lazy convolution also accepts a shape without a batch.
        has_no_batch = len(shape) == 1 or (name.startswith("Conv") and len(shape) == known.rank + 1)
        inferred = shape[-1] if first == "in_features" else shape[0 if has_no_batch else 1]
        return known.rule(Arguments(**{**vars(arguments), first: inferred}), shape)

    return LayerType(rest.replace("=False", "=True"), rule, known.rank)
