"""Correlation by PyTorch gives the numbers of numpy; conv2d on the processor stands for any device."""

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from dlnotes_cli.filter.correlate import Correlation, collected
from dlnotes_cli.filter.edges import Edges
from dlnotes_cli.filter.kernels.catalog import NAMES, named_kernel
from dlnotes_cli.filter.torch_backend import DeviceCorrelation

if TYPE_CHECKING:
    from numpy.typing import NDArray

CPU = torch.device("cpu")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("channels", [1, 3])
def test_named_kernels(name: str, channels: int) -> None:
    image = np.random.default_rng(0).integers(0, 256, (40, 50, channels), dtype=np.uint8)
    for matrix in named_kernel(name).matrices:
        ours = collected(Correlation(image, matrix), threads=1)
        theirs = collected(DeviceCorrelation(image, matrix, device=CPU), threads=1)
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-4)


@pytest.mark.parametrize("edges", ["extend", "pad", "crop", "reflect", "wrap"])
@pytest.mark.parametrize("convolve", [False, True])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32, np.float64])
def test_edges_turns_and_types(edges: Edges, convolve: bool, dtype: type) -> None:
    rng = np.random.default_rng(0)
    image: NDArray[Any] = rng.integers(0, 256, (20, 30, 1)).astype(dtype)
    matrix = tuple(map(tuple, rng.normal(size=(4, 3)).tolist()))
    ours = Correlation(image, matrix, edges=edges, convolve=convolve)
    theirs = DeviceCorrelation(image, matrix, device=CPU, edges=edges, convolve=convolve)
    assert ours.shape == theirs.shape
    assert ours.largest == theirs.largest
    np.testing.assert_allclose(collected(ours, 1), collected(theirs, 1), rtol=0, atol=1e-4)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda() -> None:
    image = np.random.default_rng(0).integers(0, 256, (400, 500, 3), dtype=np.uint8)
    for name in NAMES:
        matrix = named_kernel(name).rows
        theirs = collected(DeviceCorrelation(image, matrix, device=torch.device("cuda")), threads=1)
        np.testing.assert_allclose(collected(Correlation(image, matrix), 1), theirs, rtol=0, atol=1e-4)
