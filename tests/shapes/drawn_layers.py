"""Hypothesis strategies: calls of every layer type as text, and input shapes that mostly fit them."""

from typing import Any

from hypothesis import strategies as st

from dlnotes_cli.shapes.rules.layer_types import layer_types

Shape = tuple[int, ...]

SMALL = st.integers(1, 4)
INVALID_VALUES = st.sampled_from([0, -1, 3.5, None, "same", (1,), (1, 2, 3, 4)])  # invalid for most arguments
INVALID_SCALARS = st.sampled_from([0, -1, 3.5, None, "same"])
TUPLE_ARGUMENTS = {
    *["kernel_size", "stride", "padding", "dilation", "output_padding", "output_size", "size", "scale_factor"]
}
NUMBERS = st.sampled_from([0.5, 1, 0.1, 2.0, 0])


def rank_of(name: str) -> int | None:
    return int(name[-2]) if name[-2].isdigit() else None


@st.composite
def shapes(draw: st.DrawFn, name: str) -> Shape:
    """The shape of one sample: channels and spatial size, sometimes with one dimension too many or too few."""
    if name in {"RNN", "LSTM", "GRU"}:
        return draw(st.one_of(st.tuples(st.integers(1, 6), st.integers(1, 6)), st.tuples(st.integers(1, 6))))
    if name == "Fold":  # unfolded 2x2 kernels on 4x4 and 3x5, and others
        return draw(st.sampled_from([(4, 9), (12, 9), (8, 8), (9, 4), (4, 10)]))
    rank = rank_of(name) or draw(st.integers(0, 3))
    rank = min(max(rank + draw(st.sampled_from([0, 0, 0, 0, 0, 0, 1, -1])), 0), 3)
    channels = draw(st.sampled_from([1, 2, 3, 4, 6, 8, 9, 12]))
    return (channels, *draw(st.lists(st.integers(1, 10 if rank < 3 else 7), min_size=rank, max_size=rank)))


def sizes(rank: int, low: int, high: int) -> st.SearchStrategy[Any]:
    one = st.integers(low, high)
    return st.one_of(one, one, st.tuples(*[one] * rank), st.lists(one, min_size=rank, max_size=rank))


def argument(parameter: str, name: str, shape: Shape) -> st.SearchStrategy[Any]:
    """Values of one argument, mostly valid for the shape."""
    rank = rank_of(name) or max(len(shape) - 1, 1)
    channels, last = shape[0], shape[-1]
    valid_modes = {1: ["linear"], 2: ["bilinear", "bicubic"], 3: ["trilinear"]}.get(len(shape) - 1, [])
    strategies = {
        "in_channels": st.just(channels),
        "out_channels": st.sampled_from([1, 2, 3, 4, 6, 12]),
        "kernel_size": st.sampled_from([2, (2, 2), 3])
        if name == "Fold"
        else sizes(2 if name == "Unfold" else rank, 1, 4),
        "stride": sizes(2 if name in {"Fold", "Unfold"} else rank, 1, 3),
        "dilation": sizes(2 if name in {"Fold", "Unfold"} else rank, 1, 3),
        "output_padding": sizes(rank, 0, 2),
        "groups": st.sampled_from([1, 1, 1, 2, 3, channels]),
        "bias": st.booleans(),
        "padding_mode": st.sampled_from(["zeros", "zeros", "reflect", "replicate", "circular"]),
        "ceil_mode": st.booleans(),
        "count_include_pad": st.booleans(),
        "return_indices": st.booleans(),
        "divisor_override": st.sampled_from([None, 1, 3]),
        "norm_type": st.sampled_from([1, 2, 3.0]),
        "output_size": st.sampled_from([4, (4, 4), (3, 5), 5]) if name == "Fold" else sizes(rank, 1, 9),
        "num_features": st.just(channels),
        "num_channels": st.just(channels),
        "num_groups": st.sampled_from([1, 2, 3, channels]),
        "normalized_shape": st.sampled_from([last, (last,), shape, shape[1:], list(shape[-2:])]),
        "affine": st.booleans(),
        "elementwise_affine": st.booleans(),
        "track_running_stats": st.booleans(),
        "inplace": st.booleans(),
        "in_features": st.just(last),
        "out_features": SMALL,
        "num_embeddings": st.integers(1, 9),
        "embedding_dim": SMALL,
        "padding_idx": st.sampled_from([None, 0, -1, 5]),
        "max_norm": st.sampled_from([None, 2.0]),
        "scale_grad_by_freq": st.booleans(),
        "sparse": st.booleans(),
        "input_size": st.just(last),
        "hidden_size": st.integers(1, 5),
        "num_layers": st.integers(1, 3),
        "batch_first": st.booleans(),
        "bidirectional": st.booleans(),
        "proj_size": st.integers(0, 3),
        "dropout": st.sampled_from([0, 0.5, 0.0]),
        "nonlinearity": st.sampled_from(["tanh", "relu"]),
        "start_dim": st.integers(-3, 4),
        "end_dim": st.integers(-3, 4),
        "dim": st.integers(-3, 4),
        "unflattened_size": st.sampled_from([(1, last), (-1, 1), (2, -1), (last,), (2, 2), (channels, 1)]),
        "upscale_factor": st.integers(1, 3),
        "downscale_factor": st.integers(1, 3),
        "size": st.integers(1, 5) if name == "LocalResponseNorm" else st.one_of(st.none(), sizes(rank, 1, 12)),
        "scale_factor": st.sampled_from([None, 2, 3, 1.5, 0.5, 0.3, 2.7, (2.0,) * rank]),
        "mode": st.sampled_from(["nearest", "nearest-exact", "area", *valid_modes * 2, "linear", "bilinear"]),
        "align_corners": st.sampled_from([None, None, True, False]),
        "recompute_scale_factor": st.sampled_from([None, None, True]),
        "num_parameters": st.sampled_from([1, channels]),
        "approximate": st.sampled_from(["none", "tanh"]),
        "eps": st.sampled_from([1e-5, 0.1]),
        "momentum": st.sampled_from([0.1, None]),
    }
    if parameter == "padding":
        return paddings(name, rank)
    return strategies.get(parameter, NUMBERS)


def paddings(name: str, rank: int) -> st.SearchStrategy[Any]:
    if "Pad" in name:
        amounts = st.integers(
            0 if "Circular" in name else -3, 6
        )  # torch's negative circular padding depends on the memory layout
        return st.one_of(amounts, st.tuples(*[amounts] * (2 * rank)), st.tuples(amounts, amounts))
    if "Pool" in name:
        return sizes(rank, 0, 1) | st.integers(0, 2)
    valid = sizes(2 if name in {"Fold", "Unfold"} else rank, 0, 3)
    return st.one_of(valid, st.sampled_from(["same", "valid"])) if "Conv" in name else valid


@st.composite
def layers(
    draw: st.DrawFn, names: st.SearchStrategy[str], sample: st.SearchStrategy[Shape] | None = None
) -> tuple[str, Shape]:
    """A layer as text, and one input shape; arguments by position or by name, now and then an invalid one."""
    name = draw(names)
    shape = draw(shapes(name) if sample is None else sample)
    signature = layer_types()[name].signature.split(", ")
    parameters = [text.partition("=") for text in signature if text not in {"", "*"}]
    known = [(key, not equals) for key, equals, _ in parameters if key not in {"device", "dtype"}]
    positions = 0 if name == "Identity" else draw(st.integers(0, len(known)))
    if "bias" in [key for key, _ in known] and "Norm" in name:
        positions = min(positions, 1)  # device and dtype come before it
    arguments = []
    for index, (key, is_required) in enumerate(known):
        if not is_required and index >= positions and draw(st.integers(0, 9)) > 3:
            continue
        invalid = INVALID_VALUES if key in TUPLE_ARGUMENTS else INVALID_SCALARS
        value = draw(invalid if draw(st.integers(0, 59)) == 0 else argument(key, name, shape))
        arguments.append(repr(value) if index < positions else f"{key}={value!r}")
    return f"{name}({', '.join(arguments)})", shape


ALL_LAYERS = sorted(layer_types())
RECURRENT = ["GRU", "LSTM", "RNN"]
