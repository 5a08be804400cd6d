"""Averaged weights: an exponential moving average that follows a network while it trains."""

import torch
from torch import Tensor, nn

_HEAD_START = 10  # early averages forget faster, by the usual (1 + t) / (10 + t)


class MovingAverage:
    """Decay times the average plus the rest times the weights, after each step (Polyak and Juditsky 1992).

    Weights and running statistics are averaged; whole numbers, such as counters, are those of the network. In the
    first steps the decay is lower, so that the first weights of all are soon forgotten.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.tensors = _copied(network)
        self._decay = decay

    @torch.no_grad()
    def update(self, network: nn.Module, step: int) -> None:
        """Take in the weights after step `step`, counted from 1."""
        share = 1 - min(self._decay, (1 + step) / (_HEAD_START + step))
        current = network.state_dict()
        floating = [name for name, tensor in self.tensors.items() if tensor.is_floating_point()]
        torch._foreach_lerp_([self.tensors[n] for n in floating], [current[n] for n in floating], share)
        for name in self.tensors.keys() - set(floating):
            self.tensors[name].copy_(current[name])


class Lent:
    """A context in which a network holds other weights."""

    def __init__(self, network: nn.Module, tensors: dict[str, Tensor]) -> None:
        self._network, self._tensors = network, tensors
        self._own: dict[str, Tensor] = {}

    def __enter__(self) -> None:
        self._own = _copied(self._network)
        self._network.load_state_dict(self._tensors)

    def __exit__(self, *_: object) -> None:
        self._network.load_state_dict(self._own)


def _copied(network: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}
