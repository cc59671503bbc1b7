"""Going on after a kill, bit by bit."""

from __future__ import annotations

import random
import time

import pytest

from lfads_core.errors import ConfigError, RunError


def wait_for(condition, process, seconds=60.0):
    """Wait until the condition holds; False when the process ended first."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        if process.poll() is not None:
            return False
        time.sleep(0.002)
    raise AssertionError("waited in vain")


def options(tiny_settings, *more):
    return [part for setting in (*tiny_settings, *more) for part in ("--set", setting)]


def kill_and_resume(lfads, data, settings, *, kills, seed, folder):
    """Start, kill ``kills`` times at random moments, resume until it ends; returns how often a kill met a living process."""
    rng = random.Random(seed)
    run = folder / "runs" / "broken"
    manifest = run / "checkpoints" / "last.json"
    process = lfads("run", data, "--name", "broken", *settings)
    met = 0
    for _ in range(kills):
        before = manifest.read_bytes() if manifest.exists() else None
        if not wait_for(lambda: manifest.exists() and manifest.read_bytes() != before, process):  # noqa: B023 - called at once
            break
        time.sleep(rng.uniform(0, 0.15))
        process.kill()
        met += process.wait() == -9
        process = lfads("run", "--resume", run)
    output = process.communicate()[0]
    assert process.returncode == 0, output
    return met


@pytest.mark.long
@pytest.mark.parametrize(("kills", "epochs"), [(2, 60), pytest.param(12, 300, marks=pytest.mark.slow)])
def test_a_training_killed_at_random_moments_ends_as_an_unbroken_one(kills, epochs, lfads, write_tiny, tiny_settings, end_state, tmp_path):
    data, settings = write_tiny(), options(tiny_settings, f"train.epochs={epochs}", "train.early_stopping=null")
    unbroken = lfads("run", data, "--name", "unbroken", *settings)
    met = kill_and_resume(lfads, data, settings, kills=kills, seed=kills, folder=tmp_path)
    assert met >= (kills if kills == 2 else 8)
    output = unbroken.communicate()[0]
    assert unbroken.returncode == 0, output
    one, other = end_state(tmp_path / "runs/unbroken"), end_state(tmp_path / "runs/broken")
    assert one == other
    assert len(one["fitlog"]) == epochs
    left = sorted(path.name for path in (tmp_path / "runs/broken/checkpoints").iterdir())
    assert left == sorted(path.name for path in (tmp_path / "runs/unbroken/checkpoints").iterdir())
    assert not list((tmp_path / "runs/broken").glob(".*.tmp"))


class Died(BaseException):
    """Stands for a kill: nothing in the program catches it."""


@pytest.mark.long
@pytest.mark.parametrize("moment", ["tensors", "manifest", "after"])
@pytest.mark.parametrize("which", ["best", "last"])
def test_dying_anywhere_in_the_writing_of_a_checkpoint_changes_nothing(which, moment, train_tiny, resume, end_state, tmp_path, monkeypatch):
    from lfads_core import files
    from lfads_core.train import checkpoint

    train_tiny(name="whole")
    write = files.write_bytes
    seen = 0

    def dying(path, content):
        nonlocal seen
        wanted = path.name == f"{which}.json" if moment in {"after", "manifest"} else path.name.startswith(f"{which}-")
        seen += wanted
        if wanted and seen == 3:
            if moment == "tensors":
                path.with_name(f".{path.name}.999999.tmp").write_bytes(bytes(content)[: len(content) // 2])
            if moment == "after":
                write(path, content)
            raise Died
        write(path, content)

    with monkeypatch.context() as patch:
        patch.setattr(files, "write_bytes", dying)
        patch.setattr(checkpoint, "write_bytes", dying)
        with pytest.raises(Died):
            train_tiny()
    resume()
    assert end_state(tmp_path / "runs/whole") == end_state(tmp_path / "runs/run")
    assert [p.name for p in (tmp_path / "runs/run/checkpoints").glob(".*")] == []


def test_more_epochs_go_on_as_if_they_had_been_asked_for_at_once(train_tiny, resume, end_state, tmp_path):
    train_tiny("train.epochs=7", name="whole")
    train_tiny("train.epochs=4")
    assert resume("train.epochs=7").outcome == "epochs"
    assert end_state(tmp_path / "runs/whole") == end_state(tmp_path / "runs/run")


def test_a_finished_run_is_inferred_again(train_tiny, resume, end_state, tmp_path):
    train_tiny()
    before = end_state(tmp_path / "runs/run")
    (tmp_path / "runs/run/lfads_output_tiny.h5").unlink()
    assert resume().scores
    assert end_state(tmp_path / "runs/run") == before


def test_a_run_killed_before_its_first_checkpoint_starts_from_nothing(train_tiny, resume, end_state, tmp_path):
    import shutil

    train_tiny(name="whole")
    train_tiny()
    shutil.rmtree(tmp_path / "runs/run/checkpoints")
    (tmp_path / "runs/run/checkpoints").mkdir()
    resume()
    assert end_state(tmp_path / "runs/whole") == end_state(tmp_path / "runs/run")


def lr_of(run):
    from lfads_core.track.fitlog import read_fitlog

    return read_fitlog(run / "fitlog.csv")["lr"]


@pytest.mark.long
def test_the_learning_rate_goes_on_unless_it_is_set(train_tiny, resume, tmp_path):
    train_tiny("optim.lr=0.01", "optim.patience=0", "optim.decay=0.5", "optim.min_lr=1e-9", "train.epochs=12", "train.early_stopping=null")
    run = tmp_path / "runs/run"
    lowered = lr_of(run)[-1]
    assert lowered < 0.01
    resume("train.epochs=13")
    assert lr_of(run)[-1] in (lowered, lowered / 2)
    resume("train.epochs=14", "optim.lr=0.02")
    assert lr_of(run)[-1] == 0.02
    resume("train.epochs=15")
    assert lr_of(run)[-1] in (0.02, 0.01)


def test_a_learning_rate_set_anew_is_on_disk_before_the_first_step(train_tiny, resume, tmp_path, monkeypatch):
    from lfads_core.pipeline import run

    train_tiny("train.epochs=3")
    with monkeypatch.context() as patch:
        patch.setattr(run, "fit", lambda *_: (_ for _ in ()).throw(Died))
        with pytest.raises(Died):
            resume("train.epochs=4", "optim.lr = 0.02")
    resume()
    assert lr_of(tmp_path / "runs/run") == [4e-3, 4e-3, 4e-3, 0.02]


def test_moments_and_smoothing_follow_the_settings_after_a_resume(train_tiny, resume, tmp_path, monkeypatch):
    from lfads_core.pipeline import run

    train_tiny("train.epochs=2")
    seen = []
    fit = run.fit

    def spy(trainer, *arguments):
        seen.append((trainer.optimizer.betas, trainer.optimizer.eps, trainer.progress.smoothed.coef))
        return fit(trainer, *arguments)

    monkeypatch.setattr(run, "fit", spy)
    resume("optim.betas=[0.8, 0.9]", "optim.eps=1e-6", "train.smoothing=0.5", "train.epochs=3")
    assert seen == [((0.8, 0.9), 1e-6, 0.5)]


@pytest.mark.parametrize(
    ("override", "text"),
    [
        ("data.batch_size=6", "a resumed run may change train, infer, track and optim, got changes in data. Start a new run for those."),
        ("model.dropout=0.1", "a resumed run may change train, infer, track and optim, got changes in model. Start a new run for those."),
        ("train.seed=1", "a resumed run must keep train.seed (0), got 1. Start a new run for another seed."),
    ],
)
def test_what_the_weights_depend_on_cannot_change(override, text, train_tiny, resume, tmp_path):
    train_tiny("train.epochs=1")
    with pytest.raises(RunError) as caught:
        resume(override)
    assert str(caught.value) == f"{tmp_path / 'runs/run'}: {text}"


def test_a_misspelt_setting_is_refused(train_tiny, resume):
    train_tiny("train.epochs=1")
    with pytest.raises(ConfigError, match="epoch"):
        resume("train.epoch=3")


def test_other_data_are_refused(train_tiny, resume, write_tiny, tmp_path):
    train_tiny("train.epochs=1")
    write_tiny(channels=4)
    with pytest.raises(RunError) as caught:
        resume("train.epochs=2")
    text = str(caught.value)
    assert text.startswith(f"{tmp_path / 'runs/run'}: the data must be those the run was started with, of sizes {{'encoded_bins': 8")
    assert text.endswith("'sessions': [{'name': 'tiny', 'encod_channels': 4, 'recon_channels': 4}]}. Restore them.")


def test_settings_that_no_longer_fit_the_weights_are_a_sentence(train_tiny, resume, tmp_path):
    train_tiny("train.epochs=1")
    path = tmp_path / "runs/run/config.yaml"
    path.write_text(path.read_text().replace("factors: 3", "factors: 2"))
    manifest = tmp_path / "runs/run/checkpoints/last"
    with pytest.raises(RunError) as caught:
        resume("train.epochs=2")
    text = str(caught.value)
    assert text.startswith(
        f"{manifest}.json: must fit the run's config.yaml and data, got something else (RuntimeError: Error(s) in loading state_dict"
    )
    assert text.endswith("Restore config.yaml and the checkpoints as lfads wrote them.")


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("{", "must be JSON written by lfads, got: Expecting property name enclosed in double quotes: line 1 column 2 (char 1). "),
        ("[1]", "must be JSON written by lfads, an object, got list. "),
        ("{}", "must name the run's data as a list of paths under 'data', got None. "),
    ],
)
def test_a_damaged_state_file_is_a_sentence(content, text, train_tiny, resume, tmp_path):
    train_tiny("train.epochs=1")
    (tmp_path / "runs/run/run.json").write_text(content)
    with pytest.raises(RunError) as caught:
        resume("train.epochs=2")
    assert str(caught.value) == f"{tmp_path / 'runs/run/run.json'}: {text}Restore it, or train again."


@pytest.mark.parametrize(("make", "what"), [(None, "nothing"), ("folder", "a folder without one"), ("file", "a file")])
def test_what_is_no_run_cannot_be_resumed(make, what, resume, tmp_path):
    path = tmp_path / "runs/run"
    if make == "folder":
        path.mkdir(parents=True)
    elif make == "file":
        path.parent.mkdir()
        path.write_text("")
    with pytest.raises(RunError) as caught:
        resume()
    assert str(caught.value) == f"{path}: must be a run's folder, holding run.json, got {what}. Give a folder that `lfads run` made."
