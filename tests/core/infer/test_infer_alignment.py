"""How far a session's latents are from those that its alignment met, what is kept of it, and what of plugins' alignments is refused."""

from __future__ import annotations

import re
from dataclasses import replace
from unittest.mock import Mock

import pytest
import torch

from lfads_core.components import AbstractAlignment, AbstractLoss, Latents
from lfads_core.errors import PluginError, RunError
from lfads_core.infer import alignment
from lfads_core.infer.alignment import alignments_of, distance, distance_within, meet, sampled_latents
from lfads_core.infer.findings import of_alignment
from lfads_core.infer.run import say_alignment
from lfads_core.model.lfads import LFADS
from lfads_core.model.named import Named
from lfads_core.model.outputs import Posterior
from lfads_core.origin import Provenance, mark
from lfads_core.rng import stream


class Apart(AbstractAlignment):
    """The squared distance of mean factors; ``given`` is handed back in its place."""

    def __init__(self, given=None, factors=3):
        super().__init__()
        self.given, self.seen = given, []
        self.register_buffer("mean", torch.zeros(factors))
        mark(self, Provenance("alignment", "apart", "mine 1.0"))

    def meet(self, latents):
        assert not torch.is_grad_enabled()
        self.seen.append(latents)
        self.mean.copy_(latents.factors.mean(dim=(0, 1)))

    def distance(self, latents):
        assert not torch.is_grad_enabled()
        if isinstance(self.given, Exception):
            raise self.given
        return (latents.factors.mean(dim=(0, 1)) - self.mean).square().sum() if self.given is None else self.given


def latents(trials: int, seed: int = 0) -> Latents:
    values = torch.randn(trials, 7, 3, generator=torch.Generator().manual_seed(seed)).requires_grad_()
    ic = Posterior(mean=values[:, 0], std=values[:, 1].exp())
    empty = values[..., :0]
    return Latents(
        ic=ic,
        inputs=None,
        ci=None,
        gen_init=values[:, 2],
        gen_states=values + 1,
        gen_inputs=empty,
        con_states=None,
        factors=values,
        further={"all": ic},
    )


def test_a_distance_is_a_number_and_what_rounding_leaves_of_none_is_taken():
    part, some = Apart(), latents(4)
    assert type(distance(part, some)) is float
    assert distance(part, some) == pytest.approx(float(some.factors.detach().mean(dim=(0, 1)).square().sum()))
    for given in (0.0, -1e-6, -1e-5, 2.5):
        assert distance(Apart(torch.tensor(given, dtype=torch.float64)), some) == given


@pytest.mark.parametrize("given", [1.5, torch.tensor([1.0]), torch.tensor(float("nan")), torch.tensor(float("inf"))], ids=str)
def test_a_distance_that_is_no_finite_number_is_refused(given):
    with pytest.raises(PluginError) as caught:
        distance(Apart(given), latents(4))
    assert str(caught.value) == f"mine 1.0: the alignment 'apart': distance must give a tensor of one finite number, got {given!r}."


@pytest.mark.parametrize(("given", "shown"), [(-0.123456, "-0.1235"), (-2e-5, "-2e-05")])
def test_a_distance_below_none_is_refused(given, shown):
    with pytest.raises(PluginError) as caught:
        distance(Apart(torch.tensor(given)), latents(4))
    assert str(caught.value) == f"mine 1.0: the alignment 'apart': distance must be 0 or more, the smaller the more alike, got {shown}."


def test_an_alignment_that_meets_keeps_what_it_knows_and_nothing_else():
    part, some = Apart(), latents(5)
    meet(part, some)
    assert part.seen == [some]
    torch.testing.assert_close(part.mean, some.factors.detach().mean(dim=(0, 1)))


@pytest.mark.parametrize(
    ("slip", "text"),
    [
        (lambda self, latents: setattr(self, "mean", latents.factors.mean(dim=0)), "meet must change parameters and buffers in place"),
        (
            lambda self, _: vars(self).update(old=1, kept=2, given=3),
            "meet must keep what it knows in buffers that build makes, as checkpoints do, but made kept or old.",
        ),
    ],
)
def test_an_alignment_that_keeps_it_elsewhere_is_refused(slip, text):
    part = type("Slip", (Apart,), {"meet": slip})()
    with pytest.raises(PluginError, match=re.escape(f"mine 1.0: the alignment 'apart': {text}")):
        meet(part, latents(5))


def test_what_an_alignment_raises_is_told_as_its_fault():
    with pytest.raises(PluginError, match=re.escape("mine 1.0: the alignment 'apart' failed in distance (ValueError: singular")):
        distance(Apart(ValueError("singular")), latents(4))
    part = type("Slip", (Apart,), {"meet": lambda _, latents: latents.nowhere})()
    with pytest.raises(PluginError, match=re.escape("mine 1.0: the alignment 'apart' failed in meet (AttributeError: ")):
        meet(part, latents(4))


class Told(Apart):
    """Every copy tells one list what it met, and how far what came next was."""

    def meet(self, latents):
        self.told.append([latents])

    def distance(self, latents):
        self.told[-1].append(latents)
        return torch.tensor(float(len(self.told)))


@pytest.mark.parametrize(("trials", "some"), [(4, 4), (100, 5)])
def test_the_distance_within_is_the_mean_over_random_trials_from_all_others(trials, some):
    Told.told = []
    every, part = latents(11), Told()
    found = distance_within(part, every, trials, seed=3)
    assert found == 4.5  # of 1, 2, ..., 8
    assert len(Told.told) == alignment.HALVES == 8
    rng = stream(3, "alignment halves")
    for rest, here in Told.told:
        order = torch.randperm(11, generator=rng)
        for got, rows in ((here, order[:some]), (rest, order[some:])):
            for name in ("factors", "gen_states", "gen_init", "gen_inputs"):
                assert torch.equal(getattr(got, name), getattr(every, name)[rows])
            assert torch.equal(got.ic.std, every.ic.std[rows])
            assert torch.equal(got.further["all"].mean, every.ic.mean[rows])


def test_measuring_within_leaves_the_alignment_as_it_is():
    part = Apart()
    assert distance_within(part, latents(9), 4, seed=0) > 0
    assert (part.mean.tolist(), part.seen) == ([0, 0, 0], [])


def test_alignments_are_found_among_the_losses_of_each_session():
    one, other = Apart(), Apart()
    model = Mock(
        spec=LFADS,
        losses={"new": {"behaviour": Mock(spec=AbstractLoss), "apart": one}, "old": {"behaviour": Mock(spec=AbstractLoss)}, "newer": {"x": other}},
    )
    assert alignments_of(model) == {"new": one, "newer": other}


@pytest.fixture
def followed(untrained, recorded):
    """A run of two days, each with an alignment, and the distances that it knows."""
    sessions = [recorded("monday"), recorded("tuesday", seed=1)]
    loaded = untrained(sessions)
    loaded.model.losses = Named({s.name: Named({"apart": Apart()}) for s in sessions})
    known = {"name": "apart", "to": ["a", "b", "c", "d"], "before": {"monday": 12.34, "tuesday": 0.5}, "within": {"monday": 1e-9, "tuesday": 1e3}}
    loaded.run.update_state(alignment=known)
    return loaded, sessions, known


def test_how_near_each_session_came_is_measured_kept_and_said(followed):
    loaded, sessions, known = followed
    said = []
    found = say_alignment(loaded.run, loaded, sessions, said.append)
    left = {}
    for session in sessions:
        some = sampled_latents(loaded.model, loaded.config, loaded.infer_stack, [session])
        left[session.name] = float(some.factors.mean(dim=(0, 1)).square().sum())
    assert loaded.run.read_state()["alignment"] == {**known, "left": pytest.approx(left)}
    monday, tuesday = left.values()
    assert said == [
        f"monday: apart distance from a, b, c and 1 more {monday:.3g}, before 12.3, within 1e-09",
        f"tuesday: apart distance from a, b, c and 1 more {tuesday:.3g}, before 0.5, within 1e+03",
    ]
    assert found == of_alignment("a, b, c and 1 more", known["within"], {"monday": monday, "tuesday": tuesday})
    assert list(found) == ["not_aligned"]


def test_sessions_that_follow_none_are_not_measured(followed, recorded):
    loaded, sessions, known = followed
    assert say_alignment(loaded.run, loaded, [recorded("sunday")], print) == {}
    assert loaded.run.read_state()["alignment"] == known
    say_alignment(loaded.run, loaded, sessions[1:], lambda _: None)
    assert set(loaded.run.read_state()["alignment"]["left"]) == {"tuesday"}


@pytest.mark.parametrize("kept", ["nothing", "before", "within"])
def test_distances_that_are_gone_are_told_with_their_sessions(followed, recorded, kept):
    loaded = followed[0]
    days = [recorded(f"day {i}") for i in range(6)]
    loaded = replace(loaded, model=Mock(spec=LFADS, losses={day.name: {"apart": Apart()} for day in days}))
    every = {day.name: 1.0 for day in days}
    changed = None if kept == "nothing" else {"name": "a", "to": [], "before": {}, "within": {}, kept: every}
    state = loaded.run.read_state()
    del state["alignment"]
    loaded.run.state_path.unlink()
    loaded.run.update_state(**state, **({} if changed is None else {"alignment": changed}))
    with pytest.raises(RunError) as caught:
        say_alignment(loaded.run, loaded, days, print)
    got = "null" if changed is None else repr(changed)[:77] + "..."
    assert str(caught.value) == (
        f"{loaded.run.state_path}: 'alignment' must hold distances of day 0, day 1, day 2, day 3, day 4 and 1 more, got {got}. "
        "Restore it, or adapt again."
    )


def test_what_is_further_away_than_as_many_old_trials_is_told_with_both_numbers():
    within = {"monday": 0.03, "friday": 0.0214, "sunday": 0.5}
    assert of_alignment("june", within, {"monday": 0.03, "sunday": 0.1}) == {}
    found = of_alignment("june", within, {"monday": 0.031, "friday": 0.2345, "sunday": 0.5})
    assert found == {
        "not_aligned": "the latents are not where those of june are: a distance of 0.031 for monday, where 0.03 is that of as many of its own trials "
        "and 0.234 for friday, where 0.0214 is that of as many of its own trials. Do not trust a decoder of old days with them. Try more trials or "
        "--set train.epochs=..., and look whether the task was the same; if it helps nothing, train a new model."
    }
