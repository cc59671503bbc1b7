"""A run whose plugin is gone says what it was trained with, and is read where the plugin is not needed."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
from attrs import frozen

import lfads_core.builtin
import lfads_plugins_std.plugin
from lfads_core.components import AbstractPrior
from lfads_core.config.fields import setting
from lfads_core.errors import ConfigError
from lfads_core.infer.loading import load
from lfads_core.plugins import NoSettings, PriorSpec, Registry, SettingsSpec, hookimpl


class Unit(AbstractPrior):
    """A standard normal prior."""

    def kl(self, mean, std, draw):
        return (0.5 * (mean.square() + std.square() - 1) - std.log()).flatten(1).sum(1)

    def generate(self, like, rng):
        return like.new_empty(like.shape).normal_(generator=rng)


@frozen(kw_only=True)
class Group:
    """Settings of a lab."""

    colour: str = setting("red", "colour")


def with_lab(*, changes_results=True):
    @hookimpl
    def lfads_priors():
        yield PriorSpec(name="unit", summary="Unit", config=NoSettings, build=lambda *_: Unit())

    @hookimpl
    def lfads_settings():
        yield SettingsSpec(name="lab", summary="A lab's", config=Group, changes_results=changes_results)

    lab = SimpleNamespace(lfads_priors=lfads_priors, lfads_settings=lfads_settings)
    return Registry.from_plugins({"core": lfads_core.builtin, "std": lfads_plugins_std.plugin, "lab-x": lab})


WITHOUT = Registry.from_plugins({"core": lfads_core.builtin, "std": lfads_plugins_std.plugin})
TINY_WITHOUT_TRACK = "track.mlflow=false"


@pytest.fixture
def train(train_tiny, monkeypatch, tiny_settings):
    """Train with the lab's plugin; there are no groups of tune's here."""
    monkeypatch.setattr("tiny_runs.TINY", tuple(text for text in tiny_settings if text != TINY_WITHOUT_TRACK))
    return lambda *overrides, **more: train_tiny("train.epochs=2", *overrides, **more)


def test_who_provides_what_is_kept_with_the_run_and_named_when_it_is_gone(train, resume):
    done = train("components.input_prior=unit", registry=with_lab())
    kept = json.loads(done.run.state_path.read_text())["plugins"]
    assert {"kind": "prior", "name": "unit", "distribution": "lab-x", "version": "0", "needed": True} in kept
    text = (
        r"components\.input_prior: no prior named 'unit'\..*\n"
        r"The run was trained with what is not here: lab-x 0 \(the settings 'lab', the prior 'unit'\): pip install lab-x==0"
    )
    with pytest.raises(ConfigError, match=text):
        load(done.run.path, registry=WITHOUT)
    with pytest.raises(ConfigError, match="The run was trained with what is not here: lab-x 0"):
        resume(registry=WITHOUT)


def test_a_group_of_settings_that_nobody_reads_is_left_out_when_a_run_is_loaded(train, resume):
    done = train("lab.colour=blue", registry=with_lab())
    assert load(done.run.path, registry=WITHOUT).model is not None
    with pytest.raises(ConfigError, match=r"(?s)lab: no such setting.*lab-x 0 \(the settings 'lab'\): pip install lab-x==0"):
        resume("train.epochs=3", registry=WITHOUT)


def test_a_group_that_changes_no_results_is_left_out_when_a_run_goes_on(train, resume):
    train("lab.colour=blue", registry=with_lab(changes_results=False))
    assert resume("train.epochs=3", registry=WITHOUT).outcome == "epochs"


def test_a_run_that_does_not_say_names_what_was_installed_beside_it(train):
    done = train("components.input_prior=unit", registry=with_lab())
    state = json.loads(done.run.state_path.read_text())
    del state["plugins"]
    state["versions"]["lab-x"] = "2.5"
    done.run.state_path.write_text(json.dumps(state))
    with pytest.raises(ConfigError, match=r"what is not here: .*lab-x 2\.5: pip install lab-x==2\.5"):
        load(done.run.path, registry=WITHOUT)
