"""The image patches that excite a unit most, after Zeiler and Fergus 2014 (arXiv:1311.2901)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dlnotes_cli.data.images.geometry import Geometry, Region
from dlnotes_cli.inference.inspected_network import InspectedNetwork, NamedLayer, NetworkInfo
from dlnotes_cli.inference.inspection import open_network
from dlnotes_cli.inference.receptive_fields import receptive_fields
from dlnotes_cli.plots.sheet import Panel, Pixels, Section, Sheet, gray_to_rgb, short_number
from dlnotes_cli.shapes.layer import format_shape
from dlnotes_cli.shapes.receptive_field import ReceptiveField
from dlnotes_cli.shell import files, output
from dlnotes_cli.shell.codec import INLINE, named
from dlnotes_cli.shell.errors import InputError
from dlnotes_cli.shell.show import Detail, Table, check_outputs
from dlnotes_cli.visualize.gradients import CAVEAT, unit_gradients
from dlnotes_cli.visualize.options import DEFAULT_TOP, PatchesConfig
from dlnotes_cli.visualize.sources import ImageSource, open_source
from dlnotes_cli.visualize.units import layer_title, parse_units, unit_name

BEST = 9  # patches of each unit
_BATCH_PIXELS = 1 << 20  # of a batch, whose activations are in memory at once
_MOST_OUTSIDE = 0.5  # of a field beyond the image; with more, padding decides
_OUTSIDE = 225  # light gray of what a field sees beyond the image
_CONTRAST = 99.5  # percentile of a gradient that is drawn in full color

Window = tuple[int, int, int, int]  # left, top, right, bottom; in pixels of the sample, and perhaps beyond it


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
class PatchesResult:
    """The patches of the units of a layer."""

    network: NetworkInfo = field(metadata=INLINE)
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
    def paths(self) -> list[Path]:
        """The files that were written."""
        return [self.sheet]

    @property
    def notes(self) -> list[str]:
        """What gradients do not say."""
        return [] if self.gradient == "none" else [CAVEAT]


@dataclass
class _TopActivations:
    """The strongest activations of each unit so far: (K, units), with the image and the place in the map of each."""

    values: Tensor
    images: Tensor
    places: Tensor

    @classmethod
    def of_none(cls, units: int) -> "_TopActivations":
        nothing = torch.zeros(0, units, dtype=torch.int64)
        return cls(torch.zeros(0, units), nothing, nothing)

    def add(self, maps: Tensor, positions: Sequence[int]) -> None:
        """Take the strongest place of each of N images (N, units, places) into account."""
        values, places = maps.max(dim=2)
        images = torch.tensor(positions)[:, None].expand_as(places)
        self.values = torch.cat([self.values, values])
        order = self.values.argsort(dim=0, descending=True, stable=True)[:BEST]
        self.values = self.values.gather(0, order)
        self.images = torch.cat([self.images, images]).gather(0, order)
        self.places = torch.cat([self.places, places]).gather(0, order)


@dataclass(frozen=True)
class _UnitReceptiveField:
    """What a unit at each place of a layer's map sees of the network's input."""

    field: ReceptiveField
    map_width: int
    input: tuple[int, int]  # height and width

    def window(self, place: int, pixels: tuple[int, ...]) -> Window:
        """The field of a unit, in pixels (H, W) of a sample."""
        scale_y, scale_x = pixels[0] / self.input[0], pixels[1] / self.input[1]
        if self.field.axes is None:
            return 0, 0, pixels[1], pixels[0]
        row, column = divmod(place, self.map_width)
        (top, bottom), (left, right) = self.field.axes[0].at(row), self.field.axes[1].at(column)
        return (
            int(np.floor(left * scale_x)), int(np.floor(top * scale_y)),
            int(np.ceil((right + 1) * scale_x)), int(np.ceil((bottom + 1) * scale_y)),
        )  # fmt: skip

    def inside(self, places: int) -> Tensor:
        """Which of the places of a map (places,) see the image with at least half of their field; all, if none does."""
        shares = torch.tensor([_share_inside(self.window(place, self.input), self.input) for place in range(places)])
        is_inside = shares >= _MOST_OUTSIDE
        return is_inside if bool(is_inside.any()) else torch.ones_like(is_inside)


def _share_inside(window: Window, size: tuple[int, int]) -> float:
    left, top, right, bottom = window
    seen = max(0, min(bottom, size[0]) - max(top, 0)) * max(0, min(right, size[1]) - max(left, 0))
    return seen / ((right - left) * (bottom - top))


def find_patches(config: PatchesConfig) -> PatchesResult:
    """Find the nine patches that excite each unit most, in one pass, and draw them.

    Of each image only the strongest place of a unit counts, of those that see the image with at least half of their
    field. Raises InputError for an unknown layer or unit, a layer
    that sees more than an image, unreadable data and the output file.
    """
    check_outputs(config)
    network = open_network(config)
    fields = receptive_fields(network)
    layer = _layer(network, fields, config.layer)
    unit_field = _receptive_field(network, layer, fields)
    named = parse_units(network, layer, config.unit)
    source = open_source(config, network.preprocessing)
    best, images = _search(network, layer, source, unit_field)
    units = named or _strongest(best, config.top or DEFAULT_TOP)
    found: list[UnitPatches] = []
    sections: list[Section] = []
    for unit in units:
        patches, panels = _unit_patches(network, layer, unit_field, source, best, unit, config.gradient)
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
    fitting = [layer for layer in maps if _fits(fields[layer.name], network.input_shape)]
    return fitting[-1] if fitting else network.output_layer


def _fits(field: ReceptiveField, shape: tuple[int, ...]) -> bool:
    return field.size is not None and all(seen <= side for seen, side in zip(field.size, shape[1:], strict=True))


def _receptive_field(
    network: InspectedNetwork, layer: NamedLayer, fields: dict[str, ReceptiveField]
) -> _UnitReceptiveField:
    if layer.name not in fields:
        what = f"the receptive field of {layer.name} is not known"
        raise InputError("--layer", what, "name a layer with one, see dlnotes visualize layers")
    field = fields[layer.name]
    shape = network.input_shape
    if field.axes is not None and layer.is_spatial and not _fits(field, shape):
        seen, have = map(format_shape, (field.size or (), shape[1:]))
        what = f"the receptive field of {layer.name}, {seen}, is larger than an image, {have}"
        raise InputError("--layer", what, "name an earlier layer, see dlnotes visualize layers")
    if not layer.is_spatial:  # it sees the whole image
        field = ReceptiveField(field.input_size, None, field.size)
    return _UnitReceptiveField(field, layer.shape[-1] if layer.is_spatial else 1, shape[1:])


@torch.no_grad()
def _search(
    network: InspectedNetwork, layer: NamedLayer, source: ImageSource, unit_field: _UnitReceptiveField
) -> tuple[_TopActivations, int]:
    """The best patches of every unit, and the number of images."""
    best, images = _TopActivations.of_none(layer.units), 0
    channels, height, width = network.input_shape
    size = max(1, min(256, _BATCH_PIXELS // (channels * height * width)))
    with output.progress("images") as bar:
        for positions, pixels in source.batches(size):
            outputs = network.activations(network.prepare(torch.from_numpy(pixels)), [layer])[layer.name]
            maps = outputs.float().cpu().flatten(2) if layer.is_spatial else _flat(outputs)
            if layer.is_spatial:
                maps = maps.masked_fill(~unit_field.inside(maps.shape[2]), -torch.inf)
            best.add(maps, positions)
            images += len(positions)
            bar.update((positions[-1] + 1) / len(source))
    return best, images


def _flat(outputs: Tensor) -> Tensor:
    """Outputs without positions as (N, units, 1)."""
    return outputs.float().cpu().reshape(*outputs.shape[:2], -1)


def _strongest(best: _TopActivations, top: int) -> list[int]:
    """The units whose best patches excite them most, on average."""
    return best.values.mean(dim=0).argsort(descending=True, stable=True)[:top].tolist()


def _unit_patches(
    network: InspectedNetwork,
    layer: NamedLayer,
    unit_field: _UnitReceptiveField,
    source: ImageSource,
    best: _TopActivations,
    unit: int,
    gradient: Literal["guided", "deconvnet", "none"],
) -> tuple[tuple[Patch, ...], list[Panel]]:
    """The patches of a unit, and their panels: the patches, then their gradients."""
    images, places = best.images[:, unit].tolist(), best.places[:, unit].tolist()
    read = [source.image(image) for image in images]
    windows = [unit_field.window(place, pixels.shape[1:]) for place, (pixels, _) in zip(places, read, strict=True)]
    patches = tuple(
        Patch(
            source.name_of(image), source.class_of(image), float(best.values[i, unit]),
            divmod(places[i], unit_field.map_width), _box(read[i][1], windows[i]),
        )
        for i, image in enumerate(images)
    )  # fmt: skip
    panels = [
        Panel(_cut(gray_to_rgb(pixels), window), _label(patch), short_number(patch.activation))
        for (pixels, _), window, patch in zip(read, windows, patches, strict=True)
    ]
    if gradient != "none":
        samples = torch.from_numpy(np.stack([pixels for pixels, _ in read]))
        targets = [(unit, patch.position) for patch in patches]
        gradients = unit_gradients(network, layer, samples, targets, gradient)
        panels += [Panel(_cut(_drawn(g.numpy(), window), window)) for g, window in zip(gradients, windows, strict=True)]
    return patches, panels


def _label(patch: Patch) -> str:
    return Path(patch.file).name if patch.class_name is None else f"class {patch.class_name}"


def _box(geometry: Geometry, window: Window) -> Region:
    return geometry.box_in_stored((float(window[0]), float(window[1]), float(window[2]), float(window[3])))


def _cut(pixels: Pixels, window: Window) -> Pixels:
    """A part of an image; what lies beyond the image is light gray."""
    left, top, right, bottom = window
    cut = np.full((bottom - top, right - left, 3), _OUTSIDE, np.uint8)
    height, width = pixels.shape[:2]
    inside = pixels[max(0, top) : min(height, bottom), max(0, left) : min(width, right)]
    y, x = max(0, -top), max(0, -left)
    cut[y : y + inside.shape[0], x : x + inside.shape[1]] = inside
    return cut


def _drawn(gradient: NDArray[np.float32], window: Window) -> Pixels:
    """A gradient (C, H, W) as colors around gray, with the contrast of its values in a window."""
    left, top, right, bottom = window
    seen = np.abs(gradient[:, max(0, top) : bottom, max(0, left) : right])
    limit = float(np.percentile(seen, _CONTRAST)) or float(seen.max()) or 1.0
    return gray_to_rgb(np.rint(127.5 + 127.5 * np.clip(gradient / limit, -1, 1)).astype(np.uint8))


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
