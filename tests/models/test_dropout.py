import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dlnotes_cli.models.dropout import Dropout


@pytest.mark.parametrize("p", [0.0, 0.1, 0.2, 0.5, 0.9])
def test_the_fraction_of_dropped_units_is_p_in_every_column(p: float) -> None:
    torch.manual_seed(0)
    layer, x = Dropout(p).train(), torch.ones(4000, 5)
    out = layer(x)
    assert (out == 0).double().mean(dim=0).tolist() == pytest.approx([p] * 5, abs=0.03)
    assert (out == 0).double().mean().item() == pytest.approx(p, abs=0.01)
    assert out.mean().item() == pytest.approx(1.0, abs=0.05)
    assert out[out > 0].tolist() == pytest.approx([1 / (1 - p)] * int((out > 0).sum()), rel=1e-3)


@given(st.lists(st.integers(1, 7), min_size=1, max_size=4))
def test_any_shape_and_dtype(shape: list[int]) -> None:
    for dtype in (torch.float32, torch.bfloat16):
        out = Dropout(0.5).train()(torch.ones(shape, dtype=dtype))
        assert (list(out.shape), out.dtype) == (shape, dtype)


def test_the_gradient_is_zero_only_for_dropped_units() -> None:
    x = torch.ones(64, 8, requires_grad=True)
    out = Dropout(0.25).train()(x)
    out.sum().backward()
    assert x.grad is not None
    assert torch.equal(x.grad, out.detach())


def test_neighboring_units_are_independent() -> None:
    torch.manual_seed(1)
    mask = (Dropout(0.5).train()(torch.ones(20000, 8)) > 0).double()
    correlation = torch.corrcoef(mask.T) - torch.eye(8)
    assert correlation.abs().max().item() < 0.03


def test_evaluation_mode_is_the_identity_and_draws_no_random_number() -> None:
    torch.manual_seed(0)
    x = torch.randn(5, 5)
    before = torch.get_rng_state()
    assert torch.equal(Dropout(0.5).eval()(x), x)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("p", [0.0, 0.2, 0.5, 0.75])
def test_the_levels_of_random_numbers_decide(p: float, dtype: torch.dtype) -> None:
    x = torch.randn(7, 9).to(dtype)
    torch.manual_seed(3)
    numbers = torch.empty(16, dtype=torch.int64).random_(-(1 << 63), None)
    levels = numbers.numpy().view(np.uint8).view("<i2")[:63].reshape(7, 9).astype(int) + 32768  # 0 to 65535
    is_kept = torch.from_numpy(levels >= round(p * 65536))
    torch.manual_seed(3)
    out = Dropout(p).train()(x)
    expected = torch.where(is_kept, x.double() / (1 - round(p * 65536) / 65536), 0.0)
    torch.testing.assert_close(out.double(), expected, rtol=1e-6 if dtype == torch.float32 else 1e-2, atol=0)
