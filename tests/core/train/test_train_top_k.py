"""The best epochs of a training, kept as checkpoints of their own."""

from __future__ import annotations

import json
import math
import re

import h5py
import pytest
import torch
from click.testing import CliRunner

from lfads_core.cli.main import cli
from lfads_core.errors import RunError
from lfads_core.infer import loading
from lfads_core.infer.loading import load
from lfads_core.infer.made_with import load_inferred
from lfads_core.track.fitlog import read_fitlog
from lfads_core.train.checkpoint import checkpoint_named, epoch_name, load_checkpoint
from lfads_core.train.loop import fit
from lfads_core.train.shards import train_in_shards
from lfads_core.train.top_k import TopK

SETTINGS = ("train.keep_best=3", "train.epochs=9", "data.batch_size=6", "optim.lr=0.1", "train.smoothing=0.3")


def best_by_the_log(run, most, ramps=2):
    """Epochs of least smoothed cost after the ramps, best first, from the table alone."""
    log = read_fitlog(run / "fitlog.csv")
    costs = [(cost, int(epoch)) for epoch, cost in zip(log["epoch"], log["valid/recon_smooth"], strict=True) if epoch >= ramps]
    return [epoch for _, epoch in sorted(costs)[:most]]


def on_disk(run):
    """Epochs that have a manifest, with the weights that it names."""
    folder = run / "checkpoints"
    return {int(path.stem[6:]): load_checkpoint(folder, path.stem).tensors["model"] for path in folder.glob("epoch-*.json")}


def same_weights(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def same_sets(one, other):
    return one.keys() == other.keys() and all(same_weights(one[epoch], other[epoch]) for epoch in one)


def names(run):
    """Files of the folder, without the part that hangs on wall-clock time: none does."""
    return sorted(path.name for path in (run / "checkpoints").iterdir())


def test_the_kept_epochs_are_those_of_least_smoothed_cost(train_tiny):
    run = train_tiny(*SETTINGS).run
    expected = best_by_the_log(run.path, 3)
    assert sorted(expected) != [6, 7, 8]
    assert sorted(on_disk(run.path)) == sorted(expected)
    index = json.loads((run.checkpoints / "kept.json").read_text())
    log = read_fitlog(run.fitlog)
    assert index == {
        "format": "lfads-kept",
        "judge": "valid/recon_smooth",
        "checkpoints": [{"checkpoint": f"epoch-{e:06d}", "epoch": e, "cost": log["valid/recon_smooth"][e]} for e in expected],
    }
    assert same_weights(on_disk(run.path)[expected[0]], load_checkpoint(run.checkpoints, "best").tensors["model"])
    known = re.compile(r"kept\.json|(best|last)(\.json|-\d{6}-\d{6}-\w{8}\.pt)|epoch-\d{6}(\.json|-\w{8}\.pt)")
    assert [name for name in names(run.path) if not known.fullmatch(name)] == []


def test_each_holds_the_weights_of_the_end_of_its_epoch(make_trainer):
    trainer, ends = make_trainer("run", *SETTINGS), {}
    fit(trainer, lambda ended: ends.update({ended.epoch: {name: value.clone() for name, value in trainer.model.state_dict().items()}}), lambda: False)
    assert len(kept := on_disk(trainer.run.path)) == 3
    assert same_sets(kept, {epoch: ends[epoch] for epoch in kept})


def test_by_default_nothing_is_kept_beside_best_and_last(train_tiny, tmp_path, end_state):
    plain, kept = train_tiny(name="plain").run, train_tiny("train.keep_best=3", name="kept").run
    assert [re.sub(r"-[-\w]+\.pt", ".pt", name) for name in names(plain.path)] == ["best.pt", "best.json", "last.pt", "last.json"]
    assert "kept" not in json.loads((plain.checkpoints / "last.json").read_text())["state"]["progress"]
    one, other = end_state(plain.path), end_state(kept.path)
    for which in ("best", "last"):
        other[which]["progress"].pop("kept")
    assert one == other  # and keeping changes no number


class Died(BaseException):
    """Stands for a kill: nothing in the program catches it."""


PARTS = (r"epoch-\d+-\w+\.pt", r"epoch-\d+\.json", r"last\.json", r"best\.json", r"kept\.json")
SOME = [pytest.param((PARTS[1], PARTS[2]), (4,), id="some"), pytest.param(PARTS, (1, 2, 3), id="all", marks=pytest.mark.slow)]


@pytest.mark.long
@pytest.mark.parametrize(("parts", "counts"), SOME)
def test_dying_before_a_write_leaves_a_readable_set_and_a_resumed_run_ends_with_the_same(
    parts, counts, train_tiny, resume, end_state, tmp_path, monkeypatch
):
    from lfads_core import files
    from lfads_core.train import checkpoint

    whole, write = train_tiny(*SETTINGS, name="whole").run.path, files.write_bytes
    for part, count in ((part, count) for part in parts for count in counts):
        seen = 0

        def dying(path, content):
            nonlocal seen
            seen += re.fullmatch(part, path.name) is not None  # noqa: B023 - called at once
            if seen == count and re.fullmatch(part, path.name):  # noqa: B023
                raise Died
            write(path, content)

        run = tmp_path / f"runs/{PARTS.index(part)} {count}"
        with monkeypatch.context() as patch:
            patch.setattr(files, "write_bytes", dying)
            patch.setattr(checkpoint, "write_bytes", dying)
            with pytest.raises(Died):
                train_tiny(*SETTINGS, name=run.name)
        there, last = on_disk(run), run / "checkpoints/last.json"  # raises if one cannot be read
        named = json.loads(last.read_text())["state"]["progress"].get("kept", []) if last.exists() else []
        assert {int(epoch) for epoch, _ in named} <= there.keys()
        resume(name=run.name)
        assert same_sets(on_disk(whole), on_disk(run))
        assert end_state(whole) == end_state(run)
        assert names(whole) == names(run)


def test_dying_while_what_left_is_removed_leaves_nothing_behind_after_a_resume(train_tiny, resume, tmp_path, monkeypatch):
    from lfads_core.train import top_k

    whole = train_tiny(*SETTINGS, name="whole").run.path

    def half(folder, which):
        (folder / f"{which}.json").unlink()
        raise Died

    with monkeypatch.context() as patch:
        patch.setattr(top_k, "remove_checkpoint", half)
        with pytest.raises(Died):
            train_tiny(*SETTINGS)
    resume()
    assert names(whole) == names(tmp_path / "runs/run")


def test_a_run_that_goes_on_with_more_counts_its_best_in(train_tiny, resume, tmp_path):
    train_tiny(*SETTINGS, "train.keep_best=1")
    run = tmp_path / "runs/run"
    best = best_by_the_log(run, 1)
    resume("train.keep_best=2", "train.epochs=10")
    assert sorted(on_disk(run)) == sorted([*best, 9])
    assert same_weights(on_disk(run)[best[0]], load_checkpoint(run / "checkpoints", "best").tensors["model"]) or best_by_the_log(run, 1) == [9]


def test_a_run_that_goes_on_with_fewer_keeps_the_best_of_them(train_tiny, resume, tmp_path):
    train_tiny(*SETTINGS)
    run = tmp_path / "runs/run"
    resume("train.keep_best=2")
    assert sorted(on_disk(run)) == sorted(best_by_the_log(run, 2))
    resume("train.keep_best=1")
    assert on_disk(run) == {}
    assert not (run / "checkpoints/kept.json").exists()


def test_checkpoints_that_somebody_deleted_count_no_longer(train_tiny, resume, tmp_path):
    train_tiny(*SETTINGS)
    run = tmp_path / "runs/run"
    first, second, third = best_by_the_log(run, 3)
    (run / f"checkpoints/epoch-{second:06d}.json").unlink()
    resume("train.epochs=10")
    assert sorted(on_disk(run)) == sorted([first, third, 9])


def test_pruning_begins_the_set_anew(train_tiny, tmp_path):
    run = train_tiny(*SETTINGS, "train.prune.start_epoch=5").run.path
    assert sorted(on_disk(run)) == sorted(best_by_the_log(run, 3, ramps=5))
    assert min(on_disk(run)) >= 5


def test_members_of_a_population_keep_what_they_would_alone(make_trainer):
    settings = [(*SETTINGS, f"train.seed={seed}", f"optim.lr={lr}") for seed, lr in ((0, 0.03), (1, 0.01))]
    alone = [make_trainer(f"alone {i}", *one) for i, one in enumerate(settings)]
    for trainer in alone:
        fit(trainer, lambda *_: None, lambda: False)
    together = [make_trainer(f"together {i}", *one) for i, one in enumerate(settings)]
    assert [end.status for end in train_in_shards(together, lambda *_: None, lambda: False, threads=1)] == ["done", "done"]
    for one, other in zip(alone, together, strict=True):
        assert len(on_disk(one.run.path)) == 3
        assert on_disk(one.run.path).keys() == on_disk(other.run.path).keys()
        assert other.progress.top_k.costs == pytest.approx(one.progress.top_k.costs, rel=1e-4)


def test_a_member_that_takes_over_anothers_weights_takes_over_its_best_epochs(make_trainer):
    parent, child = make_trainer("parent", *SETTINGS), make_trainer("child", *SETTINGS, "train.seed=1")
    for trainer in (parent, child):
        fit(trainer, lambda *_: None, lambda: False)
    assert not same_sets(on_disk(parent.run.path), on_disk(child.run.path))
    child.adopt(parent.run.checkpoints)
    assert same_sets(on_disk(parent.run.path), on_disk(child.run.path))
    of_epochs = [[name for name in names(trainer.run.path) if name.startswith(("epoch", "kept"))] for trainer in (parent, child)]
    assert of_epochs[0] == of_epochs[1]


def test_of_equal_costs_the_earlier_epoch_is_kept():
    best = TopK(2)
    assert [best.update(epoch, cost) for epoch, cost in enumerate([2.0, 1.0, 2.0, 1.0, 0.5])] == [True, True, False, True, True]
    assert list(best.costs) == [4, 1]
    again = TopK(2)
    again.restore(json.loads(json.dumps(best.state())))
    assert again.costs == best.costs
    assert math.isclose(again.costs[4], 0.5)


@pytest.fixture
def kept_run(train_tiny):
    run = train_tiny(*SETTINGS).run
    return run, best_by_the_log(run.path, 3)


def run_cli(*arguments):
    return CliRunner().invoke(cli, [str(argument) for argument in arguments], catch_exceptions=False)


def refusal(*arguments):
    done = run_cli(*arguments)
    assert done.exit_code == 2
    return done.stderr


@pytest.mark.long
def test_every_command_takes_a_kept_epoch(kept_run, tmp_path):
    run, (_, second, third) = kept_run
    name = f"epoch-{second:06d}"
    assert load(run.path, f"epoch-{second}").checkpoint == name
    assert run_cli("infer", run.path, "--checkpoint", f"epoch-{second}", "--means").exit_code == 0
    with h5py.File(run.output("tiny")) as file:
        assert file.attrs["lfads_checkpoint"] == name
    for arguments in ((), ("--checkpoint", name)):
        assert f"run, checkpoint {name}" in run_cli("eval", run.path, *arguments).output
    assert run_cli("report", run.path, "--checkpoint", name).exit_code == 0
    assert f"{name} checkpoint" in (run.path / "report.html").read_text()
    for command, *more in (("export", "--parameters", tmp_path / "w.h5"), ("bound", "--samples", 2), ("generate", "-n", 2)):
        assert run_cli(command, run.path, *more, "--checkpoint", f"epoch-{third}").exit_code == 0, command
    with h5py.File(tmp_path / "w.h5") as file:
        assert torch.equal(torch.from_numpy(file["decoder/generator/recurrent"][()]), on_disk(run.path)[third]["decoder.generator.recurrent"])


def test_a_run_whose_outputs_are_of_other_weights_than_its_settings_name_is_loaded_once(kept_run, monkeypatch):
    run, (_, second, third) = kept_run
    loaded = []
    monkeypatch.setattr(loading, "load_checkpoint", lambda folder, which, device: loaded.append(which) or load_checkpoint(folder, which, device))
    assert (load_inferred(run.path).checkpoint, loaded) == ("best", ["best"])
    assert run_cli("infer", run.path, "--checkpoint", f"epoch-{second}", "--means").exit_code == 0
    loaded.clear()
    name = f"epoch-{second:06d}"
    assert (load_inferred(run.path).checkpoint, loaded) == (name, [name])
    assert (load_inferred(run.path, f"epoch-{third}").checkpoint, loaded[1:]) == (f"epoch-{third:06d}", [f"epoch-{third:06d}"])
    with h5py.File(run.output("tiny"), "a") as file:
        del file.attrs["lfads_checkpoint"]  # as older versions wrote them
    assert load_inferred(run.path).checkpoint == "best"


def test_outputs_of_other_weights_are_not_taken_for_those_asked_for(kept_run, tmp_path):
    run, (_, second, _) = kept_run
    text = (
        f"error: {run.output('tiny')}: must be of the checkpoint epoch-{second:06d}, got outputs of best. "
        f"Make them with `lfads infer {run.path} --checkpoint epoch-{second:06d}`.\n"
    )
    for command, *more in (("eval",), ("report",), ("export", "--h5", tmp_path / "all.h5")):
        assert text in refusal(command, run.path, *more, "--checkpoint", f"epoch-{second}")


def test_an_epoch_that_is_not_kept_is_refused_with_those_that_are(kept_run):
    run, expected = kept_run
    there = ", ".join(f"epoch-{epoch:06d}" for epoch in sorted(expected))
    text = f"{run.checkpoints / 'epoch-000001.json'}: there is no such checkpoint. Train first, or ask for one that is there (best, last, {there})."
    assert refusal("infer", run.path, "--checkpoint", "epoch-1") == f"error: {text}\n"


@pytest.mark.parametrize("name", ["worst", "epoch-", "epoch-1.5", "../last"])
def test_a_name_that_no_checkpoint_has_is_a_sentence(name):
    text = f"checkpoint: must be best, last or epoch-N with N as in fitlog.csv, got {name!r}. See train.keep_best."
    with pytest.raises(RunError, match=f"^{re.escape(text)}$"):
        checkpoint_named(name)
    assert checkpoint_named("epoch-7") == checkpoint_named("epoch-000007") == epoch_name(7) == "epoch-000007"
