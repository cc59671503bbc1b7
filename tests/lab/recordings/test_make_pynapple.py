"""Objects of pynapple: real ones where it is installed, and stand-ins with the few members that are used."""

from __future__ import annotations

import re
import warnings
from types import SimpleNamespace

import numpy as np
import pytest

from lfads_core.errors import DataError
from lfads_plugins_lab.recordings import MakeOptions, SplitOptions, WindowOptions, from_pynapple, make

OPTIONS = MakeOptions(window=WindowOptions(event="go", before_ms=200, after_ms=500), behaviour=("hand",), split=SplitOptions(by="last"))


class Intervals(SimpleNamespace):
    """An IntervalSet as far as it is used."""

    metadata_columns = ("go", "side")

    def get_info(self, name):
        return getattr(self, name)


def stand_ins(recording):
    units = {int(name): SimpleNamespace(index=times) for name, times in recording.units.items()}
    trials = Intervals(start=recording.start, end=recording.stop, go=recording.go, side=recording.side)
    return units, trials, SimpleNamespace(index=recording.hand_times, values=recording.hand)


def real_ones(recording):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        nap = pytest.importorskip("pynapple", reason="pynapple is not installed")
        support = nap.IntervalSet(start=0, end=16)
        units = nap.TsGroup({int(name): nap.Ts(t=times) for name, times in recording.units.items()}, time_support=support)
        trials = nap.IntervalSet(start=recording.start, end=recording.stop, metadata={"go": recording.go, "side": recording.side})
        return units, trials, nap.TsdFrame(t=recording.hand_times, d=recording.hand)


@pytest.mark.parametrize("objects", [stand_ins, real_ones])
def test_groups_of_times_intervals_and_frames_become_trials(recording, objects):
    units, trials, hand = objects(recording)
    made = make(from_pynapple(units, trials, {"hand": hand}), OPTIONS)
    expected = recording.counts(0.2, 0.5, 0.01)
    np.testing.assert_array_equal(made.arrays["train_encod_data"], expected[:8])
    assert made.arrays["channel_names"].tolist() == ["3", "7", "12"]
    assert made.arrays["train_side"].tolist() == recording.side[:8].tolist()
    middle = recording.go[8:, None] - 0.195 + np.arange(70) * 0.01
    np.testing.assert_allclose(made.arrays["valid_behavior"][..., 0], 3 * middle, atol=0.012)


def test_objects_of_another_kind_are_refused(recording):
    units, trials, _ = stand_ins(recording)
    for arguments, text in (
        ((np.ones(3),), "pynapple: events must be a TsGroup, got ndarray. Wrap them in one."),
        ((units, np.ones((3, 2))), "pynapple: trials must be an IntervalSet, got ndarray. Wrap them in one."),
        ((units, trials, {"hand": np.ones(3)}), "pynapple: 'hand' must be a Tsd or TsdFrame, got ndarray. Wrap it in one."),
    ):
        with pytest.raises(DataError, match=f"^{re.escape(text)}$"):
            from_pynapple(*arguments)
