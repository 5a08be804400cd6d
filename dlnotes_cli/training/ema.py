"""The moving average (EMA) of a network's weights."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

_WARMUP = 10  # the decay of step t is at most (1 + t) / (10 + t)


class MovingAverage:
    """An exponential moving average of weights and running statistics (Polyak and Juditsky 1992).

    Integer buffers, such as counters, are copied. In the first steps the decay is lower, so that the initialization is
    soon forgotten. torch.optim.swa_utils.AveragedModel holds a second network; here the average is a dictionary of
    tensors, which a checkpoint stores and `swapped_weights` loads.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.tensors = _copy_weights(network)
        self._decay = decay

    @torch.no_grad()
    def update(self, network: nn.Module, step: int) -> None:
        """Add the weights after step `step`, counted from 1: decay * average + (1 - decay) * weights."""
        weight = 1 - min(self._decay, (1 + step) / (_WARMUP + step))
        current = network.state_dict()
        floating = [name for name, tensor in self.tensors.items() if tensor.is_floating_point()]
        torch._foreach_lerp_([self.tensors[n] for n in floating], [current[n] for n in floating], weight)
        for name in self.tensors.keys() - set(floating):
            self.tensors[name].copy_(current[name])


@contextmanager
def swapped_weights(network: nn.Module, tensors: dict[str, Tensor]) -> Iterator[None]:
    """Load other weights into a network while the block runs."""
    own = _copy_weights(network)
    network.load_state_dict(tensors)
    try:
        yield
    finally:
        network.load_state_dict(own)


def _copy_weights(network: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}
