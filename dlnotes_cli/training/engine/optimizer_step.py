"""A step of an optimizer on the CPU, without what torch.optim does before it calls its fused kernel.

For a small network that preparation takes half as long as the kernel: torch.optim records the call, checks each
parameter and groups the tensors anew in every step.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import SGD, Adam, AdamW, Optimizer

State = dict[str, Any]


class OptimizerStep:
    """Runs the steps of an optimizer, and removes the gradients before them; parameters, state and results are the same.

    It calls the kernel of SGD, Adam and AdamW itself where they are fused and all parameters are float32 on the CPU.
    The optimizer's own step runs in other cases, creates the state in the first step, and calls hooks, if it has any.
    """

    def __init__(self, optimizer: Optimizer) -> None:
        self._optimizer = optimizer
        self._parameters: list[nn.Parameter] = [each for group in optimizer.param_groups for each in group["params"]]
        self._is_direct = type(optimizer) in {SGD, Adam, AdamW} and all(map(_is_plain, optimizer.param_groups))

    def remove_gradients(self) -> None:
        """Set the gradients of all parameters to None, as `zero_grad` does."""
        for parameter in self._parameters:
            parameter.grad = None

    def __call__(self) -> None:
        """Change the parameters that have a gradient."""
        groups = self._ready() if self._is_direct else None
        if groups is None:
            self._optimizer.step()
            return
        run = _run_sgd if isinstance(self._optimizer, SGD) else _run_adam
        with torch.no_grad():
            for group, parameters, states in groups:
                run(group, parameters, [parameter.grad for parameter in parameters], states)

    def _ready(self) -> list[tuple[State, list[Tensor], list[State]]] | None:
        """For each group its parameters with a gradient, and their states; None where the optimizer has to run."""
        optimizer = self._optimizer
        if optimizer._optimizer_step_pre_hooks or optimizer._optimizer_step_post_hooks:  # noqa: SLF001  # no accessor
            return None
        groups = []
        for group in optimizer.param_groups:
            parameters = [parameter for parameter in group["params"] if parameter.grad is not None]
            states = [optimizer.state.get(parameter) or {} for parameter in parameters]
            needed = "exp_avg" if "betas" in group else "momentum_buffer" if group["momentum"] else None
            if needed is not None and any(state.get(needed) is None for state in states):
                return None
            if parameters:
                groups.append((group, parameters, states))
        return groups


def _is_plain(group: State) -> bool:
    """Whether the fused kernel runs for a group, with numbers as its settings."""
    settings = [group["lr"], *group.get("betas", ())]
    return (
        bool(group["fused"])
        and not group.get("amsgrad")
        and not any(isinstance(setting, Tensor) for setting in settings)
        and all(each.device.type == "cpu" and each.dtype == torch.float32 for each in group["params"])
    )


def _run_sgd(group: State, parameters: Sequence[Tensor], gradients: Sequence[Tensor], states: Sequence[State]) -> None:
    buffers = [state["momentum_buffer"] for state in states] if group["momentum"] else []
    torch._fused_sgd_(  # noqa: SLF001  # as torch.optim does
        parameters, gradients, buffers, weight_decay=group["weight_decay"], momentum=group["momentum"], lr=group["lr"],
        dampening=group["dampening"], nesterov=group["nesterov"], maximize=group["maximize"], is_first_step=False,
        grad_scale=None, found_inf=None,
    )  # fmt: skip


def _run_adam(group: State, parameters: Sequence[Tensor], gradients: Sequence[Tensor], states: Sequence[State]) -> None:
    means, squares, steps = ([state[name] for state in states] for name in ("exp_avg", "exp_avg_sq", "step"))
    kernel = torch._fused_adamw_ if group["decoupled_weight_decay"] else torch._fused_adam_  # noqa: SLF001
    torch._foreach_add_(steps, 1)
    kernel(
        parameters, gradients, means, squares, [], steps, lr=group["lr"], beta1=group["betas"][0],
        beta2=group["betas"][1], weight_decay=group["weight_decay"], eps=group["eps"], amsgrad=False,
        maximize=group["maximize"], grad_scale=None, found_inf=None,
    )  # fmt: skip
