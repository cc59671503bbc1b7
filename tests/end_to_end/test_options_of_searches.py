"""Options and settings of searches, from the command line to what members are told; their training is arithmetic here."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from lfads_plugins_tune.search import run as search_run
from lfads_plugins_tune.search.state import read_state
from ray_searches import needs_ray
from toy_search import SPACES, Toy

KINDS = ("random", "grid", "sha", "tpe", "pbt")
PLACING = ("--address", "auto", "--workers", 3, "--per-worker", 2, "--cpus", 1.5, "--gpus", 0.25, "--storage", "s3://bucket/place")
WHERE = ("--space", "optim.lr=log:1e-4:1e-2", "--space", "model.dropout=uniform:0:0.6")
POINTS = ("--space", "optim.lr=choice:1e-4,1e-3,1e-2", "--space", "model.dropout=choice:0.1,0.4")


@pytest.fixture
def search(invoke, write_tiny, tiny_settings, tmp_path, monkeypatch):
    """``search("pbt", "--members", 3, fate=...)``: what became of a search, what its executor was made with and told."""

    def call(*words, fate=lambda _task, _tries: "done", code=130, name="s", verb="search", data=True):
        made = SimpleNamespace(executor=Toy(fate=fate), options=None, base=None, name=None, state=None)

        def make(executor, base, patterns, registry, options):
            made.name, made.base, made.options = executor, base, options
            return made.executor

        monkeypatch.setattr(search_run, "make_executor", make)

        def finish(folder, _, state, *__, **___):
            made.state = state
            return search_run.Searched(folder=folder, state=state)

        monkeypatch.setattr(search_run, "_finish", finish)
        sets = [part for setting in (*tiny_settings, "search.interval=2", "search.min_improvement=null") for part in ("--set", setting)]
        more = [write_tiny(), "--runs", tmp_path / "searches", "--name", name, *sets] if data else []
        made.said = invoke(verb, *words[:1], *more, *words[1:], code=code)
        if (tmp_path / "searches" / name / "search.json").exists():
            made.state = read_state(tmp_path / "searches" / name)
        return made

    return call


def assert_placed(made):
    of = made.options
    assert (of.address, of.workers, of.members_per_worker, of.cpus_per_worker, of.gpus_per_worker) == ("auto", 3, 2, 1.5, 0.25)
    assert of.storage == "s3://bucket/place"


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "grid"])
def test_a_search_has_the_members_and_epochs_that_are_asked_for(search, kind):
    said = search(kind, *WHERE, "--members", 5, "--epochs", 8, "--dry-run", code=0).said
    assert "5 members" in said
    assert "8 epochs each" in said
    assert "4e-" not in said.split("spaces:")[0]


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_what_is_searched_where_and_by_what_is_what_is_asked_for(search, kind, tmp_path):
    spaces = POINTS if kind == "grid" else WHERE
    asked = ("--epochs", 6, "--hold-out", 0.45, "--score", "recon", "--plugin", "gaussian", "--set", "search.suggested=false")
    said = search(kind, *spaces, *asked, "--dry-run", code=0).said
    assert "compared by the least valid/recon_smooth" in said
    assert {line.split(" = ")[0].strip() for line in said.split("spaces:\n")[1].split("first members")[0].splitlines()} == {
        "optim.lr",
        "model.dropout",
    }
    assert not (tmp_path / "searches").exists()
    assert "heldout" in search(kind, *spaces, "--epochs", 6, "--hold-out", 0.45, "--dry-run", code=0).said.split("spaces:")[0]
    assert "masked" in search(kind, *spaces, "--epochs", 6, "--dry-run", code=0).said.split("spaces:")[0]


@needs_ray
@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_search_goes_where_and_is_carried_out_by_what_is_asked_for(search, kind, tmp_path):
    spaces = POINTS if kind == "grid" else (*WHERE, "--members", 3, "--seed", 5)
    more = ("--epochs", 4, "--hold-out", 0.45, "--plugin", "gaussian", "--set", "optim.eps=0.5", "--executor", "ray", *PLACING)
    made = search(kind, *spaces, *more, name="mine")
    assert (tmp_path / "searches" / "mine" / "search.json").is_file()
    assert made.name == "ray"
    assert_placed(made)
    assert made.base.data.hold_out.fraction == 0.45
    assert made.base.components.reconstruction.name == "gaussian"
    assert made.base.optim.eps == 0.5
    assert made.state.targets[-1] == 4
    ended = search(kind, *spaces, "--epochs", 40, "--minutes", "1e-9", "--executor", "serial", name="ended")
    assert (ended.state.stopped, ended.name) == ("minutes", "serial")
    if kind != "grid":
        other = search(kind, *WHERE, "--members", 3, "--epochs", 4, "--seed", 6, "--hold-out", 0.45, "--plugin", "gaussian", name="other")
        assert [dict(member.values) for member in other.state.members] != [dict(member.values) for member in made.state.members]


def test_a_grid_has_a_member_at_each_point(search):
    values = {tuple(member.values[path] for path in ("optim.lr", "model.dropout")) for member in search("grid", *POINTS, "--epochs", 2).state.members}
    assert values == {(lr, dropout) for lr in (1e-4, 1e-3, 1e-2) for dropout in (0.1, 0.4)}


def test_generations_begin_after_the_burn_in_and_are_as_many_and_as_long_as_is_asked_for(search):
    made = search("pbt", *WHERE, "--members", 2, "--burn-in", 3, "--generations", 2, "--set", "search.interval=4")
    assert made.state.targets == (3, 7, 11)
    by_settings = search("pbt", *WHERE, "--set", "search.members=2", "--set", "search.burn_in=3", "--set", "search.generations=2", name="b")
    assert by_settings.state.targets[-1] == 3 + 2 * 2
    assert len(by_settings.state.members) == 2


def test_members_are_compared_only_after_the_burn_in(search):
    """Before it nobody takes over another's weights or values; afterwards somebody does."""
    made = search("pbt", *WHERE, "--members", 6, "--burn-in", 6, "--epochs", 14)
    seen = {generation: {t.member: t for t in made.executor.seen if t.generation == generation} for generation in range(len(made.state.targets))}
    assert made.state.targets == (2, 4, 6, 8, 10, 12, 14)
    for generation in (1, 2):
        for member, task in seen[generation].items():
            assert task.overrides == seen[0][member].overrides
            assert not task.restart
    moved = [m for g in (3, 4, 5, 6) for m, task in seen[g].items() if task.overrides != seen[g - 1][m].overrides]
    assert moved
    assert len(made.state.window) <= 5  # a burn-in's scores do not count for the end either


@pytest.mark.parametrize("retries", [0, 1, 3])
def test_a_member_that_fails_is_tried_again_as_often_as_is_asked_for(search, retries):
    made = search(
        "random", *WHERE, "--members", 3, "--epochs", 2, "--set", f"search.retries={retries}", fate=lambda t, _: "failed" if t.member == 1 else "done"
    )
    assert sum(task.member == 1 for task in made.executor.seen) == 1 + retries


def test_the_best_is_inferred_again_as_often_as_is_asked_for(search, monkeypatch, tmp_path):
    made, tries = search("random", *WHERE, "--members", 2, "--epochs", 2, "--set", "search.retries=4"), []
    monkeypatch.undo()
    monkeypatch.setattr(search_run, "copy_out", lambda *_: None)
    monkeypatch.setattr(search_run, "read_for", lambda *_: [])
    monkeypatch.setattr(search_run, "infer_best", lambda *_, tries: seen.append(tries) or {})
    seen = []
    from lfads_core.plugins import load_registry

    search_run._finish(tmp_path / "searches" / "s", made.base, made.state, load_registry(), lambda _: None, ends=True)
    assert seen == [5]
    assert tries == []


def test_a_population_ends_when_it_improves_no_more_as_is_asked_for(search, monkeypatch):
    monkeypatch.setattr("toy_search.toy_step", lambda weight, *_: weight)
    for patience in (2, 3):
        made = search(
            *("pbt", *WHERE, "--members", 3, "--burn-in", 2, "--epochs", 40),
            *("--set", "search.min_improvement=0.1", "--set", f"search.patience={patience}"),
            name=f"p{patience}",
        )
        assert made.state.stopped == "improvement"
        assert len(made.state.history) == patience
    assert search("pbt", *WHERE, "--members", 3, "--burn-in", 2, "--epochs", 12, name="on").state.stopped == "epochs"


def test_rungs_and_rounds_have_the_sizes_that_are_asked_for(search):
    halves = search("sha", *WHERE, "--members", 8, "--epochs", 16, "--set", "search.reduction=2")
    sizes = [sum(task.generation == g for task in halves.executor.seen) for g in range(len(halves.state.targets))]
    assert sizes[:3] == [8, 4, 2]
    asked = search("tpe", *WHERE, "--members", 6, "--epochs", 2, "--set", "search.batch=3", name="t")
    first = [task for task in asked.executor.seen if task.generation == 0]
    assert len(first) == 3
    assert {m.member for m in asked.state.members} or asked.state.history


def test_settings_of_a_search_stand_for_its_options(search):
    made = search(
        "random",
        "--epochs", 2,
        *(word for setting in (
            "search.members=3", "search.seed=7", "search.score=recon", "search.suggested=false", "search.minutes=50",
            "search.spaces={optim.lr: {kind: log, low: 1e-4, high: 1e-2}, model.dropout: {kind: uniform, low: 0, high: 0.6}}",
        ) for word in ("--set", setting)),
    )  # fmt: skip
    assert len(made.state.members) == 3
    assert set(made.state.spaces) == {"optim.lr", "model.dropout"}
    assert made.state.score == "valid/recon_smooth"
    by_option = search("random", *WHERE, "--set", "search.suggested=false", "--members", 3, "--epochs", 2, "--seed", 7, name="o")
    assert [dict(m.values) for m in by_option.state.members] == [dict(m.values) for m in made.state.members]
    other = search("random", *WHERE, "--set", "search.suggested=false", "--members", 3, "--epochs", 2, name="n")
    assert [dict(m.values) for m in other.state.members] != [dict(m.values) for m in made.state.members]
    wide = search("random", *WHERE, "--members", 2, "--epochs", 2, name="w")
    assert set(wide.state.spaces) > set(SPACES)
    ended = search("pbt", *WHERE, "--members", 2, "--epochs", 9, "--burn-in", 2, "--set", "search.minutes=1e-9", name="m")
    assert ended.state.stopped == "minutes"


@needs_ray
@pytest.mark.parametrize(("verb", "fate", "code"), [("resume", "raise", 130), ("retry", "failed", 2)])
def test_a_search_goes_on_with_the_executor_that_is_asked_for(search, verb, fate, code, tmp_path):
    search("pbt", *WHERE, "--members", 2, "--epochs", 6, "--burn-in", 2, fate=lambda _task, _: fate, code=code)
    assert search(verb, tmp_path / "searches" / "s", "--executor", "serial", fate=lambda _task, _: fate, code=code, data=False).name == "serial"
    made = search(verb, tmp_path / "searches" / "s", "--executor", "ray", *PLACING, data=False)
    assert made.name == "ray"
    assert_placed(made)


@needs_ray
def test_a_bundle_searches_with_the_executor_that_is_asked_for(search, write_tiny, tiny_settings):
    sets = [part for setting in (*tiny_settings, "search.interval=2", "search.members=2", "train.epochs=6") for part in ("--set", setting)]
    more = ("--search", "random", "--plugin", "gaussian", "--executor", "ray", *PLACING)
    made = search(write_tiny(), *sets, *more, verb="bundle", data=False)
    assert made.name == "ray"
    assert_placed(made)
    assert made.base.components.reconstruction.name == "gaussian"
    assert made.base.model.generator.hidden == 8
    assert made.state.kind == "random"
    assert search(write_tiny(), *sets, "--search", "random", "--executor", "serial", "-o", "b.zip", verb="bundle", data=False).name == "serial"
