"""Alignment: its algebra against brute force, known subspaces, what must be there, and what is written."""

from __future__ import annotations

import re

import h5py
import numpy as np
import pytest
from click.testing import CliRunner
from scipy.linalg import subspace_angles
from scipy.ndimage import gaussian_filter1d

from lfads_core.cli.main import cli
from lfads_core.data.layout import session_from_arrays
from lfads_core.errors import DataError
from lfads_core.plugins import load_registry
from lfads_core.plugins.registry import Registry
from lfads_plugins_std.alignment.align import align_session, centred, common_conditions, condition_averages, shared_components
from lfads_plugins_std.alignment.align_files import AlignOptions, align_files, align_recordings
from lfads_plugins_std.metrics.smooth import smooth

K, T = 6, 9
CHANNELS = {"monday": 7, "tuesday": 5, "friday": 8}
LEAST_SQUARES = AlignOptions(smooth_ms=0, components=3)


@pytest.fixture
def rng():
    return np.random.default_rng(11)


@pytest.fixture
def latents(rng):
    values = rng.normal(size=(K, T, 3)) * (3.0, 2.0, 1.0)
    return values - values.mean(axis=(0, 1))


@pytest.fixture
def mixing(rng):
    return {name: rng.normal(size=(3, n)) for name, n in CHANNELS.items()}


def recording(values, order, key="cond"):
    """Two identical trials of each condition, in the given order, in both splits."""
    rows = np.concatenate([order, order])
    arrays = {}
    for split in ("train", "valid"):
        arrays |= {f"{split}_encod_data": values[rows], f"{split}_{key}": rows * 10}
    return arrays


@pytest.fixture
def sessions(latents, mixing, rng):
    """Noise-free sessions that see the same three latents through matrices of their own."""
    return [
        session_from_arrays(name, recording(latents @ mix + 5, rng.permutation(K)), {"bin_ms": 20.0}, dtype=np.float64)
        for name, mix in mixing.items()
    ]


def test_each_session_reaches_the_shared_latents_exactly_when_there_is_no_noise(sessions, latents):
    aligned = align_recordings(sessions, LEAST_SQUARES)
    assert aligned.shared.conditions == tuple(str(10 * k) for k in range(K))
    components = aligned.shared.components.reshape(-1, 3)
    assert np.rad2deg(subspace_angles(components, latents.reshape(-1, 3))).max() < 1e-5
    for found in aligned.sessions.values():
        np.testing.assert_allclose(found.projected, aligned.shared.components, atol=1e-7)
        assert found.explained == pytest.approx(1, abs=1e-9)
        assert found.explained_new == pytest.approx(1, abs=1e-9)
        assert found.rebuilt == pytest.approx(1, abs=1e-9)
        np.testing.assert_allclose(found.bias, 5, atol=1e-12)


def test_the_numbers_of_channels_and_the_order_of_trials_do_not_matter(sessions, latents, mixing):
    aligned = align_recordings(sessions, LEAST_SQUARES)
    sorted_trials = [
        session_from_arrays(name, recording(latents @ mix + 5, np.arange(K)), {"bin_ms": 20.0}, dtype=np.float64) for name, mix in mixing.items()
    ]
    again = align_recordings(sorted_trials, LEAST_SQUARES)
    for name, n in CHANNELS.items():
        assert aligned.sessions[name].weight.shape == (n, 3)
        np.testing.assert_allclose(again.sessions[name].weight, aligned.sessions[name].weight, atol=1e-9)


def test_conditions_are_matched_by_their_names_where_their_numbers_differ(sessions, latents, mixing):
    names = np.array([f"target {10 * k}" for k in range(K)], dtype=object)
    renumbered = []
    for seed, (name, mix) in enumerate(mixing.items()):
        number = np.random.default_rng(seed).permutation(K)  # this session's number of each condition
        arrays = recording(latents @ mix + 5, np.arange(K))
        arrays |= {f"{split}_cond": number[arrays[f"{split}_cond"] // 10] for split in ("train", "valid")}
        arrays["cond_names"] = names[np.argsort(number)]
        renumbered.append(session_from_arrays(name, arrays, {"bin_ms": 20.0}, dtype=np.float64))
    aligned, expected = align_recordings(renumbered, LEAST_SQUARES), align_recordings(sessions, LEAST_SQUARES)
    assert aligned.shared.conditions == tuple(f"target {10 * k}" for k in range(K))
    for name in CHANNELS:
        np.testing.assert_allclose(aligned.sessions[name].projected, expected.sessions[name].projected, atol=1e-7)


def test_the_components_are_those_of_the_covariance_of_all_channels_side_by_side(rng):
    averages = {name: {str(k): rng.normal(size=(T, n)) for k in range(K)} for name, n in CHANNELS.items()}
    conditions = [str(k) for k in range(K)]
    shared = shared_components(averages, conditions, 4, 0.9)
    rows = np.concatenate([np.concatenate([of[k] for k in conditions]) for of in averages.values()], axis=1)
    values, vectors = np.linalg.eigh(np.cov(rows.T, bias=True))
    np.testing.assert_allclose(shared.variances, values[::-1], rtol=1e-9)
    scores = (rows - rows.mean(axis=0)) @ vectors[:, ::-1][:, :4]
    signs = np.sign((scores * shared.components.reshape(-1, 4)).sum(axis=0))
    np.testing.assert_allclose(shared.components.reshape(-1, 4), scores * signs, atol=1e-9)
    assert shared.kept == pytest.approx(values[::-1][:4].sum() / values.sum())


def test_without_a_number_as_many_components_are_kept_as_hold_the_share(rng):
    averages = {"a": {"0": rng.normal(size=(50, 3)) * (3.0, 2.0, 1.0)}}
    counts = [shared_components(averages, ["0"], None, share).components.shape[2] for share in (0.1, 0.8, 0.999, 1.0)]
    assert counts == [1, 2, 3, 3]


@pytest.mark.parametrize("alpha", [0.0, 0.3])
def test_the_read_in_minimises_the_penalised_squares(rng, alpha):
    averages = {"a": {str(k): rng.normal(size=(T, 5)) for k in range(K)}, "b": {str(k): rng.normal(size=(T, 4)) for k in range(K)}}
    shared = shared_components(averages, [str(k) for k in range(K)], 2, 0.9)
    found = align_session(averages["a"], shared, (alpha,))
    x, _ = centred(averages["a"], shared.conditions)
    z = shared.components.reshape(-1, 2)
    penalty = alpha * (x**2).sum() / 5
    stacked = np.linalg.lstsq(np.concatenate([x, np.sqrt(penalty) * np.eye(5)]), np.concatenate([z, np.zeros((5, 2))]), rcond=None)[0]
    np.testing.assert_allclose(found.weight, stacked, atol=1e-8)
    assert found.explained == pytest.approx(1 - ((x @ stacked - z) ** 2).sum() / (z**2).sum())


def test_ridge_takes_the_penalty_that_is_best_on_left_out_conditions(rng):
    noisy = {name: {str(k): rng.normal(size=(4, 12)) for k in range(4)} for name in "ab"}
    shared = shared_components(noisy, list("0123"), 2, 0.9)
    alphas = (0.0, 0.01, 1.0, 100.0)
    x, _ = centred(noisy["a"], shared.conditions)
    z = shared.components.reshape(-1, 2)
    errors = []
    for alpha in alphas:
        error = 0.0
        for k in range(4):
            out = np.arange(16) // 4 == k
            xm, zm = x[~out].mean(axis=0), z[~out].mean(axis=0)
            xc = x[~out] - xm
            w = np.linalg.solve(xc.T @ xc + max(alpha, 1e-10) * (x**2).sum() / 12 * np.eye(12), xc.T @ (z[~out] - zm))
            error += (((x[out] - xm) @ w + zm - z[out]) ** 2).sum()
        errors.append(error)
    found = align_session(noisy["a"], shared, alphas)
    assert found.alpha == alphas[int(np.argmin(errors))] != 0.0
    assert found.explained_new > align_session(noisy["a"], shared, (0.0,)).explained_new


def test_one_session_is_read_in_by_its_own_principal_axes(latents, rng):
    axes = np.linalg.qr(rng.normal(size=(6, 3)))[0]
    session = session_from_arrays("alone", recording(latents @ axes.T, np.arange(K)), {"bin_ms": 20.0}, dtype=np.float64)
    weight = align_recordings([session], LEAST_SQUARES).sessions["alone"].weight
    np.testing.assert_allclose(weight.T @ weight, np.eye(3), atol=1e-6)
    assert np.rad2deg(subspace_angles(weight, axes)).max() < 1e-3


def test_one_session_needs_no_conditions(rng):
    data = rng.normal(size=(8, T, 5))
    session = session_from_arrays("alone", {"train_encod_data": data, "valid_encod_data": data}, dtype=np.float64)
    weight = align_recordings([session], LEAST_SQUARES).sessions["alone"].weight
    rows = data.reshape(-1, 5) - data.reshape(-1, 5).mean(axis=0)
    axes = np.linalg.svd(rows, full_matrices=False)[2][:3]
    np.testing.assert_allclose(np.abs(weight.T @ axes.T), np.eye(3), atol=1e-6)


def test_a_new_session_is_aligned_to_what_others_share(sessions):
    *old, new = sessions
    first = align_recordings(old, LEAST_SQUARES)
    added = align_recordings([new], LEAST_SQUARES, reference=old)
    np.testing.assert_allclose(added.shared.components, first.shared.components, atol=1e-9)
    assert set(added.sessions) == {"friday"}
    np.testing.assert_allclose(added.sessions["friday"].projected, first.shared.components, atol=1e-7)


def test_smoothing_is_a_gaussian_whose_weights_at_the_ends_and_gaps_sum_to_one(rng):
    data = rng.normal(size=(2, 40, 3))
    inside = smooth(data, 1.5)[:, 8:-8]
    np.testing.assert_allclose(inside, gaussian_filter1d(data, 1.5, axis=1, truncate=4.0)[:, 8:-8], atol=1e-12)
    ones = np.ones((1, 12, 2))
    ones[0, 4:6, 1] = np.nan
    np.testing.assert_allclose(smooth(ones, 2.0), 1.0, atol=1e-12)
    np.testing.assert_array_equal(smooth(data, 0), data)


def test_averages_leave_out_what_was_not_observed():
    data = np.array([[[1.0, 4.0]], [[np.nan, 6.0]], [[7.0, 7.0]]])
    found = condition_averages(data, ["left", "left", "right"], "here")
    np.testing.assert_array_equal(found["left"], [[1.0, 5.0]])
    text = (
        "here: every channel must be observed in every bin of condition left, got none of bin 0, channel 0. Smooth more, or leave that channel out."
    )
    with pytest.raises(DataError, match=f"^{re.escape(text)}$"):
        condition_averages(np.array([[[np.nan, 4.0]]]), ["left"], "here")


def test_a_session_that_lacks_a_condition_is_named_and_may_be_met_half_way():
    all_three, two = {"a": np.ones((2, 1)), "b": np.ones((2, 1)), "c": np.ones((2, 1))}, {"a": np.ones((2, 1)), "c": np.ones((2, 1))}
    text = (
        "tuesday: must have training trials of every condition that the other sessions have, got none of b. "
        "Use --common to align by the conditions that all sessions share."
    )
    with pytest.raises(DataError, match=f"^{re.escape(text)}$"):
        common_conditions({"monday": all_three, "tuesday": two}, drop=False)
    assert common_conditions({"monday": all_three, "tuesday": two}, drop=True) == ["a", "c"]
    with pytest.raises(DataError, match=re.escape("monday, tuesday: must share at least one condition, got none. Check --conditions.")):
        common_conditions({"monday": {"a": np.ones((2, 1))}, "tuesday": {"b": np.ones((2, 1))}}, drop=True)


def test_what_an_alignment_needs_is_asked_for(sessions, latents, mixing):
    no_bins = session_from_arrays("monday", recording(latents @ mixing["monday"], np.arange(K)), dtype=np.float64)
    text = "monday: smoothing by 40 ms must know the width of a bin, got no attribute 'bin_ms'. Add it, or use --smooth 0."
    with pytest.raises(DataError, match=f"^{re.escape(text)}$"):
        align_recordings([no_bins], AlignOptions())
    text = (
        "monday: the condition of each training trial must be there as 'train_reach' (trials), got nothing. "
        "Name the array with --conditions; arrays with one value per trial: 'train_cond'."
    )
    with pytest.raises(DataError, match=f"^{re.escape(text)}$"):
        align_recordings(sessions, AlignOptions(conditions="reach"))
    with pytest.raises(DataError, match=re.escape("--components: must be at most 3, the rank of the condition averages, got 4. Ask for fewer.")):
        align_recordings(sessions, AlignOptions(smooth_ms=0, components=4))
    short = session_from_arrays("short", recording((latents @ mixing["friday"])[:, :4], np.arange(K)), {"bin_ms": 20.0}, dtype=np.float64)
    text = "short: must have the (bins, ms per bin) (9, 20.0) of monday, got (4, 20.0). Cut and bin alike."
    with pytest.raises(DataError, match=f"^{re.escape(text)}$"):
        align_recordings([sessions[0], short], LEAST_SQUARES)


def test_a_silent_channel_gets_no_weight(latents, mixing):
    mix = mixing["monday"].copy()
    mix[:, 2] = 0
    session = session_from_arrays("monday", recording(latents @ mix, np.arange(K)), {"bin_ms": 20.0}, dtype=np.float64)
    weight = align_recordings([session], LEAST_SQUARES).sessions["monday"].weight
    assert np.isfinite(weight).all()
    np.testing.assert_array_equal(weight[2], 0)


@pytest.fixture
def files(write_recording, latents, mixing, rng):
    return [write_recording(f"{name}.h5", recording(latents @ mix + 5, rng.permutation(K)), bin_ms=20.0) for name, mix in mixing.items()]


def test_copies_hold_everything_of_the_originals_which_stay_as_they_are(files, tmp_path):
    before = [path.read_bytes() for path in files]
    aligned = align_files(files, tmp_path / "aligned", LEAST_SQUARES, Registry.from_plugins({}))
    assert [path.read_bytes() for path in files] == before
    assert sorted(p.name for p in (tmp_path / "aligned").iterdir()) == sorted(p.name for p in files)
    for path in files:
        with h5py.File(path) as original, h5py.File(tmp_path / "aligned" / path.name) as copy:
            assert set(copy) - set(original) == {"readin_weight", "readout_bias"}
            assert dict(copy.attrs) == dict(original.attrs)
            for key in original:
                assert copy[key].dtype == original[key].dtype
                np.testing.assert_array_equal(copy[key][()], original[key][()])
            np.testing.assert_array_equal(copy["readin_weight"][()], aligned.sessions[path.stem].weight)
            np.testing.assert_array_equal(copy["readout_bias"][()], aligned.sessions[path.stem].bias)


def test_copies_replace_nothing_unasked(files, tmp_path):
    registry = Registry.from_plugins({})
    align_files(files, tmp_path / "aligned", LEAST_SQUARES, registry)
    text = (
        f"{tmp_path / 'aligned' / 'friday.h5'}: a new file must not replace another, got one that exists. "
        "Choose another folder with -o, or use --force."
    )
    with pytest.raises(DataError, match=f"^{re.escape(text)}$"):
        align_files(files, tmp_path / "aligned", LEAST_SQUARES, registry)
    again = align_files([tmp_path / "aligned"], tmp_path / "twice", AlignOptions(smooth_ms=0, components=2), registry)
    with h5py.File(tmp_path / "twice" / "monday.h5") as file:  # the earlier alignment gives way
        np.testing.assert_array_equal(file["readin_weight"][()], again.sessions["monday"].weight)
    with pytest.raises(DataError, match=re.escape("aligned copies must go to a folder of their own, got that of the recordings.")):
        align_files(files, files[0].parent, LEAST_SQUARES, registry, overwrite=True)


@pytest.fixture
def only_lab(monkeypatch):
    """No plugins but those of lab, if none were loaded before; what is loaded is not kept for later tests."""
    monkeypatch.setenv("LFADS_PLUGINS", "lab")
    yield
    load_registry.cache_clear()


@pytest.mark.long
@pytest.mark.usefixtures("only_lab")
def test_the_command_prints_a_table_and_draws(files, tmp_path):
    result = CliRunner().invoke(
        cli, ["data", "align", *map(str, files), "-o", str(tmp_path / "out"), "--components", "3", "--smooth", "20", "--ridge", "--format", "svg"]
    )
    assert result.exit_code == 0, result.output
    assert "3 components of 6 conditions hold" in result.output
    assert re.search(r"monday\s+7\s+12\s+\d", result.output)
    assert f"lfads run {tmp_path / 'out'} --set components.readin=pcr" in result.output.replace("\n", " ")
    pytest.importorskip("matplotlib")
    assert sorted(p.name for p in (tmp_path / "out").glob("alignment_*")) == [f"alignment_{name}.svg" for name in sorted(CHANNELS)]


@pytest.mark.usefixtures("only_lab")
def test_the_command_draws_time_from_the_event_that_the_files_name(files, tmp_path, monkeypatch):
    pytest.importorskip("matplotlib")
    for path in files:
        with h5py.File(path, "a") as file:
            file.attrs.update({"first_bin_ms": -60.0, "aligned_to": "go"})
    drawn = []
    monkeypatch.setattr("lfads_plugins_std.figures.save", lambda figure, path: drawn.append(figure) or path)
    result = CliRunner().invoke(cli, ["data", "align", *map(str, files), "-o", str(tmp_path / "out"), "--components", "3"])
    assert result.exit_code == 0, result.output
    assert len(drawn) == len(CHANNELS)
    for figure in drawn:
        assert {ax.get_xlabel() for ax in figure.axes} == {"", "time from go (ms)"}
        for line in figure.axes[0].get_lines()[:2]:  # the third marks the event
            np.testing.assert_array_equal(line.get_xdata(), -50 + 20.0 * np.arange(T))


@pytest.mark.usefixtures("only_lab")
def test_the_command_tells_faults_in_one_line(files, tmp_path):
    result = CliRunner().invoke(cli, ["data", "align", str(files[0]), "-o", str(tmp_path / "out"), "--components", "9"])
    assert result.exit_code == 2
    assert "error: --components: must be at most 3, the rank of the condition averages, got 9. Ask for fewer." in result.output
    assert not (tmp_path / "out").exists()
