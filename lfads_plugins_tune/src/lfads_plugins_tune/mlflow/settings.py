"""Settings of the record in MLflow."""

from __future__ import annotations

from attrs import frozen

from lfads_core.config.fields import setting
from lfads_core.config.schema import RunConfig


@frozen(kw_only=True)
class TrackConfig:
    """Where the run is recorded beside its own folder."""

    mlflow: bool = setting(True, "log to MLflow when it is installed")
    experiment: str = setting("lfads", "MLflow experiment")


def track_of(config: RunConfig) -> TrackConfig:
    """The group ``track`` of a run's settings, or its defaults."""
    return config.group(TrackConfig) or TrackConfig()
