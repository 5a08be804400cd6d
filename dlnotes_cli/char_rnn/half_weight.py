"""Products with a weight in half precision, which is packed once where oneDNN computes them."""

from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import torch
from torch import Tensor


class HalfWeight:
    """A weight (inputs, outputs) in half precision; for bf16 on the CPU in the order in which oneDNN reads it.

    oneDNN puts an ordinary tensor in that order anew for each product, which takes as long as a product of few rows.
    """

    def __init__(self, weight: Tensor, precision: torch.dtype) -> None:
        self._weight = weight.to(precision)
        is_bf16_on_cpu = weight.device.type == "cpu" and precision == torch.bfloat16
        self._operations = _packed_operations() if is_bf16_on_cpu else None
        if self._operations is not None:
            self._weight = self._operations.pack(self._weight.T.contiguous())

    def product(self, x: Tensor) -> Tensor:
        """X `weight` for x (B, inputs), in the type of x."""
        half = x.to(self._weight.dtype)
        if self._operations is None:
            return (half @ self._weight).to(x.dtype)
        return self._operations.product(half, self._weight, None, "none", [], "").to(x.dtype)


class _PackedOperations(NamedTuple):
    pack: Callable[[Tensor], Tensor]  # a weight (outputs, inputs)
    product: Callable[..., Tensor]  # x (B, inputs), packed weight, bias, and what to apply to the result


@cache
def _packed_operations() -> _PackedOperations | None:
    """The operations that torch.compile uses for packed weights; None where this build or processor has none."""
    try:
        mkldnn = torch.ops.mkldnn
        has_bf16 = mkldnn._is_mkldnn_bf16_supported()  # noqa: SLF001  # undocumented, hence the trial below
        found = _PackedOperations(mkldnn._reorder_linear_weight, mkldnn._linear_pointwise.default)  # noqa: SLF001
        ones = torch.ones(2, 3, dtype=torch.bfloat16)
        trial = found.product(ones[:1], found.pack(ones), None, "none", [], "")
        return found if has_bf16 and trial.tolist() == [[3.0, 3.0]] else None
    except (AttributeError, RuntimeError, TypeError):
        return None
