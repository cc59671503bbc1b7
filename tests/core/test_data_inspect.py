"""Inspectors: what a reconstruction says about data, in a run and in ``lfads data check``."""

from __future__ import annotations

import logging
import textwrap

import attrs
import numpy as np
import pytest
import torch
from click.testing import CliRunner

from lfads_core.cli.main import cli
from lfads_core.components import AbstractReconstruction
from lfads_core.config.chosen import Component, ComponentsConfig
from lfads_core.config.schema import DataConfig, RunConfig
from lfads_core.data.checks import Problem
from lfads_core.data.inspect import inspect_session
from lfads_core.data.session import Session, Split
from lfads_core.errors import DataError, PluginError
from lfads_core.plugins.hookspecs import hookimpl
from lfads_core.plugins.registry import Registry
from lfads_core.plugins.specs import NoSettings, ReconstructionSpec
from lfads_core.train.data import check_for


class Odd(AbstractReconstruction):
    """Values about their parameter, of any sign."""

    n_params = 1
    support = "real"

    def nll(self, params, data):
        return (data - params[..., 0]) ** 2 / 2

    def mean(self, params):
        return params[..., 0]

    def sample(self, params, rng):
        return params[..., 0] + torch.randn(params.shape[:-1], generator=rng)


def spec(inspect=None, **changes):
    plain = {"name": "odd", "summary": "x", "config": NoSettings, "build": lambda *_: Odd(), "inspect": inspect}
    return ReconstructionSpec(**{**plain, **changes})


def registry(inspect=None):
    class Plugin:
        @hookimpl
        def lfads_reconstructions(self):
            yield spec(inspect)

    return Registry.from_plugins({"stranger": Plugin()})


@pytest.fixture
def session():
    rng = np.random.default_rng(0)
    splits = {name: rng.normal(size=(20, 5, 3)) for name in ("train", "valid")}
    return Session(name="monday", path=None, splits={k: Split(encod=x, recon=x, external=np.zeros((20, 5, 0))) for k, x in splits.items()})


@pytest.fixture
def config():
    chosen = ComponentsConfig(reconstruction=Component("odd"), train_augmentations=())
    return attrs.evolve(RunConfig(), components=chosen, data=DataConfig(batch_size=5))


def test_what_an_inspector_finds_is_led_by_the_session(session):
    def inspect(given):
        assert given is session
        yield Problem(severity="warning", text="'train_recon_data' is odd. Look at it.")

    assert inspect_session(session, "odd", registry(inspect)) == [
        Problem(severity="warning", text="session 'monday': 'train_recon_data' is odd. Look at it.", session="monday")
    ]


def test_without_an_inspector_there_is_nothing_to_say(session):
    assert inspect_session(session, "odd", registry()) == []


def test_an_inspector_must_be_callable():
    with pytest.raises(ValueError, match="'inspect' must be a function, or 'module:name' of one, got 'no'"):
        spec("no")


def test_an_unknown_reconstruction_is_refused(session):
    with pytest.raises(PluginError, match=r"^no reconstruction named 'none'"):
        inspect_session(session, "none", registry())


def test_an_inspector_that_fails_is_logged_and_stops_nobody(session, config, caplog):
    def inspect(_session):
        yield Problem(severity="error", text="found before the fault")
        raise RuntimeError("my fault")

    with caplog.at_level(logging.WARNING):
        check_for(config, [session], registry(inspect))
    (record,) = caplog.records
    assert record.getMessage() == "stranger 0 (entry point 'stranger'): the reconstruction 'odd' failed and the run goes on (RuntimeError: my fault)"


def test_an_inspector_that_gives_something_else_is_logged(session, caplog):
    with caplog.at_level(logging.WARNING):
        assert inspect_session(session, "odd", registry(lambda _: ["text"])) == []
    assert "TypeError: inspect must give lfads_core.data.checks.Problem, got 'text'" in caplog.text


def test_errors_of_an_inspector_stop_a_run_and_warnings_go_to_the_log(session, config, caplog):
    def inspect(_session):
        yield Problem(severity="warning", text="careful")
        yield Problem(severity="error", text="broken")

    with caplog.at_level(logging.WARNING), pytest.raises(DataError, match=r"^session 'monday': broken$"):
        check_for(config, [session], registry(inspect))
    assert caplog.messages == ["session 'monday': careful"]


def test_data_check_with_a_plugin_runs_its_inspector(install, write_recording, counts, monkeypatch):
    source = """
        from types import SimpleNamespace
        from lfads_core.plugins.hookspecs import hookimpl
        from lfads_core.plugins.specs import NoSettings, ReconstructionSpec

        def inspect(session):
            from lfads_core.data.checks import Problem
            yield Problem(severity="error", text=f"{session.splits['train'].recon.shape} is no good")

        @hookimpl
        def lfads_reconstructions():
            yield ReconstructionSpec(name="odd", summary="x", config=NoSettings, inspect=inspect, build=lambda *_: SimpleNamespace(support="real"))
    """
    install("odd-plugin", textwrap.dedent(source))
    monkeypatch.setenv("LFADS_PLUGINS", "odd-plugin,std")
    path = write_recording("a.h5", counts)
    with_plugin = CliRunner().invoke(cli, ["data", "check", str(path), "--plugin", "odd", "--batch-size", "5"])
    assert with_plugin.exit_code == 2
    assert f"error: {path}: (12, 5, 3) is no good\n" in with_plugin.stdout
    without = CliRunner().invoke(cli, ["data", "check", str(path), "--batch-size", "5"])
    assert without.exit_code == 0
    assert "no good" not in without.stdout
