"""The receptive field of each layer of a network, by the rules of `conv-shape`."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, fx, nn

from dlnotes_cli.inference.inspected_network import InspectedNetwork
from dlnotes_cli.shapes.layer import InvalidLayerError, Layer
from dlnotes_cli.shapes.parsing.layer_list import parse_layers
from dlnotes_cli.shapes.receptive_field import LayerField, ReceptiveField
from dlnotes_cli.shapes.tracing import layer_info
from dlnotes_cli.shell.errors import InputError

_ELEMENTWISE = {
    "relu", "relu_", "relu6", "hardtanh", "hardswish", "silu", "gelu", "sigmoid", "dropout", "contiguous", "clone",
    "stochastic_depth",
}  # fmt: skip
_JOINS = {"add", "iadd", "mul", "imul", "cat", "concat"}
_POOLS = {"max_pool2d": "MaxPool2d", "boolean_dispatch": "MaxPool2d", "avg_pool2d": "AvgPool2d"}
_GLOBAL = {"adaptive_avg_pool2d", "mean"}
_UNTRACEABLE = (fx.proxy.TraceError, RuntimeError, TypeError, ValueError)


def receptive_fields(network: InspectedNetwork) -> dict[str, ReceptiveField]:
    """The field of each layer by name, in pixels of the network's input; layers where it is unknown are left out.

    Operations whose rule is not known, such as attention, make the field of what follows unknown. There are none where
    Python code decides what runs.
    """
    tracer = _FieldTracer()
    try:
        graph = tracer.trace(network.network)
    except _UNTRACEABLE:
        return {}
    run = _Run(fx.GraphModule(network.network, graph))
    with torch.no_grad():
        run.run(network.prepare(torch.zeros(1, *network.input_shape)))
    nodes = {module: proxy.node.name for module, proxy in tracer.outputs.items() if isinstance(proxy, fx.Proxy)}
    fields = {layer.name: run.fields.get(nodes.get(layer.module, "")) for layer in network.layers}
    return {name: known for name, known in fields.items() if known is not None and known.size is not None}


class _FieldTracer(fx.Tracer):
    """Records the output of every module, of blocks too."""

    def __init__(self) -> None:
        super().__init__()
        self.outputs: dict[nn.Module, object] = {}

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, nn.Conv2d | nn.Dropout) or super().is_leaf_module(m, module_qualified_name)

    def call_module(self, m: nn.Module, forward: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        self.outputs[m] = output = super().call_module(m, forward, args, kwargs)
        return output


class _Run(fx.Interpreter):
    """One forward pass that computes the field of each node next to its value."""

    def __init__(self, module: fx.GraphModule) -> None:
        super().__init__(module)
        self.fields: dict[str, ReceptiveField | None] = {}
        self.shapes: dict[str, tuple[int, ...]] = {}

    def run_node(self, n: fx.Node) -> Any:
        value = super().run_node(n)
        if isinstance(value, Tensor):
            self.shapes[n.name] = tuple(value.shape)
            self.fields[n.name] = self._field(n, tuple(value.shape))
        return value

    def _field(self, node: fx.Node, output: tuple[int, ...]) -> ReceptiveField | None:
        if node.op == "placeholder":
            return ReceptiveField.of_input(output[1:])
        inputs = [source for source in node.all_input_nodes if source.name in self.shapes]
        known = [found for source in inputs if (found := self.fields[source.name]) is not None]
        shapes = [self.shapes[source.name] for source in inputs]
        if not inputs or len(known) < len(inputs):
            return None
        if _name(node) in _JOINS and len(inputs) > 1:
            gates = [_as_gate(field, shape, output) for field, shape in zip(known, shapes, strict=True)]
            return ReceptiveField.joined(gates, shapes) if _joins_channels(node) else None
        if len(inputs) > 1:
            return None
        return known[0].followed_by(self._rule(node, shapes[0], output), shapes[0])

    def _rule(self, node: fx.Node, shape: tuple[int, ...], output: tuple[int, ...]) -> LayerField:
        if node.op == "call_module":
            return _module_field(self.fetch_attr(str(node.target)), shape)
        name = _name(node)
        if name in _ELEMENTWISE or name in _JOINS:
            return "elementwise"
        if name == "flatten":
            return "flattened"
        if name in _GLOBAL and all(size == 1 for size in output[2:]):
            return "global"
        if name in _POOLS:
            return _layer_field(Layer(_POOLS[name], tuple(node.args[1:]), tuple(_pool_arguments(node.kwargs))), shape)
        return "unknown"


def _name(node: fx.Node) -> str:
    """The name of a function or method, without the package."""
    if node.op == "call_function":
        return str(getattr(node.target, "__name__", "")).rpartition(".")[2]
    return str(node.target) if node.op == "call_method" else ""


def _as_gate(field: ReceptiveField, shape: tuple[int, ...], output: tuple[int, ...]) -> ReceptiveField:
    """The field of a single position that applies to all, as in a squeeze-and-excitation block."""
    return field if shape[2:] == output[2:] else field.followed_by("global", shape)


def _joins_channels(node: fx.Node) -> bool:
    if _name(node) not in {"cat", "concat"}:
        return True
    return 1 in {*node.args[1:], node.kwargs.get("dim", 0)}


def _pool_arguments(arguments: Mapping[str, Any]) -> Sequence[tuple[str, Any]]:
    return [(name, value) for name, value in arguments.items() if name != "return_indices"]


def _module_field(module: nn.Module, shape: tuple[int, ...]) -> LayerField:
    try:
        (layer,) = parse_layers(repr(module))
    except (InputError, ValueError):
        return "unknown"
    return _layer_field(layer, shape)


def _layer_field(layer: Layer, shape: tuple[int, ...]) -> LayerField:
    try:
        return layer_info(layer, shape).field
    except (InputError, InvalidLayerError):
        return "unknown"
