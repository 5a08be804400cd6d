"""The forward and backward pass of a multi-layer perceptron on the CPU as one node of the autograd graph.

The kernels are those that autograd calls for the modules, in the same order, so that the results have the same bits.
What is saved is the time between them, and that gradients get new memory in every step. In bf16, weights are converted
once and without autocast.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, Self

import torch
import torch.nn.functional as F  # noqa: N812  # PyTorch's own abbreviation
from torch import Tensor, nn

from dlnotes_cli.models.dropout import Dropout

_ops = torch.ops.aten
Kernel = Callable[[Tensor, Tensor], Tensor]


class _Layer(ABC):
    """A layer whose backward pass is written out."""

    parameters: Sequence[nn.Parameter] = ()

    @abstractmethod
    def forward(self, x: Tensor) -> tuple[Tensor, Any]:
        """The output for `x`, which may be overwritten, and what `backward` needs."""

    @abstractmethod
    def backward(self, gradient: Tensor, saved: Any, *, needs_input: bool) -> tuple[Tensor, list[Tensor]]:
        """The gradients of the input and of the parameters, from that of the output; the first one only if needed."""


class _Linear(_Layer):
    """A linear layer, computed in the type of its input; gradients of parameters stay in the same memory."""

    def __init__(self, module: nn.Linear) -> None:
        self.parameters = [each for each in (module.weight, module.bias) if each is not None]
        self._gradients = [torch.empty_like(parameter) for parameter in self.parameters]

    def forward(self, x: Tensor) -> tuple[Tensor, Any]:
        weight, *bias = (parameter.to(x.dtype) for parameter in self.parameters)
        return F.linear(x, weight, *bias), (x, weight)

    def backward(self, gradient: Tensor, saved: Any, *, needs_input: bool) -> tuple[Tensor, list[Tensor]]:
        x, weight = saved
        stored = [self._memory(index) for index in range(len(self.parameters))]
        computed = stored if gradient.dtype == torch.float32 else [torch.empty_like(each, dtype=gradient.dtype) for each in stored]
        torch.mm(gradient.t(), x, out=computed[0])
        if len(computed) > 1:
            torch.sum(gradient, 0, out=computed[1])
        if computed is not stored:
            torch._foreach_copy_(stored, computed)
        return gradient.mm(weight) if needs_input else gradient, stored

    def _memory(self, index: int) -> Tensor:
        """Memory for the gradient of a parameter: the same in all steps, but not for a gradient that is added to one."""
        kept, existing = self._gradients[index], self.parameters[index].grad
        return kept.detach() if existing is None else torch.empty_like(kept)


class _BatchNorm(_Layer):
    """Batch normalization with the statistics of the batch."""

    def __init__(self, module: nn.BatchNorm1d) -> None:
        self.parameters, self._module = [module.weight, module.bias], module

    def forward(self, x: Tensor) -> tuple[Tensor, Any]:
        module = self._module
        if module.num_batches_tracked is not None:
            module.num_batches_tracked.add_(1)
        statistics = module.running_mean, module.running_var
        y, *of_batch = torch.native_batch_norm(
            x, module.weight, module.bias, *statistics, True, module.momentum, module.eps
        )
        return y, (x, *of_batch)

    def backward(self, gradient: Tensor, saved: Any, *, needs_input: bool) -> tuple[Tensor, list[Tensor]]:
        x, *of_batch = saved
        module = self._module
        statistics = module.running_mean, module.running_var
        of_input, *of_parameters = _ops.native_batch_norm_backward(
            gradient, x, module.weight, *statistics, *of_batch, True, module.eps, [needs_input, True, True]
        )
        return of_input, of_parameters


class _Activation(_Layer):
    """An activation whose gradient follows from its output, or from its input."""

    def __init__(self, function: Callable[[Tensor], Tensor], gradient: Kernel, *, saves_input: bool = False) -> None:
        self._function, self._gradient, self._saves_input = function, gradient, saves_input

    def forward(self, x: Tensor) -> tuple[Tensor, Any]:
        y = self._function(x)
        return y, x if self._saves_input else y

    def backward(self, gradient: Tensor, saved: Any, *, needs_input: bool) -> tuple[Tensor, list[Tensor]]:  # noqa: ARG002
        return self._gradient(gradient, saved), []


class _Dropout(_Layer):
    """Dropout, with the random numbers of the module."""

    def __init__(self, module: Dropout) -> None:
        self._module = module

    def forward(self, x: Tensor) -> tuple[Tensor, Any]:
        factors = self._module.draw_factors(x)
        return x * factors, factors

    def backward(self, gradient: Tensor, saved: Any, *, needs_input: bool) -> tuple[Tensor, list[Tensor]]:  # noqa: ARG002
        return gradient * saved, []


_ACTIVATIONS: dict[type[nn.Module], Callable[[], _Activation]] = {
    nn.ReLU: lambda: _Activation(torch.relu_, lambda g, y: _ops.threshold_backward(g, y, 0)),
    nn.Sigmoid: lambda: _Activation(torch.sigmoid_, _ops.sigmoid_backward),
    nn.Tanh: lambda: _Activation(torch.tanh_, _ops.tanh_backward),
    nn.LeakyReLU: lambda: _Activation(
        F.leaky_relu, lambda g, x: _ops.leaky_relu_backward(g, x, 0.01, False), saves_input=True
    ),
    nn.GELU: lambda: _Activation(F.gelu, _ops.gelu_backward, saves_input=True),
}


class MlpStep:
    """Calls a network of `build_mlp` in training steps; the network itself stays as it is."""

    def __init__(self, layers: Sequence[_Layer], half: torch.dtype | None) -> None:
        self._layers, self._half = layers, half
        self._parameters = [parameter for layer in layers for parameter in layer.parameters]

    @classmethod
    def of(cls, network: nn.Module, half: torch.dtype | None = None) -> Self | None:
        """The step of a network on the CPU in float32, or with products in `half`; None for networks of other layers."""
        if not isinstance(network, nn.Sequential):
            return None
        first, *modules = network
        layers = [_layer(module) for module in modules]
        known = [layer for layer in layers if layer is not None]
        if not isinstance(first, nn.Flatten) or first.start_dim != 1 or len(known) < len(layers):
            return None
        are_plain = all(
            parameter.device.type == "cpu" and parameter.dtype == torch.float32 for parameter in network.parameters()
        )
        return cls(known, half) if are_plain else None

    def __call__(self, x: Tensor) -> Tensor:
        """Logits (N, K) in float32 of normalized samples (N, ...)."""
        x = x.flatten(1)
        logits: Tensor = _Node.apply(self._layers, x if self._half is None else x.to(self._half), *self._parameters)
        return logits.float()


class _Node(torch.autograd.Function):
    """All layers, as a function of the input and the parameters."""

    @staticmethod
    def forward(ctx: Any, layers: Sequence[_Layer], x: Tensor, *_parameters: Tensor) -> Tensor:
        saved = []
        for layer in layers:
            x, needed = layer.forward(x)
            saved.append(needed)
        ctx.layers, ctx.saved = layers, saved
        return x

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:  # type: ignore[override]
        layers, saved, ctx.saved = ctx.layers, ctx.saved, None
        of_parameters: list[Tensor] = []
        for index in reversed(range(len(layers))):
            needs_input = index > 0 or ctx.needs_input_grad[1]
            gradient, computed = layers[index].backward(gradient, saved.pop(), needs_input=needs_input)
            of_parameters[:0] = computed
        return None, gradient if ctx.needs_input_grad[1] else None, *of_parameters


def _layer(module: nn.Module) -> _Layer | None:
    """The layer of a module; None if it is of another type, or not as `build_mlp` makes it."""
    if type(module) is nn.Linear:
        return _Linear(module)
    if type(module) is nn.BatchNorm1d and module.affine and module.track_running_stats and module.momentum is not None:
        return _BatchNorm(module)
    if type(module) is Dropout:
        return _Dropout(module)
    activation = _ACTIVATIONS.get(type(module))
    return activation() if activation is not None and _has_defaults(module) else None


def _has_defaults(module: nn.Module) -> bool:
    """Whether an activation has the settings of its class's defaults."""
    return repr(module) == repr(type(module)())
