"""Channels as figures name them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Channels:
    """Names of the channels in the order of the data; the model sees the first ``seen`` of them."""

    names: Sequence[str]
    seen: int

    def title(self, channel: int) -> str:
        """What a channel is called above its panel."""
        return f"Channel {self.names[channel]}{', held out' if channel >= self.seen else ''}"
