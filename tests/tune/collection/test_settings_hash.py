"""Hashes of settings: what they tell apart, and what they do not move for."""

from __future__ import annotations

import hashlib

import attrs
import pytest

from lfads_core.config.differences import differences, settings_hash
from lfads_core.config.fields import setting
from lfads_core.config.load import resolve
from lfads_core.config.schema import RunConfig, TrainConfig
from lfads_core.config.structure import structure, unstructure
from lfads_core.plugins import Registry, load_registry


def hashed(*overrides, plugins=(), registry=None):
    return settings_hash(differences(resolve([], plugins, overrides, registry or load_registry())))


def test_the_hash_is_that_of_the_differences_as_sorted_json_without_spaces():
    text = '{"model":{"controller":null,"generator":{"factors":12}},"optim":{"lr":0.001}}'
    found = hashed("model.controller=null", "optim.lr=1e-3", "model.generator.factors=12")
    assert found == hashlib.sha256(text.encode()).hexdigest()[:16]


def test_hashes_that_stand_in_collections_on_disk_do_not_move():
    assert hashed() == hashlib.sha256(b"{}").hexdigest()[:16] == "44136fa355b3678a"
    assert hashed("optim.lr=1e-3", "model.generator.factors=12", "model.controller=null") == "60f1227af4e2155f"
    assert hashed("train.seed=3", "components.train_augmentations=[{name: coordinated-dropout, rate: 0.5}, spike-jitter]") == "96591e6412e07d96"
    assert hashed("data.hold_out.fraction=0.25", "components.input_prior={name: student-t, degrees: 4}") == "c9a66e2a315b6857"


@pytest.mark.parametrize(
    "overrides",
    [
        ["optim.lr=0.004"],  # the default written out
        ["optim.lr=4e-3", "train.epochs=1000"],
        ["components.reconstruction=poisson"],
        ["components.train_augmentations=[coordinated-dropout]"],
        ["components.train_augmentations=[{name: coordinated-dropout, rate: 0.3}]"],
        ["model.controller={}"],
        ["track.mlflow=false", "track.experiment=other", "train.device=cpu", "train.threads=2", "train.recurrence=reference", "infer.figures=false"],
    ],
)
def test_what_comes_to_the_same_run_has_the_same_hash(overrides):
    assert hashed(*overrides) == hashed()


def test_what_comes_to_another_run_has_another_hash():
    others = [
        ["train.seed=1"],
        ["model.controller=null"],
        ["model.controller.inputs=3"],
        ["components.reconstruction=gaussian"],
        ["components.train_augmentations=[]"],
        ["components.train_augmentations=[{name: coordinated-dropout, rate: 0.31}]"],
        ["components.infer_augmentations=[coordinated-dropout]"],
        ["data.hold_out={}"],
        ["data.hold_out.seed=1"],
        ["infer.samples=null"],
        ["regularisation.kl_ic=0"],
    ]
    hashes = {hashed(*overrides) for overrides in [[], *others]}
    assert len(hashes) == len(others) + 1


def test_the_order_of_augmentations_is_part_of_what_is_hashed():
    one, other = "[coordinated-dropout, spike-jitter]", "[spike-jitter, coordinated-dropout]"
    assert hashed(f"components.train_augmentations={one}") != hashed(f"components.train_augmentations={other}")


PRIOR = """
    from attrs import frozen
    from lfads_core.config.fields import setting
    from lfads_core.plugins import PriorSpec, hookimpl

    @frozen(kw_only=True)
    class Settings:
        width: float = setting(1.0, "how wide")
        {more}

    @hookimpl
    def lfads_priors():
        yield PriorSpec(name="wide", summary="wide", config=Settings, build=lambda settings, dimensions: None)
"""


def plugin_hash(more, install, **entry):
    install("wide-plugin", PRIOR.format(more=more), **entry)
    registry = Registry.from_installed()
    standard = load_registry()

    class Both:
        def get(self, kind, name):
            return registry.get(kind, name) if name == "wide" else standard.get(kind, name)

        def find(self, name):
            return registry.find(name) if name == "wide" else standard.find(name)

        def as_offered(self, record):
            return standard.as_offered(record)

    return settings_hash(differences(resolve([], [], ["components.ic_prior={name: wide, width: 2.0}"], Both())))


@pytest.fixture
def standard():
    """The standard plugins, loaded before another fixture hides them."""
    load_registry()


@pytest.mark.parametrize("more", ["", 'depth: int = setting(3, "how deep")'])
def test_a_setting_that_a_plugin_adds_with_a_default_moves_no_hash(more, standard, install):
    text = '{"components":{"ic_prior":{"name":"wide","width":2.0}}}'
    assert plugin_hash(more, install) == hashlib.sha256(text.encode()).hexdigest()[:16]


def test_a_setting_that_the_schema_gains_with_a_default_moves_no_hash():
    @attrs.frozen(kw_only=True)
    class Later(TrainConfig):
        patience_of_a_saint: bool = setting(False, "added in another year")

    config = resolve([], [], ["train.seed=7"], load_registry())
    grown = attrs.evolve(config, train=Later(**{f.name: getattr(config.train, f.name) for f in attrs.fields(TrainConfig)}))
    assert settings_hash(differences(grown)) == settings_hash(differences(config))


def test_differences_laid_on_the_defaults_give_the_settings_back():
    overrides = ["model.controller=null", "optim.betas=[0.8, 0.9]", "data.hold_out={}", "components.reconstruction=gaussian"]
    config = resolve([], [], overrides, load_registry())
    assert structure(differences(config), load_registry()) == config
    assert differences(RunConfig()) == {}
    assert unstructure(structure({}, load_registry())) == unstructure(resolve([], [], [], load_registry()))
