"""Read the samples of a folder: from the cache if they are there, otherwise decoded and cached for the next run."""

from dlnotes_cli.data.cache.build import build_in_cache, build_in_memory, refresh_index
from dlnotes_cli.data.cache.lookup import Lookup, cached_samples, look_up, match_contents
from dlnotes_cli.data.cache.request import DecodeSettings, FeatureExtractor, FolderSamples, SampleRequest
from dlnotes_cli.data.images.decode import pillow_settings
from dlnotes_cli.data.listing import FolderListing
from dlnotes_cli.data.preprocessing import ImageShape
from dlnotes_cli.shell import output
from dlnotes_cli.shell.errors import UnfinishedError

_IN_MEMORY = 1 << 31  # bytes of samples that may be decoded into memory if the cache cannot be written


def read_samples(
    listing: FolderListing, shape: ImageShape, settings: DecodeSettings, extractor: FeatureExtractor | None = None
) -> FolderSamples:
    """The pixels of every listed image, or its features; only what is not cached is decoded.

    Raises InputError naming a bad image unless `skip_bad`, or if all are bad; UnfinishedError if the cache cannot be
    written and the samples are too large for memory; StoppedError from `poll`, with the samples built until then
    cached.
    """
    with pillow_settings:
        return _read(SampleRequest.make(listing, shape, settings, extractor))


def _read(request: SampleRequest) -> FolderSamples:
    lookup = match_contents(request, look_up(request))
    cached = _cached(request, lookup)
    if cached is not None:
        return cached
    try:
        with request.entry.locked():
            return _read_locked(request, lookup)
    except UnfinishedError as error:
        if request.nbytes > _IN_MEMORY:
            raise
        output.warn(f"{error}; decoding into memory")
        return build_in_memory(request, lookup)


def _read_locked(request: SampleRequest, lookup: Lookup) -> FolderSamples:
    """Build the samples, unless another process has cached them while this one waited for the lock."""
    renewed = look_up(request)
    if renewed.index != lookup.index:
        lookup = match_contents(request, renewed)
        cached = _cached(request, lookup)
        if cached is not None:
            return cached
    return build_in_cache(request, lookup)


def _cached(request: SampleRequest, lookup: Lookup) -> FolderSamples | None:
    """The cached samples if they are complete, with the times of touched files stored."""
    cached = cached_samples(request, lookup)
    if cached is not None and lookup.touched:
        refresh_index(request, lookup, cached.positions)
    return cached
