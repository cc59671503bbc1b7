"""The kinds of component there are: which hook offers them, and which record describes them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, get_args

from attrs import frozen

from lfads_core.plugins.specs import (
    AugmentationSpec,
    DataReaderSpec,
    MetricSpec,
    PriorSpec,
    ReadinSpec,
    ReadoutSpec,
    RecipeSpec,
    ReconstructionSpec,
    ReportSpec,
    SyntheticSpec,
)

Kind = Literal["prior", "reconstruction", "augmentation", "readin", "readout", "recipe", "synthetic", "reader", "metric", "report"]
"""What the registry calls a kind of component."""

Spec = (
    PriorSpec
    | ReconstructionSpec
    | AugmentationSpec
    | ReadinSpec
    | ReadoutSpec
    | RecipeSpec
    | SyntheticSpec
    | DataReaderSpec
    | MetricSpec
    | ReportSpec
)
"""Any record a plugin may hand over."""

Notification = Literal["lfads_run_started", "lfads_epoch_ended", "lfads_run_finished"]
"""Hooks that are told something and return nothing."""

NOTIFICATIONS: tuple[str, ...] = get_args(Notification)


@frozen
class Door:
    """The hook that offers a kind, and the class of what it must return."""

    hook: str
    spec: type[Spec]


KINDS: Mapping[Kind, Door] = {
    "prior": Door("lfads_priors", PriorSpec),
    "reconstruction": Door("lfads_reconstructions", ReconstructionSpec),
    "augmentation": Door("lfads_augmentations", AugmentationSpec),
    "readin": Door("lfads_readins", ReadinSpec),
    "readout": Door("lfads_readouts", ReadoutSpec),
    "recipe": Door("lfads_recipes", RecipeSpec),
    "synthetic": Door("lfads_synthetics", SyntheticSpec),
    "reader": Door("lfads_data_readers", DataReaderSpec),
    "metric": Door("lfads_metrics", MetricSpec),
    "report": Door("lfads_reports", ReportSpec),
}

PICKABLE: tuple[Kind, ...] = ("recipe", "reconstruction", "prior", "augmentation", "readin", "readout")
"""Kinds that ``--plugin NAME`` looks through, in this order."""
