"""Settings of the way from raw EMG to envelopes; no torch and no scipy here."""

from __future__ import annotations

from attrs import frozen

from lfads_core.config.fields import above, at_least, between, setting


@frozen(kw_only=True)
class EnvelopeConfig:
    """High-pass, notch, rectify, resample, clip, scale, floor, in this order (Wimalasena et al. 2022)."""

    highpass_hz: float | None = setting(65.0, "corner of the high-pass filter, against movement artefacts (null: none)", rule=above(0), unit="Hz")
    order: int = setting(4, "order of the Butterworth high-pass; running it both ways doubles the slope", rule=at_least(1))
    mains_hz: float | None = setting(60.0, "frequency of the mains, notched out with its multiples (null: none)", rule=above(0), unit="Hz")
    harmonics: int = setting(5, "how many lines are notched, the mains included, as far as the sampling rate holds them", rule=at_least(1))
    notch_width_hz: float = setting(2.0, "width of each notch at half power", rule=above(0), unit="Hz")
    bin_ms: float = setting(2.0, "width of a bin; rectified samples are averaged in it", rule=above(0), unit="ms", tune="sometimes")
    clip_percentile: float | None = setting(
        99.99, "percentile of a channel's training values above which all are cut (null: none)", rule=between(0, 100), tune="sometimes"
    )
    scale_percentile: float = setting(95.0, "percentile of a channel's training values that becomes 1", rule=between(0, 100), tune="sometimes")
    floor: float = setting(1e-3, "smallest value, after scaling: the gamma needs values above 0", rule=above(0))
