"""The exponential moving average (EMA) of a network's weights."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

_WARMUP = 10  # in step t the decay is at most (1 + t) / (10 + t)


class MovingAverage:
    """An exponential moving average of weights and running statistics (Polyak and Juditsky 1992).

    The decay is lower in the first steps, so that the initialization soon has no weight. Integer buffers, such as
    counters, are copied. torch.optim.swa_utils.AveragedModel keeps a second network; here the average is a dictionary
    of tensors, which a checkpoint can store and `swapped_weights` can load.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.tensors = _copy_weights(network)
        self._decay = decay

    @torch.no_grad()
    def update(self, network: nn.Module, step: int) -> None:
        """Set the average to decay * average + (1 - decay) * weights, after step `step`, counted from 1."""
        weight = 1 - min(self._decay, (1 + step) / (_WARMUP + step))
        current = network.state_dict()
        floating = [name for name, tensor in self.tensors.items() if tensor.is_floating_point()]
        torch._foreach_lerp_([self.tensors[n] for n in floating], [current[n] for n in floating], weight)
        for name in self.tensors.keys() - set(floating):
            self.tensors[name].copy_(current[name])


@contextmanager
def swapped_weights(network: nn.Module, tensors: dict[str, Tensor]) -> Iterator[None]:
    """Load other weights into a network for the duration of a `with` block."""
    own = _copy_weights(network)
    network.load_state_dict(tensors)
    try:
        yield
    finally:
        network.load_state_dict(own)


def _copy_weights(network: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}
