"""What ``search.json`` tells of a search's generations."""

from __future__ import annotations

import json
import re

import pytest

from fake_search import FakeSearch, write_search
from lfads_core.errors import RunError
from lfads_plugins_tune.search.history import Generation, MemberRecord, generation_from_json, generation_to_json, read_history


def test_what_was_written_is_read(tmp_path):
    search = FakeSearch(5, words=True)
    folder = write_search(tmp_path / "pbt", search, 3)
    assert read_history(folder) == search.history


def test_a_generation_is_plain_json():
    record = MemberRecord(member=3, parent=None, score=None, status="failed", hyperparameters={"optim.lr": 1e-3}, error="no memory")
    generation = Generation(generation=0, first_epoch=0, epochs=20, members=(record,))
    data = json.loads(json.dumps(generation_to_json(generation)))
    assert data == {
        "generation": 0,
        "first_epoch": 0,
        "epochs": 20,
        "members": [
            {"member": 3, "parent": None, "score": None, "status": "failed", "hyperparameters": {"optim.lr": 1e-3}, "error": "no memory"},
        ],
    }
    assert generation_from_json({**data, "more": 1}) == generation


def test_the_best_has_the_lowest_score_and_the_first_of_several_wins():
    def record(member: int, score: float | None) -> MemberRecord:
        return MemberRecord(member=member, parent=None, score=score, status="done", hyperparameters={})

    members = (record(0, 0.5), record(1, None), record(2, 0.3), record(3, 0.3))
    assert Generation(generation=0, first_epoch=0, epochs=1, members=members).best == members[2]
    assert Generation(generation=0, first_epoch=0, epochs=1, members=members[1:2]).best is None


def test_a_folder_without_a_search_is_refused(tmp_path):
    before = f"{tmp_path / 'search.json'}: must be the journal of a search, got: No such file or directory."
    with pytest.raises(RunError, match=f"^{re.escape(before)} Give a folder that `lfads search` made, or restore it\\.$"):
        read_history(tmp_path)


@pytest.mark.parametrize(
    ("content", "what"),
    [
        ("{}", "KeyError: 'history'"),
        ('{"history": [{"generation": 0}]}', "KeyError: 'members'"),
    ],
)
def test_a_journal_without_its_parts_is_refused(tmp_path, content, what):
    (tmp_path / "search.json").write_text(content)
    text = f"{tmp_path / 'search.json'}: must be JSON written by lfads, got one that cannot be read ({what}). Restore it, or search again."
    with pytest.raises(RunError, match=f"^{re.escape(text)}$"):
        read_history(tmp_path)


@pytest.mark.parametrize(
    ("content", "what"),
    [
        ("{", ", got: Expecting property name enclosed in double quotes: line 1 column 2 (char 1)"),
        ("[]", ", an object, got list"),
        ("[" * 99999, ", got: "),
    ],
)
def test_what_is_no_json_or_no_object_is_no_journal(tmp_path, content, what):
    (tmp_path / "search.json").write_text(content)
    before, after = f"{tmp_path / 'search.json'}: must be the journal of a search{what}", ". Give a folder that `lfads search` made, or restore it."
    with pytest.raises(RunError, match=f"^{re.escape(before)}.*{re.escape(after)}$"):
        read_history(tmp_path)
