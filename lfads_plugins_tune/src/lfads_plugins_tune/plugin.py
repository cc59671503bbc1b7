"""What lfads-plugins-tune offers. Importing this module loads neither torch nor Ray nor MLflow."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lfads_core.plugins.hookspecs import hookimpl
from lfads_core.plugins.specs import CommandSpec, DoctorCheckSpec, ReportSectionSpec, SettingsSpec, TrackerSpec
from lfads_plugins_tune.mlflow.settings import TrackConfig
from lfads_plugins_tune.search.settings_class import SearchConfig

if TYPE_CHECKING:
    from lfads_core.config.schema import RunConfig
    from lfads_core.runs import Run

_CLI = "lfads_plugins_tune.cli"


@hookimpl
def lfads_settings() -> Iterator[SettingsSpec]:
    """Where runs are recorded, and how hyperparameters are searched."""
    yield SettingsSpec(name="track", summary="tracking", config=TrackConfig, changes_results=False)
    yield SettingsSpec(name="search", summary="hyperparameter search; only `lfads search` reads it", config=SearchConfig, optional=True)


@hookimpl
def lfads_trackers() -> Iterator[TrackerSpec]:
    """MLflow."""
    yield TrackerSpec(name="mlflow", summary="MLflow: compare runs in its pages", open="lfads_plugins_tune.mlflow.tracker:open_tracker")


@hookimpl
def lfads_commands() -> Iterator[CommandSpec]:
    """Many models: searches, collections, bundles, and their pages."""
    for name, summary in {
        "search": "Search hyperparameters: at random, on a grid, by population-based training.",
        "collection": "Many runs over recordings and settings: prepare, queue, watch, compare.",
        "bundle": "Recordings and settings in, one zip with everything about the best model out.",
        "ui": "Open the runs in MLflow's browser pages.",
    }.items():
        yield CommandSpec(name=name, summary=summary, command=f"{_CLI}.{name}:command")


@hookimpl
def lfads_report_sections() -> Iterator[ReportSectionSpec]:
    """The search that a model won."""
    yield ReportSectionSpec(
        name="search",
        summary="How hyperparameters moved on the way to a model",
        title="Hyperparameters",
        draw="lfads_plugins_tune.figures.section:history",
    )


@hookimpl
def lfads_doctor_checks() -> Iterator[DoctorCheckSpec]:
    """MLflow, its store, and Ray."""
    yield DoctorCheckSpec(name="searches", summary="MLflow and Ray", check="lfads_plugins_tune.mlflow.doctor:packages")
    yield DoctorCheckSpec(name="mlflow-store", summary="whether MLflow's store can be reached", check="lfads_plugins_tune.mlflow.doctor:store")


@hookimpl
def lfads_run_evaluated(run: Run, config: RunConfig, numbers: Mapping[str, float], files: Sequence[Path]) -> None:
    """Add the scores to the run's record in MLflow, if it has one."""
    from lfads_plugins_tune.mlflow.afterwards import record_afterwards

    record_afterwards(run, config, numbers, files)
