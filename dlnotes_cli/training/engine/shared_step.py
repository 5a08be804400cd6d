"""The gradient of a step whose batch several processes share."""

import torch
from torch import nn

from dlnotes_cli.training.engine.distributed import Processes
from dlnotes_cli.training.engine.step_values import StepOutput

_VALUES = 3  # objective, loss_sum, correct


def shared_step(processes: Processes, network: nn.Module, output: StepOutput, samples: int) -> StepOutput:
    """Sum the gradients and the values of a step over all processes, of which this one computed `output`.

    The step has `samples` samples in all. The objectives of the processes add up to that of the batch, so that the sum
    of their gradients is the gradient of the batch. Running statistics of batch normalization become the mean over the
    processes, weighted by their samples. Everything is summed at once, in one tensor.
    """
    parameters = [parameter for parameter in network.parameters() if parameter.grad is not None]
    statistics = [buffer for buffer in network.buffers() if buffer.is_floating_point()]
    share = output.samples / samples
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    values = torch.stack([output.objective.float(), output.loss_sum.float(), output.correct_count.float()])
    pieces = [*gradients, *(share * buffer for buffer in statistics), values]
    flat = processes.sum_joined(pieces)
    *summed, values = flat.split([piece.numel() for piece in pieces])
    for parameter, gradient in zip(parameters, summed, strict=False):
        parameter.grad = gradient.view_as(parameter)
    with torch.no_grad():
        for buffer, mean in zip(statistics, summed[len(parameters) :], strict=True):
            buffer.copy_(mean.view_as(buffer))
    objective, loss_sum, correct = values.clone().unbind()  # which must not keep the whole sum in memory
    return StepOutput(objective, loss_sum, correct.round().long(), samples)
