"""torchvision's networks with branches, as graphs: residual sums and concatenations."""

from collections.abc import Callable, Sequence

from dlnotes_cli.shapes.choices import BranchedName
from dlnotes_cli.shapes.graph import INPUT, OPERATION_PREFIX, Network, Node
from dlnotes_cli.shapes.layer import Layer
from dlnotes_cli.shapes.parsing.layer_list import parse_layers

Head = Callable[[int], str]  # from the number of features to the layers behind them
_CEILED_POOL = "MaxPool2d(kernel_size=3, stride=2, ceil_mode=True)"
_RESNET_BLOCKS = {  # in each of four stages, and whether a block is a bottleneck
    "resnet18": ((2, 2, 2, 2), False), "resnet34": ((3, 4, 6, 3), False), "resnet50": ((3, 4, 6, 3), True),
    "resnet101": ((3, 4, 23, 3), True), "resnet152": ((3, 8, 36, 3), True),
}  # fmt: skip
_DENSE_BLOCKS, _GROWTH = (6, 12, 24, 16), 32  # of DenseNet-121
_INVERTED = (  # of MobileNetV2: expansion, channels, blocks, stride
    (1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1),
)  # fmt: skip
_FIRES = (  # of SqueezeNet 1.0: channels after the squeeze and of each branch; None for pooling
    (16, 64), (16, 64), (32, 128), None, (32, 128), (48, 192), (48, 192), (64, 256), None, (64, 256),
)  # fmt: skip
_INCEPTIONS = (  # of GoogLeNet: 1x1, 3x3 after 1x1, 5x5 after 1x1, 1x1 after pooling; a layer in front of the next
    (64, 96, 128, 16, 32, 32), (128, 128, 192, 32, 96, 64), _CEILED_POOL,
    (192, 96, 208, 16, 48, 64), (160, 112, 224, 24, 64, 64), (128, 128, 256, 24, 64, 64), (112, 144, 288, 32, 64, 64),
    (256, 160, 320, 32, 128, 128), "MaxPool2d(kernel_size=2, stride=2, ceil_mode=True)",
    (256, 160, 320, 32, 128, 128), (384, 192, 384, 48, 128, 128),
)  # fmt: skip


def branched_network(name: BranchedName, head: Head | None = None) -> Network:
    """A network without weights, for images with 3 channels; `head` replaces its last layer, with 1000 outputs.

    >>> len(branched_network("resnet18").nodes)
    69
    """
    graph = _Graph()
    _BUILDERS[name](graph, name, head)
    return Network(tuple(graph.nodes), is_code=True)


def _last(head: Head | None, inputs: int) -> str:
    return f"Linear({inputs}, 1000)" if head is None else head(inputs)


class _Graph:
    """A network under construction; every method returns the index of the last node."""

    def __init__(self) -> None:
        self.nodes: list[Node] = []

    def layers(self, text: str, source: int | None = None) -> int:
        """Add layers one after the other, the first of which reads `source`, by default the last node."""
        for layer in parse_layers(text):
            self.nodes.append(Node(layer, (len(self.nodes) - 1 if source is None else source,)))
            source = None
        return len(self.nodes) - 1

    def sum(self, branch: int, shortcut: int) -> int:
        """Add a residual sum."""
        return self._operation("broadcast", "Residual sum", (branch, shortcut))

    def concatenation(self, branches: Sequence[int]) -> int:
        """Add a concatenation of channels."""
        return self._operation("cat", "Concatenation of channels", branches, (("dim", 1),))

    def _operation(
        self, name: str, text: str, inputs: Sequence[int], keywords: tuple[tuple[str, int], ...] = ()
    ) -> int:
        layer = Layer(OPERATION_PREFIX + name, (), keywords, text)
        self.nodes.append(Node(layer, tuple(inputs)))
        return len(self.nodes) - 1


def _convolution(
    inputs: int, outputs: int, kernel: int, *, stride: int = 1, groups: int = 1, activation: str = "ReLU(inplace=True)"
) -> str:
    """A convolution of the size of its input divided by the stride, batch norm and activation."""
    settings = f"{', stride=2' if stride == 2 else ''}{f', padding={kernel // 2}' if kernel > 1 else ''}"  # noqa: PLR2004
    settings += f", groups={groups}" if groups > 1 else ""
    layers = f"Conv2d({inputs}, {outputs}, kernel_size={kernel}{settings}, bias=False); BatchNorm2d({outputs})"
    return f"{layers}; {activation}" if activation else layers


def _resnet(graph: _Graph, name: str, head: Head | None) -> None:
    """He et al. 2015 (arXiv:1512.03385); in a bottleneck, the 3x3 convolution has the stride, as in torchvision."""
    blocks, is_bottleneck = _RESNET_BLOCKS[name]
    x = graph.layers(_convolution(3, 64, 7, stride=2) + "; MaxPool2d(kernel_size=3, stride=2, padding=1)", INPUT)
    inputs = 64
    for stage, count in enumerate(blocks):
        width = 64 * 2**stage
        outputs = 4 * width if is_bottleneck else width
        for block in range(count):
            stride = 2 if stage and not block else 1
            body = (
                [_convolution(inputs, width, 1), _convolution(width, width, 3, stride=stride)]
                if is_bottleneck
                else [_convolution(inputs, width, 3, stride=stride)]
            )
            last = _convolution(width, outputs, 1 if is_bottleneck else 3, activation="")
            branch = graph.layers("; ".join([*body, last]), x)
            is_new_shape = stride > 1 or inputs != outputs
            shortcut = (
                graph.layers(_convolution(inputs, outputs, 1, stride=stride, activation=""), x) if is_new_shape else x
            )
            graph.sum(branch, shortcut)
            x = graph.layers("ReLU(inplace=True)")
            inputs = outputs
    graph.layers(f"AdaptiveAvgPool2d((1, 1)); Flatten(); {_last(head, inputs)}")


def _densenet(graph: _Graph, _name: str, head: Head | None) -> None:
    """Huang et al. 2016 (arXiv:1608.06993): each layer reads the outputs of all layers before it in its block."""
    x = graph.layers(_convolution(3, 64, 7, stride=2) + "; MaxPool2d(kernel_size=3, stride=2, padding=1)", INPUT)
    channels = 64
    for block, count in enumerate(_DENSE_BLOCKS):
        outputs = [x]
        for _ in range(count):
            x = graph.concatenation(outputs) if len(outputs) > 1 else x
            layers = (
                f"BatchNorm2d({channels}); ReLU(inplace=True); {_convolution(channels, 4 * _GROWTH, 1)}; "
                f"Conv2d({4 * _GROWTH}, {_GROWTH}, kernel_size=3, padding=1, bias=False)"
            )
            outputs.append(graph.layers(layers, x))
            channels += _GROWTH
        x = graph.concatenation(outputs)
        x = graph.layers(f"BatchNorm2d({channels})", x)
        if block < len(_DENSE_BLOCKS) - 1:
            halved = (
                f"Conv2d({channels}, {channels // 2}, kernel_size=1, bias=False); AvgPool2d(kernel_size=2, stride=2)"
            )
            x = graph.layers(f"ReLU(inplace=True); {halved}", x)
            channels //= 2
    graph.layers(f"ReLU(inplace=True); AdaptiveAvgPool2d((1, 1)); Flatten(); {_last(head, channels)}")


def _mobilenet(graph: _Graph, _name: str, head: Head | None) -> None:
    """Sandler et al. 2018 (arXiv:1801.04381): wide depthwise convolutions between narrow sums."""
    relu6 = "ReLU6(inplace=True)"
    x = graph.layers(_convolution(3, 32, 3, stride=2, activation=relu6), INPUT)
    inputs = 32
    for expansion, outputs, count, first_stride in _INVERTED:
        for block in range(count):
            stride, width = 1 if block else first_stride, expansion * inputs
            layers = [_convolution(inputs, width, 1, activation=relu6)] if expansion > 1 else []
            layers.append(_convolution(width, width, 3, stride=stride, groups=width, activation=relu6))
            branch = graph.layers("; ".join([*layers, _convolution(width, outputs, 1, activation="")]), x)
            x = graph.sum(branch, x) if stride == 1 and inputs == outputs else branch
            inputs = outputs
    last = _convolution(inputs, 1280, 1, activation=relu6)
    graph.layers(f"{last}; AdaptiveAvgPool2d((1, 1)); Flatten(); Dropout(0.2); {_last(head, 1280)}", x)


def _squeezenet(graph: _Graph, _name: str, head: Head | None) -> None:
    """Iandola et al. 2016 (arXiv:1602.07360). Its last layer is a convolution; a new head comes after its pooling."""
    x = graph.layers(f"Conv2d(3, 96, kernel_size=7, stride=2); ReLU(inplace=True); {_CEILED_POOL}", INPUT)
    inputs = 96
    for fire in _FIRES:
        if fire is None:
            x = graph.layers(_CEILED_POOL, x)
            continue
        squeezed, width = fire
        x = graph.layers(f"Conv2d({inputs}, {squeezed}, kernel_size=1); ReLU(inplace=True)", x)
        small = graph.layers(f"Conv2d({squeezed}, {width}, kernel_size=1); ReLU(inplace=True)", x)
        large = graph.layers(f"Conv2d({squeezed}, {width}, kernel_size=3, padding=1); ReLU(inplace=True)", x)
        x, inputs = graph.concatenation((small, large)), 2 * width
    convolution = f"Conv2d({inputs}, 1000, kernel_size=1); " if head is None else ""
    last = "ReLU(inplace=True); AdaptiveAvgPool2d((1, 1)); Flatten()" + (f"; {head(inputs)}" if head else "")
    graph.layers(f"Dropout(0.5); {convolution}{last}", x)


def _googlenet(graph: _Graph, _name: str, head: Head | None) -> None:
    """Szegedy et al. 2014 (arXiv:1409.4842) without auxiliary heads; torchvision's 5x5 convolutions are 3x3."""
    x = graph.layers(
        f"{_convolution(3, 64, 7, stride=2)}; {_CEILED_POOL}; {_convolution(64, 64, 1)}; {_convolution(64, 192, 3)}; "
        f"{_CEILED_POOL}", INPUT,
    )  # fmt: skip
    inputs = 192
    for module in _INCEPTIONS:
        if isinstance(module, str):
            x = graph.layers(module, x)
            continue
        single, squeezed, medium, more_squeezed, large, pooled = module
        pool = "MaxPool2d(kernel_size=3, stride=1, padding=1, ceil_mode=True)"
        branches = [
            graph.layers(_convolution(inputs, single, 1), x),
            graph.layers(f"{_convolution(inputs, squeezed, 1)}; {_convolution(squeezed, medium, 3)}", x),
            graph.layers(f"{_convolution(inputs, more_squeezed, 1)}; {_convolution(more_squeezed, large, 3)}", x),
            graph.layers(f"{pool}; {_convolution(inputs, pooled, 1)}", x),
        ]
        x, inputs = graph.concatenation(branches), single + medium + large + pooled
    graph.layers(f"AdaptiveAvgPool2d((1, 1)); Flatten(); Dropout(0.2); {_last(head, inputs)}", x)


_BUILDERS: dict[BranchedName, Callable[[_Graph, str, Head | None], None]] = {
    "resnet18": _resnet,
    "resnet34": _resnet,
    "resnet50": _resnet,
    "resnet101": _resnet,
    "resnet152": _resnet,
    "squeezenet1_0": _squeezenet,
    "mobilenet_v2": _mobilenet,
    "densenet121": _densenet,
    "googlenet": _googlenet,
}
