"""The task of `explain`: a map for each image and class, its summary and its tests."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from dlnotes_cli.data.folder_samples import DecodeSettings
from dlnotes_cli.data.images.sample_images import sample_image
from dlnotes_cli.data.paths import expand_argument
from dlnotes_cli.device import choose_runtime
from dlnotes_cli.explain.attribution import Attribution, batch_size
from dlnotes_cli.explain.check import check_map, reinitialized
from dlnotes_cli.explain.drawing import Drawings
from dlnotes_cli.explain.heat import numpy_of, resized, top_region
from dlnotes_cli.explain.methods import chosen_layer, explainer_of, wording_of
from dlnotes_cli.explain.options import PREDICTED, TRUE, ExplainConfig
from dlnotes_cli.explain.outputs import OutputFiles, OutputPlan
from dlnotes_cli.explain.results import ExplainResult, Explanation
from dlnotes_cli.explain.sheet import ClassMap
from dlnotes_cli.inference.inspection import ImageBatch, PlacedImage, open_network, read_batches
from dlnotes_cli.shell import output
from dlnotes_cli.shell.cores import default_threads
from dlnotes_cli.shell.errors import InputError
from dlnotes_cli.training.model_file import check_finite

_SAMPLE = "flower.jpg"
_FORWARD_ONLY = {"scorecam", "occlusion"}
_MANY_PASSES = {"scorecam", "integrated-gradients", "smoothgrad", "occlusion"}  # over the network, for each image
_SLOW_BATCH = 4  # images of these methods and of --check between two updates of the progress


def explain_images(config: ExplainConfig) -> ExplainResult:
    """Explain the answers for every image of `config`, and write the files that it names.

    Raises InputError for a model, method, layer, class, image or output file that is not valid.
    """
    images = config.images or (str(sample_image(_SAMPLE, "IMAGE")),)
    inputs = list(dict.fromkeys(file for argument in images for file in expand_argument(argument)))
    drawings = Drawings(config, OutputPlan(config, inputs))
    explainer = Explainer(config)
    settings = DecodeSettings(config.threads or default_threads(), config.max_pixels, skip_bad=config.skip_bad)
    unread = {str(file.path): None for file in inputs}
    total = len(unread)
    results: list[Explanation] = []
    with output.progress("explain") as progress:
        for batch in read_batches(list(unread), explainer.network, settings, explainer.batch_size):
            for image, maps in explainer.explain(batch):
                paths = drawings.add(image, maps)
                results += (explainer.summary(image, *pair) for pair in zip(maps, paths, strict=True))
                del unread[str(image.path)]
                progress.update(1 - len(unread) / total, partial(str, image.path.name))
    network = explainer.network
    wording = wording_of(config, network, explainer.layer)
    return ExplainResult(
        network.name, network.weights, config.method, explainer.layer_name, network.runtime.info, config.seed, results,
        list(unread), drawings.write_sheet(wording),
    )  # fmt: skip


class Explainer:
    """A network, and the method that explains its answers."""

    def __init__(self, config: ExplainConfig) -> None:
        """Open the network. Raises InputError for a model, method, layer or class that is not valid."""
        self._config = config
        self.network = open_network(config)
        if config.method in _FORWARD_ONLY:  # scores may be rounded more than gradients
            runtime = choose_runtime(config.device, config.precision, config.threads, bf16_pays=True)
            self.network = replace(self.network, runtime=runtime)
        self.layer = chosen_layer(config, self.network)
        self._method = explainer_of(config, self.network, self.layer)
        self._indices = {name: self.network.class_index(name) for name in config.classes if not self._is_keyword(name)}

    @property
    def layer_name(self) -> str | None:
        """The layer of a class activation map."""
        return None if self.layer is None else self.layer.name

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

    def summary(self, image: PlacedImage, one: ClassMap, paths: OutputFiles) -> Explanation:
        """What is reported about a map."""
        box, center = one.region.in_stored(image.geometry) if one.region else (None, None)
        return Explanation(
            str(image.path), one.class_name, one.probability, self.layer_name, box, center, paths.out,
            paths.map, one.check,
        )  # fmt: skip

    def _class_map(self, x: Tensor, found: Attribution, random_maps: Tensor | None, at: tuple[int, int]) -> ClassMap:
        """The map of one image (C, H, W) and class, at this row and column."""
        i, k = at
        index = int(found.classes[at])
        values, check, randomized = found.maps[at], None, None
        if random_maps is not None:
            check = check_map(self.network, x, index, values, random_maps[at], self._config.seed)
            randomized = numpy_of(random_maps[at])
        at_input = numpy_of(resized(values, (x.shape[1], x.shape[2])))
        return ClassMap(
            self._config.classes[k], self.network.classes[index], float(found.logits[i].softmax(0)[index]),
            index == int(found.logits[i].argmax()), numpy_of(values), at_input, top_region(at_input), check, randomized,
        )  # fmt: skip

    def _is_keyword(self, name: str) -> bool:
        """Whether a value of `--class` is `predicted` or `true`; a class of this name has priority."""
        return name in {PREDICTED, TRUE} and name not in self.network.classes

    def _choose(self, images: Sequence[PlacedImage], logits: Tensor) -> Tensor:
        """The classes (N, K) of some images, in the order of `--class`."""
        columns = [self._column(name, images, logits) for name in self._config.classes]
        return torch.stack(columns, 1)

    def _column(self, name: str, images: Sequence[PlacedImage], logits: Tensor) -> Tensor:
        if name in self._indices:
            return torch.full((len(images),), self._indices[name], device=logits.device)
        if name == PREDICTED:
            return logits.argmax(1)
        return torch.tensor([self._true_class(image) for image in images], device=logits.device)

    def _true_class(self, image: PlacedImage) -> int:
        name = image.true_class(self.network.classes)
        if name is None:
            folder = image.path.absolute().parent.name
            what = f"true needs a folder named after a class; '{folder}' is not one"
            raise InputError("--class", what, "name a class")
        return self.network.classes.index(name)
