"""Pooling: windows that move, and adaptive ones that share the input out."""

from math import isfinite

from dlnotes_cli.shapes.layer import Effect, RefusedError, Shape, check_size, space_of
from dlnotes_cli.shapes.rules.arguments import Arguments
from dlnotes_cli.shapes.rules.convolution import check_slides
from dlnotes_cli.shapes.rules.windows import Slide, followed, shared

INT32 = 2**31 - 1  # what torch's pooling over two and three axes counts with


def max_pool(given: Arguments, shape: Shape, rank: int) -> Effect:
    """The largest value of each window."""
    dilations = given.sizes("dilation", rank, least=1)
    return _pooled(given, shape, given.sizes("padding", rank, least=0), dilations)


def average_pool(given: Arguments, shape: Shape, rank: int) -> Effect:
    """The mean of each window."""
    given.flag("count_include_pad")
    if given.get("divisor_override") is not None and not given.whole("divisor_override"):
        raise RefusedError("divisor_override=0 divides by nothing", "use another number, or None")
    return _averaged(_pooled(given, shape, given.sizes("padding", rank, least=0), (1,) * rank))


def power_pool(given: Arguments, shape: Shape, rank: int) -> Effect:
    """The sum of powers of each window, and the root of it; an infinite power is the largest value."""
    power = given.number("norm_type")
    if not power:
        raise RefusedError("norm_type=0 has no root", "use another power")
    if rank == 1:
        given.whole("kernel_size")
    given.sizes("kernel_size", rank, single=False)
    pooled = _pooled(given, shape, (0,) * rank, (1,) * rank)
    return _averaged(pooled) if isfinite(power) else pooled


def adaptive_pool(given: Arguments, shape: Shape, rank: int, *, is_mean: bool) -> Effect:
    """Share the input out among a fixed number of windows; None keeps an axis as it is.

    The mean of everything, output size 1, is taken over the last axes of a shape of any length.
    """
    wanted = given["output_size"]
    if rank > 1 and isinstance(wanted, tuple | list) and len(wanted) == rank <= len(shape):
        kept = tuple(size if want is None else want for size, want in zip(shape[-rank:], wanted, strict=True))
        given = given.extended({"output_size": kept})
    sizes = given.sizes("output_size", rank, least=1, single=False)
    is_whole_mean = is_mean and set(sizes) == {1} and 1 < rank < len(shape)
    space = shape[-rank:] if is_whole_mean else space_of(shape, rank)
    output = (*shape[:-rank], *sizes)
    check_size("an output", output)
    formulas = tuple(
        f"{out}, window i from floor(i*{size}/{out}) to ceil((i + 1)*{size}/{out})"
        for size, out in zip(space, sizes, strict=True)
    )
    reach = followed(shared(size, out) for size, out in zip(space, sizes, strict=True))
    return Effect(output, is_pair=_returns_indices(given), reach=reach, sizes=formulas)


def _averaged(pooled: Effect) -> Effect:
    """Means over three axes need an input, padding left out, as large as the kernel."""
    for slide in pooled.slides if len(pooled.slides) == 3 else ():  # noqa: PLR2004  # depth, height and width
        if isinstance(slide, Slide) and slide.size < slide.kernel:
            what = f"kernel_size={slide.kernel} is larger than the input's {slide.size}, padding left out"
            raise RefusedError(what, "use a smaller kernel")
    return pooled


def _pooled(given: Arguments, shape: Shape, paddings: Shape, dilations: Shape) -> Effect:
    rank = len(paddings)
    space = space_of(shape, rank)
    kernel = given.sizes("kernel_size", rank, least=1)
    strides = kernel if given["stride"] in (None, (), []) else given.sizes("stride", rank, least=1)
    _check_windows(kernel, paddings, (*strides, *dilations))
    rounds_up = given.flag("ceil_mode")
    slides = tuple(
        Slide(size, width, stride, padding, padding, dilation, rounds_up)
        for size, width, stride, padding, dilation in zip(space, kernel, strides, paddings, dilations, strict=True)
    )
    check_slides(slides)
    output = (*shape[:-rank], *(slide.output for slide in slides))
    check_size("an output", output)
    return Effect(output, is_pair=_returns_indices(given), reach=tuple(s.window for s in slides), slides=slides)


def _check_windows(kernel: Shape, paddings: Shape, others: Shape) -> None:
    for width, padding in zip(kernel, paddings, strict=True):
        if padding > width // 2:
            raise RefusedError(
                f"padding={padding} is more than half of kernel_size={width}", f"use at most {width // 2}"
            )
    largest = max(*kernel, *paddings, *others)
    if len(kernel) > 1 and largest > INT32:
        raise RefusedError(f"{largest} does not fit in 32 bits", "use a smaller number")


def _returns_indices(given: Arguments) -> bool:
    return bool(given.get("return_indices"))
