"""Whole searches of tiny models: what they leave behind, and that executors agree."""

from __future__ import annotations

import io
import json
import logging
import re

import h5py
import numpy as np
import pytest
import torch

import lfads_core
from lfads_core.errors import ConfigError, RunError
from lfads_core.plugins import load_registry
from lfads_core.runs import Run
from lfads_core.track.fitlog import read_fitlog
from lfads_plugins_tune.search.parse import parse_spaces
from lfads_plugins_tune.search.progress import SearchDisplay
from lfads_plugins_tune.search.run import Placing, first_state, make_best, resume_search, start_search
from lfads_plugins_tune.search.settings import resolve_base
from lfads_plugins_tune.search.state import read_state, write_state
from lfads_plugins_tune.search.table import lineage


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "tiny.h5"
    rng = np.random.default_rng(0)
    with h5py.File(path, "w") as file:
        for split, trials in (("train", 12), ("valid", 10)):
            file[f"{split}_encod_data"] = rng.poisson(1.0, (trials, 8, 5)).astype(np.float32)
        file.attrs["bin_ms"] = 10.0
    return path


@pytest.fixture(scope="module")
def search(data, tiny_settings, tmp_path_factory):
    """``search("pbt", "serial", "search.members=3", spaces=[...])`` searches on tiny data, without figures."""

    def run(kind, executor, *overrides, spaces=(), path=None):
        registry = load_registry()
        settings = [*tiny_settings, "train.epochs=6", "search.interval=2", "search.members=3", "search.min_improvement=null", *overrides]
        first = first_state(kind, resolve_base(kind, [], [], settings, parse_spaces(tuple(spaces)), registry), [data], registry, executor)
        folder = path or tmp_path_factory.mktemp("runs") / "s"
        return start_search(folder, first, registry, SearchDisplay(io.StringIO()), Placing(executor=executor))

    return run


@pytest.fixture(scope="module")
def population(search):
    return search("pbt", "serial")


def test_the_best_member_is_an_ordinary_run_that_has_been_inferred(population):
    loaded = lfads_core.load(population.best.path)
    best = population.state.best
    assert (loaded.config.train.seed, loaded.config.search) == (best.member, None)
    assert {"valid_output_params", "valid_factors"} <= loaded.outputs().keys()
    assert population.best.read_state()["status"] == "finished"
    assert population.best.read_state()["search"]["member"] == best.member
    assert "valid/bps" in best.scores
    source = json.loads((population.folder / f"members/{best.member:03d}/checkpoints/best.json").read_text())
    assert json.loads((population.best.checkpoints / "best.json").read_text()) == source
    costs = [json.loads(p.read_text())["state"]["progress"]["best"]["cost"] for p in population.folder.glob("members/*/checkpoints/best.json")]
    assert best.score == min(costs)


def test_its_log_follows_the_weights_back_through_every_exploit(population):
    log = read_fitlog(population.best.fitlog)
    way = lineage(population.state.history, population.state.best.member)
    assert log["epoch"] == list(range(6))
    assert [(int(g), int(m)) for g, m in zip(log["generation"], log["member"], strict=True)] == [(g, way[g]) for g in (0, 0, 1, 1, 2, 2)]
    assert not np.isnan(log["valid/masked_smooth"]).any()


def test_the_learning_rate_really_moves_with_the_hyperparameter(population):
    log = read_fitlog(population.folder / "fitlog.csv")
    assert log["lr"] == log["hp/optim.lr"]
    assert len(set(log["lr"])) > 1
    moved = [r for g in population.state.history for r in g.members if r.parent not in {None, r.member}]
    assert moved
    for record in moved:
        rows = [i for i in range(len(log["lr"])) if log["member"][i] == record.member and log["hp/optim.lr"][i] == record.hyperparameters["optim.lr"]]
        assert rows
        assert {log["lr"][i] for i in rows} == {record.hyperparameters["optim.lr"]}


def test_a_member_is_scored_by_values_that_were_hidden_from_it(population):
    assert population.state.score == "valid/masked_smooth"
    log = read_fitlog(population.folder / "fitlog.csv")
    last = population.state.history[-1]
    for record in last.members:
        (at,) = [i for i in range(len(log["epoch"])) if (log["member"][i], log["epoch"][i]) == (record.member, 5)]
        assert record.score == log["valid/masked_smooth"][at]


def test_a_losers_start_is_the_winners_end(population):
    last, before = population.state.history[-1], population.state.history[-2]
    assert any(r.parent != r.member for r in last.members)
    for record in last.members:
        start = json.loads((population.folder / f"members/{record.member:03d}/start/last.json").read_text())["state"]
        assert start["epoch"] == before.epochs
        score = next(r.score for r in before.members if r.member == record.parent)
        assert start["progress"]["smoothed"]["value"] == score


@pytest.mark.long
def test_batched_and_serial_executors_take_the_same_decisions_to_the_same_weights(population, search):
    batched = search("pbt", "batched")
    assert batched.state.kind == population.state.kind
    for one, other in zip(population.state.history, batched.state.history, strict=True):
        assert [(r.member, r.parent, r.status, r.hyperparameters) for r in one.members] == [
            (r.member, r.parent, r.status, r.hyperparameters) for r in other.members
        ]
        assert [r.score for r in one.members] == pytest.approx([r.score for r in other.members], rel=1e-5)
    for member in range(3):
        first, second = (_weights(done.folder / f"members/{member:03d}/checkpoints") for done in (population, batched))
        for name, value in first.items():
            torch.testing.assert_close(value, second[name], rtol=1e-4, atol=1e-5)


def _weights(folder):
    return torch.load(folder / json.loads((folder / "last.json").read_text())["tensors"], weights_only=True)["model"]


def test_a_random_search_may_move_what_shapes_the_model(search):
    done = search(
        "random", "batched", "search.suggested=false", "search.interval=3", spaces=["model.generator.factors=int:2:3", "optim.lr=log:1e-3:1e-2"]
    )
    assert {m.values["model.generator.factors"] for m in done.state.members} == {2, 3}
    assert [len(g.members) for g in done.state.history] == [3, 3]
    factors = done.state.members[done.state.best.member].values["model.generator.factors"]
    assert lfads_core.load(done.best.path).config.model.generator.factors == factors


def test_a_metric_may_be_what_wins_and_then_most_wins(search):
    done = search("grid", "serial", "search.score=valid/bps", "train.epochs=2", spaces=["optim.lr=choice:1e-3,1e-2"])
    assert done.state.score == "-valid/bps"
    log = read_fitlog(done.folder / "fitlog.csv")
    bps = {int(m): b for m, b in zip(log["member"], log["valid/bps"], strict=True) if not np.isnan(b)}
    assert {m.member: -m.score for m in done.state.members} == bps
    assert done.state.best.member == max(bps, key=bps.get)
    assert lfads_core.load(done.best.path).checkpoint == "last"


def test_what_is_inferred_wrongly_is_tried_again_and_then_left_to_retry(search, tmp_path, monkeypatch):
    from lfads_plugins_tune.search import best

    calls, finish = [], best.finish

    def breaks(*arguments, **more):
        calls.append(1)
        raise RuntimeError("out of memory\nand so on")

    monkeypatch.setattr(best, "finish", breaks)
    folder = tmp_path / "s"
    message = f"{folder}/best: the best member must be inferred, got: RuntimeError: out of memory Mend it, then `lfads search retry {folder}`."
    with pytest.raises(RunError, match=f"^{re.escape(message)}$"):
        search("grid", "serial", "train.epochs=1", spaces=["optim.lr=choice:1e-3,2e-3"], path=folder)
    assert len(calls) == 2
    assert (read_state(folder).status, read_state(folder).stopped, read_state(folder).error) == ("sampling", "epochs", message)
    monkeypatch.setattr(best, "finish", finish)
    done = resume_search(folder, load_registry(), SearchDisplay(io.StringIO()), retry=True)
    assert (done.state.status, done.state.error) == ("finished", None)
    assert done.best.output("tiny").exists()


def test_a_member_that_was_given_up_may_be_tried_again_alone(search):
    done = search("grid", "serial", "train.epochs=2", spaces=["optim.lr=choice:1e-3,2e-3"])
    state = read_state(done.folder)
    from dataclasses import replace

    lost = replace(state.members[1], status="lost", score=None, error="said so")
    write_state(done.folder, replace(state.with_member(lost), status="finished"))
    again = resume_search(done.folder, load_registry(), SearchDisplay(io.StringIO()), retry=True)
    assert [m.status for m in again.state.members] == ["done", "done"]
    assert [m.score for m in again.state.members] == [m.score for m in state.members]


def test_the_best_so_far_can_be_had_before_the_end(search, monkeypatch, data, tiny_settings, tmp_path):
    registry = load_registry()
    base = resolve_base("pbt", [], [], [*tiny_settings, "train.epochs=6", "search.interval=2", "search.members=2"], {}, registry)
    asked = iter(range(10**6))
    from lfads_plugins_tune.search import run as module

    class Impatient:
        def __enter__(self):
            return lambda: next(asked) > 20

        def __exit__(self, *_):
            return None

    monkeypatch.setattr(module, "stop_wish", Impatient)
    stopped = start_search(tmp_path / "s", first_state("pbt", base, [data], registry, "serial"), registry, SearchDisplay(io.StringIO()))
    assert (stopped.best, stopped.state.status) == (None, "interrupted")
    found = make_best(tmp_path / "s", registry, lambda _: None)
    assert found.best.output("tiny").exists()
    assert read_state(tmp_path / "s").status == "interrupted"


def test_a_folder_holds_one_search(population, search):
    message = f"{population.folder}: a new search needs a folder of its own, but one is there already. Use `lfads search resume`, or another --name."
    with pytest.raises(RunError, match=f"^{re.escape(message)}$"):
        search("grid", "serial", spaces=["optim.lr=choice:1e-3,2e-3"], path=population.folder)


MUST = "search.score: must be auto, heldout, masked, recon, or a metric of these data, got"


@pytest.mark.parametrize(
    ("score", "message"),
    [
        (
            "heldout",
            (
                "validation.judge: 'heldout' must have channels that are reconstructed but not encoded, got none. "
                "Hold some out with data.hold_out (--hold-out 0.25), or judge by 'masked'."
            ),
        ),
        ("valid/co_bps", f"{MUST} 'valid/co_bps'. Did you mean valid/bps?"),
        ("best", f"{MUST} 'best'. Metrics of these data: valid/bps."),
    ],
)
def test_what_cannot_be_compared_is_refused(score, message, search):
    with pytest.raises(ConfigError, match=f"^{re.escape(message)}$"):
        search("random", "serial", f"search.score={score}")


def test_scores_that_copying_may_win_are_warned_of(data, tiny_settings, caplog):
    registry = load_registry()
    base = resolve_base("random", [], [], [*tiny_settings, "search.score=recon"], {}, registry)
    with caplog.at_level(logging.WARNING, "lfads_plugins_tune.search.score"):
        _, state = first_state("random", base, [data], registry, "serial")
    assert state.score == "valid/recon_smooth"
    assert [r.message for r in caplog.records if r.name == "lfads_plugins_tune.search.score"] == [
        "search.score: 'recon' counts values that the encoders saw, so a member that copies its input may win; 'auto' takes masked."
    ]


def test_held_out_channels_are_compared_by_where_there_are_any(data, tiny_settings):
    registry = load_registry()
    held = resolve_base("random", [], [], [*tiny_settings, "data.hold_out.fraction=0.4"], {}, registry)
    ready, state = first_state("random", held, [data], registry, "serial")
    assert (state.score, ready.base.validation.judge) == ("valid/heldout_smooth", "heldout")
    asked = resolve_base("random", [], [], [*tiny_settings, "data.hold_out.fraction=0.4", "validation.judge=masked"], {}, registry)
    assert first_state("random", asked, [data], registry, "serial")[1].score == "valid/masked_smooth"


def test_an_executor_that_is_not_there_is_named(search, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "lfads_plugins_tune.executors.batched", None)
    text = (
        r"^--executor: lfads-plugins-tune .*: the executor 'batched' failed "
        r"\('lfads_plugins_tune.executors.batched:BatchedExecutor': must be 'module:name' of something that can be imported, got "
    )
    with pytest.raises(ConfigError, match=text):
        search("grid", "batched", spaces=["optim.lr=choice:1e-3,2e-3"])
    with pytest.raises(ConfigError, match=r"^--executor: no executor named 'slurm'\. Installed: batched, ray, serial\.$"):
        search("grid", "slurm", spaces=["optim.lr=choice:1e-3,2e-3"])


def test_members_are_ordinary_runs(population):
    run = Run.open(population.folder / "members/001")
    assert lfads_core.load(run.path).config.validation.judge == "masked"
    assert read_fitlog(run.fitlog)["epoch"] == list(range(6))


def test_figures_of_the_best_and_of_the_search_are_drawn_unless_the_settings_say_no(search, monkeypatch):
    drawn = []
    monkeypatch.setattr("lfads_core.infer.run.draw_reports", lambda run, *_: drawn.append(run.path.name))
    monkeypatch.setattr("lfads_plugins_tune.search.run.draw_figures", lambda folder, form: drawn.append((folder.name, form)))
    for setting, wanted in (("false", []), ("true", ["best", ("s", "svg")])):
        search("grid", "serial", "train.epochs=1", f"infer.figures={setting}", "infer.figure_format=svg", spaces=["optim.lr=choice:1e-3,2e-3"])
        assert drawn == wanted
