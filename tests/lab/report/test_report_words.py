"""Times and rates of the page are in the units of the file."""

from __future__ import annotations

import numpy as np
import pytest

from lfads_core.data.layout import session_from_arrays
from lfads_plugins_lab.evaluate.recorded import Recorded
from lfads_plugins_lab.report.words import scale_of, times_of
from lfads_plugins_std.figures.units import Scale


def recorded(is_rate=True, **attributes):
    arrays = {f"{split}_encod_data": np.ones((2, 3, 4)) for split in ("train", "valid")}
    return Recorded(session=session_from_arrays("day", arrays, attributes), support="counts", is_rate=is_rate)


def test_times_count_from_the_event_in_bins_of_the_files_width():
    time = times_of(recorded(bin_ms=7.0, first_bin_ms=-14.0, aligned_to="go"))
    assert (time.edges.tolist(), time.label, time.event) == ([-14, -7, 0, 7], "time from go (ms)", 0.0)
    assert times_of(recorded()).label == "time in trial (bins)"


@pytest.mark.parametrize(
    ("session", "wanted"),
    [
        (recorded(bin_ms=7.0), Scale(factor=1000 / 7, unit="rate (spikes/s)")),
        (recorded(), Scale(factor=1.0, unit="rate (spikes/bin)")),
        (recorded(is_rate=False, bin_ms=7.0), Scale(factor=1.0, unit="unit of the data")),
        (recorded(is_rate=False, bin_ms=7.0, data_unit="mV"), Scale(factor=1.0, unit="mV")),
    ],
)
def test_rates_are_events_per_second_where_bins_have_a_width(session, wanted):
    assert scale_of(session) == wanted
