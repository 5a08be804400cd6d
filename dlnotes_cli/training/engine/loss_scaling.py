"""Gradients in fp16: the loss is scaled, so that small gradients do not vanish, and steps that overflow are skipped."""

import math
from typing import Any

import torch
from torch import Tensor


class LossScaling:
    """Scales the objective by a power of two that adapts: half of it after an overflow, twice after many good steps.

    Micikevicius et al. 2018 (arXiv:1710.03740). The decision to skip a step stays on the device: optimizers with fused
    kernels take it there, and the steps of others are undone.
    """

    def __init__(self, device_type: str, optimizer: torch.optim.Optimizer) -> None:
        self._scaler, self._optimizer = torch.amp.GradScaler(device_type), optimizer

    def scaled(self, objective: Tensor) -> Tensor:
        """The objective to differentiate."""
        return self._scaler.scale(objective)

    def unscale(self) -> None:
        """Divide the gradients by the scale, once all of them are there; before they are clipped."""
        self._scaler.unscale_(self._optimizer)

    def step(self) -> None:
        """Run the optimizer, unless a gradient has overflowed; adapt the scale. Comes after `unscale`."""
        if self._optimizer.defaults.get("fused"):
            self._define_momentum()
            self._scaler.step(self._optimizer)
        else:  # for these, GradScaler.step would wait for the device
            self._step_if_finite()
        self._scaler.update()

    def scale_of(self, objective: Tensor) -> Tensor:
        """The scale of the next step, a scalar on the device of the objective."""
        return self.scaled(torch.ones_like(objective, dtype=torch.float32))

    def state(self) -> dict[str, float]:
        """The scale, and the number of steps without overflow since it changed; the host waits for the device."""
        state = self._scaler.state_dict()
        return {"scale": state["scale"], "good_steps": state["_growth_tracker"]}

    def restore(self, stored: Any) -> None:
        """Continue from a stored `state`. Raises KeyError, TypeError or ValueError where it is none."""
        scale, good_steps = float(stored["scale"]), int(stored["good_steps"])
        if not (math.isfinite(scale) and scale > 0 and good_steps >= 0):
            raise ValueError("loss scale")
        self._scaler.load_state_dict(self._scaler.state_dict() | {"scale": scale, "_growth_tracker": good_steps})

    def _define_momentum(self) -> None:
        """Start the momentum of SGD with zeros: its fused kernel leaves that of a skipped first step undefined."""
        if isinstance(self._optimizer, torch.optim.SGD) and self._optimizer.defaults["momentum"]:
            for parameter in self._parameters:
                if parameter.grad is not None and self._optimizer.state[parameter].get("momentum_buffer") is None:
                    self._optimizer.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)

    @torch.no_grad()
    def _step_if_finite(self) -> None:
        """Run the optimizer, and undo what it did if a gradient is not finite."""
        gradients = [parameter.grad for parameter in self._parameters if parameter.grad is not None]
        is_finite = torch.stack([gradient.isfinite().all() for gradient in gradients]).all()
        before = {id(tensor): tensor.clone() for tensor in self._changed_by_steps}
        self._optimizer.step()
        for tensor in self._changed_by_steps:
            tensor.copy_(torch.where(is_finite, tensor, before.get(id(tensor), 0.0)))  # new state starts with zeros

    @property
    def _parameters(self) -> list[Tensor]:
        return [parameter for group in self._optimizer.param_groups for parameter in group["params"]]

    @property
    def _changed_by_steps(self) -> list[Tensor]:
        """Parameters and the optimizer's tensors for them; not the number of steps, which has no effect there."""
        stored = [value for state in self._optimizer.state.values() for value in state.values()]
        return [*self._parameters, *(value for value in stored if isinstance(value, Tensor) and value.ndim)]
