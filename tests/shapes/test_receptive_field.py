"""Receptive field, jump and start compared with where the gradient of each output position is not zero."""

from fractions import Fraction
from itertools import pairwise

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from shapes.torch_oracle import build

from dlnotes_cli.networks.module_trace import trace_module
from dlnotes_cli.shapes.receptive_field import MAX_PERIOD, adaptive_field, interpolation_field
from dlnotes_cli.shapes.report import analyze

MARGIN = 150  # positions from a border, whose padding no field of a tested position reaches


def check(layers: list[str], size: int) -> None:
    """Compare the fields of outputs in the middle with the positions whose gradient is not zero: all weights are 1."""
    network = torch.nn.Sequential(*map(build, layers)).double()
    for parameter in network.parameters():
        torch.nn.init.ones_(parameter)
    x = torch.ones(1, 1, size, dtype=torch.double, requires_grad=True)
    y = network(x)
    axes = analyze("\n".join(layers), (1, size)).receptive_field.axes
    assume(axes)  # which are unknown for patterns with a long period
    (field,) = axes or ()
    for position in range(y.shape[-1] // 2, y.shape[-1] // 2 + 5):
        low, high = field.at(position)
        if low >= MARGIN and high < size - MARGIN:
            (gradient,) = torch.autograd.grad(y[0, :, position].sum(), x, retain_graph=True)
            seen = gradient[0, 0].nonzero().flatten().tolist()
            assert (seen[0], seen[-1]) == (low, high), (layers, position)


def convolution(kernel: int, stride: int, padding: int, dilation: int) -> str:
    return f"Conv1d(1, 1, {kernel}, stride={stride}, padding={padding}, dilation={dilation}, bias=False)"


def transposed(overlap: int, stride: int, padding: int) -> str:
    return f"ConvTranspose1d(1, 1, {stride + overlap}, stride={stride}, padding={padding}, bias=False)"


SMALL = st.integers(1, 3)
LAYERS = st.one_of(
    st.builds(convolution, st.integers(1, 5), SMALL, st.integers(0, 2), SMALL),
    st.builds(transposed, st.integers(0, 3), SMALL, st.integers(0, 1)),
    st.builds(lambda kernel, stride: f"AvgPool1d({kernel}, {stride})", SMALL, SMALL),
    st.builds(lambda kernel: f"AvgPool1d({kernel}, ceil_mode=True, padding={kernel // 2})", SMALL),
    st.builds(lambda left, right: f"ZeroPad1d(({left}, {right}))", st.integers(-2, 3), st.integers(-2, 3)),
    st.builds(lambda size: f"AdaptiveAvgPool1d({size})", st.sampled_from([50, 60, 100, 128, 350])),
    st.builds(lambda factor: f"Upsample(scale_factor={factor})", st.sampled_from([2, 3, 0.5])),
    st.builds(lambda mode: f"Upsample(scale_factor=2, mode='{mode}')", st.sampled_from(["linear", "nearest-exact"])),
    st.builds(lambda size: f"Upsample(size={size}, mode='area')", st.sampled_from([50, 60, 100, 128, 350])),
    st.sampled_from(["ReLU()", "Identity()"]),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(LAYERS, min_size=1, max_size=4), st.sampled_from([600, 640, 700]))
def test_the_field_of_each_position_is_where_the_gradient_is_not_zero(layers: list[str], size: int) -> None:
    check(layers, size)


@pytest.mark.parametrize(
    ("layers", "sizes"),
    [
        (
            "Conv2d(1, 4, 3, padding=1); AdaptiveAvgPool2d(1); Flatten(); Linear(4, 2); ReLU(); Linear(2, 2)",
            [3] + [10] * 5,
        ),
        ("Conv2d(1, 4, 3, padding=1); Flatten(); Linear(256, 2); Linear(2, 2)", [3, 3, 8, 8]),
        ("Conv2d(1, 4, 2, stride=3); Flatten(); Linear(36, 2)", [2, 2, 8]),
        ("Conv2d(1, 4, 3, stride=3); Flatten(); Linear(16, 2)", [3, 3, 6]),  # the last two positions are not read
        ("AvgPool2d(2); AdaptiveAvgPool2d((1, 4)); Flatten(); Dropout(0.5); Linear(4, 2)", None),
    ],
)
def test_a_linear_layer_sees_everything_that_its_inputs_see(layers: str, sizes: list[int] | None) -> None:
    fields = [traced.receptive_field.size or () for traced in analyze(layers, (1, 8, 8)).traced]
    for before, after in pairwise(fields):
        assert all(size <= larger for size, larger in zip(before, after, strict=True))
    assert sizes is None or fields == [(size, size) for size in sizes]


@pytest.mark.parametrize(
    "layers", ["LSTM(8, 4)", "Linear(8, 4)", "Unfold(2)", "Embedding(9, 3)", "Unflatten(1, (1, 1))"]
)
def test_the_field_is_unknown_after_layers_that_mix_positions(layers: str) -> None:
    assert analyze(layers, (1, 8, 8) if layers == "Unfold(2)" else (1, 8)).receptive_field.size is None


def test_the_field_of_a_pattern_with_a_long_period_is_unknown() -> None:
    assert adaptive_field(10**9, 10**9 - 1) is None
    assert interpolation_field(Fraction(1, MAX_PERIOD + 1), Fraction(0)) is None
    stack = "AdaptiveAvgPool1d(4095); Conv1d(1, 1, 1, stride=4); AdaptiveAvgPool1d(997)"
    assert analyze(stack, (1, 4099)).receptive_field.size is None


class Branches(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = torch.nn.Conv1d(1, 1, 3, padding=1), torch.nn.Conv1d(1, 1, 3, padding=4, dilation=4)
        self.c, self.up = torch.nn.Conv1d(1, 1, 4, stride=2, padding=1), torch.nn.ConvTranspose1d(1, 1, 2, stride=2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = x[:, :1]
        y = self.a(x) + self.b(y)
        return torch.cat([self.up(self.c(y)), y], 1)


def test_the_field_of_a_join_is_the_union_of_its_branches() -> None:
    network = Branches()
    for parameter in network.parameters():
        torch.nn.init.ones_(parameter)
    x = torch.ones(1, 1, 40, requires_grad=True)
    (field,) = trace_module(Branches().to("meta"), [(1, 40)]).layers[-1].receptive_field.axes or ()
    for position in (16, 17, 18, 19):
        (gradient,) = torch.autograd.grad(network(x)[0, :, position].sum(), x)
        seen = gradient[0, 0].nonzero().flatten().tolist()
        assert field.at(position) == (seen[0], seen[-1])


def test_a_skip_connection_is_held_in_memory_until_its_join() -> None:
    block = "Residual(Conv2d(2, 2, 3, padding=1), ReLU())"
    report = analyze(block, (2, 8, 8))
    held = 3 * 2 * 8 * 8 * 4  # the input, and at the ReLU and at the sum one input and one output
    assert report.memory.inference_bytes == report.memory.weights_bytes + held
    assert analyze(f"Identity(); {block}", (2, 8, 8)).memory.inference_bytes == report.memory.inference_bytes
    assert [layer.inputs for layer in report.layers] == [(0,), (1,), (2, 0)]
    assert analyze("Conv2d(2, 2, 3)", (2, 8, 8)).layers[0].inputs is None
