"""Stylize one image over a pyramid of sizes, from coarse to fine; an interrupted run is saved and resumed."""

import math
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812  # PyTorch's own abbreviation
from torch import Tensor

from dlnotes_cli.data.images.image_io import LoadedImage, save_image
from dlnotes_cli.networks.embedded import EMBEDDED_NAME
from dlnotes_cli.shell import files, output
from dlnotes_cli.shell.codec import build, to_json
from dlnotes_cli.shell.errors import InputError
from dlnotes_cli.style.images import InputImage, Pixels, Size, output_image, scaled_to
from dlnotes_cli.style.objective import MARGIN, StyleSetup, TargetBuilder
from dlnotes_cli.style.optimization import ImageOptimization
from dlnotes_cli.style.options import StyleRecipe, StyleTransferConfig
from dlnotes_cli.style.plan import Job
from dlnotes_cli.style.results import FinishedScale, ScaleResult, StylizedImage
from dlnotes_cli.style.sheets import MAX_FRAME_SIDE, AnimationFrames
from dlnotes_cli.training.foreign_weights import file_sha256
from dlnotes_cli.training.model_file import EMBEDDED_MODEL
from dlnotes_cli.training.tensor_file import CHECKPOINT_VERSION, read_checkpoint, write_tensors

_MIN_LONGER_SIDE = 64  # pixels; smaller sizes of the pyramid are left out
_START_OVER = "drop --continue, and start over with --overwrite"
_PREVIOUS_SCALE, _FRAMES = "previous_scale", "frames"  # tensors in checkpoints
_REPORTED_OPTIONS = (  # needed to repeat a call
    "recipe", "size", "scales", "steps", "optimizer", "lr", "tv", "pooling", "style_scale", "preserve_color", "start",
    "content_loss", "match_color", "mask", "tile",
)  # fmt: skip
_NOT_COMPARED = {"steps", "mask", "tile"}  # of these; masks are compared by their content


class Stylizer:
    """Makes one image; `poll` is called between steps and raises to stop."""

    def __init__(self, setup: StyleSetup, job: Job, content: InputImage, poll: Callable[[], None]) -> None:
        self._setup, self._job, self._content, self._poll = setup, job, content, poll
        self._ratio = job.ratio or setup.recipe.ratio
        self.sizes = pyramid_sizes(job.size, job.longer_side, setup.recipe.scales, setup.network.layers.min_side)
        self.finished: list[FinishedScale] = []
        self._targets = TargetBuilder(setup, content, self._ratio)
        self._frames = AnimationFrames() if setup.config.animate else None
        self._previous: Tensor | None = None  # normalized result of the scale before
        self._optimization: ImageOptimization | None = None  # at the current scale
        self._scale_s = self._timed_until = 0.0  # seconds spent on the current scale, and until when
        self._margin = 0 if setup.is_notes else MARGIN

    @property
    def result(self) -> StylizedImage:
        """What was done, for the report."""
        has_curves = self._setup.config.verbose
        scales = tuple(ScaleResult.of(scale, has_curves=has_curves) for scale in self.finished)
        seconds = round(self._elapsed_s, 3)
        return StylizedImage(self._content.name, self._job.out, self._ratio, self.sizes[-1], seconds, scales)

    def run(self) -> LoadedImage:
        """Optimize at each remaining size, write the image and delete the checkpoint.

        An image without a checkpoint is finished: while it is not, its checkpoint exists before the image does.
        """
        with output.progress(f"stylize {self._job.out.name}") as bar:
            while len(self.finished) < len(self.sizes):
                self._run_scale(bar)
        image = self._current_image(self.sizes[-1])
        save_image(self._job.out, image)
        path = self._setup.config.animate
        if self._frames is not None and path is not None:
            files.atomic_write(path, self._frames.gif(self._current_frame()))
        files.remove(self._job.checkpoint)
        return image

    def resume(self) -> None:
        """Load the checkpoint. Raises InputError if it is damaged, or of other images or options."""
        path = self._job.checkpoint
        try:
            tensors, metadata = read_checkpoint(path)
        except InputError as error:
            raise InputError(path, error.what, _START_OVER) from error
        if metadata.get("identity") != self._identity():
            what = f"{self._job.out} was made from other images or options, or by another version"
            raise InputError("--continue", what, "use the same, or drop --continue")
        try:
            self._load_state(tensors, metadata)
        except (AttributeError, KeyError, RuntimeError, TypeError, ValueError) as error:
            raise InputError(path, f"is not a checkpoint of this image ({error!r})", _START_OVER) from error

    def _load_state(self, tensors: dict[str, Tensor], metadata: Mapping[str, Any]) -> None:
        """Continue the pyramid, the animation, if the interrupted run had one too, and the optimization."""
        self.sizes = [(height, width) for height, width in metadata["sizes"]]
        self.finished = [build(FinishedScale, scale) for scale in metadata["finished"]]
        self._scale_s = metadata["scale_s"]
        if _PREVIOUS_SCALE in tensors:
            previous = tensors.pop(_PREVIOUS_SCALE)
            if previous.dtype != torch.float32 or previous.shape != (1, 3, *self.sizes[len(self.finished) - 1]):
                raise ValueError(f"{_PREVIOUS_SCALE} is {previous.dtype} of {tuple(previous.shape)}")
            self._previous = previous.to(self._setup.network.runtime.device)
        frames = tensors.pop(_FRAMES, None)
        if self._frames is not None and frames is not None:
            self._frames.load_state(frames, metadata["frames"])
        if metadata["optimization"] is not None:
            self._optimization = self._new_optimization()
            self._optimization.load_state(tensors, metadata["optimization"])

    def save(self) -> bool:
        """Write the checkpoint and then the current image; False if there is no image yet."""
        if self._optimization is None and self._previous is None:
            return False
        self.write_checkpoint()
        save_image(self._job.out, self._current_image(self.sizes[-1]))
        return True

    def write_checkpoint(self) -> None:
        """Write what `resume` needs."""
        tensors, optimization = self._optimization.state() if self._optimization else ({}, None)
        frames = None
        if self._previous is not None:
            tensors[_PREVIOUS_SCALE] = self._previous
        if self._frames is not None and self._frames.images:
            tensors[_FRAMES], frames = self._frames.state()
        metadata = {
            "kind": "checkpoint", "checkpoint_version": CHECKPOINT_VERSION, "identity": self._identity(),
            "sizes": to_json(self.sizes), "finished": to_json(self.finished),
            "scale_s": self._scale_s, "optimization": optimization, "frames": frames,
        }  # fmt: skip
        write_tensors(self._job.checkpoint, tensors, metadata)

    def _run_scale(self, bar: output.Progress) -> None:
        """Optimize at the current size and continue with the next."""
        self._poll()
        started = self._timed_until = time.monotonic()
        if self._optimization is None:
            self._optimization = self._new_optimization()
        optimization, first_step = self._optimization, self._optimization.steps
        if not self.finished and first_step == 0:
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
        self._previous, self._optimization = self._cropped(optimization.best), None
        seconds, self._scale_s = round(self._scale_s, 3), 0.0
        self.finished.append(FinishedScale(self._size, optimization.steps, seconds, optimization.losses))

    def _add_frame(self) -> None:
        """Add the image so far to the animation, if there is one and it is the turn of a frame."""
        if self._frames is not None:
            self._frames.add(self._current_frame)

    def _current_frame(self) -> Pixels:
        size = self.sizes[-1]
        return self._current_image(scaled_to(size, min(max(size), MAX_FRAME_SIDE))).values

    @property
    def _size(self) -> Size:
        return self.sizes[len(self.finished)]

    @property
    def _elapsed_s(self) -> float:
        """Seconds spent on all scales."""
        return sum(scale.seconds for scale in self.finished) + self._scale_s

    def _add_time(self) -> None:
        """Count the time since the last call."""
        now = time.monotonic()
        self._scale_s += now - self._timed_until
        self._timed_until = now

    def _new_optimization(self) -> ImageOptimization:
        """An optimization at the current size, before its first step."""
        setup, initial = self._setup, F.pad(self._initial(), (self._margin,) * 4, mode="reflect")
        loss = self._targets.loss(self._size, self._margin)
        if setup.is_notes:
            return ImageOptimization(loss, initial, setup.recipe, deadline=self._deadline())
        return ImageOptimization(
            loss, initial, setup.recipe, bounds=setup.network.bounds, stops_early=True, deadline=self._deadline(),
            gradient_scale=initial.numel(),
        )  # fmt: skip

    def _initial(self) -> Tensor:
        """The normalized image that a scale starts from: the previous result enlarged, or that of `--start`."""
        setup, size = self._setup, self._size
        if self._previous is not None:
            larger = F.interpolate(self._previous, size, mode="bicubic", antialias=True)
            return larger if setup.is_notes else larger.clamp(*setup.network.bounds)
        if setup.config.start == "noise":
            generator = torch.Generator().manual_seed(setup.config.seed)
            return setup.network.normalized((0.5 + 0.2 * torch.randn(1, 3, *size, generator=generator)).clamp(0, 1))
        return self._targets.normalized(setup.start or self._content, size)

    def _cropped(self, image: Tensor) -> Tensor:
        """An image without its margin."""
        height, width = self._size
        return image[..., self._margin : self._margin + height, self._margin : self._margin + width]

    def _deadline(self) -> float:
        """When the current scale must end: the remaining budget is divided by the number of pixels of each scale."""
        if self._setup.budget_s is None:
            return math.inf
        areas = [height * width for height, width in self.sizes[len(self.finished) :]]
        return time.monotonic() + max(self._setup.budget_s - self._elapsed_s, 0.0) * areas[0] / sum(areas)

    def _fraction(self) -> float:
        """The fraction that is done, of pixels times steps or of the time budget."""
        areas, index = [height * width for height, width in self.sizes], len(self.finished)
        steps = self._optimization.steps / self._setup.recipe.steps if self._optimization else 0.0
        fraction = (sum(areas[:index]) + areas[index] * steps) / sum(areas)
        budget_s = self._setup.budget_s
        return max(fraction, min(self._elapsed_s / budget_s, 1.0)) if budget_s else fraction

    def _current_image(self, size: Size) -> LoadedImage:
        """The best image so far, scaled to (H, W)."""
        best = self._cropped(self._optimization.best) if self._optimization else self._previous
        if best is None:
            raise RuntimeError("no scale has started")
        setup = self._setup
        return output_image(setup.network.pixels(best), self._content, size, preserve_color=setup.config.preserve_color)

    def _identity(self) -> dict[str, Any]:
        """What an interrupted and a resumed run must have in common: options that change the image, and pixels."""
        setup, config, network = self._setup, self._setup.config, self._setup.network
        options = reported_options(config, setup.recipe)
        identity = {
            **{name: value for name, value in options.items() if name not in _NOT_COMPARED},
            "backbone": config.backbone,
            "weights": config.weights,
            "network": file_sha256(EMBEDDED_MODEL) if config.backbone == EMBEDDED_NAME else None,  # differs by version
            "seed": config.seed,
            "precision": network.runtime.precision,
            "layers": {"content": network.layers.content, "style": network.layers.style},
            "ratio": self._ratio,
            "content": self._content.digest,
            "styles": [(style.digest, style.weight) for style in setup.styles],
            "start_image": setup.start and setup.start.digest,
            "masks": setup.masks and setup.masks.digest,
        }
        return dict(to_json(identity))


def pyramid_sizes(content_size: Size, longer_side: int, scales: int, min_side: int) -> list[Size]:
    """Sizes (H, W) from coarse to fine, each twice the one before; those too small for the network are left out.

    >>> pyramid_sizes((600, 900), 384, scales=4, min_side=16)
    [(64, 96), (128, 192), (256, 384)]
    """
    longer_sides = [round(longer_side / 2 ** (scales - 1 - i)) for i in range(scales)]
    *smaller, largest = [scaled_to(content_size, side) for side in longer_sides]
    return [size for size in smaller if max(size) >= _MIN_LONGER_SIDE and min(size) >= min_side] + [largest]


def reported_options(config: StyleTransferConfig, recipe: StyleRecipe) -> dict[str, Any]:
    """The options of a call as JSON values, with those that the recipe sets."""
    options = to_json(config) | to_json(recipe)
    return {name: options[name] for name in _REPORTED_OPTIONS}


def _status(size: Size, optimization: ImageOptimization, steps_per_s: float) -> str:
    where = f"{size[1]}x{size[0]}  step {optimization.steps}"
    return f"{where}  loss {optimization.lowest:.4g}  {steps_per_s:.1f}/s"
