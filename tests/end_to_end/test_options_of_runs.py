"""Options of the commands that make runs and look at them."""

from __future__ import annotations

import csv
import io
import json
import re

import click
import h5py
import numpy as np
import pytest
import yaml

import lfads_core


def arrays(path):
    with h5py.File(path) as file:
        return {key: value[()] for key, value in file.items() if isinstance(value, h5py.Dataset)}, dict(file.attrs)


@pytest.mark.slow
def test_a_run_is_made_of_the_components_and_settings_that_are_given_where_it_is_asked_for(invoke, write_tiny, sets, tmp_path):
    invoke(
        "run", write_tiny(), "--plugin", "gaussian", *sets, "--set", "model.generator.factors=2", "--runs", "elsewhere", "--name", "g", "--profile"
    )
    found, _ = arrays(tmp_path / "elsewhere/g/lfads_output_tiny.h5")
    assert found["valid_factors"].shape[2] == 2
    assert "valid_rates_hz" not in found  # the mean of a normal is no rate
    assert "traceEvents" in json.loads((tmp_path / "elsewhere/g/profile.json").read_text(encoding="utf-8"))


@pytest.mark.slow
def test_a_run_goes_on_where_it_stopped_at_the_rate_that_is_asked_for(invoke, write_tiny, sets, tmp_path):
    falling = ("train.epochs=6", "train.smoothing=0", "optim.lr=0.1", "optim.patience=0", "optim.decay=0.5")
    invoke("run", write_tiny(), "--name", "r", *sets, *(part for setting in falling for part in ("--set", setting)))
    invoke("run", "--resume", "runs/r", "--set", "train.epochs=7")
    invoke("run", "--resume", "runs/r", "--set", "train.epochs=8", "--reset-lr")
    with (tmp_path / "runs/r/fitlog.csv").open(encoding="utf-8") as file:
        rates = [float(row["lr"]) for row in csv.DictReader(file)]
    assert len(rates) == 8
    assert rates[6] < 0.1
    assert rates[7] == 0.1


def test_a_dry_run_prints_what_would_hold_and_writes_nothing(invoke, write_tiny, sets, tmp_path):
    said = yaml.safe_load(invoke("run", write_tiny(), *sets, "--dry-run", "--set", "optim.lr=0.123"))
    assert said["optim"]["lr"] == 0.123
    assert not (tmp_path / "runs").exists()


@pytest.mark.slow
def test_an_adapted_run_is_of_the_weights_settings_and_place_that_are_given(invoke, run, write_tiny, tmp_path):
    options = ("--epochs", 2, "--set", "optim.lr=0.01")
    adapted = {}
    for which in ("best", "last"):
        said = invoke("adapt", run, write_tiny("new.h5", seed=5), *options, "--checkpoint", which, "--name", which, "--runs", tmp_path / "other")
        adapted[which] = lfads_core.load(tmp_path / "other" / which)
        of_parent = lfads_core.load(run, which).parameters()
        for name in ("decoder.generator.recurrent", "encoder.ic_mean.weight"):
            if name in of_parent:
                np.testing.assert_array_equal(adapted[which].parameters()[name], of_parent[name])
        assert len(adapted[which].columns()["epoch"]) == 2
        assert adapted[which].config.optim.lr == 0.01
    assert not np.array_equal(*(adapted[which].parameters()["decoder.generator.recurrent"] for which in adapted))
    said = invoke("adapt", run, tmp_path / "new.h5", "--set", "train.epochs=300", "--minutes", "1e-7")
    assert "train.minutes (1e-07) used up" in said
    assert (tmp_path / "runs" / "r-new").is_dir()


def test_inference_is_of_the_weights_and_goes_where_it_is_asked_for(invoke, run, finished, tmp_path):
    found = {}
    for which in ("best", "last"):
        invoke("infer", run, finished / "a.h5", "--means", "--checkpoint", which, "-o", tmp_path / which)
        (path,) = [tmp_path / which] if (tmp_path / which).is_file() else (tmp_path / which).glob("*.h5")
        found[which], about = arrays(path)
        assert about["lfads_checkpoint"] == which
    assert not np.array_equal(found["best"]["valid_factors"], found["last"]["valid_factors"])


@pytest.mark.slow
def test_scores_are_of_the_sessions_and_trials_that_are_asked_for_as_text_or_json(invoke, run):
    found = json.loads(invoke("eval", run, "--session", "b", "--few-shot", 7, "--json"))["sessions"]
    assert list(found) == ["b"]
    assert found["b"]["few_shot"]["trials"] == 7
    plain = invoke("eval", run)
    assert not plain.startswith("{")
    assert json.loads((run / "evaluation.json").read_text(encoding="utf-8"))["sessions"]["a"]["few_shot"] is None


def test_what_is_scored_reported_and_exported_must_be_of_the_weights_that_are_asked_for(invoke, run, tmp_path):
    for words in (("eval",), ("report",), ("export", "--h5", tmp_path / "all.h5")):
        said = invoke(words[0], run, *words[1:], "--checkpoint", "last", code=2)
        assert "must be of the checkpoint last, got outputs of best" in said


def test_runs_are_compared_as_text_json_csv_or_in_a_file(invoke, run, tmp_path):
    assert [row["run"] for row in json.loads(invoke("compare", run, "--json"))] == ["r"]
    assert [row["run"] for row in csv.DictReader(io.StringIO(invoke("compare", run, "--csv")))] == ["r"]
    invoke("compare", run, "-o", tmp_path / "c.csv")
    with (tmp_path / "c.csv").open(encoding="utf-8") as file:
        assert [row["run"] for row in csv.DictReader(file)] == ["r"]


@pytest.mark.slow
def test_a_page_goes_where_it_is_asked_for_and_is_opened(invoke, run, tmp_path, monkeypatch):
    opened = []
    monkeypatch.setattr(click, "launch", opened.append)
    invoke("report", run, "-o", tmp_path / "page.html", "--open")
    assert "</html>" in (tmp_path / "page.html").read_text(encoding="utf-8")
    assert not (run / "report.html").exists()
    assert opened == [(tmp_path / "page.html").as_uri()]


def test_bounds_are_of_so_many_samples_of_the_weights(invoke, run, tmp_path):
    """Of one sample the importance-weighted bound is the ELBO; of more it is higher on average."""
    found = {}
    for count, which in ((1, "best"), (30, "best"), (1, "last")):
        invoke("bound", run, "--samples", count, "--checkpoint", which, "-o", tmp_path / f"{count}{which}")
        found[count, which], _ = arrays(tmp_path / f"{count}{which}" / "lfads_bound_a.h5")
    one, many = found[1, "best"], found[30, "best"]
    np.testing.assert_allclose(one["valid_iwae"], one["valid_elbo"], rtol=1e-6)
    assert (many["valid_iwae"] > many["valid_elbo"]).all()
    assert not np.allclose(found[1, "last"]["valid_nll"], one["valid_nll"])


def test_a_stream_is_of_the_split_from_the_start_with_the_weights_that_are_asked_for(invoke, run, tmp_path):
    found = {}
    for options in (("--split", "train"), ("--start", "typical"), ("--checkpoint", "last"), ()):
        place = tmp_path / ("s" + "".join(options))
        invoke("stream", run, *options, "-o", place)
        found[options], about = arrays(place / "lfads_stream_a.h5")
        assert about["waits_bins"] == (0 if "typical" in options else 3)
    assert found["--split", "train"]["train_latency_ms"].shape == (12, 8)
    assert "train_latency_ms" not in found[()]
    assert not np.allclose(found["--checkpoint", "last"]["valid_output_params"], found[()]["valid_output_params"])


def test_generated_trials_are_as_many_of_the_seed_and_weights_that_are_asked_for(invoke, run, tmp_path):
    def generate(*options):
        invoke("generate", run, "-n", 5, "-o", tmp_path / "g.h5", *options)
        return {key: value for key, value in arrays(tmp_path / "g.h5")[0].items() if value.ndim == 3}

    plain = generate()
    assert {len(value) for value in plain.values()} == {5}
    again, other, last = generate("--seed", 0), generate("--seed", 1), generate("--checkpoint", "last")
    (key,) = [key for key in plain if "factors" in key]
    np.testing.assert_array_equal(again[key], plain[key])
    assert not np.array_equal(other[key], plain[key])
    assert not np.array_equal(last[key], plain[key])


@pytest.mark.slow
def test_exports_are_of_the_kind_and_the_conditions_that_are_asked_for(invoke, run, tmp_path):
    invoke(
        "export", run, "--h5", tmp_path / "all.h5", "--mat", tmp_path / "mats", "--parameters", tmp_path / "w.h5", "--to", "page", tmp_path / "p.html"
    )
    with h5py.File(tmp_path / "w.h5") as file:
        np.testing.assert_array_equal(
            file["decoder/generator/recurrent"][()], lfads_core.load(run, "best").parameters()["decoder.generator.recurrent"]
        )
    assert sorted(path.suffix for path in (tmp_path / "mats").iterdir()) == [".mat", ".mat"]
    assert "</html>" in (tmp_path / "p.html").read_text(encoding="utf-8")

    def conditions(path):
        sizes = []
        with h5py.File(path) as file:
            file.visititems(lambda name, item: sizes.append(item.shape[0]) if "condition" in name and hasattr(item, "shape") and item.shape else None)
        return set(sizes)

    assert 2 in conditions(tmp_path / "all.h5")
    invoke("export", run, "--h5", tmp_path / "by.h5", "--conditions", "target")
    assert 3 in conditions(tmp_path / "by.h5")
    assert 2 not in conditions(tmp_path / "by.h5")


def test_settings_are_shown_with_the_components_and_overrides_that_are_given(invoke):
    shown = yaml.safe_load(invoke("config", "show", "--plugin", "zig", "--set", "optim.lr=0.0123"))
    assert shown["optim"]["lr"] == 0.0123
    assert shown["components"]["reconstruction"]["name"] == "zero-inflated-gamma"


def test_imported_settings_go_into_a_file_that_is_replaced_only_if_that_is_asked_for(invoke, tmp_path):
    (tmp_path / "theirs.yaml").write_text("model:\n  gen_dim: 33\n", encoding="utf-8")
    invoke("config", "import", "theirs.yaml", "-o", "ours.yaml")
    assert yaml.safe_load((tmp_path / "ours.yaml").read_text(encoding="utf-8"))["model"]["generator"]["hidden"] == 33
    assert "--force" in invoke("config", "import", "theirs.yaml", "-o", "ours.yaml", code=2)
    (tmp_path / "ours.yaml").write_text("", encoding="utf-8")
    invoke("config", "import", "theirs.yaml", "-o", "ours.yaml", "--force")
    assert (tmp_path / "ours.yaml").read_text(encoding="utf-8")


def test_what_is_cited_installed_and_made_is_what_is_asked_for(invoke, tmp_path):
    plain, more = invoke("cite"), invoke("cite", "--plugin", "zig")
    assert set(re.findall(r"^@\w+\{(.+),$", more, flags=re.MULTILINE)) != set(re.findall(r"^@\w+\{(.+),$", plain, flags=re.MULTILINE))
    listed = json.loads(invoke("plugins", "list", "--json"))
    assert "zero-inflated-gamma" in json.dumps(listed)
    invoke("plugins", "new", "laplace", "--kind", "prior", "-o", tmp_path / "made")
    (made,) = (tmp_path / "made").iterdir()
    assert "PriorSpec" in "".join(path.read_text(encoding="utf-8") for path in made.rglob("*.py"))


@pytest.mark.slow
def test_a_reader_is_tried_on_the_file_that_is_given(invoke, install, monkeypatch, write_tiny):
    source = """
    from pathlib import Path
    from lfads_core.plugins import DataReaderSpec, hookimpl

    def matches(path):
        return Path(path).suffix == ".odd"

    def read(path):
        raise ValueError("only this file was read")

    @hookimpl
    def lfads_data_readers():
        return [DataReaderSpec(name="odd", summary="odd files", matches=matches, read=read)]
    """
    install("oddly", source)
    (write_tiny().with_name("x.odd")).write_bytes(b"odd")
    without = invoke("plugins", "check", "odd")
    given = invoke("plugins", "check", "odd", "--file", write_tiny().with_name("x.odd"), code=2)
    assert "only this file was read" in given
    assert "only this file was read" not in without
