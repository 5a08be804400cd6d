"""Style transfer: images painted in the style of others."""

import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dlnotes_cli import plots
from dlnotes_cli.data.images.image_io import FORMATS, LoadedImage, read_image
from dlnotes_cli.data.images.sample_images import generated_image, sample_image
from dlnotes_cli.data.paths import is_same
from dlnotes_cli.data.walk import find_images
from dlnotes_cli.device import choose_runtime
from dlnotes_cli.shell import files, output
from dlnotes_cli.shell.errors import InputError, StoppedError, UnfinishedError
from dlnotes_cli.shell.files import user_path
from dlnotes_cli.shell.parse import words as split_words
from dlnotes_cli.shell.stopping import StopRequest
from dlnotes_cli.style.images import Canvas, check_size, read_canvas, resized, with_longer
from dlnotes_cli.style.memory import affordable
from dlnotes_cli.style.network import Viewer, load_viewer
from dlnotes_cli.style.options import StyleTransferConfig
from dlnotes_cli.style.painter import Job, Painter, state_file
from dlnotes_cli.training.recipes import BEST_PAINTING, BEST_SMALL_PAINTING, NOTES_PAINTING, PAINTING_RATES, with_recipe

_ENDINGS = (".png", ".jpg", ".jpeg", ".webp")
_INITS = {"content", "noise"}  # what `--init` says beside a file
_OURS = "china.jpg"  # a photograph of scikit-learn's
_DRAWN = 512  # pixels on the longer side of our own drawing
_REPORTED = (  # what it takes to paint the same again
    "recipe", "size", "scales", "steps", "optimizer", "lr", "tv", "pooling", "style_scale", "preserve_color", "init",
)  # fmt: skip


@dataclass(frozen=True)
class StyleResult:
    """What was painted; `fields` is what `--json` shows."""

    fields: dict[str, Any]


@dataclass(frozen=True)
class _Content:
    """An image to paint: where it is (None: scikit-learn's photograph), its size (H, W), and where results go."""

    path: Path | None
    size: tuple[int, int]
    targets: list[tuple[float, Path]]  # ratio and file


def style_transfer(config: StyleTransferConfig) -> StyleResult:
    """Paint every content in the style of others (Gatys, Ecker and Bethge 2016).

    Raises InputError before anything is painted where options, images, weights or memory are not right;
    UnfinishedError where the loss stops being a number and StoppedError after a signal, with the image so far saved.
    """
    started = time.monotonic()
    _note_defaults(config)
    _check_options(config)
    best = BEST_SMALL_PAINTING if config.backbone == "small" else BEST_PAINTING
    config = with_recipe(config, NOTES_PAINTING if config.recipe == "notes" else best, PAINTING_RATES)
    contents = _plan(config, _contents(config))
    styles = _styles(config)
    start = None if config.init in _INITS else read_canvas(user_path(config.init), config.max_pixels)
    runtime = choose_runtime(config.device, config.precision, config.threads, bf16_pays=True)
    viewer = load_viewer(config, runtime)
    sizes = [_size(config, viewer, content, styles) for content in contents]
    budget_s = config.time_budget and config.time_budget / sum(len(content.targets) for content in contents)
    results: list[dict[str, Any]] = []
    shown: list[tuple[str, NDArray[np.uint8]]] = []
    with StopRequest() as stop:
        for content, size in zip(contents, sizes, strict=True):
            canvas = _read(config, content.path)
            shown.append((_title(content, contents), canvas.image.values))
            for ratio, out in content.targets:
                stop.poll()
                if config.goes_on and out.exists() and not state_file(out).exists():
                    output.note(f"{out} is painted already")
                    shown.append((f"ratio {ratio:g}", read_image(out, "rgb", config.max_pixels).values))
                    results.append({"content": canvas.name, "out": str(out), "ratio": ratio, "scales": []})
                    continue
                job = Job(canvas, styles, start, ratio, out, FORMATS[out.suffix.lower()])
                painter = Painter(config, viewer, job, size, stop.poll, budget_s)
                if config.goes_on and state_file(out).exists():
                    painter.take_up()
                files.make_folder("--out", out.parent)
                shown.append((f"ratio {ratio:g}", _paint(painter, out).values))
                results.append(_described(painter, job))
    options = config.as_json()
    fields: dict[str, Any] = {
        **runtime.as_json(),
        "backbone": config.backbone,
        "weights": viewer.weights,
        "content_layer": viewer.content,
        "style_layers": viewer.styles,
        "options": {name: options[name] for name in _REPORTED},
        "seed": config.seed,
        "styles": [{"file": canvas.name, "weight": weight} for canvas, weight in styles],
        "results": results,
        "sheet": None,
        "timing": {"total_s": round(time.monotonic() - started, 3)},
    }
    if config.sheet is not None:
        images = [("style", canvas.image.values) for canvas, _ in styles]
        files.atomic_write(config.sheet, _sheet(shown, images, config.size, per_row=len(contents[0].targets) + 1))
        fields["sheet"] = str(config.sheet)
    return StyleResult(fields)


def _paint(painter: Painter, out: Path) -> LoadedImage:
    try:
        return painter.paint()
    except StoppedError as request:
        if not painter.save():
            raise
        what = f"the image so far is saved as {out}"
        raise StoppedError(request.exit_code, what, "go on with the same command and --resume") from request
    except UnfinishedError:
        with suppress(UnfinishedError):  # the first failure is the one to tell
            painter.save()
        raise


def _described(painter: Painter, job: Job) -> dict[str, Any]:
    return {
        "content": job.content.name,
        "out": str(job.out),
        "size": list(painter.size),
        "ratio": job.ratio,
        "seconds": round(painter.progress.elapsed_s, 3),
        "scales": painter.progress.scales,
    }


def _check_options(config: StyleTransferConfig) -> None:
    """Refuse options that would do nothing beside others."""
    if config.sweep_ratio and config.ratio is not None:
        raise InputError("--ratio", "is one ratio, --sweep-ratio gives several", "drop one of them")
    if config.recipe == "notes" and config.style_scale != 1:
        raise InputError("--style-scale", "does nothing with --recipe notes, which stretches the style", "drop it")
    if config.sweep_ratio and config.sheet is None:
        raise InputError("--sweep-ratio", "is shown on a sheet", "add --sheet sheet.png")
    names = [f"{ratio:g}" for ratio in config.sweep_ratio]
    if len(set(names)) < len(names):
        raise InputError("--sweep-ratio", "gives a ratio twice", "give each once")


def _contents(config: StyleTransferConfig) -> list[tuple[Path | None, tuple[int, int]]]:
    """The images to paint with their sizes (H, W), all of them read once; None is scikit-learn's photograph."""
    if config.content is None:
        return [(None, _read(config, None).size)]
    path = user_path(config.content)
    if not path.is_dir():
        return [(path, _read(config, path).size)]
    found: list[tuple[Path | None, tuple[int, int]]] = []
    for image in find_images(path):
        try:
            found.append((image, _read(config, image).size))
        except InputError as error:
            if not config.skip_bad:
                raise
            output.warn(f"skipped {error}")
    if not found:
        raise InputError("--content", f"{path} is a folder without images", "give another")
    return found


def _read(config: StyleTransferConfig, content: Path | None) -> Canvas:
    if content is not None:
        return read_canvas(content, config.max_pixels)
    return replace(read_canvas(sample_image(_OURS, "--content"), config.max_pixels), name=_OURS)


def _size(
    config: StyleTransferConfig, viewer: Viewer, content: _Content, styles: Sequence[tuple[Canvas, float]]
) -> int:
    """The longer side to paint an image with, which memory does for."""
    name = str(content.path or _OURS)
    check_size(name, content.size, config.size, viewer.shortest)
    size = affordable(config, viewer, content.size, [canvas.size for canvas, _ in styles])
    check_size(name, content.size, size, viewer.shortest)
    return size


def _styles(config: StyleTransferConfig) -> list[tuple[Canvas, float]]:
    if not config.style:
        return [(Canvas("drawing", LoadedImage(generated_image(_DRAWN * 3 // 4, _DRAWN))), 1.0)]
    return [(read_canvas(path, config.max_pixels), weight) for path, weight in _style_files(config)]


def _style_files(config: StyleTransferConfig) -> list[tuple[Path, float]]:
    """The files of `--style` with their weights."""
    words = [part for word in config.style for part in ([word] if user_path(word).exists() else split_words(word))]
    return [_weighted(word) for word in words]


def _weighted(word: str) -> tuple[Path, float]:
    name, colon, weight = word.rpartition(":")
    try:
        value = float(weight)
    except ValueError:
        name, value = word, 1.0
    if not colon or user_path(word).exists():
        name, value = word, 1.0
    if not name or word.endswith(":"):
        raise InputError("--style", f"'{word}' is no FILE:WEIGHT", "give a file, and a weight behind a colon")
    if not 0 < value < float("inf"):
        raise InputError("--style", f"{weight} is no weight of {name}", "give a number above 0")
    return user_path(name), value


def _plan(config: StyleTransferConfig, contents: Sequence[tuple[Path | None, tuple[int, int]]]) -> list[_Content]:
    """Where each painting goes. Raises InputError where that cannot be."""
    out = config.out
    is_folder = out.is_dir() or not out.suffix
    if len(contents) > 1 and not is_folder:
        raise InputError("--out", f"{out} is one file for {len(contents)} images", "give a folder")
    plan = []
    for content, size in contents:
        path = out / f"{(content or Path(_OURS)).stem}.png" if is_folder else out
        targets = [(config.ratio or 0.0, path)]
        if config.sweep_ratio:
            targets = [(ratio, path.with_stem(f"{path.stem}-ratio-{ratio:g}")) for ratio in config.sweep_ratio]
        plan.append(_Content(content, size, targets))
    _check_outputs(config, [path for content in plan for _, path in content.targets], out if is_folder else None)
    return plan


def _check_outputs(config: StyleTransferConfig, paths: Sequence[Path], folder: Path | None) -> None:
    inputs = [path for path, _ in _style_files(config)]
    inputs += [user_path(config.content)] if config.content else []
    inputs += [] if config.init in _INITS else [user_path(config.init)]
    for path in paths:
        if path.suffix.lower() not in _ENDINGS:
            raise InputError("--out", f"'{path.suffix}' cannot be written", f"use {', '.join(_ENDINGS)}, or a folder")
        if any(is_same(path, given) or is_same(path.parent, given) for given in inputs):
            raise InputError("--out", f"{path} would be written over or among what is read", "give another")
        overwrite = config.overwrite or config.goes_on
        files.check_output_file("--out", path, overwrite=overwrite, made=folder)
    if folder is not None:
        above = (place for place in (folder, *folder.absolute().parents) if place.exists())
        files.check_writable_folder("--out", next(above))
    if len(set(paths)) < len(paths):
        raise InputError("--out", "two results would have one name", "rename one of the images")
    if config.goes_on and not any(path.exists() or state_file(path).exists() for path in paths):
        what = f"there is nothing to go on with: no {state_file(paths[0])}"
        raise InputError("--resume", what, "drop --resume")
    if config.sheet is not None:
        files.check_png("--sheet", config.sheet)
        if any(is_same(config.sheet, path) for path in (*paths, *inputs)):
            raise InputError("--sheet", f"{config.sheet} is a painting, or what is read", "give another name")
        files.check_output_file("--sheet", config.sheet, overwrite=config.overwrite or config.goes_on)


def _title(content: _Content, contents: Sequence[_Content]) -> str:
    return content.path.name if content.path and len(contents) > 1 else "content"


def _sheet(
    shown: Sequence[tuple[str, NDArray[np.uint8]]],
    styles: Sequence[tuple[str, NDArray[np.uint8]]],
    longer: int,
    per_row: int,
) -> bytes:
    """Content and paintings side by side: one content with the styles between, or a row for each, then the styles."""
    images = [*shown[:1], *styles, *shown[1:]] if len(shown) == per_row else [*shown, *styles]
    reduced = [
        (name, resized(values, with_longer(values.shape[:2], min(longer, max(values.shape)))))
        for name, values in images
    ]
    return plots.side_by_side(reduced, columns=None if len(shown) == per_row else per_row)


def _note_defaults(config: StyleTransferConfig) -> None:
    """Say what stands in for images that were not named."""
    if config.content is None:
        output.note(f"content  {_OURS}, a photograph of scikit-learn's")
    if not config.style:
        output.note("style    a drawing made here")
