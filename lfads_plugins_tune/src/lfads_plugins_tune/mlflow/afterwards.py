"""Numbers and files that are found out about a run after it has ended, written to its MLflow run if it has one."""

from __future__ import annotations

import importlib.util
import logging
import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from lfads_core.config.flat import Names
from lfads_core.config.schema import RunConfig
from lfads_core.errors import RunError
from lfads_core.runs import Run
from lfads_plugins_tune.mlflow.process import place_for
from lfads_plugins_tune.mlflow.settings import track_of
from lfads_plugins_tune.mlflow.store import Store, StoreError

log = logging.getLogger(__name__)

_WAIT = 5.0
_PER_CALL = 500


def record_afterwards(run: Run, config: RunConfig, numbers: Mapping[str, float], files: Sequence[Path]) -> bool:
    """Add metrics (at the run's last epoch) and files to the MLflow run that ``run.json`` knows; whether that was done.

    Never raises: what goes wrong is one warning. A run that was never tracked, or whose store is gone, is left alone.
    """
    try:
        state = run.read_state()
        key = state.get("mlflow_key")
        if not isinstance(key, str) or importlib.util.find_spec("mlflow") is None:
            return False
        place = place_for(run.path.resolve().parent, track_of(config).experiment)
        if place.folder is not None:
            store = Store(Path(place.folder))
            if not store.exists:
                return False
            store.check(_WAIT)
        return _write(place.uri, place.experiment, key, _points(numbers), int(state.get("epochs") or 0), files)
    except Exception as err:  # noqa: BLE001 - a record costs nobody the numbers themselves
        reason = str(err) if isinstance(err, StoreError | RunError) else f"{type(err).__name__}: {err}"
        log.warning("MLflow: the evaluation could not be added (%s); evaluation.json has it.", reason.splitlines()[0])
        return False


def _points(numbers: Mapping[str, float]) -> dict[str, float]:
    names = Names()
    return {names[name]: value for name, value in numbers.items() if math.isfinite(value)}


def _write(uri: str, experiment: str, key: str, numbers: Mapping[str, float], epoch: int, files: Sequence[Path]) -> bool:
    from lfads_plugins_tune.mlflow.client import Client, Point

    client = Client(uri)
    known = client.find(client.experiment(experiment, None), key)
    if known is None:
        return False
    now = time.time_ns() // 1_000_000
    points = [Point(name, value, now, epoch) for name, value in numbers.items()]
    for start in range(0, len(points), _PER_CALL):
        client.metrics(known.run_id, points[start : start + _PER_CALL])
    for path in files:
        client.files(known.run_id, path)
    return True
