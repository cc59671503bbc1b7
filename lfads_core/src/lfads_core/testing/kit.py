"""The conformance kit: one function for each kind of component, to be called from anyone's tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import attrs
from attrs import frozen

from lfads_core.errors import PluginError
from lfads_core.plugins import load_registry
from lfads_core.plugins.citations import citation_key
from lfads_core.plugins.registry import Registry
from lfads_core.plugins.specs import (
    AlignmentSpec,
    AugmentationSpec,
    DataReaderSpec,
    EncoderSpec,
    GeneratorSpec,
    Imported,
    LatentSpec,
    LossSpec,
    MetricSpec,
    PriorSpec,
    ReadinSpec,
    ReadoutSpec,
    RecipeSpec,
    ReconstructionSpec,
    ReportSpec,
    Spec,
    SyntheticSpec,
)
from lfads_core.testing import alignment, augmentation, data, encoder, generator, latent, layers, loss, outcome, prior, recipe, reconstruction
from lfads_core.testing.built import settings_faults
from lfads_core.testing.findings import Law, LawFinding, examine, require


@frozen(kw_only=True)
class Given:
    """What a component is checked with, where its kind has use for it."""

    settings: Any = None  # instance of the spec's config class; None: its defaults
    path: Path | None = None  # a file for a reader to read
    registry: Registry | None = None  # components a recipe may name, types settings may have; None: what is installed


def try_laws(spec: Spec, given: Given | None = None) -> list[LawFinding]:
    """Try every law of a kind on one record, and raise nothing; kinds without laws of their own have those of all."""
    found = _EXAMINERS[type(spec)](spec, Given() if given is None else given) if type(spec) in _EXAMINERS else []
    return [*found, *examine((_IMPORTABLE, _CITED), spec)]


def _uncited(spec: Any) -> Iterator[str]:
    for cite in getattr(spec, "cites", ()):
        if citation_key(cite) == cite and cite not in load_registry().bibliography:
            yield f"no entry has the key {cite!r}. Give the whole BibTeX entry in its place"


def _not_importable(spec: Spec) -> Iterator[str]:
    for field in attrs.fields(type(spec)):
        value = getattr(spec, field.name)
        if isinstance(value, Imported):
            try:
                value.load()
            except PluginError as err:
                yield f"{field.name}: {err}"


_IMPORTABLE: Law[Any] = Law("what it names as 'module:name' can be imported", _not_importable)
_CITED: Law[Any] = Law("every citation has its BibTeX entry", _uncited)


def _built(laws: Sequence[Law[Any]], case: Any, given: Given) -> list[LawFinding]:
    """Laws of a component, below that of all that have settings."""
    law: Law[Any] = Law(
        "settings go round a config file", lambda c: settings_faults(c.spec.config, given.settings, given.registry or _installed()), essential=True
    )
    return examine((law, *laws), case)


@cache
def _installed() -> Registry:
    return Registry.from_installed()


_EXAMINERS: Mapping[type[Spec], Callable[[Any, Given], list[LawFinding]]] = {
    PriorSpec: lambda spec, given: _built(prior.LAWS, prior.PriorCase(spec, given.settings), given),
    ReconstructionSpec: lambda spec, given: _built(reconstruction.LAWS, reconstruction.ReconstructionCase(spec, given.settings), given),
    AugmentationSpec: lambda spec, given: _built(augmentation.LAWS, augmentation.AugmentationCase(spec, given.settings), given),
    ReadinSpec: lambda spec, given: _built(layers.READIN_LAWS, layers.readin_case(spec, given.settings), given),
    ReadoutSpec: lambda spec, given: _built(layers.READOUT_LAWS, layers.readout_case(spec, given.settings), given),
    EncoderSpec: lambda spec, given: _built(encoder.LAWS, encoder.encoder_case(spec, given.settings), given),
    GeneratorSpec: lambda spec, given: _built(generator.LAWS, generator.generator_case(spec, given.settings), given),
    LatentSpec: lambda spec, given: _built(latent.LAWS, latent.latent_case(spec, given.settings), given),
    LossSpec: lambda spec, given: _built(loss.LAWS, loss.LossCase(spec, given.settings), given),
    AlignmentSpec: lambda spec, given: _built(alignment.LAWS, alignment.AlignmentCase(spec, given.settings), given),
    RecipeSpec: lambda spec, given: examine(recipe.LAWS, recipe.recipe_case(spec, given.registry)),
    SyntheticSpec: lambda spec, given: _built(data.SYNTHETIC_LAWS, data.SyntheticCase(spec, given.settings), given),
    DataReaderSpec: lambda spec, given: examine(data.READER_LAWS, data.ReaderCase(spec, given.path)),
    MetricSpec: lambda spec, _given: examine(outcome.METRIC_LAWS, outcome.MetricCase(spec)),
    ReportSpec: lambda spec, _given: examine(outcome.REPORT_LAWS, outcome.ReportCase(spec)),
}


def check(spec: Spec, given: Given | None = None) -> list[LawFinding]:
    """Try every law of a kind on one component; see :func:`check_prior`."""
    return require(f"{spec.kind} {spec.name!r}", try_laws(spec, given))


def check_prior(spec: PriorSpec, settings: Any = None) -> list[LawFinding]:
    """Check a prior, with its default settings or those given; returns what was found out about each law.

    Raises:
        ConformanceError: laws are broken; the message says which, and what was got.
    """
    return check(spec, Given(settings=settings))


def check_reconstruction(spec: ReconstructionSpec, settings: Any = None) -> list[LawFinding]:
    """Check a reconstruction; as :func:`check_prior`."""
    return check(spec, Given(settings=settings))


def check_augmentation(spec: AugmentationSpec, settings: Any = None) -> list[LawFinding]:
    """Check an augmentation, on counts; as :func:`check_prior`."""
    return check(spec, Given(settings=settings))


def check_readin(spec: ReadinSpec, settings: Any = None) -> list[LawFinding]:
    """Check a read-in; as :func:`check_prior`."""
    return check(spec, Given(settings=settings))


def check_readout(spec: ReadoutSpec, settings: Any = None) -> list[LawFinding]:
    """Check a read-out; as :func:`check_prior`."""
    return check(spec, Given(settings=settings))


def check_encoder(spec: EncoderSpec, settings: Any = None) -> list[LawFinding]:
    """Check an encoder, in both directions and, if it can, forwards alone; as :func:`check_prior`."""
    return check(spec, Given(settings=settings))


def check_generator(spec: GeneratorSpec, settings: Any = None) -> list[LawFinding]:
    """Check a generator; as :func:`check_prior`."""
    return check(spec, Given(settings=settings))


def check_latent(spec: LatentSpec, settings: Any = None) -> list[LawFinding]:
    """Check a latent, with its prior; as :func:`check_prior`."""
    return check(spec, Given(settings=settings))


def check_loss(spec: LossSpec, settings: Any = None) -> list[LawFinding]:
    """Check a loss, on trials with an array ``behavior``; as :func:`check_prior`."""
    return check(spec, Given(settings=settings))


def check_alignment(spec: AlignmentSpec, settings: Any = None) -> list[LawFinding]:
    """Check an alignment; as :func:`check_prior`."""
    return check(spec, Given(settings=settings))


def check_recipe(spec: RecipeSpec, registry: Registry | None = None) -> list[LawFinding]:
    """Check a recipe against the components of a registry, or those that are installed; as :func:`check_prior`."""
    return check(spec, Given(registry=registry))


def check_synthetic(spec: SyntheticSpec, settings: Any = None) -> list[LawFinding]:
    """Check a generator of data; give settings that make few data when the defaults make many; as :func:`check_prior`."""
    return check(spec, Given(settings=settings))


def check_reader(spec: DataReaderSpec, path: Path | None = None) -> list[LawFinding]:
    """Check a reader on a file, or without one only what can be told without; as :func:`check_prior`."""
    return check(spec, Given(path=path))


def check_metric(spec: MetricSpec) -> list[LawFinding]:
    """Check a metric; as :func:`check_prior`."""
    return check(spec)


def check_report(spec: ReportSpec) -> list[LawFinding]:
    """Check a report on a small made-up run; as :func:`check_prior`."""
    return check(spec)
