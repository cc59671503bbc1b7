"""Making the folders and settings of a collection's runs; doing it again changes nothing."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from attrs import evolve, frozen

from lfads_core.config.fields import AUTO
from lfads_core.config.schema import RunConfig
from lfads_core.config.yaml_io import dump
from lfads_core.data.read import session_name
from lfads_core.errors import RunError
from lfads_core.files import read_json, spoken_failure, write_json, write_text
from lfads_core.plugins.registry import Registry
from lfads_core.plugins.specs import DataReaderSpec
from lfads_plugins_tune.collection.folder import CollectedRun, Collection, Record
from lfads_plugins_tune.collection.names import told_apart
from lfads_plugins_tune.collection.plan import Plan, Planned, make_plan
from lfads_plugins_tune.collection.recordings import Recordings, data_hash
from lfads_plugins_tune.collection.spec import read_spec
from lfads_plugins_tune.mlflow.settings import TrackConfig, track_of


@frozen(kw_only=True)
class Prepared:
    """What came of preparing."""

    made: Sequence[str]  # new runs
    kept: Sequence[str]  # runs that were there already
    former: Sequence[str]  # runs that the file does not ask for any more
    notes: Sequence[str]  # what a user should know, one sentence each


@dataclass(frozen=True, kw_only=True)
class _Placed:
    entry: CollectedRun
    planned: Planned
    known: Record | None = None  # of a run that is there already
    note: str = ""

    @property
    def new(self) -> bool:
        """Whether the run is still to be made."""
        return self.known is None


def prepare(collection: Collection, registry: Registry) -> Prepared:
    """Make what is missing: a folder with settings and a record for each run that the collection's file asks for.

    A run that is there with the same settings and data is kept, whatever its folder is called; one of the same name with others is
    left as it is, and a new one made beside it.

    Raises:
        ConfigError, DataError: the file or the recordings do not do; nothing was changed.
        RunError: a folder cannot be written.
    """
    content = collection.spec_path.read_bytes() if collection.spec_path.is_file() else b""
    plan = make_plan(read_spec(collection.spec_path, registry), Recordings(collection.memory_path, registry.all(DataReaderSpec)), registry)
    there = {entry.name: entry.record() for entry in collection.all()}
    placed = _place(collection, plan, there)
    texts = {id(setup): dump(_tracked(setup.config, collection)) for setup in {id(run.setup): run.setup for run in plan.runs}.values()}
    for place in placed:
        _write(place, texts[id(place.planned.setup)], collection)
    names = [place.entry.name for place in placed]
    _write_plan(collection, {"file": hashlib.sha256(content).hexdigest(), "runs": names})
    notes = [place.note for place in placed if place.note]
    notes += [_too_few(recording.name, recording.facts.trials["train"]) for recording in plan.left_out]
    notes += _batches(plan)
    return Prepared(
        made=[place.entry.name for place in placed if place.new],
        kept=[place.entry.name for place in placed if not place.new],
        former=[name for name in there if name not in names],
        notes=notes,
    )


def is_current(collection: Collection) -> bool:
    """Whether the collection's file is the one that was prepared last."""
    try:
        known = read_json(collection.plan_path)
    except RunError:
        return False
    return bool(known.get("file") == hashlib.sha256(collection.spec_path.read_bytes()).hexdigest())


def _place(collection: Collection, plan: Plan, there: dict[str, Record]) -> list[_Placed]:
    """Find the folder of each run: that of the same identity, else the free one of its name, else one told apart by its hashes."""
    known = {record.identity: name for name, record in there.items()}
    taken = {name.casefold(): name for name in there}
    placed = []
    for planned in plan.runs:
        if planned.identity in known:
            name = known[planned.identity]
            placed.append(_Placed(entry=collection.entry(name), planned=planned, known=there[name]))
            continue
        name, note = planned.name, ""
        if (other := taken.get(name.casefold())) is not None:
            name = told_apart(planned.name, *planned.identity)
            note = _changed(other, there.get(other), planned, name)
        if name.casefold() in taken or _is_foreign(collection.entry(name)):
            raise RunError(f"{collection.entry(name).run.path}: must be free for a run of this collection, but is taken. Move it away.")
        taken[name.casefold()] = name
        placed.append(_Placed(entry=collection.entry(name), planned=planned, note=note))
    return placed


def _is_foreign(entry: CollectedRun) -> bool:
    """Whether there is a run that no collection made."""
    return entry.has_begun


def _changed(name: str, record: Record | None, planned: Planned, beside: str) -> str:
    """Say why a run cannot stay what it was."""
    if record is None:  # two runs of this very plan, whose long names were cut alike
        return ""
    settings, data = planned.identity
    what = [word for word, differs in (("settings", record.settings_hash != settings), ("data", record.data_hash != data)) if differs]
    return f"{name}: its {' and '.join(what)} changed since it was prepared; it stays as it is, and {beside} is the run of today"


def _write(place: _Placed, text: str, collection: Collection) -> None:
    entry, planned = place.entry, place.planned
    with spoken_failure(entry.run.path):
        entry.run.path.mkdir(parents=True, exist_ok=True)
    if not entry.has_begun and (not entry.run.config_path.exists() or entry.run.config_path.read_bytes() != text.encode()):
        write_text(entry.run.config_path, text)
    record = _record(planned, collection)
    if place.new or place.known != record:  # last, because a folder without it is no run yet
        entry.write_record(record)


def _tracked(config: RunConfig, collection: Collection) -> RunConfig:
    """In MLflow the runs stand together under the collection's name, unless the settings say otherwise."""
    track = track_of(config)
    return config if track.experiment != TrackConfig().experiment else evolve(config, track=evolve(track, experiment=collection.name))  # type: ignore[call-arg]  # a group of this package, not of core


def _record(planned: Planned, collection: Collection) -> Record:
    setup, dataset = planned.setup, planned.dataset
    home = collection.path.resolve()
    return Record(
        dataset=dataset.name,
        variant=setup.variant,
        varied=dict(setup.varied),
        files=[os.path.relpath(recording.path.resolve(), home) for recording in dataset.recordings],
        search=setup.search,
        executor=setup.executor,
        settings_hash=setup.hash,
        data_hash=dataset.hash,
        differences=setup.differences,
    )


def _write_plan(collection: Collection, plan: dict[str, Any]) -> None:
    text = json.dumps(plan, indent=2) + "\n"
    if not collection.plan_path.exists() or collection.plan_path.read_bytes() != text.encode():
        write_json(collection.plan_path, plan)


def _too_few(name: str, trials: int) -> str:
    return f"{name}: left out, for it has only {trials} training trials (data.min_trials)"


def _batches(plan: Plan) -> list[str]:
    """Runs whose batches cannot be filled, said once for each dataset."""
    found: dict[str, str] = {}
    for run in plan.runs:
        trials = sum(recording.facts.trials["train"] for recording in run.dataset.recordings)
        size = run.setup.config.data.batch_size
        if size != AUTO and trials < size:
            text = f"{run.dataset.name}: data.batch_size must not be larger than its {trials} training trials, got {size}; such runs will fail"
            found.setdefault(run.dataset.name, text)
    return list(found.values())


def data_of(entry: CollectedRun, collection: Collection, registry: Registry) -> list[Path]:
    """The run's recordings, which must still be those it was prepared for.

    Raises:
        DataError: one is gone.
        RunError: one has changed.
    """
    record = entry.record()
    recordings = Recordings(collection.memory_path, registry.all(DataReaderSpec))
    files = [(collection.path / file).resolve() for file in record.files]
    found = [recordings.look(session_name(file), file) for file in files]
    if (got := data_hash(found)) != record.data_hash:
        raise RunError(
            f"{entry.run.path}: the data must be those the run was prepared for ({record.data_hash}), but have changed ({got}). "
            f"Run `lfads collection prepare {collection.path}`, which makes a new run beside this one."
        )
    return files
