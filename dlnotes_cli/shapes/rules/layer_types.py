"""The known layers: for each name, PyTorch's signature and the rule that computes its LayerInfo."""

from collections.abc import Callable, Iterator
from functools import cache, partial
from typing import NamedTuple

from dlnotes_cli.shapes.layer import InvalidLayerError, LayerInfo, Shape
from dlnotes_cli.shapes.rules import activations, normalization, reshaping
from dlnotes_cli.shapes.rules.arguments import Arguments
from dlnotes_cli.shapes.rules.convolution import convolution, fold, transposed_convolution, unfold
from dlnotes_cli.shapes.rules.dense import embedding, linear
from dlnotes_cli.shapes.rules.padding import pad
from dlnotes_cli.shapes.rules.pooling import adaptive_pool, average_pool, max_pool, power_pool
from dlnotes_cli.shapes.rules.recurrent import recurrent
from dlnotes_cli.shell.errors import nearest

Rule = Callable[[Arguments, Shape], LayerInfo]  # arguments and input shape of a batch of one


class LayerType(NamedTuple):
    """A layer's signature in Python syntax, with PyTorch's defaults, and its rule."""

    signature: str
    rule: Rule
    lazy_signature: str = ""  # of its `Lazy` variant, which infers the first argument from the input


_FACTORY = "device=None, dtype=None"
_CONV = "kernel_size, stride=1, padding=0, dilation=1, groups=1, bias=True, padding_mode='zeros', " + _FACTORY
_TRANSPOSED = (
    "kernel_size, stride=1, padding=0, output_padding=0, groups=1, bias=True, dilation=1, padding_mode='zeros', "
    + _FACTORY
)
_MAX_POOL = "kernel_size, stride=None, padding=0, dilation=1, return_indices=False, ceil_mode=False"
_AVG_POOL = "kernel_size, stride=None, padding=0, ceil_mode=False, count_include_pad=True"
_NORM = "eps=1e-05, momentum=0.1, affine={0}, track_running_stats={1}, " + _FACTORY + ", *, bias=True"
_RECURRENT = "bias=True, batch_first=False, dropout=0.0, bidirectional=False, proj_size=0, " + _FACTORY
_INPLACE = "inplace=False"
_UNFOLD = "kernel_size, dilation=1, padding=0, stride=1"
_UPSAMPLE = "size=None, scale_factor=None, mode='nearest', align_corners=None, recompute_scale_factor=None"

_ACTIVATIONS = {  # name to signature
    "ELU": "alpha=1.0, inplace=False",
    "CELU": "alpha=1.0, inplace=False",
    "GELU": "approximate='none'",
    "Hardshrink": "lambd=0.5",
    "Hardtanh": "min_val=-1.0, max_val=1.0, inplace=False, min_value=None, max_value=None",
    "LeakyReLU": "negative_slope=0.01, inplace=False",
    "RReLU": "lower=0.125, upper=0.3333333333333333, inplace=False",
    "Softplus": "beta=1.0, threshold=20.0",
    "Softshrink": "lambd=0.5",
    "Threshold": "threshold, value, inplace=False",
    **dict.fromkeys(("Hardsigmoid", "Hardswish", "Mish", "ReLU", "ReLU6", "SELU", "SiLU"), _INPLACE),
    **dict.fromkeys(("LogSigmoid", "Sigmoid", "Softsign", "Tanh", "Tanhshrink"), ""),
}
_NOT_NUMBERS = {  # arguments that `elementwise` does not check as numbers
    "inplace", "approximate", "min_val", "max_val", "min_value", "max_value"
}  # fmt: skip


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
    types = {**dict(_ranked()), **_unranked(), **dict(_elementwise())}
    lazy = {f"Lazy{name}": _lazy(name, known) for name, known in types.items() if known.lazy_signature}
    return types | lazy


def _ranked() -> Iterator[tuple[str, LayerType]]:
    """The layers with variants for one, two and three spatial axes."""
    for rank in (1, 2, 3):
        families = {
            "Conv": LayerType(
                f"in_channels, out_channels, {_CONV}", partial(convolution, rank=rank), f"out_channels, {_CONV}"
            ),
            "ConvTranspose": LayerType(
                f"in_channels, out_channels, {_TRANSPOSED}",
                partial(transposed_convolution, rank=rank),
                f"out_channels, {_TRANSPOSED}",
            ),
            "MaxPool": LayerType(_MAX_POOL, partial(max_pool, rank=rank)),
            "AvgPool": LayerType(
                _AVG_POOL + (", divisor_override=None" if rank > 1 else ""), partial(average_pool, rank=rank)
            ),
            "LPPool": LayerType("norm_type, kernel_size, stride=None, ceil_mode=False", partial(power_pool, rank=rank)),
            "AdaptiveAvgPool": LayerType("output_size", partial(adaptive_pool, rank=rank, is_mean=True)),
            "AdaptiveMaxPool": LayerType(
                "output_size, return_indices=False", partial(adaptive_pool, rank=rank, is_mean=False)
            ),
            "BatchNorm": LayerType(
                f"num_features, {_NORM.format(True, True)}",
                partial(normalization.batch_norm, rank=rank),
                _NORM.format(True, True),
            ),
            "InstanceNorm": LayerType(
                f"num_features, {_NORM.format(False, False)}",
                partial(normalization.instance_norm, rank=rank),
                _NORM.format(True, True),
            ),
            "ZeroPad": LayerType("padding", partial(pad, rank=rank, mode="constant")),
            "ConstantPad": LayerType("padding, value", partial(pad, rank=rank, mode="constant")),
            "ReflectionPad": LayerType("padding", partial(pad, rank=rank, mode="reflect")),
            "ReplicationPad": LayerType("padding", partial(pad, rank=rank, mode="replicate")),
            "CircularPad": LayerType("padding", partial(pad, rank=rank, mode="circular")),
            "Dropout": LayerType(f"p=0.5, {_INPLACE}", partial(activations.dropout, ranks=(2, 3) if rank == 1 else ())),
        }
        yield from ((f"{family}{rank}d", known) for family, known in families.items())


def _unranked() -> dict[str, LayerType]:
    softmax = LayerType("dim=None", activations.softmax)
    drop = LayerType(f"p=0.5, {_INPLACE}", activations.dropout)
    return {
        "Linear": LayerType(
            f"in_features, out_features, bias=True, {_FACTORY}", linear, f"out_features, bias=True, {_FACTORY}"
        ),
        "Embedding": LayerType(
            "num_embeddings, embedding_dim, padding_idx=None, max_norm=None, norm_type=2.0, scale_grad_by_freq=False, "
            f"sparse=False, {_FACTORY}",
            embedding,
        ),
        "RNN": LayerType(
            f"input_size, hidden_size, num_layers=1, nonlinearity='tanh', {_RECURRENT}", partial(recurrent, kind="RNN")
        ),
        "LSTM": LayerType(f"input_size, hidden_size, num_layers=1, {_RECURRENT}", partial(recurrent, kind="LSTM")),
        "GRU": LayerType(f"input_size, hidden_size, num_layers=1, {_RECURRENT}", partial(recurrent, kind="GRU")),
        "LayerNorm": LayerType(
            f"normalized_shape, eps=1e-05, elementwise_affine=True, bias=True, {_FACTORY}", normalization.layer_norm
        ),
        "RMSNorm": LayerType(
            f"normalized_shape, eps=None, elementwise_affine=True, {_FACTORY}", normalization.layer_norm
        ),
        "GroupNorm": LayerType(
            f"num_groups, num_channels, eps=1e-05, affine=True, {_FACTORY}, *, bias=True", normalization.group_norm
        ),
        "LocalResponseNorm": LayerType("size, alpha=0.0001, beta=0.75, k=1.0", normalization.local_response_norm),
        "Flatten": LayerType("start_dim=1, end_dim=-1", reshaping.flatten),
        "Unflatten": LayerType("dim, unflattened_size", reshaping.unflatten),
        "PixelShuffle": LayerType("upscale_factor", reshaping.pixel_shuffle),
        "PixelUnshuffle": LayerType("downscale_factor", reshaping.pixel_unshuffle),
        "ChannelShuffle": LayerType("groups", reshaping.channel_shuffle),
        "Upsample": LayerType(_UPSAMPLE, reshaping.upsample),
        "UpsamplingNearest2d": LayerType("size=None, scale_factor=None", _upsampling(mode="nearest")),
        "UpsamplingBilinear2d": LayerType(
            "size=None, scale_factor=None", _upsampling(mode="bilinear", align_corners=True)
        ),
        "Unfold": LayerType(_UNFOLD, unfold),
        "Fold": LayerType(f"output_size, {_UNFOLD}", fold),
        "Softmax": softmax,
        "Softmin": softmax,
        "LogSoftmax": softmax,
        "Softmax2d": LayerType("", activations.softmax2d),
        "GLU": LayerType("dim=-1", activations.glu),
        "PReLU": LayerType(f"num_parameters=1, init=0.25, {_FACTORY}", activations.prelu),
        "Dropout": drop,
        "AlphaDropout": drop,
        "FeatureAlphaDropout": drop,
        "Identity": LayerType("*", activations.identity),
    }


def _elementwise() -> Iterator[tuple[str, LayerType]]:
    for name, signature in _ACTIVATIONS.items():
        numbers = {argument.partition("=")[0] for argument in signature.split(", ")} - _NOT_NUMBERS - {""}
        rule = partial(activations.elementwise, name=name, numbers=tuple(sorted(numbers)))
        yield name, LayerType(signature, rule)


def _upsampling(**fixed: object) -> Rule:
    """The rule of an upsampling layer whose name fixes the mode."""
    defaults = {"mode": "nearest", "align_corners": None, "recompute_scale_factor": None}

    def rule(arguments: Arguments, shape: Shape) -> LayerInfo:
        return reshaping.upsample(arguments.updated({**defaults, **fixed}), shape)

    return rule


def _lazy(name: str, known: LayerType) -> LayerType:
    """The variant of a layer that infers its first argument from the input."""
    first = known.signature.partition(",")[0]

    def rule(arguments: Arguments, shape: Shape) -> LayerInfo:
        if first == "in_features":
            inferred = shape[-1]
        else:  # the channels; a lazy convolution also accepts a shape without a batch
            has_no_batch = len(shape) == 1 or (name.startswith("Conv") and len(shape) == int(name[-2]) + 1)
            inferred = shape[0] if has_no_batch else shape[1]
        return known.rule(arguments.updated({first: inferred}), shape)

    return LayerType(known.lazy_signature, rule)
