"""Starts of the read-ins of new days: the nearest of several is taken, and trying them changes nothing else."""

from __future__ import annotations

import math

import pytest
import torch

from lfads_core.errors import NumericsError
from lfads_core.infer.loading import load
from lfads_core.pipeline import starts
from lfads_core.pipeline.adapt import adapt_run
from lfads_core.train.progress import Display


@pytest.fixture
def follow(train_tiny, write_tiny, tmp_path, monkeypatch):
    """Follow new days whose distances after each start are given, as shares of what is near.

    Returns how many starts ``alignment`` says there were, and weights: at each start, after all of them, and before.
    """
    parent = load(train_tiny(name="parent").run.path)

    def start(*overrides, minutes=None, **lefts):
        had = []
        within = {}
        kept = starts.nearest_start

        def left(model, description, config, data, stacks):
            had.append({name: value.clone() for name, value in model.state_dict().items()})
            if minutes is not None:
                minutes.append(config.train.minutes)
            with torch.no_grad():
                for parameter in model.parameters():
                    parameter.add_(1.0)  # as a training would, but all of it
            return {name: distances[len(had) - 1] * within[name] for name, distances in lefts.items()}

        def nearest(model, description, config, data, stacks, near, registry):
            within.update(near)
            before = {name: value.clone() for name, value in model.state_dict().items()}
            tried = kept(model, description, config, data, stacks, near, registry)
            had.append({name: value.clone() for name, value in model.state_dict().items()})
            had.append(before)
            return tried

        monkeypatch.setattr(starts, "_left", left)
        monkeypatch.setattr("lfads_core.pipeline.adapt.nearest_start", nearest)
        days = [write_tiny(f"{name}.h5", seed=number) for number, name in enumerate(lefts, start=2)]
        run = adapt_run(parent, days, ("train.epochs=1", *overrides), Display(), tmp_path / "runs" / "followed", align="nomad").run
        *tried, taken, before = had
        return run.read_state()["alignment"]["starts"], tried, taken, before

    return start


def same(one, other, day):
    names = [name for name in one if name.startswith(f"readins.{day}.")]
    assert names
    return all(torch.equal(one[name], other[name]) for name in names)


def test_a_start_that_ends_near_is_the_only_one_and_the_model_is_as_it_was(follow):
    count, tried, taken, before = follow(new=[1.0])
    assert (count, len(tried)) == (1, 1)
    assert all(torch.equal(taken[name], before[name]) for name in before)


def test_starts_are_tried_until_one_ends_near(follow):
    count, tried, taken, before = follow(new=[2.0, 3.0, 0.5])
    assert count == len(tried) == 3
    assert not any(same(one, other, "new") for i, one in enumerate(tried) for other in tried[:i])
    assert same(taken, tried[2], "new")
    assert all(torch.equal(taken[name], before[name]) for name in before if not name.startswith("readins.new."))


def test_of_starts_that_all_end_far_the_nearest_is_taken(follow):
    lefts = [5.0, math.inf, 4.0, 2.0, 6.0, 7.0, 8.0, 9.0]
    count, tried, taken, _ = follow(new=lefts)
    assert count == len(tried) == starts.STARTS == len(lefts)
    assert same(taken, tried[3], "new")


def test_no_further_start_is_tried_once_that_took_as_long_as_the_training_may(follow):
    count, tried, taken, before = follow("train.minutes=1e-6", new=[2.0, 0.5])
    assert count == len(tried) == 1
    assert same(taken, before, "new")


def test_what_is_left_of_the_minutes_is_for_the_starts_that_follow(follow, monkeypatch):
    minutes = []
    clock = iter([0.0, 24.0, 42.0, 60.0])
    monkeypatch.setattr(starts, "time", type("T", (), {"monotonic": staticmethod(lambda: next(clock))}))
    count, *_ = follow("train.minutes=1", new=[2.0, 3.0, 4.0, 5.0], minutes=minutes)
    assert (count, minutes) == (3, pytest.approx([1.0, 0.6, 0.3]))


def test_each_day_has_the_start_that_brings_it_near_and_keeps_it_while_others_are_tried(follow):
    count, tried, taken, before = follow(friday=[3.0, 0.9, 5.0], monday=[0.8, 4.0, 0.1])
    assert count == 2
    assert same(tried[1], before, "monday")
    assert same(taken, before, "monday")
    assert same(taken, tried[1], "friday")


def test_a_start_from_which_training_diverges_gives_way_and_leaves_nothing_behind(train_tiny, write_tiny, tmp_path, monkeypatch):
    parent = load(train_tiny(name="parent").run.path)
    tried, fit = [], starts.fit

    def diverging_at_first(trainer, report, should_stop):
        tried.append(trainer.run.path)
        if len(tried) == 1:
            raise NumericsError("grown")
        return fit(trainer, report, should_stop)

    monkeypatch.setattr(starts, "fit", diverging_at_first)
    run = adapt_run(parent, [write_tiny("new.h5", seed=2)], ("train.epochs=1",), Display(), tmp_path / "runs" / "followed", align="nomad").run
    assert len(tried) == 2
    assert run.read_state()["alignment"]["starts"] == 2
    assert not any(path.exists() for path in tried)
