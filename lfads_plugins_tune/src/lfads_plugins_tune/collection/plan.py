"""From a collection's file to the runs it asks for: every dataset with every variant and every combination of varied values."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from lfads_core.config.differences import differences, is_elsewhere, settings_hash
from lfads_core.config.faults import Origin, SettingsFault, origin_of, refuse
from lfads_core.config.load import resolve
from lfads_core.config.schema import RunConfig
from lfads_core.config.structure import unstructure
from lfads_core.data.read import name_files
from lfads_core.errors import ConfigError, DataError
from lfads_core.files import expanded
from lfads_core.plugins.registry import Registry
from lfads_core.wording import listed, near
from lfads_plugins_tune.collection.names import run_name, safe
from lfads_plugins_tune.collection.recordings import CollectedRecording, Recordings, data_hash
from lfads_plugins_tune.collection.spec import Described, VariantSpec
from lfads_plugins_tune.search.settings import defaults_of


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """What one model is trained on."""

    name: str
    recordings: tuple[CollectedRecording, ...]

    @property
    def hash(self) -> str:
        """Hash of the sessions' names and contents."""
        return data_hash(self.recordings)


@dataclass(frozen=True, kw_only=True)
class Setup:
    """One way of setting things: a variant with one combination of varied values."""

    variant: str  # "" without variants
    varied: Mapping[str, Any]  # by the path of the setting
    config: RunConfig
    search: str | None  # None: a single run
    executor: str | None
    datasets: tuple[str, ...] | None  # None: all

    @cached_property
    def differences(self) -> dict[str, Any]:
        """What differs from the defaults, of what counts: for a single run no setting of a search, for a search its kind."""
        found = differences(self.config)
        if self.search is None:
            return {group: settings for group, settings in found.items() if group != "search"}
        return {**found, "kind": self.search}

    @cached_property
    def hash(self) -> str:
        """Hash of the differences; what trains the models of a search does not count."""
        return settings_hash(self.differences)


@dataclass(frozen=True, kw_only=True)
class Planned:
    """A run that the file asks for. ``name`` is what its folder is called if that is free."""

    name: str
    dataset: Dataset
    setup: Setup

    @property
    def identity(self) -> tuple[str, str]:
        """What makes it this run and no other: the hashes of settings and data."""
        return self.setup.hash, self.dataset.hash


@dataclass(frozen=True, kw_only=True)
class Plan:
    """All runs in order, and the recordings that were left out for having too few trials."""

    runs: tuple[Planned, ...]
    datasets: tuple[Dataset, ...]
    left_out: tuple[CollectedRecording, ...]


def make_plan(described: Described, recordings: Recordings, registry: Registry) -> Plan:
    """Work out every run, in the order of the file: datasets first, then variants, then varied values.

    Raises:
        ConfigError: settings that cannot be used, names that are not there, two runs with the same settings.
        DataError: recordings that are missing or cannot be read, one line each.
    """
    datasets, left_out = find_datasets(described, recordings)
    setups = list(find_setups(described, registry))
    names = [dataset.name for dataset in datasets]
    runs: dict[tuple[str, str], Planned] = {}
    for dataset in datasets:
        for setup in setups:
            if setup.datasets is not None and dataset.name not in setup.datasets:
                continue
            planned = Planned(name=run_name(dataset.name, setup.variant, setup.varied), dataset=dataset, setup=setup)
            twin = runs.setdefault(planned.identity, planned)
            if twin is not planned:
                what = f"{planned.name} and {twin.name}"
                raise ConfigError(f"{described.path}: every run must differ from the others in settings or data, but {what} do not. Take one out.")
    for name, variant in described.spec.variants.items():
        _check_names(described, name, variant, [*names, *(recording.name for recording in left_out)])
    return Plan(runs=tuple(runs.values()), datasets=tuple(datasets), left_out=tuple(left_out))


def find_datasets(described: Described, recordings: Recordings) -> tuple[list[Dataset], list[CollectedRecording]]:
    """Read every recording that the file names; second, those that have fewer trials than it asks for.

    Raises:
        DataError: nothing is named, or recordings cannot be read, one line each.
    """
    spec, folder = described.spec.data, described.path.parent
    if not spec.each and not spec.together:
        raise DataError(f"{described.path}: data: must name at least one recording under 'each' or 'together', got none. Give files or patterns.")
    groups: list[tuple[str | None, Sequence[str]]] = [*(((None, spec.each),) if spec.each else ()), *spec.together.items()]
    datasets: list[Dataset] = []
    left_out: list[CollectedRecording] = []
    faults: list[str] = []
    for name, patterns in groups:
        found: list[CollectedRecording] = []
        try:
            named = name_files([folder / expanded(pattern) for pattern in patterns], recordings.readers)
        except DataError as err:
            faults.append(str(err))
            continue
        for session, path in sorted(named.items()):
            try:
                found.append(recordings.look(session, path))
            except DataError as err:
                faults.append(str(err))
        enough = [recording for recording in found if recording.facts.trials["train"] >= (spec.min_trials or 0)]
        left_out += [recording for recording in found if recording not in enough]
        if name is None:
            datasets += [Dataset(name=recording.name, recordings=(recording,)) for recording in enough]
        elif enough:
            datasets.append(Dataset(name=name, recordings=tuple(enough)))
    faults += _clashes(described, datasets)
    if faults:
        raise DataError("\n".join(faults))
    recordings.keep()
    return datasets, list({recording.path.resolve(): recording for recording in left_out}.values())


def find_setups(described: Described, registry: Registry) -> Iterator[Setup]:
    """Every combination of variants and varied values, each with its settings resolved.

    Raises:
        ConfigError: with every fault of one combination.
    """
    spec = described.spec
    for name, variant in spec.variants.items() or (("", VariantSpec()),):
        ways = [("settings",), *([("variants", name, "settings")] if name else [])]
        layers = [described.layer(*way) for way in ways]
        vary = {**spec.vary, **variant.vary}
        _check_vary(described, vary, ("variants", name, "vary") if name and variant.vary else ("vary",), registry)
        for values in itertools.product(*vary.values()):
            overrides = [f"{path}={json.dumps(value)}" for path, value in zip(vary, values, strict=True)]
            said = f"{described.path}: vary"
            kind = variant.search or spec.search
            defaults = defaults_of(kind, registry) if kind is not None else None
            config = resolve(layers, (*spec.plugins, *variant.plugins), overrides, registry, said=said, defaults=defaults)
            varied = {path: _settled(config, path, value) for path, value in zip(vary, values, strict=True)}
            executor = variant.executor or spec.executor
            yield Setup(variant=name, varied=varied, config=config, search=kind, executor=executor, datasets=variant.datasets)


def _check_vary(described: Described, vary: Mapping[str, Sequence[Any]], way: tuple[str, ...], registry: Registry) -> None:
    faults = []
    for path, values in vary.items():
        origin = origin_of((*way, path), described.origins) or Origin(str(described.path))
        if not values:
            faults.append(SettingsFault((*way, path), "must have at least one value, got an empty list", origin))
        if is_elsewhere(path, registry):
            faults.append(
                SettingsFault((*way, path), "must change what is computed, but this says only where it is computed or recorded. Take it out", origin)
            )
    refuse(faults)


def _check_names(described: Described, variant: str, spec: VariantSpec, known: Sequence[str]) -> None:
    faults = []
    for i, name in enumerate(spec.datasets or ()):
        if name not in known:
            likely = near(name, known)
            hint = f"Did you mean {listed(likely)}?" if likely else f"There are: {', '.join(known) or 'none'}"
            path = ("variants", variant, "datasets", i)
            faults.append(SettingsFault(path, f"must be the name of a dataset, got {name!r}. {hint}", origin_of(path, described.origins)))
    refuse(faults)


def _clashes(described: Described, datasets: Sequence[Dataset]) -> Iterator[str]:
    """Datasets whose folders some file systems could not tell apart."""
    seen: dict[str, Dataset] = {}
    for dataset in datasets:
        other = seen.setdefault(safe(dataset.name).casefold(), dataset)
        if other is not dataset:
            yield f"{described.path}: data: every dataset must have a name of its own, got {other.name!r} and {dataset.name!r}. Rename one."


def _settled(config: RunConfig, path: str, value: Any) -> Any:
    """The value as it was understood, so that ``1e-3`` and ``0.001`` give one name; groups and components stay as written."""
    found = unstructure(config)
    for step in path.split("."):
        try:
            found = found[int(step)] if isinstance(found, list) else found[step]
        except (KeyError, IndexError, TypeError, ValueError):
            return value
    return value if isinstance(found, dict | list) else found
