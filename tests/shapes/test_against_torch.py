"""Shapes, parameters, buffers, MACs and errors of every layer type, compared with `torch.nn`."""

import inspect
import re
from pathlib import Path

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from shapes.drawn_layers import ALL_LAYERS, RECURRENT, Shape, layers
from shapes.torch_oracle import TorchResult, run_in_torch
from torch import nn

from dlnotes_cli.shapes.report import analyze
from dlnotes_cli.shapes.rules.arguments import parameters
from dlnotes_cli.shapes.rules.layer_types import layer_types
from dlnotes_cli.shell.errors import InputError


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
    if not text.startswith(("Flatten", "AdaptiveAvgPool2d", "ZeroPad2d", "PixelUnshuffle", "Unfold")):
        return False
    pair = run_in_torch(text, shape, batch=2)
    return isinstance(pair, str) or pair.shape != (2, *expected.shape[1:])


@pytest.mark.parametrize("line", (Path(__file__).parent / "edges.txt").read_text().splitlines())
def test_edges_of_what_torch_accepts(line: str) -> None:
    text, _, shape = line.rpartition(" @ ")
    check(text, tuple(map(int, shape.split("x"))))


IS_FULL = settings.get_current_profile_name() == "full"


@pytest.mark.parametrize("valid", [False, True])
@pytest.mark.parametrize("name", ALL_LAYERS)
@settings(max_examples=14 if IS_FULL else 4, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_agrees_with_torch(name: str, data: st.DataObject, *, valid: bool) -> None:
    text, shape = data.draw(layers(st.just(name)))
    if valid:
        assume(isinstance(run_in_torch(text, shape), TorchResult))
    check(text, shape)


@pytest.mark.parametrize("name", [name for name in ALL_LAYERS if name != "Identity"])
def test_signatures_are_those_of_torch(name: str) -> None:
    """Names, defaults and order; the nonlinearity of an RNN is in none of torch's signatures."""
    module = nn.RNNBase if name in RECURRENT else getattr(nn, name)
    known = inspect.signature(module.__init__).parameters.values()
    hidden = ("_", "self", "args", "kwargs", "mode" if name in RECURRENT else "_")
    expected = [(one.name, one.default, one.kind) for one in known if not one.name.startswith(hidden)]
    if name == "RNN":
        expected.insert(3, ("nonlinearity", "tanh", inspect.Parameter.POSITIONAL_OR_KEYWORD))
    declared = parameters(layer_types()[name].declaration)
    assert [(one.name, one.default, one.kind) for one in declared] == expected
