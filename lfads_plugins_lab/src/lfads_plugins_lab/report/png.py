"""Small pictures of arrays as PNG, inline: written by hand, so that a page needs no matplotlib."""

from __future__ import annotations

import base64
import struct
import zlib

import numpy as np
from jaxtyping import Float, Real, UInt8

RAMP = np.array([[0, 32, 77], [65, 77, 107], [124, 123, 120], [187, 175, 113], [255, 234, 70]], dtype=np.float64)
"""Colours from low to high, even in lightness and the same to colour-blind readers."""


def heat(values: Real[np.ndarray, "R C"], low: float, high: float) -> str:
    """A data URI of the values between two ends of the colour scale; NaN is transparent."""
    span = high - low if high > low else 1.0
    known = np.isfinite(values)
    place = np.clip((np.where(known, values, low) - low) / span, 0, 1) * (len(RAMP) - 1)
    below = np.minimum(place.astype(int), len(RAMP) - 2)
    share = (place - below)[..., None]
    colours = RAMP[below] * (1 - share) + RAMP[below + 1] * share
    return encode(np.concatenate([colours, np.where(known, 255.0, 0.0)[..., None]], axis=2))


def raster(counts: Real[np.ndarray, "R C"], top: float) -> str:
    """A data URI in which a value darkens the page, fully from ``top`` on, and zero is transparent; NaN is a faint red."""
    known = np.isfinite(counts)
    strength = np.clip(np.where(known, counts, 0) / top if top > 0 else 0 * counts, 0, 1)
    pixels = np.zeros((*counts.shape, 4))
    pixels[..., 3] = 255 * strength
    pixels[~known] = (200, 60, 30, 60)
    return encode(pixels)


def encode(pixels: Float[np.ndarray, "R C 4"]) -> str:
    """RGBA from 0 to 255 as a data URI."""
    rows: UInt8[np.ndarray, "R C 4"] = np.clip(np.rint(pixels), 0, 255).astype(np.uint8)
    height, width = rows.shape[:2]
    lines = b"".join(b"\0" + row.tobytes() for row in rows)
    header = struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0)
    content = b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", zlib.compress(lines, 9)) + _chunk(b"IEND", b"")
    return "data:image/png;base64," + base64.b64encode(content).decode("ascii")


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
