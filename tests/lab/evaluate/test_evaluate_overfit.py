"""The rules by which a model is said to copy or to know its trials by heart, on made-up costs and on a model that does copy."""

from __future__ import annotations

import pytest

from lfads_plugins_lab.evaluate.costs import Costs
from lfads_plugins_lab.evaluate.overfit import judge_fit

GOOD = Costs(all=1.0, seen=1.0, hidden=1.1, heldout=None, null_seen=2.0, null_heldout=None)


def costs(**changes):
    import dataclasses

    return dataclasses.replace(GOOD, **changes)


def test_a_model_that_keeps_its_gain_on_hidden_values_is_not_warned_of():
    verdict = judge_fit({"train": GOOD, "valid": GOOD}, {"bps": 0.3, "co_bps": 0.2})
    assert (verdict.hidden_share, verdict.general_share, verdict.warnings) == (pytest.approx(0.9), pytest.approx(1.0), ())


def test_a_model_that_loses_its_gain_on_hidden_values_copies():
    verdict = judge_fit({"valid": costs(hidden=1.45)}, {})
    assert verdict.warnings == (
        (
            "identity overfit: on values hidden from it the model keeps 55% of what it gains over mean rates on values it sees (below 60%): it "
            "copies its input. Raise coordinated dropout or model.dropout, or judge by 'masked' or 'heldout'."
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
    for one in (costs(null_seen=None), costs(hidden=None), costs(seen=2.5), costs(seen=None)):
        assert judge_fit({"valid": one}, {}).hidden_share is None
    assert judge_fit({}, {}).warnings == ()
