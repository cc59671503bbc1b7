"""Whether a model's fit to what it saw holds for what it did not see."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from lfads_plugins_lab.evaluate.costs import Costs
from lfads_plugins_lab.evaluate.kept import KeptGain
from lfads_plugins_std.metrics.titles import title

LEAST_SHARE = 0.6
"""Of what a model gains over mean rates on values it sees, so much must remain on values hidden from it; below, it is said to copy.

Hiding a fifth of the input takes information away too. Measured: 99 % for a good model of Lorenz data, 75 % for one of a recording that
predicts held-out channels well, 47 % for a model of the same Lorenz data that copies (R2 to the true rates 0.58 against 0.96).
"""

LEAST_GENERAL = 0.5
"""Of what it gains on training trials, so much must remain on validation trials; below, it is said to know its training trials by heart."""


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """Shares of gains that remain, and what is wrong with them in words; None where a share makes no sense."""

    hidden_share: float | None  # (null - hidden) / (null - seen) on hidden values of validation trials, with its interval
    hidden_low: float | None
    hidden_high: float | None
    unclear: str | None  # why nothing can be said of copying; None: something can
    general_share: float | None  # (null - seen) of validation trials by that of training trials
    warnings: tuple[str, ...]


def judge_fit(costs: Mapping[str, Costs], scores: Mapping[str, float], smoothing: Mapping[str, float] | None = None) -> Verdict:
    """Look at costs by split, and at scores of the model and of smoothed data on validation trials.

    A model that copies its input gains much where it sees and little where values are hidden (``hidden_share``), or nothing on
    channels that it never sees (co-bps). One that knows training trials by heart gains less on others (``general_share``).
    """
    warnings = []
    valid = costs.get("valid")
    kept = None if valid is None else valid.kept
    if kept is not None and kept.share is not None and kept.high is not None and kept.high < LEAST_SHARE:
        warnings.append(
            f"identity overfit: on values hidden from it the model keeps {kept_text(kept.share, kept.low, kept.high)} of what it gains "
            f"over mean rates when it sees them (below {LEAST_SHARE:.0%}): it copies its input. "
            "Raise coordinated dropout or model.dropout, or judge by 'masked' or 'heldout'."
        )
    bps, co_bps = scores.get("bps"), scores.get("co_bps")
    if bps is not None and co_bps is not None and co_bps <= 0 < bps:
        warnings.append(
            f"identity overfit: held-out channels are predicted no better than by their mean rates (co-bps {co_bps:.3f}), seen ones are (bits per "
            f"spike {bps:.3f}). The model copies its input, or the held-out channels share nothing with the others."
        )
    general = _general_share(costs)
    if general is not None and general < LEAST_GENERAL:
        warnings.append(
            f"overfit: on validation trials the model keeps {general:.0%} of what it gains over mean rates on training trials (below "
            f"{LEAST_GENERAL:.0%}). Raise the KL or L2 scales, take a smaller generator, or more trials."
        )
    if valid is not None and valid.gain is not None and valid.gain <= 0:
        warnings.append(
            f"no better than a constant: the model prices validation trials at {valid.all:.4g} nats a value, a distribution that never changes at "
            f"{valid.null_all:.4g}. Train longer, at a smaller optim.lr, or take wider bins."
        )
    compared = next((name for name in ("co_bps", "co_r2", "bps", "r2") if name in scores and name in (smoothing or {})), None)
    if compared is not None and smoothing is not None and scores[compared] <= smoothing[compared]:
        warnings.append(
            f"no better than smoothing: {title(compared)}: {scores[compared]:.3f}, of the smoothed data {smoothing[compared]:.3f}. Train longer, try "
            "a smaller regularisation.kl_inputs or more factors; of few trials smoothing may be all that can be had."
        )
    low, high = (None, None) if kept is None else (kept.low, kept.high)
    return Verdict(
        hidden_share=None if kept is None else kept.share,
        hidden_low=low,
        hidden_high=high,
        unclear=_unclear(kept),
        general_share=general,
        warnings=tuple(warnings),
    )


def kept_text(share: float, low: float | None, high: float | None) -> str:
    """A share with its interval."""
    return f"{share:.0%}" if low is None or high is None else f"{share:.0%} ({low:.0%} to {high:.0%})"


def _unclear(kept: KeptGain | None) -> str | None:
    if kept is None:
        return "nothing can be hidden, there are fewer than three trials, or the reconstruction cannot price mean rates"
    if kept.share is None:
        return f"the gain over mean rates, {kept.gain:.2g} ± {kept.gain_error:.2g} per value, is too small for a share of it"
    if kept.low is not None and kept.high is not None and kept.low < LEAST_SHARE <= kept.high:
        return f"the share kept on hidden values, {kept_text(kept.share, kept.low, kept.high)}, may lie on either side of {LEAST_SHARE:.0%}"
    return None


def _general_share(costs: Mapping[str, Costs]) -> float | None:
    train, valid = costs.get("train"), costs.get("valid")
    if train is None or valid is None or train.seen is None or valid.seen is None or train.null_seen is None or valid.null_seen is None:
        return None
    gain = train.null_seen - train.seen
    return (valid.null_seen - valid.seen) / gain if gain > 0 else None
