"""The step of several processes, here threads of one that share memory."""

import os
from collections.abc import Callable, Sequence

import pytest
import torch
from builders import run_in_threads
from thread_sums import ThreadSums
from torch import Tensor, nn

from dlnotes_cli.training.engine import shared_memory
from dlnotes_cli.training.engine.distributed import Place, Processes
from dlnotes_cli.training.engine.joined_sum import JoinedSum
from dlnotes_cli.training.engine.shared_memory import SharedSums
from dlnotes_cli.training.engine.shared_step import SharedStep, _copy_elsewhere
from dlnotes_cli.training.engine.step_values import StepOutput

pytestmark = pytest.mark.skipif(not SharedSums.is_possible(2), reason="needs Linux on x86-64")

COUNT = 3


class Threads(Processes):
    """Processes that are threads; with `is_private`, each has totals of its own, as with a connection."""

    def __init__(self, rank: int, file: int, *, is_private: bool) -> None:
        self.place, self._is_private = Place(rank, COUNT, rank, COUNT), is_private
        self.memory = ThreadSums(rank, COUNT, file)

    def joined_sum(self, like: Sequence[Tensor]) -> JoinedSum:
        """Sums of tensors with these shapes."""
        return super().joined_sum(like) if self._is_private else self.memory.joined(like)

    def sum(self, tensor: Tensor) -> Tensor:
        """The sum, in place."""
        joined = self.memory.joined([tensor])
        joined.places[0].copy_(tensor)
        joined.add()
        return tensor.copy_(joined.totals[0])


def run_steps(act: Callable[[SharedStep, nn.Sequential, int], object], *, is_private: bool, changes: bool) -> None:
    """Let each thread run `act` with a step, its network and its rank."""
    file = os.memfd_create("test")
    os.truncate(file, shared_memory._size(COUNT))
    errors: list[Exception] = []

    def run(rank: int) -> None:
        network = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
        try:
            act(
                SharedStep(Threads(rank, file, is_private=is_private), network, changes_gradients=changes),
                network,
                rank,
            )
        except Exception as error:  # noqa: BLE001  # pytest does not see what a thread raises
            errors.append(error)

    run_in_threads(COUNT, run)
    os.close(file)
    assert not errors


def output(rank: int) -> StepOutput:
    """The values of a thread whose share has `rank` + 1 samples."""
    return StepOutput(torch.tensor(0.5), torch.tensor(2.0 + rank), torch.tensor(rank), rank + 1)


@pytest.mark.parametrize("is_private", [False, True])
@pytest.mark.parametrize("changes", [False, True])
def test_gradients_values_and_statistics_are_those_of_the_batch(is_private: bool, changes: bool) -> None:
    def act(step: SharedStep, network: nn.Sequential, rank: int) -> None:
        statistics = network[1]
        assert isinstance(statistics, nn.BatchNorm1d)
        assert statistics.running_mean is not None
        for number in range(1, 4):
            for parameter in network.parameters():
                parameter.grad = torch.full_like(parameter, number * 10.0**rank)
            statistics.running_mean.fill_(6.0 * (1 + rank))
            result = step(output(rank), 6)
            for parameter in network.parameters():
                assert parameter.grad is not None
                assert torch.equal(parameter.grad, torch.full_like(parameter, number * 111.0))
            if changes:
                gradients = [parameter.grad for parameter in network.parameters() if parameter.grad is not None]
                torch._foreach_mul_(gradients, 7)
                assert isinstance(step._processes, Threads)
                step._processes.memory.sum_numbers([0.0])  # after which every thread has changed its gradients
                for gradient in gradients:
                    assert torch.equal(gradient, torch.full_like(gradient, number * 777.0))
            assert (result.objective.item(), result.loss_sum.item()) == (1.5, 9.0)
            assert (int(result.correct_count), result.samples) == (3, 6)
            assert statistics.running_mean.tolist() == [14.0, 14.0]  # (1 * 6 + 2 * 12 + 3 * 18) / 6

    run_steps(act, is_private=is_private, changes=changes)


@pytest.mark.parametrize("is_private", [False, True])
def test_parameters_get_gradients_when_they_are_unfrozen(is_private: bool) -> None:
    def act(step: SharedStep, network: nn.Sequential, rank: int) -> None:
        weight, *others = network.parameters()
        for trained in (others, [weight, *others], [weight]):
            for parameter in network.parameters():
                parameter.grad = None
            for number, parameter in enumerate(trained):
                parameter.grad = torch.full_like(parameter, number + 10.0**rank)
            step(output(rank), 6)
            for number, parameter in enumerate(trained):
                assert parameter.grad is not None
                assert torch.equal(parameter.grad, torch.full_like(parameter, 3 * number + 111.0))
            assert sum(parameter.grad is not None for parameter in network.parameters()) == len(trained)

    run_steps(act, is_private=is_private, changes=False)


def test_gradients_that_are_at_their_places_are_summed() -> None:
    def act(step: SharedStep, network: nn.Sequential, rank: int) -> None:
        assert isinstance(step._processes, Threads)
        buffer = step._processes.memory.own_buffer
        weight, bias, *others = network.parameters()
        weight.grad, bias.grad = buffer[:6].view(2, 3), buffer[6:8]
        for number, gradient in enumerate((weight.grad, bias.grad)):
            gradient.fill_(number + 10.0**rank)
        for parameter in others:
            parameter.grad = torch.full_like(parameter, 10.0**rank)
        step(output(rank), 6)
        assert weight.grad.unique().tolist() == [111.0]
        assert bias.grad.tolist() == [114.0, 114.0]
        assert all(parameter.grad is not None and (parameter.grad == 111).all() for parameter in others)

    run_steps(act, is_private=False, changes=False)


def test_gradients_that_are_at_their_places_are_not_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    copied: list[tuple[Tensor, Tensor]] = []
    monkeypatch.setattr(torch, "_foreach_copy_", lambda to, of: copied.extend(zip(to, of, strict=True)))
    memory, elsewhere = torch.zeros(10), torch.ones(4)
    places = [memory[:6].view(2, 3), memory[6:]]
    _copy_elsewhere([memory[:6].view(2, 3), elsewhere], places)
    ((place, tensor),) = copied
    assert (place.data_ptr(), tensor.data_ptr()) == (memory[6:].data_ptr(), elsewhere.data_ptr())
