"""Who is blamed where, on the command line, in a search, for metrics and readers: one sentence, exit code 2, and --debug shows the author's line."""

from __future__ import annotations

import itertools
import re
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from click.testing import CliRunner

import lfads_core.builtin
import lfads_plugins_std.plugin
from lfads_core.cli.main import cli
from lfads_core.data.read import read_sessions
from lfads_core.errors import DataError, LfadsError
from lfads_core.plugins import DataReaderSpec, MetricSpec, NoSettings, ReconstructionSpec, Registry, hookimpl, load_registry
from lfads_core.train.loop import train_members
from lfads_plugins_std.poisson import Poisson

LAB = """
from lfads_core.plugins import NoSettings, ReconstructionSpec, hookimpl


def build(settings, channels):
    import torch
    from lfads_plugins_std.poisson import Poisson

    class Back(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.clone()

        @staticmethod
        def backward(ctx, grad):
            raise RuntimeError("no way back")  # THERE

    class Bad(Poisson):
        calls = 0

        def nll(self, params, data):
            loss = super().nll(params, data)
            {body}

    return Bad()


@hookimpl
def lfads_reconstructions():
    yield ReconstructionSpec(name="bad", summary="Misbehaves", config=NoSettings, build=build)
"""


@pytest.fixture
def lab(install, monkeypatch):
    """Install a package with a reconstruction whose nll ends with ``body``; the name of its module."""

    def put(body):
        module = install("lab-bad", LAB.replace("{body}", body), version="0.3")
        monkeypatch.setenv("LFADS_PLUGINS", "std,lab-bad")
        load_registry.cache_clear()
        return module

    yield put
    load_registry.cache_clear()


@pytest.fixture
def run(write_tiny, tmp_path, tiny_settings):
    """``lfads run`` with the reconstruction."""
    settings = ["components.reconstruction=bad", *(text for text in tiny_settings if not text.startswith("track"))]
    words = ["run", str(write_tiny()), "--runs", str(tmp_path / "runs"), *(word for text in settings for word in ("--set", text))]
    return lambda *more: CliRunner().invoke(cli, [*words, *more])


def files_of(err):
    """Every file in the tracebacks of an exception and of what it came from."""
    while err is not None:
        trace = err.__traceback__
        while trace is not None:
            yield trace.tb_frame.f_code.co_filename
            trace = trace.tb_next
        err = err.__cause__


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ("return loss.sum()", "nll must give the shape"),
        ("raise KeyError('x')", "failed in nll (KeyError: 'x', at "),
        ("return Back.apply(loss)", "failed in nll, on the way back (RuntimeError: no way back, at "),
    ],
)
def test_the_command_line_says_one_sentence_and_debug_shows_the_author_s_line(body, text, lab, run):
    module = lab(body)
    done = run()
    assert done.exit_code == 2
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("error: lab-bad 0.3 (entry point 'lab-bad'): the reconstruction 'bad'")
    assert text in last
    assert "Traceback" not in done.output
    shown = run("--debug")
    assert isinstance(shown.exception, LfadsError)
    assert any(name.endswith(f"{module}.py") for name in files_of(shown.exception)) or "must give" in last


def test_debug_shows_where_a_plugin_breaks_that_cannot_be_imported_or_costs_a_warning(install, monkeypatch, write_tiny, tmp_path, tiny_settings):
    broken = install("lab-gone", "x = 1\n\nimport nowhere_to_be_found\n")
    metric = """
        from lfads_core.plugins import MetricSpec, hookimpl

        def compute(evaluation):
            raise RuntimeError("on purpose")

        @hookimpl
        def lfads_metrics():
            yield MetricSpec(name="bad", summary="Fails", compute=compute)
        """
    module = install("lab-bad", metric)
    monkeypatch.setenv("LFADS_PLUGINS", "std,lab-bad,lab-gone")
    said = CliRunner().invoke(cli, ["plugins", "list", "--debug"])
    assert said.exit_code == 0
    assert f'{broken}.py", line 3, in <module>' in said.stderr
    settings = [word for text in tiny_settings if not text.startswith("track") for word in ("--set", text)]
    words = ["run", str(write_tiny()), "--runs", str(tmp_path / "runs"), *settings, "--set", "train.epochs=1"]
    load_registry.cache_clear()
    said = CliRunner().invoke(cli, [*words, "--debug"])
    assert f'{module}.py", line 5, in compute' in said.stderr
    missing = CliRunner().invoke(cli, [*words, "--set", "components.ic_prior=gone", "--debug"])
    load_registry.cache_clear()
    assert any(name.endswith(f"{broken}.py") for name in files_of(missing.exception)) or f'{broken}.py", line 3' in missing.stderr


class Raising(torch.autograd.Function):
    """The identity, whose gradient cannot be had."""

    @staticmethod
    def forward(_, x):
        return x.clone()

    @staticmethod
    def backward(*_):
        raise ZeroDivisionError("no way back")


def registry_with(**hooks):
    return Registry.from_plugins({"core": lfads_core.builtin, "std": lfads_plugins_std.plugin, "lab-bad": SimpleNamespace(**hooks)})


def test_a_failure_on_the_shared_way_back_costs_its_member_alone(make_trainer, monkeypatch):
    monkeypatch.setattr("lfads_core.train.trainer.try_components", lambda *_, **_more: None)

    class Late(Poisson):
        calls = 0

        def nll(self, params, data):
            Late.calls += 1
            loss = super().nll(params, data)
            return Raising.apply(loss) if Late.calls > 2 else loss

    @hookimpl
    def lfads_reconstructions():
        yield ReconstructionSpec(name="late", summary="Fails", config=NoSettings, build=lambda *_: Late())

    sound = [make_trainer(f"sound {i}", f"train.seed={i}", "train.epochs=2") for i in (0, 2)]
    list(train_members(sound, lambda *_: None, lambda: False))
    members = [make_trainer(f"member {i}", f"train.seed={i}", "train.epochs=2") for i in range(3)]
    registry = registry_with(lfads_reconstructions=lfads_reconstructions)
    members[1] = make_trainer("member 1", "train.seed=1", "train.epochs=2", "components.reconstruction=late", registry=registry)
    ends = {end.member: (end.status, end.error) for end in train_members(members, lambda *_: None, lambda: False)}
    assert ends[0] == ends[2] == ("done", None)
    assert ends[1][0] == "failed"
    assert re.match(
        r"lab-bad 0 \(entry point 'lab-bad'\): the reconstruction 'late' failed in .*ZeroDivisionError: no way back, at test_train_blame.py:\d+",
        ends[1][1],
    )
    for one, other in zip(sound, (members[0], members[2]), strict=True):
        for name, value in one.model.state_dict().items():
            torch.testing.assert_close(other.model.state_dict()[name], value, rtol=1e-4, atol=1e-5)


def test_the_trial_moves_no_number_of_a_run(train_tiny, monkeypatch, end_state):
    tried = train_tiny(name="tried", plugins=("spikes",))
    monkeypatch.setattr("lfads_core.train.trainer.try_components", lambda *_, **_more: None)
    untried = train_tiny(name="untried", plugins=("spikes",))
    assert end_state(tried.run.path) == end_state(untried.run.path)


# Metrics


def metric(compute):
    @hookimpl
    def lfads_metrics():
        yield MetricSpec(name="bad", summary="Misbehaves", compute=compute)

    return registry_with(lfads_metrics=lfads_metrics)


CALLS = itertools.count()


def zeroes(evaluation):
    evaluation.data[:] = 0
    return {}


@pytest.mark.parametrize(
    ("compute", "text"),
    [
        (lambda _: {"x": torch.ones(3)}, "must give a plain number for 'x', got a tensor of shape (3,)"),
        (lambda _: {"x": None}, "must give a plain number for 'x', got None"),
        (lambda _: {"x": "high"}, "must give a plain number for 'x', got 'high'"),
        (lambda _: None, "must give numbers by name, an empty mapping where they make no sense, got None"),
        (lambda _: 0.5, "must give numbers by name, got 0.5"),
        (lambda _: {"a/b": 1.0}, "must name numbers by words without spaces and slashes, got 'a/b'"),
        (lambda _: {"x": float(next(CALLS))}, "must give the same for the same predictions, got something else the second time"),
        (zeroes, "must leave the predictions and the data as they are, but changed them in place"),
    ],
)  # fmt: skip
def test_a_metric_that_gives_no_numbers_is_named_before_the_training(compute, text, train_tiny, tmp_path):
    with pytest.raises(LfadsError) as caught:
        train_tiny(registry=metric(compute))
    assert (
        str(caught.value)
        == f"lab-bad 0 (entry point 'lab-bad'): the metric 'bad': compute {text}. `lfads plugins check bad` tries all that must hold."
    )
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_number_that_is_none_is_left_out_of_the_log_and_told_once(value, train_tiny, caplog):
    run = train_tiny("train.epochs=3", "train.metrics_every=1", registry=metric(lambda _: {"x": value, "y": 1.0})).run
    told = [message for message in caplog.messages if "lab-bad" in message]
    what = f"must give finite numbers, or none, got {value} for 'x', which is left out"
    assert told == [f"lab-bad 0 (entry point 'lab-bad'): the metric 'bad' {what}"]
    names = run.fitlog.read_text().splitlines()[0].split(",")
    assert "valid/y" in names
    assert "valid/x" not in names


def test_a_metric_that_changes_data_after_its_trial_fails_and_the_data_stay(train_tiny, caplog):
    calls = iter(range(10**6))
    train_tiny("train.epochs=2", registry=metric(lambda e: {"x": float((e.data.__imul__(0) if next(calls) > 1 else e.data).sum())}))
    (told,) = [message for message in caplog.messages if "lab-bad" in message]
    assert "the metric 'bad' failed and the run goes on (ValueError: output array is read-only)" in told


def test_a_metric_that_gives_no_numbers_later_is_a_warning(train_tiny, caplog):
    calls = iter(range(10**6))
    train_tiny("train.epochs=2", registry=metric(lambda _: {"x": 1.0} if next(calls) < 2 else {"x": "high"}))
    (told,) = [message for message in caplog.messages if "lab-bad" in message]
    assert told == (
        "lab-bad 0 (entry point 'lab-bad'): the metric 'bad' failed and the run goes on "
        "(TypeError: compute must give a plain number for 'x', got 'high')"
    )


# Readers


def reader(read, matches=lambda path: path.suffix == ".lab"):
    @hookimpl
    def lfads_data_readers():
        yield DataReaderSpec(name="lab", summary="Ours", matches=matches, read=read)

    return registry_with(lfads_data_readers=lfads_data_readers)


def session(change=lambda split: split, **more):
    from lfads_core.data.session import Session, Split

    def read(_):
        made = {"encod": np.ones((12, 8, 5)), "recon": np.ones((12, 8, 5)), "external": np.zeros((12, 8, 0))}
        split = change(made)
        return Session(name="a", path=None, splits={"train": Split(**split), "valid": Split(**split)}, **more)

    return read


@pytest.mark.wrong_types
@pytest.mark.parametrize(
    ("read", "text"),
    [
        (lambda _: None, "the reader 'lab' of lab-bad 0 (entry point 'lab-bad') must return a session, but it is not one, got None."),
        (lambda _: {"train": 1}, "must return a session, but it is not one, got a dict."),
        (lambda _: 1 // 0, "must return a session, but failed with ZeroDivisionError: "),
        (session(lambda s: {**s, "encod": s["encod"].tolist()}), "it is not one of NumPy arrays, got a list for 'encod' of 'train'."),
        (session(lambda s: {**s, "external": torch.zeros(12, 8, 0)}), "it is not one of NumPy arrays, got a torch.Tensor for 'external' of 'train'."),
        (session(lambda s: {**s, "external": np.zeros((12, 8))}), "it is not one whose 'external' has the axes of 'encod', got (12, 8) in 'train'."),
        (session(lambda s: {k: v[0] for k, v in s.items()}), "'train_encod_data' must be (trials, bins, channels), got shape (8, 5)."),
        (session(lambda s: {**s, "recon": s["recon"][:3]}), "'train_recon_data' must have as many trials as 'train_encod_data', got 3 and 12."),
        (session(arrays=[1]), "it is not one with a mapping of arrays, got a list."),
    ],
)  # fmt: skip
def test_a_reader_that_gives_no_session_is_named(read, text, tmp_path):
    path = tmp_path / "a.lab"
    path.touch()
    with pytest.raises(DataError) as caught:
        read_sessions([path], reader(read))
    assert str(caught.value).startswith(f"{path}: ")
    assert text in str(caught.value)


def test_negative_counts_from_a_reader_are_refused_with_the_file(tmp_path, train_tiny):
    path = tmp_path / "a.lab"
    path.touch()
    with pytest.raises(DataError, match=re.escape(f"{path}: 'train_recon_data' must ") + ".*negative|must be counts|-1"):
        train_tiny(data=path, registry=reader(session(lambda s: {key: -values for key, values in s.items()})))


@pytest.mark.parametrize("matches", [lambda _: 1 // 0, lambda _: None])
def test_a_reader_that_cannot_say_what_it_takes_is_a_warning_and_others_are_tried(matches, write_tiny, caplog):
    (found,) = read_sessions([write_tiny()], reader(session(), matches))
    assert found.name == "tiny"
    (told,) = caplog.messages
    assert told.startswith("lab-bad 0 (entry point 'lab-bad'): the reader 'lab' failed and other readers are tried (")
