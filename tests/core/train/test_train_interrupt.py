"""Ctrl-C and SIGTERM: saved in the middle of an epoch, and gone on with bit by bit."""

from __future__ import annotations

import os
import signal

import pytest

from lfads_core.train.interrupt import StopWish, stop_wish


@pytest.fixture
def stop_at(monkeypatch):
    """Send signals to this process before the given steps, counted over the whole training."""

    def arm(numbers, *steps):
        from lfads_core.train import loop

        step, count = loop.take_step_or_fail, iter(range(10**6))

        def signalling(*arguments):
            if next(count) in steps:
                for number in numbers:
                    os.kill(os.getpid(), number)
            return step(*arguments)

        monkeypatch.setattr(loop, "take_step_or_fail", signalling)

    return arm


@pytest.mark.long
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_in_the_middle_of_an_epoch_saves_and_the_rest_is_bit_by_bit(number, train_tiny, resume, end_state, stop_at, tmp_path):
    train_tiny("data.batch_size=1", name="whole")
    stop_at([number], 17, 40)
    done = train_tiny("data.batch_size=1")
    assert (done.outcome, done.scores) == ("interrupted", {})
    assert done.run.read_state()["status"] == "interrupted"
    assert (resume().outcome, done.run.read_state()["epochs"]) == ("interrupted", 3)  # steps 0-17, then 18-58: 12 a epoch
    assert resume().outcome == "epochs"
    assert end_state(tmp_path / "runs/whole") == end_state(tmp_path / "runs/run")
    assert done.run.read_state()["status"] == "finished"


def test_the_second_signal_stops_at_once(train_tiny, stop_at, tmp_path):
    from lfads_core.runs import Run

    stop_at([signal.SIGINT, signal.SIGINT], 4)
    with pytest.raises(KeyboardInterrupt):
        train_tiny()
    assert Run(tmp_path / "runs/run").read_state()["status"] == "interrupted"


def test_a_signal_after_the_last_step_is_heeded_too(train_tiny, resume, stop_at, end_state, tmp_path):
    train_tiny(name="whole")
    stop_at([signal.SIGINT], 14)  # of 5 epochs with 3 steps each
    assert train_tiny().outcome == "interrupted"
    assert resume().outcome == "epochs"
    assert end_state(tmp_path / "runs/whole") == end_state(tmp_path / "runs/run")


def test_a_signal_during_inference_stops_at_once(train_tiny, monkeypatch, tmp_path):
    from lfads_core.pipeline import run
    from lfads_core.runs import Run

    monkeypatch.setattr(run, "finish", lambda *_, **__: os.kill(os.getpid(), signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        train_tiny()
    assert Run(tmp_path / "runs/run").read_state()["status"] == "interrupted"


def test_handlers_are_put_back():
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with stop_wish() as wish:
        assert isinstance(wish, StopWish)
        assert signal.getsignal(signal.SIGINT) == wish.on_signal
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def test_outside_the_main_thread_nothing_is_heard_and_nothing_breaks():
    import threading

    heard = []

    def work():
        with stop_wish() as wish:
            heard.append(wish())

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert heard == [False]


@pytest.mark.long
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_command_says_how_to_go_on(number, lfads, write_tiny, tiny_settings, tmp_path):
    sets = [
        part for setting in (*tiny_settings, "train.epochs=100000", "optim.decay=0.9999", "train.early_stopping=null") for part in ("--set", setting)
    ]
    process = lfads("run", write_tiny(), "--name", "a b", *sets)
    for line in process.stdout:
        if line.startswith("epoch 2/"):
            break
    process.send_signal(number)
    *_, last = process.stdout.read().splitlines()
    assert process.wait() == 130
    assert last == "interrupted; everything is saved. Go on with: lfads run --resume 'runs/a b'"
    assert (tmp_path / "runs/a b/checkpoints/last.json").exists()
