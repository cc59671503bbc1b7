"""A stranger's encoder, generator, loss and latent together: trained, searched, killed, inferred, cited, and missed when they are gone."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time

import h5py
import pytest

import lfads_core
from foreign_site import lfads
from lfads_core.plugins import load_registry

WHO = "lab-dynamics 1.0 (entry point 'dynamics')"
RECIPE = ("--plugin", "moody")
PARTS = {"lfads_encoders": "the encoder 'traces'", "lfads_generators": "the generator 'leaky'", "lfads_losses": "the loss 'calm'"}
PARTS |= {"lfads_latents": "the latent 'mood'"}
SPACES = {"components.encoder.gain", "components.generator.leak", "components.losses.calm.scale", "components.latents.mood.kl"}


def log_of(run):
    with (run / "fitlog.csv").open() as file:
        return list(csv.DictReader(file))


@pytest.mark.long
def test_all_four_train_together_are_inferred_and_cited(tiny, tmp_path):
    lfads("run", tiny.data, tiny.yaml, *RECIPE, "--name", "four")
    run = tmp_path / "runs/four"
    (*_, last) = log_of(run)
    assert float(last["train/loss/calm/change"]) > 0
    assert float(last["train/latent/mood/kl"]) > 0
    lfads("infer", run)
    with h5py.File(run / "lfads_output_tiny.h5") as file:
        assert file["valid_latent_mood_mean"].shape == (10, 1)
    cited = lfads("cite", run).stdout
    assert cited.count("@article{stranger2026,") == 1
    made_with = json.loads((run / "run.json").read_text())
    assert made_with["versions"]["lab-dynamics"] == "1.0"


@pytest.mark.long
@pytest.mark.parametrize("hook", PARTS)
def test_a_part_that_is_gone_is_named_with_the_distribution_that_had_it(hook, tiny, tmp_path, monkeypatch):
    lfads("run", tiny.data, tiny.yaml, *RECIPE, "--name", "four", "--set", "train.epochs=1")
    import lab_dynamics.plugin

    monkeypatch.delattr(lab_dynamics.plugin, hook)
    for words in (("infer", tmp_path / "runs/four"), ("run", "--resume", tmp_path / "runs/four", "--set", "train.epochs=2")):
        said = lfads(*words, code=2).stderr
        assert said.startswith("error: ")
        assert f"The run was trained with what is not here: lab-dynamics 1.0 ({PARTS[hook]})" in said, said


def test_a_run_whose_package_is_gone_says_what_to_install(tiny, tmp_path, monkeypatch):
    lfads("run", tiny.data, tiny.yaml, *RECIPE, "--name", "four", "--set", "train.epochs=1")
    monkeypatch.setenv("LFADS_PLUGINS", "std,tune,lab")
    said = lfads("infer", tmp_path / "runs/four", code=2).stderr
    assert all(part in said for part in PARTS.values()), said
    assert "lab-dynamics==1.0" in said


@pytest.mark.long
def test_population_based_training_moves_settings_of_its_own(tiny, tmp_path):
    words = ("--set", "search.members=3", "--set", "search.interval=1", "--set", "search.burn_in=1")
    lfads("search", "pbt", tiny.data, tiny.yaml, *RECIPE, *words, "--executor", "batched", "--name", "pbt")
    generations = json.loads((tmp_path / "runs/pbt/search.json").read_text())["history"]
    values = [member["hyperparameters"] for generation in generations for member in generation["members"]]
    assert values[0].keys() >= SPACES
    assert all(len({found[path] for found in values}) > 2 for path in SPACES)
    assert lfads_core.load(tmp_path / "runs/pbt/best").config.components.generator.name == "leaky"


@pytest.mark.slow
def test_each_part_obeys_the_laws_of_its_kind(foreign_site):
    said = lfads("plugins", "check", "lab-dynamics").stdout
    assert all(noun in said for noun in ("encoder traces", "generator leaky", "loss calm", "latent mood", "recipe moody"))


@pytest.mark.slow
def test_a_run_that_was_killed_goes_on_to_the_numbers_of_one_that_was_not(tiny, tmp_path, foreign_site, end_state):
    more = ("--set", "train.epochs=15", "--set", "data.passes=1")
    lfads("run", tiny.data, tiny.yaml, *RECIPE, *more, "--name", "whole")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(foreign_site), os.environ.get("PYTHONPATH", "")])}
    command = [sys.executable, "-m", "lfads_core.cli.main", "run", str(tiny.data), str(tiny.yaml), *RECIPE, *more, "--name", "killed"]
    process = subprocess.Popen(command, env=environment, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    run = tmp_path / "runs/killed"
    end = time.monotonic() + 120
    while process.poll() is None and time.monotonic() < end and not ((run / "fitlog.csv").is_file() and len(log_of(run)) >= 3):
        time.sleep(0.01)
    assert process.poll() is None
    process.send_signal(signal.SIGKILL)
    process.wait()
    load_registry.cache_clear()
    lfads("run", "--resume", run)
    assert len(log_of(run)) == 15
    assert end_state(run) == end_state(tmp_path / "runs/whole")
