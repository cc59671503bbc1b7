"""A stranger's package whose functions raise, one at a time: all else goes on, and one sentence names the distribution and what failed."""

from __future__ import annotations

import importlib
import json

import pytest
import torch

from foreign_site import DISTRIBUTION, lfads
from lfads_core.plugins import hookimpl
from lfads_core.recurrence import choose, reference

pytestmark = pytest.mark.usefixtures("foreign_site")

NEWS = "(RuntimeError: on purpose)"
HOOKS = [
    "lfads_settings",
    "lfads_commands",
    "lfads_trackers",
    "lfads_executors",
    "lfads_searches",
    "lfads_report_sections",
    "lfads_reports",
    "lfads_exporters",
    "lfads_recordings",
    "lfads_foreign_settings",
    "lfads_recurrences",
    "lfads_doctor_checks",
    "lfads_hooks",
    "lfads_rotations",
]


def fail(*_, **__):
    raise RuntimeError("on purpose")


@pytest.fixture
def broken(monkeypatch):
    """``broken("lab_jpca.page.section")`` makes it raise."""

    def break_it(path, function=fail):
        module, _, names = path.partition(":")
        owner = importlib.import_module(module)
        *within, name = names.split(".")
        for part in within:
            owner = getattr(owner, part)
        monkeypatch.setattr(owner, name, function)

    return break_it


@pytest.fixture
def broken_hook(broken):
    """Break a hook of lab-jpca's plugin, as pluggy sees it."""

    def break_it(name):
        def lfads_hook():
            raise RuntimeError("on purpose")

        broken(f"lab_jpca.plugin:{name}", hookimpl(lfads_hook))

    return break_it


def warnings(result, caplog):
    """What was said as a warning, by a display or by the log."""
    said = [line.removeprefix("warning: ") for line in result.output.splitlines() if line.startswith("warning: ")]
    return [*said, *caplog.messages]


# The plugin as a whole


@pytest.mark.long
@pytest.mark.parametrize("hook", HOOKS)
def test_a_hook_that_raises_leaves_the_package_out_and_lfads_goes_on(broken_hook, hook):
    broken_hook(hook)
    fault = f"{DISTRIBUTION}: {hook}: RuntimeError: on purpose"
    assert "run      Train a model on recordings" in lfads("--help").stdout
    listed = json.loads(lfads("plugins", "list", "--json").stdout)
    faults = {fault["distribution"]: fault["reason"] for fault in listed["faults"]}
    assert faults["lab-jpca"] == f"{hook}: RuntimeError: on purpose"
    assert not [entry for entry in listed["components"] if entry["distribution"] == "lab-jpca"]
    missed = lfads("jpca", "runs/a", code=2).stderr.splitlines()[-1]
    assert missed.startswith("Error: no command named 'jpca'. ")
    assert f" Not loaded: {fault}" in missed
    assert f"broken, left out: {fault}\n" in lfads("plugins", "list").stdout
    if hook == "lfads_hooks":
        assert faults["lab-planes"].startswith("no hook is named 'lfads_rotations'.")
    else:
        assert [entry["distribution"] for entry in listed["components"] if entry["kind"] == "rotation"] == ["lab-planes"]


@pytest.mark.long
def test_a_run_and_a_search_go_on_without_the_package(broken_hook, tiny, tmp_path, caplog):
    broken_hook("lfads_trackers")
    result = lfads("run", tiny.data, tiny.yaml, "--name", "run")
    assert f"plugin left out: {DISTRIBUTION}: lfads_trackers: RuntimeError: on purpose" in warnings(result, caplog)
    lfads("search", "random", tiny.data, tiny.yaml, "--name", "search", "--members", 2, "--executor", "serial")
    assert (tmp_path / "runs/search/best/lfads_output_tiny.h5").is_file()


# A run


@pytest.mark.long
@pytest.mark.parametrize("hook", ["lfads_run_started", "lfads_epoch_ended", "lfads_run_finished"])
def test_a_notification_that_raises_costs_a_run_one_warning(broken, tiny, tmp_path, caplog, hook):
    broken("lab_jpca.diary:write", lambda what, *_: fail() if what == hook.removeprefix("lfads_").replace("_", " ") else None)
    result = lfads("run", tiny.data, tiny.yaml, "--name", "run")
    assert [w for w in warnings(result, caplog) if "lab-jpca" in w] == [f"{DISTRIBUTION}: {hook} failed and the run goes on {NEWS}"]
    assert len((tmp_path / "runs/run/fitlog.csv").read_text().splitlines()) == 4


@pytest.mark.long
@pytest.mark.parametrize("what", ["open_lines", "Lines.log", "Lines.artifacts", "Lines.close"])
def test_a_tracker_that_raises_costs_a_run_one_warning(broken, tiny, tmp_path, caplog, what):
    broken(f"lab_jpca.track:{what}")
    result = lfads("run", tiny.data, tiny.yaml, "--name", "run", "--set", "mine.folder=lines")
    told = f"lines of {DISTRIBUTION}: could not be written (on purpose); the training goes on."
    assert [w for w in warnings(result, caplog) if "lab-jpca" in w] == [told]
    assert len((tmp_path / "runs/run/fitlog.csv").read_text().splitlines()) == 4


def test_a_figure_that_raises_costs_a_run_one_warning(broken, tiny, tmp_path, caplog):
    broken("lab_jpca.page:figure")
    result = lfads("run", tiny.data, tiny.yaml, "--name", "run")
    assert [w for w in warnings(result, caplog) if "lab-jpca" in w] == [f"{DISTRIBUTION}: the report 'rotations' failed and the run goes on {NEWS}"]
    assert json.loads((tmp_path / "runs/run/run.json").read_text())["status"] == "finished"


@pytest.mark.long
def test_loops_whose_check_raises_give_way_to_others(broken, tiny, tmp_path, caplog):
    broken("lab_jpca.loops:obstacle")
    result = lfads("run", tiny.data, tiny.yaml, "--name", "run", "--set", "train.recurrence=mine")
    assert [w for w in warnings(result, caplog) if "lab-jpca" in w] == [
        f"train.recurrence: mine cannot be used: {DISTRIBUTION} could not look {NEWS}. fused takes its place; its numbers are the same to rounding."
    ]
    assert json.loads((tmp_path / "runs/run/run.json").read_text())["status"] == "finished"


def test_loops_that_raise_cost_those_nothing_who_do_not_ask_for_them(broken, tiny, tmp_path):
    for name in ("gru", "controlled"):
        broken(f"lab_jpca.loops:{name}")
    lfads("run", tiny.data, tiny.yaml, "--name", "run", "--set", "train.recurrence=auto")


@pytest.fixture
def loops_anew():
    """Loops are imported once a process; here they are before and after."""
    choose._loaded.cache_clear()
    yield
    choose._loaded.cache_clear()


@pytest.mark.usefixtures("loops_anew")
def test_loops_that_compute_something_else_end_a_run_before_its_first_step(broken, tiny):
    broken("lab_jpca.loops:gru", lambda *args, **more: 1.1 * reference.gru(*args, **more))
    said = lfads("run", tiny.data, tiny.yaml, "--name", "run", "--set", "train.recurrence=mine", code=2).stderr.splitlines()[-1]
    assert said.startswith(f"error: {DISTRIBUTION}: the recurrence 'mine' must give what the loops of plain PyTorch give, but ")


@pytest.mark.usefixtures("loops_anew")
@pytest.mark.parametrize(
    ("wrong", "where"),
    [(lambda _: not torch.is_grad_enabled(), " without gradients differ by"), (lambda x: x.shape[-3] == 1, " of one trial differ by")],
)
def test_loops_that_compute_something_else_in_a_validation_or_of_one_trial_do_so_too(broken, tiny, wrong, where):
    broken("lab_jpca.loops:gru", lambda x, *args, **more: (1.5 if wrong(x) else 1.0) * reference.gru(x, *args, **more))
    said = lfads("run", tiny.data, tiny.yaml, "--name", "run", "--set", "train.recurrence=mine", code=2).stderr.splitlines()[-1]
    assert said.startswith(f"error: {DISTRIBUTION}: the recurrence 'mine' must give what the loops of plain PyTorch give, but ")
    assert where in said


@pytest.mark.usefixtures("loops_anew")
def test_loops_that_raise_are_named_to_those_who_ask_for_them(broken, tiny):
    broken("lab_jpca.loops:gru")
    said = lfads("run", tiny.data, tiny.yaml, "--name", "run", "--set", "train.recurrence=mine", code=2).stderr.splitlines()[-1]
    assert said.startswith(f"error: {DISTRIBUTION}: the recurrence 'mine' failed (RuntimeError: on purpose, at test_foreign_broken.py:")


# A search


@pytest.mark.long
@pytest.mark.parametrize("hook", ["lfads_search_started", "lfads_generation_ended", "lfads_search_finished", "lfads_epoch_ended"])
def test_a_notification_that_raises_costs_a_search_one_warning(broken, tiny, tmp_path, caplog, hook):
    broken("lab_jpca.diary:write", lambda what, *_: fail() if what == hook.removeprefix("lfads_").replace("_", " ") else None)
    result = lfads("search", "random", tiny.data, tiny.yaml, "--name", "s", "--members", 2, "--executor", "batched")
    assert [w for w in warnings(result, caplog) if "lab-jpca" in w] == [f"{DISTRIBUTION}: {hook} failed and the run goes on {NEWS}"]
    assert json.loads((tmp_path / "runs/s/search.json").read_text())["status"] == "finished"


@pytest.mark.long
@pytest.mark.parametrize("what", ["open_lines", "Lines.log", "Lines.close"])
def test_a_tracker_that_raises_costs_a_search_one_warning_a_member(broken, tiny, tmp_path, caplog, what):
    broken(f"lab_jpca.track:{what}")
    result = lfads("search", "random", tiny.data, tiny.yaml, "--name", "s", "--members", 2, "--executor", "batched", "--set", "mine.folder=lines")
    told = f"lines of {DISTRIBUTION}: could not be written (on purpose); the training goes on."
    assert [w for w in warnings(result, caplog) if "lab-jpca" in w] == [told, told]
    assert json.loads((tmp_path / "runs/s/search.json").read_text())["status"] == "finished"


@pytest.mark.long
@pytest.mark.parametrize("what", ["__init__", "generation"])
def test_an_executor_that_raises_before_anything_is_trained_is_one_line_and_leaves_no_folder(broken, tiny, tmp_path, monkeypatch, what):
    with monkeypatch.context() as patched:
        from lab_jpca.executor import Backwards

        patched.setattr(Backwards, what, fail)
        result = lfads("search", "random", tiny.data, tiny.yaml, "--name", "s", "--members", 2, "--executor", "mine", code=2)
    where = "--executor: " if what == "__init__" else ""
    assert result.stderr.splitlines()[-1] == (
        f"error: {where}{DISTRIBUTION}: the executor 'mine' failed {NEWS}. --debug shows where; tell its authors."
    )
    assert not (tmp_path / "runs/s").exists()
    lfads("search", "random", tiny.data, tiny.yaml, "--name", "s", "--members", 2, "--executor", "serial")
    assert json.loads((tmp_path / "runs/s/search.json").read_text())["status"] == "finished"


@pytest.mark.long
def test_an_executor_that_raises_later_is_one_line_and_another_one_goes_on(broken, tiny, tmp_path, monkeypatch):
    with monkeypatch.context() as patched:
        from lab_jpca.executor import Backwards

        def fail_after_one(executor, tasks, report, should_stop):
            yield next(executor.inner.generation(tasks, report, should_stop))
            fail()

        patched.setattr(Backwards, "generation", fail_after_one)
        result = lfads("search", "random", tiny.data, tiny.yaml, "--name", "s", "--members", 2, "--executor", "mine", code=2)
    assert result.stderr.splitlines()[-1] == f"error: {DISTRIBUTION}: the executor 'mine' failed {NEWS}. --debug shows where; tell its authors."
    lfads("search", "resume", tmp_path / "runs/s", "--executor", "serial")
    assert json.loads((tmp_path / "runs/s/search.json").read_text())["status"] == "finished"


@pytest.mark.long
def test_an_executor_that_cannot_be_closed_costs_a_search_one_warning(broken, tiny, tmp_path, caplog):
    broken("lab_jpca.executor:Backwards.close")
    result = lfads("search", "random", tiny.data, tiny.yaml, "--name", "s", "--members", 2, "--executor", "mine")
    assert [w for w in warnings(result, caplog) if "lab-jpca" in w] == [f"{DISTRIBUTION}: the executor 'mine' failed and the search goes on {NEWS}"]


@pytest.mark.parametrize("what", ["first", "following"])
def test_an_algorithm_that_raises_is_one_line_and_what_was_trained_is_kept(broken, tiny, tmp_path, what):
    broken(f"lab_jpca.halving:Halving.{what}")
    result = lfads("search", "halving", tiny.data, tiny.yaml, "--name", "s", "--members", 2, "--set", "search.interval=1", code=2)
    assert result.stderr.splitlines()[-1] == f"error: {DISTRIBUTION}: the search 'halving' failed {NEWS}. --debug shows where; tell its authors."
    assert "halving  Stop the worse half" in lfads("search", "--help").stdout
    if what == "following":
        state = json.loads((tmp_path / "runs/s/search.json").read_text())
        assert [(member["status"], member["epochs"]) for member in state["members"]] == [("done", 1), ("done", 1)]
        assert state["status"] == "failed"


# After training


@pytest.mark.long
def test_a_section_that_raises_leaves_the_page_whole(broken, trained, caplog):
    broken("lab_jpca.page:section")
    result = lfads("report", trained)
    told = f"{DISTRIBUTION}: the report section 'jpca' failed {NEWS}. --debug shows where; tell its authors."
    assert [w for w in warnings(result, caplog) if "lab-jpca" in w] == [f"report: the section 'Rotations of this lab' could not be drawn ({told})"]
    page = (trained / "report.html").read_text()
    assert "This section could not be drawn: lab-jpca 1.0" in page
    assert "Settings and versions" in page


def test_an_evaluation_that_cannot_be_told_costs_one_warning(broken, trained, caplog):
    broken("lab_jpca.diary:write")
    result = lfads("eval", trained)
    assert [w for w in warnings(result, caplog) if "lab-jpca" in w][-1:] == [f"{DISTRIBUTION}: lfads_run_evaluated failed and the run goes on {NEWS}"]
    assert (trained / "evaluation.json").is_file()


def test_an_exporter_that_raises_is_one_line(broken, trained, tmp_path):
    broken("lab_jpca.files:write_npz")
    result = lfads("export", trained, "--to", "npz", tmp_path / "a.npz", code=2)
    assert result.stderr == f"error: {DISTRIBUTION}: the exporter 'npz' failed {NEWS}. --debug shows where; tell its authors.\n"


def test_a_check_that_raises_is_one_line_of_the_doctors(broken, tmp_path):
    broken("lab_jpca.checks:licence")
    lines = [" ".join(line.split()) for line in lfads("doctor", "--runs", tmp_path, code=1).stdout.splitlines()]
    assert f"fail licence-server could not be looked at: RuntimeError: on purpose -> mend {DISTRIBUTION} first" in lines
    assert any(line.startswith("ok recurrence ") for line in lines)


# Before training


def test_a_reader_that_raises_is_one_line(broken, foo, tmp_path):
    broken("lab_jpca.files:read_foo")
    result = lfads("data", "make", foo, "-o", tmp_path / "y.h5", code=2)
    assert result.stderr == f"error: {foo}: must be a whole recording, but foo of {DISTRIBUTION} failed with RuntimeError: on purpose\n"


def test_a_format_that_cannot_say_what_it_takes_is_passed_over(broken, foo, tmp_path, caplog):
    broken("lab_jpca.files:is_foo")
    (tmp_path / "spikes.csv").write_text("unit,time\n" + "".join(f"{i % 2},{i / 50}\n" for i in range(500)))
    (tmp_path / "trials.csv").write_text("start,stop\n" + "".join(f"{i},{i + 1}\n" for i in range(10)))
    result = lfads("data", "make", tmp_path / "spikes.csv", "--trials", tmp_path / "trials.csv", "-o", tmp_path / "y.h5")
    assert (tmp_path / "y.h5").is_file()
    caplog.clear()
    result = lfads("data", "make", foo, "-o", tmp_path / "z.h5", code=2)
    assert [w for w in warnings(result, caplog) if "lab-jpca" in w] == [
        f"{DISTRIBUTION}: the recording format 'foo' failed and other formats are tried {NEWS}"
    ]
    assert result.stderr.splitlines()[-1].startswith(f"error: {foo}: the ending of a recording must be one of .csv, ")


@pytest.mark.parametrize("what", ["known", "translate"])
def test_foreign_settings_that_raise_are_one_line_and_other_formats_are_read(broken, tmp_path, caplog, what):
    broken(f"lab_jpca.foreign:{what}")
    (tmp_path / "theirs.yaml").write_text("MODEL: {FAC_DIM: 7}\n")
    assert "factors: 7" in lfads("config", "import", tmp_path / "theirs.yaml").stdout
    caplog.clear()
    (tmp_path / "old.yaml").write_text("jpca_factors: 5\n")
    result = lfads("config", "import", tmp_path / "old.yaml", code=2)
    if what == "translate":
        assert result.stderr == f"error: {DISTRIBUTION}: the foreign settings 'jpca-2019' failed {NEWS}. --debug shows where; tell its authors.\n"
    else:
        assert caplog.messages == [f"{DISTRIBUTION}: the foreign settings 'jpca-2019' failed and other formats are tried {NEWS}"]
        assert result.stderr.startswith(f"error: {tmp_path / 'old.yaml'}: must be settings of ")


# Commands


@pytest.mark.parametrize(
    ("words", "module"), [(["jpca", "runs/a"], "lab_jpca.cli"), (["data", "jpca", "a.h5"], "lab_jpca.cli")], ids=["command", "of a group"]
)
def test_a_command_whose_module_cannot_be_imported_is_one_line_and_the_help_works(foreign_site, words, module, monkeypatch):
    monkeypatch.setitem(importlib.import_module("sys").modules, module, None)
    name = " ".join(words[:-1])
    assert "Commands of lab-jpca:" in lfads("--help").stdout
    function = "jpca" if name == "jpca" else "of_data"
    result = lfads(*words, code=2)
    assert result.stderr == (
        f"error: {DISTRIBUTION}: the command '{name}' cannot be had: '{module}:{function}': must be 'module:name' of something that can be imported, "
        f"got ModuleNotFoundError: import of {module} halted; None in sys.modules\n"
    )
