"""The encoders: what the controller may know in which bin, and what the initial condition is read from."""

from __future__ import annotations

import pytest
import torch

from backends import ON_CPU
from lfads_core.components import EncoderInfo
from lfads_core.model.encoder import ControllerEncoder, InitialConditionEncoder
from lfads_core.model.gru import BidirectionalGRU
from lfads_core.model.lagged import lagged
from lfads_core.recurrence import reference
from lfads_core.recurrence.choose import Recurrence
from lfads_core.rng import stream


def echo(x, h0, weights, *, clip, reverse=False):
    """A recurrence whose state is its input, so that one can read off which bin went where."""
    return x


ECHO = Recurrence.of("echo", echo, reference.controlled)


def reader(width, hidden, loops=None, clip=5.0):
    part = BidirectionalGRU(EncoderInfo(width=width, hidden=hidden, causal=False, rng=stream(0), clip=clip))
    if loops is not None:
        part.use(loops)
    return part


def ci_of(lag, *, before=0, bins=5, values=(1.0, 2.0, 3.0, 4.0, 5.0)):
    part = ControllerEncoder("gru", reader(1, 1, ECHO), lag)
    x = torch.tensor(values).view(1, -1, 1)
    return part(x, before, bins)[0].T.tolist()


@pytest.mark.parametrize(
    ("lag", "ahead", "back"),
    [
        (0, [1, 2, 3, 4, 5], [1, 2, 3, 4, 5]),
        (1, [0, 1, 2, 3, 4], [2, 3, 4, 5, 0]),
        (3, [0, 0, 0, 1, 2], [4, 5, 0, 0, 0]),
        (5, [0, 0, 0, 0, 0], [0, 0, 0, 0, 0]),
        (9, [0, 0, 0, 0, 0], [0, 0, 0, 0, 0]),
    ],
)
def test_the_controller_hears_the_past_late_and_the_future_early(lag, ahead, back):
    assert ci_of(lag) == [ahead, back]


def test_zeros_stand_before_the_encoded_window_and_beyond_it():
    assert ci_of(1, before=2, bins=9) == [[0, 0, 0, 1, 2, 3, 4, 0, 0], [0, 0, 2, 3, 4, 5, 0, 0, 0]]


@pytest.mark.parametrize("lag", [1, 2])
def test_the_controller_input_of_a_bin_has_not_seen_that_bin(lag):
    part = ControllerEncoder("gru", reader(2, 3), lag).double()
    x = torch.randn(1, 6, 2, generator=stream(1), dtype=torch.float64).requires_grad_()
    ci = part(x, 0, 6)
    for t in range(6):
        (slope,) = torch.autograd.grad(ci[0, t].sum(), x, retain_graph=True)
        reached = slope[0].abs().sum(-1) > 0
        assert reached.tolist() == [abs(t - s) >= lag for s in range(6)]


@pytest.mark.parametrize("backend", ON_CPU)
def test_both_directions_are_two_plain_runs(usable, backend):
    part = reader(3, 4, usable(backend), clip=0.6).double()
    part.h0.data.normal_(generator=stream(1))
    x = torch.randn(2, 6, 3, generator=stream(2), dtype=torch.float64)
    ahead, back = part(x)
    for got, gru, h0, reverse in ((ahead, part.forward_gru, part.h0[0], False), (back.flip(1), part.backward_gru, part.h0[1], True)):
        wanted = reference.gru(x, h0.expand(2, -1), gru.weights(), clip=0.6, reverse=reverse)
        torch.testing.assert_close(got, wanted, rtol=1e-12, atol=1e-14)


def test_the_initial_condition_is_read_from_the_last_state_of_each_direction():
    part = InitialConditionEncoder("gru", reader(1, 1, ECHO), 2, 0.01, stream(0)).double()
    x = torch.tensor([3.0, 1.0, 4.0], dtype=torch.float64).view(1, 3, 1)
    posterior = part(x, None)
    final = torch.tensor([4.0, 3.0], dtype=torch.float64)  # forwards it ends at the last bin, backwards at the first
    wanted = part.posterior.weight @ final + part.posterior.bias
    torch.testing.assert_close(posterior.mean[0], wanted[:2])
    torch.testing.assert_close(posterior.std[0] ** 2, wanted[2:].exp() + 0.01)


def test_final_states_are_multiplied_by_the_mask():
    part = InitialConditionEncoder("gru", reader(1, 1, ECHO), 2, 1e-4, stream(0)).double()
    x = torch.tensor([3.0, 1.0, 4.0], dtype=torch.float64).view(1, 3, 1)
    posterior = part(x, torch.tensor([[1 / 0.8, 0.0]], dtype=torch.float64))
    wanted = part.posterior.weight @ torch.tensor([4.0 / 0.8, 0.0], dtype=torch.float64)
    torch.testing.assert_close(posterior.mean[0], wanted[:2])


def test_a_segment_for_the_initial_condition_parts_what_the_encoders_read(make_model, make_batch):
    model = make_model("model.encoder.ic_bins=3")
    batch = make_batch()
    x = batch.encod.clone().requires_grad_()
    noise = model.draw_noise(3, stream(0), sample=False, dropout=False)
    latents = model.infer(x, batch.external, noise)
    (from_ic,) = torch.autograd.grad(latents.ic.mean.sum(), x, retain_graph=True)
    (from_ci,) = torch.autograd.grad(latents.ci.sum(), x)
    assert (from_ic[:, :3] != 0).any(dim=(0, 2)).all()
    assert (from_ic[:, 3:] == 0).all()
    assert (from_ci[:, :3] == 0).all()
    assert (from_ci[:, 3:] != 0).any(dim=(0, 2)).all()
    assert latents.ci.shape == (3, 9, 8)
    assert (latents.ci[:, :3] == 0).all()
    assert (latents.ci[:, 7:] == 0).all()


def test_external_input_reaches_its_own_bin_with_and_without_a_segment(make_model, make_batch):
    """The published code laid it a segment's length early; bin t of the file is bin t of the generator."""
    for overrides in ((), ("model.encoder.ic_bins=3",)):
        model, batch = make_model(*overrides), make_batch()
        external = batch.external.clone().requires_grad_()
        latents = model.infer(batch.encod, external, model.draw_noise(3, stream(0), sample=False, dropout=False))
        for t in (0, 4, 8):
            (slope,) = torch.autograd.grad(latents.gen_states[:, t].sum(), external, retain_graph=True)
            assert (slope[:, : t + 1] != 0).any(dim=(0, 2)).all()
            assert (slope[:, t + 1 :] == 0).all()
        torch.testing.assert_close(latents.gen_inputs[..., 2:], batch.external)


@pytest.mark.parametrize("lag", [0, 1, 2, 7])
@pytest.mark.parametrize("directions", [1, 2])
def test_states_laid_late_and_early_have_the_gradients_of_finite_differences(directions, lag):
    states = torch.empty(directions, 2, 4, 3, dtype=torch.float64).normal_(generator=stream(0, "lagged")).requires_grad_()
    assert torch.autograd.gradcheck(lambda s: lagged(s, lag, 2, 8), states)


@pytest.mark.parametrize("lag", [0, 1, 2, 7])
def test_states_are_laid_bin_by_bin_where_the_controller_may_hear_them(lag):
    states = torch.arange(1.0, 2 * 3 * 4 * 5 + 1).view(2, 3, 4, 5)
    laid = lagged(states, lag, 2, 9)
    for bin_ in range(9):
        ahead, back = bin_ - 2 - lag, bin_ - 2 + lag  # the bins whose states are heard
        assert torch.equal(laid[:, bin_, :5], states[0, :, ahead] if 0 <= ahead < 4 and bin_ - 2 < 4 else torch.zeros(3, 5))
        assert torch.equal(laid[:, bin_, 5:], states[1, :, 3 - back] if 0 <= back < 4 and bin_ >= 2 else torch.zeros(3, 5))
