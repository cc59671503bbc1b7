"""Where the verdicts on a fit turn, to the number: shares at their limits, scores that are missing, costs that are."""

from __future__ import annotations

import pytest

from lfads_plugins_lab.evaluate.costs import Costs
from lfads_plugins_lab.evaluate.kept import KeptGain
from lfads_plugins_lab.evaluate.overfit import Verdict, judge_fit, kept_text


def costs(seen=1.0, null_seen=2.0, **changes):
    return Costs(**{"all": 1.0, "hidden": None, "heldout": None, "null_heldout": None, "seen": seen, "null_seen": null_seen, **changes})


def kept(low, high):
    return KeptGain(share=(low + high) / 2, low=low, high=high, gain=1.0, gain_error=0.01)


def verdict_of(low, high):
    return judge_fit({"valid": costs(kept=kept(low, high))}, {})


def test_a_verdict_holds_the_share_and_its_interval():
    assert judge_fit({"valid": costs(kept=kept(0.75, 1.0))}, {}) == Verdict(
        hidden_share=0.875, hidden_low=0.75, hidden_high=1.0, unclear=None, general_share=None, warnings=()
    )


def test_an_interval_that_ends_at_the_limit_does_not_lie_below_it():
    below, at_its_end, at_its_beginning = verdict_of(0.3, 0.599), verdict_of(0.4, 0.6), verdict_of(0.6, 0.8)
    assert len(below.warnings) == 1
    assert (at_its_end.warnings, at_its_beginning.warnings) == ((), ())
    assert (below.unclear, at_its_beginning.unclear) == (None, None)
    assert at_its_end.unclear == "the share kept on hidden values, 50% (40% to 60%), may lie on either side of 60%"


def test_without_hidden_values_and_without_a_clear_gain_the_verdict_says_why():
    nothing = "nothing can be hidden, there are fewer than three trials, or the reconstruction cannot price mean rates"
    empty = Verdict(hidden_share=None, hidden_low=None, hidden_high=None, unclear=nothing, general_share=None, warnings=())
    assert judge_fit({}, {}) == judge_fit({"valid": costs()}, {}) == empty
    small = KeptGain(share=None, low=None, high=None, gain=0.01234, gain_error=0.0567)
    assert judge_fit({"valid": costs(kept=small)}, {}).unclear == "the gain over mean rates, 0.012 ± 0.057 per value, is too small for a share of it"


@pytest.mark.parametrize(
    ("scores", "warned"),
    [
        ({"bps": 0.3, "co_bps": 0.0}, True),
        ({"bps": 0.3, "co_bps": 0.001}, False),
        ({"bps": 0.0, "co_bps": -0.1}, False),
        ({"bps": 1.5, "co_bps": 0.5}, False),
        ({"bps": 0.3}, False),
        ({"co_bps": -0.1}, False),
    ],
)
def test_held_out_channels_are_warned_of_only_where_seen_ones_are_predicted(scores, warned):
    found = judge_fit({}, scores).warnings
    assert [text.startswith("identity overfit: held-out channels") for text in found] == [True] * warned


@pytest.mark.parametrize(
    ("train", "valid", "share", "warned"),
    [
        (costs(0.0, 2.0), costs(1.5, 2.5), 0.5, False),
        (costs(0.0, 2.0), costs(1.5, 2.49), 0.495, True),
        (costs(1.5, 2.0), costs(1.5, 1.75), 0.5, False),
        (costs(2.0, 2.0), costs(1.0, 2.0), None, False),
        (costs(3.0, 2.0), costs(1.0, 2.0), None, False),
        (costs(None, 2.0), costs(), None, False),
        (costs(1.0, None), costs(), None, False),
        (costs(), costs(None, 2.0), None, False),
        (costs(), costs(1.0, None), None, False),
    ],
)
def test_a_share_of_the_gain_on_training_trials_needs_that_gain_and_all_four_costs(train, valid, share, warned):
    found = judge_fit({"train": train, "valid": valid}, {})
    assert found.general_share == (None if share is None else pytest.approx(share))
    assert [text.startswith("overfit: ") for text in found.warnings] == [True] * warned
    assert judge_fit({"train": train}, {}).general_share is None
    assert judge_fit({"valid": valid}, {}).general_share is None


@pytest.mark.parametrize(("null", "said"), [(1.001, None), (1.0, "1"), (0.987654, "0.9877"), (None, None)])
def test_a_model_that_a_constant_equals_is_warned_of(null, said):
    text = (
        f"no better than a constant: the model prices validation trials at 1 nats a value, a distribution that never changes at {said}. "
        "Train longer, at a smaller optim.lr, or take wider bins."
    )
    assert list(judge_fit({"valid": costs(null_all=null)}, {}).warnings) == ([] if said is None else [text])


@pytest.mark.parametrize(
    ("scores", "smoothing", "said"),
    [
        (
            {"co_bps": 0.125, "bps": 0.3},
            {"co_bps": 0.125, "bps": 0.1},
            "bits per spike, held-out channels (co-bps): 0.125, of the smoothed data 0.125",
        ),
        ({"co_bps": 0.2, "bps": 0.1}, {"co_bps": 0.1, "bps": 0.3}, None),
        ({"co_r2": 0.1, "r2": 0.3}, {"co_r2": 0.2, "r2": 0.1}, "R² to the data, held-out channels: 0.100, of the smoothed data 0.200"),
        ({"co_r2": 0.1, "r2": 0.3}, {"r2": 0.4}, "R² to the data: 0.300, of the smoothed data 0.400"),
        ({"bps": 0.1}, {"bps": 0.2, "co_bps": 0.3}, "bits per spike, seen channels: 0.100, of the smoothed data 0.200"),
        ({"psth_r2": 0.1}, {"psth_r2": 0.2}, None),
        ({"bps": 0.1}, {}, None),
        ({"bps": 0.1}, None, None),
        ({}, {"bps": 0.1}, None),
    ],
)
def test_smoothing_is_compared_by_the_first_score_that_both_have(scores, smoothing, said):
    rest = "Train longer, try a smaller regularisation.kl_inputs or more factors; of few trials smoothing may be all that can be had."
    assert list(judge_fit({}, scores, smoothing).warnings) == ([] if said is None else [f"no better than smoothing: {said}. {rest}"])


def test_a_share_is_shown_with_its_interval_where_it_has_both_ends():
    assert kept_text(0.512, 0.4, 0.6) == "51% (40% to 60%)"
    assert kept_text(0.512, None, 0.6) == kept_text(0.512, 0.4, None) == "51%"
