"""Normalization layers, in evaluation mode and for a batch of one."""

from math import prod

from dlnotes_cli.shapes.layer import SPACES, Effect, RefusedError, Shape, check_size, sample, space_of
from dlnotes_cli.shapes.rules.arguments import Arguments


def batch_norm(given: Arguments, shape: Shape, rank: int) -> Effect:
    """A scale and a shift for each channel; the running mean, variance and count are buffers."""
    if len(shape) != rank + 2 and not (rank == 1 and len(shape) == 2):  # noqa: PLR2004  # plain vectors
        raise RefusedError(f"takes {SPACES[rank]}{' or C' if rank == 1 else ''}, got {sample(shape)}")
    is_tracking = bool(given["track_running_stats"])
    eps = given.number("eps")
    given.optional_number("momentum")
    if eps < 0 or (eps == 0 and not is_tracking):
        raise RefusedError(f"eps={eps} is not above 0", "use a small number such as 1e-5")
    if not is_tracking and prod(shape[2:]) == 1:
        raise RefusedError(
            f"one value per channel has no variance (got {sample(shape)})", "keep track_running_stats=True"
        )
    return _per_channel(given, shape, shape[1])


def instance_norm(given: Arguments, shape: Shape, rank: int) -> Effect:
    """Each channel of each sample by its own mean and variance."""
    space = space_of(shape, rank)
    given.number("eps")
    given.optional_number("momentum")
    if not given["track_running_stats"] and prod(space) == 1:
        raise RefusedError(
            f"one value per channel has no variance (got {sample(shape)})", "normalize before this layer"
        )
    return _per_channel(given, shape, shape[-rank - 1])


def layer_norm(given: Arguments, shape: Shape) -> Effect:
    """The last sizes of the shape by their common mean and variance; RMSNorm likewise, without mean and shift."""
    sizes = _normalized_shape(given)
    given.number("eps") if "bias" in given else given.optional_number("eps")
    if shape[-len(sizes) :] != sizes:
        wanted = ", ".join(map(str, sizes))
        raise RefusedError(f"normalizes the last sizes {wanted}, got {sample(shape)}", f"end the shape with {wanted}")
    check_size("a weight", sizes)
    weights = prod(sizes) if given["elementwise_affine"] else 0
    shifts = weights if given.get("bias") else 0
    return Effect(shape, parameters=weights + shifts, reach="lost" if len(sizes) > 1 else "same")


def group_norm(given: Arguments, shape: Shape) -> Effect:
    """Groups of channels by their common mean and variance."""
    groups, channels = given.whole("num_groups", 1), given.whole("num_channels")
    if len(shape) == 1:
        raise RefusedError(f"takes channels, got {sample(shape)}")
    given.number("eps")
    if channels % groups:
        raise RefusedError(
            f"num_channels={channels} does not divide by num_groups={groups}", "choose groups that divide"
        )
    if given["affine"] and channels != shape[1]:
        raise _channels_differ("num_channels", channels, shape)
    if shape[1] % groups:
        raise RefusedError(f"{shape[1]} channels do not divide by num_groups={groups}", "choose groups that divide")
    if shape[1] // groups * prod(shape[2:]) == 1:
        raise RefusedError(f"one value per group has no variance (got {sample(shape)})", "use fewer groups")
    return Effect(shape, parameters=_affine(given, channels))


def local_response_norm(given: Arguments, shape: Shape) -> Effect:
    """Each value by its neighbors in other channels."""
    given.whole("size", 1)
    for name in ("alpha", "beta", "k"):
        given.number(name)
    if len(shape) < 3:  # noqa: PLR2004  # batch, channels and space
        raise RefusedError(f"takes channels and space, got {sample(shape)}")
    return Effect(shape)


def _per_channel(given: Arguments, shape: Shape, channels: int) -> Effect:
    is_tracking = bool(given["track_running_stats"])
    if not given["affine"] and not is_tracking:
        return Effect(shape)  # torch does not look at num_features
    features = given.whole("num_features", 1)
    if features != channels:
        raise _channels_differ("num_features", features, shape)
    parameters = _affine(given, features)
    formulas = (("parameters", f"{parameters // features} * {features} = {parameters}"),) if parameters else ()
    return Effect(shape, parameters=parameters, buffers=2 * features + 1 if is_tracking else 0, formulas=formulas)


def _affine(given: Arguments, channels: int) -> int:
    return (channels * (2 if given["bias"] else 1)) if given["affine"] else 0


def _channels_differ(name: str, wanted: int, shape: Shape) -> RefusedError:
    return RefusedError(f"takes {wanted} channels, got {shape[1]} (of {sample(shape)})", f"write {name}={shape[1]}")


def _normalized_shape(given: Arguments) -> Shape:
    value = given["normalized_shape"]
    count = len(value) if isinstance(value, tuple | list) else 1
    if not count:
        raise RefusedError("normalized_shape=() names no size", "give the last sizes of the shape")
    return given.sizes("normalized_shape", count)
