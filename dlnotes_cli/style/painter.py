"""One image painted from coarse to fine: targets, start and losses at each size, saved so far when it is stopped."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812  # PyTorch's own abbreviation
from torch import Tensor

from dlnotes_cli.data.images.image_io import LoadedImage
from dlnotes_cli.shell import files, output
from dlnotes_cli.shell.errors import InputError
from dlnotes_cli.style.images import Canvas, finished, with_longer, with_shorter_at_least, write_painting
from dlnotes_cli.style.losses import Painting, PaintOptions, Scaling, Target, Weights, style_grams
from dlnotes_cli.style.network import Viewer
from dlnotes_cli.style.options import StyleTransferConfig
from dlnotes_cli.training.checkpoint import read_tensors, write_tensors
from dlnotes_cli.training.recipes import given

_COARSEST = 64  # pixels on the longer side below which no scale is painted
_STATE = ".state.safetensors"
_PARTS = ("total", "content", "style", "variation")
_MAY_DIFFER = {  # options that do not change what is painted, and those whose images are compared
    "steps", "time_budget", "device", "threads", "json", "quiet", "verbose", "overwrite", "save_every", "goes_on",
    "sheet", "out", "fit", "offline", "list_layers", "sweep_ratio", "content", "style", "skip_bad", "max_pixels",
}  # fmt: skip


@dataclass(frozen=True)
class Job:
    """An image to paint."""

    content: Canvas
    styles: Sequence[tuple[Canvas, float]]
    start: Canvas | None  # None: the content, or noise
    ratio: float
    out: Path
    format: str


@dataclass
class Progress:
    """How far a painting has come, in scales; all of it is saved."""

    scale: int = 0
    scale_s: float = 0.0  # of the scale that is painted
    elapsed_s: float = 0.0
    scales: list[dict[str, Any]] = field(default_factory=list)  # those that are done


class Painter:
    """Paints one job; `poll` raises to stop between two steps, `budget_s` seconds are for all of it."""

    def __init__(
        self,
        config: StyleTransferConfig,
        viewer: Viewer,
        job: Job,
        size: int,
        poll: Callable[[], None],
        budget_s: float | None = None,
    ) -> None:
        self._config, self._viewer, self._job, self._poll, self._budget_s = config, viewer, job, poll, budget_s
        count = given(config.scales)
        longer = [round(size / 2 ** (count - 1 - i)) for i in range(count)]
        sizes = [with_longer(job.content.size, side) for side in longer]
        self.sizes = [s for s in sizes[:-1] if max(s) >= _COARSEST and min(s) >= viewer.shortest] + sizes[-1:]
        self.progress = Progress()
        self._best: Tensor | None = None  # scaled, what the next scale begins with
        self._painting: Painting | None = None  # of the scale that is painted
        self._stored: tuple[dict[str, Tensor], dict[str, Any]] | None = None  # of a painting that was stopped
        self._state = state_file(job.out)

    @property
    def size(self) -> tuple[int, int]:
        """(H, W) of the result."""
        return self.sizes[-1]

    def paint(self) -> LoadedImage:
        """The finished image, written; its losses are in `progress`."""
        with output.progress(f"paint {self._job.out.name}") as bar:
            while self.progress.scale < len(self.sizes):
                self._paint_scale(bar)
        image = self._image()
        write_painting(self._job.out, image, self._job.format)
        files.remove(self._state)
        return image

    def take_up(self) -> None:
        """Go on where a stopped run was. Raises InputError where that was not this painting."""
        try:
            tensors, metadata = read_tensors(self._state)
        except InputError as error:
            raise InputError(self._state, error.what, "drop --resume, and paint it anew with --overwrite") from error
        if metadata.get("identity") != self._identity():
            what = f"{self._job.out} was painted with other images or options"
            raise InputError("--resume", what, "give the same, or drop --resume")
        self.sizes = [(height, width) for height, width in metadata["sizes"]]
        self.progress = Progress(**metadata["progress"])
        if "image" in tensors:
            self._best = tensors.pop("image").to(self._viewer.runtime.device)
        if metadata["painting"] is not None:
            self._stored = tensors, metadata["painting"]

    def save(self) -> bool:
        """Write the image so far, and where it stands; False where nothing is painted yet."""
        tensors, painting = self._painting.state() if self._painting else (self._stored or ({}, None))
        if self._best is None and painting is None:
            return False
        if self._best is not None:
            tensors = tensors | {"image": self._best}
        write_painting(self._job.out, self._image(), self._job.format)
        standing = {"identity": self._identity(), "sizes": [list(size) for size in self.sizes]}
        where = {"progress": vars(self.progress), "painting": painting}
        write_tensors(self._state, tensors, {"kind": "painting", **standing, **where})
        return True

    def _paint_scale(self, bar: output.Progress) -> None:
        progress, config = self.progress, self._config
        self._poll()
        size, started = self.sizes[progress.scale], time.monotonic()
        elapsed_s, scale_s = progress.elapsed_s, progress.scale_s
        options = PaintOptions(
            given(config.optimizer), given(config.lr), given(config.steps), config.recipe == "best", self._deadline()
        )
        bounds = self._viewer.scale.bounds if config.recipe == "best" else None
        painting = Painting(self._viewer, self._target(size), self._start(size), bounds, options)
        if self._stored is not None:
            painting.restore(*self._stored)
            self._stored = None
        self._painting, first = painting, painting.steps

        def keep_time() -> float:
            spent = time.monotonic() - started
            progress.elapsed_s, progress.scale_s = elapsed_s + spent, scale_s + spent
            return spent

        def after(_painting: Painting) -> None:
            rate = (painting.steps - first) / max(keep_time(), 1e-9)
            what = f"{size[1]}x{size[0]}  step {painting.steps}"
            bar.update(self._fraction(), lambda: f"{what}  loss {painting.lowest:.4g}  {rate:.1f}/s")
            if config.save_every and painting.steps % config.save_every == 0:
                self.save()
            self._poll()

        painting.run(after)
        keep_time()
        progress.scales.append(
            {
                "size": list(size),
                "steps": painting.steps,
                "seconds": round(progress.scale_s, 3),
                "losses": output.finite({part: [look[i] for look in painting.losses] for i, part in enumerate(_PARTS)}),
            }
        )
        self._best, self._painting = painting.best, None
        progress.scale, progress.scale_s = progress.scale + 1, 0.0

    def _start(self, size: tuple[int, int]) -> Tensor:
        """What a scale begins with: the one before it, or what `--init` says."""
        scale, device = self._viewer.scale, self._viewer.runtime.device
        if self._best is not None:
            if self._best.shape[2:] == size:  # of a painting that was stopped
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
        device = viewer.runtime.device
        scaling: Scaling = "notes" if config.recipe == "notes" else "relative"
        content = viewer(viewer.scale(self._job.content.pixels(size).to(device)))[viewer.content].float()
        whole = sum(weight for _, weight in self._job.styles)
        grams: dict[str, Tensor] = {}
        for canvas, weight in self._job.styles:
            looked = with_shorter_at_least(canvas.size, max(size) * config.style_scale, viewer.shortest)
            shown = canvas.pixels(size if scaling == "notes" else looked).to(device)  # the notebook stretches it
            for name, found in style_grams(viewer(viewer.scale(shown)), viewer.styles, scaling).items():
                grams[name] = grams.get(name, 0) + found * (weight / whole)
        alpha, beta = (1.0, 1 / self._job.ratio) if scaling == "notes" else (self._job.ratio, 1.0)
        return Target(viewer.content, content, grams, Weights(alpha, beta, given(config.tv), viewer.styles), scaling)

    def _deadline(self) -> float:
        """When this scale must end: what is left of the budget, shared by the number of pixels."""
        if self._budget_s is None:
            return math.inf
        left = self._budget_s - self.progress.elapsed_s
        areas = [height * width for height, width in self.sizes[self.progress.scale :]]
        return time.monotonic() + max(left, 0.0) * areas[0] / sum(areas)

    def _fraction(self) -> float:
        """Of the work, by pixels and steps, or of the time."""
        areas = [height * width for height, width in self.sizes]
        place = self._painting.steps / given(self._config.steps) if self._painting else 0.0
        done = (sum(areas[: self.progress.scale]) + areas[self.progress.scale] * place) / sum(areas)
        return max(done, min(self.progress.elapsed_s / self._budget_s, 1.0)) if self._budget_s else done

    def _image(self) -> LoadedImage:
        best = self._painting.best if self._painting else self._best
        if best is None:
            best = self._stored[0]["best"] if self._stored else self._start(self.sizes[0])
        pixels = self._viewer.scale.back(best)
        return finished(pixels, self._job.content, self.size, preserve_color=self._config.preserve_color)

    def _identity(self) -> dict[str, Any]:
        """What must be the same for a painting to go on: every option that changes it, and the pixels."""
        job, viewer = self._job, self._viewer
        options = {name: value for name, value in self._config.as_json().items() if name not in _MAY_DIFFER}
        return options | {
            "precision": viewer.runtime.precision,
            "layers": {"content": viewer.content, "styles": viewer.styles},
            "ratio": job.ratio,
            "content": job.content.digest,
            "styles": [[canvas.digest, weight] for canvas, weight in job.styles],
            "start": job.start and job.start.digest,
        }


def state_file(out: Path) -> Path:
    """Where a painting that was stopped is kept."""
    return out.with_name(out.name + _STATE)
