"""Shapes, parameters, buffers, multiply-adds and refusals against real modules, for every kind of layer."""

import inspect
import re

import pytest
from hypothesis import HealthCheck, assume, event, given, settings
from hypothesis import strategies as st
from shapes.drawn_layers import EVERY, RECURRENT, Shape, layers
from shapes.torch_oracle import Truth, ask_torch
from torch import nn

from dlnotes_cli.shapes import analyze
from dlnotes_cli.shapes.rules.catalog import kinds
from dlnotes_cli.shell.errors import InputError


def ask_us(text: str, shape: Shape) -> Truth | str:
    try:
        report = analyze(text, shape)
    except InputError as error:
        return str(error)
    states = tuple(size for _, size in report.steps[0].effect.states)
    return Truth((1, *report.output), report.parameters, report.buffers, report.macs, states)


def check(text: str, shape: Shape) -> None:
    """Hold our answer against torch's.

    Three answers of torch's are refused on purpose: a tensor with nothing in it; one in which the batch dimension has
    become something else, as where a layer reads it as channels; and fewer channels than were asked for, which a lazy
    transposed convolution gives, having skipped its check of the groups.
    """
    ours, truth = ask_us(text, shape), ask_torch(text, shape)
    if isinstance(truth, str) or 0 in truth.shape or is_on_purpose(text, shape, truth):
        event("refused")
        assert isinstance(ours, str), f"{text} on {shape}: torch says {truth}, we say {ours}"
    else:
        event("accepted")
        assert ours == truth, f"{text} on {shape}: torch says {truth}, we say {ours}"


def is_on_purpose(text: str, shape: Shape, truth: Truth) -> bool:
    if text.startswith("LazyConvTranspose"):
        asked = re.search(r"\((?:out_channels=)?(\d+)|out_channels=(\d+)", text)
        rank = int(text[len("LazyConvTranspose")])
        return asked is None or truth.shape[-rank - 1] != int(asked[1] or asked[2]) or truth.shape[0] != 1
    if truth.shape[:1] != (1,):
        return True
    pair = ask_torch(text, shape, batch=2) if text.startswith("Flatten") else None
    return isinstance(pair, Truth) and pair.shape[0] != 2


RELAXED = [HealthCheck.too_slow, HealthCheck.filter_too_much]


MANY = 3000 // (2 * len(EVERY)) + 1  # of each kind, drawn freely, and as many again that torch accepts


def draw_and_check(data: st.DataObject, name: str, *, fitting: bool) -> None:
    text, shape = data.draw(layers(st.just(name)))
    if fitting:
        assume(isinstance(ask_torch(text, shape), Truth))
    check(text, shape)


@pytest.mark.parametrize("fitting", [False, True])
@pytest.mark.parametrize("name", EVERY)
@settings(max_examples=4, deadline=None, suppress_health_check=RELAXED)
@given(data=st.data())
def test_agrees_with_torch(name: str, data: st.DataObject, *, fitting: bool) -> None:
    draw_and_check(data, name, fitting=fitting)


@pytest.mark.slow
@pytest.mark.parametrize("fitting", [False, True])
@pytest.mark.parametrize("name", EVERY)
@settings(max_examples=MANY, deadline=None, suppress_health_check=RELAXED)
@given(data=st.data())
def test_agrees_with_torch_on_three_thousand(name: str, data: st.DataObject, *, fitting: bool) -> None:
    draw_and_check(data, name, fitting=fitting)


@pytest.mark.parametrize("name", [name for name in EVERY if name != "Identity"])
def test_signatures_are_those_of_torch(name: str) -> None:
    module = getattr(nn, name)
    if name in RECURRENT:
        found = [
            p for p in inspect.signature(nn.RNNBase.__init__).parameters.values() if p.name not in {"self", "mode"}
        ]
        if name == "RNN":
            found.insert(3, inspect.Parameter("nonlinearity", inspect.Parameter.POSITIONAL_OR_KEYWORD, default="tanh"))
    else:
        found = [p for p in inspect.signature(module.__init__).parameters.values() if p.name != "self"]
    words = []
    for parameter in found:
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY and "*" not in words:
            words.append("*")
        has_default = parameter.default is not inspect.Parameter.empty
        words.append(f"{parameter.name}={parameter.default!r}" if has_default else parameter.name)
    plain = [word for word in words if not word.startswith(("_", "args", "kwargs"))]
    assert kinds()[name].signature == ", ".join(plain)


UNKNOWN = {  # more inputs than one, no plain tensor in or out, or not in use for new networks
    "Bilinear", "Container", "CosineSimilarity", "CrossMapLRN2d", "DataParallel",
    "EmbeddingBag", "FractionalMaxPool2d", "FractionalMaxPool3d", "GRUCell", "LSTMCell",
    "MaxUnpool1d", "MaxUnpool2d", "MaxUnpool3d", "Module", "ModuleDict", "ModuleList", "MultiheadAttention",
    "PairwiseDistance", "ParameterDict", "ParameterList", "RNNBase", "RNNCell", "RNNCellBase", "Sequential",
    "SyncBatchNorm", "Transformer", "TransformerDecoder", "TransformerDecoderLayer", "TransformerEncoder",
    "TransformerEncoderLayer",
}  # fmt: skip


def test_every_other_module_of_torch_is_known() -> None:
    found = {
        name
        for name, module in vars(nn).items()
        if inspect.isclass(module) and issubclass(module, nn.Module) and "Loss" not in name
    }
    assert found - set(EVERY) <= UNKNOWN
