"""What plugins around the model do wrong: each case is named with distribution and version, none ends in a traceback, none goes unsaid."""

from __future__ import annotations

import importlib
import sys
import textwrap

import pytest

from foreign_site import lfads, write_foo, write_tiny
from lfads_core.plugins import load_registry

WHO = "lab-bad 1.0 (entry point 'lab-bad')"
HEAD = """
import sys
import click
from attrs import frozen
from lfads_core.config.fields import setting
from lfads_core.plugins import *
from lfads_core.plugins import hookimpl
"""
ALGORITHM = """
from dataclasses import replace

def build():
    from lfads_plugins_tune.search.algorithm import AbstractAlgorithm
    from lfads_plugins_tune.search.plan import draw, waiting
    from lfads_plugins_tune.search.state import Member

    class Bad(AbstractAlgorithm):
        def first(self, spaces, number, chances):
            members = [Member(member=i, values=draw(spaces, chances, i, 0, start=False)) for i in range(number)]
            return {first}

        def following(self, state, scores, chances, *, compete):
            members = [waiting(m, values=m.values, parent=m.member, epochs=m.epochs) for m in state.members]
            return {following}

    return Bad()
"""
EXECUTOR = """
def build(base, patterns, registry, options):
    from lfads_plugins_tune.executors.serial import SerialExecutor

    class Bad(SerialExecutor):
        def generation(self, tasks, report, should_stop):
            {generation}

    return Bad(base, patterns, registry, options)
"""


def hook(name, record, module="", **fields):
    """A hook that offers one record called ``bad``; fields are written as code."""
    given = ", ".join(f"{key}={value}" for key, value in fields.items())
    head = f"from {module} import {record}\n" if module else ""
    return f"{head}\n@hookimpl\ndef lfads_{name}():\n    yield {record}(name='bad', summary='Misbehaves', {given})\n"


def metric(code):
    return hook("metrics", "MetricSpec", compute=f"lambda e: {code}")


def algorithm(first="members", following="members", build="build"):
    more = {"build": build, "defaults": "{'optim': {'min_lr': 1e-6}, 'search': {}}"}
    return ALGORITHM.format(first=first, following=following) + hook("searches", "SearchSpec", "lfads_plugins_tune.specs", **more)


def executor(generation, build="build"):
    return EXECUTOR.format(generation=generation) + hook("executors", "ExecutorSpec", "lfads_plugins_tune.specs", build=build)


def reader(read, matches="p.suffix == '.foo'"):
    return hook("data_readers", "DataReaderSpec", matches=f"lambda p: {matches}", read=f"lambda p: {read}")


def recording(read):
    return hook("recordings", "RecordingSpec", matches="lambda p: p.suffix == '.foo'", read=f"lambda p, o: {read}")


def synthetic(code):
    return hook("synthetics", "SyntheticSpec", config="NoSettings", generate=f"lambda s, r: {code}")


def group(field, before="", name="bad"):
    spec = hook("settings", "SettingsSpec", config="Config").replace("'bad'", repr(name))
    return f"{before}\n@frozen(kw_only=True)\nclass Config:\n    {field}\n{spec}"


def translation(known="99", translate="None"):
    module = "lfads_plugins_lab.specs"
    return hook("foreign_settings", "ForeignSettingsSpec", module, known=f"lambda d: {known}", translate=f"lambda d, r: {translate}")


def notified(name, argument, code):
    return f"@hookimpl\ndef lfads_{name}({argument}):\n    {code}\n"


RUN = ("run", "tiny.h5", "tiny.yaml", "--name", "r", "--set", "train.epochs=1")
LIST, SHOW, DOCTOR, SYNTH = ("plugins", "list"), ("config", "show"), ("doctor",), ("synth", "bad")
MAKE, CHECK, IMPORT = ("data", "make", "x.foo", "--bin", "50", "-o", "y.h5"), ("data", "check", "x.foo"), ("config", "import", "old.yaml")
OF_SEARCH = ("tiny.h5", "tiny.yaml", "--members", "2", "--set", "search.interval=1", "--name", "s")
SEARCH = ("search", "bad", *OF_SEARCH, "--executor", "serial")
CARRY_OUT = ("search", "random", *OF_SEARCH, "--executor", "bad")

QUICK = {
    "an import that ends the process": ("sys.exit(0)", LIST, 0, "SystemExit: 0"),
    "an import without end": ("def f(): f()\nf()", LIST, 0, "RecursionError"),
    "a hook that ends the process": ("@hookimpl\ndef lfads_priors():\n    sys.exit(0)", LIST, 0, "lfads_priors: SystemExit: 0"),
    "a hook that gives a mapping": (
        "@hookimpl\ndef lfads_priors():\n    return {'a': 1}",
        LIST,
        0,
        "must yield or return a list of PriorSpec, got 'a' in it",
    ),
    "a hook that waits": (
        "@hookimpl\nasync def lfads_metrics():\n    return []",
        LIST,
        0,
        "must yield or return a list of MetricSpec, got a coroutine",
    ),
    "a hook that calls itself": ("@hookimpl\ndef lfads_priors():\n    return lfads_priors()", LIST, 0, "lfads_priors: RecursionError"),
    "a name that is given twice": (
        metric("{}") + metric("{}").split("def lfads_metrics():\n")[1],
        LIST,
        0,
        "every name must be offered once, got 'bad' twice",
    ),
    "hooks of one's own that are none": ("@hookimpl\ndef lfads_hooks():\n    yield 'x'", LIST, 0, "lfads_hooks: must yield modules, got 'x'"),
    "a recipe that is a list": (
        hook("recipes", "RecipeSpec", settings="['a']"),
        LIST,
        0,
        "'settings' must be <class 'collections.abc.Mapping'> (got ['a']",
    ),
    "a recipe that misspells": (
        hook("recipes", "RecipeSpec", settings="{'model': {'odd': 1}}"),
        (*SHOW, "--plugin", "bad"),
        2,
        "model.odd: no such setting",
    ),
    "settings without a default": (group("a: int"), LIST, 0, "must have a default for each setting that its rule accepts, but Config() fails"),
    "settings whose rule raises": (
        group("a: int = setting(1, 'a', rule=check)", "def check(i, a, v):\n    1 // 0\n"),
        LIST,
        0,
        "but Config() fails: integer division or modulo by zero",
    ),
    "settings of a type that nobody knows": (
        group("a: T = setting(None, 'a')", "class T: pass\n"),
        SHOW,
        2,
        "the settings 'bad' cannot be read: settings cannot",
    ),
    "settings called like core's": (
        group("a: int = setting(1, 'a')", name="train"),
        SHOW,
        2,
        "the settings 'train' must not be called like a group of core",
    ),
    "a command that is a function": (
        hook("commands", "CommandSpec", command="lambda: 1"),
        ("bad",),
        2,
        "the command 'bad' must be a click command, got <function",
    ),
    "a command that raises": (
        "@click.command()\ndef bad():\n    1 // 0\n" + hook("commands", "CommandSpec", command="bad"),
        ("bad",),
        2,
        "failed in bad (ZeroDivisionError: integer division or modulo by zero, at bad_",
    ),
    "a command that is nowhere": (
        hook("commands", "CommandSpec", command="'nowhere:c'"),
        ("bad",),
        2,
        "the command 'bad' cannot be had: 'nowhere:c'",
    ),
    "a reader that reads nothing": (reader("None"), CHECK, 2, "must return a session, but it is not one, got None"),
    "a reader that raises": (reader("1 // 0"), CHECK, 2, "must return a session, but failed with ZeroDivisionError"),
    "a reader that ends the process": (reader("sys.exit(0)"), CHECK, 2, "must return a session, but failed with SystemExit: 0"),
    "a reader that cannot choose": (
        reader("None", "sys.exit(0)"),
        ("data", "check", "tiny.h5"),
        0,
        "the reader 'bad' failed and other readers are tried",
    ),
    "a recording of nothing": (recording("None"), MAKE, 2, "must give arrays by name, or a recording, got NoneType"),
    "a recording without units": (
        recording("{'times': 'abc'}"),
        MAKE,
        2,
        "as bad of lab-bad 1.0 (entry point 'lab-bad') reads it: times of events must come with",
    ),
    "a recording that ends the process": (recording("sys.exit(0)"), MAKE, 2, "failed with SystemExit: 0"),
    "data that are none": (
        synthetic("None"),
        SYNTH,
        2,
        "the synthetic 'bad' failed (generate must give arrays by key, or such mappings by session, got a NoneType)",
    ),
    "data that are objects": (
        synthetic("{'train_encod_data': object()}"),
        SYNTH,
        2,
        "generate must give numbers and texts, got an object for 'train_encod_data'",
    ),
    "data that end the process": (synthetic("sys.exit(0)"), SYNTH, 2, "the synthetic 'bad' failed (SystemExit: 0)"),
    "settings of others that are dropped": (translation(), IMPORT, 0, "not taken over: a: lab-bad 1.0 (entry point 'lab-bad') says nothing of it"),
    "settings of others that end the process": (translation(translate="sys.exit(0)"), IMPORT, 2, "the foreign settings 'bad' failed (SystemExit: 0)"),
    "an algorithm that is none": (algorithm(build="lambda: 42"), SEARCH, 2, "build must give an AbstractAlgorithm, got an int"),
    "an algorithm without members": (algorithm("[]"), SEARCH, 2, "must give the members of a generation, got none"),
    "an algorithm with a member twice": (algorithm("[members[0], members[0]]"), SEARCH, 2, "must give each member once, got member 0 twice"),
    "an algorithm that ends the process": (algorithm("sys.exit(0)"), SEARCH, 2, "the search 'bad' failed (SystemExit: 0)"),
    "an algorithm that searches elsewhere": (
        algorithm("[replace(m, values={'odd.a': 1}) for m in members]"),
        SEARCH,
        2,
        "must give values of what is searched, got odd.a for member 0",
    ),
    "an algorithm that draws no numbers": (
        algorithm("[replace(m, values={**m.values, 'optim.lr': float('nan')}) for m in members]"),
        SEARCH,
        2,
        "must give finite values, got nan of optim.lr for member 0",
    ),
    "an executor that is none": (executor("pass", "lambda *_: 42"), CARRY_OUT, 2, "build must give an AbstractExecutor, got an int"),
    "an executor that gives nothing": (
        executor("return None"),
        CARRY_OUT,
        2,
        "the executor 'bad' failed (TypeError: 'NoneType' object is not iterable)",
    ),
    "an executor that gives numbers": (executor("yield 42"), CARRY_OUT, 2, "generation must yield outcomes, got an int"),
    "a metric that gives a list": (metric("[1]"), RUN, 2, "the metric 'bad': compute must give numbers by name, got a builtins.list"),
    "a metric that changes data": (metric("{'a': float(e.means.__imul__(0).sum())}"), RUN, 2, "must leave the predictions and the data as they are"),
    "loops that give nothing": (
        hook("recurrences", "RecurrenceSpec", gru="lambda *a, **k: None", controlled="lambda *a, **k: None"),
        (*RUN, "--set", "train.recurrence=bad"),
        2,
        "the recurrence 'bad' failed (TypeError: 'NoneType' object is not subscriptable)",
    ),
}
"""Source, words, exit code, and what is said beside the name of the distribution."""

SLOW = {
    "a metric that ends the process": (metric("sys.exit(3)"), RUN, 0, "the metric 'bad' failed and the run goes on (SystemExit: 3)"),
    "a metric with a name of the training's": (
        metric("{'recon': 1.0}"),
        (*RUN, "--set", "train.metrics_every=1"),
        0,
        "must give numbers names of their own, but 'recon' is another's",
    ),
    "a listener that ends the process": (
        notified("epoch_ended", "row", "sys.exit(0)"),
        RUN,
        0,
        "lfads_epoch_ended failed and the run goes on (SystemExit: 0)",
    ),
    "a tracker that is none": (
        hook("trackers", "TrackerSpec", open="lambda *_: 42"),
        RUN,
        0,
        "could not be written ('int' object has no attribute 'log')",
    ),
    "a tracker that ends the process": (hook("trackers", "TrackerSpec", open="lambda *_: sys.exit(0)"), RUN, 0, "could not be written"),
    "a check of the wrong kind": (hook("doctor_checks", "DoctorCheckSpec", check="lambda _: ['x']"), DOCTOR, 1, "a check must give findings"),
    "a check that ends the process": (
        hook("doctor_checks", "DoctorCheckSpec", check="lambda _: sys.exit(0)"),
        DOCTOR,
        1,
        "could not be looked at: SystemExit: 0",
    ),
    "an algorithm that goes on without members": (algorithm(following="[]"), SEARCH, 2, "must give the members of a generation, got none"),
    "an algorithm with strange parents": (
        algorithm(following="[replace(m, parent=99) for m in members]"),
        SEARCH,
        2,
        "must give parents that there are, got 99 for member 0",
    ),
    "an executor that answers twice": (
        executor("for o in super().generation(tasks, report, should_stop):\n                yield o\n                yield o"),
        CARRY_OUT,
        2,
        "must yield one outcome for each task, got another one of member 0",
    ),
}


@pytest.fixture
def bad(tmp_path, monkeypatch):
    """``bad(source)`` installs the distribution lab-bad 1.0, in a folder with small recordings and settings."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LFADS_PLUGINS", raising=False)
    monkeypatch.setattr("lfads_core.infer.run.draw_reports", lambda *_: [])
    write_tiny(tmp_path)
    write_foo(tmp_path / "x.foo")
    (tmp_path / "old.yaml").write_text("a: 1\nb: 2\n")
    site = tmp_path / "site"
    monkeypatch.syspath_prepend(site)

    def install(source):
        module = f"bad_{abs(hash(source))}"
        info = site / "lab_bad-1.0.dist-info"
        info.mkdir(parents=True)
        (site / f"{module}.py").write_text(HEAD + textwrap.dedent(source))
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: lab-bad\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[lfads]\nlab-bad = {module}\n")
        importlib.invalidate_caches()
        sys.modules.pop(module, None)

    yield install
    load_registry.cache_clear()


WRONG_TYPES = {"settings whose rule raises", "a tracker that is none", "a check of the wrong kind"}
"""On purpose: a function where a rule belongs, and the like."""


def marked(case, *marks):
    return pytest.param(case, marks=[*marks, *([pytest.mark.wrong_types] if case in WRONG_TYPES else [])])


@pytest.mark.long
@pytest.mark.parametrize("case", [*map(marked, QUICK), *(marked(case, pytest.mark.slow) for case in SLOW)])
def test_it_is_named_and_said(case, bad, caplog):
    source, words, code, text = {**QUICK, **SLOW}[case]
    bad(source)
    said = " ".join((lfads(*words, code=code).output + " ".join(caplog.messages)).split())
    assert WHO in said, said
    assert text in said, said
    assert "Traceback" not in said
