"""On the session's own clock: NWB in and out, pynapple in and out."""

from __future__ import annotations

import re

import numpy as np
import pytest
import yaml

import lfads_core as lf
from lfads_plugins_lab.front.on_clock import on_clock
from raw_files import reaches, write_nwb
from tiny_runs import TINY

SETTINGS = {key: yaml.safe_load(value) for key, value in (text.split("=") for text in TINY)} | {"train.epochs": 2}
CUT = {"event": "go", "before": 200, "after": 600, "bin_ms": 20, "behaviour": "hand", "condition": "target"}


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def expected_times(of, rows):
    """The middle of each bin of each trial, in s."""
    return (of.go[rows][:, None] - 0.2 + (np.arange(40) + 0.5) * 0.02).ravel()


@pytest.fixture
def nwb_run(here):
    pynwb = pytest.importorskip("pynwb", reason="pynwb, the extra [nwb], is not installed")
    of = reaches(30, 6)
    path, _ = write_nwb(of, here)
    with pynwb.NWBHDF5IO(str(path), "r+") as io:
        file = io.read()
        file.subject = pynwb.file.Subject(subject_id="m1", species="Macaca mulatta", sex="F", age="P5Y")
        io.write(file)
    recording = lf.Recording.from_nwb(path, **CUT)
    return of, path, lf.run(recording, settings=SETTINGS, hold_out=0.34, name="mine", progress=False)


@pytest.mark.long
def test_what_was_inferred_stands_in_nwb_beside_the_sources_own_on_the_sessions_clock(nwb_run, here):
    pynwb = pytest.importorskip("pynwb", reason="pynwb, the extra [nwb], is not installed")
    of, source, run = nwb_run
    written = run.to_nwb("out.nwb")
    assert pynwb.validate(path=str(written)) in ([], None)
    with pynwb.NWBHDF5IO(str(written), "r") as io, pynwb.NWBHDF5IO(str(source), "r") as before:
        file, old = io.read(), before.read()
        np.testing.assert_array_equal(file.trials["go"][:], old.trials["go"][:])
        np.testing.assert_array_equal(file.units["spike_times"][2], old.units["spike_times"][2])
        np.testing.assert_array_equal(file.processing["behavior"]["hand"].data[:], old.processing["behavior"]["hand"].data[:])
        module = file.processing["lfads"]
        rates = run.rates
        assert rates["trial"].values.tolist() == list(range(30))
        for name, wanted in {"rates": rates, "factors": run.factors, "inputs": run.inputs}.items():
            np.testing.assert_allclose(module[name].timestamps[:], expected_times(of, np.arange(30)), rtol=0, atol=1e-9)
            np.testing.assert_array_equal(module[name].data[:], wanted.values.reshape(30 * 40, -1).astype(np.float32))
        assert module["rates"].unit == "Hz"
        held = ", ".join(rates["unit"].values[rates["held_out"].values].tolist())
        assert (
            module["rates"].comments
            == f"Each sample is a bin of 20 ms; its timestamp is the bin's middle. Columns: 1, 2, 3, 4, 5, 6. Held out from the model: {held}."
        )
        windows = module["windows"].to_dataframe()
        np.testing.assert_allclose(windows["start_time"], of.go - 0.2, atol=1e-9)
        assert windows["split"].tolist() == rates["split"].values.tolist()
    spikes = lf.Recording.from_nwb(written, **CUT)  # and in again
    np.testing.assert_array_equal(spikes.data.values, lf.Recording.from_nwb(source, **CUT).data.values)


def test_a_peak_of_spikes_lies_where_the_rates_samples_say(nwb_run):
    """Data laid on the clock as rates are: every bin's count is what the spike times give around its timestamp."""
    of, _, run = nwb_run
    found = run.results
    laid = on_clock(found.assign(rates=found["data"]), "x")
    for n, times in enumerate(of.units.values()):
        edges = np.stack([laid.times - 0.01, laid.times + 0.01], axis=1)
        counts = np.searchsorted(times, edges[:, 1] - 1e-9) - np.searchsorted(times, edges[:, 0] - 1e-9)
        np.testing.assert_array_equal(laid.values["rates"][:, n], counts)


@pytest.mark.slow
def test_nwbinspector_has_no_critical_finding(nwb_run):
    inspector = pytest.importorskip("nwbinspector", reason="nwbinspector is not installed")
    _, source, run = nwb_run
    values, starts = run.results["data"].values, run.results["start_s"].values
    arrays = lf.Recording.from_arrays(values, bin_ms=20, trials={"start_s": starts}, conditions=["a", "b"] * 15)
    alone = lf.run(arrays, settings=SETTINGS, name="alone", progress=False)
    least = inspector.Importance.BEST_PRACTICE_VIOLATION
    before = {message.check_function_name for message in inspector.inspect_nwbfile(nwbfile_path=str(source), importance_threshold=least)}
    subject = {"subject_id": "m1", "species": "Macaca mulatta", "sex": "F", "age": "P5Y"}
    for one in (run.to_nwb("out.nwb"), alone.to_nwb("alone.nwb", subject=subject)):
        found = list(inspector.inspect_nwbfile(nwbfile_path=str(one), importance_threshold=least))
        assert [message for message in found if message.importance.value >= inspector.Importance.CRITICAL.value] == []
        ours = [message for message in found if message.location and "lfads" in message.location]
        assert ours == []
        if one.name == "out.nwb":
            assert {message.check_function_name for message in found} <= before


@pytest.mark.long
def test_without_a_source_the_file_holds_trials_and_what_was_inferred(here):
    pynwb = pytest.importorskip("pynwb", reason="pynwb, the extra [nwb], is not installed")
    starts = np.array([5.0, 1.0, 9.0] + [20.0 + i for i in range(21)])
    counts = np.random.default_rng(0).poisson(1.0, (24, 8, 5))
    recording = lf.Recording.from_arrays(counts, bin_ms=10, trials={"start_s": starts}, conditions=["a", "b"] * 12)
    run = lf.run(recording, settings=SETTINGS, progress=False)
    assert pynwb.validate(path=str(run.to_nwb("a.nwb"))) in ([], None)
    order = np.argsort(starts)
    with pynwb.NWBHDF5IO("a.nwb", "r") as io:
        file = io.read()
        np.testing.assert_array_equal(file.trials["start_time"][:], starts[order])
        assert list(file.trials["condition"][:]) == np.array(["a", "b"] * 12)[order].tolist()
        np.testing.assert_array_equal(file.processing["lfads"]["rates"].data[:], run.rates.values[order].reshape(-1, 5).astype(np.float32))


@pytest.mark.long
def test_what_has_no_place_on_a_clock_is_refused(here):
    pytest.importorskip("pynwb", reason="pynwb, the extra [nwb], is not installed")
    counts = np.random.default_rng(0).poisson(1.0, (24, 8, 5))
    plain = lf.run(lf.Recording.from_arrays(counts, bin_ms=10), settings=SETTINGS, name="plain", progress=False)
    with pytest.raises(lf.DataError, match=r"^runs/plain: the start of each trial on the session's clock must be known, got no 'start_s'\."):
        plain.to_nwb("a.nwb")
    close = lf.Recording.from_arrays(counts, bin_ms=10, trials={"start_s": np.arange(24) * 0.05})
    with pytest.raises(lf.DataError, match=r"trials must not share time on one clock, got 23 that do, the first 0 and 1\."):
        lf.run(close, settings=SETTINGS, name="close", progress=False).to_nwb("a.nwb")
    apart = lf.run(lf.Recording.from_arrays(counts, bin_ms=10, trials={"start_s": np.arange(24.0)}), settings=SETTINGS, name="apart", progress=False)
    with pytest.raises(lf.DataError, match=re.escape("no.nwb: must be a readable NWB file")):
        apart.to_nwb("a.nwb", source="no.nwb")
    assert not (here / "a.nwb").exists()


# pynapple


@pytest.fixture
def objects():
    nap = pytest.importorskip("pynapple", reason="pynapple is not installed")
    of = reaches(30, 6)
    units = nap.TsGroup({int(name): nap.Ts(times) for name, times in of.units.items()})
    trials = nap.IntervalSet(start=of.start, end=of.stop, metadata={"go": of.go, "target": of.target})
    return of, units, trials, nap.TsdFrame(t=of.hand_times, d=of.hand, columns=["x", "y"])


@pytest.mark.long
@pytest.mark.filterwarnings("ignore")  # pynapple's own
def test_objects_of_pynapple_come_back_as_such_on_the_same_clock(objects, here):
    of, units, trials, hand = objects
    recording = lf.Recording.from_pynapple(units, trials, series={"hand": hand}, **CUT)
    run = lf.run(recording, settings=SETTINGS, progress=False)
    back = run.to_pynapple()
    np.testing.assert_allclose(back["rates"].t, expected_times(of, np.arange(30)), atol=1e-6)
    np.testing.assert_allclose(back["rates"].d, run.rates.values.reshape(1200, 6), rtol=1e-6)
    assert [str(c) for c in back["rates"].columns] == list(of.units)
    np.testing.assert_allclose(back["trials"].start, of.go - 0.2, atol=1e-6)
    assert back["trials"].get_info("condition").tolist() == of.target.tolist()
    binned = units.count(0.02, ep=back["trials"])  # pynapple's own bins
    np.testing.assert_allclose(binned.t, back["rates"].t, atol=1e-6)
    np.testing.assert_array_equal(binned.d, run.results["data"].values.reshape(1200, 6))


@pytest.mark.filterwarnings("ignore")  # pynapple's own
def test_moments_alone_are_trials_with_a_window_around_each(objects, here):
    nap = pytest.importorskip("pynapple", reason="pynapple is not installed")
    of, units, trials, _ = objects
    whole = lf.Recording.from_pynapple(units, trials, event="go", before=200, after=600, bin_ms=20)
    alone = lf.Recording.from_pynapple(units, nap.Ts(of.go), before=200, after=600, bin_ms=20)
    np.testing.assert_array_equal(alone.data.values, whole.data.values)


# spike times


def test_spike_times_in_arrays_and_by_unit_are_cut_alike_with_a_dataframe_or_arrays(here):
    import pandas as pd

    of = reaches(20, 4)
    table = {"start": of.start, "stop": of.stop, "go": of.go, "target": of.target}
    flat = np.concatenate(list(of.units.values())), np.repeat([int(name) for name in of.units], [t.size for t in of.units.values()])
    cut = {"event": "go", "before": 200, "after": 600, "bin_ms": 20, "condition": "target"}
    by_unit = lf.Recording.from_spikes(of.units, trials=table, **cut)
    in_array = lf.Recording.from_spikes(*flat, pd.DataFrame(table), **cut)
    np.testing.assert_array_equal(by_unit.data.values, of.counts(np.arange(20)))
    np.testing.assert_array_equal(in_array.data.values, by_unit.data.values)
    assert by_unit.data["condition"].values.tolist() == of.target.tolist()
    some = lf.Recording.from_spikes(of.units, trials=table, keep_trials="target in ['up', 'left']", keep_units="name != '2'", **cut)
    rows = np.flatnonzero(np.isin(of.target, ["up", "left"]))
    assert some.data["trial"].values.tolist() == rows.tolist()
    np.testing.assert_array_equal(some.data.values, of.counts(rows)[..., [0, 2, 3]])
    chopped = lf.Recording.from_spikes(of.units, window=500, overlap=100, last=True)
    assert chopped.data.sizes["time"] == 50
    for arguments, text in (
        ((of.units, flat[1]), "spikes: times by unit say which unit they are of, got units beside them. Leave units out."),
        ((flat[0],), "spikes: times in one array must come with the unit of each, got none. Give units=..., or times by unit: {'a': times}."),
    ):
        with pytest.raises(lf.ConfigError, match=f"^{re.escape(text)}$"):
            lf.Recording.from_spikes(*arguments)


def test_channels_and_ends_of_trials_are_held_out_as_is_said(here):
    of = reaches(20, 4)
    table = {"start": of.start, "stop": of.stop, "go": of.go}
    cut = {"trials": table, "event": "go", "before": 200, "after": 600, "bin_ms": 20}
    names = list(of.units)
    for given in ({"hold_out_channel": names[1]}, {"hold_out_channel": [names[1]]}):
        recording = lf.Recording.from_spikes(of.units, forward=100, **given, **cut)
        assert recording.data["unit"].values.tolist() == names
        whole = of.counts(recording.data["trial"].values)
        np.testing.assert_array_equal(recording.data.values, whole)
        train = recording.session.splits["train"]
        rows = recording.data["split"].values == "train"
        np.testing.assert_array_equal(train.recon, whole[rows][..., [0, *range(2, len(names)), 1]])  # held-out channels stand last
        np.testing.assert_array_equal(train.encod, train.recon[:, :35, :-1])  # 5 bins of the 40 and a channel are to be predicted


def test_splits_are_stratified_unless_it_is_said_otherwise(here):
    of = reaches(24, 4)
    target = np.array(["up", "down", "left", "right"])[np.arange(24) % 4]
    cut = {"trials": {"start": of.start, "stop": of.stop, "go": of.go, "target": target}, "event": "go", "after": 200, "condition": "target"}
    seen = {}
    for stratify in (True, False):
        seen[stratify] = set()
        for seed in range(6):
            recording = lf.Recording.from_spikes(of.units, valid=0.5, seed=seed, stratify=stratify, **cut)
            split = recording.data["split"].values == "valid"
            labels, counts = np.unique(recording.data["condition"].values[split], return_counts=True)
            seen[stratify].add(tuple(counts.tolist()))
            assert labels.size == 4 or not stratify
    assert seen[True] == {(3, 3, 3, 3)}
    assert len(seen[False]) > 1


@pytest.mark.parametrize("writer", ["mat-5", "mat-73"])
def test_matlab_files_are_recordings_too(writer, here):
    from raw_files import WRITERS

    of = reaches(20, 4)
    path, _ = next(write for name, write in WRITERS.items() if name.replace(".", "") == writer)(of, here)
    recording = lf.Recording.from_mat(path, event="go", before=200, after=600, bin_ms=20)
    np.testing.assert_array_equal(recording.data.values, of.counts(np.arange(20)))
    assert recording.session.attributes["made_from"] == "mine.mat"
