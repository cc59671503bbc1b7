"""Everything that the packages offer obeys the laws of its kind."""

from __future__ import annotations

import attrs
import pytest

from lfads_core import builtin
from lfads_core.plugins import Registry, load_registry
from lfads_core.testing import Given, check
from lfads_plugins_calcium import plugin as calcium
from lfads_plugins_emg import plugin as emg
from lfads_plugins_lab import plugin as lab
from lfads_plugins_std import plugin as std
from lfads_plugins_tune import plugin as tune

OURS = {"lfads-core", *(f"lfads-plugins-{name}" for name in ("std", "calcium", "emg", "tune", "lab"))}
ENTRIES = {f"{entry.kind}-{entry.spec.name}": entry for entry in load_registry().entries if entry.provider.distribution in OURS}
FEWER = {"channels": 6, "conditions": 3, "trials_per_condition": 4, "burn_in": 5.0, "frames": 10, "warm_up_ms": 100.0}
"""Settings of generators that make fewer data."""


@pytest.mark.long
@pytest.mark.parametrize("entry", ENTRIES.values(), ids=ENTRIES)
def test_it_obeys_the_laws_of_its_kind(entry):
    settings = None
    if entry.kind == "report":
        pytest.importorskip("matplotlib")
    if entry.kind == "synthetic":
        names = {field.name for field in attrs.fields(entry.spec.config)}
        settings = entry.spec.config(**{name: value for name, value in FEWER.items() if name in names})
    findings = check(entry.spec, Given(settings=settings))
    assert len(findings) >= 2
    assert all(finding.ok for finding in findings)


def test_everything_that_the_six_packages_offer_is_checked():
    registry = Registry.from_plugins({"core": builtin, "std": std, "calcium": calcium, "emg": emg, "tune": tune, "lab": lab})
    assert {f"{entry.kind}-{entry.spec.name}" for entry in registry.entries} == set(ENTRIES)
