"""PyTorch and NumPy give the same responses; conv2d on the CPU stands for any device."""

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from dlnotes_cli.filter.borders import BorderMode
from dlnotes_cli.filter.correlation import Correlation, compute
from dlnotes_cli.filter.kernels.catalog import NAMES, named_kernel
from dlnotes_cli.filter.torch_backend import TorchCorrelation

if TYPE_CHECKING:
    from numpy.typing import NDArray

CPU = torch.device("cpu")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("channels", [1, 3])
def test_named_kernels_give_the_same_responses(name: str, channels: int) -> None:
    image = np.random.default_rng(0).integers(0, 256, (40, 50, channels), dtype=np.uint8)
    for matrix in named_kernel(name).matrices:
        with_numpy = compute(Correlation(image, matrix), threads=1)
        with_torch = compute(TorchCorrelation(image, matrix, device=CPU), threads=1)
        np.testing.assert_allclose(with_numpy, with_torch, rtol=0, atol=1e-4)


@pytest.mark.parametrize("border", ["extend", "pad", "crop", "reflect", "wrap"])
@pytest.mark.parametrize("convolve", [False, True])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32, np.float64])
def test_borders_convolution_and_types(border: BorderMode, convolve: bool, dtype: type) -> None:
    rng = np.random.default_rng(0)
    image: NDArray[Any] = rng.integers(0, 256, (20, 30, 1)).astype(dtype)
    matrix = tuple(map(tuple, rng.normal(size=(4, 3)).tolist()))
    with_numpy = Correlation(image, matrix, border=border, convolve=convolve)
    with_torch = TorchCorrelation(image, matrix, device=CPU, border=border, convolve=convolve)
    assert with_numpy.shape == with_torch.shape
    assert with_numpy.max_magnitude == with_torch.max_magnitude
    np.testing.assert_allclose(compute(with_numpy, 1), compute(with_torch, 1), rtol=0, atol=1e-4)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_gives_the_same_responses() -> None:
    image = np.random.default_rng(0).integers(0, 256, (400, 500, 3), dtype=np.uint8)
    for name in NAMES:
        matrix = named_kernel(name).matrix
        with_torch = compute(TorchCorrelation(image, matrix, device=torch.device("cuda")), threads=1)
        np.testing.assert_allclose(compute(Correlation(image, matrix), 1), with_torch, rtol=0, atol=1e-4)
