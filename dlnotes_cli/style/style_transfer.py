"""Neural style transfer: plan the images, stylize each, and return a typed result."""

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dlnotes_cli.data.images.image_io import LoadedImage, read_image
from dlnotes_cli.data.images.sample_images import generated_image
from dlnotes_cli.device import choose_runtime
from dlnotes_cli.plots.images import draw_side_by_side
from dlnotes_cli.shell import files, output
from dlnotes_cli.shell.codec import to_json
from dlnotes_cli.shell.errors import DiskFullError, InputError, StoppedError, UnfinishedError
from dlnotes_cli.shell.stopping import StopRequest
from dlnotes_cli.style.feature_network import check_layers, load_feature_network
from dlnotes_cli.style.gram_sheet import draw_grams
from dlnotes_cli.style.images import (
    InputImage,
    Size,
    StyleImage,
    check_scaled_size,
    read_input_image,
    resized,
    scaled_to,
)
from dlnotes_cli.style.masks import read_masks
from dlnotes_cli.style.memory_forecast import MemoryForecast, size_that_fits
from dlnotes_cli.style.objective import TargetBuilder
from dlnotes_cli.style.options import StyleTransferConfig
from dlnotes_cli.style.plan import SAMPLE_CONTENT, ContentPlan, StylePlan, make_plan
from dlnotes_cli.style.recipes import StyleRecipe, style_recipe
from dlnotes_cli.style.results import StyleResult, StyleTiming, StylizedImage, WeightedStyle
from dlnotes_cli.style.setup import StyleSetup, Stylization
from dlnotes_cli.style.stylizer import Stylizer, checkpoint_file, pyramid_sizes, stored_options
from dlnotes_cli.training.recipes import with_recipe

_GENERATED_STYLE = "generated"  # in JSON results
_GENERATED_SIZE = (384, 512)  # (H, W)
_RESUMED_OPTIONS = (  # whose defaults depend on `--recipe` or `--backbone`
    "optimizer", "lr", "steps", "scales", "ratio", "tv", "pooling", "content_layer", "style_layers",
)  # fmt: skip
_REPORTED_OPTIONS = (  # needed to repeat a call
    "recipe", "size", "scales", "steps", "optimizer", "lr", "tv", "pooling", "style_scale", "preserve_color", "start",
    "content_loss", "match_color", "mask", "tile",
)  # fmt: skip


@dataclass(frozen=True)
class _SheetRow:
    """A content image, and the images made from it: their results and pixels."""

    title: str
    content: InputImage
    results: Sequence[tuple[StylizedImage, LoadedImage]]


def style_transfer(config: StyleTransferConfig) -> StyleResult:
    """Stylize every content image (Gatys, Ecker and Bethge, CVPR 2016).

    Raises InputError before the first step for bad options, images or weights and for lack of memory; UnfinishedError
    if the loss is not finite, and StoppedError after a signal, both with the current image saved.
    """
    started = time.monotonic()
    check_layers(config)
    _check_precision(config)
    plan = make_plan(config)
    _note_defaults(config)
    config = _with_stored_options(config, plan)
    recipe = style_recipe(config)
    setup = _load_setup(config, recipe, plan)
    rows = _stylize_all(setup, plan)
    if config.gram is not None:
        files.atomic_write(config.gram, _gram_sheet(setup, rows[0]))
    total_s = time.monotonic() - started
    if config.sheet is not None:
        files.atomic_write(config.sheet, _contact_sheet(rows, setup.styles, config.size))
    return StyleResult(
        runtime=setup.network.runtime.info,
        backbone=config.backbone,
        weights=setup.network.weights,
        content_layer=setup.network.layers.content,
        style_layers=dict(setup.network.layers.style),
        options=_reported_options(config, recipe),
        seed=config.seed,
        styles=[WeightedStyle(style.image.name, style.weight) for style in setup.styles],
        images=[image for row in rows for image, _ in row.results],
        sheet=config.sheet,
        gram=config.gram,
        animation=config.animate if config.animate is not None and config.animate.exists() else None,
        timing=StyleTiming(round(total_s, 3)),
    )


def _check_precision(config: StyleTransferConfig) -> None:
    """Refuse fp16. Raises InputError."""
    if config.precision == "fp16":
        raise InputError("--precision", "Gram matrices exceed the range of fp16", "use bf16 or fp32")


def _note_defaults(config: StyleTransferConfig) -> None:
    """Print what stands in for images, or a ratio, that are not named; if one image is named, how to name the other."""
    if config.content is None:
        fix = "; --content FILE sets another" if config.style else ""
        output.status("content", f"{SAMPLE_CONTENT}, a sample image of scikit-learn{fix}")
    if config.content_loss == "half-sum" and config.ratio is None and not config.sweep_ratio:
        output.note("half-sum is the mean times half the layer's number of values; set a --ratio smaller by as much")
    if not config.style:
        fix = "; --style FILE sets another" if config.content else ""
        output.status("style", f"a generated image{fix}")


def _with_stored_options(config: StyleTransferConfig, plan: StylePlan) -> StyleTransferConfig:
    """With `--continue`, the options that the interrupted run had where this call sets none.

    Its defaults may have been others: they depend on the version of dlnotes.
    """
    checkpoint = next((path for path in map(checkpoint_file, plan.output_paths) if path.exists()), None)
    if not config.continue_run or checkpoint is None:
        return config
    stored = stored_options(checkpoint)
    if any(stored.get(name) != getattr(config, name) for name in ("backbone", "recipe")):
        return config  # refused when the checkpoint is resumed
    names = [name for name in _RESUMED_OPTIONS if name in stored and getattr(config, name) in {None, ()}]
    return replace(config, **{name: stored[name] for name in names if name != "ratio" or not config.sweep_ratio})


def _load_setup(config: StyleTransferConfig, recipe: StyleRecipe, plan: StylePlan) -> StyleSetup:
    """Read the style images and the one to start from, and load the network, after all that can fail sooner."""
    styles = [StyleImage(read_input_image(path, config.max_pixels), weight) for path, weight in plan.styles]
    if not styles:
        styles = [StyleImage(InputImage(_GENERATED_STYLE, LoadedImage(generated_image(*_GENERATED_SIZE))), 1.0)]
    masks = read_masks(plan.masks, plan.contents[0].size, styles[0].image.size, config.max_pixels)
    start = None if plan.start is None else read_input_image(plan.start, config.max_pixels)
    runtime = choose_runtime(config.device, config.precision, config.threads, bf16_pays=True)
    network = load_feature_network(config, recipe.pooling, runtime)
    budget_s = config.time_budget and config.time_budget / len(plan.output_paths)
    return StyleSetup(config, recipe, network, styles, start, budget_s, masks)


def _stylize_all(setup: StyleSetup, plan: StylePlan) -> list[_SheetRow]:
    """One row per content image; memory is checked for all of them before the first step."""
    max_pixels, rows = setup.config.max_pixels, []
    longer_sides = _longer_sides(setup, plan.contents)
    _note_scales_left_out(setup, plan.contents, longer_sides)
    with StopRequest() as stop:
        for planned, longer_side in zip(plan.contents, longer_sides, strict=True):
            content = planned.content.read(max_pixels)
            title = planned.content.path.name if len(plan.contents) > 1 else "content"
            jobs = [
                Stylization(content, ratio or setup.recipe.ratio, longer_side, path) for path, ratio in planned.outputs
            ]
            rows.append(_SheetRow(title, content, [_stylize(setup, job, stop.poll) for job in jobs]))
    return rows


def _note_scales_left_out(setup: StyleSetup, contents: Sequence[ContentPlan], longer_sides: Sequence[int]) -> None:
    """Print one note if `--scales` asks for sizes that are too small for an image."""
    asked, min_side = setup.config.scales, setup.network.min_side
    if asked is None:
        return
    counts = [
        len(pyramid_sizes(planned.size, longer_side, asked, min_side))
        for planned, longer_side in zip(contents, longer_sides, strict=True)
    ]
    if min(counts) < asked:
        fewest, most = min(counts), max(counts)
        allowed = f"{fewest}" if fewest == most else f"{fewest} to {most}"
        output.note(f"--scales {asked}: this size allows {allowed}; smaller sizes are left out")


def _longer_sides(setup: StyleSetup, contents: Sequence[ContentPlan]) -> list[int]:
    """Pixels on the longer side of each result: `--size`, or less if that does not fit in memory."""
    config, network = setup.config, setup.network
    style_sizes = [style.image.size for style in setup.styles]
    regions = len(setup.masks.names()) if setup.masks else 0
    forecast = MemoryForecast(network, setup.recipe, config, style_sizes, regions)
    longer_sides = []
    for planned in contents:
        check_scaled_size(planned.content.name, planned.size, config.size, network.min_side)
        longer_side = size_that_fits(config, network, forecast, planned.size)
        check_scaled_size(planned.content.name, planned.size, longer_side, network.min_side)
        longer_sides.append(longer_side)
    return longer_sides


def _stylize(setup: StyleSetup, job: Stylization, poll: Callable[[], None]) -> tuple[StylizedImage, LoadedImage]:
    """Make one image; with `--continue` continue it from its checkpoint, or read it if it is finished."""
    poll()
    has_checkpoint = checkpoint_file(job.out).exists()
    if setup.config.continue_run and job.out.exists() and not has_checkpoint:
        output.note(f"{job.out} is already finished")
        return StylizedImage(job.content.name, job.out, job.ratio), read_image(job.out, "rgb", setup.config.max_pixels)
    stylizer = Stylizer(setup, job, poll)
    files.make_folder("--out", job.out.parent)
    for path in (job.out, checkpoint_file(job.out)):
        files.remove_temporaries_of(path)
    if setup.config.continue_run and has_checkpoint:
        stylizer.resume()
    elif job.out.exists():  # of an earlier call; without a checkpoint, --continue would take it for finished
        stylizer.write_checkpoint()
    pixels = _run_or_save(stylizer, job)
    return stylizer.result, pixels


def _run_or_save(stylizer: Stylizer, job: Stylization) -> LoadedImage:
    """The finished image. Saves the current image and a checkpoint if a signal or an error ends the run."""
    try:
        return stylizer.run()
    except StoppedError as request:
        if not stylizer.save():
            raise
        what, fix = f"the current image is saved as {job.out}", "continue with the same command and --continue"
        raise StoppedError(request.exit_code, what, fix) from request
    except UnfinishedError as failure:
        with suppress(UnfinishedError):  # report the first failure
            stylizer.save()
        if isinstance(failure, DiskFullError) and checkpoint_file(job.out).exists():
            then = "continue with the same command and --continue"
            raise DiskFullError(failure.where, failure.what, failure.remedy, then) from failure
        raise


def _reported_options(config: StyleTransferConfig, recipe: StyleRecipe) -> dict[str, Any]:
    options = to_json(with_recipe(config, recipe))
    return {name: options[name] for name in _REPORTED_OPTIONS}


def _contact_sheet(rows: Sequence[_SheetRow], styles: Sequence[StyleImage], longer_side: int) -> bytes:
    """A PNG: one content image in one row with styles and results; several in a row each, with the styles last."""
    style_cells = [("style", style.image.image.values) for style in styles]
    content_rows = [
        [
            (row.title, row.content.image.values),
            *((f"ratio {image.ratio:g}", pixels.values) for image, pixels in row.results),
        ]
        for row in rows
    ]
    if len(rows) == 1:
        content, *results = content_rows[0]
        return draw_side_by_side(_reduced([content, *style_cells, *results], longer_side))
    cells = [cell for row in content_rows for cell in row]
    return draw_side_by_side(_reduced([*cells, *style_cells], longer_side), per_row=len(content_rows[0]))


def _gram_sheet(setup: StyleSetup, row: _SheetRow) -> bytes:
    """A PNG of Gram matrices: those that the style loss compares with, of the content, and of each result."""
    size: Size = row.results[0][1].values.shape[:2]
    targets = TargetBuilder(setup, Stylization(row.content, 1.0, max(size), row.results[0][0].out))
    columns = [("style", targets.style_grams(size)), ("content", targets.image_grams(row.content, size))]
    for image, pixels in row.results:
        title = "result" if len(row.results) == 1 else f"ratio {image.ratio:g}"
        columns.append((title, targets.image_grams(InputImage(title, pixels), size)))
    return draw_grams(columns, setup.masks.names() if setup.masks else [])


def _reduced(cells: Sequence[tuple[str, NDArray[np.uint8]]], longer_side: int) -> list[tuple[str, NDArray[np.uint8]]]:
    """Titles with images of at most `longer_side` pixels on the longer side."""
    return [
        (title, resized(values, scaled_to(values.shape[:2], min(longer_side, max(values.shape)))))
        for title, values in cells
    ]
