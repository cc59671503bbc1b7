"""Settings of where runs are recorded for other tools: MLflow, TensorBoard, Ray Tune."""

from __future__ import annotations

from typing import Literal

from attrs import frozen

from lfads_core.config.fields import one_of, setting
from lfads_core.config.schema import RunConfig

Artifacts = Literal["all", "light", "none"]


@frozen(kw_only=True)
class TrackConfig:
    """Where the run is recorded beside its own folder."""

    mlflow: bool = setting(True, "log to MLflow when it is installed")
    experiment: str = setting("lfads", "MLflow experiment")
    artifacts: Artifacts = setting(
        "all", "files to be shown there: all, all but checkpoints and outputs (light), or none", rule=one_of("all", "light", "none")
    )
    tensorboard: bool = setting(False, "write TensorBoard event files into the run's folder, of a search into each member's")
    tune: bool | None = setting(None, "write a search's members as trials that Ray Tune's tools open (null: when Ray trains them)")
    tune_callbacks: tuple[str, ...] = setting((), "callbacks made for Ray Tune that a search calls, each as module:Class")


def track_of(config: RunConfig) -> TrackConfig:
    """The group ``track`` of a run's settings, or its defaults."""
    return config.group(TrackConfig) or TrackConfig()
