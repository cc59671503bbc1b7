"""The trial of metrics, before a training begins: on a few trials of the recording, with predictions that are near the data."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from dataclasses import fields
from typing import Any

import numpy as np

from lfads_core.components import AbstractReconstruction
from lfads_core.components.evaluation import Evaluation
from lfads_core.data.session import Session
from lfads_core.errors import PluginError
from lfads_core.plugins.registry import Registry
from lfads_core.plugins.specs import MetricSpec
from lfads_core.trial.calls import listening
from lfads_core.trial.compare import same
from lfads_core.trial.kinds import number_faults

log = logging.getLogger(__name__)

TRIALS = 8


def try_metrics(session: Session, reconstruction: AbstractReconstruction, registry: Registry) -> None:
    """Try every metric once. What one raises is told when it is used, for a few trials may be too few.

    Raises:
        PluginError: one gives something else than numbers by name, or changes what it is given.
    """
    for spec in registry.all(MetricSpec):
        evaluation = _evaluation(session, reconstruction)
        kept = _arrays(evaluation)
        try:
            with warnings.catch_warnings(), listening() as said:
                warnings.simplefilter("ignore")
                found, again = spec.compute(evaluation), spec.compute(evaluation)
        except (Exception, SystemExit):  # noqa: BLE001, S112 - whatever a stranger's metric raises
            continue
        if said:
            log.warning("%s: the metric %r must not print, got %r.", registry.owner(MetricSpec, spec.name), spec.name, said[0][:60].strip())
        for fault in _faults(found, again, unchanged=same(kept, _arrays(evaluation))):
            raise PluginError(
                f"{registry.owner(MetricSpec, spec.name)}: the metric {spec.name!r}: compute {fault}. "
                f"`lfads plugins check {spec.name}` tries all that must hold."
            )


def _faults(found: Any, again: Any, *, unchanged: bool) -> Iterator[str]:
    if not unchanged:
        yield "must leave the predictions and the data as they are, but changed them in place"
    if found is None:
        yield "must give numbers by name, an empty mapping where they make no sense, got None"
    else:
        yield from number_faults(found)
        if not same(found, again):
            yield "must give the same for the same predictions, got something else the second time"


def _evaluation(session: Session, reconstruction: AbstractReconstruction) -> Evaluation:
    split = session.splits["valid"]
    data = split.recon[:TRIALS].copy()
    seen = np.nan_to_num(data)
    encod = split.encod.shape
    return Evaluation(
        session=session.name,
        split="valid",
        means=((seen + seen.mean()) / 2).astype(np.float32),
        data=data,
        encod_bins=encod[1],
        encod_channels=encod[2] if split.nested else 0,
        support=reconstruction.support,
        is_rate=reconstruction.is_rate,
        bin_ms=session.bin_ms,
        extras={key: values[:TRIALS].copy() for key, values in split.extras.items()},
    )


def _arrays(evaluation: Evaluation) -> dict[str, Any]:
    found = {field.name: getattr(evaluation, field.name) for field in fields(evaluation) if field.name != "train"}
    return {key: value.copy() if isinstance(value, np.ndarray) else value for key, value in {**found, **evaluation.extras}.items() if key != "extras"}
