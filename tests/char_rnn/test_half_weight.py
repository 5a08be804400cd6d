"""Products in half precision, packed or not, against products in float64."""

import pytest
import torch

from dlnotes_cli.char_rnn import half_weight
from dlnotes_cli.char_rnn.half_weight import HalfWeight

BF16 = torch.bfloat16


@pytest.mark.parametrize("is_packed", [True, False])
@pytest.mark.parametrize("rows", [1, 3, 64])
@pytest.mark.parametrize(("inputs", "outputs"), [(5, 3), (32, 128), (96, 65)])
def test_products_are_those_of_the_rounded_factors(
    monkeypatch: pytest.MonkeyPatch, is_packed: bool, rows: int, inputs: int, outputs: int
) -> None:
    if not is_packed:
        monkeypatch.setattr(half_weight, "_packed_operations", lambda: None)
    torch.manual_seed(0)
    weight, x = torch.randn(inputs, outputs), torch.randn(rows, inputs)
    product = HalfWeight(weight, BF16).product(x)
    expected = x.to(BF16).double() @ weight.to(BF16).double()
    assert product.dtype == torch.float32
    torch.testing.assert_close(product.double(), expected, rtol=2**-8, atol=2**-8)


def test_without_the_operations_of_onednn_nothing_is_packed(monkeypatch: pytest.MonkeyPatch) -> None:
    class WithoutOperations:
        def __getattr__(self, name: str) -> object:
            raise AttributeError(name)

    monkeypatch.setattr(torch.ops, "mkldnn", WithoutOperations())
    assert half_weight._packed_operations.__wrapped__() is None
