"""One picture painted from coarse to fine: targets, start and losses at each size, saved so far when it is stopped."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812  # PyTorch's own abbreviation
from torch import Tensor

from dlnotes_cli import files, output
from dlnotes_cli.configs.recipes import given
from dlnotes_cli.configs.style_transfer import StyleTransferConfig
from dlnotes_cli.data.picture import Picture
from dlnotes_cli.errors import InputError
from dlnotes_cli.tasks.style_network import Viewer
from dlnotes_cli.tasks.style_pictures import Canvas, finished, write_painting
from dlnotes_cli.training.checkpoint import read_tensors, write_tensors
from dlnotes_cli.training.style import PaintOptions, Scaling, Target, Weights, paint, style_grams

_COARSEST = 64  # pixels on the longer side below which no scale is painted
_STATE = ".state.safetensors"
_PARTS = ("total", "content", "style", "variation")


@dataclass(frozen=True)
class Job:
    """A picture to paint."""

    content: Canvas
    styles: Sequence[tuple[Canvas, float]]
    start: Canvas | None  # None: the content, or noise
    ratio: float
    out: Path
    format: str


@dataclass
class Progress:
    """How far a painting has come; all of it is saved."""

    scale: int = 0
    step: int = 0  # of that scale
    elapsed_s: float = 0.0
    scales: list[dict[str, Any]] = field(default_factory=list)  # those that are done


class Painter:
    """Paints one job; `poll` raises to stop between two steps."""

    def __init__(
        self, config: StyleTransferConfig, viewer: Viewer, job: Job, size: int, poll: Callable[[], None]
    ) -> None:
        self._config, self._viewer, self._job, self._poll = config, viewer, job, poll
        count = given(config.scales)
        longer = [round(size / 2 ** (count - 1 - i)) for i in range(count)]
        self.sizes = [job.content.sized(side) for side in longer if side >= min(_COARSEST, size)]
        self.progress = Progress()
        self._best: Tensor | None = None  # scaled, of the scale that is painted
        self._state = job.out.with_name(job.out.name + _STATE)

    @property
    def size(self) -> tuple[int, int]:
        """(H, W) of the result."""
        return self.sizes[-1]

    def paint(self) -> Picture:
        """The finished picture, written; its losses are in `progress`."""
        if self._config.goes_on:
            self._take_up()
        with output.progress(f"paint {self._job.out.name}") as bar:
            while self.progress.scale < len(self.sizes):
                self._paint_scale(bar)
        picture = self._picture()
        write_painting(self._job.out, picture, self._job.format)
        files.remove(self._state)
        return picture

    def save(self) -> None:
        """Write the picture so far, and where it stands."""
        if self._best is None:
            return
        write_painting(self._job.out, self._picture(), self._job.format)
        standing = {"kind": "painting", "identity": self._identity(), "progress": vars(self.progress)}
        write_tensors(self._state, {"picture": self._best}, standing)

    def _paint_scale(self, bar: output.Progress) -> None:
        progress, config = self.progress, self._config
        size, done, started = self.sizes[progress.scale], progress.step, time.monotonic()
        before = progress.elapsed_s
        recorded = self._recorded(size)

        def after(step: int, best: Tensor, loss: float) -> None:
            self._best, progress.step = best, done + step
            progress.elapsed_s = before + time.monotonic() - started
            rate = step / max(time.monotonic() - started, 1e-9)
            bar.update(
                self._fraction(), lambda: f"{size[1]}x{size[0]}  step {progress.step}  loss {loss:.4g}  {rate:.1f}/s"
            )
            if config.save_every and progress.step % config.save_every == 0:
                self.save()
            self._poll()

        start = self._start(size)
        self._best = start
        options = PaintOptions(
            given(config.optimizer), given(config.lr), max(given(config.steps) - done, 1),
            settles=config.recipe == "best", deadline=self._deadline(),
        )  # fmt: skip
        bounds = self._viewer.scale.bounds if config.recipe == "best" else None
        painted = paint(self._viewer, self._target(size), start, bounds, options, after)
        self._best = painted.picture
        for i, part in enumerate(_PARTS):
            recorded["losses"][part] += [losses[i] for losses in painted.losses]
        recorded["steps"] = len(recorded["losses"]["total"])
        recorded["seconds"] = round(progress.elapsed_s - before, 3)
        progress.scales.append(recorded)
        progress.scale, progress.step = progress.scale + 1, 0

    def _recorded(self, size: tuple[int, int]) -> dict[str, Any]:
        return {"size": list(size), "steps": 0, "seconds": 0.0, "losses": {part: [] for part in _PARTS}}

    def _start(self, size: tuple[int, int]) -> Tensor:
        """What a scale begins with: the one before it, or what `--init` says."""
        scale, device = self._viewer.scale, self._viewer.machine.device
        if self._best is not None:
            if self._best.shape[2:] == size:
                return self._best
            larger = F.interpolate(self._best, size, mode="bicubic", antialias=True)
            return larger.clamp(*scale.bounds) if self._config.recipe == "best" else larger
        if self._config.init == "noise":
            generator = torch.Generator().manual_seed(self._config.seed)
            noise = 0.5 + 0.2 * torch.randn(1, 3, *size, generator=generator)
            return scale(noise.clamp(0, 1).to(device))
        return scale((self._job.start or self._job.content).pixels(size).to(device))

    @torch.no_grad()
    def _target(self, size: tuple[int, int]) -> Target:
        viewer, config = self._viewer, self._config
        device = viewer.machine.device
        scaling: Scaling = "notes" if config.recipe == "notes" else "relative"
        content = viewer(viewer.scale(self._job.content.pixels(size).to(device)))[viewer.content].float()
        whole = sum(weight for _, weight in self._job.styles)
        grams: dict[str, Tensor] = {}
        for canvas, weight in self._job.styles:
            shown = canvas.pixels(canvas.sized_at_least(max(size) * config.style_scale)).to(device)
            if scaling == "notes":  # the notebook stretches the style to the content's size
                shown = canvas.pixels(size).to(device)
            for name, found in style_grams(viewer(viewer.scale(shown)), viewer.styles, scaling).items():
                grams[name] = grams.get(name, 0) + found * (weight / whole)
        alpha, beta = (1.0, 1 / self._job.ratio) if scaling == "notes" else (self._job.ratio, 1.0)
        return Target(viewer.content, content, grams, Weights(alpha, beta, given(config.tv), viewer.styles), scaling)

    def _deadline(self) -> float:
        """When this scale must end: what is left of the budget, shared by the number of pixels."""
        if self._config.time_budget is None:
            return math.inf
        left = self._config.time_budget - self.progress.elapsed_s
        areas = [height * width for height, width in self.sizes[self.progress.scale :]]
        return time.monotonic() + max(left, 0.0) * areas[0] / sum(areas)

    def _fraction(self) -> float:
        """Of the work, by pixels and steps, or of the time."""
        areas = [height * width for height, width in self.sizes]
        place = min(self.progress.step / given(self._config.steps), 1.0)
        done = (sum(areas[: self.progress.scale]) + areas[self.progress.scale] * place) / sum(areas)
        budget = self._config.time_budget
        return max(done, min(self.progress.elapsed_s / budget, 1.0)) if budget else done

    def _picture(self) -> Picture:
        if self._best is None:
            raise ValueError("nothing is painted yet")
        pixels = self._viewer.scale.back(self._best)
        return finished(pixels, self._job.content, self.size, preserve_color=self._config.preserve_color)

    def _identity(self) -> dict[str, Any]:
        """What must be the same for a painting to go on."""
        config = self._config.as_json()
        names = ("backbone", "style_scale", "recipe", "scales", "optimizer", "pooling", "tv", "seed")
        pictures = [self._job.content.name, *(canvas.name for canvas, _ in self._job.styles)]
        layers = {"content": self._viewer.content, "styles": self._viewer.styles, "weights": self._viewer.weights}
        sizes = [list(size) for size in self.sizes]
        return {**{name: config[name] for name in names}, **layers, "pictures": pictures, "sizes": sizes,
                "ratio": self._job.ratio}  # fmt: skip

    def _take_up(self) -> None:
        if not self._state.exists():
            what = f"there is nothing to go on with: no {self._state}"
            raise InputError("--resume", what, "drop --resume")
        tensors, card = read_tensors(self._state)
        if card.get("identity") != self._identity():
            what = f"{self._job.out} was painted with other pictures or options"
            raise InputError("--resume", what, "give the same, or drop --resume")
        self.progress = Progress(**card["progress"])
        self._best = tensors["picture"].to(self._viewer.machine.device)
