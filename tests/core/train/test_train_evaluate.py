"""Passes of a validation, and what is added up from them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from lfads_core.augment.stack import augmented
from lfads_core.config.load import resolve
from lfads_core.config.optional import MaskedConfig
from lfads_core.data.loader import SplitTensors, StoredTrials
from lfads_core.data.read import read_sessions
from lfads_core.data.rows import AbstractRows
from lfads_core.data.session import StoredSplit
from lfads_core.model.build import build_model, build_stacks
from lfads_core.model.description import describe
from lfads_core.objective.total import Objective
from lfads_core.plugins import load_registry
from lfads_core.rng import stream
from lfads_core.train.evaluate import PricedPass, Tally, Validator, price_each, validate_each

SPLITS = {"train": slice(0, 12), "valid": slice(12, 18)}


@pytest.fixture
def made(write_tiny, tiny_settings):
    """``made(*overrides)``: a model of two sessions of 6 trials, the second with channels held out, and a validator in three batches of both."""
    counts = np.random.default_rng(2).poisson(1.0, (18, 8, 7)).astype(np.float32)
    both = {f"{split}_{kind}_data": counts[rows, :, :n] for split, rows in SPLITS.items() for kind, n in (("encod", 4), ("recon", 7))}

    def make(*overrides, **more):
        registry = load_registry()
        config = resolve([], (), [*tiny_settings, *overrides], registry)
        sessions = read_sessions([write_tiny("a.h5", seed=1), write_tiny("b.h5", **both)], registry)
        model = build_model(config, describe(sessions), registry)
        for readout in model.readouts.values():
            torch.nn.init.normal_(readout.weight, generator=torch.Generator().manual_seed(1))
        sources = {one.name: SplitTensors.from_split(one.splits["valid"], extras=()) for one in sessions}
        objective, stack = Objective.of(config), build_stacks(config, registry)[1]
        return model, sources, Validator(**{"objective": objective, "stack": stack, "batch_size": 5, "seed": 4, **more})

    return make


def test_every_trial_is_passed_once_plain_and_as_often_with_values_hidden_as_is_asked_for(made):
    model, sources, validator = made(masked=MaskedConfig(passes=2))
    passes = list(validator.passes(model, sources, 0))
    plain = [one for one in passes if one.kept is None]
    assert [one.kept is None for one in passes] == [True, False, False] * 3
    for name in ("a", "b"):
        assert torch.cat([one.batches[name].trials for one in plain]).tolist() == list(range(6))
        assert all(one.seen[name] == slice(None) for one in passes)
    for step in range(3):
        whole, first, second = passes[3 * step : 3 * step + 3]
        for one in (first, second):
            assert one.raw is whole.raw
            assert one.noise is whole.noise
            assert set(one.kept) == {"a", "b"}
            torch.testing.assert_close(one.batches["b"].encod, whole.batches["b"].encod * one.kept["b"] / 0.8)
        assert not torch.equal(first.kept["b"], second.kept["b"])
    assert not torch.equal(passes[1].kept["b"], passes[4].kept["b"][: len(passes[1].kept["b"])])
    assert len(list(replace(validator, masked=None).passes(model, sources, 0))) == 3


def test_what_is_drawn_is_that_of_the_seed_and_the_epoch(made):
    model, sources, validator = made("model.encoder.ic_bins=2", "model.dropout=0.4", "components.infer_augmentations=[coordinated-dropout]")
    rng = stream(4, "valid", 3)
    for one in Tally(validator, model, sources, 3, predict=False).passes:
        batches = augmented(one.raw, validator.stack, 2, rng)
        noise = model.draw_pass(batches, rng, sample=False, dropout=False)
        for name, batch in one.batches.items():
            assert batch.ic_bins == 2
            assert torch.equal(batch.encod, batches[name].encod)
        assert torch.equal(one.noise.ic_kl["normal"], noise.ic_kl["normal"])
        assert (one.noise.ic, one.noise.inputs, one.noise.dropout) == (None, None, None)


def test_predictions_are_kept_in_the_file_s_order_if_they_are_asked_for(made):
    model, sources, validator = made(masked=MaskedConfig())
    found = validator(model, sources, 1, predict=True)
    without = validator(model, sources, 1, predict=False)
    assert without.means == {}
    assert found.costs == without.costs
    for name, channels in (("a", 5), ("b", 7)):
        batch = sources[name].take(torch.arange(6))
        noise = model.draw_noise(6, torch.Generator().manual_seed(0), sample=False, dropout=False)
        with torch.no_grad():
            params = model({name: batch}, noise).params[name]
        assert found.means[name].shape == (6, 8, channels)
        np.testing.assert_allclose(found.means[name], np.exp(params[..., 0].numpy()), rtol=1e-5)


class Rows(AbstractRows):
    """Rows of an array that plays a file."""

    def __init__(self, values):
        self.values = values

    @property
    def shape(self):
        return self.values.shape

    @property
    def dtype(self):
        return self.values.dtype

    def take(self, rows):
        return self.values[rows]


def test_of_data_on_disk_the_sample_s_trials_are_predicted_and_all_are_priced(made):
    model, sources, validator = made()
    whole = validator(model, sources, 0, predict=True)
    encod, recon = (Rows(values.numpy()) for values in (sources["b"].encod, sources["b"].recon))
    stored = StoredTrials(StoredSplit(encod=encod, recon=recon, external=None, sample=np.array([1, 2, 5])))
    found = validator(model, {**sources, "b": stored}, 0, predict=True)
    np.testing.assert_allclose(found.means["b"], whole.means["b"][[1, 2, 5]], rtol=1e-5)
    np.testing.assert_allclose(found.means["a"], whole.means["a"], rtol=1e-5)
    assert found.costs == pytest.approx(whole.costs, rel=1e-5)


@pytest.fixture
def tallied(made):
    """A tally with its first two passes, plain and with values hidden, and what the model makes of them."""
    model, sources, validator = made(masked=MaskedConfig(), batch_size=12)
    tally = Tally(validator, model, sources, 3, predict=True)
    plain, hidden = tally.passes
    with torch.no_grad():
        return tally, [(one, model(one.batches, one.noise)) for one in (plain, hidden)]


def test_a_pass_with_values_hidden_prices_these_alone(tallied):
    tally, ((plain, output), (hidden, other)) = tallied
    whole, only = tally.price(plain, output), tally.price(hidden, other)
    assert (only.terms, only.means, set(only.unseen)) == (None, {}, {"masked"})
    loss = tally.model.reconstructions["b"].nll(output.params["b"], plain.raw["b"].recon)[..., 4:]
    assert whole.unseen["heldout"].keys() == {"b"}
    torch.testing.assert_close(whole.unseen["heldout"]["b"], torch.tensor([float(loss.sum()), 6 * 8 * 3]))
    assert whole.unseen.keys() == {"heldout"}
    assert whole.terms.per_value == {}  # large, and nobody's
    assert set(whole.terms.per_session) == {"a", "b"}
    assert set(whole.means) == {"a", "b"}
    tally.predict = False
    assert tally.price(plain, output).means == {}


def test_the_ramps_of_terms_are_those_of_the_epoch(tallied):
    tally, ((plain, output), _) = tallied
    tally.add(plain, tally.price(plain, output))
    given = tally.model, plain.batches, output, plain.noise, tally.validator.stack
    with torch.no_grad():
        losses, early = (tally.validator.objective(*given, epoch) for epoch in (3, 0))
    costs = tally.validation().costs
    assert costs["total"] == pytest.approx(float(losses.total))
    assert float(losses.total) != float(early.total)
    assert costs["ic_kl"] == pytest.approx(float(losses.ic_kl))


def test_means_are_copied_without_trials_that_only_fill_a_batch_up(tallied):
    tally, ((plain, _), _) = tallied
    part = replace(plain, seen={"a": slice(None), "b": torch.tensor([True, False, True, True, False, True])})
    given = {name: torch.rand(9, 8, channels) for name, channels in (("a", 5), ("b", 7))}
    expected = {"a": given["a"][:6].numpy().copy(), "b": given["b"][[0, 2, 3, 5]].numpy().copy()}
    tally.predict = True
    for _ in range(2):
        tally.add(part, PricedPass(terms=None, unseen={}, means=given))
    for values in given.values():
        values.zero_()
    found = tally.validation()
    assert found.costs == {}
    for name, values in expected.items():
        np.testing.assert_array_equal(found.means[name], np.concatenate([values, values]))


def fails(*_, **__):
    raise RuntimeError("on purpose")


def test_who_fails_is_left_out_and_the_others_costs_are_what_they_are_alone(made, monkeypatch):
    (model, sources, validator), (other, *_) = made(), made()
    alone = validator(model, sources, 1, predict=False)
    tallies = {i: Tally(validator, of, sources, 1, predict=False) for i, of in ((3, model), (8, other))}
    monkeypatch.setattr("lfads_core.train.step.forward_population", fails)  # as it does with the one whose forward fails
    monkeypatch.setattr(other, "forward", fails)
    failed = {}
    found = validate_each(tallies, failed)
    assert list(found) == [3]
    assert found[3].costs == alone.costs
    assert list(failed) == [8]
    assert str(failed[8]) == "on purpose"


def test_a_failure_is_added_to_those_known_or_raised(made, monkeypatch):
    model, sources, validator = made()
    tallies = {i: Tally(validator, model, sources, 0, predict=False) for i in (2, 5)}
    passes = {i: next(tally.passes) for i, tally in tallies.items()}
    assert list(price_each(tallies, passes, None)) == [2, 5]
    monkeypatch.setattr(tallies[5], "price", fails)
    failed = {}
    assert list(price_each(tallies, passes, failed)) == [2]
    assert list(failed) == [5]
    with pytest.raises(RuntimeError, match=r"^on purpose$"):
        price_each(tallies, passes, None)
    monkeypatch.setattr("lfads_core.train.step.forward_population", fails)
    monkeypatch.setattr(model, "forward", fails)
    failed = {}
    assert price_each(tallies, passes, failed) == {}
    assert list(failed) == [2, 5]
