"""PNG files written in strips by several threads, which Pillow cannot (ISO/IEC 15948).

Each strip of rows is filtered by "up" (the difference to the row above) and deflated on its own at level 1 with run
lengths; the pieces end on byte boundaries, so that one after the other they are one stream.
"""

import struct
import zlib
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from dlnotes_cli.data.workers import over_strips

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_COLOR_TYPES = {1: 0, 2: 4, 3: 2, 4: 6}  # channels: gray, gray with alpha, color, color with alpha
_UP = 2  # the filter's number
_STRIP = 2**19  # bytes
_LEVEL, _WINDOW, _MEMORY = 1, -15, 9  # a negative window is raw deflate, without zlib's header and check sum
_STREAM_HEADER = b"\x78\x01"  # zlib, window of 32 KiB, fastest


def write_png(stream: IO[bytes], pixels: NDArray[Any], *, icc: bytes | None = None, threads: int = 1) -> None:
    """Write pixels (H, W) or (H, W, C) of uint8 or uint16; C is 1 to 4, the last of 2 or 4 is alpha."""
    height, width = pixels.shape[:2]
    lines = pixels.reshape(height, -1)
    stream.write(_SIGNATURE)
    color = _COLOR_TYPES[lines.shape[1] // width]
    _write_chunk(stream, b"IHDR", struct.pack(">IIBBBBB", width, height, 8 * pixels.itemsize, color, 0, 0, 0))
    if icc is not None:
        _write_chunk(stream, b"iCCP", b"ICC profile\0\0" + zlib.compress(icc))

    def deflate(start: int, stop: int) -> tuple[bytes, bytes]:
        filtered = _filtered(lines, start, stop)
        packer = zlib.compressobj(_LEVEL, zlib.DEFLATED, _WINDOW, _MEMORY, zlib.Z_RLE)
        end = zlib.Z_FINISH if stop == height else zlib.Z_FULL_FLUSH
        return packer.compress(filtered) + packer.flush(end), filtered

    check, head = 1, _STREAM_HEADER  # 1: Adler-32 of nothing
    strip = max(_STRIP // (lines.shape[1] * lines.itemsize), 1)
    for packed, filtered in over_strips(deflate, height, strip, threads):
        _write_chunk(stream, b"IDAT", head + packed)
        check, head = zlib.adler32(filtered, check), b""
    _write_chunk(stream, b"IDAT", struct.pack(">I", check))
    _write_chunk(stream, b"IEND", b"")


def _filtered(lines: NDArray[Any], start: int, stop: int) -> bytes:
    """The bytes of rows, each as the difference to the row above, after the filter's number."""
    rows = lines[max(start - 1, 0) : stop]
    values = rows.astype(">u2").view(np.uint8).reshape(len(rows), -1) if lines.itemsize > 1 else rows
    found = np.empty((stop - start, values.shape[1] + 1), np.uint8)
    found[:, 0] = _UP
    if start == 0:
        found[0, 1:] = values[0]
    np.subtract(values[1:], values[:-1], out=found[len(found) - len(values) + 1 :, 1:])
    return found.data  # type: ignore[return-value]  # zlib reads any buffer


def _write_chunk(stream: IO[bytes], name: bytes, content: bytes) -> None:
    stream.write(struct.pack(">I", len(content)) + name)
    stream.write(content)
    stream.write(struct.pack(">I", zlib.crc32(content, zlib.crc32(name))))
