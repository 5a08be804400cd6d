"""`filter`: convolution kernels applied to one image or many."""

import io
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import NamedTuple

from dlnotes_cli.data.images.image_io import LoadedImage, depth_for, holds_alpha, read_image, write_image
from dlnotes_cli.filter.filtered_image import (
    FilteredImage,
    KernelChain,
    concatenate_horizontally,
    filter_image,
)
from dlnotes_cli.filter.kernels.description import details, lines
from dlnotes_cli.filter.kernels.kernel import Kernel
from dlnotes_cli.filter.options import FilterConfig
from dlnotes_cli.filter.plan import FilterInput, OutputFile, find_inputs, make_folders, plan_outputs
from dlnotes_cli.shell import files, output
from dlnotes_cli.shell.codec import HIDDEN, in_json, inlined
from dlnotes_cli.shell.cores import default_threads
from dlnotes_cli.shell.errors import InputError
from dlnotes_cli.shell.show import Detail

_EXTRA_WORKERS = 1  # more images at a time than threads, because some wait for the disk
_MIN_IMAGES_FOR_PROGRESS = 20
_SMALL_SHARE = 0.01  # of clipped values, which is not worth a note


@dataclass(frozen=True)
class KernelResult:
    """The result of one chain of kernels on one image; values are in units of a white of 255."""

    input: str
    file: str
    kernel: str
    input_shape: tuple[int, ...]  # (H, W) of gray, (H, W, C) of color
    output_shape: tuple[int, ...]
    low: float = field(metadata=HIDDEN)  # the range of the response
    high: float = field(metadata=HIDDEN)
    # fractions of the values below 0 that became black by default, not by an option, and above white that became white
    black: float = field(default=0.0, metadata=HIDDEN)
    white: float = field(default=0.0, metadata=HIDDEN)

    @property
    @in_json
    def range(self) -> tuple[float, float]:
        """The lowest and the highest value of the response."""
        return self.low, self.high


@dataclass(frozen=True)
class FilterSettings:
    """The options that a result depends on, as resolved."""

    edges: str
    convolve: bool
    operations: tuple[str, ...]
    stride: int
    relu: bool
    pool: str | None
    pool_size: int | None
    result: str | None
    threshold: float | None
    sheet: Path | None


@dataclass(frozen=True)
class FilterResult:
    """The result of `filter`: one entry per image and chain of kernels, and the inputs that were skipped."""

    config: FilterConfig = field(metadata=HIDDEN)
    kernels: tuple[Kernel, ...]
    results: tuple[KernelResult, ...]
    skipped: tuple[str, ...] = ()
    stdout: bytes = field(default=b"", metadata=HIDDEN)  # the image for `--out -`

    def table(self) -> Iterator[str]:
        """What the kernels do, if asked for, a line for each result, or with `-q` for each file, and the sheet."""
        if self.config.explain:
            yield from lines(self.kernels, details)
        for result in self.results:
            height, width = result.output_shape[:2]
            size = f"{width}x{height}"
            yield Detail(f"{result.file}  {result.kernel}  {size}  from {result.low:.6g} to {result.high:.6g}")
        if self.config.quiet:
            yield from dict.fromkeys(result.file for result in self.results)
        if self.config.sheet is not None:
            yield str(self.config.sheet)

    @property
    def notes(self) -> Iterator[str]:
        """Which kernels have clipped values."""
        kernels = dict.fromkeys(result.kernel for result in self.results)
        clipped = [text for kernel in kernels if (text := _clipping(kernel, self.results))]
        if clipped and not self.config.json:
            how = "--result rescale shows them; abs or signed show those below 0"
            yield f"clipped values: {', '.join(clipped)}; {how}"

    @property
    @inlined
    def settings(self) -> FilterSettings:
        """The options, as resolved."""
        config = self.config
        return FilterSettings(
            config.edges, config.convolve, config.op, config.resolved_stride, config.relu, config.pool,
            config.pooling_size, config.result, config.threshold, config.sheet,
        )  # fmt: skip


def _clipping(kernel: str, results: Sequence[KernelResult]) -> str:
    """A kernel with the largest shares of clipped values in an image, without shares up to 1%; "" if none is left."""
    chosen = [result for result in results if result.kernel == kernel]
    shares = {"below 0": max(r.black for r in chosen), "above white": max(r.white for r in chosen)}
    parts = [f"{share:.0%} {where}" for where, share in shares.items() if share > _SMALL_SHARE]
    return f"{kernel} {' and '.join(parts)}" if parts else ""


class _WrittenImage(NamedTuple):
    """The results of one image, and the bytes for standard output."""

    results: tuple[KernelResult, ...] = ()
    stdout: bytes = b""


class _Pipeline:
    """The steps for one image, with `threads` of its own: read, filter, write. Several threads may share one."""

    def __init__(self, config: FilterConfig, chains: tuple[KernelChain, ...], threads: int) -> None:
        self._config, self._chains, self._threads = config, chains, threads

    def __call__(self, source: FilterInput, outputs: Sequence[OutputFile]) -> _WrittenImage | InputError:
        """Write the results of one image; with `--skip-bad`, an image that cannot be filtered returns its error."""
        try:
            images = self._filter(source)
        except InputError as error:
            if self._config.skip_bad:
                return error
            raise
        results: list[KernelResult] = []
        stdout = b""
        for file in outputs:
            image, file_results = _combine(source, [images[i] for i in file.chains], file)
            stdout += self._save(image, file)
            results += file_results
        if self._config.sheet is not None:
            from dlnotes_cli.filter.sheet import draw_filtered_images

            files.atomic_write(self._config.sheet, draw_filtered_images(images, spectrum=self._config.spectrum))
        return _WrittenImage(tuple(results), stdout)

    def _filter(self, source: FilterInput) -> list[FilteredImage]:
        image = read_image(source.path, self._config.color, self._config.max_pixels, source.content)
        try:
            return [filter_image(image, chain, self._config, self._threads) for chain in self._chains]
        except InputError as error:
            raise InputError(source.path, f"{error.where}: {error.what}", error.fix) from error

    def _save(self, image: LoadedImage, file: OutputFile) -> bytes:
        """Write the image to its file; returns the bytes that belong on standard output."""
        if file.path is not None:
            with files.atomic_stream(file.path, image.values.nbytes) as stream:
                write_image(stream, image, file.format)
            return b""
        memory = io.BytesIO()
        write_image(memory, image, file.format)
        return memory.getvalue()


def filter_images(config: FilterConfig) -> FilterResult:
    """Filter every image and write the results. Raises InputError for a wrong option, kernel or image."""
    first, then = config.parsed_kernels()
    operations = config.parsed_operations()
    starts = [(kernel, *then) for kernel in first] or [tuple(then)]
    chains = tuple(KernelChain(kernels, operations, config.pool) for kernels in starts)
    inputs = find_inputs(config)
    plan = plan_outputs(config, inputs, [chain.name for chain in chains])
    if config.sheet is not None:
        _check_sheet(config, plan)
    make_folders(config, plan)
    threads = config.threads or default_threads()
    pipeline = _Pipeline(config, chains, threads if len(inputs) == 1 else 1)
    results: list[KernelResult] = []
    skipped: list[str] = []
    stdout = b""
    for outcome in _with_progress(_run(pipeline, inputs, plan, threads), len(inputs)):
        if isinstance(outcome, InputError):
            output.warn(f"skipped {outcome.fault}")
            skipped.append(str(outcome.where))
        else:
            results += outcome.results
            stdout += outcome.stdout
    if skipped:
        output.warn(f"{len(skipped)} skipped: {', '.join(skipped)}")
    if len(skipped) == len(inputs):
        raise InputError("PATH", f"none of {len(inputs)} images could be filtered", "check the files")
    return FilterResult(config, (*first, *then), tuple(results), tuple(skipped), stdout)


def _check_sheet(config: FilterConfig, plan: Sequence[Sequence[OutputFile]]) -> None:
    """Raise InputError if `--sheet` cannot be written or shows more than one image."""
    sheet = config.sheet
    if sheet is None:
        return
    if len(plan) > 1:
        raise InputError("--sheet", f"shows one image, got {len(plan)}", "name one image, or leave --sheet out")
    files.check_output_file("--sheet", sheet, overwrite=config.overwrite)
    if sheet.resolve() in {file.path.resolve() for file in plan[0] if file.path}:
        raise InputError("--sheet", f"{sheet} is also the file of the result", "name another file")


def _run(
    pipeline: _Pipeline, inputs: Sequence[FilterInput], plan: Sequence[Sequence[OutputFile]], threads: int
) -> Iterator[_WrittenImage | InputError]:
    """Run the pipeline on every image, in order; many images run in several threads."""
    if len(inputs) == 1:
        yield pipeline(inputs[0], plan[0])
        return
    with ThreadPoolExecutor(min(threads + _EXTRA_WORKERS, len(inputs))) as pool:
        yield from pool.map(pipeline, inputs, plan)


def _with_progress(outcomes: Iterator[_WrittenImage | InputError], count: int) -> Iterator[_WrittenImage | InputError]:
    """The outcomes, with a progress bar if there are many."""
    if count < _MIN_IMAGES_FOR_PROGRESS:
        yield from outcomes
        return
    with output.progress("filter") as progress:
        for done, outcome in enumerate(outcomes, 1):
            yield outcome
            progress.update(done / count, partial("{} of {}".format, done, count))


def _combine(
    source: FilterInput, images: Sequence[FilteredImage], file: OutputFile
) -> tuple[LoadedImage, list[KernelResult]]:
    """The pixels of one output file, and an entry for each chain of kernels in it."""
    original, config = images[0].source, images[0].config
    max_magnitude = max(image.response.max_magnitude for image in images) * 255 / original.white
    dtype = depth_for(file.format, original.values.dtype, max_magnitude)
    combined, ranges = concatenate_horizontally(images, dtype)
    if combined.alpha is not None and not holds_alpha(file.format):
        output.note(f"{source.path}: transparency is dropped, {file.format} has none")
    clips_by_default = file.format != "NPY" and config.clips_by_default
    results = [
        KernelResult(
            input=str(source.path),
            file="-" if file.path is None else str(file.path),
            kernel=image.chain.name,
            input_shape=_without_gray_axis(original.values.shape),
            output_shape=_without_gray_axis(image.response.shape),
            low=value_range.low,
            high=value_range.high,
            black=value_range.below if clips_by_default else 0.0,
            white=value_range.above if clips_by_default else 0.0,
        )
        for image, value_range in zip(images, ranges, strict=True)
    ]
    return combined, results


def _without_gray_axis(shape: tuple[int, ...]) -> tuple[int, ...]:
    """(H, W) of gray, (H, W, C) of color."""
    return shape[:2] if shape[2] == 1 else shape
