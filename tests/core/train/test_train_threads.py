"""The number of threads: told, or found by taking steps."""

from __future__ import annotations

import time

import pytest
import torch

from lfads_core.runs import Run
from lfads_core.train import threads
from lfads_core.train.checkpoint import load_checkpoint
from lfads_core.train.threads import candidates, measure_threads, worth_it


@pytest.fixture(autouse=True)
def as_before():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(("cores", "wanted"), [(1, [1]), (2, [1, 2]), (6, [1, 2, 4, 6]), (8, [1, 2, 4, 8])])
def test_powers_of_two_and_all_cores_are_tried(cores, wanted):
    assert candidates(cores) == wanted


@pytest.mark.parametrize(
    ("seconds", "wanted"),
    [
        ({1: 1.0}, 1),
        ({1: 1.0, 2: 0.95}, 1),
        ({1: 1.0, 2: 0.8}, 2),
        ({1: 1.0, 2: 0.8, 4: 0.7}, 4),
        ({1: 1.0, 2: 0.8, 4: 0.9}, 2),
        ({1: 1.0, 2: 3.0}, 1),
    ],
)
def test_more_threads_must_be_a_tenth_quicker_than_one(seconds, wanted):
    assert worth_it(seconds) == wanted


def test_each_number_is_timed_by_its_quickest_step_after_a_warm_up():
    waits = iter([0.2, 0.2, 0.03, 0.05, 0.01, 0.06, 0.02, 0.04])  # two numbers in turn, four times
    seen = []

    def step():
        seen.append(torch.get_num_threads())
        time.sleep(next(waits))

    found = measure_threads(step, [1, 2])
    assert seen == [1, 2] * 4
    assert found == {1: pytest.approx(0.01, abs=0.03), 2: pytest.approx(0.04, abs=0.03)}


def test_a_run_that_measures_remembers_the_number_and_trains_as_if_told(train_tiny, resume, tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(threads, "cores", lambda: 2)
    monkeypatch.setattr(threads, "worth_it", max)
    with caplog.at_level("INFO"):
        train_tiny("train.threads=null", "train.epochs=2")
    assert torch.get_num_threads() == 2
    assert Run.open(tmp_path / "runs/run").read_state()["threads"] == 2
    assert "threads: 2, by the time of one training step (1: " in caplog.text
    torch.set_num_threads(1)
    monkeypatch.setattr(threads, "worth_it", lambda _: pytest.fail("a resumed run must not measure"))
    resume("train.epochs=3")
    assert torch.get_num_threads() == 2
    train_tiny("train.threads=2", "train.epochs=3", name="told")
    assert "threads" not in Run.open(tmp_path / "runs/told").read_state()
    one, other = (load_checkpoint(tmp_path / "runs" / name / "checkpoints", "last").tensors["model"] for name in ("run", "told"))
    assert all(torch.equal(value, other[name]) for name, value in one.items())
