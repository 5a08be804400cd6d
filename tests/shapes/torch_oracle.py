"""The oracle: `torch.nn` modules built from the same text and applied to a batch of one in evaluation mode."""

import warnings
from dataclasses import dataclass
from math import prod
from typing import Any

import torch
from torch import Tensor, nn

_RECURRENT = (nn.RNN, nn.LSTM, nn.GRU)
_TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
_CONVOLUTION = (nn.Conv1d, nn.Conv2d, nn.Conv3d)


@dataclass(frozen=True)
class TorchResult:
    """What torch computes for one sample; `shape` includes the batch dimension."""

    shape: tuple[int, ...]
    parameters: int
    buffers: int
    macs: int
    states: tuple[tuple[int, ...], ...] = ()


def build(text: str) -> nn.Module:
    """The module that a layer's text creates."""
    module = eval(text, {**vars(nn), "nn": nn})  # noqa: S307  # text of the tests themselves
    assert isinstance(module, nn.Module)
    return module.eval()


def run_in_torch(text: str, shape: tuple[int, ...], batch: int = 1) -> TorchResult | str:
    """Torch's result for a layer on samples of `shape`, or the text of its error."""
    torch.set_num_threads(1)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        try:
            return _run(build(text), (batch, *shape))
        except Exception as error:  # noqa: BLE001  # torch raises exceptions of every kind
            return f"{type(error).__name__}: {error}"


def _run(module: nn.Module, shape: tuple[int, ...]) -> TorchResult:
    macs: list[int] = []
    for part in module.modules():
        part.register_forward_hook(lambda *call: macs.append(multiply_adds(*call)))
    x = torch.zeros(shape, dtype=torch.long if isinstance(module, nn.Embedding) else torch.float32)
    time_first = isinstance(module, _RECURRENT) and not module.batch_first and x.dim() == 3
    y = module(x.transpose(0, 1) if time_first else x)
    states: tuple[tuple[int, ...], ...] = ()
    if isinstance(module, _RECURRENT):
        y, state = y
        states = tuple(tuple(one.shape) for one in (state if isinstance(state, tuple) else (state,)))
    elif isinstance(y, tuple):
        y = y[0]  # a pair of output and pooling indices
    y = y.transpose(0, 1) if time_first else y
    parameters, buffers = sum(p.numel() for p in module.parameters()), sum(b.numel() for b in module.buffers())
    return TorchResult(tuple(y.shape), parameters, buffers, sum(macs), states)


def multiply_adds(module: nn.Module, inputs: tuple[Tensor, ...], output: Any) -> int:
    """MACs of one call, counted from the tensors: each weight once for every position at which it is applied."""
    if isinstance(module, _TRANSPOSED):
        return prod(inputs[0].shape) * module.weight[0].numel()  # (in, out / groups, *kernel)
    if isinstance(module, _CONVOLUTION):
        return int(output.numel()) * module.weight[0].numel()  # (out, in / groups, *kernel)
    if isinstance(module, nn.Linear):
        return int(output.numel()) * module.in_features
    if isinstance(module, _RECURRENT):
        weights = sum(p.numel() for name, p in module.named_parameters() if name.startswith("weight"))
        return int(inputs[0].numel()) // module.input_size * weights
    return 0
