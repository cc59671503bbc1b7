"""Training a part of the parameters: nothing else moves, and nothing else is priced."""

from __future__ import annotations

import json

import pytest
import torch

import lfads_core
from lfads_core.config.schema import RegularisationConfig
from lfads_core.errors import ConfigError
from lfads_core.objective.terms import recurrent_kernels


def weights_of(path, which="last"):
    return {name: torch.as_tensor(value) for name, value in lfads_core.load(path, which).parameters().items()}


def first_weights(train_tiny, *overrides, data):
    """What the same run starts with."""
    run = train_tiny(
        *overrides, "optim.lr=1e-30", "optim.min_lr=0", "train.epochs=1", "components.readout={name: linear}", name="first", data=data
    ).run
    return weights_of(run.path)


@pytest.mark.long
@pytest.mark.parametrize(
    ("setting", "moves"),
    [
        ("train.only=['readins.*', 'readouts.*']", lambda name: name.startswith(("readins.", "readouts."))),
        ("train.only=[encoder, input_encoder]", lambda name: name.startswith(("encoder.", "input_encoder."))),
        ("train.frozen=['readins.*']", lambda name: not name.startswith("readins.") and name != "ic_prior.log_var"),
    ],
)
def test_only_what_is_named_moves(setting, moves, train_tiny, write_tiny):
    data = [write_tiny("a.h5"), write_tiny("b.h5", seed=1)]
    before = first_weights(train_tiny, setting, data=data)
    run = train_tiny(setting, "train.epochs=3", "optim.weight_decay=0.1", data=data).run
    for name, value in weights_of(run.path).items():
        if name.startswith(("reconstructions", "input_prior", "ic_prior")):
            continue
        if not moves(name):
            assert torch.equal(value, before[name]), name
        elif value.numel():
            assert not torch.equal(value, before[name]), name


def test_frozen_matrices_are_not_priced(train_tiny):
    run = train_tiny("train.frozen=[decoder.generator]", "train.epochs=1").run
    from lfads_core.config.load import resolve
    from lfads_core.model.build import prepare_model
    from lfads_core.plugins import load_registry
    from lfads_core.train.data import read_for

    registry = load_registry()
    config = resolve([run.config_path], (), (), registry)
    model = prepare_model(config, read_for(config, run.data, registry), registry, "cpu")
    scales = [scale for scale, _ in recurrent_kernels(model, RegularisationConfig(l2_generator=2.0, l2_controller=3.0, l2_encoder=1.0))]
    assert scales == [1.0, 1.0, 0.0, 0.0, 0.0, 3.0]


def test_a_run_goes_on_with_another_part_and_resumes_exactly_from_there(train_tiny, resume, end_state, tmp_path, caplog):
    run = train_tiny("train.epochs=2").run
    before = weights_of(run.path)
    with caplog.at_level("INFO"):
        resume("train.epochs=4", "train.only=['readouts.*']")
    assert "other parameters are trained than before: the optimiser's moments start anew" in caplog.text
    after = weights_of(run.path)
    assert {name.partition(".")[0] for name in before if not torch.equal(before[name], after[name])} == {"readouts"}
    assert json.loads((run.checkpoints / "last.json").read_text())["state"]["trained"] == ["readouts.tiny.weight", "readouts.tiny.bias"]
    caplog.clear()
    resume("train.epochs=5")
    assert "moments start anew" not in caplog.text


def test_names_that_fit_nothing_are_refused_with_near_misses(train_tiny):
    with pytest.raises(ConfigError) as caught:
        train_tiny("train.only=['readout.*']")
    assert str(caught.value).startswith("train.only: must name parameters of the model, got 'readout.*', which fits none. Did you mean readouts")
    with pytest.raises(ConfigError) as caught:
        train_tiny("train.frozen=[qqq]")
    assert str(caught.value) == (
        "train.frozen: must name parameters of the model, got 'qqq', which fits none. "
        "They begin with decoder, encoder, ic_prior, input_encoder, input_prior or readouts."
    )
    with pytest.raises(ConfigError) as caught:
        train_tiny("train.frozen=['*']")
    assert str(caught.value) == "train.only, train.frozen: must leave something to be trained, got settings under which every parameter is fixed."


@pytest.mark.long
@pytest.mark.parametrize("how", ["flag", "setting", "no"])
def test_the_learning_rate_starts_again_if_that_is_asked_for(how, train_tiny, tmp_path):
    from click.testing import CliRunner

    from lfads_core.cli.main import cli

    run = train_tiny("train.epochs=4").run
    manifest = run.checkpoints / "last.json"
    state = json.loads(manifest.read_text())
    state["state"]["progress"]["plateau"]["lr"] = 1e-3  # as after some plateaus
    manifest.write_text(json.dumps(state))
    ask = {"flag": ["--reset-lr"], "setting": ["--set", "optim.lr=0.004"], "no": []}[how]
    done = CliRunner().invoke(cli, ["run", "--resume", str(run.path), "--set", "train.epochs=5", *ask], catch_exceptions=False)
    assert done.exit_code == 0
    assert lfads_core.load(run.path).columns()["lr"][-1] == (1e-3 if how == "no" else 4e-3)


@pytest.mark.parametrize("schedule", ["cosine", "constant"])
def test_a_rate_that_follows_from_the_epoch_cannot_be_reset(schedule, train_tiny):
    from click.testing import CliRunner

    from lfads_core.cli.main import cli

    run = train_tiny("train.epochs=1", f"optim.schedule={schedule}").run
    done = CliRunner().invoke(cli, ["run", "--resume", str(run.path), "--set", "train.epochs=2", "--reset-lr"])
    assert done.exit_code == 2
    assert f"--reset-lr: is for optim.schedule: plateau, whose rate depends on how a training went, got {schedule}," in " ".join(done.output.split())


def test_resetting_a_rate_without_a_run_is_refused():
    from click.testing import CliRunner

    from lfads_core.cli.main import cli

    done = CliRunner().invoke(cli, ["run", "data.h5", "--reset-lr"])
    assert done.exit_code == 2
    assert "--reset-lr: concerns a run that goes on, got none. Give --resume RUN with it." in " ".join(done.output.split())
