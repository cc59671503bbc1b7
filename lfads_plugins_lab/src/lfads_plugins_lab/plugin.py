"""What lfads-plugins-lab offers. Importing this module loads neither torch nor scipy."""

from __future__ import annotations

from collections.abc import Iterator
from types import ModuleType

from lfads_core.plugins.hookspecs import hookimpl
from lfads_core.plugins.specs import CommandSpec, DoctorCheckSpec, ExporterSpec, FunctionSpec, RecordingSpec, ReportSectionSpec
from lfads_plugins_lab.specs import ForeignSettingsSpec

_CLI = "lfads_plugins_lab.cli"
_FILES = "lfads_plugins_lab.recordings.files"
_REPORT = "lfads_plugins_lab.report"
_SUGGEST = "lfads_plugins_lab.recordings.suggest:command_for"


@hookimpl
def lfads_commands() -> Iterator[CommandSpec]:
    """Before training and after it."""
    for name, (summary, command) in {
        "data make": ("Make files for training from raw recordings.", "make:make"),
        "data chop": ("Chop continuous recordings into windows, which may overlap.", "make:chop"),
        "data merge": ("Put the splits of a recording, or of a run's outputs, together again.", "change:merge"),
        "data rebin": ("Make the bins of a recording wider; signals beside the data are averaged.", "change:rebin"),
        "data smooth": ("Smooth a recording by a Gaussian, trial by trial.", "change:smooth"),
        "data set": ("Say what a recording's file does not: the width of its bins, the event.", "change:set_attributes"),
        "data split": ("Put all trials together and split them anew, the same share of every condition.", "change:split"),
        "data align": ("Find read-ins that bring sessions with different neurons together.", "align:command"),
        "config import": ("Turn settings of another implementation into ours.", "import_settings:command"),
        "eval": ("Score a run beside baselines on the same trials.", "eval:command"),
        "compare": ("Runs side by side: settings that differ, scores, epochs, time.", "compare:command"),
        "report": ("One HTML page on a run, to show and to send.", "report:command"),
        "bound": ("Bound the log likelihood of each trial.", "bound:command"),
        "stream": ("Infer rates bin by bin with a causal model, and time it.", "stream:command"),
        "generate": ("Sample new trials from a trained model's prior.", "generate:command"),
        "export": ("Write outputs and parameters in other forms: one HDF5 file, MATLAB, weights by name.", "export:command"),
        "bench": ("Measure how fast training and inference are on this machine.", "bench:command"),
    }.items():
        yield CommandSpec(name=name, summary=summary, command=f"{_CLI}.{command}")


@hookimpl
def lfads_hooks() -> Iterator[ModuleType]:
    """Settings of other implementations."""
    from lfads_plugins_lab import hookspecs

    yield hookspecs


@hookimpl
def lfads_recordings() -> Iterator[RecordingSpec]:
    """NWB, MATLAB, HDF5 of any layout, NumPy archives (pynapple's too), tables."""
    for name, summary, matches, read in (
        ("nwb", "Neurodata Without Borders", "is_nwb", "read_nwb_file"),
        ("matlab", "MAT-files of any version", "is_matlab", "read_mat"),
        ("hdf5", "HDF5 of any layout", "is_hdf5", "read_arrays"),
        ("npz", "NumPy archives, pynapple's too", "is_npz", "read_npz"),
        ("tables", "events in .csv, .tsv or .txt", "is_table", "read_tables"),
    ):
        yield RecordingSpec(name=name, summary=summary, matches=f"{_FILES}:{matches}", read=f"{_FILES}:{read}", suggest=_SUGGEST)


@hookimpl
def lfads_foreign_settings() -> Iterator[ForeignSettingsSpec]:
    """The implementations that people come from."""
    for name, summary, module, examples in (
        ("lfads-torch", "lfads-torch", "lfads_torch", ("gen_dim", "fac_dim", "...")),
        ("autolfads-tf2", "autolfads-tf2", "tf2", ("MODEL", "TRAIN")),
        ("lfads-tf1", "LFADS in TensorFlow 1", "tf1", ("factors_dim", "keep_prob", "...")),
    ):
        where = f"lfads_plugins_lab.foreign.{module}"
        yield ForeignSettingsSpec(name=name, summary=summary, known=f"{where}:known", translate=f"{where}:translate", examples=examples)


@hookimpl
def lfads_exporters() -> Iterator[ExporterSpec]:
    """One file of all trials, MATLAB, weights by name, and the page of a run."""
    for name, summary, write in (
        ("h5", "All sessions in one HDF5 file: trials in the recording's order, averages by condition", "export.write:export_h5"),
        ("mat", "The same trials and averages for MATLAB", "export.write:export_mat"),
        ("parameters", "Every trained parameter by name, and by session", "export.write:export_parameters"),
        ("page", "One HTML page on a run", "report.page:export_page"),
    ):
        yield ExporterSpec(name=name, summary=summary, write=f"lfads_plugins_lab.{write}")


@hookimpl
def lfads_functions() -> Iterator[FunctionSpec]:
    """What recordings and runs can do in Python."""
    for name, (summary, call) in {
        "recording-from-arrays": ("Values in bins as a recording", "recordings:from_arrays"),
        "recording-from-spikes": ("Spike times as a recording", "recordings:from_spikes"),
        "recording-from-raw": ("A raw file as a recording", "recordings:from_raw"),
        "recording-from-pynapple": ("pynapple's objects as a recording", "recordings:from_pynapple"),
        "recording-data": ("A recording's values, labelled", "labelled:recorded"),
        "run-results": ("What was inferred, labelled", "labelled:results"),
        "run-generate": ("Samples from the prior, labelled", "labelled:generated"),
        "run-log": ("The log as a table", "tables:log"),
        "run-evaluate": ("Scores beside baselines as a table", "tables:evaluate"),
        "run-compare": ("Runs side by side as a table", "tables:compare"),
        "run-report": ("The page on a run", "tables:report"),
        "run-figure": ("One figure of a run", "figures:figure"),
        "run-figures": ("Every figure of a run's page as a file", "figures:save_all"),
        "run-to-nwb": ("What was inferred in an NWB file", "nwb:to_nwb"),
        "run-to-pynapple": ("What was inferred as pynapple's objects", "pynapple:to_pynapple"),
        "estimator": ("LFADS after scikit-learn's rules", "estimator:LFADSEstimator"),
    }.items():
        yield FunctionSpec(name=name, summary=summary, call=f"lfads_plugins_lab.front.{call}")


@hookimpl
def lfads_report_sections() -> Iterator[ReportSectionSpec]:
    """The page of a run."""
    for place, name, title, summary, draw in (
        (10, "quality", "Is it good?", "Scores beside baselines, and costs", "quality:quality"),
        (20, "training", "Training", "Costs and scores over epochs", "quality:course"),
        (30, "trials", "Single trials", "The recording beside the rates, trial by trial", "trials:single_trials"),
        (40, "conditions", "Condition averages", "Averages of data and rates", "trials:averages"),
        (45, "truth", "Rates against the truth", "Rates beside the rates that made the data", "trials:truth"),
        (50, "factors", "Factor trajectories", "Principal components of the factors", "latents:factors"),
        (60, "initial", "Initial conditions", "Principal components of initial conditions", "latents:initial_conditions"),
        (70, "inputs", "Inferred inputs", "Inputs over the trial and around events", "latents:inputs"),
        (80, "decoding", "Decoding of behaviour", "Behaviour beside what rates say of it", "behaviour:decoding"),
        (88, "figures", "Figures of plugins", "What other reports draw", "figures:figures"),
        (90, "settings", "Settings and versions", "Settings and versions of packages", "origin:settings"),
        (100, "outputs", "What the outputs mean", "Arrays of the output file in words", "origin:outputs"),
    ):
        yield ReportSectionSpec(name=name, summary=summary, title=title, draw=f"{_REPORT}.{draw}", place=place)


@hookimpl
def lfads_doctor_checks() -> Iterator[DoctorCheckSpec]:
    """Packages that read raw recordings."""
    yield DoctorCheckSpec(name="recordings", summary="what reads raw recordings", check="lfads_plugins_lab.recordings.doctor:packages")
