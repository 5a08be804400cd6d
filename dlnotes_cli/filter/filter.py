"""`filter`: convolution kernels applied to one image or many."""

import io
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from numpy.typing import NDArray

from dlnotes_cli.data.images.image_io import LoadedImage, depth_for, holds_alpha, read_image, write_image
from dlnotes_cli.filter.kernel import Kernel, describe
from dlnotes_cli.filter.options import FilterConfig
from dlnotes_cli.filter.plan import FilterInput, OutputFile, find_inputs, plan_outputs
from dlnotes_cli.filter.response import KernelChain, Response, intensities, parse_chains, respond
from dlnotes_cli.shell import files, output
from dlnotes_cli.shell.codec import HIDDEN, inlined
from dlnotes_cli.shell.cores import default_threads
from dlnotes_cli.shell.errors import InputError
from dlnotes_cli.shell.show import Detail

if TYPE_CHECKING:
    from dlnotes_cli.filter.sheet import SheetRow

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
    range: tuple[float, float]  # of the response
    # fractions of the values below 0 and above white that became black and white by default, not by an option
    clipped: tuple[float, float] = field(default=(0.0, 0.0), metadata=HIDDEN)


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
            yield from describe(self.kernels)
        for result in self.results:
            (height, width, *_), (low, high) = result.output_shape, result.range
            yield Detail(f"{result.file}  {result.kernel}  {width}x{height}  from {low:.6g} to {high:.6g}")
        if self.config.quiet:
            yield from dict.fromkeys(result.file for result in self.results)
        if self.config.sheet is not None:
            yield str(self.config.sheet)

    @property
    def notes(self) -> Iterator[str]:
        """Which kernels have clipped values."""
        shares: dict[str, list[tuple[float, float]]] = {}
        for result in self.results:
            shares.setdefault(result.kernel, []).append(result.clipped)
        clipped = []
        for kernel, pairs in shares.items():
            largest = zip(map(max, zip(*pairs, strict=True)), ("below 0", "above white"), strict=True)
            parts = [f"{share:.0%} {where}" for share, where in largest if share > _SMALL_SHARE]
            clipped += [f"{kernel} {' and '.join(parts)}"] if parts else []
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


def filter_images(config: FilterConfig) -> FilterResult:
    """Filter every image and write the results. Raises InputError for a wrong option, kernel or image."""
    kernels, chains = parse_chains(config)
    inputs = find_inputs(config)
    plan = plan_outputs(config, inputs, [chain.name for chain in chains])
    for folder in dict.fromkeys(file.path.parent for outputs in plan for file in outputs if file.path is not None):
        files.make_folder("--out", folder)
    count, threads = len(inputs), config.threads or default_threads()
    own_threads = threads if count == 1 else 1
    cv2.setNumThreads(own_threads)
    results: list[KernelResult] = []
    skipped: list[str] = []
    stdout = b""
    with (
        output.progress("filter") if count >= _MIN_IMAGES_FOR_PROGRESS else nullcontext() as progress,
        ThreadPoolExecutor(min(threads + _EXTRA_WORKERS, count)) as pool,
    ):
        outcomes = pool.map(partial(_filter_image, config, chains, own_threads), inputs, plan)
        for done, outcome in enumerate(outcomes, 1):
            if isinstance(outcome, InputError):
                output.warn(f"skipped {outcome.fault}")
                skipped.append(outcome.where)
            else:
                results += outcome[0]
                stdout += outcome[1]
            if progress is not None:
                progress.update(done / count, partial("{} of {}".format, done, count))
    if skipped:
        output.warn(f"{len(skipped)} skipped: {', '.join(skipped)}")
    if len(skipped) == count:
        raise InputError("PATH", f"none of {count} images could be filtered", "check the files")
    return FilterResult(config, kernels, tuple(results), tuple(skipped), stdout)


def _filter_image(
    config: FilterConfig, chains: Sequence[KernelChain], threads: int, source: FilterInput,
    outputs: Sequence[OutputFile],
) -> tuple[list[KernelResult], bytes] | InputError:  # fmt: skip
    """Write the results of one image, and its sheet; returns an entry for each result, and bytes for standard output.

    With `--skip-bad`, an image that cannot be filtered returns its error.
    """
    images: dict[int, LoadedImage] = {}
    results: dict[int, KernelResult] = {}
    rows: list[SheetRow] = []
    try:
        image = read_image(source.path, config.color, config.max_pixels, source.content)
        for i, chain in enumerate(chains):
            response = _respond(source, image, chain, threads)
            for file in outputs:
                if i in file.chains:
                    images[i] = _written(image, response, config, file.format, threads)
                    results[i] = _result(source, image, chain, response, file)
            if config.sheet is not None:
                from dlnotes_cli.filter.sheet import rows_of

                rows += rows_of(response, chain, image)
            del response  # before the files are written, as it is the largest array
    except InputError as error:
        if config.skip_bad:
            return error
        raise
    stdout = b""
    for file in outputs:
        if image.alpha is not None and not holds_alpha(file.format):
            output.note(f"{source.path}: transparency is dropped, {file.format} has none")
        stdout += _save(_side_by_side([images[i] for i in file.chains]), file)
    if config.sheet is not None:
        from dlnotes_cli.filter.sheet import draw_sheet

        files.atomic_write(config.sheet, draw_sheet(image, rows))
    return [results[i] for file in outputs for i in file.chains], stdout


def _respond(source: FilterInput, image: LoadedImage, chain: KernelChain, threads: int) -> Response:
    try:
        return respond(image.values, chain, image.white, threads=threads)
    except InputError as error:
        raise InputError(source.path, f"{error.where}: {error.what}", error.fix) from error


def _written(image: LoadedImage, response: Response, config: FilterConfig, format_: str, threads: int) -> LoadedImage:
    """The response as a file of a format has it, with the alpha of its pixels; of a window, that at its middle."""
    dtype = depth_for(format_, image.values.dtype, response.bound * 255 / image.white)
    mode = config.result or (None if format_ == "NPY" else "clip")
    values = intensities(response.values, dtype, image.white, mode, config.threshold, threads=threads)
    (top, left), (height, width, _) = response.offset, values.shape
    middle, step = ((config.pooling_size or 1) - 1) // 2, config.resolved_stride
    alpha = image.alpha
    if alpha is not None:
        alpha = alpha[top + middle :: step, left + middle :: step][:height, :width]
    return LoadedImage(values, alpha, image.icc)


def _result(
    source: FilterInput, image: LoadedImage, chain: KernelChain, response: Response, file: OutputFile
) -> KernelResult:
    is_noted = file.format != "NPY" and chain.config.clips_by_default
    before, after = (shape[:2] if shape[2] == 1 else shape for shape in (image.values.shape, response.values.shape))
    path = "-" if file.path is None else str(file.path)
    clipped = response.clipped if is_noted else (0.0, 0.0)
    return KernelResult(str(source.path), path, chain.name, before, after, response.range, clipped)


def _side_by_side(images: Sequence[LoadedImage]) -> LoadedImage:
    """Images from left to right; below one that is shorter than the others, the result is black and transparent."""
    height = max(len(image.values) for image in images)

    if len(images) == 1:
        return images[0]

    def joined(parts: Sequence[NDArray[Any]]) -> NDArray[Any]:
        return np.concatenate([np.pad(one, [(0, height - len(one)), *[(0, 0)] * (one.ndim - 1)]) for one in parts], 1)

    alphas = [image.alpha for image in images if image.alpha is not None]
    return LoadedImage(joined([image.values for image in images]), joined(alphas) if alphas else None, images[0].icc)


def _save(image: LoadedImage, file: OutputFile) -> bytes:
    """Write the image to its file; returns the bytes that belong on standard output."""
    if file.path is not None:
        with files.atomic_stream(file.path, image.values.nbytes) as stream:
            write_image(stream, image, file.format)
        return b""
    memory = io.BytesIO()
    write_image(memory, image, file.format)
    return memory.getvalue()
