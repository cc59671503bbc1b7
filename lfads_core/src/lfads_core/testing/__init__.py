"""Conformance kit: what must hold for a component of each kind, to be called from anyone's tests.

Each ``check_<kind>(spec)`` tries every law of its kind, returns what it found, and raises one :class:`ConformanceError` that
lists every broken law with what was got. ``lfads plugins check`` runs the same laws.
"""

from lfads_core.testing.findings import ConformanceError, LawFinding
from lfads_core.testing.kit import (
    Given,
    check,
    check_alignment,
    check_augmentation,
    check_encoder,
    check_generator,
    check_latent,
    check_loss,
    check_metric,
    check_prior,
    check_reader,
    check_readin,
    check_readout,
    check_recipe,
    check_reconstruction,
    check_report,
    check_synthetic,
    try_laws,
)

__all__ = [
    "ConformanceError",
    "Given",
    "LawFinding",
    "check",
    "check_alignment",
    "check_augmentation",
    "check_encoder",
    "check_generator",
    "check_latent",
    "check_loss",
    "check_metric",
    "check_prior",
    "check_reader",
    "check_readin",
    "check_readout",
    "check_recipe",
    "check_reconstruction",
    "check_report",
    "check_synthetic",
    "try_laws",
]
