"""The perceptron's training step against autograd on the network itself, to the last bit."""

import copy
from typing import Any, get_args

import pytest
import torch
import torch.nn.functional as F  # noqa: N812  # PyTorch's own abbreviation
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from dlnotes_cli.models.choices import Activation
from dlnotes_cli.models.mlp import MlpConfig, build_mlp
from dlnotes_cli.models.mlp_step import MlpStep
from dlnotes_cli.training.optimizers import make_optimizer
from dlnotes_cli.training.recipes import OptimizerSettings

CONFIGURATIONS = st.builds(
    MlpConfig,
    inputs=st.just(12),
    classes=st.integers(2, 11),
    hidden=st.lists(st.integers(1, 70), max_size=3).map(tuple),
    activation=st.sampled_from(get_args(Activation)),
    dropout=st.sampled_from([0.0, 0.2, 0.5]),
    batch_norm=st.booleans(),
)


def step_of(network: nn.Module, half: torch.dtype | None = None) -> MlpStep:
    step = MlpStep.of(network, half)
    assert step is not None
    return step


def gradients(network: nn.Module) -> list[Tensor]:
    found = [parameter.grad for parameter in network.parameters()]
    return [gradient.clone() for gradient in found if gradient is not None]


def run_backward(logits: Tensor) -> None:
    F.cross_entropy(logits, torch.arange(len(logits)) % logits.shape[1]).backward()


@settings(max_examples=60)
@given(
    config=CONFIGURATIONS, half=st.sampled_from([None, torch.bfloat16]), rows=st.lists(st.integers(2, 40), max_size=3)
)
def test_logits_gradients_and_statistics_have_the_bits_of_autograd(
    config: MlpConfig, half: torch.dtype | None, rows: list[int]
) -> None:
    torch.manual_seed(0)
    expected = build_mlp(config).train()
    network = copy.deepcopy(expected)
    step = step_of(network, half)
    for number, samples in enumerate(rows):
        x = torch.randn(samples, 3, 2, 2)
        for each in (expected, network):
            each.zero_grad()
        torch.manual_seed(number)
        with torch.autocast("cpu", torch.bfloat16, enabled=half is not None):
            expected_logits = expected(x).float()
        torch.manual_seed(number)
        logits = step(x)
        assert torch.equal(logits, expected_logits)
        run_backward(expected_logits)
        run_backward(logits)
        assert all(map(torch.equal, gradients(network), gradients(expected)))
        with torch.no_grad():
            for weights in (*expected.parameters(), *network.parameters()):
                weights.mul_(0.9)
    assert all(map(torch.equal, network.state_dict().values(), expected.state_dict().values()))


@pytest.mark.parametrize("half", [None, torch.bfloat16])
def test_gradients_add_up_until_they_are_removed(half: torch.dtype | None) -> None:
    network = build_mlp(MlpConfig(4, 3, (8,), batch_norm=True)).train()
    step = step_of(network, half)
    batches = torch.randn(3, 16, 4)
    apart = []
    for x in batches:
        network.zero_grad()
        run_backward(step(x))
        apart.append(gradients(network))
    network.zero_grad()
    for x in batches:
        run_backward(step(x))
    for together, *parts in zip(gradients(network), *apart, strict=True):
        torch.testing.assert_close(together, parts[0] + parts[1] + parts[2])


@pytest.mark.parametrize("half", [None, torch.bfloat16])
def test_gradients_are_computed_where_they_would_be_joined(half: torch.dtype | None) -> None:
    network = build_mlp(MlpConfig(4, 3, (8, 5), batch_norm=True)).train()
    size = sum(parameter.numel() for parameter in network.parameters())
    memory = torch.full((size + 10,), torch.nan)
    step = MlpStep.of(network, half, memory)
    assert step is not None
    run_backward(step(torch.randn(16, 4)))
    start = 0
    for module in network:
        for parameter in module.parameters():
            place = memory[start : start + parameter.numel()].view_as(parameter)
            assert parameter.grad is not None
            if isinstance(module, nn.Linear):
                assert parameter.grad.data_ptr() == place.data_ptr()
                assert torch.equal(parameter.grad, place)
            start += parameter.numel()
    assert memory[size:].isnan().all()


def test_gradients_that_do_not_fit_are_computed_elsewhere() -> None:
    network = build_mlp(MlpConfig(4, 3)).train()
    memory = torch.full((14,), torch.nan)  # of the 15 that are needed
    step = MlpStep.of(network, memory=memory)
    assert step is not None
    run_backward(step(torch.randn(16, 4)))
    assert memory.isnan().all()


@settings(max_examples=40)
@given(config=CONFIGURATIONS, decay=st.sampled_from([0.0, 0.1]), lrs=st.lists(st.floats(1e-3, 0.5), max_size=4))
def test_updates_are_those_of_sgd(config: MlpConfig, decay: float, lrs: list[float]) -> None:
    torch.manual_seed(0)
    expected = build_mlp(config).train()
    network = copy.deepcopy(expected)
    settings_of_sgd = OptimizerSettings("sgd", 1.0, 0.0, decay)
    optimizers = [make_optimizer(each, settings_of_sgd) for each in (expected, network)]
    step = step_of(network)
    step.update_as(optimizers[1])
    for number, lr in enumerate(lrs):
        x = torch.randn(20, 3, 2, 2)
        calls: list[Any] = [expected, step]
        for each, optimizer in zip(calls, optimizers, strict=True):
            optimizer.load_state_dict(optimizer.state_dict())  # which replaces the groups
            optimizer.zero_grad()
            for group in optimizer.param_groups:
                group["lr"] = lr
            torch.manual_seed(number)
            run_backward(each(x))
            optimizer.step()
    for found, wanted in zip(network.state_dict().values(), expected.state_dict().values(), strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)
    if lrs:
        assert bool(gradients(network)) == (config.batch_norm and bool(config.hidden))
    step.update_as(None)
    run_backward(step(torch.randn(20, 3, 2, 2)))
    assert len(gradients(network)) == len(list(network.parameters()))


def test_bf16_leaves_updates_to_the_optimizer() -> None:
    network = build_mlp(MlpConfig(4, 3)).train()
    step = step_of(network, torch.bfloat16)
    step.update_as(make_optimizer(network, OptimizerSettings("sgd", 0.1, 0.0, 0.0)))
    before = copy.deepcopy(network.state_dict())
    run_backward(step(torch.randn(5, 4)))
    assert len(gradients(network)) == 2 * 3
    assert all(map(torch.equal, network.state_dict().values(), before.values()))


def test_the_input_has_a_gradient_if_it_needs_one() -> None:
    network = build_mlp(MlpConfig(4, 3, (8,), "gelu")).train()
    x = torch.randn(5, 4, requires_grad=True)
    (gradient,) = torch.autograd.grad(step_of(network)(x).square().sum(), x)
    (expected,) = torch.autograd.grad(network(x).square().sum(), x)
    assert torch.equal(gradient, expected)


@pytest.mark.parametrize(
    "network",
    [
        nn.Linear(4, 3),
        nn.Sequential(nn.Linear(4, 3)),
        nn.Sequential(nn.Flatten(), nn.ReLU(), nn.Linear(4, 3)),
        nn.Sequential(nn.Flatten(), nn.Linear(4, 3), nn.Sigmoid(), nn.ReLU(), nn.Linear(3, 3)),
        nn.Sequential(nn.Flatten(), nn.Linear(4, 3), nn.LeakyReLU(0.2), nn.Linear(3, 3)),
        nn.Sequential(nn.Flatten(2), nn.Linear(4, 3)),
        nn.Sequential(nn.Flatten(), nn.Linear(4, 3), nn.Softplus(), nn.Linear(3, 3)),
        nn.Sequential(nn.Flatten(), nn.Linear(4, 3), nn.BatchNorm1d(3, momentum=None), nn.ReLU(), nn.Linear(3, 3)),
        nn.Sequential(nn.Flatten(), nn.Linear(4, 3)).double(),
        nn.Sequential(nn.Flatten(), nn.Linear(4, 3)).requires_grad_(requires_grad=False),
        nn.Sequential(),
    ],
)
def test_other_networks_have_no_such_step(network: nn.Module) -> None:
    assert MlpStep.of(network) is None
