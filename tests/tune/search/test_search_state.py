"""The journal of a search: whole or not at all, and what is said of one that cannot be read."""

from __future__ import annotations

import io
import json
import re
import sys
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from lfads_core.config.spaces import SpaceConfig, log
from lfads_core.errors import RunError
from lfads_plugins_tune.cli import search_output
from lfads_plugins_tune.search.history import Generation, MemberRecord
from lfads_plugins_tune.search.labels import short_names
from lfads_plugins_tune.search.report import headline, lines_of, table_of
from lfads_plugins_tune.search.state import Best, Member, SearchState, read_state, state_to_json, write_state
from toy_search import Toy

VALUES = st.dictionaries(st.sampled_from(["optim.lr", "a.b"]), st.one_of(st.floats(allow_nan=False), st.integers(), st.text(max_size=5)))
NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
MEMBERS = st.fixed_dictionaries(
    {
        "member": st.integers(0, 50),
        "values": VALUES,
        "parent": st.none() | st.integers(0, 50),
        "attempt": st.integers(0, 3),
        "status": st.sampled_from(["waiting", "done", "diverged", "failed", "interrupted", "ended", "lost"]),
        "score": st.none() | NUMBERS,
        "error": st.none() | st.text(max_size=20),
    }
)
RECORDS = st.fixed_dictionaries(
    {
        "member": st.integers(0, 9),
        "parent": st.none() | st.integers(0, 9),
        "score": st.none() | NUMBERS,
        "status": st.just("done"),
        "hyperparameters": VALUES,
    }
)


@given(members=st.lists(MEMBERS, max_size=4), records=st.lists(RECORDS, max_size=3), window=st.lists(NUMBERS, max_size=3), seconds=NUMBERS)
def test_a_journal_is_read_back_as_it_was_written(members, records, window, seconds, tmp_path_factory):
    generation = Generation(generation=0, first_epoch=0, epochs=3, members=tuple(MemberRecord(**record) for record in records))
    state = SearchState(
        kind="random",
        executor="serial",
        data=("a.h5",),
        spaces={"optim.lr": log(1e-4, 1e-2), "x": SpaceConfig(kind="choice", values=(1, "b", None))},
        score="valid/masked_smooth",
        targets=(3, 6),
        burn_in=3,
        generation=1,
        members=tuple(Member(**member) for member in members),
        seconds=seconds,
        window=tuple(window),
        best=Best(member=1, score=0.1, scores={"valid/bps": 0.2}) if window else None,
        history=(generation,),
    )
    folder = tmp_path_factory.mktemp("journal")
    (folder / "search.json").write_text(json.dumps(state_to_json(state)))
    assert read_state(folder) == state


@pytest.fixture
def written(tmp_path):
    state = SearchState(
        kind="pbt",
        executor="serial",
        data=("a.h5",),
        spaces={},
        score="x",
        targets=(1,),
        burn_in=0,
        generation=0,
        members=(),
        versions={"torch": "2"},
    )
    write_state(tmp_path, state)
    return tmp_path


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.update(format="x"), "must be a journal written by lfads, with format 'lfads-search', got another program's file."),
        (lambda d: d.update(schema=9), "this version reads journals of schema 1, got 9. Use the version of lfads that wrote it."),
        (lambda d: d.pop("best"), "must be as lfads wrote it, got something that cannot be read (KeyError: 'best'). Restore it."),
    ],
)
def test_a_journal_that_was_tampered_with_is_refused(change, message, written):
    path = written / "search.json"
    data = json.loads(path.read_text())
    change(data)
    path.write_text(json.dumps(data))
    with pytest.raises(RunError, match=f"^{re.escape(f'{path}: {message}')}$"):
        read_state(written)


def test_what_is_no_journal_says_so(tmp_path):
    path = tmp_path / "search.json"
    message = f"{path}: must be the journal of a search, got: No such file or directory. Give a folder that `lfads search` made, or restore it."
    with pytest.raises(RunError, match=f"^{re.escape(message)}$"):
        read_state(tmp_path)
    path.write_text("{")
    with pytest.raises(RunError, match=f"^{re.escape(str(path))}: must be the journal of a search, got: .*, or restore it\\.$"):
        read_state(tmp_path)


def test_names_of_hyperparameters_are_as_short_as_can_be_told_apart():
    paths = ["optim.lr", "regularisation.kl_ic", "components.train_augmentations.coordinated-dropout.rate", "a.x.rate", "b.x.rate", "model.dropout"]
    assert list(short_names(paths).values()) == ["lr", "kl_ic", "coordinated-dropout.rate", "a.x.rate", "b.x.rate", "dropout"]


def test_a_status_lists_the_best_first_with_where_weights_came_from(toy_search):
    driver = toy_search("a", Toy(fate=lambda task, _: "diverged" if (task.member, task.generation) == (2, 3) else "done"))
    state = driver.run(lambda: False)
    lines = lines_of(state)
    scores = [float(line.score) for line in lines if line.status == "done"]
    assert scores == sorted(scores)
    (dead,) = (line for line in lines if line.status == "diverged")
    assert (dead.member, dead.error) == (2, "toy 2 diverged")
    for line in lines:
        record = state.history[3].members[line.member]
        if record.parent != line.member:
            assert line.origin == f"member {record.parent}"
    assert headline(state).startswith("pbt, generation 4/4, 6 members, 1 diverged, best ")


def waiting(toy_search, *, perturbed):
    """A search whose generation has just been set out; every member did its last with other hyperparameters, or the same."""
    state = toy_search("a", Toy()).run(lambda: False)
    scale = 1.5 if perturbed else 1.0
    last = {r.member: r for r in state.history[-1].members}
    members = tuple(
        replace(m, status="waiting", score=None, parent=m.member, values={p: v * scale for p, v in last[m.member].hyperparameters.items()})
        for m in state.members
    )
    return replace(state, members=members, best=None)


def test_a_member_that_waits_has_a_score_only_beside_what_it_was_reached_with(toy_search):
    state = waiting(toy_search, perturbed=False)
    wanted = {r.member: r.score for r in state.history[-1].members}
    assert {line.member: float(line.score) for line in lines_of(state)} == pytest.approx(wanted, abs=1e-4)
    assert {line.score for line in lines_of(waiting(toy_search, perturbed=True))} == {""}
    copied = replace(state, members=tuple(replace(m, parent=(m.member + 1) % 6) for m in state.members))
    assert {line.score for line in lines_of(copied)} == {""}


@pytest.mark.parametrize("width", [20, 40, 60, 80, 250])
def test_a_status_never_cuts_a_digit(toy_search, capsys, monkeypatch, width):
    state = toy_search("a", Toy()).run(lambda: False)
    tiny = replace(state, members=tuple(replace(m, values=dict.fromkeys(m.values, 2.41e-06), score=1.234e-05) for m in state.members))
    monkeypatch.setattr(search_output, "open_console", lambda: Console(highlight=False, width=width, file=sys.stdout))
    search_output._print_members(tiny, lines_of(tiny))
    text = capsys.readouterr().out
    values = len(tiny.members) * len(tiny.spaces)
    assert text.count("2.41e-06") == values
    assert text.count("1.234e-05") == len(tiny.members)
    live = Console(width=width, file=io.StringIO())
    live.print(table_of(tiny, lines_of(tiny), width=max(width, 50)))
    assert "2.4 " not in live.file.getvalue()
