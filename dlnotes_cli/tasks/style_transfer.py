"""Style transfer: pictures painted in the style of others."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from dlnotes_cli import files, output, plots
from dlnotes_cli.configs.recipes import BEST_PAINTING, NOTES_PAINTING, with_recipe
from dlnotes_cli.configs.style_transfer import StyleTransferConfig
from dlnotes_cli.data.paths import user_path
from dlnotes_cli.data.photographs import drawing, photograph
from dlnotes_cli.data.picture import FORMATS, Picture
from dlnotes_cli.data.walk import find_pictures
from dlnotes_cli.device import choose_machine
from dlnotes_cli.errors import InputError, StoppedError
from dlnotes_cli.stopping import StopRequest
from dlnotes_cli.tasks.style_memory import affordable
from dlnotes_cli.tasks.style_network import load_viewer
from dlnotes_cli.tasks.style_painter import Job, Painter
from dlnotes_cli.tasks.style_pictures import Canvas, read_canvas, resized

_ENDINGS = (".png", ".jpg", ".jpeg", ".webp")
_DRAWN = 512  # pixels on the longer side of our own drawing


@dataclass(frozen=True)
class StyleResult:
    """What was painted; `fields` is what `--json` shows."""

    fields: dict[str, Any]


def style_transfer(config: StyleTransferConfig) -> StyleResult:
    """Paint every content in the style of others (Gatys, Ecker and Bethge 2016).

    Raises InputError before anything is painted where options, pictures, weights or memory are not right;
    UnfinishedError where the loss stops being a number; StoppedError after a signal, with the picture so far saved.
    """
    started = time.monotonic()
    config = with_recipe(config, NOTES_PAINTING if config.recipe == "notes" else BEST_PAINTING)
    if config.lr is None:
        config = replace(config, lr=1.0 if config.optimizer == "lbfgs" else 0.02)
    contents = _contents(config)
    plan = _plan(config, contents)
    styles = _styles(config)
    start = None if config.init in {"content", "noise"} else read_canvas(user_path(config.init), config.max_pixels)
    machine = choose_machine(config.device, config.precision, config.threads, bf16_pays=True)
    viewer = load_viewer(config, machine)
    results, shown = [], []
    canvases = [_checked(config, content) for content in contents]
    sizes = [affordable(config, viewer, canvas) for canvas in canvases]
    with StopRequest() as stop:
        for canvas, size, targets in zip(canvases, sizes, plan, strict=True):
            for ratio, out in targets:
                job = Job(canvas, styles, start, ratio, out, FORMATS[out.suffix.lower()])
                painter = Painter(config, viewer, job, size, stop.poll)
                files.make_folder("--out", out.parent)
                shown.append((f"ratio {ratio:g}", _paint(painter, out)))
                results.append(_described(painter, job))
    fields: dict[str, Any] = {
        **machine.as_json(),
        "backbone": config.backbone,
        "weights": viewer.weights,
        "content_layer": viewer.content,
        "style_layers": viewer.styles,
        "seed": config.seed,
        "styles": [{"file": canvas.name, "weight": weight} for canvas, weight in styles],
        "results": results,
        "sheet": None,
        "timing": {"total_s": round(time.monotonic() - started, 3)},
    }
    if config.sheet is not None:
        files.atomic_write(config.sheet, _sheet(canvases[-1], styles, shown))
        fields["sheet"] = str(config.sheet)
    return StyleResult(fields)


def _paint(painter: Painter, out: Path) -> Picture:
    try:
        return painter.paint()
    except StoppedError as request:
        painter.save()
        what = f"the picture so far is saved as {out}"
        raise StoppedError(request.exit_code, what, "go on with the same command and --resume") from request


def _described(painter: Painter, job: Job) -> dict[str, Any]:
    return {
        "content": job.content.name,
        "out": str(job.out),
        "size": list(painter.size),
        "ratio": job.ratio,
        "seconds": round(painter.progress.elapsed_s, 3),
        "scales": painter.progress.scales,
    }


def _contents(config: StyleTransferConfig) -> list[Path | None]:
    """The pictures to paint; None stands for scikit-learn's photograph."""
    if config.content is None:
        return [None]
    path = user_path(config.content)
    if not path.is_dir():
        return [path]
    found: list[Path | None] = list(find_pictures(path))
    if not found:
        raise InputError("--content", f"{path} is a folder without pictures", "give another")
    return found


def _checked(config: StyleTransferConfig, content: Path | None) -> Canvas:
    canvas = read_canvas(content or photograph("china.jpg", "--content"), config.max_pixels)
    canvas.sized(config.size)
    return canvas


def _styles(config: StyleTransferConfig) -> list[tuple[Canvas, float]]:
    if not config.style:
        return [(Canvas("drawing", Picture(drawing(_DRAWN * 3 // 4, _DRAWN))), 1.0)]
    found = []
    for word in config.style:
        name, colon, weight = word.rpartition(":")
        if not colon or user_path(word).exists():
            name, weight = word, "1"
        try:
            value = float(weight)
        except ValueError:
            name, value = word, 1.0
        if not 0 < value < float("inf"):
            raise InputError("--style", f"{weight} is no weight of {name}", "give a number above 0")
        found.append((read_canvas(user_path(name), config.max_pixels), value))
    return found


def _plan(config: StyleTransferConfig, contents: Sequence[Path | None]) -> list[list[tuple[float, Path]]]:
    """For each content its ratios, and where each painting goes. Raises InputError where that cannot be."""
    if config.sweep_ratio and config.sheet is None:
        raise InputError("--sweep-ratio", "is shown on a sheet", "add --sheet sheet.png")
    ratios = config.sweep_ratio or (config.ratio or 0.0,)
    if not all(0 < ratio < float("inf") for ratio in ratios):
        raise InputError("--sweep-ratio", "a ratio is not above 0", "give numbers like 1e-3,1e-2")
    out = config.out
    is_folder = out.is_dir() or not out.suffix
    if len(contents) > 1 and not is_folder:
        raise InputError("--out", f"{out} is one file for {len(contents)} pictures", "give a folder")
    plan = []
    for content in contents:
        path = out / f"{(content or Path('china')).stem}.png" if is_folder else out
        paths = [path.with_stem(f"{path.stem}-ratio-{ratio:g}") for ratio in ratios] if config.sweep_ratio else [path]
        plan.append(list(zip(ratios, paths, strict=True)))
    paths = [path for targets in plan for _, path in targets]
    for path in paths:
        if path.suffix.lower() not in _ENDINGS:
            raise InputError("--out", f"'{path.suffix}' cannot be written", f"use {', '.join(_ENDINGS)}, or a folder")
        if not config.goes_on:
            files.check_output_file("--out", path, overwrite=config.overwrite, made=out if is_folder else None)
    if len(set(paths)) < len(paths):
        raise InputError("--out", "two results would have one name", "rename one of the pictures")
    if config.sheet is not None:
        files.check_png("--sheet", config.sheet)
        files.check_output_file("--sheet", config.sheet, overwrite=config.overwrite)
    return plan


def _sheet(content: Canvas, styles: Sequence[tuple[Canvas, float]], shown: Sequence[tuple[str, Picture]]) -> bytes:
    """Content, styles and the paintings of one content side by side."""
    pictures = [("content", content.picture.values), *(("style", canvas.picture.values) for canvas, _ in styles)]
    pictures += [(name, picture.values) for name, picture in shown]
    size = shown[-1][1].values.shape[:2]
    reduced = [
        (name, resized(values, Canvas(name, Picture(values)).sized_at_least(max(size)))) for name, values in pictures
    ]
    return plots.side_by_side(reduced)


def warn_of_defaults(config: StyleTransferConfig) -> None:
    """Say what stands in for pictures that were not named."""
    if config.content is None:
        output.note("content  china.jpg, a photograph of scikit-learn's")
    if not config.style:
        output.note("style    a drawing made here")
