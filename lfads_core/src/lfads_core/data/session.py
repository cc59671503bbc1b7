"""One recording session in memory: splits of trials and what rides along with them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float


@dataclass(frozen=True, kw_only=True, eq=False)
class Split:
    """The trials of ``train``, ``valid`` or ``test``."""

    encod: Float[np.ndarray, "B Te Ne"]
    recon: Float[np.ndarray, "B T N"]
    external: Float[np.ndarray, "B Tx E"]  # E = 0 when the file gives none
    nested: bool = True  # the input is the first bins and channels of what is reconstructed; False: another modality is reconstructed
    extras: Mapping[str, np.ndarray] = field(default_factory=dict)  # any other array with one row per trial, by key without prefix

    @property
    def trials(self) -> int:
        """Number of trials."""
        return int(self.encod.shape[0])


@dataclass(frozen=True, kw_only=True, eq=False)
class Session:
    """A file's contents under one name."""

    name: str
    path: Path | None
    splits: Mapping[str, Split]  # "train" and "valid", maybe "test"
    arrays: Mapping[str, np.ndarray] = field(default_factory=dict)  # arrays that belong to no split, such as readin_weight
    attributes: Mapping[str, Any] = field(default_factory=dict)  # file attributes, bin_ms and channel names among them

    @property
    def bin_ms(self) -> float | None:
        """Bin width in milliseconds, if the file says so."""
        value = self.attributes.get("bin_ms")
        return None if value is None else float(value)
