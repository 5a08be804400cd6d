"""Hypothesis strategies: calls of every layer type as text, and input shapes that mostly fit them."""

from inspect import Parameter
from typing import Any

from hypothesis import strategies as st

from dlnotes_cli.shapes.rules.arguments import parameters
from dlnotes_cli.shapes.rules.layer_types import layer_types

Shape = tuple[int, ...]
INVALID_SCALARS = [0, -1, 3.5, None, "same"]  # for most arguments
SIZES = {"kernel_size", "stride", "padding", "dilation", "output_padding", "output_size", "size", "scale_factor"}
ALL_LAYERS = sorted(layer_types())
RECURRENT = ["GRU", "LSTM", "RNN"]


def rank_of(name: str) -> int | None:
    return int(name[-2]) if name[-2].isdigit() else None


@st.composite
def shapes(draw: st.DrawFn, name: str) -> Shape:
    """The shape of one sample: channels and spatial size, sometimes with one dimension too many or too few."""
    if name in RECURRENT:
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


def argument(parameter: Parameter, name: str, shape: Shape) -> st.SearchStrategy[Any]:
    """Values of one argument, mostly valid for the shape; by its name, else by its kind."""
    rank = 2 if name in {"Fold", "Unfold"} else rank_of(name) or max(len(shape) - 1, 1)
    channels, last = shape[0], shape[-1]
    valid_modes = {1: ["linear"], 2: ["bilinear", "bicubic"], 3: ["trilinear"]}.get(len(shape) - 1, [])
    choices: dict[str, list[Any]] = {
        "groups": [1, 1, 1, 2, 3, channels],
        "divisor_override": [None, 1, 3],
        "num_groups": [1, 2, 3, channels],
        "normalized_shape": [last, (last,), shape, shape[1:], list(shape[-2:])],
        "padding_idx": [None, 0, -1, 5],
        "unflattened_size": [(1, last), (-1, 1), (2, -1), (last,), (2, 2), (channels, 1)],
        "scale_factor": [None, 2, 3, 1.5, 0.5, 0.3, 2.7, (2.0,) * rank],
        "mode": ["nearest", "nearest-exact", "area", *valid_modes * 2, "linear", "bilinear"],
        "align_corners": [None, None, True, False],
        "recompute_scale_factor": [None, None, True],
        "num_parameters": [1, channels],
        "out_channels": [1, 2, 3, 4, 6, 12],
        **{one: [channels] for one in ("in_channels", "num_features", "num_channels")},
        **{one: [last] for one in ("in_features", "input_size")},
    }
    if name == "Fold":
        choices |= {"kernel_size": [2, (2, 2), 3], "output_size": [4, (4, 4), (3, 5), 5]}
    others = {
        "size": st.one_of(st.none(), sizes(rank, 1, 12)),
        "output_size": sizes(rank, 1, 9),
        "stride": sizes(rank, 1, 3),
        "proj_size": st.integers(0, 3),
        **dict.fromkeys(("dim", "start_dim", "end_dim"), st.integers(-3, 4)),
    }
    kind = parameter.annotation
    if parameter.name == "padding":
        return paddings(name, rank)
    if parameter.name in choices:
        return st.sampled_from(choices[parameter.name])
    if parameter.name in others and not kind.endswith("1"):
        return others[parameter.name]
    by_kind = {
        "sizes": sizes(rank, int(kind.endswith("1")), 3),
        "int": st.integers(1, 4),
        "number": st.sampled_from([0.5, 1, 0.1, 2.0, 0, *([None] if kind.endswith("?") else [])]),
        "": st.booleans(),
    }
    if "|" in kind:
        return st.sampled_from([parameter.default, *kind.split("|")])
    return by_kind[kind.rstrip("01?").replace("exact", "sizes").replace("bool", "")]


def paddings(name: str, rank: int) -> st.SearchStrategy[Any]:
    if "Pad" in name:  # torch's negative circular padding depends on the memory layout
        amounts = st.integers(0 if "Circular" in name else -3, 6)
        return st.one_of(amounts, st.tuples(*[amounts] * (2 * rank)), st.tuples(amounts, amounts))
    if "Pool" in name:
        return sizes(rank, 0, 1) | st.integers(0, 2)
    valid = sizes(rank, 0, 3)
    return st.one_of(valid, st.sampled_from(["same", "valid"])) if "Conv" in name else valid


@st.composite
def layers(
    draw: st.DrawFn, names: st.SearchStrategy[str], sample: st.SearchStrategy[Shape] | None = None
) -> tuple[str, Shape]:
    """A layer as text, and one input shape; arguments by position or by name, now and then an invalid one."""
    name = draw(names)
    shape = draw(shapes(name) if sample is None else sample)
    known = [one for one in parameters(layer_types()[name].declaration) if one.name not in {"device", "dtype"}]
    positions = draw(st.integers(0, sum(one.kind is not Parameter.KEYWORD_ONLY for one in known)))
    if any(one.kind is Parameter.KEYWORD_ONLY for one in known):
        positions = min(positions, 1)  # device and dtype come before it
    arguments = []
    for index, one in enumerate(known):
        if one.default is not Parameter.empty and index >= positions and draw(st.integers(0, 9)) > 3:
            continue
        invalid = [*INVALID_SCALARS, *([(1,), (1, 2, 3, 4)] if one.name in SIZES else [])]
        value = draw(st.sampled_from(invalid) if draw(st.integers(0, 59)) == 0 else argument(one, name, shape))
        arguments.append(repr(value) if index < positions else f"{one.name}={value!r}")
    return f"{name}({', '.join(arguments)})", shape
