"""Checkpoints: what is refused, with which sentence, and that nothing in a file is ever executed."""

from __future__ import annotations

import hashlib
import json
import os
import pickle

import pytest
import torch

from lfads_core.errors import RunError
from lfads_core.train.checkpoint import Checkpoint, has_checkpoint, load_checkpoint, save_checkpoint, tidy, to_cpu

STATE = {"epoch": 3, "step": 1}


@pytest.fixture
def folder(tmp_path):
    tensors = {
        "model": {"w": torch.arange(6.0).reshape(2, 3)},
        "arrays": {},
        "optimizer": {"state": {0: {"step": torch.tensor(4.0)}}, "param_groups": []},
    }
    save_checkpoint(tmp_path, "last", Checkpoint(tensors=tensors, state=STATE))
    return tmp_path


def tensors_of(folder):
    (path,) = folder.glob("last-*.pt")
    return path


def refusal(folder):
    with pytest.raises(RunError) as caught:
        load_checkpoint(folder, "last")
    return str(caught.value)


def put_in_place(folder, content):
    """Replace the tensors as one who knows the layout would: the manifest names the new digest."""
    tensors_of(folder).write_bytes(content)
    manifest = json.loads((folder / "last.json").read_text())
    manifest["sha256"] = hashlib.sha256(content).hexdigest()
    (folder / "last.json").write_text(json.dumps(manifest))


def test_what_was_saved_comes_back(folder):
    loaded = load_checkpoint(folder, "last")
    assert torch.equal(loaded.tensors["model"]["w"], torch.arange(6.0).reshape(2, 3))
    assert loaded.tensors["optimizer"]["state"][0]["step"] == 4
    assert loaded.state == STATE
    assert has_checkpoint(folder, "last")
    assert not has_checkpoint(folder, "best")


def test_tensors_load_with_weights_only_and_the_manifest_is_strict_json(train_tiny):
    run = train_tiny().run
    for which in ("best", "last"):

        def refuse(text):
            raise AssertionError(text)

        manifest = json.loads((run.checkpoints / f"{which}.json").read_text(), parse_constant=refuse)
        assert (manifest["format"], manifest["schema"]) == ("lfads-checkpoint", 1)
        content = (run.checkpoints / manifest["tensors"]).read_bytes()
        assert hashlib.sha256(content).hexdigest() == manifest["sha256"]
        tensors = torch.load(run.checkpoints / manifest["tensors"], weights_only=True)
        assert set(tensors) == ({"model", "arrays"} if which == "best" else {"model", "arrays", "optimizer"})


def test_the_same_content_gives_the_same_file(folder):
    before = tensors_of(folder)
    content = before.read_bytes()
    loaded = load_checkpoint(folder, "last")
    save_checkpoint(folder, "last", loaded)
    assert tensors_of(folder) == before
    assert before.read_bytes() == content


def test_a_missing_checkpoint_is_a_sentence(tmp_path):
    assert refusal(tmp_path) == f"{tmp_path}/last.json: there is no such checkpoint. Train first, or ask for one that is there (none)."


def test_changed_tensors_are_refused(folder):
    path = tensors_of(folder)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    assert (
        refusal(folder) == f"{path}: must be as lfads wrote it, but its SHA-256 differs from that in last.json. Restore both files, or train again."
    )


def test_a_truncated_file_is_refused(folder):
    path = tensors_of(folder)
    path.write_bytes(path.read_bytes()[:-100])
    assert (
        refusal(folder) == f"{path}: must be as lfads wrote it, but its SHA-256 differs from that in last.json. Restore both files, or train again."
    )


def test_missing_tensors_are_refused(folder):
    path = tensors_of(folder)
    path.unlink()
    assert (
        refusal(folder) == f"{folder}/last.json: its tensors must lie beside it as {path.name!r}, but they do not. Restore the file, or train again."
    )


def test_tensors_elsewhere_are_refused(folder):
    manifest = json.loads((folder / "last.json").read_text())
    path = tensors_of(folder)
    (folder / "x").mkdir()
    path.rename(folder / "x" / path.name)
    (folder / "last.json").write_text(json.dumps({**manifest, "tensors": f"x/{path.name}"}))
    assert refusal(folder).startswith(f"{folder}/last.json: its tensors must lie beside it as 'x/{path.name}', but they do not.")


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("not json", "must be a JSON manifest written by lfads, got: Expecting value: line 1 column 1 (char 0). Restore the file, or train again."),
        (
            "[]",
            "must be a manifest written by lfads, with format 'lfads-checkpoint', got another program's file. Give a folder that `lfads run` made.",
        ),
        (
            '{"epoch": 3}',
            "must be a manifest written by lfads, with format 'lfads-checkpoint', got another program's file. Give a folder that `lfads run` made.",
        ),
        ('{"format": "lfads-checkpoint", "schema": 2}', "this version reads checkpoints of schema 1, got 2. Use the version of lfads that wrote it."),
        (
            '{"format": "lfads-checkpoint", "schema": 1, "state": {}}',
            "must name sha256, tensors, got a manifest without. Restore the file, or train again.",
        ),
        (
            '{"format": "lfads-checkpoint", "schema": 1, "state": 3, "tensors": "a", "sha256": "b"}',
            "'state' must be an object, got int. Restore the file, or train again.",
        ),
    ],
)
def test_a_foreign_manifest_is_refused(content, text, folder):
    (folder / "last.json").write_text(content)
    assert refusal(folder) == f"{folder}/last.json: {text}"


class Malicious:
    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return os.mkdir, (str(self.target),)


@pytest.mark.parametrize("writer", ["pickle", "torch"])
def test_a_pickle_with_a_command_in_it_is_refused_and_not_run(writer, folder, tmp_path):
    target = tmp_path / "made by the pickle"
    if writer == "pickle":
        put_in_place(folder, pickle.dumps(Malicious(target)))
    else:
        torch.save({"model": Malicious(target), "arrays": {}}, tmp_path / "evil.pt")
        put_in_place(folder, (tmp_path / "evil.pt").read_bytes())
    assert refusal(folder) == (
        f"{tensors_of(folder)}: must hold tensors and nothing else, got something that was not read, for it might run code (UnpicklingError). "
        "Restore the file, or train again; trust no copy of unknown origin."
    )
    assert not target.exists()


def test_tensors_of_another_program_are_refused(folder, tmp_path):
    torch.save({"state_dict": {"w": torch.zeros(2)}}, tmp_path / "other.pt")
    put_in_place(folder, (tmp_path / "other.pt").read_bytes())
    assert (
        refusal(folder)
        == f"{tensors_of(folder)}: must hold 'model' and 'arrays', as lfads writes them, got something else. Restore the file, or train again."
    )


def test_a_changed_state_in_the_manifest_is_a_sentence(train_tiny, resume, tmp_path):
    path = train_tiny("train.epochs=1").run.checkpoints / "last.json"
    manifest = json.loads(path.read_text())
    del manifest["state"]["progress"]["plateau"]
    path.write_text(json.dumps(manifest))
    with pytest.raises(RunError) as caught:
        resume("train.epochs=2")
    assert str(caught.value) == (
        f"{path}: must fit the run's config.yaml and data, got something else (KeyError: 'plateau'). "
        "Restore config.yaml and the checkpoints as lfads wrote them."
    )


def test_tidying_keeps_what_manifests_name_and_what_is_being_written(folder):
    kept = tensors_of(folder)
    (folder / "last-000001-000000-aaaaaaaa.pt").touch()
    (folder / "best-000001-000000-aaaaaaaa.pt").touch()
    (folder / ".last.json.99999999.tmp").touch()
    (folder / ".last.json.1.tmp").touch()  # process 1 always runs
    (folder / ".mine.tmp").touch()
    tidy(folder)
    assert sorted(path.name for path in folder.iterdir()) == [".last.json.1.tmp", ".mine.tmp", kept.name, "last.json"]


def test_tidying_throws_nothing_away_beside_a_damaged_manifest(folder):
    (folder / "last.json").write_text("{")
    tidy(folder)
    assert tensors_of(folder).exists()


def test_a_snapshot_does_not_change_with_what_it_was_taken_of():
    weight = torch.zeros(2)
    taken = to_cpu({"a": [weight, (weight, 3)], "b": "text"})
    weight += 1
    assert torch.equal(taken["a"][0], torch.zeros(2))
    assert taken["a"][1][1] == 3
    assert taken["b"] == "text"
