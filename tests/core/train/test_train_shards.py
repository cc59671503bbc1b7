"""A population on several threads ends as on one, and its memory is used again."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import threading

import pytest
import torch

from lfads_core.errors import RunError
from lfads_core.train import shards
from lfads_core.train.loop import fit
from lfads_core.train.shards import bytes_kept, last_cache, shards_of, train_in_shards


def never():
    return False


def members(make_trainer, name, count, *settings):
    return [make_trainer(f"{name} {i}", f"train.seed={i}", "train.epochs=2", *settings) for i in range(count)]


def weights(trainer):
    return {name: value.clone() for name, value in trainer.model.state_dict().items()}


@pytest.fixture
def one_at_a_time(monkeypatch):
    """A cache that holds nobody's step."""
    monkeypatch.setattr(shards, "last_cache", lambda: 0)


@pytest.mark.long
@pytest.mark.usefixtures("one_at_a_time")
def test_members_on_three_threads_end_to_the_bit_as_each_would_alone(make_trainer):
    alone, together = members(make_trainer, "alone", 5), members(make_trainer, "together", 5)
    for trainer in alone:
        fit(trainer, lambda *_: None, never)
    rows, busy = {i: [] for i in range(5)}, []

    def on_epoch(i, ended):
        busy.append(threading.get_ident())
        rows[i].append(ended.epoch)

    ends = list(train_in_shards(together, on_epoch, never, threads=3))
    assert {end.member: (end.status, end.error) for end in ends} == dict.fromkeys(range(5), ("done", None))
    assert list(rows.values()) == [[0, 1]] * 5
    assert len(set(busy)) == 3
    for one, other in zip(alone, together, strict=True):
        assert all(torch.equal(value, weights(other)[name]) for name, value in weights(one).items())
    assert torch.get_num_threads() == 3
    torch.set_num_threads(1)


@pytest.mark.parametrize(("cache", "sizes"), [(0, [1] * 7), (2, [2, 2, 2, 1]), (3, [3, 2, 2]), (100, [4, 3])])
def test_as_many_are_trained_together_as_the_threads_shares_of_the_cache_hold(cache, sizes, make_trainer, monkeypatch):
    trainers = members(make_trainer, "member", 7)
    monkeypatch.setattr(shards, "last_cache", lambda: 2 * cache * bytes_kept(trainers[0]))
    found = shards_of(trainers, 2)
    assert [len(part) for part in found] == sizes
    assert sorted(itertools.chain(*found)) == list(range(7))
    assert shards_of(trainers[:1], 2) == [[0]]
    assert max(len(part) for part in shards_of(trainers, 2, most=2)) <= 2


def test_the_bytes_that_are_counted_are_near_those_that_the_loops_keep(make_trainer):
    settings = ("model.encoder.hidden=64", "model.controller.encoder_hidden=32", "model.controller.hidden=32", "model.generator.hidden=48")
    (trainer,) = members(make_trainer, "member", 1, *settings, "train.recurrence=fused", "data.batch_size=7")
    batch = next(trainer.remaining())
    ready = trainer.prepare(*batch)
    kept: dict[int, int] = {}

    def keep(tensor):
        if ready.trials in tensor.shape:  # not a weight
            kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        trainer.model(ready.batches, ready.noise)
    counted = bytes_kept(trainer) * ready.trials / trainer.config.data.batch_size
    assert 0.5 < counted / sum(kept.values()) < 2


def test_the_last_cache_is_found_or_guessed(monkeypatch, tmp_path):
    assert last_cache() >= 2**18
    monkeypatch.setattr(shards, "CACHES", tmp_path)
    assert last_cache() == 16 * 2**20
    for name, size in (("index0", "48K\n"), ("index3", "6M\n")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "size").write_text(size)
    assert last_cache() == 6 * 2**20


@pytest.mark.usefixtures("one_at_a_time")
def test_one_member_that_cannot_go_on_stops_no_other_thread(make_trainer, monkeypatch):
    trainers = members(make_trainer, "member", 4)
    monkeypatch.setattr(trainers[2].model, "read_in", lambda *_: 1 / 0)
    ends = {end.member: (end.status, end.error) for end in train_in_shards(trainers, lambda *_: None, never, threads=2)}
    assert ends == {0: ("done", None), 1: ("done", None), 2: ("failed", "ZeroDivisionError: division by zero"), 3: ("done", None)}


@pytest.mark.usefixtures("one_at_a_time")
def test_asked_to_stop_all_threads_save_and_members_that_never_began_say_so(make_trainer):
    trainers = members(make_trainer, "member", 4)
    ends = {end.member: end.status for end in train_in_shards(trainers, lambda *_: None, lambda: True, threads=2)}
    assert ends == dict.fromkeys(range(4), "interrupted")
    for trainer in trainers:
        trainer.restore()


@pytest.mark.long
@pytest.mark.usefixtures("one_at_a_time")
def test_a_wish_to_stop_that_one_thread_hears_stops_all_and_they_go_on_to_the_bit(make_trainer):
    whole, broken = members(make_trainer, "whole", 4), members(make_trainer, "broken", 4)
    for trainer in whole:
        fit(trainer, lambda *_: None, never)
    asked = itertools.count()
    ends = {end.member: end.status for end in train_in_shards(broken, lambda *_: None, lambda: next(asked) == 3, threads=2)}
    assert ends == dict.fromkeys(range(4), "interrupted")
    again = members(make_trainer, "broken", 4)
    for trainer in again:
        trainer.restore()
    list(train_in_shards(again, lambda *_: None, never, threads=2))
    for one, other in zip(whole, again, strict=True):
        assert all(torch.equal(value, weights(other)[name]) for name, value in weights(one).items())


@pytest.mark.usefixtures("one_at_a_time")
def test_a_checkpoint_that_cannot_be_written_is_raised_once_the_others_have_saved(make_trainer, monkeypatch):
    trainers = members(make_trainer, "member", 3)

    def full():
        raise RunError("no space")

    monkeypatch.setattr(trainers[1], "save", full)
    with pytest.raises(RunError, match=r"^no space$"):
        list(train_in_shards(trainers, lambda *_: None, never, threads=2))
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("members")]
    trainers[0].restore()


@pytest.mark.usefixtures("one_at_a_time")
def test_whoever_listens_no_more_leaves_no_thread_behind(make_trainer):
    ends = train_in_shards(members(make_trainer, "member", 6), lambda *_: None, never, threads=2)
    next(ends)
    ends.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("members")]


@pytest.mark.usefixtures("one_at_a_time")
def test_threads_share_the_time_that_passes(make_trainer):
    trainers = members(make_trainer, "member", 4)
    list(train_in_shards(trainers, lambda *_: None, never, threads=2))
    lone = members(make_trainer, "lone", 1)[0]
    list(train_in_shards([lone], lambda *_: None, never, threads=2))
    assert all(trainer.progress.seconds > 0 for trainer in [*trainers, lone])


FAULTS = """
import resource, sys, torch
from lfads_core.train.device import keep_freed_memory
kept = keep_freed_memory() if sys.argv[1] == "keep" else None
torch.set_num_threads(1)

def step():
    several = [torch.ones(2**24 + 2**20 * i) for i in range(3)]
    del several

for _ in range(3):
    step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5):
    step()
print(kept, resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.long
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc's switches")
def test_memory_that_was_freed_is_not_asked_for_again():
    def faults(how, **more):
        clean = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_") and name != "LD_PRELOAD"}
        done = subprocess.run([sys.executable, "-c", FAULTS, how], env=clean | more, capture_output=True, text=True, check=True)
        kept, count = done.stdout.split()
        return kept, int(count)

    kept, few = faults("keep")
    assert kept == "True"
    assert few < faults("leave")[1] / 3
    assert faults("keep", MALLOC_TRIM_THRESHOLD_="1000")[0] == "False"
