"""Shapes, parameters, buffers, MACs and errors of every layer type, compared with `torch.nn`."""

import inspect
import re
from pathlib import Path

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from shapes.torch_oracle import TorchResult, run_in_torch
from torch import nn

from dlnotes_cli.shapes.report import analyze
from dlnotes_cli.shapes.rules.arguments import parameters
from dlnotes_cli.shapes.rules.layer_types import layer_types
from dlnotes_cli.shell.errors import InputError

Shape = tuple[int, ...]
ALL_LAYERS = sorted(layer_types())
EDGES = (Path(__file__).parent / "edges.txt").read_text().splitlines()  # of what torch accepts
IS_FULL = settings.get_current_profile_name() == "full"
STACKABLE = [
    "Conv2d(4, 4, 3)", "Conv2d(4, 8, 1, stride=2, bias=False)", "ConvTranspose2d(8, 4, 2, 2)", "LazyConv2d(4, 3)",
    "BatchNorm2d(4)", "MaxPool2d(2, ceil_mode=True)", "Upsample(scale_factor=1.5)", "ReflectionPad2d(1)", "ReLU(True)",
    "AdaptiveAvgPool2d((3, None))", "Flatten()", "Flatten(2)", "Unflatten(1, (4, -1))", "LazyLinear(8)", "Dropout()",
]  # fmt: skip


def run_in_shapes(text: str, shape: Shape) -> TorchResult | str:
    try:
        report = analyze(text, shape)
    except InputError as error:
        return str(error)
    states = tuple(size for _, size in report.traced[0].info.states)
    return TorchResult((1, *report.output), report.parameters, report.buffers, report.macs, states)


def check(text: str, shape: Shape) -> None:
    """Compare our result with torch's.

    Three results of torch are errors here: an empty tensor; an output whose first dimension is no longer the batch, as
    where a layer reads the batch as channels; and fewer output channels than requested, which a lazy transposed
    convolution returns because it does not check the groups.
    """
    ours, expected = run_in_shapes(text, shape), run_in_torch(text, shape)
    if isinstance(expected, str) or 0 in expected.shape or is_rejected_here(text, shape, expected):
        assert isinstance(ours, str), f"{text} on {shape}: torch gives {expected}, dlnotes {ours}"
    else:
        assert ours == expected, f"{text} on {shape}: torch gives {expected}, dlnotes {ours}"


def is_rejected_here(text: str, shape: Shape, expected: TorchResult) -> bool:
    if text.startswith("LazyConvTranspose"):
        channels = re.search(r"\((?:out_channels=)?(\d+)|out_channels=(\d+)", text)
        rank = int(text[len("LazyConvTranspose")])
        return (
            channels is None or expected.shape[-rank - 1] != int(channels[1] or channels[2]) or expected.shape[0] != 1
        )
    if expected.shape[:1] != (1,):
        return True
    if not text.startswith(("Flatten", "AdaptiveAvgPool", "ZeroPad2d", "PixelUnshuffle", "Unfold")):
        return False
    pair = run_in_torch(text, shape, batch=2)
    return isinstance(pair, str) or pair.shape != (2, *expected.shape[1:])


@pytest.mark.parametrize("line", EDGES)
def test_edges_of_what_torch_accepts(line: str) -> None:
    text, _, shape = line.rpartition(" @ ")
    check(text, tuple(map(int, shape.split("x"))))


@pytest.mark.parametrize("name", ALL_LAYERS)
@settings(max_examples=40 if IS_FULL else 8, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_near_the_edges_with_other_numbers(name: str, data: st.DataObject) -> None:
    line = data.draw(st.sampled_from([line for line in EDGES if line.startswith(f"{name}(")]))
    text, _, shape = line.rpartition(" @ ")
    words = re.compile(r"(?<![\w.])(-?\d{1,2}|True|False)(?![\w.])")
    parts = words.split(f"{text} @ {shape.replace('x', ' ')}")  # numbers and booleans at odd places
    for place in data.draw(st.sets(st.sampled_from(range(1, len(parts), 2)), max_size=3)):
        parts[place] = str(data.draw(st.booleans() if parts[place] in {"True", "False"} else st.integers(-1, 9)))
    text, _, sizes = "".join(parts).rpartition(" @ ")
    assume("-" not in text or "ircular" not in text)  # torch's negative circular padding depends on the memory layout
    check(text, tuple(max(int(size), 1) for size in sizes.split()))


@settings(max_examples=100, deadline=None)
@given(st.lists(st.sampled_from(STACKABLE), min_size=2, max_size=5))
def test_stacks_agree_with_torch_modules_in_sequence(texts: list[str]) -> None:
    check(f"Sequential({', '.join(texts)})", (4, 12, 12))


SIZES = st.sampled_from([1, 3, 2**31 - 1, 2**31, 2**40, 2**62, 2**63 - 1])
HUGE = SIZES | st.sampled_from([2**63, 10**30, 1e308, 5e-324, -1e308])


@given(
    st.sampled_from(ALL_LAYERS),
    st.lists(HUGE, min_size=1, max_size=6),
    st.lists(SIZES, min_size=1, max_size=4),
)
def test_huge_numbers_give_a_result_or_an_error(name: str, values: list[float], size: list[int]) -> None:
    ours = run_in_shapes(f"{name}({', '.join(map(str, values))})", tuple(size))
    assert isinstance(ours, str) or min(ours.shape) >= 1


@pytest.mark.parametrize("name", [name for name in ALL_LAYERS if name != "Identity"])
def test_signatures_are_those_of_torch(name: str) -> None:
    """Names, defaults and order; the nonlinearity of an RNN is in none of torch's signatures."""
    is_recurrent = name in {"GRU", "LSTM", "RNN"}
    module = nn.RNNBase if is_recurrent else getattr(nn, name)
    known = inspect.signature(module.__init__).parameters.values()
    hidden = ("_", "self", "args", "kwargs", "mode" if is_recurrent else "_")
    expected = [(one.name, one.default, one.kind) for one in known if not one.name.startswith(hidden)]
    if name == "RNN":
        expected.insert(3, ("nonlinearity", "tanh", inspect.Parameter.POSITIONAL_OR_KEYWORD))
    declared = parameters(layer_types()[name].declaration)
    assert [(one.name, one.default, one.kind) for one in declared] == expected
