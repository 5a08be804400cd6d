"""Stylize one image over a pyramid of sizes, from coarse to fine; an interrupted run is saved and resumed."""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812  # PyTorch's own abbreviation
from numpy.typing import NDArray
from torch import Tensor

from dlnotes_cli.data.images.image_io import LoadedImage, save_image
from dlnotes_cli.networks.embedded import EMBEDDED_NAME
from dlnotes_cli.shell import files, output
from dlnotes_cli.shell.codec import to_json
from dlnotes_cli.shell.errors import InputError
from dlnotes_cli.style.frames import MAX_SIDE, AnimationFrames
from dlnotes_cli.style.images import MARGIN, Size, margin_within, output_image, scaled_to, with_margin
from dlnotes_cli.style.objective import TargetBuilder
from dlnotes_cli.style.optimization import ImageOptimization, OptimizationSettings
from dlnotes_cli.style.results import ScaleResult, StylizedImage
from dlnotes_cli.style.setup import StyleSetup, Stylization
from dlnotes_cli.training.foreign_weights import file_sha256
from dlnotes_cli.training.model_file import EMBEDDED_MODEL
from dlnotes_cli.training.recipes import with_recipe
from dlnotes_cli.training.tensor_file import CHECKPOINT_VERSION, read_checkpoint, write_tensors

_MIN_LONGER_SIDE = 64  # pixels; smaller sizes of the pyramid are left out
_CHECKPOINT_SUFFIX = ".state.safetensors"
_START_OVER = "drop --continue, and start over with --overwrite"
_PREVIOUS_SCALE = "previous_scale"  # a tensor in checkpoints
_NOT_COMPARED = {  # options that do not change an image, and those whose images or layers are compared
    "images", "content_layer", "style_layers",
    "steps", "time_budget", "device", "threads", "json", "quiet", "verbose", "overwrite", "save_every", "continue_run",
    "gram", "animate", "mask", "tile",
    "sheet", "out", "fit", "offline", "list_layers", "sweep_ratio", "content", "style", "skip_bad", "max_pixels",
}  # fmt: skip


@dataclass
class PyramidProgress:
    """How far the pyramid is done, as stored in checkpoints."""

    scale: int = 0  # index of the current scale
    scale_s: float = 0.0  # seconds spent on it
    elapsed_s: float = 0.0  # on all scales
    scales: list[ScaleResult] = field(default_factory=list)  # finished

    def as_stored(self) -> dict[str, Any]:
        """The fields as JSON values."""
        return vars(self) | {"scales": [scale.as_stored() for scale in self.scales]}

    @classmethod
    def from_stored(cls, stored: Mapping[str, Any]) -> Self:
        """Rebuild from `as_stored`."""
        scales = [ScaleResult.from_stored(scale) for scale in stored["scales"]]
        return cls(stored["scale"], stored["scale_s"], stored["elapsed_s"], scales)


class Stylizer:
    """Makes one image; `poll` is called between steps and raises to stop."""

    def __init__(self, setup: StyleSetup, stylization: Stylization, poll: Callable[[], None]) -> None:
        self._setup, self._stylization, self._poll = setup, stylization, poll
        self.sizes = pyramid_sizes(
            stylization.content.size, stylization.longer_side, setup.recipe.scales, setup.network.min_side
        )
        self.progress = PyramidProgress()
        self._targets = TargetBuilder(setup, stylization)
        self._frames = None if setup.config.animate is None else AnimationFrames()
        self._previous: Tensor | None = None  # normalized result of the scale before
        self._optimization: ImageOptimization | None = None  # at the current scale
        self._timed_until = 0.0
        self._checkpoint = checkpoint_file(stylization.out)
        self._is_notes = setup.config.recipe == "notes"
        self._margin = 0 if self._is_notes else MARGIN

    @property
    def result(self) -> StylizedImage:
        """What was done, for the report."""
        job, progress = self._stylization, self.progress
        scales = tuple(replace(scale, has_curves=self._setup.config.verbose) for scale in progress.scales)
        return StylizedImage(job.content.name, job.out, job.ratio, self.sizes[-1], round(progress.elapsed_s, 3), scales)

    def run(self) -> LoadedImage:
        """Optimize at each remaining size, write the image and delete the checkpoint.

        An image without a checkpoint is finished: while it is not, its checkpoint exists before the image does.
        """
        with output.progress(f"stylize {self._stylization.out.name}") as bar:
            while self.progress.scale < len(self.sizes):
                self._run_scale(bar)
        image = self._current_image(self.sizes[-1])
        save_image(self._stylization.out, image)
        self._write_animation()
        files.remove(self._checkpoint)
        return image

    def resume(self) -> None:
        """Load the checkpoint. Raises InputError if it is damaged, or of other images or options."""
        try:
            tensors, metadata = read_checkpoint(self._checkpoint)
        except InputError as error:
            raise InputError(self._checkpoint, error.what, _START_OVER) from error
        if _compared(metadata.get("identity", {})) != _compared(self._identity()):
            what = f"{self._stylization.out} was made from other images or options, or by another version"
            raise InputError("--continue", what, "use the same, or drop --continue")
        try:
            self._load_state(tensors, metadata)
        except (AttributeError, KeyError, RuntimeError, TypeError, ValueError) as error:
            what = f"is not a checkpoint of this image ({error!r})"
            raise InputError(self._checkpoint, what, _START_OVER) from error

    def _load_state(self, tensors: dict[str, Tensor], metadata: Mapping[str, Any]) -> None:
        """Continue the pyramid, the animation, if the interrupted run had one too, and the optimization."""
        self.sizes = [(height, width) for height, width in metadata["sizes"]]
        self.progress = PyramidProgress.from_stored(metadata["progress"])
        if _PREVIOUS_SCALE in tensors:
            previous = tensors.pop(_PREVIOUS_SCALE)
            if previous.dtype != torch.float32 or previous.shape != (1, 3, *self.sizes[self.progress.scale - 1]):
                raise ValueError(f"{_PREVIOUS_SCALE} is {previous.dtype} of {tuple(previous.shape)}")
            self._previous = previous.to(self._setup.network.runtime.device)
        if metadata["optimization"] is not None:
            self._optimization = self._new_optimization()
        stored_frames = {name: tensors.pop(name) for name in AnimationFrames.TENSORS & tensors.keys()}
        if self._frames is not None and metadata.get("frames") is not None:
            self._frames.load_state(stored_frames, metadata["frames"])
        if self._optimization is not None:
            self._optimization.load_state(tensors, metadata["optimization"])

    def save(self) -> bool:
        """Write the checkpoint and then the current image; False if there is no image yet."""
        if self._optimization is None and self._previous is None:
            return False
        self.write_checkpoint()
        save_image(self._stylization.out, self._current_image(self.sizes[-1]))
        return True

    def write_checkpoint(self) -> None:
        """Write what `resume` needs."""
        tensors, metadata = self._optimization.state() if self._optimization else ({}, None)
        if self._previous is not None:
            tensors |= {_PREVIOUS_SCALE: self._previous}
        frames, frame_numbers = self._frames.state() if self._frames else ({}, None)
        tensors |= frames
        stored = {
            "kind": "checkpoint",
            "checkpoint_version": CHECKPOINT_VERSION,
            "identity": self._identity(),
            "sizes": [list(size) for size in self.sizes],
            "steps": self._setup.recipe.steps,
            "progress": self.progress.as_stored(),
            "optimization": metadata,
            "frames": frame_numbers,
        }
        write_tensors(self._checkpoint, tensors, stored)

    def _run_scale(self, bar: output.Progress) -> None:
        """Optimize at the current size and continue with the next."""
        self._poll()
        started = self._timed_until = time.monotonic()
        if self._optimization is None:
            self._optimization = self._new_optimization()
        optimization, first_step = self._optimization, self._optimization.steps
        if self.progress.scale == first_step == 0:
            self._add_frame()
        save_every = self._setup.config.save_every
        for step in optimization.run():
            self._add_time()
            self._add_frame()
            steps_per_s = (step - first_step) / max(self._timed_until - started, 1e-9)
            bar.update(self._fraction(), partial(_status, self._size, optimization, steps_per_s))
            if save_every and step % save_every == 0:
                self.save()
            self._poll()
        self._add_time()
        progress = self.progress
        progress.scales.append(
            ScaleResult(self._size, optimization.steps, round(progress.scale_s, 3), optimization.losses)
        )
        self._previous, self._optimization = self._without_margin(optimization.best), None
        progress.scale, progress.scale_s = progress.scale + 1, 0.0

    def _add_frame(self) -> None:
        """Add the image so far to the animation, if there is one and it is the turn of a frame."""
        if self._frames is not None:
            self._frames.add(self._current_frame)

    def _write_animation(self) -> None:
        path = self._setup.config.animate
        if self._frames is not None and path is not None:
            files.atomic_write(path, self._frames.gif(self._current_frame()))

    def _current_frame(self) -> NDArray[np.uint8]:
        size = self.sizes[-1]
        return self._current_image(scaled_to(size, min(max(size), MAX_SIDE))).values

    @property
    def _size(self) -> Size:
        return self.sizes[self.progress.scale]

    def _add_time(self) -> None:
        """Count the time since the last call."""
        now = time.monotonic()
        self.progress.elapsed_s += now - self._timed_until
        self.progress.scale_s += now - self._timed_until
        self._timed_until = now

    def _new_optimization(self) -> ImageOptimization:
        """An optimization at the current size, before its first step."""
        recipe, network = self._setup.recipe, self._setup.network
        initial = with_margin(self._initial(), self._margin)
        settings = OptimizationSettings(
            recipe.optimizer,
            recipe.lr,
            recipe.steps,
            stops_early=not self._is_notes,
            deadline=self._deadline(),
            gradient_scale=1.0 if self._is_notes else initial.numel(),
        )
        bounds = None if self._is_notes else network.normalization.bounds
        objective = self._targets.objective(self._size, self._margin)
        return ImageOptimization(objective, initial, bounds, settings)

    def _initial(self) -> Tensor:
        """The normalized image that a scale starts from: the previous result enlarged, or that of `--start`."""
        network, config, size = self._setup.network, self._setup.config, self._size
        if self._previous is not None:
            larger = F.interpolate(self._previous, size, mode="bicubic", antialias=True)
            return larger if self._is_notes else larger.clamp(*network.normalization.bounds)
        if config.start == "noise":
            generator = torch.Generator().manual_seed(config.seed)
            pixels = (0.5 + 0.2 * torch.randn(1, 3, *size, generator=generator)).clamp(0, 1)
        else:
            return self._targets.normalized(self._setup.start or self._stylization.content, size)
        return network.normalization(pixels.to(network.runtime.device))

    def _without_margin(self, image: Tensor) -> Tensor:
        height, width = self._size
        margin = margin_within(self._size, self._margin)
        return image[..., margin : margin + height, margin : margin + width]

    def _deadline(self) -> float:
        """When the current scale must end: the remaining budget is divided by the number of pixels of each scale."""
        if self._setup.budget_s is None:
            return math.inf
        remaining_s = self._setup.budget_s - self.progress.elapsed_s
        areas = [height * width for height, width in self.sizes[self.progress.scale :]]
        return time.monotonic() + max(remaining_s, 0.0) * areas[0] / sum(areas)

    def _fraction(self) -> float:
        """The fraction that is done, of pixels times steps or of the time budget."""
        areas = [height * width for height, width in self.sizes]
        scale_fraction = self._optimization.steps / self._setup.recipe.steps if self._optimization else 0.0
        index = self.progress.scale
        fraction = (sum(areas[:index]) + areas[index] * scale_fraction) / sum(areas)
        budget_s = self._setup.budget_s
        return max(fraction, min(self.progress.elapsed_s / budget_s, 1.0)) if budget_s else fraction

    def _current_image(self, size: Size) -> LoadedImage:
        """The best image so far, scaled to (H, W)."""
        best = self._without_margin(self._optimization.best) if self._optimization else self._previous
        if best is None:
            raise RuntimeError("no scale has started")
        pixels = self._setup.network.normalization.inverse(best)
        preserve_color = self._setup.config.preserve_color
        return output_image(pixels, self._stylization.content, size, preserve_color=preserve_color)

    def _identity(self) -> dict[str, Any]:
        """What an interrupted and a resumed run must have in common: options that change the image, and pixels."""
        setup, job = self._setup, self._stylization
        options = to_json(with_recipe(setup.config, setup.recipe))
        is_embedded = setup.config.backbone == EMBEDDED_NAME  # whose weights differ between versions
        network = {"network": file_sha256(EMBEDDED_MODEL)} if is_embedded else {}
        return _compared(options) | network | {
            "precision": setup.network.runtime.precision,
            "layers": {"content": setup.network.layers.content, "styles": setup.network.layers.style},
            "ratio": job.ratio,
            "content": job.content.digest,
            "styles": [[style.image.digest, style.weight] for style in setup.styles],
            "start_image": setup.start and setup.start.digest,
            "masks": setup.masks and setup.masks.digest,
        }  # fmt: skip


def pyramid_sizes(content_size: Size, longer_side: int, scales: int, min_side: int) -> list[Size]:
    """Sizes (H, W) from coarse to fine, each twice the one before; those too small for the network are left out.

    >>> pyramid_sizes((600, 900), 384, scales=4, min_side=16)
    [(64, 96), (128, 192), (256, 384)]
    """
    longer_sides = [round(longer_side / 2 ** (scales - 1 - i)) for i in range(scales)]
    *smaller, largest = [scaled_to(content_size, side) for side in longer_sides]
    return [size for size in smaller if max(size) >= _MIN_LONGER_SIDE and min(size) >= min_side] + [largest]


def checkpoint_file(out: Path) -> Path:
    """Where the checkpoint of an interrupted run is stored, next to its image."""
    return out.with_name(out.name + _CHECKPOINT_SUFFIX)


def stored_options(checkpoint: Path) -> dict[str, Any]:
    """The options that changed the image of a checkpoint, by name; empty if it is damaged, as `resume` reports."""
    try:
        _, metadata = read_checkpoint(checkpoint)
    except InputError:
        return {}
    identity: dict[str, Any] = metadata.get("identity", {})
    layers = identity.get("layers", {"content": None, "styles": {}})
    style_layers = tuple(f"{name}:{weight!r}" for name, weight in layers["styles"].items())
    stored = {"steps": metadata.get("steps"), "content_layer": layers["content"], "style_layers": style_layers}
    return identity | stored


def _compared(options: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if name not in _NOT_COMPARED}


def _status(size: Size, optimization: ImageOptimization, steps_per_s: float) -> str:
    where = f"{size[1]}x{size[0]}  step {optimization.steps}"
    return f"{where}  loss {optimization.lowest:.4g}  {steps_per_s:.1f}/s"
