"""What lfads-plugins-lab offers. Importing this module loads neither torch nor scipy."""

from __future__ import annotations

from collections.abc import Iterator

from lfads_core.plugins.hookspecs import hookimpl
from lfads_core.plugins.specs import CommandSpec, DoctorCheckSpec, ExporterSpec

_CLI = "lfads_plugins_lab.cli"


@hookimpl
def lfads_commands() -> Iterator[CommandSpec]:
    """Before training and after it."""
    for name, (summary, command) in {
        "data make": ("Make files for training from raw recordings.", "make:make"),
        "data chop": ("Chop continuous recordings into windows, which may overlap.", "make:chop"),
        "data merge": ("Put the splits of a recording, or of a run's outputs, together again.", "change:merge"),
        "data rebin": ("Make the bins of a recording wider; signals beside the data are averaged.", "change:rebin"),
        "data smooth": ("Smooth a recording by a Gaussian, trial by trial.", "change:smooth"),
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
def lfads_exporters() -> Iterator[ExporterSpec]:
    """The page of a run."""
    yield ExporterSpec(name="page", summary="One HTML page on a run", write="lfads_plugins_lab.report.page:export_page")


@hookimpl
def lfads_doctor_checks() -> Iterator[DoctorCheckSpec]:
    """Packages that read raw recordings."""
    yield DoctorCheckSpec(name="recordings", summary="what reads raw recordings", check="lfads_plugins_lab.recordings.doctor:packages")
