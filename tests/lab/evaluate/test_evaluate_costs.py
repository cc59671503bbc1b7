"""Costs of a split against sums written out value by value: all, seen, held-out and hidden values, of the model and of constants."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
import scipy.stats
import torch

from lfads_core.components.batch import Batch
from lfads_core.config.load import resolve
from lfads_core.config.optional import MaskedConfig
from lfads_core.data.session import Session, Split
from lfads_core.errors import NumericsError
from lfads_core.infer.loading import LoadedRun
from lfads_core.model.build import prepare_model
from lfads_core.model.lfads import LFADS
from lfads_core.model.noise import Noise
from lfads_core.model.outputs import ModelOutput
from lfads_core.plugins import load_registry
from lfads_core.rng import stream
from lfads_core.train.evaluate import ValidationPass
from lfads_core.train.unseen import UnseenCosts, hide
from lfads_plugins_lab.evaluate.costs import _priced, costs_of
from lfads_plugins_lab.evaluate.kept import kept_gain
from lfads_plugins_lab.evaluate.recorded import Recorded

BINS, CHANNELS, ENCOD_BINS, ENCOD_CHANNELS, IC_BINS = 8, 5, 7, 3, 2
BATCHES = (slice(0, 4), slice(4, 7))  # 7 trials in batches of 4 at most


def counts_of(rng, shape):
    return rng.poisson([0.2, 0.5, 1.0, 2.0, 4.0], shape)


def split(rng, trials, draw, *, encod=None):
    """Some values were not observed."""
    recon = draw(rng, (trials, BINS, CHANNELS)).astype(np.float32)
    recon[rng.random(recon.shape) < 0.1] = np.nan
    read = recon[:, :ENCOD_BINS, :ENCOD_CHANNELS] if encod is None else encod(rng, trials)
    return Split(encod=read, recon=recon, external=np.zeros((trials, BINS, 0), np.float32), nested=encod is None)


@pytest.fixture
def made(tiny_settings):
    """``made("validation.masked.seed=5", draw=...)``: a model with weights that tell its values apart, and its session of 9 + 7 trials."""

    def make(*overrides, draw=counts_of, support="counts", encod=None, splits=("valid", "train")):
        registry, rng = load_registry(), np.random.default_rng(1)
        settings = [*tiny_settings, f"model.encoder.ic_bins={IC_BINS}", "components.infer_augmentations=[sbtt]", *overrides]
        config = resolve([], (), settings, registry)
        data = {"train": split(rng, 9, draw, encod=encod), "valid": split(rng, 7, draw, encod=encod)}
        session = Session(name="mon", path=None, splits=data, attributes={"bin_ms": 25.0})
        model = prepare_model(config, [session], registry, "cpu").eval()
        with torch.no_grad():
            for number, p in enumerate(model.parameters()):
                p.add_(torch.randn(p.shape, generator=stream(number, "more")), alpha=0.2)
        one = Recorded(
            session=Session(name="mon", path=None, splits={key: data[key] for key in splits}), support=support, is_rate=support == "counts"
        )
        return Mock(spec=LoadedRun, config=config, model=model, registry=registry), one

    return make


def filled_batch(data, rows):
    """These trials as the model reads them: zeros in the place of what was not observed."""
    recon = torch.as_tensor(np.nan_to_num(data.recon[rows]))
    encod, external = torch.as_tensor(np.nan_to_num(data.encod[rows])), torch.as_tensor(data.external[rows])
    return Batch(encod=encod, recon=recon, external=external, trials=torch.arange(len(recon)), ic_bins=IC_BINS, nested=data.nested)


def poisson_price(rates, counts):
    """Negative log likelihood with Stirling's formula for the factorial, as the Poisson loss has it."""
    k = np.maximum(counts, 1.0)
    return rates - counts * np.log(rates) + np.where(counts > 1, counts * np.log(k) - counts + 0.5 * np.log(2 * np.pi * k), 0.0)


def rates_of(model, batch):
    with torch.no_grad():
        return model.reconstructions["mon"].mean(model({"mon": batch}, Noise()).params["mon"]).numpy().astype(float)


def mean_where(price, where):
    return price[where].mean() if where.any() else None


@pytest.mark.parametrize("masked", [(0.2, 1, 0), (0.35, 9, 5)])
def test_costs_are_means_over_what_was_observed_and_hidden_values_are_priced_three_times(made, masked):
    fraction, passes, seed = masked
    loaded, one = made(
        *((f"validation.masked.{key}={value}" for key, value in zip(("fraction", "passes", "seed"), masked, strict=True)) if seed else ())
    )
    train, valid = one.session.splits["train"].recon, one.session.splits["valid"]
    model, counts, observed = loaded.model, np.nan_to_num(valid.recon), ~np.isnan(valid.recon)
    shown = np.concatenate([rates_of(model, filled_batch(valid, rows)) for rows in BATCHES])
    price = {"model": poisson_price(shown, counts), "null": poisson_price(np.nanmean(train, axis=(0, 1)), counts)}
    seen, out = np.zeros_like(observed), np.zeros_like(observed)
    seen[:, IC_BINS:ENCOD_BINS, :ENCOD_CHANNELS] = True
    out[:, :, ENCOD_CHANNELS:] = True
    found = costs_of(loaded, one, "valid")
    assert (found.all, found.null_all) == pytest.approx((price["model"][observed].mean(), price["null"][observed].mean()), rel=1e-4)
    assert found.gain == pytest.approx(price["null"][observed].mean() - price["model"][observed].mean(), rel=1e-3)
    assert found.seen == pytest.approx(price["model"][observed & seen].mean(), rel=1e-4)
    assert found.null_seen == pytest.approx(price["null"][observed & seen].mean(), rel=1e-4)
    assert found.heldout == pytest.approx(price["model"][observed & out].mean(), rel=1e-4)
    assert found.null_heldout == pytest.approx(price["null"][observed & out].mean(), rel=1e-4)
    of_trial = np.zeros((7, 4))
    for step, rows in enumerate(BATCHES):
        for number in range(max(passes, 8)):
            batches, keep = hide({"mon": filled_batch(valid, rows)}, MaskedConfig(fraction=fraction, passes=passes, seed=seed), number, step)
            hidden = observed[rows] & seen[rows]
            hidden[:, IC_BINS:ENCOD_BINS, :ENCOD_CHANNELS] &= keep["mon"].numpy() == 0
            without = poisson_price(rates_of(model, batches["mon"]), counts[rows])
            for column, each in enumerate((price["null"][rows], price["model"][rows], without, np.ones_like(without))):
                of_trial[rows, column] += np.where(hidden, each, 0.0).sum(axis=(1, 2))
    means = of_trial.sum(axis=0)[:3] / of_trial.sum(axis=0)[3]
    assert (found.null_hidden, found.seen_hidden, found.hidden) == pytest.approx(means, rel=1e-4)
    wanted = kept_gain(*of_trial.T)
    assert (found.kept.gain, found.kept.gain_error) == pytest.approx((wanted.gain, wanted.gain_error), rel=1e-3)


def test_of_another_modality_nothing_is_seen_held_out_or_hidden(made):
    loaded, one = made(encod=lambda rng, trials: rng.normal(size=(trials, BINS, 2)).astype(np.float32))
    found = costs_of(loaded, one, "valid")
    observed = ~np.isnan(one.session.splits["valid"].recon)
    null = poisson_price(np.nanmean(one.session.splits["train"].recon, axis=(0, 1)), np.nan_to_num(one.session.splits["valid"].recon))
    assert found.null_all == pytest.approx(null[observed].mean(), rel=1e-4)
    assert (found.seen, found.heldout, found.hidden, found.null_seen, found.null_hidden, found.seen_hidden, found.kept) == (None,) * 7


def test_without_training_trials_constants_are_those_of_the_split_and_a_silent_channel_has_a_price(made):
    def draw(rng, shape):
        return rng.poisson(1.0, shape) * np.array([1.0, 1.0, 0.0, 1.0, 1.0])

    loaded, one = made(draw=draw, splits=("valid",))
    valid = one.session.splits["valid"].recon
    valid[:, :, 3] = np.nan
    found = costs_of(loaded, one, "valid")
    observed = ~np.isnan(valid)
    means = np.array([valid[..., n][observed[..., n]].mean() if observed[..., n].any() else 1.0 for n in range(CHANNELS)])
    null = poisson_price(np.maximum(means, 1e-4), np.nan_to_num(valid))
    assert found.null_all == pytest.approx(null[observed].mean(), rel=1e-4)


def test_constants_of_real_values_are_normal_distributions(made):
    loaded, one = made("components.reconstruction=gaussian", draw=lambda rng, shape: rng.normal(2.0, [0.5, 1, 2, 3, 4], shape), support="real")
    train, valid = (one.session.splits[name].recon for name in ("train", "valid"))
    law = scipy.stats.norm(np.nanmean(train, axis=(0, 1)), np.nanstd(train, axis=(0, 1)))
    found = costs_of(loaded, one, "valid")
    rates = loaded.model.reconstructions["mon"]
    offset = float(rates.nll(torch.zeros(1, 1, 1, 2), torch.zeros(1, 1, 1))) - (-scipy.stats.norm.logpdf(0.0))
    assert found.null_all == pytest.approx(np.nanmean(-law.logpdf(valid)) + offset, rel=1e-3)
    assert found.null_hidden is not None


def test_a_reconstruction_that_cannot_price_mean_rates_has_no_constants(made, monkeypatch):
    loaded, one = made()
    monkeypatch.setattr(type(loaded.model.reconstructions["mon"]), "params_from_mean", lambda *_: None)
    found = costs_of(loaded, one, "valid")
    assert (found.null_all, found.null_seen, found.null_heldout, found.null_hidden, found.kept, found.gain) == (None,) * 6
    assert np.isfinite([found.all, found.seen, found.heldout, found.hidden, found.seen_hidden]).all()
    monkeypatch.undo()
    with_constants = costs_of(loaded, one, "valid")
    assert (found.hidden, found.seen_hidden) == (with_constants.hidden, with_constants.seen_hidden)
    assert with_constants.null_hidden is not None


@pytest.mark.parametrize("constants", [True, False])
def test_a_pass_prices_what_it_hides_by_trial_and_by_session(constants):
    """Of 4 bins and 3 channels the first bin, the last bin and the last channel are never hidden; one value was not observed."""
    rng, sums, by_trial = np.random.default_rng(3), UnseenCosts(), {}
    squares = Mock(nll=lambda params, recon: (params[..., 0] - recon) ** 2)
    model = Mock(spec=LFADS, reconstructions={"mon": squares, "tue": squares})
    for name, trials in (("mon", 2), ("tue", 5)):
        recon, guess, seen, null = (torch.as_tensor(rng.normal(size=(trials, 4, 3)), dtype=torch.float32) for _ in range(4))
        keep = torch.as_tensor(rng.integers(0, 2, (trials, 2, 2)), dtype=torch.float32)
        raw, keep[0, 0, 1] = recon.clone(), 0.0
        raw[0, 1, 1] = torch.nan
        batch = Batch(encod=recon[:, :3, :2], recon=recon, external=torch.zeros(trials, 4, 0), trials=torch.arange(trials), ic_bins=1)
        before = {name: replace(batch, recon=raw)}
        one = ValidationPass(raw=before, batches={name: batch}, noise=Noise(), seen={name: slice(None)}, kept={name: keep})
        output = Mock(spec=ModelOutput, params={name: guess[..., None]})
        found = _priced(sums, model, one, output, {"seen": seen, **({"null": null} if constants else {})}, name)
        by_trial[name] = np.zeros((trials, 4))
        for i, t, n in np.ndindex(trials, 2, 2):
            if keep[i, t, n] == 0 and (i, t, n) != (0, 0, 1):
                at = i, t + 1, n
                by_trial[name][i] += [float(null[at]) if constants else 0.0, float(seen[at]), float(guess[at] - recon[at]) ** 2, 1.0]
        np.testing.assert_allclose(found, by_trial[name], rtol=1e-5, atol=1e-7)
    means = {name: of.sum(axis=0)[:3] / of.sum(axis=0)[3] for name, of in by_trial.items()}
    whats = ("masked null", "masked seen", "masked")
    wanted = {f"{what}/{name}": of[k] for name, of in means.items() for k, what in enumerate(whats) if constants or k}
    assert {key: value for key, value in sums.means().items() if "/" in key} == pytest.approx(wanted, rel=1e-5)


def test_costs_that_are_no_numbers_are_told(made):
    loaded, one = made()
    loaded.run, loaded.checkpoint = Mock(path=Path("runs/a")), "best"
    with torch.no_grad():
        loaded.model.decoder.to_generator.weight.fill_(np.nan)
    text = "runs/a: what the valid trials of mon cost must be finite, got NaN or infinity. The weights of the checkpoint 'best' or the recording are"
    with pytest.raises(NumericsError, match=f"^{re.escape(text)} damaged: "):
        costs_of(loaded, one, "valid")
