"""The gradient of a step whose batch several processes share."""

import torch
from torch import nn

from dlnotes_cli.training.engine.distributed import Processes
from dlnotes_cli.training.engine.step_values import StepOutput


class SharedStep:
    """Sums the gradients and the values of a network's steps over all processes.

    The objectives of the processes add up to that of the batch, so that the sum of their gradients is the gradient of
    the batch. Running statistics of batch normalization become the mean over the processes, weighted by their samples.
    Everything is summed at once, in one tensor.
    """

    def __init__(self, processes: Processes, network: nn.Module) -> None:
        self._processes = processes
        self._parameters = list(network.parameters())
        self._statistics = [buffer for buffer in network.buffers() if buffer.is_floating_point()]

    @torch.no_grad()
    def __call__(self, output: StepOutput, samples: int) -> StepOutput:
        """The values of a step of `samples` samples in all, of which this process computed `output`."""
        statistics = self._statistics
        parameters = [parameter for parameter in self._parameters if parameter.grad is not None]
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        values = torch.stack([output.objective.float(), output.loss_sum.float(), output.correct_count.float()])
        weighted = torch._foreach_mul(statistics, output.samples / samples) if statistics else ()  # noqa: SLF001
        pieces = [*gradients, *weighted, values]
        *summed, values = self._processes.sum_joined(pieces).split([piece.numel() for piece in pieces])
        for parameter, gradient in zip(parameters, summed, strict=False):
            parameter.grad = gradient.view_as(parameter)
        if statistics:
            means = zip(statistics, summed[len(parameters) :], strict=True)
            torch._foreach_copy_(statistics, [mean.view_as(buffer) for buffer, mean in means])
        objective, loss_sum, correct = values.clone().unbind()  # which must not keep the whole sum in memory
        return StepOutput(objective, loss_sum, correct.round().long(), samples)
