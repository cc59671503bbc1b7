"""What a checkpoint says of the data that its model is for, read again; anybody may have edited it."""

from __future__ import annotations

import copy

import numpy as np
import pytest

from lfads_core.components import SessionInfo
from lfads_core.model.description import ModelDescription


@pytest.fixture
def plain():
    sessions = [
        SessionInfo(name="mon", encod_channels=4, recon_channels=6, factors=0, extras={"behavior": (9, 2)}),
        SessionInfo(name="tue", encod_channels=1, recon_channels=1, factors=0),
    ]
    return ModelDescription(sessions=sessions, encoded_bins=7, bins=9, external=0, bin_ms=5.0, bare=("tue",), aligned=("mon",)).to_json()


def test_a_description_reads_back_what_it_gave(plain):
    weights = np.ones((4, 3))
    found = ModelDescription.from_json(plain, {"mon": {"readin_weight": weights}})
    assert found.to_json() == plain
    assert found.sessions[0].arrays["readin_weight"] is weights
    assert found.sessions[0].extras == {"behavior": (9, 2)}


@pytest.mark.parametrize(
    ("key", "value"),
    [("bins", 0), ("bins", 6), ("bins", 9.0), ("encoded_bins", 0), ("encoded_bins", 10), ("external", -1), ("sessions", []), ("bins", "9")],
)
def test_sizes_that_no_data_have_are_refused(plain, key, value):
    with pytest.raises((ValueError, TypeError), match=r"description|unsupported operand"):
        ModelDescription.from_json(plain | {key: value}, {})


@pytest.mark.parametrize("key", ["encod_channels", "recon_channels"])
@pytest.mark.parametrize("value", [0, -3, 4.5, None])
def test_channels_that_no_data_have_are_refused(plain, key, value):
    plain = copy.deepcopy(plain)
    plain["sessions"][1][key] = value
    with pytest.raises((ValueError, TypeError), match=r"(?i)description|type-check"):
        ModelDescription.from_json(plain, {})
