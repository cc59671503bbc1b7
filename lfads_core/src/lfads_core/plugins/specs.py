"""What a plugin hands over: frozen, checked records that are cheap to import.

A record names a component, says in one line what it is, gives the attrs class that holds its settings, and a
``build`` function. Torch is imported inside ``build``, never by the module that declares the record.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
from attrs import field, frozen
from attrs import validators as v

from lfads_core.plugins.citations import citation_key

if TYPE_CHECKING:
    import numpy as np

    from lfads_core.components import (
        AbstractAugmentation,
        AbstractPrior,
        AbstractReadin,
        AbstractReadout,
        AbstractReconstruction,
        SessionInfo,
    )
    from lfads_core.data.checks import Problem
    from lfads_core.data.session import Session
    from lfads_core.metrics.evaluation import Evaluation
    from lfads_core.runs import Run

_SLUG = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")


def _is_slug(_instance: object, attribute: attrs.Attribute[str], value: str) -> None:
    if not isinstance(value, str) or not _SLUG.fullmatch(value):
        raise ValueError(f"'{attribute.name}' must be lower-case words joined by '-', such as 'my-prior', got {value!r}")


def _is_attrs_class(_instance: object, attribute: attrs.Attribute[type], value: type) -> None:
    if not (isinstance(value, type) and attrs.has(value)):
        raise ValueError(f"'{attribute.name}' must be an attrs class that holds the component's settings, got {value!r}")


def _name() -> Any:
    return field(validator=_is_slug)


def _summary() -> Any:
    return field(validator=v.and_(v.instance_of(str), v.min_len(1)))


def _settings() -> Any:
    return field(validator=_is_attrs_class)


def _are_citations(_instance: object, attribute: attrs.Attribute[Any], value: tuple[str, ...]) -> None:
    for cite in value:
        try:
            citation_key(cite)
        except ValueError as err:
            raise ValueError(f"'{attribute.name}': {err}") from err


def _cites() -> Any:
    """BibTeX keys of core's ``citations.bib``, or whole entries (``"@article{doe2025, ...}"``), mixed as needed."""
    return field(default=(), converter=tuple, validator=v.and_(v.deep_iterable(v.instance_of(str)), _are_citations))


@frozen(kw_only=True)
class NoSettings:
    """For components that have nothing to set."""


@frozen(kw_only=True)
class PriorSpec:
    """One entry of ``lfads_priors``: a prior over initial conditions or inferred inputs."""

    name: str = _name()
    summary: str = _summary()
    config: type = _settings()
    build: Callable[[Any, int], AbstractPrior] = field(validator=v.is_callable())  # (settings, dimensions)
    cites: tuple[str, ...] = _cites()


@frozen(kw_only=True)
class ReconstructionSpec:
    """One entry of ``lfads_reconstructions``: how factors become a distribution over the data.

    ``inspect(session)`` says what only this reconstruction knows to be wrong with data, beyond its ``support``. Its texts
    begin with the key of the array, such as ``'train_recon_data'``; the file is named for it. It must not change the session.
    """

    name: str = _name()
    summary: str = _summary()
    config: type = _settings()
    build: Callable[[Any, int], AbstractReconstruction] = field(validator=v.is_callable())  # (settings, channels)
    inspect: Callable[[Session], Iterable[Problem]] | None = field(default=None, validator=v.optional(v.is_callable()))
    cites: tuple[str, ...] = _cites()


@frozen(kw_only=True)
class AugmentationSpec:
    """One entry of ``lfads_augmentations``: a change to batches, and what it does to the loss."""

    name: str = _name()
    summary: str = _summary()
    config: type = _settings()
    build: Callable[[Any], AbstractAugmentation] = field(validator=v.is_callable())  # (settings)
    cites: tuple[str, ...] = _cites()


@frozen(kw_only=True)
class ReadinSpec:
    """One entry of ``lfads_readins``: how a session's channels reach the shared encoders."""

    name: str = _name()
    summary: str = _summary()
    config: type = _settings()
    build: Callable[[Any, SessionInfo], AbstractReadin] = field(validator=v.is_callable())  # (settings, session)
    cites: tuple[str, ...] = _cites()


@frozen(kw_only=True)
class ReadoutSpec:
    """One entry of ``lfads_readouts``: how factors reach a session's channels."""

    name: str = _name()
    summary: str = _summary()
    config: type = _settings()
    build: Callable[[Any, SessionInfo], AbstractReadout] = field(validator=v.is_callable())  # (settings, session)
    cites: tuple[str, ...] = _cites()


@frozen(kw_only=True)
class RecipeSpec:
    """One entry of ``lfads_recipes``: a named bundle of settings, picked with ``--plugin NAME``.

    ``settings`` is nested like a config file; the user's own file and ``--set`` win over it.
    """

    name: str = _name()
    summary: str = _summary()
    settings: Mapping[str, Any] = field(validator=v.instance_of(Mapping))
    cites: tuple[str, ...] = _cites()


@frozen(kw_only=True)
class SyntheticSpec:
    """One entry of ``lfads_synthetics``: data whose rates are known.

    ``generate(settings, rng)`` returns the arrays of one HDF5 file, keys as in the data layout, and may hold
    ``bin_ms`` (a float) among them; or, for several sessions, such arrays for each session by its name.
    """

    name: str = _name()
    summary: str = _summary()
    config: type = _settings()
    generate: Callable[[Any, np.random.Generator], Mapping[str, Any]] = field(validator=v.is_callable())
    cites: tuple[str, ...] = _cites()


@frozen(kw_only=True)
class DataReaderSpec:
    """One entry of ``lfads_data_readers``: a file format other than the HDF5 layout.

    ``matches(path)`` says quickly, without reading the file, whether this reader takes it.
    """

    name: str = _name()
    summary: str = _summary()
    matches: Callable[[Path], bool] = field(validator=v.is_callable())
    read: Callable[[Path], Session] = field(validator=v.is_callable())


@frozen(kw_only=True)
class MetricSpec:
    """One entry of ``lfads_metrics``: numbers computed from predictions and data, by name.

    ``compute`` gets one split of one session and returns its numbers, or nothing where they make no sense.
    """

    name: str = _name()
    summary: str = _summary()
    compute: Callable[[Evaluation], Mapping[str, float]] = field(validator=v.is_callable())
    cites: tuple[str, ...] = _cites()


@frozen(kw_only=True)
class ReportSpec:
    """One entry of ``lfads_reports``: figures drawn from a finished run; ``render`` returns the files it wrote."""

    name: str = _name()
    summary: str = _summary()
    render: Callable[[Run, Path], Iterable[Path]] = field(validator=v.is_callable())
