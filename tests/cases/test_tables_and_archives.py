"""Tables as pandas writes them, trials that only have an event, archives as pynapple saves them."""

from __future__ import annotations

import numpy as np
import pytest

from lfads_core.errors import DataError, LfadsError
from lfads_plugins_lab.recordings import MakeOptions, SourceOptions, SplitOptions, WindowOptions, make_file, read_source
from lfads_plugins_lab.recordings.tables import units_of
from lfads_plugins_lab.recordings.trialwise import conditions

TIMES = np.sort(np.random.default_rng(0).uniform(0, 82, 4000))
UNITS = np.random.default_rng(1).integers(0, 6, 4000)
GO = np.arange(40) * 2.0 + 1.3
AROUND = MakeOptions(window=WindowOptions(event="go", before_ms=100, after_ms=500), split=SplitOptions(by="last"))


def wanted():
    edges = np.arange(61) * 0.01 - 0.1
    return np.stack([np.stack([np.histogram(TIMES[n == UNITS], go + edges)[0] for n in range(6)], axis=1) for go in GO])


def in_order(made, key):
    both, rows = (np.concatenate([made.arrays[f"{split}_{name}"] for split in ("train", "valid")]) for name in (key, "inds"))
    return both[np.argsort(rows)]


def test_the_index_that_pandas_writes_is_no_column(tmp_path):
    rows = [f"{i},{u},{t:.5f}" for i, (u, t) in enumerate(zip(UNITS, TIMES, strict=True))]
    (tmp_path / "with.csv").write_text("\n".join([",unit,time", *rows]))
    (tmp_path / "without.csv").write_text("\n".join(["unit,time", *(row.split(",", 1)[1] for row in rows)]))
    found, plain = read_source(tmp_path / "with.csv"), read_source(tmp_path / "without.csv")
    assert list(found.units) == list(plain.units) == [str(n) for n in range(6)]
    for name in found.units:
        np.testing.assert_array_equal(found.units[name], plain.units[name])
    (tmp_path / "nameless.csv").write_text("unit,,time\n1,2,3\n")
    with pytest.raises(DataError, match="the first line must name every column once"):
        read_source(tmp_path / "nameless.csv")


def test_trials_need_no_more_than_the_event_they_are_cut_around(tmp_path):
    np.savez(tmp_path / "a.npz", times=TIMES, units=UNITS)
    (tmp_path / "trials.csv").write_text("\n".join(["go,cond", *(f"{go},{i % 2}" for i, go in enumerate(GO))]))
    source = SourceOptions(trials=tmp_path / "trials.csv")
    made = make_file(tmp_path / "a.npz", tmp_path / "a.h5", source, AROUND)
    np.testing.assert_array_equal(in_order(made, "encod_data"), wanted())
    assert in_order(made, "cond").tolist() == [0, 1] * 20
    np.testing.assert_allclose(made.arrays["train_go_ms"], 100)
    with pytest.raises(DataError, match=r"must have a column with the start of each trial .* got 'go', 'cond'"):
        make_file(tmp_path / "a.npz", tmp_path / "b.h5", source)
    with pytest.raises(DataError, match="must have a column with the stop of each trial"):
        make_file(tmp_path / "a.npz", tmp_path / "b.h5", source, MakeOptions(window=WindowOptions(event="go")))


def save_group(path, **metadata):
    """What ``TsGroup.save`` writes (pynapple 0.8 and later): metadata are a pickled dictionary."""
    silent = np.arange(7)  # the last one never fires
    about = np.empty((), dtype=object)
    about[()] = metadata
    np.savez(path, type=np.array(["TsGroup"]), _metadata=about, t=TIMES, index=UNITS, keys=silent, start=np.array([0.0]), end=np.array([100.0]))


def save_intervals(path, **metadata):
    """What ``IntervalSet.save`` writes."""
    about = np.empty((), dtype=object)
    about[()] = metadata
    np.savez(path, start=GO - 0.3, end=GO + 1.2, type=np.array(["IntervalSet"]), _metadata=about)


def test_what_pynapple_saves_is_read_as_it_is(tmp_path):
    save_group(tmp_path / "units.npz", area=np.array(list("abcabca")))
    save_intervals(tmp_path / "trials.npz", go=GO, side=np.array(["left", "right"] * 20))
    hand = np.arange(0, 90, 0.01)
    np.savez(tmp_path / "hand.npz", t=hand, d=np.stack([hand, -hand], axis=1), columns=np.array(["x", "y"]), type=np.array(["TsdFrame"]))
    source = SourceOptions(trials=tmp_path / "trials.npz", series={"hand": tmp_path / "hand.npz"})
    options = MakeOptions(window=AROUND.window, split=AROUND.split, behaviour=("hand",), condition=("side",))
    made = make_file(tmp_path / "units.npz", tmp_path / "a.h5", source, options)
    both = in_order(made, "encod_data")
    np.testing.assert_array_equal(both[..., :6], wanted())
    assert not both[..., 6].any()
    assert made.arrays["channel_area"].tolist() == list("abcabca")
    assert made.arrays["cond_names"].tolist() == ["left", "right"]
    assert made.arrays["behavior_dimensions"].tolist() == ["hand x", "hand y"]
    middles = GO[:, None] - 0.1 + (np.arange(60) + 0.5) * 0.01
    np.testing.assert_allclose(in_order(made, "behavior"), np.stack([middles, -middles], axis=-1), atol=1e-4)


def test_the_same_archive_without_anything_else_than_its_times(tmp_path):
    """Older versions save no metadata."""
    np.savez(tmp_path / "units.npz", t=TIMES, index=UNITS, start=np.array([0.0]), end=np.array([100.0]), type=np.array(["TsGroup"]))
    assert {name: times.size for name, times in read_source(tmp_path / "units.npz").units.items()} == {
        str(n): int((n == UNITS).sum()) for n in range(6)
    }


class Evil:
    def __reduce__(self):
        import os

        return os.system, ("touch evil",)


def test_what_an_archive_has_pickled_is_read_without_running_any_of_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save_group(tmp_path / "units.npz", area=Evil(), site=np.arange(7))
    found = read_source(tmp_path / "units.npz")
    assert not (tmp_path / "evil").exists()
    assert found.about["site"].tolist() == list(range(7))


@pytest.mark.parametrize("empty", [np.array([], dtype="U1"), np.zeros(0, dtype="i4"), np.zeros((0, 1))])
def test_times_of_a_signal_without_any_are_none_whatever_their_type(tmp_path, empty):
    np.savez(tmp_path / "a.npz", times=TIMES, units=UNITS, hand=np.zeros((0, 2)), hand_times=empty)
    with pytest.raises(LfadsError, match=r"hand"):
        make_file(tmp_path / "a.npz", tmp_path / "a.h5", SourceOptions(), MakeOptions(window=WindowOptions(chop_ms=500.0), behaviour=("hand",)))


def test_units_and_conditions_of_which_one_holds_several_values_are_told():
    nested = np.array([None, "a"], dtype=object)
    nested[0] = np.arange(3)
    with pytest.raises(DataError, match=r"^a: units must hold one value in each cell, got ndarray\. Mend it\.$"):
        units_of("a", nested, np.array([0.1, 0.2]))
    with pytest.raises(DataError, match=r"^a: 'side' must hold one value in each cell, got ndarray\. Mend it\.$"):
        conditions("a", {"side": nested}, ["side"])


def test_numbers_among_objects_name_units_and_order_conditions_as_numbers():
    assert list(units_of("a", np.array([10, 9, 10], dtype=object), np.array([0.1, 0.2, 0.3]))) == ["9", "10"]
    codes, names = conditions("a", {"angle": np.array([90.0, None, 5.0, 90.0], dtype=object)}, ["angle"])
    assert (codes.tolist(), names) == ([1, 2, 0, 1], ("5", "90", "nan"))
