"""Write PNG files in strips with several threads, which Pillow cannot (ISO/IEC 15948).

Each strip of rows is filtered with "up" (the difference to the row above) and deflated separately at level 1 with
run-length encoding. The compressed strips end on byte boundaries, so their concatenation is one deflate stream.
"""

import struct
import zlib
from functools import partial
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from dlnotes_cli.data.row_strips import over_strips

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_COLOR_TYPES = {1: 0, 2: 4, 3: 2, 4: 6}  # channels: gray, gray with alpha, color, color with alpha
_UP = 2  # number of the filter
_STRIP = 2**19  # bytes
_LEVEL, _WINDOW, _MEMORY = 1, -15, 9  # a negative window means raw deflate without zlib's header and checksum
_STREAM_HEADER = b"\x78\x01"  # zlib with a window of 32 KiB, fastest level


def write_png(stream: IO[bytes], pixels: NDArray[Any], *, icc: bytes | None = None, threads: int = 1) -> None:
    """Write pixels (H, W) or (H, W, C) of uint8 or uint16; C is 1 to 4; the last channel of 2 or 4 is alpha."""
    height, width = pixels.shape[:2]
    lines = pixels.reshape(height, -1)
    stream.write(_SIGNATURE)
    color = _COLOR_TYPES[lines.shape[1] // width]
    _write_chunk(stream, b"IHDR", struct.pack(">IIBBBBB", width, height, 8 * pixels.itemsize, color, 0, 0, 0))
    if icc is not None:
        _write_chunk(stream, b"iCCP", b"ICC profile\0\0" + zlib.compress(icc))
    checksum, header = 1, _STREAM_HEADER  # 1 is the Adler-32 of an empty stream
    strip = max(_STRIP // (lines.shape[1] * lines.itemsize), 1)
    for packed, filtered in over_strips(partial(_deflated, lines), height, strip, threads):
        _write_chunk(stream, b"IDAT", header + packed)
        checksum, header = zlib.adler32(filtered, checksum), b""
    _write_chunk(stream, b"IDAT", struct.pack(">I", checksum))
    _write_chunk(stream, b"IEND", b"")


def _deflated(lines: NDArray[Any], start: int, stop: int) -> tuple[bytes, bytes]:
    """Rows start to stop: their deflated and their filtered bytes; the last strip ends the stream."""
    filtered = _filtered(lines, start, stop)
    compressor = zlib.compressobj(_LEVEL, zlib.DEFLATED, _WINDOW, _MEMORY, zlib.Z_RLE)
    end = zlib.Z_FINISH if stop == len(lines) else zlib.Z_FULL_FLUSH
    return compressor.compress(filtered) + compressor.flush(end), filtered


def _filtered(lines: NDArray[Any], start: int, stop: int) -> bytes:
    """Rows start to stop, each as the filter's number and the bytewise difference to the row above."""
    rows = lines[max(start - 1, 0) : stop]
    values = rows.astype(">u2").view(np.uint8).reshape(len(rows), -1) if lines.itemsize > 1 else rows
    filtered = np.empty((stop - start, values.shape[1] + 1), np.uint8)
    filtered[:, 0] = _UP
    if start == 0:
        filtered[0, 1:] = values[0]
    np.subtract(values[1:], values[:-1], out=filtered[len(filtered) - len(values) + 1 :, 1:])
    return filtered.data  # type: ignore[return-value]  # zlib reads any buffer


def _write_chunk(stream: IO[bytes], name: bytes, content: bytes) -> None:
    stream.write(struct.pack(">I", len(content)) + name)
    stream.write(content)
    stream.write(struct.pack(">I", zlib.crc32(content, zlib.crc32(name))))
