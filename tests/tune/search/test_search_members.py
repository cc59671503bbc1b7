"""Members of a search as ordinary run folders, trained one by one or as one batched model."""

from __future__ import annotations

import re
import shutil
from types import SimpleNamespace

import pytest
import torch

import lfads_plugins_std.plugin
import lfads_plugins_tune.plugin
from lfads_core import builtin
from lfads_core.config.load import resolve
from lfads_core.errors import ConfigError, RunError
from lfads_core.infer.loading import load
from lfads_core.locks import only_one
from lfads_core.pipeline.run import resume_run
from lfads_core.plugins import NoSettings, ReconstructionSpec, Registry, hookimpl, load_registry
from lfads_core.runs import Run
from lfads_core.track.fitlog import read_fitlog
from lfads_core.train import loop
from lfads_core.train.checkpoint import load_checkpoint
from lfads_core.train.progress import Display
from lfads_core.trial.first_batch import TRIALS
from lfads_plugins_std.poisson import Poisson
from lfads_plugins_tune.executors import ExecutorOptions, make_executor
from lfads_plugins_tune.search.batches import by_batch, settled_parts
from lfads_plugins_tune.search.executor import Outcome, Task
from lfads_plugins_tune.search.members import MemberTrainer
from lfads_plugins_tune.search.shape import same_shape

RATES = ({"optim.lr": 4e-3, "train.seed": 1}, {"optim.lr": 1e-2, "train.seed": 2, "model.dropout": 0.1})


@pytest.fixture
def base(tiny_settings):
    def make(*overrides, registry=None):
        return resolve([], (), [*tiny_settings, "regularisation.kl_ramp.increase_epochs=1", *overrides], registry or load_registry())

    return make


@pytest.fixture
def tasks(tmp_path):
    """``tasks("folder", epochs=2)``: one task for each of the two members."""

    def make(folder, *, epochs, rates=RATES, restart=False, generation=0):
        return [
            Task(member=i, path=tmp_path / folder / f"{i:03d}", overrides=own, epochs=epochs, generation=generation, restart=restart)
            for i, own in enumerate(rates)
        ]

    return make


def never():
    return False


def carry_out(executor, tasks, stop=never):
    """All outcomes by member, and all rows that were reported."""
    rows = {}
    outcomes = list(executor.generation(tasks, lambda member, epoch, row: rows.__setitem__((member, epoch), dict(row)), stop))
    assert sorted(outcome.member for outcome in outcomes) == sorted(task.member for task in tasks)
    return {outcome.member: outcome for outcome in outcomes}, rows


def executor(name, config, data, registry=None, score="valid/recon_smooth", workers=None):
    return make_executor(name, config, [str(data)], registry or load_registry(), ExecutorOptions(score=score, workers=workers))


def weights(path, which="last"):
    return load_checkpoint(path / "checkpoints", which).tensors["model"]


def assert_close(one, other, tolerance=1e-5):
    for name, value in one.items():
        scale = value.abs().amax().clamp(min=1.0) if value.numel() else 1.0
        torch.testing.assert_close(value / scale, other[name] / scale, rtol=0, atol=tolerance)


@pytest.mark.long
def test_serial_and_batched_give_the_same_members_over_two_generations(base, tasks, write_tiny, tmp_path):
    data, found = write_tiny(), {}
    for name in ("serial", "batched"):
        at_work = executor(name, base(), data)
        first, _ = carry_out(at_work, tasks(name, epochs=2))
        assert {i: (one.status, one.epochs, one.error) for i, one in first.items()} == dict.fromkeys(range(2), ("done", 2, None))
        # member 1 takes over member 0 at another rate, member 0 goes on
        shutil.copytree(tmp_path / name / "000" / "checkpoints", tmp_path / name / "001" / "start")
        going, taken = tasks(name, epochs=4)[0], tasks(name, epochs=4, restart=True)[1]
        taken = Task(**{**vars(taken), "overrides": {**RATES[1], "optim.lr": 0.02}})
        found[name] = carry_out(at_work, [going, taken])
        at_work.close()
    (serial, serial_rows), (batched, batched_rows) = found["serial"], found["batched"]
    assert serial_rows.keys() == batched_rows.keys() == {(member, epoch) for member in range(2) for epoch in (2, 3)}
    assert [row["lr"] for row in batched_rows.values() if row["lr"] != 4e-3] == [0.02, 0.02]
    for i in range(2):
        assert batched[i].score == pytest.approx(serial[i].score, rel=1e-5)
        assert batched[i].score == batched_rows[i, 3]["valid/recon_smooth"]
        for which in ("last", "best"):
            assert_close(weights(tmp_path / "serial" / f"{i:03d}", which), weights(tmp_path / "batched" / f"{i:03d}", which))
        assert read_fitlog(tmp_path / "batched" / f"{i:03d}" / "fitlog.csv")["epoch"] == [0, 1, 2, 3]


def test_a_member_is_an_ordinary_run(base, tasks, write_tiny, tmp_path):
    carry_out(executor("batched", base("search.members=2"), write_tiny()), tasks("members", epochs=3))
    member = load(tmp_path / "members" / "001")
    assert (member.config.optim.lr, member.config.model.dropout, member.config.train.seed, member.config.search) == (0.01, 0.1, 2, None)
    assert (member.run.read_state()["status"], member.run.read_state()["epochs"]) == ("interrupted", 3)
    finished = resume_run(tmp_path / "members" / "001", ("train.epochs=5",), load_registry(), Display())
    assert finished.outcome == "epochs"
    assert len(read_fitlog(finished.run.fitlog)["epoch"]) == 5
    assert finished.run.output("tiny").is_file()


@pytest.mark.long
def test_members_go_on_in_a_new_process_bit_by_bit(base, tasks, write_tiny, tmp_path):
    data = write_tiny()
    carry_out(executor("batched", base(), data, workers=1), tasks("whole", epochs=3))
    steps = iter(range(100))
    broken, rows = carry_out(executor("batched", base(), data, workers=1), tasks("broken", epochs=3), lambda: next(steps) == 4)
    assert {(one.status, one.epochs, one.score) for one in broken.values()} == {("interrupted", 1, None)}
    assert sorted(rows) == [(0, 0), (1, 0)]
    outcomes, rows = carry_out(executor("batched", base(), data, workers=1), tasks("broken", epochs=3))
    assert {one.status for one in outcomes.values()} == {"done"}
    assert sorted(rows) == [(0, 1), (0, 2), (1, 1), (1, 2)]
    for i in ("000", "001"):
        whole, again = weights(tmp_path / "whole" / i), weights(tmp_path / "broken" / i)
        assert all(torch.equal(value, again[name]) for name, value in whole.items())
    done, rows = carry_out(executor("batched", base(), data, workers=1), tasks("broken", epochs=3))  # all is done already
    assert (done[0].status, done[0].score, rows) == ("done", outcomes[0].score, {})


@pytest.mark.long
def test_a_generation_replayed_from_its_start_ends_the_same(base, tasks, write_tiny, tmp_path):
    data = write_tiny()
    at_work = executor("batched", base(), data)
    carry_out(at_work, tasks("members", epochs=2))
    for i in ("000", "001"):
        shutil.copytree(tmp_path / "members" / i / "checkpoints", tmp_path / "members" / i / "start")
    carry_out(at_work, tasks("members", epochs=4))
    first = [weights(tmp_path / "members" / i) for i in ("000", "001")]
    outcomes, rows = carry_out(executor("batched", base(), data), tasks("members", epochs=4, restart=True))
    assert sorted(rows) == [(member, epoch) for member in range(2) for epoch in (2, 3)]
    for i, name in enumerate(("000", "001")):
        again = weights(tmp_path / "members" / name)
        assert all(torch.equal(value, again[key]) for key, value in first[i].items())
        assert read_fitlog(tmp_path / "members" / name / "fitlog.csv")["epoch"] == [0, 1, 2, 3]
        assert outcomes[i].epochs == 4


def test_a_restart_without_a_start_begins_from_nothing(base, tasks, write_tiny):
    at_work = executor("batched", base(), write_tiny())
    carry_out(at_work, tasks("members", epochs=2))
    _, rows = carry_out(at_work, tasks("members", epochs=1, restart=True))
    assert sorted(rows) == [(0, 0), (1, 0)]


def test_what_members_are_judged_by_may_be_any_column(base, tasks, write_tiny):
    data = write_tiny()
    most, rows = carry_out(executor("batched", base("train.metrics_every=2"), data, score="-valid/bps"), tasks("most", epochs=3))
    assert most[0].score == -rows[0, 1]["valid/bps"]  # measured every second epoch: the latest counts
    missing, _ = carry_out(executor("batched", base(), data, score="valid/no_such"), tasks("missing", epochs=1))
    assert missing[0].status == "failed"
    text = "fitlog.csv: must have the column 'valid/no_such', which members are judged by, but no epoch gave it."
    assert missing[0].error is not None
    assert missing[0].error.endswith(text)


def test_members_that_cannot_be_one_batch_are_grouped(base, tasks, write_tiny):
    roster = MemberTrainer(base(), [write_tiny()], load_registry())
    several = tasks("members", epochs=1, rates=({}, {"model.generator.factors": 2}, {"optim.lr": 0.1}, {"model.dropout": 0.0}))
    assert [[task.member for task in group] for group in roster.groups(several)] == [[0, 2, 3], [1]]
    assert [[task.member for task in group] for group in roster.groups(several, most=2)] == [[0, 2], [1], [3]]
    text = (
        "model.generator.factors: members that are trained as one must agree, got 3 and 2 (members 0 and 1). "
        "Use the executor serial or ray, or take this setting out of the search."
    )
    with pytest.raises(ConfigError, match=f"^{re.escape(text)}$"):
        list(roster.train(several, lambda *_: None, never))


@pytest.mark.parametrize(
    ("override", "path"),
    [
        ("data.batch_size=5", "data.batch_size"),
        ("model.cell_clip=4", "model.cell_clip"),
        ("model.controller=null", "model.controller"),
        ("components.readin=linear", "components.readin"),
        ("components.encoder=lstm", "components.encoder"),
        ("components.generator=mlp", "components.generator"),
        ("train.recurrence=reference", "train.recurrence"),
        ("train.precision=bf16", "train.precision"),
    ],
)
def test_what_a_batch_shares_is_named(override, path, base):
    with pytest.raises(ConfigError, match=f"^{re.escape(path)}: members that are trained as one must agree, got "):
        same_shape([base(), base(override)])


def test_a_member_in_use_fails_alone(base, tasks, write_tiny):
    two = tasks("members", epochs=1)
    two[1].path.mkdir(parents=True)
    with only_one(two[1].path):
        outcomes, _ = carry_out(executor("batched", base(), write_tiny()), two)
    assert outcomes[0].status == "done"
    assert (outcomes[1].status, outcomes[1].error) == (
        "failed",
        f"{two[1].path}: one process may train in a run's folder, but another one does. Wait for it, or choose another --name.",
    )


def test_a_diverged_member_is_forgotten_and_can_be_replaced(base, tasks, write_tiny, tmp_path):
    class Faulty(Poisson):
        broken = True

        def nll(self, params, data):
            return super().nll(params, data) * (torch.nan if self.broken and len(data) > TRIALS else 1.0)  # not in the trial of the components

    @hookimpl
    def lfads_reconstructions():
        return [ReconstructionSpec(name="faulty", summary="Fails", config=NoSettings, build=lambda *_: Faulty())]

    registry = Registry.from_plugins(
        {
            "core": builtin,
            "std": lfads_plugins_std.plugin,
            "tune": lfads_plugins_tune.plugin,
            "bad": SimpleNamespace(lfads_reconstructions=lfads_reconstructions),
        }
    )
    at_work = executor("batched", base("data.batch_size=12", registry=registry), write_tiny(), registry)
    rates = (RATES[0], {**RATES[1], "components.reconstruction": "faulty"})
    outcomes, _ = carry_out(at_work, tasks("members", epochs=1, rates=rates))
    assert outcomes[0].status == "done"
    who = "bad 0 (entry point 'bad'): the reconstruction 'faulty': nll, which gives numbers that are not finite"
    text = f"epoch 0: the loss term 'recon' must be finite, got nan. It comes from {who}."
    assert (outcomes[1].status, outcomes[1].error, outcomes[1].epochs) == ("diverged", text, 0)
    Faulty.broken = False
    shutil.copytree(tmp_path / "members" / "000" / "checkpoints", tmp_path / "members" / "001" / "start")
    again = [tasks("members", epochs=2, rates=rates)[0], tasks("members", epochs=2, rates=rates, restart=True)[1]]
    outcomes, rows = carry_out(at_work, again)
    assert {one.status for one in outcomes.values()} == {"done"}
    assert sorted(rows) == [(0, 1), (1, 1)]


THREE = (*RATES, {"optim.lr": 2e-3, "train.seed": 3})


@pytest.mark.long
@pytest.mark.parametrize("left", [(0, 2), (1,), (0, 1, 2)], ids=str)
def test_what_is_left_of_a_generation_is_trained_in_the_batches_it_began_in(left, base, tasks, write_tiny, tmp_path, monkeypatch):
    data, used = write_tiny(), []
    everybody = tasks("members", epochs=3, rates=THREE, restart=True)
    carry_out(executor("batched", base(), data, workers=2), everybody)
    first = [weights(task.path) for task in everybody]
    assert [Run(task.path).read_state()["trained_with"] for task in everybody] == [
        {"generation": 0, "members": members, "threads": 1} for members in ([0, 2], [1], [0, 2])
    ]
    step = loop.step_together
    monkeypatch.setattr(loop, "step_together", lambda *given: used.append(torch.get_num_threads()) or step(*given))
    rest = [everybody[i] for i in left]
    carry_out(executor("batched", base(), data, workers=2), rest)  # as after a kill, when the others had ended
    for task in rest:
        again = weights(task.path)
        assert all(torch.equal(value, again[name]) for name, value in first[task.member].items())
    assert set(used) == {1}


def test_batches_are_those_of_the_generation_and_never_larger_than_wished(tasks):
    everybody = tasks("members", epochs=1, rates=[{}] * 5)
    for task in everybody:
        task.path.mkdir(parents=True)
    assert settled_parts(everybody, [[0, 2, 4], [1, 3]], 2, None) == ([[0, 2, 4], [1, 3]], 2)
    assert settled_parts(everybody, [[0, 1, 2, 3, 4]], 4, None) == ([[0, 2, 4], [1, 3]], 2)
    assert settled_parts([everybody[i] for i in (1, 2, 4)], [[0, 1, 2]], 4, None) == ([[0], [1, 2]], 2)
    assert settled_parts(everybody, [[0, 1], [2, 3], [4]], 1, 2) == ([[0, 2], [4], [1, 3]], 2)
    Run(everybody[3].path).update_state(trained_with=None)  # cut off while they were noted: nobody had begun
    assert settled_parts(everybody[2:], [[0, 1, 2]], 4, None) == ([[0, 1, 2]], 4)
    following = tasks("members", epochs=2, rates=[{}] * 5, generation=1)
    assert settled_parts(following, [[0, 1], [2, 3, 4]], 1, None) == ([[0, 1], [2, 3, 4]], 1)
    assert Run(following[0].path).read_state()["trained_with"] == {"generation": 1, "members": [0, 1], "threads": 1}
    assert settled_parts([], [], 2, None) == ([], 2)


def test_outcomes_of_a_batch_come_together_and_those_known_before_an_error():
    def ended(member):
        return member, Outcome(member=member, status="done", score=0.0, epochs=1, seconds=0.0)

    def come(*members, error=None):
        yield from map(ended, members)
        if error is not None:
            raise error

    found = list(by_batch([[0, 2], [1], [3, 4]], come(0, 3, 1, 4, 2)))
    assert [(one.member, one.more) for one in found] == [(1, False), (3, True), (4, False), (0, True), (2, False)]
    cut, got = by_batch([[0, 2, 3], [1]], come(0, 2, error=RunError("no room"))), []
    with pytest.raises(RunError, match=r"^no room$"):
        got.extend((one.member, one.more) for one in cut)
    assert got == [(0, True), (2, False)]
