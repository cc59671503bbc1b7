"""The rules by which a model is said to copy or to know its trials by heart, on made-up costs and on a model that does copy."""

from __future__ import annotations

import numpy as np
import pytest

from lfads_plugins_lab.evaluate.costs import Costs
from lfads_plugins_lab.evaluate.kept import KeptGain, kept_gain
from lfads_plugins_lab.evaluate.overfit import judge_fit


def kept(share, reach=0.05, gain=1.0):
    return KeptGain(share=share, low=share - reach, high=share + reach, gain=gain, gain_error=0.01)


GOOD = Costs(all=1.0, seen=1.0, hidden=1.1, heldout=None, null_seen=2.0, null_heldout=None, kept=kept(0.9))


def costs(**changes):
    import dataclasses

    return dataclasses.replace(GOOD, **changes)


def test_a_model_that_keeps_its_gain_on_hidden_values_is_not_warned_of():
    verdict = judge_fit({"train": GOOD, "valid": GOOD}, {"bps": 0.3, "co_bps": 0.2})
    assert (verdict.hidden_share, verdict.general_share, verdict.warnings) == (pytest.approx(0.9), pytest.approx(1.0), ())


def test_a_model_that_loses_its_gain_on_hidden_values_copies():
    verdict = judge_fit({"valid": costs(kept=kept(0.5))}, {})
    assert verdict.unclear is None
    assert verdict.warnings == (
        (
            "identity overfit: on values hidden from it the model keeps 50% (45% to 55%) of what it gains over mean rates when it sees them (below "
            "60%): it copies its input. Raise coordinated dropout or model.dropout, or judge by 'masked' or 'heldout'."
        ),
    )


def test_held_out_channels_that_are_no_better_than_mean_rates_are_warned_of():
    verdict = judge_fit({"valid": GOOD}, {"bps": 0.3, "co_bps": -0.02})
    assert verdict.warnings == (
        (
            "identity overfit: held-out channels are predicted no better than by their mean rates (co-bps -0.020), seen ones are (bits per spike "
            "0.300). The model copies its input, or the held-out channels share nothing with the others."
        ),
    )


def test_a_gain_that_training_trials_have_alone_is_warned_of():
    verdict = judge_fit({"train": costs(seen=0.0), "valid": costs(seen=1.5, hidden=1.5)}, {})
    assert verdict.general_share == pytest.approx(0.25)
    assert verdict.warnings == (
        (
            "overfit: on validation trials the model keeps 25% of what it gains over mean rates on training trials (below 50%). "
            "Raise the KL or L2 scales, take a smaller generator, or more trials."
        ),
    )


def test_without_a_gain_or_without_hidden_values_there_is_no_share():
    assert judge_fit({"valid": costs(kept=None)}, {}).hidden_share is None
    assert judge_fit({}, {}).warnings == ()


def test_a_share_that_may_lie_on_either_side_is_not_warned_of():
    verdict = judge_fit({"valid": costs(kept=kept(0.55, 0.1))}, {})
    assert verdict.warnings == ()
    assert verdict.unclear == "the share kept on hidden values, 55% (45% to 65%), may lie on either side of 60%"


def draws(rng, trials, gain, share, noise=1.0):
    """Costs of trials whose values gain and keep what is said, on average; what varies is common to all three."""
    values = rng.integers(20, 60, trials).astype(float)
    null = values * 2 + rng.normal(size=trials) * 5
    own = gain * values + noise * rng.normal(size=trials) * np.sqrt(values)
    return null, null - own, null - share * own - noise * 0.3 * rng.normal(size=trials) * np.sqrt(values), values


@pytest.mark.parametrize("share", [0.3, 0.9])
def test_the_interval_holds_the_true_share_as_often_as_it_says(share):
    rng = np.random.default_rng(0)
    found = [kept_gain(*draws(rng, 40, 0.5, share)) for _ in range(400)]
    held = np.mean([one.low <= share <= one.high for one in found])
    assert 0.92 <= held <= 0.98
    one = found[0]
    null, seen, hidden, values = draws(np.random.default_rng(0), 40, 0.5, share)
    assert one.share == pytest.approx((null - hidden).sum() / (null - seen).sum())
    assert one.gain == pytest.approx((null - seen).sum() / values.sum())


def test_where_there_is_no_gain_nothing_is_said_of_its_share():
    rng = np.random.default_rng(1)
    found = [kept_gain(*draws(rng, 40, 0.0, 0.9)) for _ in range(200)]
    assert sum(one.share is not None for one in found) <= 4
    verdict = judge_fit({"valid": costs(kept=found[0])}, {})
    assert verdict.warnings == ()
    assert verdict.unclear.startswith("the gain over mean rates, ")
    assert kept_gain(*np.ones((4, 2))) is None
