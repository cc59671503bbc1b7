"""``lf.run`` and ``lf.load``: a trained model from recordings, or from its folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Unpack

from lfads_core.config.load import resolve
from lfads_core.front.brought import as_files, as_names, as_one, as_overrides, as_path, check_options
from lfads_core.front.recording import Recordings
from lfads_core.front.trained import TrainedRun, as_trained
from lfads_core.front.training import RunOptions, Settings, name_of, place_of, watched, with_folder
from lfads_core.front.words import said_in_python
from lfads_core.infer.loading import load as load_run
from lfads_core.pipeline.run import start_run
from lfads_core.plugins import Registry, load_registry, registry_of
from lfads_core.runs import Run, run_or_best
from lfads_core.train.device import choose_device


@said_in_python
def run(
    recording: Recordings,
    *,
    plugin: str | Sequence[str] = (),
    settings: Settings | None = None,
    hold_out: float | None = None,
    epochs: int | None = None,
    minutes: float | None = None,
    plugins: Sequence[object] = (),
    **options: Unpack[RunOptions],
) -> TrainedRun:
    """Train a model on recordings, then infer their rates: ``lfads run`` in Python.

    ``plugin`` is a recipe or component by name, ``plugins`` are some that are no package: modules or objects with hooks, records, classes of
    components. ``hold_out`` is the share of channels to predict unseen, ``epochs`` and ``minutes`` the most that training takes. Several
    recordings share one model. A recording that is only in memory is kept in the run's folder. Ctrl-C, or interrupting the kernel, ends the
    training; everything is saved, and the run so far is returned.

    Raises:
        ConfigError, DataError, PluginError: the settings or the data do not do; nothing was written.
        NumericsError: the loss stopped being a number; the last good state stays on disk.
    """
    given = check_options(options, RunOptions, "lf.run")
    registry = load_registry().with_plugins(plugins)
    overrides = as_overrides(settings, data__hold_out__fraction=hold_out, train__epochs=epochs, train__minutes=minutes)
    config = resolve(as_files("config", given.get("config", ())), as_names("plugin", plugin), overrides, registry, said="settings")
    with with_folder(*place_of(given, name_of(recording)), recording) as (folder, data):
        return as_trained(
            watched(Run(folder), lambda display: start_run(folder, data, config, registry, display), registry, progress=given.get("progress", True))
        )


@said_in_python
def load(
    path: str | Path,
    checkpoint: str | None = None,
    *,
    device: str = "cpu",
    plugins: Sequence[object] = (),
    registry: Registry | None = None,
) -> TrainedRun:
    """Open a trained run by its folder, or a search by that of its best model.

    ``checkpoint`` is ``best``, ``last`` or an epoch that was kept, ``epoch-12``; None takes the one the run's settings name. ``device`` is ``cpu``,
    ``cuda``, ``mps`` or ``auto``.

    Raises:
        RunError: the folder is no run, or its checkpoint is missing or damaged.
        ConfigError: its settings cannot be read by this version, or there is no such device here.
        PluginError: a component's package is not installed; give it in ``plugins`` if it is none.
    """
    checkpoint = None if checkpoint is None else as_one("checkpoint", str, checkpoint)
    folder = run_or_best(as_path("path", path))
    registry = (registry or registry_of(folder)).with_plugins(plugins)
    return as_trained(load_run(folder, checkpoint, device=choose_device(as_one("device", str, device)), registry=registry))
