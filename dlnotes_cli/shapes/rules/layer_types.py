"""The layers that are known: for each name, PyTorch's signature and the rule that answers for it."""

import difflib
from collections.abc import Callable, Iterator
from functools import cache, partial
from typing import NamedTuple

from dlnotes_cli.shapes.layer import Effect, RefusedError, Shape
from dlnotes_cli.shapes.rules import activations as value
from dlnotes_cli.shapes.rules import normalization as norm
from dlnotes_cli.shapes.rules import reshaping as move
from dlnotes_cli.shapes.rules.arguments import Arguments
from dlnotes_cli.shapes.rules.convolution import convolution, fold, transposed_convolution, unfold
from dlnotes_cli.shapes.rules.dense import embedding, linear
from dlnotes_cli.shapes.rules.padding import pad
from dlnotes_cli.shapes.rules.pooling import adaptive_pool, average_pool, max_pool, power_pool
from dlnotes_cli.shapes.rules.recurrent import recurrent

Rule = Callable[[Arguments, Shape], Effect]


class Kind(NamedTuple):
    """How a layer is called, in Python's notation and with PyTorch's defaults, and what it does."""

    signature: str
    rule: Rule
    lazy_signature: str = ""  # of its `Lazy` twin, whose first argument comes from the input


_PLACE = "device=None, dtype=None"
_CONV = "kernel_size, stride=1, padding=0, dilation=1, groups=1, bias=True, padding_mode='zeros', " + _PLACE
_TRANSPOSED = (
    "kernel_size, stride=1, padding=0, output_padding=0, groups=1, bias=True, dilation=1, padding_mode='zeros', "
    + _PLACE
)
_MAX_POOL = "kernel_size, stride=None, padding=0, dilation=1, return_indices=False, ceil_mode=False"
_AVG_POOL = "kernel_size, stride=None, padding=0, ceil_mode=False, count_include_pad=True"
_NORM = "eps=1e-05, momentum=0.1, affine={0}, track_running_stats={1}, " + _PLACE + ", *, bias=True"
_RECURRENT = "bias=True, batch_first=False, dropout=0.0, bidirectional=False, proj_size=0, " + _PLACE
_INPLACE = "inplace=False"
_BLOCKS = "kernel_size, dilation=1, padding=0, stride=1"
_UPSAMPLE = "size=None, scale_factor=None, mode='nearest', align_corners=None, recompute_scale_factor=None"

_ACTIVATIONS = {  # signatures
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
_CHECKED_APART = {"inplace", "approximate", "min_val", "max_val", "min_value", "max_value"}


def kind_of(name: str) -> Kind:
    """The kind of a layer; raises RefusedError with the nearest name where there is none."""
    found = kinds().get(name)
    if found is None:
        near = difflib.get_close_matches(name, kinds(), n=1)
        hint = f"did you mean {near[0]}?" if near else "layers are named as in torch.nn; --help lists them"
        raise RefusedError(f"unknown layer '{name}'", hint)
    return found


@cache
def kinds() -> dict[str, Kind]:
    """Every known layer by name, `Lazy` ones included."""
    plain = {**dict(_ranked()), **_unranked(), **dict(_elementwise())}
    lazy = {f"Lazy{name}": _lazy(name, kind) for name, kind in plain.items() if kind.lazy_signature}
    return plain | lazy


def _ranked() -> Iterator[tuple[str, Kind]]:
    """The layers that exist for one, two and three axes."""
    for rank in (1, 2, 3):
        families = {
            "Conv": Kind(
                f"in_channels, out_channels, {_CONV}", partial(convolution, rank=rank), f"out_channels, {_CONV}"
            ),
            "ConvTranspose": Kind(
                f"in_channels, out_channels, {_TRANSPOSED}",
                partial(transposed_convolution, rank=rank),
                f"out_channels, {_TRANSPOSED}",
            ),
            "MaxPool": Kind(_MAX_POOL, partial(max_pool, rank=rank)),
            "AvgPool": Kind(
                _AVG_POOL + (", divisor_override=None" if rank > 1 else ""), partial(average_pool, rank=rank)
            ),
            "LPPool": Kind("norm_type, kernel_size, stride=None, ceil_mode=False", partial(power_pool, rank=rank)),
            "AdaptiveAvgPool": Kind("output_size", partial(adaptive_pool, rank=rank, is_mean=True)),
            "AdaptiveMaxPool": Kind(
                "output_size, return_indices=False", partial(adaptive_pool, rank=rank, is_mean=False)
            ),
            "BatchNorm": Kind(
                f"num_features, {_NORM.format(True, True)}",
                partial(norm.batch_norm, rank=rank),
                _NORM.format(True, True),
            ),
            "InstanceNorm": Kind(
                f"num_features, {_NORM.format(False, False)}",
                partial(norm.instance_norm, rank=rank),
                _NORM.format(True, True),
            ),
            "ZeroPad": Kind("padding", partial(pad, rank=rank, mode="constant")),
            "ConstantPad": Kind("padding, value", partial(pad, rank=rank, mode="constant")),
            "ReflectionPad": Kind("padding", partial(pad, rank=rank, mode="reflect")),
            "ReplicationPad": Kind("padding", partial(pad, rank=rank, mode="replicate")),
            "CircularPad": Kind("padding", partial(pad, rank=rank, mode="circular")),
            "Dropout": Kind(f"p=0.5, {_INPLACE}", partial(value.dropout, ranks=(2, 3) if rank == 1 else ())),
        }
        yield from ((f"{family}{rank}d", kind) for family, kind in families.items())


def _unranked() -> dict[str, Kind]:
    softmax = Kind("dim=None", value.softmax)
    drop = Kind(f"p=0.5, {_INPLACE}", value.dropout)
    return {
        "Linear": Kind(f"in_features, out_features, bias=True, {_PLACE}", linear, f"out_features, bias=True, {_PLACE}"),
        "Embedding": Kind(
            "num_embeddings, embedding_dim, padding_idx=None, max_norm=None, norm_type=2.0, scale_grad_by_freq=False, "
            f"sparse=False, {_PLACE}",
            embedding,
        ),
        "RNN": Kind(
            f"input_size, hidden_size, num_layers=1, nonlinearity='tanh', {_RECURRENT}", partial(recurrent, kind="RNN")
        ),
        "LSTM": Kind(f"input_size, hidden_size, num_layers=1, {_RECURRENT}", partial(recurrent, kind="LSTM")),
        "GRU": Kind(f"input_size, hidden_size, num_layers=1, {_RECURRENT}", partial(recurrent, kind="GRU")),
        "LayerNorm": Kind(
            f"normalized_shape, eps=1e-05, elementwise_affine=True, bias=True, {_PLACE}", norm.layer_norm
        ),
        "RMSNorm": Kind(f"normalized_shape, eps=None, elementwise_affine=True, {_PLACE}", norm.layer_norm),
        "GroupNorm": Kind(f"num_groups, num_channels, eps=1e-05, affine=True, {_PLACE}, *, bias=True", norm.group_norm),
        "LocalResponseNorm": Kind("size, alpha=0.0001, beta=0.75, k=1.0", norm.local_response_norm),
        "Flatten": Kind("start_dim=1, end_dim=-1", move.flatten),
        "Unflatten": Kind("dim, unflattened_size", move.unflatten),
        "PixelShuffle": Kind("upscale_factor", move.pixel_shuffle),
        "PixelUnshuffle": Kind("downscale_factor", move.pixel_unshuffle),
        "ChannelShuffle": Kind("groups", move.channel_shuffle),
        "Upsample": Kind(_UPSAMPLE, move.upsample),
        "UpsamplingNearest2d": Kind("size=None, scale_factor=None", _preset(mode="nearest")),
        "UpsamplingBilinear2d": Kind("size=None, scale_factor=None", _preset(mode="bilinear", align_corners=True)),
        "Unfold": Kind(_BLOCKS, unfold),
        "Fold": Kind(f"output_size, {_BLOCKS}", fold),
        "Softmax": softmax,
        "Softmin": softmax,
        "LogSoftmax": softmax,
        "Softmax2d": Kind("", value.softmax2d),
        "GLU": Kind("dim=-1", value.glu),
        "PReLU": Kind(f"num_parameters=1, init=0.25, {_PLACE}", value.prelu),
        "Dropout": drop,
        "AlphaDropout": drop,
        "FeatureAlphaDropout": drop,
        "Identity": Kind("*", value.identity),
    }


def _elementwise() -> Iterator[tuple[str, Kind]]:
    for name, signature in _ACTIVATIONS.items():
        arguments = {part.partition("=")[0] for part in signature.split(", ")} - _CHECKED_APART - {""}
        rule = partial(value.elementwise, name=name, numbers=tuple(sorted(arguments)))
        yield name, Kind(signature, rule)


def _preset(**fixed: object) -> Rule:
    """The rule of an upsampling layer whose mode is part of its name."""
    defaults = {"mode": "nearest", "align_corners": None, "recompute_scale_factor": None}

    def rule(given: Arguments, shape: Shape) -> Effect:
        return move.upsample(given.extended({**defaults, **fixed}), shape)

    return rule


def _lazy(name: str, kind: Kind) -> Kind:
    """The twin of a layer whose first argument is read off the input."""
    first = kind.signature.partition(",")[0]

    def rule(given: Arguments, shape: Shape) -> Effect:
        if first == "in_features":
            inferred = shape[-1]
        else:  # the channels; a convolution looks for them where there is no batch, too
            has_no_batch = len(shape) == 1 or (name.startswith("Conv") and len(shape) == int(name[-2]) + 1)
            inferred = shape[0] if has_no_batch else shape[1]
        return kind.rule(given.extended({first: inferred}), shape)

    return Kind(kind.lazy_signature, rule)
