"""Which content images are stylized into which files; all of it is checked before a network is loaded."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dlnotes_cli.data.images.image_io import sample_image
from dlnotes_cli.data.listing import find_images
from dlnotes_cli.data.paths import is_same
from dlnotes_cli.shell import files, output
from dlnotes_cli.shell.errors import InputError
from dlnotes_cli.shell.files import user_path
from dlnotes_cli.shell.parse import items
from dlnotes_cli.style.images import Size, read_input_image
from dlnotes_cli.style.masks import MaskFiles, mask_files
from dlnotes_cli.style.options import StyleTransferConfig

SAMPLE_CONTENT = "china.jpg"  # in scikit-learn, used without --content
_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")
_STARTS = {"content", "noise"}  # values of `--start` that are not files
_CHECKPOINT_SUFFIX = ".state.safetensors"


@dataclass(frozen=True)
class Job:
    """One image to make."""

    content: Path
    name: str  # of the content in reports
    size: Size  # of the content
    longer_side: int  # of the result, in pixels
    ratio: float | None  # content weight / style weight; None: that of the recipe
    out: Path

    @property
    def checkpoint(self) -> Path:
        """Where the checkpoint of an interrupted run is stored, next to its image."""
        return self.out.with_name(self.out.name + _CHECKPOINT_SUFFIX)


@dataclass(frozen=True)
class StylePlan:
    """Everything that one call reads and writes."""

    jobs: Sequence[Job]  # those of a content image follow each other
    styles: Sequence[tuple[Path, float]]  # with their weights; empty: a generated image
    start: Path | None  # None: the content, or noise
    masks: Sequence[MaskFiles]


def make_plan(config: StyleTransferConfig) -> StylePlan:
    """Plan a call.

    Reads each content image once, so that a damaged one is found before the first step. Raises InputError for options
    that contradict each other, unreadable content images, and files that cannot be written.
    """
    contents = _find_contents(config)
    folder = config.out if config.out.is_dir() or not config.out.suffix else None
    if len(contents) > 1 and folder is None:
        raise InputError("--out", f"{config.out} is one file for {len(contents)} images", "use a folder")
    jobs = []
    for path, name, size in contents:
        out = config.out if folder is None else folder / f"{Path(name).stem}.png"
        for ratio in config.sweep_ratio or (config.ratio,):
            file = out.with_stem(f"{out.stem}-ratio-{ratio:g}") if config.sweep_ratio else out
            jobs.append(Job(path, name, size, config.size, ratio, file))
    start = None if config.start in _STARTS else user_path(config.start)
    if start is not None:
        read_input_image(start, config.max_pixels)
    plan = StylePlan(jobs, _style_files(config.style), start, [mask_files(text) for text in config.mask])
    _check_single(config, plan, len(contents))
    _check_files(config, plan, folder)
    return plan


def _check_single(config: StyleTransferConfig, plan: StylePlan, contents: int) -> None:
    """Refuse options that need a single content image, style image or result."""
    styles, results = len(plan.styles), len(plan.jobs)
    if plan.masks and (contents > 1 or styles > 1):
        what = f"fits one content and one style image, and there are {contents} and {styles}"
        raise InputError("--mask", what, "name one of each")
    if config.gram is not None and contents > 1:
        raise InputError("--gram", f"shows one content image, and there are {contents}", "name one content image")
    if config.animate is not None and results > 1:
        raise InputError("--animate", f"shows one result, and {results} are made", "drop it, or make one result")


def _find_contents(config: StyleTransferConfig) -> list[tuple[Path, str, Size]]:
    """The content images with their names in reports and their sizes."""
    path = user_path(config.content) if config.content else sample_image(SAMPLE_CONTENT, "--content")
    contents = []
    for file in find_images(path) if path.is_dir() else [path]:
        try:
            image = read_input_image(file, config.max_pixels, None if config.content else SAMPLE_CONTENT)
        except InputError as error:
            if not config.skip_bad or not path.is_dir():
                raise
            output.warn(f"skipped {error}")
        else:
            contents.append((file, image.name, image.size))
    if not contents:
        raise InputError("--content", f"{path} contains no images", "use another folder")
    return contents


def _style_files(values: Sequence[str]) -> list[tuple[Path, float]]:
    """The files of `--style` with their weights: each value is a file, or FILE:WEIGHT separated by commas."""
    texts = [text for value in values for text in ([value] if user_path(value).exists() else items(value))]
    return [_weighted_file(text) for text in texts]


def _weighted_file(text: str) -> tuple[Path, float]:
    name, colon, weight = text.rpartition(":")
    try:
        value = float(weight)
    except ValueError:
        name, value = text, 1.0
    if not colon or user_path(text).exists():
        name, value = text, 1.0
    if not name or text.endswith(":"):
        raise InputError("--style", f"'{text}' is not FILE:WEIGHT", "write a file, a colon and a weight")
    if not 0 < value < float("inf"):
        raise InputError("--style", f"{weight} is not a valid weight of {name}", "use a number above 0")
    return user_path(name), value


def _check_files(config: StyleTransferConfig, plan: StylePlan, folder: Path | None) -> None:
    """Refuse output files that cannot be written, that overwrite an input, or that share a name."""
    paths, overwrite = [job.out for job in plan.jobs], config.overwrite or config.continue_run
    inputs = [path for path, _ in plan.styles] + [path for pair in plan.masks for path in pair]
    inputs += [user_path(config.content)] if config.content else []
    inputs += [plan.start] if plan.start else []
    for path in paths:
        if path.suffix.lower() not in _SUFFIXES:
            what = f"'{path.suffix}' is not a supported format"
            raise InputError("--out", what, f"use {', '.join(_SUFFIXES)}, or a folder")
        if any(is_same(path, source) or is_same(path.parent, source) for source in inputs):
            raise InputError("--out", f"{path} would overwrite an input, or is in an input folder", "choose another")
        files.check_output_file("--out", path, overwrite=overwrite, made=folder)
    if folder is not None:
        existing = (parent for parent in (folder, *folder.absolute().parents) if parent.exists())
        files.check_writable_folder("--out", next(existing))
    if len(set(paths)) < len(paths):
        raise InputError("--out", "two results would have the same name", "rename one of the content images")
    if config.continue_run and not any(job.out.exists() or job.checkpoint.exists() for job in plan.jobs):
        raise InputError("--continue", f"nothing to resume: no {plan.jobs[0].checkpoint}", "drop --continue")
    others = [*paths, *inputs]
    for option, drawing in (("--sheet", config.sheet), ("--gram", config.gram), ("--animate", config.animate)):
        if drawing is not None:
            if any(is_same(drawing, other) for other in others):
                raise InputError(option, f"{drawing} is also an input or a result", "choose another name")
            files.check_output_file(option, drawing, overwrite=overwrite)
            others.append(drawing)
