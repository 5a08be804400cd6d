"""The gradient of a step whose batch several processes share."""

import torch
from torch import Tensor, nn

from dlnotes_cli.training.engine.distributed import Processes
from dlnotes_cli.training.engine.joined_sum import JoinedSum
from dlnotes_cli.training.engine.step_values import StepOutput


class SharedStep:
    """Sums the gradients and the values of a network's steps over all processes.

    The objectives of the processes add up to that of the batch, so that the sum of their gradients is the gradient of
    the batch. Running statistics of batch normalization become the mean over the processes, weighted by their samples.
    Everything is summed at once. With `changes_gradients`, what follows may change them in place.
    """

    def __init__(self, processes: Processes, network: nn.Module, *, changes_gradients: bool) -> None:
        self._processes, self._changes_gradients = processes, changes_gradients
        self._parameters = list(network.parameters())
        self._statistics = [buffer for buffer in network.buffers() if buffer.is_floating_point()]
        self._has_gradient: list[bool] = []  # by parameter, in the last step
        self._sum: JoinedSum | None = None

    @torch.no_grad()
    def __call__(self, output: StepOutput, samples: int) -> StepOutput:
        """The values of a step of `samples` samples in all, of which this process computed `output`."""
        parameters = [parameter for parameter in self._parameters if parameter.grad is not None]
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        values = torch.stack([output.objective.float(), output.loss_sum.float(), output.correct_count.float()])
        joined = self._joined_sum([*gradients, *self._statistics, values])
        *places, place_of_values = joined.places
        place_of_values.copy_(values)
        _copy_elsewhere(gradients, places)
        if self._statistics:
            weighted = places[len(gradients) :]
            torch._foreach_copy_(weighted, self._statistics)
            torch._foreach_mul_(weighted, output.samples / samples)
        joined.add()
        *totals, total_values = joined.totals
        is_copied = self._changes_gradients and not joined.are_private
        for parameter, total in zip(parameters, totals, strict=False):
            parameter.grad = total.clone() if is_copied else total
        if self._statistics:
            torch._foreach_copy_(self._statistics, totals[len(gradients) :])
        objective, loss_sum, correct = total_values.clone().unbind()  # which the next step overwrites
        return StepOutput(objective, loss_sum, correct.round().long(), samples)

    def _joined_sum(self, like: list[Tensor]) -> JoinedSum:
        """The sum of the last step, if the same parameters have gradients; it is not kept where it takes new memory."""
        has_gradient = [parameter.grad is not None for parameter in self._parameters]
        if self._sum is not None and has_gradient == self._has_gradient:
            return self._sum
        joined = self._processes.joined_sum(like)
        self._sum, self._has_gradient = None if joined.are_private else joined, has_gradient
        return joined


def _copy_elsewhere(tensors: list[Tensor], places: list[Tensor]) -> None:
    """Copy each tensor to its place, except those that were computed there."""
    moved = [
        (place, tensor)
        for place, tensor in zip(places, tensors, strict=False)
        if tensor.data_ptr() != place.data_ptr() or not tensor.is_contiguous()
    ]
    if moved:
        destinations, sources = zip(*moved, strict=True)
        torch._foreach_copy_(destinations, sources)
