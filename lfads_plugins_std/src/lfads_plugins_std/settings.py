"""Settings of the standard components; importing this loads no torch."""

from __future__ import annotations

import math
from typing import ClassVar

from attrs import frozen

from lfads_core.config.fields import above, at_least, between, one_of, setting, share
from lfads_core.config.spaces import LIVE, uniform


@frozen(kw_only=True)
class NormalConfig:
    """Independent normal, the same in every bin."""

    over_time: ClassVar[str] = "mean"  # KL over bins, which is nothing to set here
    mean: float = setting(0.0, "initial mean")
    variance: float = setting(0.1, "variance; fixed, unless train_variance", rule=above(0), tune="sometimes")
    train_mean: bool = setting(True, "whether the mean is trained")
    train_variance: bool = setting(False, "whether the variance is trained, from this start, one per dimension")
    min_variance: float = setting(0.0, "bound that a trained variance stays above", rule=at_least(0))
    max_variance: float | None = setting(None, "bound that a trained variance stays below (null: none)", rule=above(0))

    def rules(self) -> list[str]:
        """Faults across fields."""
        bounds = self.min_variance != 0 or self.max_variance is not None
        if bounds and not self.train_variance:
            return ["train_variance: must be true with min_variance or max_variance, which bound a trained variance, got false"]
        if self.train_variance and not self.min_variance < self.variance < (math.inf if self.max_variance is None else self.max_variance):
            above_all = "" if self.max_variance is None else f" and below max_variance ({self.max_variance:g})"
            return [f"variance: must be above min_variance ({self.min_variance:g}){above_all} with train_variance, got {self.variance:g}"]
        return []


@frozen(kw_only=True)
class AutoregressiveConfig:
    """First-order autoregressive process in time, one per inferred input."""

    tau: float = setting(10.0, "initial time constant", rule=above(0), unit="bins", tune="sometimes")
    variance: float = setting(0.1, "initial variance of the innovations", rule=above(0), tune="sometimes")
    train_tau: bool = setting(True, "whether the time constant is trained")
    train_variance: bool = setting(True, "whether the innovation variance is trained")
    over_time: str = setting(
        "sum", "KL over bins: sum as published, or mean so that its scale compares with the normal prior's", rule=one_of("sum", "mean")
    )


@frozen(kw_only=True)
class StudentTConfig:
    """Heavy-tailed Student-t; posterior samples have the same degrees of freedom."""

    over_time: ClassVar[str] = "mean"  # KL over bins, which is nothing to set here
    location: float = setting(0.0, "initial location; trainable")
    scale: float = setting(0.3, "initial scale; trainable", rule=above(0), tune="sometimes")
    degrees: float = setting(5.0, "degrees of freedom; fewer make heavier tails", rule=above(0), tune="sometimes")
    train_degrees: bool = setting(False, "whether the degrees of freedom are trained, from this start, above 1")

    def rules(self) -> list[str]:
        """Faults across fields."""
        if self.train_degrees and self.degrees <= 1:
            return [f"degrees: must be > 1 with train_degrees, got {self.degrees:g}"]
        return []


@frozen(kw_only=True)
class GaussianConfig:
    """Normal with a mean and a variance in each bin."""

    beta: float = setting(
        0.0,
        "power of the variance that weighs each value's gradients (0: those of the likelihood; 1: means are learned as with the squared error)",
        rule=between(0, 1),
        tune="sometimes",
    )


@frozen(kw_only=True)
class CoordinatedDropoutConfig:
    """Hide a share of the input and learn only from what was hidden."""

    rate: float = setting(
        0.3, "share of input values hidden; the others are divided by 1 - rate", rule=share(), tune="often", search=uniform(0.01, 0.7)
    )
    pass_rate: float = setting(0.0, "share of the visible values that are learnt from all the same", rule=share(), search=LIVE)
    mask: str = setting(
        "input",
        "values that are masked: 'input' (all that was not an input is learnt from) or 'reconstruction' (only the hidden share is)",
        rule=one_of("input", "reconstruction"),
    )


@frozen(kw_only=True)
class SpikeJitterConfig:
    """Move every spike a little, so that a model cannot copy exact times."""

    width: int = setting(2, "largest move", rule=at_least(1), unit="bins", tune="sometimes", search=LIVE)


@frozen(kw_only=True)
class SampleValidationConfig:
    """Hide a share of the input values and report how well they are predicted."""

    rate: float = setting(0.2, "share of input values hidden", rule=share())
    reduce: str = setting("mean", "logged cost: mean over values, or sum per trial", rule=one_of("mean", "sum"))


@frozen(kw_only=True)
class LinearReadinConfig:
    """An affine map per session that starts at random."""

    size: int | None = setting(None, "width D after the read-in (null: as many as there are factors)", rule=at_least(1), tune="sometimes")
    trainable: bool = setting(True, "whether training changes the read-in; a fixed one is a random projection")


@frozen(kw_only=True)
class PCRReadinConfig:
    """An affine map per session, computed beforehand and kept in the file as ``readin_weight`` and ``readout_bias``."""

    trainable: bool = setting(False, "whether training changes the read-in")


@frozen(kw_only=True)
class LinearReadoutConfig:
    """A trainable affine map per session."""

    start_at_mean: bool = setting(True, "start the bias at the mean of the training data, where the reconstruction allows it")


@frozen(kw_only=True)
class PCRReadoutConfig:
    """The inverse of the session's read-in as the start of the read-out."""

    inverse: str = setting("pinv", "pseudo-inverse, or transpose for orthonormal read-ins", rule=one_of("pinv", "transpose"))
    trainable: bool = setting(True, "whether training changes the read-out")
    linearise: bool = setting(
        True, "start with parameters, such as log-rates, whose expected values are those of the inverse; false takes its values for parameters"
    )
