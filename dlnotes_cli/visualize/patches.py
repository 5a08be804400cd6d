"""The image patches that excite a unit most, after Zeiler and Fergus 2014 (arXiv:1311.2901), with its gradients.

The ReLUs of guided backpropagation are those of Springenberg et al. 2015 (arXiv:1412.6806).
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812  # PyTorch's own abbreviation
from numpy.typing import NDArray
from torch import Tensor
from torch.overrides import TorchFunctionMode

from dlnotes_cli.data.images.decode import Region
from dlnotes_cli.inference.inspected_network import InspectedNetwork, NamedLayer, receptive_fields
from dlnotes_cli.inference.inspection import open_network
from dlnotes_cli.plots.sheet import Panel, Pixels, Section, Sheet, gray_to_rgb, short_number
from dlnotes_cli.shapes.layer import format_shape
from dlnotes_cli.shapes.receptive_field import AxisField, ReceptiveField
from dlnotes_cli.shell import files, output
from dlnotes_cli.shell.codec import named
from dlnotes_cli.shell.errors import InputError
from dlnotes_cli.shell.show import Detail, Table, check_outputs
from dlnotes_cli.visualize.layers import NetworkResult, layer_title, parse_units, unit_name
from dlnotes_cli.visualize.options import DEFAULT_TOP, PatchesConfig
from dlnotes_cli.visualize.sources import ImageSource, open_source

GradientRule = Literal["guided", "deconvnet"]
BEST = 9  # patches of each unit
CAVEAT = (
    "guided and deconvnet gradients mostly repeat the edges of the patch, whichever unit is chosen, and say little "
    "about a single neuron (Nie et al. 2018, arXiv:1805.07039)"
)
_BATCH_PIXELS = 1 << 20  # of a batch, whose activations are in memory at once
_MOST_OUTSIDE = 0.5  # of a field beyond the image; with more, padding decides
_OUTSIDE = 225  # light gray of what a field sees beyond the image
_CONTRAST = 99.5  # percentile of a gradient that is drawn in full color
_RELUS = (F.relu, torch.relu, torch.relu_, Tensor.relu, Tensor.relu_)


@dataclass(frozen=True)
class Patch:
    """A patch of an image, and the activation of the unit that looks at it."""

    file: str
    class_name: str | None = field(metadata=named("class"))
    activation: float
    position: tuple[int, int]  # row and column in the map
    box: Region  # in the stored image


@dataclass(frozen=True)
class UnitPatches:
    """The patches that excite one unit most, strongest first."""

    unit: int
    name: str
    patches: tuple[Patch, ...]


@dataclass(frozen=True)
class PatchesResult(NetworkResult):
    """The patches of the units of a layer."""

    layer: str
    data: str
    images: int
    receptive_field: tuple[int, ...]
    gradient: str
    units: tuple[UnitPatches, ...]
    sheet: Path

    def table(self) -> Iterator[Table | str]:
        """The patches of each unit."""
        rows = [
            (unit.name, f"{one.activation:.4f}", one.class_name or "-", one.file, " ".join(f"{x:.0f}" for x in one.box))
            for unit in self.units
            for one in unit.patches
        ]
        yield Table(("unit", "activation", "class", "image", "box"), rows, ("activation",))
        count = output.counted(self.images, "image")
        yield Detail(f"{self.layer} sees {format_shape(self.receptive_field)} pixels; {count} of {self.data}")

    @property
    def notes(self) -> list[str]:
        """What gradients do not say."""
        return [] if self.gradient == "none" else [CAVEAT]


class Window(NamedTuple):
    """A part of an image in pixels, which may lie beyond it."""

    left: int
    top: int
    right: int
    bottom: int

    def share_inside(self, height: int, width: int) -> float:
        """The fraction of it that is inside an image."""
        seen = max(0, min(self.bottom, height) - max(self.top, 0)) * max(0, min(self.right, width) - max(self.left, 0))
        return seen / ((self.right - self.left) * (self.bottom - self.top))

    def cut(self, pixels: Pixels) -> Pixels:
        """This part of an image (H, W, 3); what lies beyond the image is light gray."""
        reach = max(0, -self.left, -self.top, self.right - pixels.shape[1], self.bottom - pixels.shape[0])
        padded = np.pad(pixels, ((reach, reach), (reach, reach), (0, 0)), constant_values=_OUTSIDE)
        return padded[reach + self.top : reach + self.bottom, reach + self.left : reach + self.right]


class UnitField(NamedTuple):
    """What a unit at each place of a layer's map sees of the network's input (H, W)."""

    axes: tuple[AxisField, ...] | None  # None: everything
    map_width: int
    input: tuple[int, int]

    def window(self, place: int, pixels: Sequence[int]) -> Window:
        """The field of a unit, in pixels (H, W) of a sample."""
        if self.axes is None:
            return Window(0, 0, pixels[1], pixels[0])
        (top, bottom), (left, right) = (
            (int(np.floor(low * scale)), int(np.ceil((high + 1) * scale)))
            for axis, at, scale in zip(
                self.axes, divmod(place, self.map_width), np.divide(pixels, self.input), strict=True
            )
            for low, high in [axis.at(at)]
        )
        return Window(left, top, right, bottom)

    def inside(self, places: int) -> Tensor:
        """Which of the places of a map (places,) see the image with at least half of their field; all, if none does."""
        windows = [self.window(place, self.input) for place in range(places)]
        is_inside = torch.tensor([window.share_inside(*self.input) >= _MOST_OUTSIDE for window in windows])
        return is_inside if bool(is_inside.any()) else torch.ones_like(is_inside)


def find_patches(config: PatchesConfig) -> PatchesResult:
    """Find the nine patches that excite each unit most, in one pass, and draw them.

    Of each image only the strongest place of a unit counts, of those that see the image with at least half of their
    field. Raises InputError for an unknown layer or unit, a layer that sees more than an image, unreadable data and the
    output file.
    """
    check_outputs(config)
    network = open_network(config)
    fields = receptive_fields(network)
    layer = _layer(network, fields, config.layer)
    _check_field(network, layer, fields)
    is_spatial = layer.is_spatial
    unit_field = UnitField(
        fields[layer.name].axes if is_spatial else None, layer.shape[-1] if is_spatial else 1, network.input_shape[1:]
    )
    named_units = parse_units(network, layer, config.unit)
    source = open_source(config, network.preprocessing)
    best, images = _search(network, layer, source, unit_field)
    strongest = best[0].mean(dim=0).argsort(descending=True, stable=True)[: config.top or DEFAULT_TOP]
    found: list[UnitPatches] = []
    sections: list[Section] = []
    for unit in named_units or strongest.tolist():
        patches, panels = _unit_patches(network, layer, unit_field, source, best[:, :, unit], unit, config.gradient)
        name = unit_name(network, layer, unit)
        found.append(UnitPatches(unit, name, patches))
        heading = f"class {name}" if layer == network.output_layer else name
        sections.append(Section(panels, heading, columns=len(patches)))
    size = fields[layer.name].size or ()
    result = PatchesResult(
        network.info, layer.name, source.name, images, size, config.gradient, tuple(found), config.sheet
    )
    files.atomic_write(config.sheet, _sheet(network, layer, result, sections).png())
    return result


def _layer(network: InspectedNetwork, fields: dict[str, ReceptiveField], name: str | None) -> NamedLayer:
    """The layer, by default the last one with maps whose units see less than an image."""
    if name is not None:
        return network.layer(name)
    before = network.layers[: network.layers.index(network.output_layer)]
    maps = [layer for layer in before if layer.is_spatial and layer.name in fields]
    fitting = [layer for layer in maps if _fits(fields[layer.name], network)]
    return fitting[-1] if fitting else network.output_layer


def _fits(field: ReceptiveField, network: InspectedNetwork) -> bool:
    shape = network.input_shape[1:]
    return field.size is not None and all(seen <= side for seen, side in zip(field.size, shape, strict=True))


def _check_field(network: InspectedNetwork, layer: NamedLayer, fields: dict[str, ReceptiveField]) -> None:
    """Raise InputError for a layer whose units see more than an image, or an unknown part of it."""
    if layer.name not in fields:
        what = f"the receptive field of {layer.name} is not known"
        raise InputError("--layer", what, "name a layer with one, see dlnotes visualize layers")
    field = fields[layer.name]
    if field.axes is not None and layer.is_spatial and not _fits(field, network):
        seen, have = map(format_shape, (field.size or (), network.input_shape[1:]))
        what = f"the receptive field of {layer.name}, {seen}, is larger than an image, {have}"
        raise InputError("--layer", what, "name an earlier layer, see dlnotes visualize layers")


@torch.no_grad()
def _search(
    network: InspectedNetwork, layer: NamedLayer, source: ImageSource, unit_field: UnitField
) -> tuple[Tensor, int]:
    """The best patches (3, K, units) of every unit as `strongest_places` has them, and the number of images."""
    best, images = torch.zeros(3, 0, layer.units, dtype=torch.float64), 0
    size = max(1, min(256, _BATCH_PIXELS // int(np.prod(network.input_shape))))
    with output.progress("images") as bar:
        for positions, pixels in source.batches(size):
            outputs = network.activations(network.prepare(torch.from_numpy(pixels)), [layer])[layer.name]
            maps = outputs.float().cpu().reshape(*outputs.shape[:2], -1)  # (N, units, places)
            if layer.is_spatial:
                maps = maps.masked_fill(~unit_field.inside(maps.shape[2]), -torch.inf)
            best = strongest_places(best, maps, positions)
            images += len(positions)
            bar.update((positions[-1] + 1) / len(source))
    return best, images


def strongest_places(best: Tensor, maps: Tensor, positions: Sequence[int]) -> Tensor:
    """The strongest activations of each unit so far (3, K, units): their values, images, and places in the map.

    Of each of the N images of `maps` (N, units, places), the strongest place counts.
    """
    values, places = maps.double().max(dim=2)
    images = torch.tensor([*positions])[:, None].expand_as(places)
    best = torch.cat([best, torch.stack([values, images, places])], dim=1)
    order = best[0].argsort(dim=0, descending=True, stable=True)[:BEST]
    return best.gather(1, order.expand(3, -1, -1))


def _unit_patches(
    network: InspectedNetwork,
    layer: NamedLayer,
    unit_field: UnitField,
    source: ImageSource,
    best: Tensor,
    unit: int,
    gradient: Literal["guided", "deconvnet", "none"],
) -> tuple[tuple[Patch, ...], list[Panel]]:
    """The patches of a unit, of its values, images and places (3, K), and their panels: the patches, then gradients."""
    images, places = best[1:].long().tolist()
    read = [source.image(image) for image in images]
    windows = [unit_field.window(place, pixels.shape[1:]) for place, (pixels, _) in zip(places, read, strict=True)]
    patches = tuple(
        Patch(
            source.name_of(image), source.class_of(image), activation, divmod(place, unit_field.map_width),
            geometry.box_in_stored((window.left, window.top, window.right, window.bottom)),
        )
        for image, place, activation, window, (_, geometry) in zip(
            images, places, best[0].tolist(), windows, read, strict=True
        )
    )  # fmt: skip
    panels = [
        Panel(
            window.cut(gray_to_rgb(pixels)), f"class {patch.class_name}" if patch.class_name else Path(patch.file).name,
            short_number(patch.activation),
        )
        for (pixels, _), window, patch in zip(read, windows, patches, strict=True)
    ]  # fmt: skip
    if gradient != "none":
        samples = torch.from_numpy(np.stack([pixels for pixels, _ in read]))
        gradients = unit_gradients(network, layer, samples, [(unit, patch.position) for patch in patches], gradient)
        panels += [Panel(_drawn(one.numpy(), window)) for one, window in zip(gradients, windows, strict=True)]
    return patches, panels


def _drawn(gradient: NDArray[np.float32], window: Window) -> Pixels:
    """The part of a gradient (C, H, W) in a window as colors around gray, with the contrast of its values there."""
    seen = np.abs(gradient[:, max(0, window.top) : window.bottom, max(0, window.left) : window.right])
    limit = float(np.percentile(seen, _CONTRAST)) or float(seen.max()) or 1.0
    return window.cut(gray_to_rgb(np.rint(127.5 + 127.5 * np.clip(gradient / limit, -1, 1)).astype(np.uint8)))


def unit_gradients(
    network: InspectedNetwork,
    layer: NamedLayer,
    samples: Tensor,
    units: Sequence[tuple[int, tuple[int, int]]],
    rule: GradientRule,
) -> Tensor:
    """The gradient (N, C, H, W) of one unit for each of N samples, a channel and its row and column, in its pixels."""
    pixels = samples.float().requires_grad_()
    with torch.enable_grad(), _Relus(rule):
        outputs = network.activations(network.prepare(pixels), [layer])[layer.name]
        maps = outputs if outputs.ndim == 4 else outputs.reshape(*outputs.shape[:2], 1, -1)  # noqa: PLR2004  # maps
        score = torch.stack([maps[i, unit, row, column] for i, (unit, (row, column)) in enumerate(units)]).sum()
        (gradient,) = torch.autograd.grad(score, pixels)
    return gradient.cpu()


class _Relus(TorchFunctionMode):
    """Inside the block, ReLUs let only positive gradients pass: all of them, or with `guided` those of active units."""

    def __init__(self, rule: GradientRule) -> None:
        super().__init__()
        self._is_guided = rule == "guided"

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func not in _RELUS:
            return func(*args, **(kwargs or {}))
        x: Tensor = args[0]
        output = torch.relu(x) if self._is_guided else x + (torch.relu(x) - x).detach()
        if output.requires_grad:
            output.register_hook(lambda gradient: gradient.clamp(min=0))
        return output


def _sheet(network: InspectedNetwork, layer: NamedLayer, result: PatchesResult, sections: list[Section]) -> Sheet:
    cut = "each the whole image"
    if layer.is_spatial:
        cut = (
            f"cut to the receptive field of {format_shape(result.receptive_field)} pixels, of which at least half is "
            "inside the image (plain gray: outside the image)"
        )
    gradient = ""
    if result.gradient != "none":
        gradient = (
            f" Second row: {result.gradient} gradient of the unit in the patch, each stretched to its own range around "
            f"gray; {CAVEAT}."
        )
    has_classes = all(patch.class_name is not None for unit in result.units for patch in unit.patches)
    below = "class of the image" if has_classes else "file"
    caption = (
        f"The {min(BEST, result.images)} patches of {result.images:,} images of {result.data} that excite each unit "
        f"most, at most one of an image, {cut}; below: {below} and activation.{gradient}"
    )
    title = f"Top patches of {layer_title(network, layer)}, {network.title}"
    return Sheet(title, sections, caption, columns=BEST, side=136)
