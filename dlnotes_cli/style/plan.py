"""Which content images are stylized into which files; all of it is checked before a network is loaded."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from dlnotes_cli.data.images.sample_images import sample_image
from dlnotes_cli.data.paths import is_same
from dlnotes_cli.data.walk import find_images
from dlnotes_cli.shell import files, output
from dlnotes_cli.shell.errors import InputError
from dlnotes_cli.shell.files import user_path
from dlnotes_cli.shell.parse import items
from dlnotes_cli.style.images import InputImage, Size, read_input_image
from dlnotes_cli.style.masks import MaskFiles, mask_files
from dlnotes_cli.style.options import StyleTransferConfig
from dlnotes_cli.style.stylizer import checkpoint_file

SAMPLE_CONTENT = "china.jpg"  # in scikit-learn, used without --content
_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")
_STARTS = {"content", "noise"}  # values of `--start` that are not files


class WeightedFile(NamedTuple):
    """A style image's path, and its weight among the style images."""

    path: Path
    weight: float


class PlannedImage(NamedTuple):
    """A file to write, and the ratio of content weight to style weight of its image."""

    path: Path
    ratio: float | None  # None: that of the recipe


@dataclass(frozen=True)
class ContentFile:
    """A content image's path, and its name in reports."""

    path: Path
    name: str

    def read(self, max_pixels: int) -> InputImage:
        """The image. Raises InputError as `read_input_image` does."""
        return read_input_image(self.path, max_pixels, self.name)


@dataclass(frozen=True)
class ContentPlan:
    """A content image, its size, and the files that are made from it."""

    content: ContentFile
    size: Size
    outputs: Sequence[PlannedImage]


@dataclass(frozen=True)
class StylePlan:
    """Everything that one call reads and writes."""

    contents: Sequence[ContentPlan]
    styles: Sequence[WeightedFile]  # empty: a generated image
    start: Path | None  # None: the content, or noise
    masks: Sequence[MaskFiles] = ()

    @property
    def output_paths(self) -> list[Path]:
        """All files to write, without the contact sheet."""
        return [out.path for plan in self.contents for out in plan.outputs]


def make_plan(config: StyleTransferConfig) -> StylePlan:
    """Plan a call.

    Reads the size of each content image. Raises InputError for options that contradict each other, unreadable content
    images, and files that cannot be written.
    """
    if config.sweep_ratio and config.ratio is not None:
        raise InputError("--ratio", "cannot be combined with --sweep-ratio", "drop one of them")
    contents = _find_contents(config)
    folder = config.out if config.out.is_dir() or not config.out.suffix else None
    if len(contents) > 1 and folder is None:
        raise InputError("--out", f"{config.out} is one file for {len(contents)} images", "use a folder")
    planned = []
    for content, size in contents:
        path = config.out if folder is None else folder / f"{Path(content.name).stem}.png"
        planned.append(ContentPlan(content, size, _output_files(path, config.sweep_ratio)))
    start = None if config.start in _STARTS else user_path(config.start)
    if start is not None:
        read_input_image(start, config.max_pixels)
    plan = StylePlan(planned, _style_files(config.style), start, [mask_files(text) for text in config.mask])
    _check_single(config, plan)
    _check_files(config, plan, folder)
    return plan


def _check_single(config: StyleTransferConfig, plan: StylePlan) -> None:
    """Refuse options that need a single content image, style image or result."""
    contents, styles, results = len(plan.contents), len(plan.styles), len(plan.output_paths)
    if plan.masks and (contents > 1 or styles > 1):
        what = f"fits one content and one style image, and there are {contents} and {styles}"
        raise InputError("--mask", what, "name one of each")
    if config.gram is not None and contents > 1:
        raise InputError("--gram", f"shows one content image, and there are {contents}", "name one content image")
    if config.animate is not None and results > 1:
        raise InputError("--animate", f"shows one result, and {results} are made", "drop it, or make one result")


def _find_contents(config: StyleTransferConfig) -> list[tuple[ContentFile, Size]]:
    """The content images with their sizes; each is read once, so that a damaged one is found before the first step."""
    if config.content is None:
        sample = ContentFile(sample_image(SAMPLE_CONTENT, "--content"), SAMPLE_CONTENT)
        return [(sample, sample.read(config.max_pixels).size)]
    path = user_path(config.content)
    if not path.is_dir():
        content = ContentFile(path, str(path))
        return [(content, content.read(config.max_pixels).size)]
    contents: list[tuple[ContentFile, Size]] = []
    for image_path in find_images(path):
        content = ContentFile(image_path, str(image_path))
        try:
            contents.append((content, content.read(config.max_pixels).size))
        except InputError as error:
            if not config.skip_bad:
                raise
            output.warn(f"skipped {error}")
    if not contents:
        raise InputError("--content", f"{path} contains no images", "use another folder")
    return contents


def _output_files(path: Path, swept: Sequence[float]) -> tuple[PlannedImage, ...]:
    """The files of one content image: `path`, or one for each swept ratio with the ratio in its name."""
    if not swept:
        return (PlannedImage(path, None),)
    return tuple(PlannedImage(path.with_stem(f"{path.stem}-ratio-{value:g}"), value) for value in swept)


def _style_files(values: Sequence[str]) -> tuple[WeightedFile, ...]:
    """The files of `--style`: each value is a file, or FILE:WEIGHT separated by commas."""
    texts = [text for value in values for text in ([value] if user_path(value).exists() else items(value))]
    return tuple(_weighted_file(text) for text in texts)


def _weighted_file(text: str) -> WeightedFile:
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
    return WeightedFile(user_path(name), value)


def _check_files(config: StyleTransferConfig, plan: StylePlan, folder: Path | None) -> None:
    """Refuse output files that cannot be written, that overwrite an input, or that share a name."""
    paths = plan.output_paths
    inputs = [style.path for style in plan.styles]
    inputs += [user_path(config.content)] if config.content else []
    inputs += [plan.start] if plan.start else []
    inputs += [path for pair in plan.masks for path in pair]
    for path in paths:
        _check_output_file(config, path, inputs, folder)
    if folder is not None:
        existing = (parent for parent in (folder, *folder.absolute().parents) if parent.exists())
        files.check_writable_folder("--out", next(existing))
    if len(set(paths)) < len(paths):
        raise InputError("--out", "two results would have the same name", "rename one of the content images")
    if config.continue_run and not any(path.exists() or checkpoint_file(path).exists() for path in paths):
        raise InputError("--continue", f"nothing to resume: no {checkpoint_file(paths[0])}", "drop --continue")
    others = [*paths, *inputs]
    for option, drawing in (("--sheet", config.sheet), ("--gram", config.gram), ("--animate", config.animate)):
        if drawing is not None:
            _check_drawing(config, option, drawing, others)
            others.append(drawing)


def _check_output_file(config: StyleTransferConfig, path: Path, inputs: Sequence[Path], folder: Path | None) -> None:
    if path.suffix.lower() not in _SUFFIXES:
        what = f"'{path.suffix}' is not a supported format"
        raise InputError("--out", what, f"use {', '.join(_SUFFIXES)}, or a folder")
    if any(is_same(path, source) or is_same(path.parent, source) for source in inputs):
        raise InputError("--out", f"{path} would overwrite an input, or is in an input folder", "choose another")
    files.check_output_file("--out", path, overwrite=config.overwrite or config.continue_run, made=folder)


def _check_drawing(config: StyleTransferConfig, option: str, path: Path, others: Sequence[Path]) -> None:
    if any(is_same(path, other) for other in others):
        raise InputError(option, f"{path} is also an input or a result", "choose another name")
    files.check_output_file(option, path, overwrite=config.overwrite or config.continue_run)
