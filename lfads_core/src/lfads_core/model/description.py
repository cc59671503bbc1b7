"""What a model must know about its sessions to be built again without their data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from lfads_core.components import SessionInfo
from lfads_core.data.known import known_from_json, known_to_json
from lfads_core.data.session import KnownData, Session


@dataclass(frozen=True, kw_only=True, eq=False)
class ModelDescription:
    """Sizes of the data and each session's channels; kept with every checkpoint."""

    sessions: Sequence[SessionInfo]
    encoded_bins: int  # Te
    bins: int  # T
    external: int  # E
    bin_ms: float | None = None
    known: Mapping[str, KnownData] = field(default_factory=dict)  # what was known of each session's recording; older models do not say
    bare: tuple[str, ...] = ()  # sessions without a read-in, in a model that has read-ins for others
    aligned: tuple[str, ...] = ()  # sessions that an alignment follows

    def to_json(self) -> dict[str, Any]:
        """Plain data, without the arrays."""
        riding = {s.name: {key: list(shape) for key, shape in s.extras.items()} for s in self.sessions if s.extras}
        beside = {key: list(names) for key in ("bare", "aligned") if (names := getattr(self, key))}
        return {**self.sizes(), **beside, "riding": riding, "known": {name: known_to_json(known) for name, known in self.known.items()}}

    def sizes(self) -> dict[str, Any]:
        """What must be equal for weights to fit, as plain data."""
        return {
            "encoded_bins": self.encoded_bins,
            "bins": self.bins,
            "external": self.external,
            "bin_ms": self.bin_ms,
            "sessions": [{"name": s.name, "encod_channels": s.encod_channels, "recon_channels": s.recon_channels} for s in self.sessions],
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any], arrays: Mapping[str, Mapping[str, np.ndarray]]) -> ModelDescription:
        """Read back what ``to_json`` gave, with each session's arrays.

        Raises:
            KeyError, TypeError, ValueError: something is missing, of another kind, or a size that no data have.
        """
        riding = {name: {key: tuple(shape) for key, shape in of.items()} for name, of in data.get("riding", {}).items()}
        sessions = [SessionInfo(**s, factors=0, extras=riding.get(s["name"], {}), arrays=arrays.get(s["name"], {})) for s in data["sessions"]]
        known = {name: known_from_json(of) for name, of in data.get("known", {}).items()}
        sizes = {key: data[key] for key in ("encoded_bins", "bins", "external", "bin_ms")}
        counts = [sizes["encoded_bins"], sizes["bins"] - sizes["encoded_bins"] + 1, sizes["external"] + 1]
        counts += [count for s in sessions for count in (s.encod_channels, s.recon_channels)]
        if not sessions or not all(isinstance(count, int) and count > 0 for count in counts):
            raise ValueError(f"'description' must have sizes that data can have, got {sizes} and sessions {data['sessions']}")
        return cls(sessions=sessions, known=known, bare=tuple(data.get("bare", ())), aligned=tuple(data.get("aligned", ())), **sizes)


def describe(sessions: Sequence[Session]) -> ModelDescription:
    """Describe checked sessions, which agree on bins and external inputs."""
    first = sessions[0].splits["train"]
    return ModelDescription(
        sessions=[_info(session) for session in sessions],
        encoded_bins=first.encod.shape[1],
        bins=first.recon.shape[1],
        external=first.external.shape[2],
        bin_ms=sessions[0].bin_ms,
        known={session.name: session.known for session in sessions if session.known is not None},
    )


def _info(session: Session) -> SessionInfo:
    """A session's channels, and its arrays of numbers with a row per channel: what layers may be built from, and no more."""
    encod, recon = (data.shape[2] for data in (session.splits["train"].encod, session.splits["train"].recon))
    rows = {(encod,), (recon,)}
    return SessionInfo(
        name=session.name,
        encod_channels=encod,
        recon_channels=recon,
        factors=0,
        extras={key: tuple(value.shape[1:]) for key, value in session.splits["train"].extras.items() if value.dtype.kind in "biuf"},
        arrays={key: value for key, value in session.arrays.items() if value.dtype.kind in "biuf" and value.shape[:1] in rows},
    )
