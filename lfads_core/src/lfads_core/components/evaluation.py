"""What a metric gets to see: the predictions and the data of one split of one session."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float


@dataclass(frozen=True, kw_only=True, eq=False)
class Evaluation:
    """Predictions beside data, in the original trial order."""

    session: str
    split: str
    means: Float[np.ndarray, "B T N"]  # posterior-averaged expected value per bin
    data: Float[np.ndarray, "B T N"]  # what was reconstructed; NaN where not observed
    encod_bins: int  # Te: bins beyond are forward predictions
    encod_channels: int  # Ne: channels beyond were held out
    support: str  # of the reconstruction: "counts", "real", "nonnegative" or "positive"
    is_rate: bool  # whether means are expected counts
    bin_ms: float | None = None  # bin width, if known
    behaviour: str = ""  # what the file says of its behaviour, if anything
    train: Evaluation | None = None  # the session's training trials, for metrics that fit something; only after training
    extras: Mapping[str, np.ndarray] = field(default_factory=dict)  # other per-trial arrays; "truth" (B, T, N) are true rates
