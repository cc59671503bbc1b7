"""What a search sends through a storage arrives whole and once, from any number of machines; and a worker's scratch folder goes with it."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path

import pytest

from lfads_core.errors import ConfigError, RunError
from lfads_plugins_tune.executors.storage import Storage, shown
from lfads_plugins_tune.executors.stored import MEMBER, Sender, StoredTrainer, recordings_here, scratch
from lfads_plugins_tune.search.executor import Outcome, Task
from object_store import KEYS, object_store

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("pyarrow") is None or importlib.util.find_spec("fsspec") is None, reason="Ray is not installed"
)


def digest(content):
    return hashlib.sha256(content).hexdigest()


@pytest.fixture(params=["folder", "file", "fsspec"])
def storage(request, tmp_path):
    place = tmp_path / "bucket" / "below"
    url = {"folder": str(place), "file": f"file://{place}", "fsspec": f"memory://{uuid.uuid4().hex}/below"}[request.param]
    made = Storage(url, "key", patience=0.0)
    made.open()
    return made


@pytest.fixture
def member(tmp_path):
    """A member's folder, and its files as they should arrive."""
    folder = tmp_path / "members" / "000"
    (folder / "checkpoints").mkdir(parents=True)
    files = {"checkpoints/last-3.pt": bytes(range(256)) * 9000, "checkpoints/last.json": b'{"file": "last-3.pt"}', "run.json": b"{}"}
    for name, content in files.items():
        (folder / name).write_bytes(content)
    (folder / "checkpoints" / ".last.json.12.tmp").write_bytes(b"half")
    (folder / "result.json").write_bytes(b"of the driver")
    return folder, files


def read(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_folder_arrives_as_it_was_sent_named_by_the_hash_of_its_contents(storage, member, tmp_path):
    folder, files = member
    sent = storage.send(folder, MEMBER)
    assert sent == {name: digest(content) for name, content in files.items()}
    there = tmp_path / "there"
    (there / "start").mkdir(parents=True)
    (there / "start" / "last.json").write_bytes(b"of an earlier generation")
    (there / "run.json").write_bytes(b"older")
    (there / "plots.png").write_bytes(b"nobody's business")
    storage.fetch(there, sent, MEMBER)
    assert read(there) == files | {"plots.png": b"nobody's business"}


def test_what_is_there_is_not_sent_again_and_what_is_here_is_not_fetched_again(tmp_path, member):
    storage, (folder, _) = Storage(str(tmp_path / "bucket"), "key", patience=0.0), member
    storage.open()
    sent = storage.send(folder, MEMBER)
    kept = tmp_path / "bucket" / "lfads-key" / sent["run.json"]
    before = kept.stat().st_mtime_ns
    storage.send(folder, MEMBER)
    assert kept.stat().st_mtime_ns == before
    kept.unlink()
    storage.fetch(folder, sent, MEMBER)  # needs nothing of what is gone


def test_a_checkpoints_json_arrives_after_the_file_that_it_names(tmp_path, member, monkeypatch):
    storage, (folder, _) = Storage(str(tmp_path / "bucket"), "key", patience=0.0), member
    storage.open()
    sent, order = storage.send(folder, MEMBER), []
    monkeypatch.setattr(storage, "get", lambda _, path: order.append(path.name))
    storage.fetch(tmp_path / "there", sent, MEMBER)
    assert order == ["last-3.pt", "last.json", "run.json"]


@pytest.mark.parametrize("damage", ["cut", "changed"])
def test_what_was_damaged_in_the_storage_is_found_out_and_never_takes_the_place_of_a_file(tmp_path, member, damage):
    storage, (folder, files) = Storage(str(tmp_path / "bucket"), "key", patience=0.0), member
    storage.open()
    name = storage.send(folder, MEMBER)["checkpoints/last-3.pt"]
    kept = tmp_path / "bucket" / "lfads-key" / name
    kept.write_bytes(files["checkpoints/last-3.pt"][:-1] + (b"" if damage == "cut" else b"\x00"))
    target = tmp_path / "last-3.pt"
    target.write_bytes(b"as it was")
    with pytest.raises(RunError) as caught:
        storage.get(name, target)
    pattern = rf"--storage {tmp_path}/bucket: must give last-3.pt within 0 s, got: .*SHA-256 is [0-9a-f]{{12}}, not {name[:12]}: .*Mend it.*"
    assert re.fullmatch(pattern, str(caught.value)), caught.value
    assert target.read_bytes() == b"as it was"
    assert sorted(path.name for path in tmp_path.iterdir() if "last-3" in path.name) == ["last-3.pt"]  # and no half file beside it
    if damage == "cut":  # as a worker leaves it that is killed while it sends: another one sends it whole
        storage.put(folder / "checkpoints" / "last-3.pt")
        storage.get(name, target)
        assert digest(target.read_bytes()) == name


def test_a_storage_that_does_not_answer_is_waited_for(tmp_path, member, monkeypatch):
    storage, (folder, files) = Storage(str(tmp_path / "bucket"), "key", patience=60.0), member
    storage.open()
    monkeypatch.setattr(time, "sleep", lambda _: shutil.move(tmp_path / "away", tmp_path / "bucket"))
    sent = storage.send(folder, MEMBER)
    shutil.move(tmp_path / "bucket", tmp_path / "away")
    storage.get(sent["run.json"], tmp_path / "fetched")
    assert (tmp_path / "fetched").read_bytes() == files["run.json"]


def test_what_nobody_needs_is_removed_and_the_rest_at_the_end(storage, member):
    folder, _ = member
    sender = Sender(storage)
    task = Task(member=0, path=folder, overrides={}, epochs=1, generation=0, restart=True)
    first = sender.sent(task).files
    (folder / "run.json").write_bytes(b'{"epochs": 3}')
    second = storage.send(folder, MEMBER)
    sender.received(Outcome(member=0, status="done", score=1.0, epochs=3, seconds=0.0, files=second), folder)
    sender.sweep()
    storage.get(second["run.json"], folder / "again")
    with pytest.raises(RunError, match="must give again within 0 s"):
        storage.get(first["run.json"], folder / "again")
    storage.clear()
    with pytest.raises(RunError):
        storage.get(second["run.json"], folder / "again")


@pytest.mark.parametrize(
    ("url", "fault"),
    [
        ("bucket/below", "must be an address such as s3://bucket/folder or a whole path such as /data/scratch, got 'bucket/below'"),
        ("nowhere://bucket", "must be an address that pyarrow or fsspec can write, got:"),
        ("s3://key:secret@bucket/x?endpoint_override=http%3A%2F%2F127.0.0.1%3A1&scheme=http&retry=no", "--storage s3://bucket/x: must be"),
    ],
)
def test_an_address_that_cannot_be_written_is_refused_without_what_is_secret_in_it(url, fault):
    with pytest.raises(ConfigError) as caught:
        Storage(url, "key")
    assert fault in str(caught.value)
    assert "secret" not in str(caught.value)
    assert shown("s3://key:secret@bucket/x?token=secret") == "s3://bucket/x"


def test_a_place_without_the_right_to_write_is_refused_before_anything_is_done(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ConfigError, match=rf"--storage {tmp_path}/file: must be writable from here, got: "):
        Storage(str(tmp_path / "file"), "key").open()


class Trainer:
    """Writes what it was given into the member's folder."""

    def groups(self, tasks, most=None):
        return [list(tasks)]

    def train(self, tasks, report, should_stop):
        for task in tasks:
            found = read(task.path)
            (task.path / "fitlog.csv").write_text(f"{sorted(found)} {task.path.name}")
            yield Outcome(member=task.member, status="done", score=0.0, epochs=1, seconds=0.0)

    def forget(self):
        pass


def test_a_member_goes_to_a_worker_and_comes_back_as_if_they_had_one_folder(storage, member, tmp_path):
    folder, files = member
    sender = Sender(storage)
    task = sender.sent(Task(member=7, path=folder, overrides={}, epochs=1, generation=0, restart=True))
    away = tmp_path / "scratch"
    away.mkdir()
    [outcome] = StoredTrainer(Trainer(), storage, away).train([task], lambda *_: None, lambda: False)
    assert "fitlog.csv" not in read(folder)
    assert sender.received(outcome, folder) is outcome
    driver = {"result.json": b"of the driver", "checkpoints/.last.json.12.tmp": b"half"}  # neither sent nor removed
    assert read(folder) == files | driver | {"fitlog.csv": f"{sorted(files)} 007".encode()}


def test_recordings_come_once_to_a_node_and_go_with_its_last_worker(storage, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    (tmp_path / "day1.h5").write_bytes(b"first")
    (tmp_path / "day2.zarr" / "0").mkdir(parents=True)
    (tmp_path / "day2.zarr" / "0" / "c").write_bytes(b"second")
    sent = Sender(storage).everything(tmp_path, [tmp_path / "day1.h5", tmp_path / "day2.zarr"])["data"]
    home = tmp_path / f"lfads-storage-{os.getuid()}"
    with scratch("key") as one:
        found = recordings_here(storage, one.parent.parent, sent)
        assert [path.name for path in found] == ["day1.h5", "day2.zarr"]
        assert (found[0].read_bytes(), (found[1] / "0" / "c").read_bytes()) == (b"first", b"second")
        with scratch("key") as two:
            storage.clear()
            assert recordings_here(storage, two.parent.parent, sent) == found  # nothing was fetched
        assert found[0].exists()
        assert home.stat().st_mode & 0o077 == 0
    assert [path.name for path in home.iterdir()] == [".lock"]


def test_what_a_killed_worker_has_left_goes_with_the_next_search(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    begin = "import sys\nfrom lfads_plugins_tune.executors.stored import scratch\n"
    code = begin + "with scratch('old') as mine:\n    print(mine, flush=True)\n    sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=os.environ | {"TMPDIR": str(tmp_path)}
    ) as worker:
        mine = Path(worker.stdout.readline().strip())
        with scratch("new"):
            assert mine.exists()  # it is at work
        worker.send_signal(signal.SIGKILL)
    assert mine.exists()
    with scratch("new"):
        assert not mine.parent.parent.exists()


def test_a_scratch_folder_of_somebody_else_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    (tmp_path / f"lfads-storage-{os.getuid()}").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(RunError, match="must be a folder of this user alone, got somebody else's or a link"), scratch("key"):
        pass


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("moto") is None, reason="moto is not installed")
def test_an_object_store_that_speaks_s3_keeps_and_gives_the_same(member, tmp_path, monkeypatch):
    for name, key in KEYS.items():
        monkeypatch.setenv(name, key)
    folder, files = member
    with object_store() as there:
        storage = Storage(there.url, "key", patience=0.0)
        storage.open()
        sent = storage.send(folder, MEMBER)
        storage.fetch(tmp_path / "there", sent, MEMBER)
        assert read(tmp_path / "there") == files
        assert {name: size for name, size in there.sizes().items() if not name.endswith("/written")} == {
            f"searches/lfads-key/{digest(content)}": len(content) for content in files.values()
        }
        storage.sweep({sent["run.json"]})
        storage.get(sent["run.json"], tmp_path / "again")
        with pytest.raises(RunError):
            storage.get(sent["checkpoints/last.json"], tmp_path / "gone")
        storage.clear()
        assert there.sizes() == {}
    with pytest.raises(ConfigError, match="--storage s3://lab/searches: must be writable from here, got: "):
        Storage(there.url, "key").open()
