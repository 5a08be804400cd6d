"""The forward and backward pass of a multi-layer perceptron on the CPU as one node of the autograd graph.

The kernels are those that autograd calls for the modules, in the same order, so that the results have the same bits.
What is saved is the time between them, and that gradients get new memory in every step. In bf16, weights are converted
once and without autocast. For SGD without momentum, the backward pass can also update the weights: the product that is
a gradient is added to them directly, so that results differ in rounding.
"""

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, Self

import torch
import torch.nn.functional as F  # noqa: N812  # PyTorch's own abbreviation
from torch import Tensor, nn
from torch.optim import Optimizer

from dlnotes_cli.models.dropout import Dropout, Levels, threshold_backward

_ops = torch.ops.aten


class _Layer(ABC):
    """A layer whose backward pass is written out."""

    parameters: Sequence[nn.Parameter] = ()
    gradients: Sequence[Tensor] = ()  # of the parameters, where `backward` leaves them

    @abstractmethod
    def forward(self, x: Tensor) -> tuple[Tensor, Any]:
        """The output for `x`, which may be overwritten, and what `backward` needs."""

    @abstractmethod
    def backward(self, gradient: Tensor, saved: Any, *, needs_input: bool) -> Tensor:
        """The gradient of the input, if it is needed, from that of the output; sets `gradients` or updates."""


class _LinearLayer(_Layer):
    """A linear layer in float32 or in `half`, of which it keeps copies; `gradients` are memory that its owner gives."""

    def __init__(self, module: nn.Linear, half: torch.dtype | None) -> None:
        self.parameters = list(module.parameters())
        self.update: _SgdUpdate | None = None  # of the parameters in `backward`, which then sets no `gradients`
        self.copies = [] if half is None else [each.detach().to(half) for each in self.parameters]
        self._used: Sequence[Tensor] = self.copies or self.parameters

    def forward(self, x: Tensor) -> tuple[Tensor, Any]:
        return F.linear(x, *self._used), x

    def backward(self, gradient: Tensor, saved: Any, *, needs_input: bool) -> Tensor:
        of_input = gradient.mm(self._used[0]) if needs_input else gradient
        if self.update is not None:
            self.update(self.parameters, gradient, saved)
            return of_input
        torch.mm(gradient.t(), saved, out=self.gradients[0])
        if len(self.gradients) > 1:
            torch.sum(gradient, 0, out=self.gradients[1])
        return of_input


class _SgdUpdate:
    """Updates of SGD without momentum, with the learning rates and weight decays of an optimizer."""

    def __init__(self, optimizer: Optimizer) -> None:
        self._optimizer = optimizer
        groups = enumerate(optimizer.param_groups)
        self._groups = {parameter: number for number, group in groups for parameter in group["params"]}

    @torch.no_grad()
    def __call__(self, parameters: Sequence[nn.Parameter], gradient: Tensor, inputs: Tensor) -> None:
        """Update the weight (O, I) of a linear layer, and its bias (O,) if it has one.

        `gradient` (N, O) is that of the outputs for the `inputs` (N, I).
        """
        weight, *biases = parameters
        lr, decay = self._settings(weight)
        weight.addmm_(gradient.t(), inputs, beta=1 - lr * decay, alpha=-lr)
        for bias in biases:
            lr, decay = self._settings(bias)
            bias.mul_(1 - lr * decay).sub_(gradient.sum(0), alpha=lr)

    def _settings(self, parameter: nn.Parameter) -> tuple[float, float]:
        group = self._optimizer.param_groups[self._groups[parameter]]  # a checkpoint replaces the groups
        return group["lr"], group["weight_decay"]


class _BatchNormLayer(_Layer):
    """Batch normalization with the statistics of the batch."""

    def __init__(self, module: nn.BatchNorm1d) -> None:
        self.parameters, self._module = [module.weight, module.bias], module

    def forward(self, x: Tensor) -> tuple[Tensor, Any]:
        module = self._module
        if module.num_batches_tracked is not None:
            module.num_batches_tracked.add_(1)
        statistics = module.running_mean, module.running_var
        y, *of_batch = torch.native_batch_norm(
            x, module.weight, module.bias, *statistics, True, module.momentum or 0.0, module.eps
        )
        return y, (x, *of_batch)

    def backward(self, gradient: Tensor, saved: Any, *, needs_input: bool) -> Tensor:
        x, *of_batch = saved
        module = self._module
        statistics = module.running_mean, module.running_var
        of_input, *self.gradients = _ops.native_batch_norm_backward(
            gradient, x, module.weight, *statistics, *of_batch, True, module.eps, [needs_input, True, True]
        )
        return of_input  # type: ignore[no-any-return]


class _ActivationLayer(_Layer):
    """An activation whose gradient follows from its output, or from its input."""

    def __init__(
        self,
        function: Callable[[Tensor], Tensor],
        gradient: Callable[[Tensor, Tensor], Tensor],
        *,
        saves_input: bool = False,
    ) -> None:
        self._function, self._gradient, self._saves_input = function, gradient, saves_input

    def forward(self, x: Tensor) -> tuple[Tensor, Any]:
        y = self._function(x)
        return y, x if self._saves_input else y

    def backward(self, gradient: Tensor, saved: Any, *, needs_input: bool) -> Tensor:  # noqa: ARG002
        return self._gradient(gradient, saved)


class _DropoutLayer(_Layer):
    """Dropout, with the random numbers of the module."""

    def __init__(self, module: Dropout) -> None:
        self._module = module

    def forward(self, x: Tensor) -> tuple[Tensor, Any]:
        factors = self._module.draw_factors(x)
        return x * factors, factors

    def backward(self, gradient: Tensor, saved: Any, *, needs_input: bool) -> Tensor:  # noqa: ARG002
        of_input: Tensor = gradient * saved
        return of_input


class _ReluDropoutLayer(_Layer):
    """ReLU, then dropout: the output alone tells which units are left."""

    def __init__(self, module: Dropout, half: torch.dtype | None) -> None:
        self._threshold, self._levels = module.threshold, Levels(torch.Size((0,)))
        self._factor = float(torch.tensor(module.factor, dtype=half))

    def forward(self, x: Tensor) -> tuple[Tensor, Any]:
        if x.shape != self._levels.shape:
            self._levels = Levels(x.shape)
        kept = threshold_backward(torch.relu_(x).float(), self._levels.draw(), self._threshold)
        y = kept.mul_(self._factor).to(x.dtype)
        return y, y

    def backward(self, gradient: Tensor, saved: Any, *, needs_input: bool) -> Tensor:  # noqa: ARG002
        of_input: Tensor = threshold_backward(gradient, saved, 0)
        return of_input.mul_(self._factor)


_ACTIVATIONS: dict[type[nn.Module], Callable[[], _ActivationLayer]] = {
    nn.ReLU: lambda: _ActivationLayer(torch.relu_, lambda g, y: threshold_backward(g, y, 0)),
    nn.Sigmoid: lambda: _ActivationLayer(torch.sigmoid_, _ops.sigmoid_backward),
    nn.Tanh: lambda: _ActivationLayer(torch.tanh_, _ops.tanh_backward),
    nn.LeakyReLU: lambda: _ActivationLayer(
        F.leaky_relu, lambda g, x: _ops.leaky_relu_backward(g, x, 0.01, False), saves_input=True
    ),
    nn.GELU: lambda: _ActivationLayer(F.gelu, _ops.gelu_backward, saves_input=True),
}
_LETTERS: dict[type[nn.Module], str] = {
    nn.Flatten: "f", nn.Linear: "l", nn.BatchNorm1d: "n", Dropout: "d", **dict.fromkeys(_ACTIVATIONS, "a"),
}  # fmt: skip
_ORDER = re.compile("f(ln?ad?)*l")  # of the layers; an activation overwrites what it gets from the layer before


class MlpStep:
    """Calls a network of `build_mlp` in training steps; the network itself stays as it is.

    The gradients of weights are in memory that the next backward pass overwrites, unless parameters still have them.
    They have the places that they would have if the gradients of all parameters were joined.
    """

    def __init__(self, layers: Sequence[_Layer], half: torch.dtype | None, memory: Tensor | None = None) -> None:
        self.layers, self._half = layers, half
        self.parameters = [parameter for layer in layers for parameter in layer.parameters]
        self._linear = [layer for layer in layers if isinstance(layer, _LinearLayer)]
        self._copied: list[Tensor] = [parameter for layer in self._linear for parameter in layer.parameters]
        self._copies = [copy for layer in self._linear for copy in layer.copies]
        size = sum(each.numel() for each in self.parameters)
        self._use_memory(torch.empty(size) if memory is None or memory.numel() < size else memory[:size])

    def _use_memory(self, flat: Tensor) -> None:
        """Compute the gradients of the linear layers there; whoever has the last ones keeps them."""
        self._flat = flat
        self._computed = flat if self._half is None else torch.zeros_like(flat, dtype=self._half)
        sizes = [each.numel() for each in self.parameters]
        views = (
            [part.view_as(each) for part, each in zip(joined.split(sizes), self.parameters, strict=True)]
            for joined in (flat, self._computed)
        )
        places = zip(*views, strict=True)
        self._stored: list[Tensor] = []
        for layer in self.layers:
            of_layer = [next(places) for _ in layer.parameters]
            if isinstance(layer, _LinearLayer):
                self._stored.extend(stored for stored, _ in of_layer)
                layer.gradients = [computed for _, computed in of_layer]

    @classmethod
    def of(cls, network: nn.Module, half: torch.dtype | None = None, memory: Tensor | None = None) -> Self | None:
        """The step of a network on the CPU, with products in float32 or `half`; None for networks of other layers.

        The gradients of the linear layers are computed in `memory` of float32 (N,), if they have room there, until
        gradients are accumulated.
        """
        if not isinstance(network, nn.Sequential):
            return None
        layers = _layers(list(network), half)
        are_plain = all(
            each.device.type == "cpu" and each.dtype == torch.float32 and each.requires_grad
            for each in network.parameters()
        )
        return cls(layers, half, memory) if layers is not None and are_plain else None

    def __call__(self, x: Tensor) -> Tensor:
        """Logits (N, K) in float32 of normalized samples (N, ...)."""
        inputs = x.flatten(1) if self._half is None else x.flatten(1).to(self._half)
        logits: Tensor = _Node.apply(self, inputs, *self.parameters)  # type: ignore[no-untyped-call]
        return logits.float()

    def update_as(self, optimizer: Optimizer | None) -> None:
        """Have backward passes update the parameters, which then have no gradients, as SGD without momentum does.

        `optimizer` has all parameters. With None, in bf16 and with batch norm, parameters get gradients instead.
        """
        is_possible = self._half is None and len(self._copied) == len(self.parameters)
        update = None if optimizer is None or not is_possible else _SgdUpdate(optimizer)
        for layer in self._linear:
            layer.update = update

    def refresh_copies(self) -> None:
        """Convert the weights of the linear layers to `half`."""
        if self._copies:
            torch._foreach_copy_(self._copies, self._copied)

    def protect_gradients(self) -> None:
        """Compute the next gradients elsewhere if the parameters still have the last ones."""
        if any(each.grad is not None for each in self.parameters):
            self._use_memory(torch.empty_like(self._flat))

    def gradients(self) -> list[Tensor | None]:
        """The gradients of all parameters in float32, each a new tensor object, which autograd need not copy.

        None for those that the backward pass has updated.
        """
        if self._computed is not self._flat:
            self._flat.copy_(self._computed)
        stored = iter(self._stored)
        gradients: list[Tensor | None] = []
        for layer in self.layers:
            if isinstance(layer, _LinearLayer):
                of_layer = [next(stored) for _ in layer.parameters]
                gradients.extend(each.detach() if layer.update is None else None for each in of_layer)
            else:
                gradients.extend(each.detach() for each in layer.gradients)
        return gradients


class _Node(torch.autograd.Function):
    """All layers, as a function of the input and the parameters."""

    @staticmethod
    def forward(ctx: Any, step: MlpStep, x: Tensor, *_parameters: Tensor) -> Tensor:
        step.refresh_copies()
        saved = []
        for layer in step.layers:
            x, needed = layer.forward(x)
            saved.append(needed)
        ctx.step, ctx.saved = step, saved
        return x

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        step, saved, ctx.saved = ctx.step, ctx.saved, None
        step.protect_gradients()
        first, *others = step.layers
        for layer in reversed(others):
            gradient = layer.backward(gradient, saved.pop(), needs_input=True)
        needs_input = ctx.needs_input_grad[1]
        gradient = first.backward(gradient, saved.pop(), needs_input=needs_input)
        return None, gradient if needs_input else None, *step.gradients()


def _layers(modules: list[nn.Module], half: torch.dtype | None) -> list[_Layer] | None:
    """The layers of a network; None if their order is not that of `build_mlp`, or one of them has other settings."""
    order = "".join(_LETTERS.get(type(module), "?") for module in modules)
    if not _ORDER.fullmatch(order) or repr(modules[0]) != repr(nn.Flatten()):
        return None
    layers: list[_Layer | None] = []
    for before, module in pairwise(modules):
        if type(before) is nn.ReLU and type(module) is Dropout:
            layers[-1] = _ReluDropoutLayer(module, half)
        else:
            layers.append(_layer(module, half))
    known = [layer for layer in layers if layer is not None]
    return known if len(known) == len(layers) else None


def _layer(module: nn.Module, half: torch.dtype | None) -> _Layer | None:
    """The layer of a module; None if it is of another type, or not as `build_mlp` makes it."""
    if type(module) is nn.Linear:
        return _LinearLayer(module, half)
    if type(module) is nn.BatchNorm1d and module.affine and module.track_running_stats and module.momentum is not None:
        return _BatchNormLayer(module)
    if type(module) is Dropout:
        return _DropoutLayer(module)
    activation = _ACTIVATIONS.get(type(module))
    return activation() if activation is not None and _has_defaults(module) else None


def _has_defaults(module: nn.Module) -> bool:
    """Whether an activation has the settings of its class's defaults."""
    return repr(module) == repr(type(module)())
