"""Adapting: new sessions learn, and nothing else moves."""

from __future__ import annotations

import re

import h5py
import numpy as np
import pytest
import torch
from click.testing import CliRunner

from lfads_core.cli.main import cli
from lfads_core.data.read import read_sessions
from lfads_core.errors import ConfigError, DataError, RunError
from lfads_core.infer.loading import load
from lfads_core.pipeline.adapt import adapt_run
from lfads_core.pipeline.run import resume_run
from lfads_core.plugins import load_registry
from lfads_core.train.checkpoint import load_checkpoint
from lfads_core.train.progress import Display

pytestmark = pytest.mark.long

NEW = ("readins.new.", "readouts.new.", "reconstructions.new.")


@pytest.fixture
def parent(train_tiny, write_tiny):
    """A model of two sessions with different numbers of channels."""
    files = [write_tiny("days/one.h5", channels=5), write_tiny("days/two.h5", channels=4, seed=1)]
    return load(train_tiny(data=files, name="parent").run.path)


@pytest.fixture
def new(write_tiny):
    return write_tiny("new.h5", channels=6, seed=2)


@pytest.fixture
def adapt(parent, new, tmp_path):
    def start(*overrides, data=None, name="adapted", of=None):
        return adapt_run(of or parent, [data or new], ("train.epochs=4", *overrides), Display(), tmp_path / "runs" / name)

    return start


def weights(run, which="last"):
    return load_checkpoint(run.checkpoints, which).tensors["model"]


def test_everything_but_the_new_sessions_layers_keeps_its_weights_to_the_bit(parent, adapt, new):
    finished = adapt()
    before, after = parent.model.state_dict(), weights(finished.run)
    added = set(after) - set(before)
    assert added == {f"{part}.new.{name}" for part in ("readins", "readouts") for name in ("weight", "bias")}
    assert all(torch.equal(before[key], after[key]) for key in before)
    started = weights(adapt("optim.lr=1e-12", "optim.min_lr=0", name="unmoved").run)
    assert all(not torch.allclose(started[key], after[key], atol=1e-6) for key in added)
    (session,) = read_sessions([new])
    means = session.splits["train"].recon.mean((0, 1))
    np.testing.assert_allclose(started["readouts.new.bias"].exp().squeeze(), means, rtol=1e-3)


def test_the_new_run_remembers_its_parent_and_gives_outputs_of_the_new_session_alone(parent, adapt, new):
    run = adapt().run
    state = run.read_state()
    assert state["adapted_from"] == {"run": str(parent.run.path.resolve()), "checkpoint": "best"}
    assert (state["status"], state["data"], state["epochs"]) == ("finished", [str(new)], 4)
    assert [path.name for path in run.path.glob("lfads_output_*.h5")] == ["lfads_output_new.h5"]
    with h5py.File(run.output("new")) as file:
        assert file["valid_output_params"].shape == (6, 8, 6)
    assert [s.name for s in load(run.path).description.sessions] == ["one", "two", "new"]


def test_old_sessions_are_inferred_as_by_the_parent(parent, adapt):
    adapted = load(adapt().run.path)
    session = read_sessions([parent.run.path.parents[1] / "days/one.h5"])[0]
    from lfads_core.infer.run import infer_sessions

    one, other = (infer_sessions(loaded, [session], samples=2, seed=0)["one"]["valid"].output_params for loaded in (parent, adapted))
    np.testing.assert_array_equal(one, other)


def test_an_adaptation_that_goes_on_ends_as_an_unbroken_one(adapt):
    unbroken = adapt("train.epochs=4", name="unbroken").run
    broken = adapt("train.epochs=2", name="broken").run
    resume_run(broken.path, ["train.epochs=4"], load_registry(), Display())
    one, other = weights(unbroken), weights(broken)
    assert one.keys() == other.keys()
    assert all(torch.equal(one[key], other[key]) for key in one)


def test_an_adaptation_ended_before_its_first_checkpoint_starts_again_from_the_parent(adapt, parent):
    whole = adapt(name="whole").run
    run = adapt(name="cut").run
    for path in run.checkpoints.iterdir():
        path.unlink()
    resume_run(run.path, (), load_registry(), Display())
    one, other = weights(whole), weights(run)
    assert all(torch.equal(one[key], other[key]) for key in one)
    for path in [*run.checkpoints.iterdir(), *parent.run.checkpoints.iterdir()]:
        path.unlink()
    with pytest.raises(RunError, match=re.escape("parent/checkpoints/best.json: there is no such checkpoint.")):
        resume_run(run.path, (), load_registry(), Display())


def test_resuming_with_other_data_is_refused(adapt, new, write_tiny):
    run = adapt().run
    new.unlink()
    write_tiny("new.h5", channels=7, seed=2)
    with pytest.raises(RunError, match=re.escape("last.json: must fit the run's config.yaml and data, got something else")):
        resume_run(run.path, (), load_registry(), Display())


def test_an_adapted_run_can_be_adapted(adapt, write_tiny):
    first = load(adapt().run.path)
    second = adapt(of=first, data=write_tiny("newer.h5", channels=3, seed=4), name="twice").run
    before, after = first.model.state_dict(), weights(second)
    assert all(torch.equal(before[key], after[key]) for key in before)
    assert {s.name for s in load(second.path).description.sessions} == {"one", "two", "new", "newer"}


def test_ramps_are_over_and_a_batch_is_no_larger_than_the_new_trials(adapt, parent):
    config = load(adapt("optim.lr=0.01").run.path).config
    assert config.regularisation.kl_ramp.increase_epochs == config.regularisation.l2_ramp.increase_epochs == 0
    assert (config.optim.lr, config.data.batch_size, config.components.readin.name) == (0.01, 4, "linear")
    parent.run.config_path.write_text(parent.run.config_path.read_text().replace("batch_size: 4", "batch_size: 64", 1))
    assert load(adapt(name="small").run.path).config.data.batch_size == 12


def test_fixed_layers_of_a_new_session_stay_fixed(train_tiny, write_tiny, adapt):
    rng = np.random.default_rng(5)

    def aligned(channels):
        return {"readin_weight": rng.normal(size=(channels, 3)), "readout_bias": np.ones(channels)}

    files = [write_tiny(f"aligned/{name}.h5", channels=n, **aligned(n)) for name, n in (("a", 5), ("b", 4))]
    fresh = write_tiny("fresh.h5", channels=6, **aligned(6))
    pcr = ("components.readin=pcr", "components.readout=pcr")
    run = adapt(of=load(train_tiny(*pcr, data=files, name="pcr").run.path), data=fresh).run
    with h5py.File(fresh) as file:
        torch.testing.assert_close(
            weights(run)["readins.fresh.weight"], torch.as_tensor(file["readin_weight"][()].T, dtype=torch.float32), rtol=0, atol=0
        )
    frozen = load(train_tiny(*pcr, "components.readout.trainable=false", data=files, name="frozen").run.path)
    text = "components: something of the new session must be trainable, but its read-in, read-out and reconstruction are all fixed."
    with pytest.raises(ConfigError, match=f"^{re.escape(text)}"):
        adapt(of=frozen, data=fresh, name="nothing")


def test_what_does_not_fit_is_refused_before_a_folder_is_made(adapt, parent, write_tiny, tmp_path):
    for data, text in (
        (parent.run.path.parents[1] / "days/one.h5", "a new session must have a name of its own, got 'one', which"),
        (write_tiny("fast.h5", bin_ms=5.0), "fast.h5: must have bins of 10 ms as in training, got 5 ms. Bin alike."),
        (
            write_tiny("driven.h5", train_ext_input=np.ones((12, 8, 2)), valid_ext_input=np.ones((6, 8, 2))),
            "must have (encoded bins, reconstructed bins, external inputs) (8, 8, 0) as in training, got (8, 8, 2). Cut it alike.",
        ),
    ):
        with pytest.raises(DataError, match=re.escape(text)):
            adapt(data=data, name="refused")
    for override, group in (("model.generator.hidden=9", "model"), ("components.readout.start_at_mean=false", "components")):
        text = f"--set: an adapted model must keep its parent's network and components, got a change in {group}. Only model.dropout and "
        with pytest.raises(ConfigError, match=f"^{re.escape(text)}"):
            adapt(override, name="refused")
    assert not (tmp_path / "runs" / "refused").exists()
    adapt("model.dropout=0", "components.train_augmentations=[]")


def test_a_model_without_read_ins_takes_no_further_session(train_tiny, adapt):
    alone = load(train_tiny(name="alone").run.path)
    text = "a model that takes further sessions must have a read-in for each, got one trained without. "
    with pytest.raises(ConfigError, match=re.escape(text)):
        adapt(of=alone)
    adapt(of=load(train_tiny("components.readin=linear", name="read_in").run.path))


def test_the_command_makes_a_run_beside_its_parent(parent, new, tmp_path):
    args = ["adapt", str(parent.run.path), str(new), "--set", "train.epochs=2", "--minutes", "5"]
    for folder in ("parent-new", "parent-new-2"):
        result = CliRunner().invoke(cli, args)
        assert result.exit_code == 0, result.output
        assert (tmp_path / "runs" / folder / "lfads_output_new.h5").is_file()
    assert load(tmp_path / "runs" / "parent-new").config.train.minutes == 5
    result = CliRunner().invoke(cli, ["run", "--resume", str(tmp_path / "runs" / "parent-new"), "--set", "train.epochs=3"])
    assert result.exit_code == 0, result.output
    assert load(tmp_path / "runs" / "parent-new", "last").run.read_state()["epochs"] == 3
