"""Build the samples of a request: copy what a lookup found, decode the rest, and write a new cache entry."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dlnotes_cli.data.cache.entries import CacheIndex, ChecksumStream
from dlnotes_cli.data.cache.image_files import FileRecord, decode_listed
from dlnotes_cli.data.cache.lookup import Lookup
from dlnotes_cli.data.cache.request import FolderSamples, SampleRequest
from dlnotes_cli.shell.errors import InputError, StoppedError, UnfinishedError


@dataclass
class _Outcome:
    """Which images were read so far: records of the readable ones and errors of the others, by position."""

    records: dict[int, FileRecord] = field(default_factory=dict)
    errors: dict[int, InputError] = field(default_factory=dict)

    def add(self, other: "_Outcome") -> None:
        self.records |= other.records
        self.errors |= other.errors


@dataclass(frozen=True)
class _DecodedChunk:
    """Consecutive images of a listing, those that were not cached decoded."""

    outcome: _Outcome
    decoded: list[int]  # positions
    pixels: NDArray[np.uint8]  # (n, C, H, W) of `decoded`


def build_in_cache(request: SampleRequest, lookup: Lookup) -> FolderSamples:
    """Write samples and index of a new cache entry, which replaces the old one; the caller holds its lock.

    Raises InputError for a bad image unless the settings skip them, or if no image can be read; UnfinishedError if the
    cache cannot be written; StoppedError after a stop request, with the samples built until then in the cache.
    """
    outcome = _Outcome()
    stopped: StoppedError | None = None
    with request.entry.new_samples(request.nbytes) as (name, file):
        stream = ChecksumStream(file)
        try:
            for samples, read in _built_chunks(request, lookup):
                stream.write(samples)
                outcome.add(read)
        except StoppedError as stop:
            remaining = _cached_after(request, lookup, max(outcome.records, default=-1))
            stream.write(lookup.samples_of(list(remaining)))
            outcome.records |= remaining
            if not outcome.records:
                raise
            stopped = stop
        _check_any(request, outcome)
    index = _make_index(request, name, outcome.records, stream.checksums)
    request.entry.write_index(index)
    if stopped is not None:
        raise stopped
    return FolderSamples(request.entry.map(index), list(outcome.records), list(index.digests), outcome.errors)


def build_in_memory(request: SampleRequest, lookup: Lookup) -> FolderSamples:
    """Build the samples without a cache that can be written; raises InputError and StoppedError."""
    outcome = _Outcome()
    samples = np.empty((len(request.listing.names), *request.sample_shape), request.dtype)
    for chunk, read in _built_chunks(request, lookup):
        start = len(outcome.records)
        samples[start : start + len(chunk)] = chunk
        outcome.add(read)
    _check_any(request, outcome)
    digests = [record.digest for record in outcome.records.values()]
    return FolderSamples(samples[: len(digests)], list(outcome.records), digests, outcome.errors)


def refresh_index(request: SampleRequest, lookup: Lookup, positions: Sequence[int]) -> None:
    """Store the new times of touched files; if that fails, the next run compares their contents again."""
    index = lookup.index
    with suppress(UnfinishedError), request.entry.locked():
        if index is not None and request.entry.read() == index:
            records = dict(zip(positions, map(FileRecord, index.digests, index.headers), strict=True))
            request.entry.write_index(_make_index(request, index.samples, records, index.checksums))


def _built_chunks(request: SampleRequest, lookup: Lookup) -> Iterator[tuple[NDArray[Any], _Outcome]]:
    """Samples of the readable images, chunk by chunk in order; raises StoppedError from the settings' `poll`."""
    for chunk in request.map_chunks(partial(_decode_chunk, request, lookup), range(len(request.listing.names))):
        request.settings.poll()
        yield chunk_samples(request, lookup, chunk), chunk.outcome


def _decode_chunk(request: SampleRequest, lookup: Lookup, positions: Sequence[int]) -> _DecodedChunk:
    outcome = _Outcome()
    decoded: list[int] = []
    pixels = np.empty((len(positions), *request.shape.dimensions), np.uint8)
    for i in positions:
        cached = lookup.record(i)
        if cached is not None:
            outcome.records[i] = cached
            continue
        try:
            pixels[len(decoded)], outcome.records[i] = decode_listed(
                request.listing, i, request.shape, request.settings.max_pixels
            )
            decoded.append(i)
        except InputError as error:
            outcome.errors[i] = request.settings.skipped(error)
    return _DecodedChunk(outcome, decoded, pixels[: len(decoded)])


def chunk_samples(request: SampleRequest, lookup: Lookup, chunk: _DecodedChunk) -> NDArray[Any]:
    """The samples of a chunk in order: cached ones copied, features computed for the others if requested."""
    records = chunk.outcome.records
    new: NDArray[Any] = chunk.pixels
    if request.extractor is not None and chunk.decoded:
        new = request.extractor.run(chunk.pixels, [records[i].seed for i in chunk.decoded])
    if len(chunk.decoded) == len(records):
        return new.reshape(-1, *request.sample_shape)
    samples = np.empty((len(records), *request.sample_shape), request.dtype)
    is_new = np.isin(list(records), chunk.decoded)
    if chunk.decoded:
        samples[is_new] = new
    samples[~is_new] = lookup.samples_of([i for i, fresh in zip(records, is_new, strict=True) if not fresh])
    return samples


def _cached_after(request: SampleRequest, lookup: Lookup, last: int) -> dict[int, FileRecord]:
    """The records of the cached images after position `last`."""
    later = ((i, lookup.record(i)) for i in range(last + 1, len(request.listing.names)))
    return {i: record for i, record in later if record is not None}


def _check_any(request: SampleRequest, outcome: _Outcome) -> None:
    if not outcome.records:
        raise InputError("--data", f"{request.listing.root}: no image could be read", "check the files")


def _make_index(
    request: SampleRequest, samples: str, records: dict[int, FileRecord], checksums: tuple[int, ...]
) -> CacheIndex:
    listing = request.listing
    names, sizes, times, inodes = (
        tuple([column[i] for i in records]) for column in (listing.names, listing.sizes, request.times, listing.inodes)
    )
    digests, headers = zip(*records.values(), strict=True)
    root = str(listing.root.resolve())
    return CacheIndex(
        root, request.sample_shape, request.dtype.name, samples,
        names, sizes, times, inodes, digests, headers, checksums,  # type: ignore[arg-type]
    )  # fmt: skip
