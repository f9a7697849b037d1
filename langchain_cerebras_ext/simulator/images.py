"""Just enough of PNG and JPEG to check an image and to know its size."""

from __future__ import annotations

import base64
import binascii
import re
import struct

_DATA_URI = re.compile(r"data:image/(png|jpeg);base64,(.*)", re.DOTALL)
_PNG = b"\x89PNG\r\n\x1a\n"
_PNG_HEAD = 24
_JPEG = b"\xff\xd8"
_MARKER = 0xFF
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_JPEG_BARE = frozenset({0x01, *range(0xD0, 0xD8)})


class ImageError(ValueError):
    """An image cannot be taken; the text says why."""


def decode_image(uri: str) -> bytes:
    """Return the bytes of a data URI.

    Raises:
        ImageError: It is a link, another type, or no base64.
    """
    if uri.startswith(("http://", "https://")):
        msg = "image URLs are not supported, send the image as a base64 data URI"
        raise ImageError(msg)
    found = _DATA_URI.fullmatch(uri)
    if found is None:
        msg = "an image must be a data URI: data:image/png;base64,... or image/jpeg"
        raise ImageError(msg)
    try:
        data = base64.b64decode(found[2], validate=True)
    except (binascii.Error, ValueError) as error:
        msg = "the image is not valid base64"
        raise ImageError(msg) from error
    if not data.startswith((_PNG, _JPEG)):
        msg = "the image is neither PNG nor JPEG"
        raise ImageError(msg)
    return data


def image_size(uri: str) -> tuple[int, int] | None:
    """Return width and height in pixels, None if they cannot be read."""
    try:
        data = decode_image(uri)
    except ImageError:
        return None
    size = _png_size(data) if data.startswith(_PNG) else _jpeg_size(data)
    return size if size and min(size) > 0 else None


def _png_size(data: bytes) -> tuple[int, int] | None:
    if len(data) < _PNG_HEAD:
        return None
    width, height = struct.unpack(">II", data[16:_PNG_HEAD])
    return width, height


def _jpeg_size(data: bytes) -> tuple[int, int] | None:
    """Walk the markers up to the frame header, which holds the size."""
    at = 2
    while at + 9 <= len(data) and data[at] == _MARKER:
        marker = data[at + 1]
        if marker in _JPEG_FRAMES:
            height, width = struct.unpack(">HH", data[at + 5 : at + 9])
            return width, height
        if marker in _JPEG_BARE:
            at += 2
            continue
        (length,) = struct.unpack(">H", data[at + 2 : at + 4])
        at += 2 + length
    return None
