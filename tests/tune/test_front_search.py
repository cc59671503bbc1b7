"""Searches from Python."""

from __future__ import annotations

import json

import numpy as np
import pytest
import yaml

import lfads_core as lf
from lfads_plugins_tune.search.state import read_state
from tiny_runs import TINY

SETTINGS = {key: yaml.safe_load(value) for key, value in (text.split("=") for text in TINY)}


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def recording():
    return lf.Recording.from_arrays(np.random.default_rng(0).poisson(1.0, (24, 8, 5)), bin_ms=10)


@pytest.mark.long
def test_a_search_gives_the_best_run_a_table_and_figures(recording, here):
    found = lf.search(
        recording, "random", members=3, epochs=3, seed=1, space={"optim.lr": "log:1e-4:1e-2", "model.dropout": None}, settings=SETTINGS,
        executor="serial", progress=False,
    )  # fmt: skip
    assert found.path.name == "recording-random"
    state = read_state(found.path)
    table = found.table
    assert table["optim.lr"].to_dict() == {member.member: member.values["optim.lr"] for member in state.members}
    assert "model.dropout" not in table.columns
    score = state.score.removeprefix("-")
    assert table[score].is_monotonic_increasing or table[score].is_monotonic_decreasing
    best = json.loads((found.path / "search.json").read_text())["best"]["member"]
    assert table.index[0] == best
    assert found.best.rates.shape == (24, 8, 5)
    assert found.best.config.optim.lr == pytest.approx(table.loc[best, "optim.lr"])
    assert all(getattr(found.plot, kind)()._repr_png_()[:4] == b"\x89PNG" for kind in ("curves", "scores"))
    with pytest.raises(lf.RunError, match="must have more than one generation for a figure of lineage, got one"):
        found.plot.lineage()
    assert repr(found).startswith("<Search 'recording-random': random, generation 1/1, 3 members, best ")
    again = lf.SearchResult(path=found.path)
    assert again.table.equals(table)
    assert lf.load(found.path).path == found.best.path


def test_an_interrupted_search_is_returned_and_goes_on(recording, here, monkeypatch):
    import lfads_plugins_tune.search.run as searching

    real = searching.copy_out

    def stop(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(searching, "copy_out", stop)
    with pytest.raises(KeyboardInterrupt):
        lf.search(recording, "random", members=2, epochs=1, settings=SETTINGS, executor="serial", name="s", progress=False)
    monkeypatch.setattr(searching, "copy_out", real)
    cut = lf.SearchResult(path=here / "runs" / "s")
    with pytest.raises(lf.RunError, match="the search must have ended, got none of its models copied out"):
        _ = cut.best
    assert cut.resume(progress=False).best.rates.shape == (24, 8, 5)


@pytest.mark.parametrize(
    ("more", "text"),
    [
        ({"member": 3}, r"^lf\.search: must be given options that it has, got 'member'\. Did you mean 'members'\?"),
        ({"space": {"optim.lr": "lgo:1:2"}}, r"^space: must be PATH=SPACE"),
        ({"settings": {"optim.lrr": 1}}, r"optim\.lrr: no such setting"),
    ],
)
def test_what_is_wrong_is_said_and_leaves_nothing_behind(more, text, recording, here):
    with pytest.raises(lf.ConfigError, match=text):
        lf.search(recording, "random", **more, progress=False)
    assert not list(here.glob("runs/*"))


def test_an_unknown_kind_is_said(recording, here):
    with pytest.raises(lf.LfadsError, match="no search named 'pbtt'"):
        lf.search(recording, "pbtt", settings=SETTINGS, progress=False)
