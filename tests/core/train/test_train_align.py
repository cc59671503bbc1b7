"""Following a recording that drifts: only the new day's layers move, what comes of it is said, and what cannot be is refused."""

from __future__ import annotations

import json
import re
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from click.testing import CliRunner

import lfads_core as lf
import lfads_plugins_std.plugin
from lfads_core.cli.main import cli
from lfads_core.components import AbstractAlignment
from lfads_core.config.losses import AlignmentConfig
from lfads_core.errors import ConfigError, DataError, PluginError
from lfads_core.infer.alignment import distance, sampled_latents
from lfads_core.infer.findings import of_alignment
from lfads_core.infer.loading import load
from lfads_core.infer.run import infer_sessions
from lfads_core.pipeline.adapt import adapt_run, adapted_config
from lfads_core.pipeline.run import resume_run
from lfads_core.plugins import AlignmentSpec, Registry, load_registry
from lfads_core.plugins.hookspecs import hookimpl
from lfads_core.train.auto import resolve_auto
from lfads_core.train.checkpoint import load_checkpoint
from lfads_core.train.data import read_for
from lfads_core.train.progress import Display

NEW = ("readins.new.", "readouts.new.", "reconstructions.new.")
MET = ("losses.new.nomad.mean", "losses.new.nomad.covariance")


@pytest.fixture
def new(write_tiny):
    return write_tiny("new.h5", seed=2)


@pytest.fixture
def align(new, tmp_path):
    """Follow ``new``, or other recordings, with the model of a run."""

    def start(parent, *overrides, data=None, name="followed", by="nomad"):
        return adapt_run(load(parent.path), [data or new], ("train.epochs=4", *overrides), Display(), tmp_path / "runs" / name, align=by).run

    return start


def weights(run, which="last"):
    return load_checkpoint(run.checkpoints, which).tensors["model"]


@pytest.mark.long
@pytest.mark.parametrize(
    ("settings", "channels"),
    [
        pytest.param((), 5, id="without read-in"),
        pytest.param(
            ("components.readin=linear", "model.controller=null", "train.average=10"),
            6,
            id="read-in, other channels, no controller",
            marks=pytest.mark.slow,
        ),
        pytest.param(("data.hold_out.fraction=0.4", "components.latents=[context]"), 5, id="held-out channels, latent", marks=pytest.mark.slow),
        pytest.param(("components.losses=[behaviour]", "regularisation.reduce=sum"), 5, id="parent with labels"),
        pytest.param(("components.generator=mlp", "components.encoder=lstm"), 5, id="another network", marks=pytest.mark.slow),
    ],
)
def test_only_the_new_days_layers_move(train_tiny, write_tiny, align, settings, channels):
    rng = np.random.default_rng(0)
    labels = {f"{split}_behavior": rng.normal(size=(n, 8, 2)) for split, n in (("train", 12), ("valid", 6))}
    parent = train_tiny(*settings, data=write_tiny("old.h5", **labels), name="parent").run
    run = align(parent, data=write_tiny("new.h5", channels=channels, seed=2))
    before, after = weights(parent, "best"), weights(run)
    kept = {key for key in before if not key.startswith("losses.")}
    assert kept <= set(after)
    assert all(torch.equal(before[key], after[key]) for key in kept)
    assert {key for key in set(after) - set(before) if not key.startswith(NEW)} == set(MET)


@pytest.mark.long
def test_new_days_meet_the_sampled_states_of_all_old_days(train_tiny, write_tiny, align):
    days = [write_tiny(f"days/{name}.h5", channels=n, seed=n) for name, n in (("one", 5), ("two", 4))]
    parent = train_tiny(data=days, name="parent").run
    several = {write_tiny(f"several/{name}.h5", seed=seed).parent for name, seed in (("new", 2), ("newer", 3))}
    run = align(parent, data=several.pop())
    assert run.read_state()["alignment"]["left"].keys() == {"new", "newer"}
    assert torch.equal(weights(run)["losses.newer.nomad.mean"], weights(run)[MET[0]])
    loaded = load(run.path)
    old = read_for(loaded.config, days, loaded.registry)
    states = sampled_latents(loaded.model, loaded.config, loaded.infer_stack, old).gen_states.reshape(-1, 8).double().numpy()
    assert len(states) == 24 * 8
    np.testing.assert_allclose(weights(run)[MET[0]], states.mean(axis=0), atol=1e-6)
    np.testing.assert_allclose(weights(run)[MET[1]], np.cov(states.T, bias=True), atol=1e-6)


@pytest.mark.long
def test_a_read_in_starts_as_it_was_by_place_or_by_name(train_tiny, write_tiny, align):
    still = ("optim.lr=1e-12", "optim.min_lr=0", "train.epochs=1")
    old = write_tiny("old.h5", channels=4, channel_names=np.array([b"a", b"b", b"c", b"d"]))
    parent = train_tiny("components.readin=linear", data=old, name="parent").run
    before = weights(parent, "best")["readins.old.weight"]
    placed = weights(align(parent, *still, data=write_tiny("new.h5", channels=4, seed=2), name="placed"))["readins.new.weight"]
    torch.testing.assert_close(placed, before, atol=1e-6, rtol=0)
    names = np.array([b"d", b"x", b"a"])
    named = weights(align(parent, *still, data=write_tiny("new.h5", channels=3, seed=2, channel_names=names), name="named"))["readins.new.weight"]
    torch.testing.assert_close(named, torch.stack([before[:, 3], torch.zeros(3), before[:, 0]], dim=1), atol=1e-6, rtol=0)
    other = weights(align(parent, *still, data=write_tiny("new.h5", channels=6, seed=2), name="other"))["readins.new.weight"]
    assert other.std() > 0.1


@pytest.mark.long
def test_a_model_without_a_read_in_begins_by_taking_channels_as_they_are_and_knows_its_own_day_as_before(train_tiny, write_tiny, align):
    old = write_tiny("old.h5")
    parent = train_tiny(data=old, name="parent").run
    run = align(parent, "optim.lr=1e-12", "optim.min_lr=0")
    torch.testing.assert_close(weights(run)["readins.new.weight"], torch.eye(5), atol=1e-6, rtol=0)
    moved, start = weights(align(parent, name="moved")), weights(run)
    assert all(
        (moved[f"{part}.new.{name}"] - start[f"{part}.new.{name}"]).abs().min() > 1e-4
        for part in ("readins", "readouts")
        for name in ("weight", "bias")
    )
    assert all(torch.equal(moved[key], start[key]) for key in MET)
    assert load(run.path).description.bare == ("old",)
    session = read_for(load(parent.path).config, [old], load_registry())
    one, other = (infer_sessions(load(r.path), session, samples=2, seed=0)["old"]["valid"].output_params for r in (parent, run))
    np.testing.assert_array_equal(one, other)


def test_the_run_tells_whom_it_follows_and_how_near_it_came(train_tiny, align):
    parent = train_tiny(name="parent").run
    run = align(parent, "train.epochs=2")
    state = run.read_state()
    assert state["adapted_from"] == {"run": str(parent.path.resolve()), "checkpoint": "best"}
    known = state["alignment"]
    assert (known["name"], known["to"], set(known)) == ("nomad", ["tiny"], {"name", "to", "within", "before", "starts", "left"})
    loaded = load(run.path)
    latents = sampled_latents(loaded.model, loaded.config, loaded.infer_stack, read_for(loaded.config, run.data, loaded.registry))
    assert known["left"]["new"] == pytest.approx(distance(loaded.model.losses["new"]["nomad"], latents), rel=1e-6)
    assert ("not_aligned" in state["findings"]) == (known["left"]["new"] > known["within"]["new"])
    assert {"loss_ramp/nomad", "train/loss/nomad/distance", "valid/loss/nomad/distance"} <= set(load(run.path).columns())


def test_what_is_further_away_than_the_old_days_own_trials_is_told():
    assert of_alignment("monday", {"tuesday": 0.03}, {"tuesday": 0.03}) == {}
    found = of_alignment("monday", {"tuesday": 0.03, "friday": 0.02}, {"tuesday": 0.01, "friday": 0.25})
    assert found["not_aligned"].startswith(
        "the latents are not where those of monday are: a distance of 0.25 for friday, where 0.02 is that of as many of its own trials. "
        "Do not trust a decoder of old days with them."
    )


def test_it_takes_steps_rather_than_epochs_and_a_rate_of_its_own(train_tiny, align, new, tmp_path):
    parent = load(train_tiny(name="parent").run.path)
    config = load(adapt_run(parent, [new], ("train.minutes=0.0001",), Display(), tmp_path / "runs" / "steps", align="nomad").run.path, "last").config
    assert (config.train.epochs, config.optim.lr) == (25, 0.01)  # 75 steps, 3 an epoch
    assert (config.components.alignment.name, config.components.alignment.settings.scale) == ("nomad", 0.1)
    given = adapted_config(parent, ("regularisation.reduce=sum", "components.alignment.floor=0.2"), "nomad")
    summed = resolve_auto(given, read_for(given, [new], parent.registry)).components.alignment.settings
    assert (summed.scale, summed.floor) == (0.1 * 8 * 5, 0.2)


@pytest.mark.long
def test_following_that_goes_on_ends_as_if_unbroken(train_tiny, align):
    parent = train_tiny(name="parent").run
    unbroken, broken, cut = align(parent, name="unbroken"), align(parent, "train.epochs=2", name="broken"), align(parent, name="cut")
    for path in cut.checkpoints.iterdir():
        path.unlink()
    for run in (broken, cut):  # from its last checkpoint, and from before its first
        resume_run(run.path, ["train.epochs=4"], load_registry(), Display())
        one, other = weights(unbroken), weights(run)
        assert one.keys() == other.keys()
        assert all(torch.equal(one[key], other[key]) for key in one)
        assert run.read_state()["alignment"] == unbroken.read_state()["alignment"]


@pytest.mark.long
def test_day_after_day_is_aligned_to_the_first(train_tiny, write_tiny, align):
    parent = train_tiny(name="parent").run
    first = align(parent, name="first")
    second = align(first, data=write_tiny("newer.h5", seed=3), name="second")
    assert second.read_state()["alignment"]["to"] == ["tiny"]
    assert torch.equal(weights(second)["losses.newer.nomad.covariance"], weights(first)["losses.new.nomad.covariance"])
    loaded = load(second.path)
    assert ([s.name for s in loaded.description.sessions], loaded.description.bare, loaded.description.aligned) == (
        ["tiny", "new", "newer"],
        ("tiny",),
        ("newer",),
    )
    plain = align(first, data=write_tiny("plain.h5", seed=4), name="plain", by=None)
    assert "alignment" not in plain.read_state()
    assert not any(key.startswith("losses.") for key in weights(plain))


def test_without_the_old_recording_nothing_can_be_followed(train_tiny, write_tiny, align, tmp_path):
    old = write_tiny("old.h5")
    parent = train_tiny(data=old, name="parent").run
    old.unlink()
    with pytest.raises(DataError, match=re.escape(f"{parent.path}: the recordings it was trained on must be at hand, for new days are aligned to")):
        align(parent)
    assert not (tmp_path / "runs" / "followed").exists()


def test_what_cannot_be_followed_is_refused_in_a_sentence(train_tiny, write_tiny, align, tmp_path):
    parent = train_tiny(name="parent").run
    with pytest.raises(PluginError, match=re.escape("no alignment named 'nomand'. Did you mean 'nomad'? Installed: nomad.")):
        align(parent, by="nomand")
    with pytest.raises(DataError, match=re.escape("must have bins of 10 ms as in training, got 5 ms. Bin alike.")):
        align(parent, data=write_tiny("fast.h5", bin_ms=5.0))
    with pytest.raises(ConfigError, match=re.escape("must keep its parent's network and components, got a change in components.")):
        align(parent, "components.alignment=nomad", by=None)
    with pytest.raises(ConfigError, match=re.escape("a model that takes further sessions must have a read-in for each, got one trained without.")):
        align(parent, by=None)
    fixed = train_tiny("components.readin={name: linear, trainable: false}", name="fixed").run
    text = "components.readin: must be trainable to be aligned, got a fixed one for 'new'. Train a model whose read-ins are trainable"
    with pytest.raises(ConfigError, match=re.escape(text)):
        align(fixed)
    text = "components.alignment: must be null in a training that does not follow another, got nomad. Use `lfads adapt RUN DATA --align nomad`."
    with pytest.raises(ConfigError, match=re.escape(text)):
        train_tiny("components.alignment=nomad", name="refused")
    assert not (tmp_path / "runs" / "followed").exists()
    assert not (tmp_path / "runs" / "refused").exists()


@pytest.mark.long
def test_from_the_command_line_and_from_python(train_tiny, new, tmp_path):
    parent = train_tiny(name="parent").run
    result = CliRunner().invoke(cli, ["adapt", str(parent.path), str(new), "--align", "nomad", "--set", "train.epochs=2"])
    assert result.exit_code == 0, result.output
    assert re.search(r"new: nomad distance from tiny \S+, before \S+, within \S+", result.output)
    assert "alignment" in json.loads((tmp_path / "runs" / "parent-new" / "run.json").read_text())
    result = CliRunner().invoke(cli, ["adapt", str(parent.path), str(new), "--align", "nomand"])
    assert (result.exit_code, "Did you mean 'nomad'?" in result.output) == (2, True)
    run = lf.load(parent.path).adapt(new, align="nomad", settings={"train.epochs": 2}, progress=False, name="here")
    assert run.run.read_state()["alignment"]["to"] == ["tiny"]
    assert run.of("new").factors.shape[0] == 18


class Apart(AbstractAlignment):
    """The distance of mean factors."""

    def __init__(self, info):
        super().__init__()
        self.register_buffer("mean", torch.zeros(info.session.factors))

    def meet(self, latents):
        self.mean.copy_(latents.factors.mean(dim=(0, 1)))

    def distance(self, latents):
        return (latents.factors.mean(dim=(0, 1)) - self.mean).square().sum()


class Vague(Apart):
    def distance(self, latents):
        return latents.factors.mean(dim=(0, 1)) - self.mean


class Below(Apart):
    def distance(self, latents):
        return -super().distance(latents) - 1


class Grown(Apart):
    def meet(self, latents):
        self.mean = latents.factors.mean(dim=0)


class Forgetful(Apart):
    def meet(self, latents):
        self.kept = latents.factors.mean(dim=(0, 1))


WRONG = {
    Vague: r"distance must give a tensor of one finite number, got tensor",
    Below: r"distance must be 0 or more, the smaller the more alike, got -",
    Grown: r"meet must change parameters and buffers in place .* but 'mean' was \(\d+,\) and is \(8, \d+\)",
    Forgetful: r"meet must keep what it knows in buffers that build makes, as checkpoints do, but made kept\.",
}


@pytest.mark.parametrize("part", [Apart, *WRONG])
def test_alignments_of_others_are_followed_or_blamed(train_tiny, new, tmp_path, part):
    spec = AlignmentSpec(name="apart", summary="Mean factors", config=AlignmentConfig, build=lambda _, info: part(info), steps=6)
    mine = SimpleNamespace(lfads_alignments=hookimpl(lambda: [spec]))
    mine.lfads_alignments.__name__ = "lfads_alignments"
    registry = Registry.from_plugins({"std": lfads_plugins_std.plugin, "mine": mine})
    parent = load(train_tiny(name="parent").run.path, registry=registry)

    def follow():
        return adapt_run(parent, [new], (), Display(), tmp_path / "runs" / "mine", align="apart").run

    if part in WRONG:
        with pytest.raises(PluginError, match=f"the alignment 'apart': {WRONG[part]}"):
            follow()
        return
    assert (follow().read_state()["alignment"]["name"], len(load(tmp_path / "runs" / "mine", registry=registry).columns()["epoch"])) == ("apart", 2)
