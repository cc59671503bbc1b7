"""What lab-jpca offers, and what it listens to."""

from attrs import frozen

from lab_jpca import diary
from lab_jpca.specs import RotationSpec
from lfads_core.config.fields import at_least, setting
from lfads_core.plugins import (
    CommandSpec,
    DoctorCheckSpec,
    ExporterSpec,
    RecordingSpec,
    RecurrenceSpec,
    ReportSectionSpec,
    ReportSpec,
    SettingsSpec,
    TrackerSpec,
    hookimpl,
)
from lfads_plugins_lab.specs import ForeignSettingsSpec
from lfads_plugins_tune.specs import ExecutorSpec, SearchSpec


@frozen(kw_only=True)
class MineConfig:
    """Where this lab records its runs."""

    level: int = setting(1, "how much is written", rule=at_least(0))
    folder: str | None = setting(None, "folder of a line per epoch, one file a run; null: none")


@frozen(kw_only=True)
class RotationConfig:
    """How rotations are found."""

    planes: int = setting(2, "planes", rule=at_least(1))


@hookimpl
def lfads_settings():
    yield SettingsSpec(name="mine", summary="records of this lab", config=MineConfig, changes_results=False)
    yield SettingsSpec(name="rotations", summary="how rotations are found", config=RotationConfig)


@hookimpl
def lfads_commands():
    yield CommandSpec(name="jpca", summary="Find rotations in the factors.", command="lab_jpca.cli:jpca")
    yield CommandSpec(name="data jpca", summary="Find rotations in a recording.", command="lab_jpca.cli:of_data")


@hookimpl
def lfads_trackers():
    yield TrackerSpec(name="lines", summary="A line of JSON per epoch", open="lab_jpca.track:open_lines")


@hookimpl
def lfads_executors():
    yield ExecutorSpec(name="mine", summary="The last member first", build="lab_jpca.executor:Backwards")


@hookimpl
def lfads_searches():
    yield SearchSpec(name="halving", summary="Stop the worse half after each generation.", build="lab_jpca.halving:Halving")


@hookimpl
def lfads_report_sections():
    yield ReportSectionSpec(name="jpca", summary="Rotations", title="Rotations of this lab", draw="lab_jpca.page:section")


@hookimpl
def lfads_reports():
    yield ReportSpec(name="rotations", summary="Rotations", render="lab_jpca.page:figure")


@hookimpl
def lfads_exporters():
    yield ExporterSpec(name="npz", summary="Rates and factors as .npz", write="lab_jpca.files:write_npz")


@hookimpl
def lfads_recordings():
    yield RecordingSpec(name="foo", summary="Our rig's spikes", matches="lab_jpca.files:is_foo", read="lab_jpca.files:read_foo")


@hookimpl
def lfads_foreign_settings():
    names = {"known": "lab_jpca.foreign:known", "translate": "lab_jpca.foreign:translate"}
    yield ForeignSettingsSpec(name="jpca-2019", summary="our old scripts", examples=("jpca_planes",), **names)


@hookimpl
def lfads_recurrences():
    loops = {name: f"lab_jpca.loops:{name}" for name in ("gru", "controlled", "obstacle")}
    yield RecurrenceSpec(name="mine", summary="plain loops that count", **loops)


@hookimpl
def lfads_doctor_checks():
    yield DoctorCheckSpec(name="licence-server", summary="Whether it answers", check="lab_jpca.checks:licence")


@hookimpl
def lfads_hooks():
    from lab_jpca import hookspecs

    yield hookspecs


@hookimpl
def lfads_rotations():
    yield RotationSpec(name="skew", summary="Skew-symmetric dynamics", planes=2)


@hookimpl
def lfads_run_started(run):
    diary.write("run started", run.name)


@hookimpl
def lfads_epoch_ended(run, epoch, row):
    diary.write("epoch ended", run.name, epoch)


@hookimpl
def lfads_run_finished(run, status):
    diary.write("run finished", run.name, status)


@hookimpl
def lfads_run_evaluated(run, numbers, files):
    diary.write("run evaluated", run.name, sorted(numbers), [path.name for path in files])


@hookimpl
def lfads_search_started(folder, kind, members):
    diary.write("search started", folder.name, kind, {number: path.name for number, path in members.items()})


@hookimpl
def lfads_generation_ended(folder, generation):
    diary.write("generation ended", folder.name, generation.generation, [record.member for record in generation.members])


@hookimpl
def lfads_search_finished(folder, status, best):
    diary.write("search finished", folder.name, status, best and best.name)
