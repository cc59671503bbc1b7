"""Damage to any file: bits, lengths, blocks; and to JSON and text, which stay readable."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

ODD_TEXT = ("", " ", "é\x1b[2J", "\x00", "../../x", "/etc/passwd", "a" * 5000, "<script>alert(1)</script>", "\ud800", "١٢", "nan", "\r\n", "-1")
ODD_NUMBERS = (0, -1, 1, 2**31, 2**63, 2**64, 10**400, 1e308, -0.0, float("nan"), float("inf"), -float("inf"), 1e-320, 3.7, True)


def damaged(content: bytes, rng: np.random.Generator) -> bytes:
    """The same file with one to three kinds of damage."""
    for _ in range(int(rng.integers(1, 4))):
        content = _WAYS[rng.integers(len(_WAYS))](content, rng)
    return content


def _flip(content: bytes, rng: np.random.Generator) -> bytes:
    if not content:
        return content
    values = bytearray(content)
    # the beginning of a file, where sizes and types stand, as often as all the rest
    reach = len(values) if rng.random() < 0.5 else min(len(values), 4096)
    for at in rng.integers(0, reach, int(rng.integers(1, 30))):
        values[at] = int(rng.integers(256)) if rng.random() < 0.7 else int(rng.choice([0, 255, 127, 128]))
    return bytes(values)


def _cut(content: bytes, rng: np.random.Generator) -> bytes:
    return content[: int(rng.integers(0, len(content) + 1))]


def _zeros(content: bytes, rng: np.random.Generator) -> bytes:
    first, end = sorted(rng.integers(0, len(content) + 1, 2).tolist())
    end = min(end, first + 512)
    return content[:first] + bytes([int(rng.choice([0, 255]))]) * (end - first) + content[end:]


def _insert(content: bytes, rng: np.random.Generator) -> bytes:
    at = int(rng.integers(0, len(content) + 1))
    return content[:at] + rng.bytes(int(rng.integers(1, 64))) + content[at:]


def _twice(content: bytes, rng: np.random.Generator) -> bytes:
    first, end = sorted(rng.integers(0, len(content) + 1, 2).tolist())
    return content[:end] + content[first:end] + content[end:]


_WAYS = (_flip, _flip, _flip, _cut, _zeros, _insert, _twice)


def odd_json(text: str, rng: np.random.Generator) -> str:
    """The same JSON with one to three values replaced, removed or renamed."""
    data = json.loads(text)
    for _ in range(int(rng.integers(1, 4))):
        data = _odd(data, rng)
    return json.dumps(data)


def odd_value(rng: np.random.Generator) -> Any:
    """Something else than is expected."""
    choice = rng.random()
    if choice < 0.35:
        return ODD_TEXT[rng.integers(len(ODD_TEXT))]
    if choice < 0.7:
        return ODD_NUMBERS[rng.integers(len(ODD_NUMBERS))]
    return [None, [], {}, [[]], [1, "a", None], {"a": {"b": 1}}, [None] * 3, {"": ""}][rng.integers(8)]


def _odd(data: Any, rng: np.random.Generator) -> Any:
    if isinstance(data, dict) and data and rng.random() < 0.9:
        key = list(data)[rng.integers(len(data))]
        if (choice := rng.random()) < 0.1:
            return {k: v for k, v in data.items() if k != key}
        if choice < 0.2:
            return {**data, str(odd_value(rng)): data[key]}
        return {**data, key: _odd(data[key], rng)}
    if isinstance(data, list) and data and rng.random() < 0.9:
        at = int(rng.integers(len(data)))
        return [*data[:at], _odd(data[at], rng), *data[at + 1 :]]
    return odd_value(rng)


def odd_text(text: str, rng: np.random.Generator) -> str:
    """The same text with words, lines or signs changed."""
    lines = text.splitlines() or [""]
    for _ in range(int(rng.integers(1, 5))):
        at = int(rng.integers(len(lines)))
        choice = rng.random()
        if choice < 0.2:
            del lines[at : at + int(rng.integers(1, 4))]
            lines = lines or [""]
        elif choice < 0.4:
            lines.insert(at, lines[int(rng.integers(len(lines)))])
        elif choice < 0.7:
            words = lines[at].replace(":", " : ").replace(",", " , ").split(" ")
            words[int(rng.integers(len(words)))] = str(odd_value(rng))
            lines[at] = " ".join(words).replace(" : ", ": ").replace(" , ", ",")
        else:
            signs = list(lines[at]) or [" "]
            signs[int(rng.integers(len(signs)))] = str(rng.choice(list(":{}[]-,\t\"'&*!|>%@#\x00\x1b\u2028é0")))
            lines[at] = "".join(signs)
    return "\n".join(lines) + "\n"


def damage_file(path: Path, rng: np.random.Generator) -> None:
    """Damage a file in place, by what it is."""
    content = path.read_bytes()
    text = path.suffix in {".json", ".yaml", ".csv", ".txt", ".html"}
    if text and rng.random() < 0.75:
        said = content.decode(errors="replace")
        try:
            odd = odd_json(said, rng) if path.suffix == ".json" else odd_text(said, rng)
        except ValueError:
            odd = odd_text(said, rng)
        path.write_bytes(odd.encode(errors="surrogatepass"))
        return
    path.write_bytes(damaged(content, rng))
