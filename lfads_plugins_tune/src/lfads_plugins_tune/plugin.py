"""What lfads-plugins-tune offers. Importing this module loads neither torch nor Ray nor MLflow."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from lfads_core.plugins.hookspecs import hookimpl
from lfads_core.plugins.specs import CommandSpec, DoctorCheckSpec, FunctionSpec, ReportSectionSpec, SettingsSpec, TrackerSpec
from lfads_plugins_tune.mlflow.settings import TrackConfig
from lfads_plugins_tune.search.settings_class import SearchConfig
from lfads_plugins_tune.specs import ExecutorSpec, SearchSpec

if TYPE_CHECKING:
    from lfads_core.runs import Run

_CLI = "lfads_plugins_tune.cli"
_EXECUTORS = "lfads_plugins_tune.executors"
_ALGORITHMS = "lfads_plugins_tune.search.algorithms"


@hookimpl
def lfads_settings() -> Iterator[SettingsSpec]:
    """Where runs are recorded, and how hyperparameters are searched."""
    yield SettingsSpec(name="track", summary="tracking", config=TrackConfig, changes_results=False)
    yield SettingsSpec(name="search", summary="hyperparameter search; only `lfads search` reads it", config=SearchConfig, optional=True)


@hookimpl
def lfads_trackers() -> Iterator[TrackerSpec]:
    """MLflow and TensorBoard."""
    yield TrackerSpec(
        name="mlflow", summary="MLflow: compare runs in its pages", open="lfads_plugins_tune.mlflow.tracker:open_tracker", members=False
    )
    yield TrackerSpec(name="tensorboard", summary="TensorBoard: curves as event files", open="lfads_plugins_tune.trials.tensorboard:open_tracker")


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
def lfads_functions() -> Iterator[FunctionSpec]:
    """Searches in Python."""
    for name, (summary, call) in {
        "search": ("Search hyperparameters", "search"),
        "search-resume": ("Go on with a search", "resume"),
        "search-table": ("Members as a table", "table"),
        "search-headline": ("How a search stands", "headline"),
        "search-figure": ("One figure of a search", "figure"),
    }.items():
        yield FunctionSpec(name=name, summary=summary, call=f"lfads_plugins_tune.front:{call}")


@hookimpl
def lfads_hooks() -> Iterator[ModuleType]:
    """Hooks of searches."""
    from lfads_plugins_tune import hookspecs

    yield hookspecs


@hookimpl
def lfads_executors() -> Iterator[ExecutorSpec]:
    """Members one after another, as one batched model, or on Ray."""
    yield ExecutorSpec(name="serial", summary="members one after another, in this process", build=f"{_EXECUTORS}.serial:SerialExecutor")
    yield ExecutorSpec(
        name="batched", summary="members as one vectorised model, in this process", build=f"{_EXECUTORS}.batched:BatchedExecutor", takes=("workers",)
    )
    yield ExecutorSpec(
        name="ray",
        summary="members on a Ray cluster, or on all cores of this machine",
        build=f"{_EXECUTORS}.ray:RayExecutor",
        takes=("address", "storage", "workers", "cpus", "gpus"),
    )


@hookimpl
def lfads_searches() -> Iterator[SearchSpec]:
    """Random search, grid, successive halving, TPE, population-based training."""
    yield SearchSpec(
        name="random",
        summary="Draw every model's hyperparameters at random.",
        build=f"{_ALGORITHMS}:RandomSearch",
        help="""Train models whose hyperparameters are drawn at random; the best is copied out and inferred.

        DATA and CONFIG.yaml are those of `lfads run`. What settings and components suggest is searched, and each --space.

        \b
          lfads search random data.h5 --members 20 --epochs 300 --space model.generator.factors=int:8:60""",
    )
    yield SearchSpec(
        name="grid",
        summary="Train one model for every combination of values.",
        build=f"{_ALGORITHMS}:GridSearch",
        lists=True,
        help="""Train one model for every combination of the values that --space lists.

        \b
          lfads search grid data.h5 --space model.generator.factors=choice:8,16,32 --space optim.lr=choice:2e-3,4e-3""",
    )
    yield SearchSpec(
        name="sha",
        summary="Successive halving: draw at random, train the best part on.",
        build=f"{_ALGORITHMS}:successive_halving",
        schedule="lfads_plugins_tune.search.ask_tell:one_round",
        help="""Train models whose hyperparameters are drawn at random; at each rung, of search.reduction times as many epochs as the one before,
        one of search.reduction trains on.

        \b
          lfads search sha data.h5 --members 27 --epochs 900""",
    )
    yield SearchSpec(
        name="tpe",
        summary="Ask Optuna's TPE for hyperparameters, round by round.",
        build="lfads_plugins_tune.search.tpe:build",
        schedule="lfads_plugins_tune.search.ask_tell:rounds",
        help="""Ask a tree-structured Parzen estimator for search.batch models at a time, and tell it how good they were, until there were --members.
        At each rung of a round one of search.reduction trains on. Needs Optuna.

        \b
          lfads search tpe data.h5 --members 40 --epochs 300 --set search.batch=8""",
    )
    yield SearchSpec(
        name="pbt",
        summary="Population-based training: the worse go on from the better.",
        build=f"{_ALGORITHMS}:PopulationBasedTraining",
        compares=True,
        # A population's learning rates are moved by its decisions alone, and its members stop together.
        defaults={"optim": {"decay": 1.0, "min_lr": 0.0}, "train": {"early_stopping": None}},
        help="""Train a population of models; after every generation the worse go on from the better, with their hyperparameters moved a little.

        DATA and CONFIG.yaml are those of `lfads run`. What settings and components suggest is searched, and each --space.

        \b
          lfads search pbt data.h5
          lfads search pbt data.h5 --members 32 --space optim.lr=log:1e-4:1e-2:init=4e-3 --space model.dropout=null""",
    )


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
def lfads_run_evaluated(run: Run, numbers: Mapping[str, float], files: Sequence[Path]) -> None:
    """Add the scores to the run's record in MLflow, if it has one."""
    from lfads_plugins_tune.mlflow.tracker import record_evaluation

    record_evaluation(run, numbers, files)
