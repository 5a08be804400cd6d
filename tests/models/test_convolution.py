"""The convolution whose weight gradient lays images side by side, against PyTorch's."""

from collections.abc import Callable
from unittest.mock import Mock

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

from dlnotes_cli.models import convolution
from dlnotes_cli.models.convolution import Conv2d, SideBySide, side_by_side


@given(
    rows=st.integers(1, 2), inputs=st.integers(1, 5), outputs=st.integers(1, 5), height=st.integers(1, 9),
    width=st.integers(1, 9), seed=st.integers(0, 1000),
)  # fmt: skip
def test_output_and_gradients_are_those_of_pytorch(
    rows: int, inputs: int, outputs: int, height: int, width: int, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    x, weight, outer = (
        torch.randn(shape, generator=generator, dtype=torch.float64)
        for shape in ((32 * rows, inputs, height, width), (outputs, inputs, 3, 3), (32 * rows, outputs, height, width))
    )
    found = with_gradients(SideBySide.apply, x, weight, outer)
    expected = with_gradients(lambda x, w: functional.conv2d(x, w, padding=1), x, weight, outer)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)


def with_gradients(
    convolve: Callable[..., torch.Tensor], x: torch.Tensor, weight: torch.Tensor, outer: torch.Tensor
) -> list[torch.Tensor | None]:
    """The output and the gradients with respect to images and weights, for `outer` with respect to the output."""
    leaves = x.clone().requires_grad_(), weight.clone().requires_grad_()
    output = convolve(*leaves)
    output.backward(outer)
    return [output.detach(), *(leaf.grad for leaf in leaves)]


def test_images_are_laid_side_by_side_with_a_column_of_zeros_after_each() -> None:
    images = torch.arange(1.0, 1 + 64 * 2 * 3 * 5).view(64, 2, 3, 5)
    rows = side_by_side(images)
    assert rows.shape == (2, 2, 3, 32 * 6)
    for i in range(64):
        start = 6 * (i % 32)
        assert rows[i // 32, :, :, start : start + 5].equal(images[i])
        assert not rows[i // 32, :, :, start + 5].any()


def convolved(layer: nn.Conv2d, x: torch.Tensor, dtype: torch.dtype | None = torch.bfloat16) -> torch.Tensor:
    with torch.autocast("cpu", dtype, enabled=dtype is not None):
        result: torch.Tensor = layer(x)
    return result


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Mock:
    """Counts the calls of `SideBySide` on a processor with matrix instructions, whatever this one has."""
    monkeypatch.setattr(convolution, "_has_amx", lambda: True)
    monkeypatch.setattr(convolution.SideBySide, "apply", counted := Mock(wraps=SideBySide.apply))
    return counted


@pytest.mark.parametrize("bias", [False, True])
def test_a_layer_in_training_equals_that_of_torch_within_the_rounding_of_bf16(calls: Mock, bias: bool) -> None:
    torch.manual_seed(1)
    layer, plain = Conv2d(96, 100, 3, padding=1, bias=bias), nn.Conv2d(96, 100, 3, padding=1, bias=bias)
    plain.load_state_dict(layer.state_dict())
    x = torch.randn(32, 96, 4, 4)
    outer = torch.randn(32, 100, 4, 4)
    for each in (layer, plain):
        (convolved(each, x) * outer).sum().backward()
    calls.assert_called_once()
    torch.testing.assert_close(convolved(layer, x), convolved(plain, x), rtol=0.02, atol=0.02)
    for ours, theirs in zip(layer.parameters(), plain.parameters(), strict=True):
        assert ours.grad is not None
        assert theirs.grad is not None
        assert (ours.grad - theirs.grad).norm() < 0.01 * theirs.grad.norm()


OTHER = {
    "fp32": (Conv2d(96, 96, 3, padding=1), 4, 32, None),
    "fp16": (Conv2d(96, 96, 3, padding=1), 4, 32, torch.float16),
    "evaluation": (Conv2d(96, 96, 3, padding=1).eval(), 4, 32, torch.bfloat16),
    "fixed": (Conv2d(96, 96, 3, padding=1).requires_grad_(False), 4, 32, torch.bfloat16),
    "large maps": (Conv2d(96, 96, 3, padding=1), 9, 32, torch.bfloat16),
    "few channels": (Conv2d(96, 95, 3, padding=1), 4, 32, torch.bfloat16),
    "odd batch": (Conv2d(96, 96, 3, padding=1), 4, 33, torch.bfloat16),
    "stride": (Conv2d(96, 96, 3, padding=1, stride=2), 4, 32, torch.bfloat16),
    "kernel": (Conv2d(96, 96, 1), 4, 32, torch.bfloat16),
    "groups": (Conv2d(96, 96, 3, padding=1, groups=2), 4, 32, torch.bfloat16),
    "padding": (Conv2d(96, 96, 3, padding=1, padding_mode="circular"), 4, 32, torch.bfloat16),
}


@pytest.mark.parametrize("name", OTHER)
def test_other_convolutions_are_those_of_torch(calls: Mock, name: str) -> None:
    layer, side, count, dtype = OTHER[name]
    x = torch.randn(count, 96, side, side)
    assert convolved(layer, x, dtype).equal(convolved_by_torch(layer, x, dtype))
    calls.assert_not_called()


def convolved_by_torch(layer: Conv2d, x: torch.Tensor, dtype: torch.dtype | None) -> torch.Tensor:
    with torch.autocast("cpu", dtype, enabled=dtype is not None):
        return nn.Conv2d.forward(layer, x)


def test_a_pytorch_that_does_not_report_the_processor_has_no_matrix_instructions(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    assert not convolution._has_amx.__wrapped__()
