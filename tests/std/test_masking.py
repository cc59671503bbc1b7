"""Coordinated dropout and sample validation: what is hidden, what is learnt from, and that loss values stay."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lfads_core.components.batch import Batch
from lfads_core.rng import stream
from lfads_plugins_std.masking import CoordinatedDropout, SampleValidation, lay_on_loss
from lfads_plugins_std.settings import CoordinatedDropoutConfig, SampleValidationConfig

B, Te, T, Ne, N = 4, 6, 8, 3, 5


def make_batch(ic_bins=0, trials=B, seed=0):
    rng = stream(seed, "batch")
    recon = torch.poisson(torch.full((trials, T, N), 2.0), generator=rng) + 1  # no zeros: what is 0 was hidden
    return Batch(encod=recon[:, :Te, :Ne].clone(), recon=recon, external=recon.new_zeros(trials, T, 0), trials=torch.arange(trials), ic_bins=ic_bins)


def dropout(**settings):
    return CoordinatedDropout(CoordinatedDropoutConfig(**settings))


def gradient_of(part, batch, seed=0):
    """Loss after weighing, and the share of each value's gradient that passes."""
    loss = torch.empty(batch.recon.shape).normal_(generator=stream(seed, "loss")).requires_grad_()
    weighed = part.weigh(loss, batch)
    (share,) = torch.autograd.grad(weighed.sum(), loss)
    return loss.detach(), weighed.detach(), share


@pytest.mark.property
@given(
    rate=st.floats(0.0, 0.9),
    pass_rate=st.floats(0.0, 0.9),
    ic_bins=st.integers(0, Te - 1),
    mask=st.sampled_from(["input", "reconstruction"]),
    seed=st.integers(0, 2**16),
)
def test_dropout_keeps_loss_values_and_learns_only_from_what_it_may(rate, pass_rate, ic_bins, mask, seed):
    part, before = dropout(rate=rate, pass_rate=pass_rate, mask=mask), make_batch(ic_bins)
    noise = part.draw(before, stream(seed))
    after = part.augment(before, noise)
    loss, weighed, share = gradient_of(part, after, seed)
    assert torch.equal(weighed, loss)
    assert torch.equal(after.recon, before.recon)
    assert torch.equal(after.encod[:, :ic_bins], before.encod[:, :ic_bins])
    wanted = torch.ones(B, T, N)  # by a slow loop over the values
    block = range(ic_bins, Te if mask == "input" else T), range(Ne if mask == "input" else N)
    for b in range(B):
        for t in block[0]:
            for n in block[1]:
                keep, passed = (noise[k][b, t - ic_bins, n] if k in noise else torch.tensor(k == "keep") for k in ("keep", "pass"))
                if rate > 0:
                    wanted[b, t, n] = float(keep == 0 or passed == 1)
                if t < Te and n < Ne:
                    kept = before.encod[b, t, n] / (1 - rate)
                    torch.testing.assert_close(after.encod[b, t, n], kept if keep else torch.zeros(()), rtol=1e-6, atol=0)
    assert torch.equal(share, wanted)


def test_rate_zero_hides_nothing_and_learns_from_everything():
    part, before = dropout(rate=0.0), make_batch()
    assert part.draw(before, stream(0)) == {}
    after = part.augment(before, {})
    assert after is before
    assert (gradient_of(part, after)[2] == 1).all()


def test_the_shares_hidden_and_learnt_from_are_those_of_the_settings():
    part, before = dropout(rate=0.3, pass_rate=0.2), make_batch(trials=3000)
    after = part.augment(before, part.draw(before, stream(0)))
    n = before.encod.numel()
    assert abs((after.encod == 0).float().mean() - 0.3) < 6 * (0.21 / n) ** 0.5
    assert abs(after.masks["coordinated-dropout/learn"].mean() - (1 - 0.7 * 0.8)) < 6 * (0.25 / n) ** 0.5
    assert abs(after.encod.mean() / before.encod.mean() - 1) < 6 * (0.3 / 0.7 * 1.3 / n) ** 0.5  # unbiased


def test_a_mask_of_the_reconstructions_size_hides_the_input_beneath_it():
    part, before = dropout(rate=0.5, mask="reconstruction"), make_batch(ic_bins=2)
    noise = part.draw(before, stream(0))
    assert noise["keep"].shape == (B, T - 2, N)
    after = part.augment(before, noise)
    assert torch.equal(after.encod[:, 2:] == 0, noise["keep"][:, : Te - 2, :Ne] == 0)
    share = gradient_of(part, after)[2]
    assert torch.equal(share[:, 2:], 1 - noise["keep"])
    assert (share[:, :2] == 1).all()


@pytest.mark.parametrize("make", [dropout, lambda: SampleValidation(SampleValidationConfig())], ids=["coordinated-dropout", "sample-validation"])
def test_the_mask_lies_on_the_bins_it_hid_after_the_initial_segment(make):
    """One hidden value at data bin 4 of a trial whose first 3 bins are the segment counts at loss bin 4, not 1."""
    part, before = make(), make_batch(ic_bins=3)
    keep = torch.ones(B, Te - 3, Ne)
    keep[0, 1, 2] = 0
    after = part.augment(before, {"keep": keep, "pass": torch.zeros_like(keep)})
    assert torch.nonzero(after.encod == 0).tolist() == [[0, 4, 2]]
    marked = gradient_of(part, after)[2][:, 3:Te, :Ne]
    (one,) = torch.nonzero(marked == marked[0, 1, 2]).tolist()
    assert one == [0, 1, 2]


def test_what_is_laid_on_the_loss_is_one_elsewhere():
    laid = lay_on_loss(torch.full((2, 2, 1), 5.0), torch.zeros(2, 4, 3), 1)
    assert laid.sum() == 2 * (2 * 5 + 10)
    assert (laid[:, 1:3, 0] == 5).all()


def test_a_failed_step_leaves_nothing_for_the_next():
    """The predecessors kept masks in a list: after a step that failed between mask and loss, every later loss met a stale one."""
    part = dropout()
    lost = part.augment(make_batch(), part.draw(make_batch(), stream(0)))
    assert "coordinated-dropout/learn" in lost.masks  # the step fails here: its loss is never weighed
    before = make_batch(trials=2)
    after = part.augment(before, noise := part.draw(before, stream(1)))
    share = gradient_of(part, after)[2]
    assert torch.equal(share[:, :Te, :Ne], 1 - noise["keep"])


def validation(**settings):
    return SampleValidation(SampleValidationConfig(**settings))


def test_sample_validation_weighs_what_it_shows_and_measures_what_it_hides():
    part, before = validation(rate=0.25), make_batch(ic_bins=2)
    keep = part.draw(before, stream(0))["keep"]
    after = part.augment(before, {"keep": keep})
    loss, weighed, _ = gradient_of(part, after)
    wanted, hidden = loss.clone(), []
    for b in range(B):
        for t in range(2, Te):
            for n in range(Ne):
                wanted[b, t, n] = loss[b, t, n] / 0.75 if keep[b, t - 2, n] else 0.0
                hidden.append(0.0 if keep[b, t - 2, n] else loss[b, t, n].item() / 0.25)
    torch.testing.assert_close(weighed, wanted)
    assert part.measure(loss, after)["sample_validation"].item() == pytest.approx(sum(hidden) / len(hidden), rel=1e-5)
    per_trial = validation(rate=0.25, reduce="sum").measure(loss, after)["sample_validation"].item()
    assert per_trial == pytest.approx(sum(hidden) / B, rel=1e-5)
    assert torch.equal(after.recon, before.recon)


def test_the_measured_and_the_weighed_loss_are_unbiased():
    part, before = validation(rate=0.2), make_batch(ic_bins=2)
    loss = gradient_of(part, part.augment(before, part.draw(before, stream(0))))[0]
    measured, weighed = [], []
    for seed in range(2000):
        after = part.augment(before, part.draw(before, stream(seed)))
        measured.append(part.measure(loss, after)["sample_validation"])
        weighed.append(part.weigh(loss, after).mean())
    for values, truth in ((torch.stack(measured), loss[:, 2:Te, :Ne].mean()), (torch.stack(weighed), loss.mean())):
        assert abs(values.mean() - truth) < 6 * values.std() / len(values) ** 0.5


def test_sample_validation_that_hides_nothing_measures_nothing():
    part, before = validation(rate=0.0), make_batch()
    after = part.augment(before, part.draw(before, stream(0)))
    loss, weighed, _ = gradient_of(part, after)
    assert torch.equal(after.encod, before.encod)
    assert torch.equal(weighed, loss)
    assert part.measure(loss, after) == {}


def test_both_masks_travel_in_one_batch_without_meeting():
    first, second = validation(), dropout()
    before = make_batch()
    after = first.augment(before, first.draw(before, stream(0)))
    after = second.augment(after, second.draw(after, stream(1)))
    assert set(after.masks) == {"sample-validation/keep", "coordinated-dropout/learn"}
    loss, weighed, _ = gradient_of(first, replace(after))
    assert torch.equal(second.weigh(weighed, after), weighed)
    assert not torch.equal(weighed, loss)
