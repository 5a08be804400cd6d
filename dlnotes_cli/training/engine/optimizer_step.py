"""A step of an optimizer, as fast as the CPU allows.

Two things make it slow there. torch.optim records each step, checks each parameter and groups the tensors anew, which
for a small network takes half as long as the fused kernel that it then calls. And averages of gradients that have
become zero, as those of dead units and of pixels that are always black, decay until they are subnormal: arithmetic with
such numbers takes tens of times as long, so that after some 800 steps Adam's kernel may take most of a step.
"""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812  # PyTorch's own abbreviation
from torch import Tensor, nn
from torch.optim import SGD, Adam, AdamW, Optimizer

Settings = dict[str, Any]

_TINY = 1e-32  # an average this small has no effect: its root is far below the `eps` of every optimizer
_CLEAR_EVERY = 50  # steps, in which an average that Adam multiplies by 0.9 each time cannot become subnormal


class OptimizerStep:
    """Runs the steps of an optimizer, and removes the gradients before them.

    The result is that of torch.optim to the last bit, except that averages on the CPU whose size is at most 1e-32
    become zero, every 50 steps. The kernel of SGD, Adam and AdamW is called here where it is fused and all parameters
    are float32 on the CPU. The optimizer's own step runs in other cases: it creates the state in the first step, skips
    parameters without a gradient, and calls hooks. Without any gradient, nothing happens.
    """

    def __init__(self, optimizer: Optimizer) -> None:
        self._optimizer = optimizer
        self._parameters: list[nn.Parameter] = [each for group in optimizer.param_groups for each in group["params"]]
        self._has_kernel = type(optimizer) in {SGD, Adam, AdamW} and all(map(_is_plain, optimizer.param_groups))
        self._state: object = None  # of the optimizer, to which `_fused_groups` belong
        self._fused_groups: list[_FusedGroup] = []

    def remove_gradients(self) -> None:
        """Set the gradients of all parameters to None, as `zero_grad` does."""
        for parameter in self._parameters:
            parameter.grad = None

    def __call__(self, step: int) -> None:
        """Change the parameters that have a gradient; `step` counts the steps of the run from 0."""
        if self._is_direct:
            self._run_kernels()
        elif any(parameter.grad is not None for parameter in self._parameters):
            self._optimizer.step()
        if step % _CLEAR_EVERY == 0:
            self._clear_tiny_averages()

    def _run_kernels(self) -> None:
        if self._state is not self._optimizer.state:  # which a checkpoint replaces
            self._fused_groups = [_FusedGroup(self._optimizer, group) for group in self._optimizer.param_groups]
            self._state = self._optimizer.state
        with torch.no_grad():
            for group in self._fused_groups:
                group()

    @torch.no_grad()
    def _clear_tiny_averages(self) -> None:
        for state in self._optimizer.state.values():
            for value in state.values():
                if isinstance(value, Tensor) and value.ndim and value.device.type == "cpu":
                    value.copy_(F.hardshrink(value, _TINY))

    @property
    def _is_direct(self) -> bool:
        """Whether the kernels can run now."""
        optimizer = self._optimizer
        if not self._has_kernel or any(parameter.grad is None for parameter in self._parameters):
            return False
        if optimizer._optimizer_step_pre_hooks or optimizer._optimizer_step_post_hooks:  # noqa: SLF001  # no accessor
            return False
        return self._state is optimizer.state or all(map(self._has_state, optimizer.param_groups))

    def _has_state(self, group: Settings) -> bool:
        needed = "exp_avg" if "betas" in group else "momentum_buffer" if group["momentum"] else None
        state = self._optimizer.state
        return needed is None or all(state.get(each, {}).get(needed) is not None for each in group["params"])


class _FusedGroup:
    """The fused kernel of an optimizer for one group of parameters, with their state."""

    def __init__(self, optimizer: Optimizer, group: Settings) -> None:
        self._settings, self._parameters = group, group["params"]
        self._states = [optimizer.state[parameter] for parameter in group["params"]]
        self._run = self._prepare_adam() if "betas" in group else self._prepare_sgd()

    def __call__(self) -> None:
        """Run it with the current gradients and settings."""
        self._run([parameter.grad for parameter in self._parameters])

    def _prepare_sgd(self) -> Callable[[list[Tensor]], None]:
        group, parameters = self._settings, self._parameters
        buffers = [state["momentum_buffer"] for state in self._states] if group["momentum"] else []

        def run(gradients: list[Tensor]) -> None:
            torch._fused_sgd_(  # as torch.optim does
                parameters, gradients, buffers, weight_decay=group["weight_decay"], momentum=group["momentum"],
                lr=group["lr"], dampening=group["dampening"], nesterov=group["nesterov"], maximize=group["maximize"],
                is_first_step=False, grad_scale=None, found_inf=None,
            )  # fmt: skip

        return run

    def _prepare_adam(self) -> Callable[[list[Tensor]], None]:
        group, parameters = self._settings, self._parameters
        means, squares = ([state[name] for state in self._states] for name in ("exp_avg", "exp_avg_sq"))
        kernel = torch._fused_adamw_ if group["decoupled_weight_decay"] else torch._fused_adam_
        counters = torch.stack([state["step"] for state in self._states])
        steps = list(counters.unbind())  # that are counted at once
        for state, step in zip(self._states, steps, strict=True):
            state["step"] = step

        def run(gradients: list[Tensor]) -> None:
            counters.add_(1)
            kernel(
                parameters, gradients, means, squares, [], steps, lr=group["lr"], beta1=group["betas"][0],
                beta2=group["betas"][1], weight_decay=group["weight_decay"], eps=group["eps"], amsgrad=False,
                maximize=group["maximize"], grad_scale=None, found_inf=None,
            )  # fmt: skip

        return run


def _is_plain(group: Settings) -> bool:
    """Whether the fused kernel runs for a group, with numbers as its settings."""
    settings = [group["lr"], *group.get("betas", ())]
    return (
        bool(group["params"])
        and bool(group["fused"])
        and not group.get("amsgrad")
        and not any(isinstance(setting, Tensor) for setting in settings)
        and all(each.device.type == "cpu" and each.dtype == torch.float32 for each in group["params"])
    )
