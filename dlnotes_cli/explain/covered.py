"""Scores of an image with covered windows, where only what a window reaches is computed again.

A window changes a part of the first maps of a convolutional network and a larger part of the next ones; all other
values are those of the whole image. Each step reads a crop of its input and computes the changed part of its output.
The rest of the network, from where a window changes most of a map, runs on whole maps. The scores are those of complete
forward passes, up to rounding.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise, product
from math import prod
from typing import NamedTuple

import torch
from torch import Tensor, fx, nn

from dlnotes_cli.shapes.receptive_field import AxisField
from dlnotes_cli.training.inspection.network import InspectedNetwork
from dlnotes_cli.training.inspection.receptive_fields import NetworkGraph, graph_of

_MOST_OF_A_MAP = 0.7  # share of a map that a crop must not exceed
_LOCAL = (
    nn.MaxPool2d, nn.AvgPool2d, nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.ELU, nn.GELU, nn.SiLU, nn.Hardswish, nn.Sigmoid,
    nn.Tanh, nn.Dropout, nn.Dropout2d, nn.Identity,
)  # fmt: skip


class CoveredWindows:
    """A network for images in which one of P square windows is 0, the mean color of the training images."""

    def __init__(self, network: InspectedNetwork, window: int, stride: int) -> None:
        """Place the windows, and find the parts of the network in which they change less than whole maps."""
        self._network, self._window = network, window
        height, width = network.input_shape[1:]
        places = product(window_starts(height, window, stride), window_starts(width, window, stride))
        starts = torch.tensor(list(places), device=network.runtime.device)
        self.rows, self.columns = (_is_covered(*each, window) for each in zip(starts.T, (height, width), strict=True))
        self._steps = tuple(_steps(network, starts, window))

    @property
    def reads_crops(self) -> bool:
        """Whether any part of the network runs on crops."""
        return len(self._steps) > 1

    @torch.no_grad()
    def logits(self, image: Tensor, size: int) -> Iterator[tuple[slice, Tensor]]:
        """Logits (n, classes) of an image (C, H, W) for all windows, at most `size` at a time."""
        with self._network.runtime.autocast():
            whole = [image[None]]
            for step in self._steps[:-1]:
                whole.append(step.module(whole[-1]))
            for start in range(0, len(self.rows), size):
                chosen = slice(start, min(start + size, len(self.rows)))
                maps = image.new_zeros(chosen.stop - start, len(image), self._window, self._window)
                for step, unchanged in zip(self._steps, whole, strict=True):
                    maps = step.module(step.gather(chosen, unchanged, maps))
                yield chosen, maps.float()


def window_starts(length: int, window: int, stride: int) -> list[int]:
    """Where windows start on one side, so that every pixel is covered.

    >>> window_starts(10, 4, 4), window_starts(3, 5, 1)
    ([0, 4, 6], [0])
    """
    last = max(length - window, 0)
    return [*range(0, last, stride), last]


def _is_covered(starts: Tensor, length: int, window: int) -> Tensor:
    """1 where a window covers a row or column, (P, length), and 0 elsewhere."""
    at = torch.arange(length, device=starts.device)
    return ((at >= starts[:, None]) & (at < starts[:, None] + window)).float()


class _Changed(NamedTuple):
    """Rows or columns of maps that P windows change: from `low` to before `high`; computed maps start at `origin`."""

    low: Tensor  # int64 (P,)
    high: Tensor
    origin: Tensor

    def after(self, field: AxisField, size: int, outputs: int) -> tuple["_Changed", "_Crops"]:
        """What changes in the output of a step, and the crops of its input that determine it."""
        (first,), (last,), jump = field.low, field.high, field.step
        low = (-((last - self.low) // jump)).clamp(0, outputs)  # the first output that reads `low`
        high = ((self.high - 1 - first) // jump + 1).clamp(0, outputs)
        start = (low * jump + first).clamp(0, size) // jump * jump  # outputs of a crop are at the places of the whole
        end = ((high - 1) * jump + last + 1).clamp(0, size)
        length = max(1, int((end - start).max()))
        length = min(size, length + (size - length) % jump)
        start = start.clamp(max=size - length)
        return _Changed(low, high, start // jump), _Crops(start, length)


class _Crops(NamedTuple):
    """Rows or columns of P crops: their starts (P,) and their common length."""

    start: Tensor
    length: int


@dataclass(frozen=True)
class _Step:
    """A part of the network, and the crops of its input that it reads for P windows, for rows and columns."""

    module: nn.Module
    changed: tuple[_Changed, ...]  # in its input
    crops: tuple[_Crops, ...]

    def gather(self, chosen: slice, whole: Tensor, computed: Tensor) -> Tensor:
        """Crops (n, C, l, m) for some windows: of maps (1, C, H, W) of the whole image, and computed ones (n, C, h, w).

        They are computed where the window changes them.
        """
        _, channels, height, width = computed.shape
        places, own, inside = [], [], []
        for (low, high, origin), (start, length) in zip(self.changed, self.crops, strict=True):
            at = start[chosen, None] + torch.arange(length, device=start.device)
            places.append(at)
            own.append(at - origin[chosen, None])
            inside.append((at >= low[chosen, None]) & (at < high[chosen, None]))
        window = torch.arange(len(computed), device=whole.device)[:, None, None]
        unchanged = places[0][:, :, None] * whole.shape[3] + places[1][:, None]
        changed = (window * height + own[0][:, :, None]) * width + own[1][:, None] + whole[0, 0].numel()
        index = torch.where(inside[0][:, :, None] & inside[1][:, None], changed, unchanged)
        values = torch.cat([maps.permute(0, 2, 3, 1).reshape(-1, channels) for maps in (whole, computed)])
        return values.index_select(0, index.flatten()).view(*index.shape, channels).permute(0, 3, 1, 2)


class _Boundary(NamedTuple):
    """A node of a graph, and the field of its value in the image and its size, for rows and columns.

    All that comes after it depends on its value alone.
    """

    node: fx.Node
    fields: tuple[AxisField, ...]
    size: tuple[int, ...]


def _steps(network: InspectedNetwork, starts: Tensor, window: int) -> Iterator[_Step]:
    """The parts of a network that read crops, and the rest of it, which reads whole maps."""
    size: tuple[int, ...] = network.input_shape[1:]
    axes = zip(starts.T, size, strict=True)
    changed = tuple(_Changed(low, (low + window).clamp(max=side), low) for low, side in axes)
    rest = network.network
    graph = graph_of(network)
    if graph is not None:
        boundaries = _boundaries(graph)
        for before, after in pairwise(boundaries):
            layouts = zip(_relative(before, after), size, after.size, strict=True)
            found = [each.after(*layout) for each, layout in zip(changed, layouts, strict=True)]
            if prod(crops.length for _, crops in found) > _MOST_OF_A_MAP * prod(size):
                rest = _between(graph.module, before.node, None)
                break
            part = _between(graph.module, before.node, after.node)
            yield _Step(part, changed, tuple(crops for _, crops in found))
            changed, size = tuple(each for each, _ in found), after.size
        else:
            rest = _between(graph.module, boundaries[-1].node, None)
    whole = tuple(_Crops(torch.zeros_like(each.low), side) for each, side in zip(changed, size, strict=True))
    yield _Step(rest, changed, whole)


def _boundaries(graph: NetworkGraph) -> list[_Boundary]:
    """The input, and where the field grows next, as far as outputs depend on neighboring inputs only."""
    found: list[_Boundary] = []
    number = {node: i for i, node in enumerate(graph.module.graph.nodes)}
    last_use = 0  # of a value before the node
    for node, i in number.items():
        if not _is_local(graph.module, node):
            break
        field = graph.fields.get(node.name)
        if last_use <= i and field is not None and field.axes and all(len(axis.low) == 1 for axis in field.axes):
            if len(found) > 1 and found[-1].fields == field.axes:
                found.pop()
            if not found or found[0].fields != field.axes:
                found.append(_Boundary(node, field.axes, graph.shapes[node.name][2:]))
        last_use = max([last_use, *(number[user] for user in node.users)])
    return found


def _is_local(network: fx.GraphModule, node: fx.Node) -> bool:
    """Whether each output position of a layer depends on neighboring input positions only, wherever it is."""
    if node.op != "call_module":
        return True  # functions without a receptive field end the maps with a known one
    module = network.get_submodule(str(node.target))
    if isinstance(module, nn.Conv2d):
        return module.padding_mode == "zeros"
    if isinstance(module, nn.BatchNorm2d):
        return module.track_running_stats
    return isinstance(module, _LOCAL)


def _relative(before: _Boundary, after: _Boundary) -> list[AxisField]:
    """The field of a later value in an earlier one, for rows and columns."""
    relative = []
    for one, other in zip(before.fields, after.fields, strict=True):
        low, high = other.low[0] - one.low[0], other.high[0] - one.high[0]
        relative.append(AxisField((low // one.step,), (high // one.step,), other.step // one.step))
    return relative


def _between(network: fx.GraphModule, before: fx.Node, after: fx.Node | None) -> nn.Module:
    """The part of a network from the value of one node to that of another, by default to the output."""
    part = fx.Graph()
    copies = {before: part.placeholder("maps")}
    nodes = list(network.graph.nodes)
    end = nodes[-1].args[0] if after is None else after
    for node in nodes[nodes.index(before) + 1 : nodes.index(end) + 1]:
        copies[node] = part.node_copy(node, copies.__getitem__)
    part.output(copies[end])
    return fx.GraphModule(network, part)
