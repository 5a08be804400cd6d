"""`filter`: kernels over images, one or many."""

import io
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

from dlnotes_cli.data.images.image_io import LoadedImage, depth_for, holds_alpha, read_image, write_image
from dlnotes_cli.device import default_threads
from dlnotes_cli.filter.correlate import Correlation
from dlnotes_cli.filter.files import Item, Target, find_items, make_folders, plan_targets
from dlnotes_cli.filter.options import FilterConfig
from dlnotes_cli.filter.render import Branch, Correlate, Rendering, rendering, side_by_side
from dlnotes_cli.shell import files, output
from dlnotes_cli.shell.errors import InputError

_WAITING = 1  # images at a time beyond one for each thread, since some wait for the disk
_MANY = 20  # images from which progress is shown


@dataclass(frozen=True)
class Written:
    """One result: where it stands and what is in it; numbers are in units of a white of 255."""

    source: str
    file: str
    kernel: str
    input_shape: tuple[int, ...]
    output_shape: tuple[int, ...]
    low: float
    high: float
    is_cut: bool = False  # numbers below 0 became black though nobody asked for it

    def as_json(self) -> dict[str, Any]:
        """One entry of `results`."""
        shapes = {"input_shape": list(self.input_shape), "output_shape": list(self.output_shape)}
        return {
            "input": self.source,
            "file": self.file,
            "kernel": self.kernel,
            **shapes,
            "range": [self.low, self.high],
        }


@dataclass(frozen=True)
class FilterResult:
    """What `filter` did: its kernels, the results, the inputs that were skipped."""

    branches: tuple[Branch, ...]
    results: tuple[Written, ...]
    skipped: tuple[str, ...] = ()
    stdout: bytes = b""


def branches_of(config: FilterConfig) -> tuple[Branch, ...]:
    """The kernels that are asked for, each with those that follow it. Raises InputError for one that is wrong."""
    kernels, then = config.parsed_kernels()
    return tuple(Branch((kernel, *then)) for kernel in kernels)


def filter_images(config: FilterConfig) -> FilterResult:
    """Filter every image and write the results. Raises InputError for a bad option, kernel or image."""
    branches = branches_of(config)
    correlate = _correlate(config)
    items = find_items(config)
    plan = plan_targets(config, items, [branch.name for branch in branches])
    if config.sheet is not None:
        if len(items) > 1:
            raise InputError("--sheet", f"shows one image, got {len(items)}", "name one, or leave --sheet out")
        files.check_output_file("--sheet", config.sheet, overwrite=config.overwrite)
        if config.sheet.resolve() in {target.path.resolve() for target in plan[0] if target.path}:
            raise InputError("--sheet", f"{config.sheet} is where the result goes", "give it another name")
    make_folders(config, plan)
    threads = config.threads or default_threads()
    work = _Work(config, branches, correlate, threads if len(items) == 1 else 1)
    results: list[Written] = []
    skipped: list[str] = []
    for answer in _followed(_in_threads(work, items, plan, threads), len(items)):
        if isinstance(answer, InputError):
            output.warn(f"skipped {answer.fault}")
            skipped.append(str(answer.where))
        else:
            results += answer
    return FilterResult(branches, tuple(results), tuple(skipped), b"".join(work.stdout))


def _correlate(config: FilterConfig) -> Correlate:
    if config.device == "cpu":
        return Correlation
    from dlnotes_cli.device import choose_device
    from dlnotes_cli.filter.torch_backend import DeviceCorrelation

    device = choose_device(config.device)
    return Correlation if device.type == "cpu" else partial(DeviceCorrelation, device=device)


def _followed(answers: Iterator[list[Written] | InputError], count: int) -> Iterator[list[Written] | InputError]:
    """The answers, with progress shown where there are many."""
    if count < _MANY:
        yield from answers
        return
    with output.progress("filter") as progress:
        for done, answer in enumerate(answers, 1):
            yield answer
            progress.update(done / count, partial("{} of {}".format, done, count))


def _in_threads(
    work: "_Work", items: Sequence[Item], plan: Sequence[Sequence[Target]], threads: int
) -> Iterator[list[Written] | InputError]:
    if len(items) == 1:
        yield work(items[0], plan[0])
        return
    with ThreadPoolExecutor(min(threads + _WAITING, len(items))) as pool:
        yield from pool.map(work, items, plan)


class _Work:
    """What is done to one image."""

    def __init__(self, config: FilterConfig, branches: Sequence[Branch], correlate: Correlate, threads: int) -> None:
        self._config, self._branches, self._correlate, self._threads = config, branches, correlate, threads
        self.stdout: list[bytes] = []

    def __call__(self, item: Item, targets: Sequence[Target]) -> list[Written] | InputError:
        """Write the results of one image; with `skip_bad` the error of one that will not do is the answer."""
        try:
            renderings = self._renderings(item)
        except InputError as error:
            if self._config.skip_bad:
                return error
            raise
        written = [done for target in targets for done in self._write(item, renderings, target)]
        if self._config.sheet is not None:
            from dlnotes_cli.filter.sheet import draw_sheet

            files.atomic_write(self._config.sheet, draw_sheet(renderings, spectrum=self._config.spectrum))
        return written

    def _renderings(self, item: Item) -> list[Rendering]:
        image = read_image(item.path, self._config.color, self._config.max_pixels, item.content)
        try:
            return [rendering(image, branch, self._config, self._correlate, self._threads) for branch in self._branches]
        except InputError as error:
            raise InputError(item.path, f"{error.where}: {error.what}", error.fix) from error

    def _write(self, item: Item, renderings: Sequence[Rendering], target: Target) -> Iterator[Written]:
        parts = [renderings[i] for i in target.branches]
        source = parts[0].image
        largest = max(part.numbers.largest for part in parts) * 255 / source.white
        image, ranges = side_by_side(parts, depth_for(target.format, source.values.dtype, largest))
        if image.alpha is not None and not holds_alpha(target.format):
            output.note(f"dlnotes: note: {item.path}: transparency is left out, {target.format} has none")
        self._save(image, target)
        for part, found in zip(parts, ranges, strict=True):
            yield Written(
                source=str(item.path),
                file="-" if target.path is None else str(target.path),
                kernel=part.branch.name,
                input_shape=_outer(source.values.shape),
                output_shape=_outer(part.numbers.shape),
                low=found.low,
                high=found.high,
                is_cut=found.low < 0 and target.format != "NPY" and self._config.cuts_silently,
            )

    def _save(self, image: LoadedImage, target: Target) -> None:
        if target.path is not None:
            with files.atomic_stream(target.path, image.values.nbytes) as stream:
                write_image(stream, image, target.format, threads=self._threads)
            return
        memory = io.BytesIO()
        write_image(memory, image, target.format, threads=self._threads)
        self.stdout.append(memory.getvalue())


def _outer(shape: tuple[int, ...]) -> tuple[int, ...]:
    """(H, W) of gray, (H, W, C) of color."""
    return shape[:2] if shape[2] == 1 else shape
