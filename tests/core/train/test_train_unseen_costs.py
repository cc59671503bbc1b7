"""Sums behind the costs of what is not seen, on tensors of a few values."""

from __future__ import annotations

import re
from types import SimpleNamespace
from unittest.mock import Mock

import numpy as np
import pytest
import torch

from lfads_core.components.batch import Batch
from lfads_core.components.latents import Latents
from lfads_core.config.load import resolve
from lfads_core.config.optional import MaskedConfig
from lfads_core.data.session import Session, Split
from lfads_core.errors import ConfigError
from lfads_core.model.lfads import LFADS
from lfads_core.model.outputs import ModelOutput
from lfads_core.plugins import load_registry
from lfads_core.rng import bernoulli, stream
from lfads_core.train.unseen import UnseenCosts, check_judge, has_heldout, heldout_costs, hide, masked_costs, summed


def batch(seed, trials=3, *, bins=6, encod_bins=5, channels=4, seen=2, ic_bins=0, nested=True, weights=None, missing=()):
    """Counts, some of which were not observed."""
    recon = torch.poisson(torch.full((trials, bins, channels), 2.0), generator=torch.Generator().manual_seed(seed))
    for at in missing:
        recon[at] = torch.nan
    encod = recon[:, :encod_bins, :seen].nan_to_num()
    given = None if weights is None else torch.tensor(weights)
    external = torch.zeros(trials, bins, 0)
    return Batch(encod=encod, recon=recon, external=external, trials=torch.arange(trials), nested=nested, ic_bins=ic_bins, weights=given)


def model_of(**offsets):
    """A model whose loss in a session is the distance of its first parameter from the data, and the session's offset."""

    def nll(offset):
        return lambda params, recon: (params[..., 0] - recon.nan_to_num()).abs() + offset

    return Mock(spec=LFADS, reconstructions={name: SimpleNamespace(nll=nll(offset)) for name, offset in offsets.items()})


def output_of(**params):
    return ModelOutput(latents=Mock(spec=Latents), params=params, rows={})


def guesses(seed, of):
    return torch.rand((*of.recon.shape, 1), generator=torch.Generator().manual_seed(seed)) * 5


def test_costs_are_means_over_values_and_then_over_sessions():
    costs = UnseenCosts()
    for _ in range(2):
        costs.take({"masked": {"a": torch.tensor([6.0, 4.0]), "b": torch.tensor([10.0, 2.0])}, "heldout": {"b": torch.tensor([9.0, 2.0])}})
    costs.add("masked", "a", torch.tensor([[[5.0, 100.0]]]), torch.tensor([[[1.0, 0.0]]]))
    assert costs.means() == pytest.approx({"masked": (17 / 9 + 5) / 2, "masked/a": 17 / 9, "masked/b": 5.0, "heldout": 4.5})
    assert UnseenCosts().means() == {}


def test_a_batch_s_sums_may_be_written_over_afterwards():
    costs, pair = UnseenCosts(), torch.tensor([6.0, 4.0])
    for _ in range(2):
        costs.take({"masked": {"a": pair}})
        pair.mul_(3)
    assert costs.means() == {"masked": (6 + 18) / (4 + 12)}


def test_a_loss_is_summed_where_it_counts_though_it_is_no_number_elsewhere():
    loss, counted = torch.tensor([[[1.0, 2.0, torch.inf, 4.0]]]), torch.tensor([[[1.0, 0.0, 0.0, 1.0]]])
    assert summed(loss, counted).tolist() == [5.0, 2.0]


def test_channels_that_are_not_encoded_are_priced_where_they_were_observed_in_trials_that_count():
    raw = {
        "a": batch(0, missing=[(0, 1, 3), (1, 2, 1)]),
        "b": batch(1, 4, channels=3, weights=[1.0, 1.0, 0.0, 1.0]),
        "whole": batch(2, seen=4),
        "other": batch(3, nested=False),
    }
    params = {name: guesses(i, one) for i, (name, one) in enumerate(raw.items())}
    found = heldout_costs(model_of(a=0.5, b=7.0, whole=0.0, other=0.0), raw, raw, output_of(**params))
    assert set(found) == {"heldout"}
    assert set(found["heldout"]) == {"a", "b"}
    for name, trials, offset in (("a", [0, 1, 2], 0.5), ("b", [0, 1, 3], 7.0)):
        data, guess = raw[name].recon[trials][..., 2:], params[name][trials][..., 2:, 0]
        known = ~data.isnan()
        expected = [float((guess - data).abs()[known].sum() + offset * known.sum()), float(known.sum())]
        assert found["heldout"][name].tolist() == pytest.approx(expected)


def test_gaps_are_those_of_the_data_before_augmentations_filled_them():
    raw = {"a": batch(0, missing=[(0, 1, 3), (2, 5, 2)])}
    filled = {"a": batch(0)}
    params = guesses(4, raw["a"])
    found = heldout_costs(model_of(a=0.0), raw, filled, output_of(a=params))["heldout"]["a"]
    assert found[1] == 3 * 6 * 2 - 2
    known = ~raw["a"].recon[..., 2:].isnan()
    assert float(found[0]) == pytest.approx(float((params[..., 2:, 0] - filled["a"].recon[..., 2:]).abs()[known].sum()))


@pytest.mark.parametrize("ic_bins", [0, 2])
def test_hidden_values_are_priced_and_nothing_else(ic_bins):
    raw = {"a": batch(0, ic_bins=ic_bins, missing=[(0, 3, 1)]), "b": batch(1, 2, channels=5, seen=3, ic_bins=ic_bins)}
    kept = {name: bernoulli(0.4, one.encod[:, ic_bins:], stream(9, name)) for name, one in raw.items()}
    params = {name: guesses(i, one) for i, (name, one) in enumerate(raw.items())}
    found = masked_costs(model_of(a=0.25, b=3.0), raw, raw, output_of(**params), kept)
    assert set(found) == {"masked"}
    for name, offset in (("a", 0.25), ("b", 3.0)):
        total, number = 0.0, 0
        for b, t, n in np.ndindex(*kept[name].shape):
            data = float(raw[name].recon[b, t + ic_bins, n])
            if kept[name][b, t, n] == 0 and not np.isnan(data):
                total, number = total + abs(float(params[name][b, t + ic_bins, n, 0]) - data) + offset, number + 1
        assert found["masked"][name].tolist() == pytest.approx([total, number])


def test_what_is_hidden_is_0_and_what_is_kept_is_scaled_up_but_for_the_first_bins_and_other_modalities():
    given = {"a": batch(0, ic_bins=1), "b": batch(1, 4, ic_bins=1), "other": batch(2, nested=False, ic_bins=1)}
    config = MaskedConfig(fraction=0.3, seed=6)
    hidden, kept = hide(given, config, 2, 5)
    assert list(hidden) == ["a", "b", "other"]
    assert list(kept) == ["a", "b"]
    assert hidden["other"] is given["other"]
    for name in ("a", "b"):
        keep = bernoulli(0.7, given[name].encod[:, 1:], stream(6, "masked", 2, name, 5))
        assert torch.equal(kept[name], keep)
        assert torch.equal(hidden[name].encod[:, 0], given[name].encod[:, 0])
        torch.testing.assert_close(hidden[name].encod[:, 1:], given[name].encod[:, 1:] * keep / 0.7)
        assert hidden[name].recon is given[name].recon
    for other in ((config, 3, 5), (config, 2, 6), (MaskedConfig(fraction=0.3, seed=7), 2, 5)):
        assert not torch.equal(hide(given, *other)[1]["b"], kept["b"])


def session(name, *, seen=3, nested=True):
    data = np.zeros((4, 6, 5), np.float32)
    valid = Split(encod=np.ascontiguousarray(data[:, :5, :seen]), recon=data, external=np.zeros((4, 6, 0), np.float32), nested=nested)
    train = Split(encod=data, recon=data, external=np.zeros((4, 6, 0), np.float32))
    return Session(name=name, path=None, splits={"train": train, "valid": valid})


def test_a_session_holds_channels_out_where_more_are_reconstructed_than_read():
    assert has_heldout(session("a"))
    assert not has_heldout(session("a", seen=5))
    assert not has_heldout(session("a", nested=False))


@pytest.fixture(scope="module")
def config(tiny_settings):
    return lambda *overrides: resolve([], (), [*tiny_settings, *overrides], load_registry())


def test_one_session_that_can_judge_is_enough(config):
    for judge in ("recon", "heldout", "masked"):
        check_judge(config(f"validation.judge={judge}"), [session("a", seen=5), session("b"), session("c", nested=False)])
    check_judge(config("validation.judge=masked"), [session("a", seen=5)])
    check_judge(config("validation.judge=recon"), [session("a", nested=False)])


@pytest.mark.parametrize(
    ("judge", "sessions", "message"),
    [
        (
            "heldout",
            [session("a", seen=5), session("b", nested=False)],
            (
                "validation.judge: 'heldout' must have channels that are reconstructed but not encoded, got none. "
                "Hold some out with data.hold_out (--hold-out 0.25), or judge by 'masked'."
            ),
        ),
        (
            "masked",
            [session("a", nested=False)],
            "validation.judge: 'masked' must have input that is reconstructed, got another modality. Judge by 'recon', which is unseen.",
        ),
    ],
)
def test_a_cost_that_no_session_has_cannot_judge(judge, sessions, message, config):
    with pytest.raises(ConfigError, match=f"^{re.escape(message)}$"):
        check_judge(config(f"validation.judge={judge}"), sessions)
