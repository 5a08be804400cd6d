"""The layers of any module, found by running it: the calls of layers and functions, their shapes, cost and fields.

A module runs once for a batch of one on the meta device, which computes shapes and no values. Hooks see each layer, as
in torchinfo; a TorchFunctionMode sees the functions between them, and PyTorch's FlopCounterMode counts multiply-adds.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils.flop_counter import FlopCounterMode

from dlnotes_cli.shapes.layer import INPUT, InvalidLayerError, Layer, LayerInfo, Shape, format_call
from dlnotes_cli.shapes.parsing.printed import printed_layer
from dlnotes_cli.shapes.receptive_field import LayerField, ReceptiveField
from dlnotes_cli.shapes.report import UnusedPart
from dlnotes_cli.shapes.rules.arguments import parameters
from dlnotes_cli.shapes.rules.layer_types import layer_types
from dlnotes_cli.shapes.tracing import MAX_LAYERS, TracedLayer, layer_info, sample_shape
from dlnotes_cli.shell.errors import InputError

_ARITHMETIC = {"add", "sub", "mul", "truediv", "div", "pow", "maximum", "minimum"}
_ELEMENTWISE = _ARITHMETIC | {
    "abs", "batch_norm", "clamp", "clone", "contiguous", "cos", "double", "exp", "float", "group_norm", "half",
    "instance_norm", "log", "long", "masked_fill", "neg", "rsqrt", "sin", "sqrt", "square", "to", "type",
}  # fmt: skip
_CONCATENATIONS = {"cat", "concat", "concatenate"}
_PARTS = {"getitem", "chunk", "split", "narrow"}
_REDUCTIONS = {"mean", "sum", "amax", "amin"}
_VIEWS = {
    "T", "expand", "expand_as", "flatten", "movedim", "permute", "reshape", "squeeze", "swapaxes", "transpose",
    "unbind", "unflatten", "unsqueeze", "view",
}  # fmt: skip
_WITH_WEIGHTS = {"linear", "conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d"}
_INDEX_FUNCTIONS = {"embedding", "embedding_bag", "one_hot"}
_CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)
_TYPE_OF_FUNCTION = {"interpolate": "Upsample"}  # whose name differs from that of the layer


class ModuleTrace(NamedTuple):
    """What a module did; `end` is the position of the layer that returns its (first) output."""

    layers: tuple[TracedLayer, ...]
    end: int
    unused: tuple[UnusedPart, ...]
    trainable: int  # parameters with a gradient
    unregistered: tuple[str, ...]  # types of layers with weights that ran and are in no attribute that PyTorch knows
    fields: Mapping[nn.Module, ReceptiveField]  # of the output of each module


def trace_module(network: nn.Module, shapes: Sequence[Shape], run: Callable[..., Any] | None = None) -> ModuleTrace:
    """Run a module whose tensors are on the meta device on inputs of these shapes, without their batch dimension.

    `run`, by default the module itself, applies it to them. Raises whatever the module raises, InvalidLayerError
    from it where a rule says what is wrong, and InputError for more than `MAX_LAYERS` calls.
    """
    inputs = [torch.empty(1, *shape, device="meta") for shape in shapes]
    recorder = _Recorder(network, inputs)
    with torch.no_grad(), recorder.hooks(), recorder.counter, torch.device("meta"), recorder:
        try:
            output = (run or network)(*inputs)
        except (RuntimeError, ValueError) as error:
            recorder.explain(error)
            raise
    return recorder.result(output)


class _Value(NamedTuple):
    """A tensor that depends on the input: where it was made, and what it sees."""

    tensor: Tensor
    position: int
    field: ReceptiveField


class _Recorder(TorchFunctionMode):
    """Records each layer, and each function outside of layers, that a tensor passes through."""

    def __init__(self, network: nn.Module, inputs: Sequence[Tensor]) -> None:
        super().__init__()
        self.counter = FlopCounterMode(display=False)
        self._network = network
        self._rows: list[TracedLayer] = []
        field = ReceptiveField.of_input(tuple(inputs[0].shape[1:]))
        self._unknown = ReceptiveField(field.input_size, None, None)
        self._values = {
            id(x): _Value(x, INPUT, field if x.shape == inputs[0].shape else self._unknown) for x in inputs
        }  # by identity; each tensor is kept, so that no identity is used twice
        self._open_layers = 0
        self._running: tuple[nn.Module, object] | None = None  # the last layer that was called, and its input
        self._flops = 0  # until the last row
        self._pending: list[Tensor] = []  # parameters and buffers that were used since the last row
        self._used: set[int] = set()  # parameters and buffers by identity
        self._weights = {id(tensor) for tensor in (*network.parameters(), *network.buffers())}
        self._constants = {
            id(value): value for one in network.modules() for value in vars(one).values() if isinstance(value, Tensor)
        }  # tensors that do not depend on the input, by identity
        self._modules: dict[int, nn.Module] = {}  # those that ran, by identity
        self._fields: dict[nn.Module, ReceptiveField] = {}

    @contextmanager
    def hooks(self) -> Iterator[None]:
        """Observe every module while the block runs, also those that are not registered."""
        before = nn.modules.module.register_module_forward_pre_hook(self._before)
        after = nn.modules.module.register_module_forward_hook(self._after, with_kwargs=True)
        try:
            yield
        finally:
            before.remove()
            after.remove()
            # PyTorch 2.13 keeps this entry, for which torch.compile warns of global hooks.
            vars(nn.modules.module).get("_global_forward_hooks_with_kwargs", {}).pop(after.id, None)

    def _before(self, module: nn.Module, inputs: tuple[object, ...]) -> None:
        if _is_layer(module):
            self._open_layers += 1
            self._running = module, inputs

    def explain(self, error: Exception) -> None:
        """Raise InvalidLayerError from an error in a layer whose rule rejects the input."""
        if not self._open_layers or self._running is None:
            return
        module, inputs = self._running
        layer, x = _layer_of(module), next(_tensors(inputs), None)
        if layer.name not in layer_types() or x is None:
            return
        try:
            layer_info(layer, tuple(x.shape))
        except InvalidLayerError as problem:
            raise InvalidLayerError(f"{layer.text}: {problem.what}", problem.fix) from error

    def _after(self, module: nn.Module, args: object, kwargs: object, output: object) -> None:
        self._modules[id(module)] = module
        if _is_layer(module) and self._open_layers == 1:  # only then lowered, so that reading tensors is not recorded
            self._use([*module.parameters(), *module.buffers()])
            self._record(_layer_of(module), list(_tensors((args, kwargs))), list(_tensors(output)))
            self._add_states(module, output)
        self._open_layers -= _is_layer(module)
        for tensor in _tensors(output):
            if id(tensor) in self._values:
                self._fields[module] = self._values[id(tensor)].field
            break

    def __torch_function__(  # the name is PyTorch's
        self, function: Any, _types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        name = _function_name(function)
        if name in _INDEX_FUNCTIONS and args and self._is_input(args[0]):
            args = (self._as_indices(args[0]), *args[1:])
        output = function(*args, **kwargs)
        if not self._open_layers:
            inputs, outputs = list(_tensors((args, kwargs))), list(_tensors(output))
            if name == "setitem":
                outputs = inputs[:1]
            self._use(inputs)
            is_same = bool(outputs) and any(outputs[0] is tensor for tensor in inputs)
            if outputs and (not is_same or name in _ARITHMETIC | {"setitem"} or function.__name__.endswith("_")):
                self._record(_call_of(name, args, kwargs), inputs, outputs, name)
        return output

    def _is_input(self, tensor: Any) -> bool:
        value = self._values.get(id(tensor))
        return value is not None and value.position == INPUT and value.tensor.is_floating_point()

    def _as_indices(self, tensor: Tensor) -> Tensor:
        """The input as integers, as a layer such as an embedding reads it."""
        indices = tensor.long()
        self._values[id(indices)] = self._values[id(tensor)]._replace(tensor=indices)
        return indices

    def _use(self, tensors: Sequence[Tensor]) -> None:
        new = [tensor for tensor in tensors if id(tensor) in self._weights - self._used]
        self._pending += {id(tensor): tensor for tensor in new}.values()
        self._used |= {id(tensor) for tensor in new}

    def _record(self, layer: Layer, inputs: Sequence[Tensor], outputs: Sequence[Tensor], name: str = "") -> None:
        """Add a row for a call whose output depends on the input of the network, and for every call of a layer."""
        sources = self._sources(inputs)
        if not sources:
            self._constants |= {id(tensor): tensor for tensor in outputs}
        if not outputs or (name and not sources):
            return
        if len(self._rows) == MAX_LAYERS:
            raise InputError("layers", f"there are more than {MAX_LAYERS:,} layers", "use fewer")
        first, output = (sources[0].tensor if sources else (*inputs, *outputs)[0]), tuple(outputs[0].shape)
        rule = _rule(layer, tuple(first.shape), output)
        field = _field(layer, name, sources, output, rule) if sources else self._unknown
        position = len(self._rows)
        for tensor in outputs if sources else ():
            self._values[id(tensor)] = _Value(tensor, position, field)
        total = self.counter.get_total_flops()
        is_same = any(outputs[0] is tensor for tensor in inputs)
        info = (rule or LayerInfo(output))._replace(
            parameters=_count(self._pending, nn.Parameter),
            buffers=_count(self._pending) - _count(self._pending, nn.Parameter),
            macs=(total - self._flops) // 2,
            is_view=rule.is_view if rule else is_same or name in _VIEWS | _PARTS,  # dropout is one only in evaluation
            states=(),
        )
        self._flops, self._pending = total, []
        shapes = sample_shape(tuple(first.shape)), sample_shape(output)
        reads = tuple(dict.fromkeys(source.position for source in sources))
        self._rows.append(TracedLayer(layer, *shapes, info, field, reads))

    def _sources(self, tensors: Sequence[Tensor]) -> list[_Value]:
        """The tensors that depend on the input; one whose origin was not seen is taken for a result of the last row."""
        for tensor in tensors:
            if id(tensor) not in self._values.keys() | self._constants.keys() | self._weights:
                self._values[id(tensor)] = _Value(tensor, len(self._rows) - 1, self._unknown)
        return [self._values[id(tensor)] for tensor in tensors if id(tensor) in self._values]

    def _add_states(self, module: nn.Module, output: Any) -> None:
        """Keep the shapes of the states that a recurrent layer returns next to its output."""
        if isinstance(module, nn.RNNBase) and self._rows:
            states = zip(("hidden", "cell"), _tensors(output[1]), strict=False)
            shapes = tuple((name, tuple(state.shape)) for name, state in states)
            self._rows[-1] = self._rows[-1]._replace(info=self._rows[-1].info._replace(states=shapes))

    def result(self, output: object) -> ModuleTrace:
        """The trace after the run that returned `output`."""
        values = self._sources([next(_tensors(output))])
        if values and sample_shape(tuple(values[0].tensor.shape)) != self._output_of(values[0].position):
            self._record(Layer("output", text="output"), [values[0].tensor], [values[0].tensor], "output")
            values = self._sources([values[0].tensor])
        if self._pending and self._rows:
            last = self._rows[-1].info
            parameters = _count(self._pending, nn.Parameter)
            buffers = _count(self._pending) - parameters
            info = last._replace(parameters=last.parameters + parameters, buffers=last.buffers + buffers)
            self._rows[-1] = self._rows[-1]._replace(info=info)
        registered = set(map(id, self._network.modules()))
        unregistered = [
            type(module).__name__
            for key, module in self._modules.items()
            if key not in registered and any(True for _ in module.parameters(recurse=False))
        ]
        trainable = sum(one.numel() for one in self._network.parameters() if one.requires_grad)
        end = values[0].position if values else len(self._rows) - 1
        unused = tuple(self._unused(self._network, ""))
        return ModuleTrace(tuple(self._rows), end, unused, trainable, tuple(unregistered), self._fields)

    def _output_of(self, position: int) -> Shape | None:
        return None if position == INPUT else self._rows[position].output

    def _unused(self, module: nn.Module, name: str) -> Iterator[UnusedPart]:
        """The outermost modules of whose weights nothing was read, and parameters that nothing read."""
        for child_name, child in module.named_children():
            path = f"{name}.{child_name}" if name else child_name
            own = {id(one): one for one in (*child.parameters(), *child.buffers())}
            if own.keys() & self._used or id(child) in self._modules:
                yield from self._unused(child, path)
            elif any(True for _ in child.parameters()):
                self._used |= own.keys()
                parameters = _count(list(own.values()), nn.Parameter)
                yield UnusedPart(path, parameters, _count(list(own.values())) - parameters)
        for own_name, parameter in module.named_parameters(recurse=False):
            if id(parameter) not in self._used and not _is_layer(module):
                yield UnusedPart(f"{name}.{own_name}" if name else own_name, parameter.numel(), 0)


def _is_layer(module: nn.Module) -> bool:
    """Whether a module is one of PyTorch's layers, whose inside is not shown."""
    is_torch = type(module).__module__.startswith("torch.nn.modules")
    has_parts = isinstance(module, _CONTAINERS) or any(True for _ in module.children())
    return is_torch and (not has_parts or isinstance(module, nn.MultiheadAttention))


def _layer_of(module: nn.Module) -> Layer:
    """A layer as PyTorch prints it."""
    kind = type(module).__name__
    if isinstance(module, nn.MultiheadAttention):
        return Layer(kind, text=f"{kind}({module.embed_dim}, {module.num_heads})")
    text = " ".join(repr(module).split())
    try:
        layer = printed_layer(text)
    except InputError:
        return Layer(kind, text=text)
    return _without_defaults(kind, layer.positional, dict(layer.keywords))


def _function_name(function: Any) -> str:
    """The name of a function: `add` for +, += and Tensor.add_."""
    name = str(getattr(function, "__name__", ""))
    if name == "__get__":  # of a property such as Tensor.T
        return str(getattr(getattr(function, "__self__", None), "__name__", name))
    bare = name.strip("_")
    is_operator = name.startswith("__") and bare[1:] in _ARITHMETIC | {"matmul"}
    return bare[1:] if is_operator else bare


def _call_of(name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Layer:
    """A call of a function; one that a layer does too is that layer, as ReLU() for torch.relu."""
    lower = {one.lower(): one for one in layer_types()}
    kind = _TYPE_OF_FUNCTION.get(name, lower.get(name.replace("_", ""), name))
    if name in _WITH_WEIGHTS:
        return _call_with_weights(kind, name, args, kwargs)
    positional = tuple(arg for arg in args if not list(_tensors(arg)))
    keywords = {key: value for key, value in kwargs.items() if not list(_tensors(value))}
    if name == "pad" and keywords.get("mode", "constant") == "constant":
        amounts = tuple(positional[0] if positional else keywords["pad"])
        kind, positional, keywords = f"ConstantPad{len(amounts) // 2}d", (amounts, 0), {}
    return _without_defaults(kind, positional, keywords)


def _call_with_weights(kind: str, name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Layer:
    """A convolution or linear layer whose weights the code passes, as the layer that has such weights."""
    is_transposed = "transpose" in name
    rest = ("output_padding", "groups", "dilation") if is_transposed else ("dilation", "groups")
    names = ("input", "weight", "bias", "stride", "padding", *rest)
    given = {**dict(zip(names, args, strict=False)), **kwargs}
    shape, groups = tuple(given["weight"].shape), given.get("groups", 1)
    channels = (shape[0], shape[1] * groups) if is_transposed else (shape[1] * groups, shape[0])
    keywords = {key: given[key] for key in names[3:] if key in given}
    if given.get("bias") is None:
        keywords["bias"] = False
    kernel = (shape[2:],) if shape[2:] else ()
    return _without_defaults(kind, (*channels, *kernel), keywords)


def _without_defaults(kind: str, positional: tuple[Any, ...], keywords: Mapping[str, Any]) -> Layer:
    """A call as people write it: without arguments at their defaults, and one number for axes that are equal."""
    known = layer_types().get(kind)
    defaults = {one.name: one.default for one in parameters(known.declaration)} if known else dict.fromkeys(keywords)
    shorter = {
        key: value[0] if isinstance(value, tuple) and len({*value}) == 1 else value
        for key, value in keywords.items()
        if key in defaults
    }
    kept = {key: value for key, value in shorter.items() if repr(value) != repr(defaults[key])}
    is_bare = not positional and not kept and kind not in layer_types()
    return Layer(kind, positional, tuple(kept.items()), kind if is_bare else format_call(kind, positional, kept))


def _rule(layer: Layer, shape: Shape, output: Shape) -> LayerInfo | None:
    """What the rule of `conv-shape` says on a layer, if it has one that agrees with PyTorch."""
    if layer.name not in layer_types():
        return None
    try:
        info = layer_info(layer, shape)
    except (InvalidLayerError, InputError, TypeError, ValueError):
        return None
    return info if info.output == output else None


def _field(layer: Layer, name: str, sources: Sequence[_Value], output: Shape, rule: LayerInfo | None) -> ReceptiveField:
    """The receptive field of the output of a call."""
    first = tuple(sources[0].tensor.shape)
    distinct = list({id(source.tensor): source for source in sources}.values())
    if len(distinct) == 1:
        return distinct[0].field.followed_by(_kind(layer, name, first, output, rule), first)
    shapes = [tuple(source.tensor.shape) for source in distinct]
    fields = [
        source.field if shape[2:] == output[2:] else source.field.followed_by("global", shape)  # a gate
        for source, shape in zip(distinct, shapes, strict=True)
    ]
    is_join = name in _ARITHMETIC or (name in _CONCATENATIONS and _dimension(layer) == 1)
    return ReceptiveField.joined(fields, shapes) if is_join else fields[0].followed_by("unknown", first)


def _dimension(layer: Layer) -> Any:
    return dict(layer.keywords).get("dim", layer.positional[-1] if layer.positional else 0)


def _kind(layer: Layer, name: str, shape: Shape, output: Shape, rule: LayerInfo | None) -> LayerField:  # noqa: PLR0911
    """How an output of one tensor depends on its positions."""
    if rule:
        return rule.field
    if name in _ELEMENTWISE and output == shape:
        return "elementwise"
    if name in _CONCATENATIONS and _dimension(layer) == 1:
        return "elementwise"
    if name in _PARTS:
        return "elementwise" if output[2:] == shape[2:] and len(output) == len(shape) else "rearranged"
    if name in _REDUCTIONS:
        kept = shape[:2]
        is_spatial = output in {kept, kept + (1,) * (len(shape) - len(kept))}
        return "reduced" if is_spatial else "rearranged"
    if name in _VIEWS | {"repeat", "stack"}:
        return "elementwise" if output == shape and name in {"view", "reshape", "expand"} else "rearranged"
    return "unknown"


def _count(tensors: Sequence[Tensor], kind: type[Tensor] = Tensor) -> int:
    return sum(tensor.numel() for tensor in tensors if isinstance(tensor, kind))


def _tensors(value: Any) -> Iterator[Tensor]:
    """The tensors in a value, in order, also those in containers and dataclasses."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping):
        yield from _tensors(list(value.values()))
    elif isinstance(value, list | tuple | set):
        for item in value:
            yield from _tensors(item)
    elif hasattr(value, "__dataclass_fields__"):
        yield from _tensors(list(vars(value).values()))
