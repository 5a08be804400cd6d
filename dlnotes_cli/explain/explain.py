"""The task of `explain`: a map for each image and class, its summary and its tests."""

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from dlnotes_cli.data.folder import DecodeSettings
from dlnotes_cli.data.images.image_io import FORMATS, LoadedImage, sample_image, save_image
from dlnotes_cli.data.paths import InputFile, check_not_input, expand_argument
from dlnotes_cli.device import RuntimeInfo, choose_runtime
from dlnotes_cli.explain.attribution import Attribution, batch_size, chosen_layer, method_of
from dlnotes_cli.explain.check import MapCheck, check_map, reinitialized
from dlnotes_cli.explain.heat import heat_on, numpy_of, overlay, resized, top_region
from dlnotes_cli.explain.options import PREDICTED, TRUE, ExplainConfig
from dlnotes_cli.explain.sheet import ClassMap, Row, draw_sheet
from dlnotes_cli.inference.inspection import ImageBatch, PlacedImage, open_network, read_batches, upright_pixels
from dlnotes_cli.networks.embedded import EMBEDDED_NAME
from dlnotes_cli.shell import files
from dlnotes_cli.shell.codec import HIDDEN, INLINE, OPTIONAL, named
from dlnotes_cli.shell.cores import default_threads
from dlnotes_cli.shell.errors import InputError
from dlnotes_cli.shell.output import note, progress
from dlnotes_cli.shell.show import Detail, Table
from dlnotes_cli.training.model_file import check_finite

_SAMPLE = "flower.jpg"
_FORWARD_ONLY = {"scorecam", "occlusion"}
_MANY_PASSES = {"scorecam", "integrated-gradients", "smoothgrad", "occlusion"}  # over the network, for each image
_SLOW_BATCH = 4  # images of these methods and of --check between two updates of the progress
_MOST_IMAGES = 24  # of a sheet
_LONGEST_CLASS = 60  # characters of a class in a file name


@dataclass(frozen=True)
class Explanation:
    """The map of one class for one image, summarized."""

    file: str
    class_name: str = field(metadata=named("class"))
    probability: float
    layer: str | None  # None: the input itself
    box: tuple[int, int, int, int] | None  # of the highest 20%, in pixels of the stored image; None for an empty map
    center_of_mass: tuple[float, float] | None
    out: Path | None = field(default=None, metadata=OPTIONAL)  # the image with its heat
    map: Path | None = field(default=None, metadata=OPTIONAL)  # the values
    check: MapCheck | None = field(default=None, metadata=OPTIONAL)


@dataclass(frozen=True)
class ExplainResult:
    """The result of `explain`."""

    model: str
    weights: str
    method: str
    layer: str | None
    runtime: RuntimeInfo = field(metadata=INLINE)
    seed: int
    results: Sequence[Explanation]
    skipped: Sequence[str]
    sheet: Path | None
    notes: Sequence[str] = field(default=(), metadata=HIDDEN)

    def table(self) -> Iterator[Table | str]:
        """Each map, and what the tests of it say."""
        where = f"layer {self.layer}" if self.layer else "input"
        yield Detail(f"{self.method} of {self.model}, {where}")
        rows = []
        for one in self.results:
            box = "-" if one.box is None else " ".join(map(str, one.box))
            center = "-" if one.center_of_mass is None else " ".join(f"{value:g}" for value in one.center_of_mass)
            rows.append((one.file, one.class_name, f"{one.probability:.4f}", box, center))
        columns = ("file", "class", "probability", "box of the top 20%", "center of mass")
        yield Table(columns, rows, ("probability",), is_result=True)
        for one in self.results:
            if one.check is not None:
                yield f"{one.file}  {one.class_name}: {one.check}"

    @property
    def paths(self) -> list[Path]:
        """The files that were written."""
        every = (*(path for one in self.results for path in (one.out, one.map)), self.sheet)
        return [path for path in every if path is not None]


def explain_images(config: ExplainConfig) -> ExplainResult:
    """Explain the answers for every image of `config`, and write the files that it names.

    Raises InputError for a model, method, layer, class, image or output file that is not valid.
    """
    images = config.images or (str(sample_image(_SAMPLE, "IMAGE")),)
    inputs = {file.path: file for argument in images for file in expand_argument(argument)}
    planned = _plan_outputs(config, inputs.values())
    explainer = Explainer(config)
    network, settings = (
        explainer.network,
        DecodeSettings(config.threads or default_threads(), config.max_pixels, skip_bad=config.skip_bad),
    )
    results: list[Explanation] = []
    rows: list[list[Row]] = []  # of each image on the sheet
    unread = dict.fromkeys(map(str, inputs))
    if not config.images and network.name == EMBEDDED_NAME:
        note(f"{EMBEDDED_NAME} knows ten classes, and a flower is none of them: the map shows what made it answer so")
    with progress("explain") as bar:
        bar.update(0.0)
        for batch in read_batches(list(unread), network, settings, explainer.batch_size):
            for image, maps in explainer.explain(batch):
                for one in maps:
                    box, center = one.region.in_stored(image.geometry) if one.region else (None, None)
                    results.append(
                        Explanation(
                            str(image.path), one.class_name, one.probability, explainer.layer_name, box, center,
                            *planned[image.path, one.requested], one.check,
                        )
                    )  # fmt: skip
                paths = [planned[image.path, one.requested] for one in maps]
                shown = _write(config, image, maps, paths, has_row=len(rows) < _MOST_IMAGES)
                rows += [shown] if shown else []
                del unread[str(image.path)]
                bar.update(1 - len(unread) / len(inputs), partial(str, image.path.name))
    notes, skipped = [], list(unread)
    if config.sheet_file is not None:
        read = len(inputs) - len(skipped)
        if read > len(rows):
            notes.append(f"{config.sheet_file} shows the first {len(rows)} of {read} images")
        sheet = draw_sheet([row for shown in rows for row in shown], config, network, explainer.layer_name)
        files.atomic_write(config.sheet_file, sheet)
    if skipped:
        notes.append(f"{len(skipped)} skipped: {', '.join(skipped)}")
    return ExplainResult(
        network.name, network.weights, config.method, explainer.layer_name, network.runtime.info, config.seed, results,
        skipped, config.sheet_file, notes,
    )  # fmt: skip


class OutputFiles(NamedTuple):
    """Where the results of an image and class are written."""

    out: Path | None
    map: Path | None


def _plan_outputs(config: ExplainConfig, inputs: Collection[InputFile]) -> dict[tuple[Path, str], OutputFiles]:
    """The files of each image and value of `--class`; folders are made when they are needed.

    Raises InputError for a path that exists, cannot be written, is an input, or belongs to two results.
    """
    is_file = config.out is not None and config.out.suffix.lower() in FORMATS and not config.out.is_dir()
    planned: dict[tuple[Path, str], OutputFiles] = {}
    for file in inputs:
        for name in config.classes:
            safe = re.sub(r"[^\w.-]+", "_", name).strip("_.")[:_LONGEST_CLASS] or "class"
            stem = str(file.subfolder / file.path.stem) + (f"-{safe}" if len(config.classes) > 1 else "")
            out = config.out if is_file or config.out is None else config.out / f"{stem}.png"
            planned[file.path, name] = OutputFiles(out, None if config.maps is None else config.maps / f"{stem}.npy")
    if is_file and len(planned) > 1:
        raise InputError("--out", f"{config.out} is one file for {len(planned)} maps", "give a folder")
    if is_file and config.out is not None and config.out.suffix.lower() == ".npy":
        raise InputError("--out", "writes images", "use --maps FOLDER for the values of a map")
    sources = [file.path for file in inputs]
    for option, root, paths in (
        ("--out", None if is_file else config.out, [one.out for one in planned.values()]),
        ("--maps", config.maps, [one.map for one in planned.values()]),
        ("--sheet", None, [config.sheet_file]),
    ):
        _check(option, root, [path for path in paths if path is not None], sources, overwrite=config.overwrite)
    return planned


def _check(option: str, root: Path | None, paths: Iterable[Path], sources: list[Path], *, overwrite: bool) -> None:
    """Raise InputError where the files of an option, in its folder `root` if it names one, cannot be written."""
    if root is not None and root.exists() and not root.is_dir():
        raise InputError(option, f"{root} is a file", f"give a folder, or an image file ({', '.join(FORMATS)})")
    seen: set[Path] = set()
    for path in paths:
        if path in seen:
            raise InputError(option, f"two results have the path {path}", "explain these images one at a time")
        seen.add(path)
        if root is None or path.exists():
            files.check_output_file(option, path, overwrite=overwrite)
        check_not_input(option, path, sources)
    if root is not None:
        existing = next(parent for parent in (root, *root.absolute().parents) if parent.exists())
        files.check_writable_folder(option, existing)


def _write(
    config: ExplainConfig, image: PlacedImage, maps: Sequence[ClassMap], paths: Sequence[OutputFiles], *, has_row: bool
) -> list[Row]:
    """Write the files of an image; its rows on the sheet, if it `has_row`, the most probable class first."""
    for one, planned in zip(maps, paths, strict=True):
        if planned.map is not None:
            files.make_folder("--maps", planned.map.parent)
            save_image(planned.map, LoadedImage(one.values[..., None]))
    has_row = has_row and config.sheet_file is not None
    if config.out is None and not has_row:
        return []
    pixels = upright_pixels(image.path, config.max_pixels)
    for one, planned in zip(maps, paths, strict=True):
        if planned.out is not None:
            files.make_folder("--out", planned.out.parent)
            heat = heat_on(one.values, image.geometry, (pixels.shape[0], pixels.shape[1]), config.method)
            save_image(planned.out, LoadedImage(overlay(pixels, heat)))
    by_probability = sorted(maps, key=lambda one: -one.probability)
    return [Row(image, pixels, one, config.method) for one in by_probability] if has_row else []


class Explainer:
    """A network, and the method that explains its answers."""

    def __init__(self, config: ExplainConfig) -> None:
        """Open the network. Raises InputError for a model, method, layer or class that is not valid."""
        self._config = config
        self.network = open_network(config)
        runtime = choose_runtime(config.device, config.precision, config.threads, bf16_pays=True)
        self._forward_only = replace(self.network, runtime=runtime)  # scores may be rounded more than gradients
        if config.method in _FORWARD_ONLY:
            self.network = self._forward_only
        layer = chosen_layer(config, self.network)
        self.layer_name = None if layer is None else layer.name
        self._method = method_of(config, self.network, layer)
        self._indices = {  # of the classes that are named; a class called `true` or `predicted` has priority
            name: self.network.class_index(name)
            for name in config.classes
            if name not in {PREDICTED, TRUE} or name in self.network.classes
        }

    @property
    def batch_size(self) -> int:
        """The number of images that are explained together."""
        size = batch_size(self.network.prepare(torch.zeros(1, *self.network.preprocessing.shape)))
        return min(_SLOW_BATCH, size) if self._config.check or self._config.method in _MANY_PASSES else size

    def explain(self, batch: ImageBatch) -> Iterator[tuple[PlacedImage, list[ClassMap]]]:
        """Each image with the maps of its classes, each class once."""
        x = self.network.prepare(batch.samples())
        found = self._method(x, partial(self._choose, batch.images))
        check_finite(Path(self.network.weights), found.logits)
        random_maps: Tensor | None = None
        if self._config.check:
            with reinitialized(self.network.network, self._config.seed):
                random_maps = self._method(x, lambda _logits: found.classes).maps
        for i, image in enumerate(batch.images):
            chosen = found.classes[i].tolist()
            distinct = [k for k, index in enumerate(chosen) if index not in chosen[:k]]
            yield image, [self._class_map(x[i], found, random_maps, (i, k)) for k in distinct]

    def _class_map(self, x: Tensor, found: Attribution, random_maps: Tensor | None, at: tuple[int, int]) -> ClassMap:
        """The map of one image (C, H, W) and class, at this row and column."""
        i, k = at
        index = int(found.classes[at])
        values, check, randomized = found.maps[at], None, None
        if random_maps is not None:
            check = check_map(self._forward_only, x, index, values, random_maps[at], self._config.seed)
            randomized = numpy_of(random_maps[at])
        at_input = numpy_of(resized(values, (x.shape[1], x.shape[2])))
        return ClassMap(
            self._config.classes[k], self.network.classes[index], float(found.logits[i].softmax(0)[index]),
            index == int(found.logits[i].argmax()), numpy_of(values), at_input, top_region(at_input), check, randomized,
        )  # fmt: skip

    def _choose(self, images: Sequence[PlacedImage], logits: Tensor) -> Tensor:
        """The classes (N, K) of some images, in the order of `--class`."""
        columns = []
        for name in self._config.classes:
            if name in self._indices:
                columns.append(torch.full((len(images),), self._indices[name], device=logits.device))
            elif name == PREDICTED:
                columns.append(logits.argmax(1))
            else:
                columns.append(torch.tensor(list(map(self._true_class, images)), device=logits.device))
        return torch.stack(columns, 1)

    def _true_class(self, image: PlacedImage) -> int:
        name = image.true_class(self.network.classes)
        if name is None:
            folder = image.path.absolute().parent.name
            what = f"true needs a folder named after a class; '{folder}' is not one"
            raise InputError("--class", what, "name a class")
        return self.network.classes.index(name)
