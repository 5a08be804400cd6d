"""Look up which samples of a request are cached; writes nothing and changes nothing."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dlnotes_cli.data.cache.entries import CacheIndex
from dlnotes_cli.data.cache.image_files import FileRecord, decode_listed, digest_listed
from dlnotes_cli.data.cache.request import FolderSamples, SampleRequest
from dlnotes_cli.shell.errors import InputError


@dataclass(frozen=True)
class Lookup:
    """The cached sample of each listed image."""

    index: CacheIndex | None  # None if the cache has no usable entry
    samples: NDArray[Any]  # (M, *sample_shape): the cached samples, memory-mapped
    rows: tuple[int | None, ...]  # for each listed image its row in `samples`, None if it is not cached
    touched: tuple[int, ...] = ()  # positions of images recognized by content although their times changed

    @property
    def missing(self) -> list[int]:
        """Positions of the images that are not cached."""
        return [i for i, row in enumerate(self.rows) if row is None]

    def record(self, i: int) -> FileRecord | None:
        """The record of image i, or None if it is not cached."""
        row = self.rows[i]
        if row is None or self.index is None:
            return None
        return FileRecord(self.index.digests[row], self.index.headers[row])

    def samples_of(self, positions: Sequence[int]) -> NDArray[Any]:
        """A copy of the cached samples at `positions`."""
        return np.asarray(self.samples[[row for i in positions if (row := self.rows[i]) is not None]])


def look_up(request: SampleRequest) -> Lookup:
    """Find cached samples by the name, size, time and inode of their files; no image is opened.

    An entry whose samples do not have their checksums is not used.
    """
    listing = request.listing
    nothing = Lookup(None, np.empty((0, *request.sample_shape), request.dtype), (None,) * len(listing.names))
    index = request.entry.read()
    if index is None or (index.shape, index.dtype) != (request.sample_shape, request.dtype.name):
        return nothing
    try:
        samples = request.entry.map(index)
    except (OSError, ValueError):  # another process has just replaced or truncated the file
        return nothing
    if not request.entry.is_intact(index, samples, request.settings.threads):
        return nothing
    rows = index.rows(listing)
    limit = request.settings.max_pixels
    if max(header.pixels for header in set(index.headers)) > limit:
        rows = [None if row is None or index.headers[row].pixels > limit else row for row in rows]
    return Lookup(index, samples, tuple(rows))


def match_contents(request: SampleRequest, lookup: Lookup) -> Lookup:
    """Compare the files that `look_up` did not recognize with cached files of their name by content digest."""
    index = lookup.index
    if index is None or not lookup.missing:
        return lookup
    names, limit = request.listing.names, request.settings.max_pixels
    row_of = {name: row for row, name in enumerate(index.names) if index.headers[row].pixels <= limit}
    candidates = {i: row_of[names[i]] for i in lookup.missing if names[i] in row_of}
    compare = partial(_matching, request, {i: index.digests[row] for i, row in candidates.items()})
    touched = tuple(i for chunk in request.map_chunks(compare, list(candidates)) for i in chunk)
    rows = list(lookup.rows)
    for i in touched:
        rows[i] = candidates[i]
    return replace(lookup, rows=tuple(rows), touched=touched)


def cached_samples(request: SampleRequest, lookup: Lookup) -> FolderSamples | None:
    """The cached samples if they are those of all readable images and of no others, otherwise None.

    Images that are not cached are decoded, to know whether they can be read. Raises InputError for one that cannot,
    unless the settings skip bad files.
    """
    if lookup.index is None:
        return None
    errors: dict[int, InputError] = {}
    for i in lookup.missing:
        try:
            decode_listed(request.listing, i, request.shape, request.settings.max_pixels)
        except InputError as error:
            errors[i] = request.settings.skipped(error)
        else:
            return None
    positions = [i for i, row in enumerate(lookup.rows) if row is not None]
    if [lookup.rows[i] for i in positions] != list(range(len(lookup.index.names))):
        return None
    return FolderSamples(lookup.samples, positions, list(lookup.index.digests), errors)


def _matching(request: SampleRequest, digests: dict[int, str], positions: Sequence[int]) -> list[int]:
    return [i for i in positions if digest_listed(request.listing, i) == digests[i]]
