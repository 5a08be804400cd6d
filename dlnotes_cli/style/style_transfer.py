"""Neural style transfer: plan the images, stylize each, and return a typed result."""

import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import groupby
from pathlib import Path

from dlnotes_cli.data.images.image_io import LoadedImage, generated_image, read_image
from dlnotes_cli.device import choose_runtime
from dlnotes_cli.shell import files, output
from dlnotes_cli.shell.errors import DiskFullError, InputError, StoppedError, UnfinishedError
from dlnotes_cli.shell.stopping import StopRequest
from dlnotes_cli.style.images import InputImage, read_input_image, scaled_to
from dlnotes_cli.style.masks import read_masks
from dlnotes_cli.style.memory import size_that_fits
from dlnotes_cli.style.network import chosen_layers, load_feature_network
from dlnotes_cli.style.objective import StyleSetup, TargetBuilder
from dlnotes_cli.style.options import StyleTransferConfig, style_recipe
from dlnotes_cli.style.plan import SAMPLE_CONTENT, Job, StylePlan, make_plan
from dlnotes_cli.style.results import StyleResult, StyleTiming, StylizedImage, WeightedStyle
from dlnotes_cli.style.sheets import draw_grams, draw_results
from dlnotes_cli.style.stylizer import Stylizer, pyramid_sizes, reported_options

_GENERATED_STYLE = "generated"  # in JSON results
_GENERATED_SIZE = (384, 512)  # (H, W)

Row = tuple[InputImage, list[tuple[StylizedImage, LoadedImage]]]  # a content image, and what was made from it


def style_transfer(config: StyleTransferConfig) -> StyleResult:
    """Stylize every content image (Gatys, Ecker and Bethge, CVPR 2016).

    Raises InputError before the first step for bad options, images or weights and for lack of memory; UnfinishedError
    if the loss is not finite, and StoppedError after a signal, both with the current image saved.
    """
    started = time.monotonic()
    chosen_layers(config)
    plan = make_plan(config)
    _note_defaults(config)
    setup = _load_setup(config, plan)
    rows = _stylize_all(setup, plan)
    if config.gram is not None:
        files.atomic_write(config.gram, _gram_sheet(setup, rows[0]))
    total_s = time.monotonic() - started
    if config.sheet is not None:
        named_rows = [
            [(Path(content.name).name if len(rows) > 1 else "content", content.image.values)]
            + [(f"ratio {image.ratio:g}", pixels.values) for image, pixels in results]
            for content, results in rows
        ]
        files.atomic_write(config.sheet, draw_results(named_rows, setup.styles))
    return StyleResult(
        runtime=setup.network.runtime.info,
        backbone=config.backbone,
        weights=setup.network.weights,
        content_layer=setup.network.layers.content,
        style_layers=dict(setup.network.layers.style),
        options=reported_options(config, setup.recipe),
        seed=config.seed,
        styles=[WeightedStyle(style.name, style.weight) for style in setup.styles],
        images=[image for _, results in rows for image, _ in results],
        sheet=config.sheet,
        gram=config.gram,
        animation=config.animate if config.animate is not None and config.animate.exists() else None,
        timing=StyleTiming(round(total_s, 3)),
    )


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


def _load_setup(config: StyleTransferConfig, plan: StylePlan) -> StyleSetup:
    """Read the style images and the one to start from, and load the network, after all that can fail sooner."""
    styles = [read_input_image(path, config.max_pixels, weight=weight) for path, weight in plan.styles]
    if not styles:
        styles = [InputImage(_GENERATED_STYLE, LoadedImage(generated_image(*_GENERATED_SIZE)))]
    masks = read_masks(plan.masks, plan.jobs[0].size, styles[0].size, config.max_pixels)
    start = None if plan.start is None else read_input_image(plan.start, config.max_pixels)
    runtime = choose_runtime(config.device, config.precision, config.threads, bf16_pays=True)
    recipe = style_recipe(config)
    network = load_feature_network(config, recipe.pooling, runtime)
    budget_s = config.time_budget and config.time_budget / len(plan.jobs)
    return StyleSetup(config, recipe, network, styles, start, budget_s, masks)


def _stylize_all(setup: StyleSetup, plan: StylePlan) -> list[Row]:
    """One row per content image; memory is checked for all of them before the first step."""
    sides = {job.content: _longer_side(setup, job) for job in {job.content: job for job in plan.jobs}.values()}
    jobs = [replace(job, longer_side=sides[job.content]) for job in plan.jobs]
    _note_scales_left_out(setup, jobs)
    rows: list[Row] = []
    with StopRequest() as stop:
        for (path, name), group in groupby(jobs, lambda job: (job.content, job.name)):
            content = read_input_image(path, setup.config.max_pixels, name)
            made = []
            for job in group:
                stop.poll()
                made.append(_stylize(setup, job, content, stop))
            rows.append((content, made))
    return rows


def _longer_side(setup: StyleSetup, job: Job) -> int:
    """Pixels on the longer side of a result: `--size`, or less if that does not fit in memory."""
    _check_size(setup, job, setup.config.size)
    longer_side = size_that_fits(setup, job.size)
    _check_size(setup, job, longer_side)
    return longer_side


def _check_size(setup: StyleSetup, job: Job, longer_side: int) -> None:
    """Raise InputError where the shorter side of a result has too few pixels for the network."""
    min_side, (height, width) = setup.network.layers.min_side, scaled_to(job.size, longer_side)
    if min(height, width) < min_side:
        what = f"{job.size[1]}x{job.size[0]} would be {width}x{height}, too thin for the feature network"
        raise InputError(job.name, what, f"crop it, or set a --size with {min_side} on the shorter side")


def _note_scales_left_out(setup: StyleSetup, jobs: Sequence[Job]) -> None:
    """Print one note if `--scales` asks for sizes that are too small for an image."""
    asked, min_side = setup.config.scales, setup.network.layers.min_side
    if asked is None:
        return
    counts = {len(pyramid_sizes(job.size, job.longer_side, asked, min_side)) for job in jobs}
    if min(counts) < asked:
        allowed = " to ".join(str(count) for count in sorted({min(counts), max(counts)}))
        output.note(f"--scales {asked}: this size allows {allowed}; smaller sizes are left out")


def _stylize(setup: StyleSetup, job: Job, content: InputImage, stop: StopRequest) -> tuple[StylizedImage, LoadedImage]:
    """Make one image; with `--continue` continue it from its checkpoint, or read it if it is finished."""
    has_checkpoint = job.checkpoint.exists()
    if setup.config.continue_run and job.out.exists() and not has_checkpoint:
        output.note(f"{job.out} is already finished")
        finished = StylizedImage(content.name, job.out, job.ratio or setup.recipe.ratio)
        return finished, read_image(job.out, "rgb", setup.config.max_pixels)
    stylizer = Stylizer(setup, job, content, stop.poll)
    files.make_folder("--out", job.out.parent)
    for path in (job.out, job.checkpoint):
        files.remove_temporaries_of(path)
    if setup.config.continue_run and has_checkpoint:
        stylizer.resume()
    elif job.out.exists():  # of an earlier call; without a checkpoint, --continue would take it for finished
        stylizer.write_checkpoint()
    pixels = _run_or_save(stylizer, job)
    return stylizer.result, pixels


def _run_or_save(stylizer: Stylizer, job: Job) -> LoadedImage:
    """The finished image. Saves the current image and a checkpoint if a signal or an error ends the run."""
    then = "continue with the same command and --continue"
    try:
        return stylizer.run()
    except StoppedError as request:
        if not stylizer.save():
            raise
        raise StoppedError(request.exit_code, f"the current image is saved as {job.out}", then) from request
    except UnfinishedError as failure:
        with suppress(UnfinishedError):  # report the first failure
            stylizer.save()
        if isinstance(failure, DiskFullError) and job.checkpoint.exists():
            raise DiskFullError(failure.where, failure.what, failure.remedy, then) from failure
        raise


def _gram_sheet(setup: StyleSetup, row: Row) -> bytes:
    """A PNG of Gram matrices: those that the style loss compares with, of the content, and of each result."""
    content, results = row
    height, width = results[0][1].values.shape[:2]
    size = (height, width)
    targets = TargetBuilder(setup, content, ratio=1.0)
    columns = [("style", targets.style_grams(size)), ("content", targets.image_grams(content, size))]
    for image, pixels in results:
        title = "result" if len(results) == 1 else f"ratio {image.ratio:g}"
        columns.append((title, targets.image_grams(InputImage(title, pixels), size)))
    return draw_grams(columns, setup.masks.names if setup.masks else [])
