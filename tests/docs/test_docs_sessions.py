"""The scripts in docs/sessions, carried out in reduced size, find what is known to be in their data."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest
import yaml

SESSIONS = Path(__file__).resolve().parents[2] / "docs" / "sessions"

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

FLOORS = {
    "chaotic": 0.6,
    "pulses 1.5": 0.7,
    "pulses 2.5": 0.6,
    "found 1.5": 0.8,
    "found 2.5": 0.7,
    "labelled": 0.45,
    "bound": 0.75,
    "report": 0.9,
    "evidence": 0.5,
    "stitched": 0.5,
    "sweep": 0.7,
    "single": 0.7,
    "pbt": 0.7,
    "multi": 0.7,
    "merged": 0.6,
    "bundle": 0.6,
    "co_bps": 0.2,
    "fp_bps": 0.15,
    "co_bps single": 0.3,
    "velocity": 0.75,
}
"""What reduced scripts must reach: R2 to the truth unless said otherwise."""


def carried_out(script: str, folder: Path) -> Path:
    """The folder in which a script has been carried out in reduced size, by the commands of this environment."""
    done = subprocess.run(
        ["bash", str(SESSIONS / script)],
        cwd=folder,
        env={**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}", "REDUCED": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=840,
    )
    assert done.returncode == 0, f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return folder


def arrays(path: Path) -> dict[str, np.ndarray]:
    with h5py.File(path) as file:
        return {key: file[key][()] for key in file if isinstance(file[key], h5py.Dataset)}


def r2(found: np.ndarray, true: np.ndarray) -> float:
    """1 - squared error / variance, mean over channels (last axis)."""
    found, true = (np.asarray(one, float).reshape(-1, one.shape[-1]) for one in (found, true))
    return float(np.mean(1 - ((found - true) ** 2).sum(axis=0) / ((true - true.mean(axis=0)) ** 2).sum(axis=0)))


def r2_of(path: Path) -> float:
    """R2 of the inferred to the true rates of validation trials."""
    of = arrays(path)
    return r2(of["valid_output_params"], of["valid_truth"])


def r2_linear(seen: np.ndarray, true: np.ndarray) -> float:
    """R2 of the best linear reading, fitted to even trials and scored on odd ones."""

    def flat(of: np.ndarray) -> np.ndarray:
        return of.reshape(-1, of.shape[-1]).astype(float)

    def design(of: np.ndarray) -> np.ndarray:
        return np.column_stack([flat(of), np.ones(len(flat(of)))])

    weights = np.linalg.lstsq(design(seen[::2]), flat(true[::2]), rcond=None)[0]
    return r2(design(seen[1::2]) @ weights, flat(true[1::2]))


def test_lfads_1_rates_of_a_chaotic_network_and_the_three_follow_ups(tmp_path):
    out = carried_out("lfads_1_chaotic_rnn.sh", tmp_path)
    run = out / "runs" / "chaotic"
    assert r2_of(run / "lfads_output_chaotic.h5") > FLOORS["chaotic"]
    average, means, true = (arrays(out / name) for name in ("posterior_average.h5", "posterior_means.h5", "chaotic.h5"))
    for found in (average, means):
        assert r2(found["valid_output_params"], true["valid_truth"]) > FLOORS["chaotic"]
    assert not np.array_equal(average["valid_factors"], means["valid_factors"])
    bound = arrays(out / "bound.h5")
    assert (bound["valid_iwae"] >= bound["valid_elbo"]).all()  # the bound of a mean of exponentials, Jensen
    samples = arrays(out / "prior_samples.h5")
    rates = samples["chaotic_output_params"]
    assert rates.shape == (64, 100, 50)
    assert abs(rates.mean() / true["valid_truth"].mean() - 1) < 0.2
    with h5py.File(out / "parameters.h5") as file:
        shapes: dict[str, tuple[int, ...]] = {}
        file.visititems(lambda name, item: shapes.update({name: item.shape}) if isinstance(item, h5py.Dataset) else None)
    assert shapes["decoder/factors/rows"] == (10, 48)
    assert any(name.startswith("sessions/chaotic/readout") for name in shapes)


def test_lfads_2_inferred_inputs_peak_where_the_pulses_were(tmp_path):
    out = carried_out("lfads_2_input_pulses.sh", tmp_path)
    for g in ("1.5", "2.5"):
        (path,) = (out / "runs" / f"pulses_g{g}").glob("lfads_output_*.h5")
        of = arrays(path)
        assert r2(of["valid_output_params"], of["valid_truth"]) > FLOORS[f"pulses {g}"]
        inputs, bins = of["valid_co_means"], of["valid_input_bin"]
        assert np.array_equal(of["valid_input_truth"][..., 0].argmax(axis=1), bins)
        peak = np.abs(inputs - inputs.mean(axis=0)).sum(axis=-1).argmax(axis=1)
        by_chance = np.mean([np.mean(np.abs(peak - np.roll(bins, shift)) <= 3) for shift in range(10, len(bins) - 10)])
        assert np.mean(np.abs(peak - bins) <= 3) > max(FLOORS[f"found {g}"], 2 * by_chance)


def test_lfads_3_rates_of_two_networks_told_apart_by_an_external_input(tmp_path):
    out = carried_out("lfads_3_labelled_rnns.sh", tmp_path)
    of = arrays(out / "runs" / "labelled" / "lfads_output_labelled.h5")
    labels = of["valid_ext_input"]
    assert np.array_equal(labels.argmax(axis=-1), np.repeat(of["valid_network"][:, None], labels.shape[1], axis=1))
    assert np.array_equal(of["valid_gen_inputs"], labels)  # no controller: external inputs alone
    for network in (0, 1):
        rows = of["valid_network"] == network
        assert r2(of["valid_output_params"][rows], of["valid_truth"][rows]) > FLOORS["labelled"]


def test_lfads_4_what_the_network_reports_can_be_read_from_the_factors(tmp_path):
    out = carried_out("lfads_4_integration_to_bound.sh", tmp_path)
    of = arrays(out / "runs" / "bound" / "lfads_output_bound.h5")
    assert r2(of["valid_output_params"], of["valid_truth"]) > FLOORS["bound"]
    assert r2_linear(of["valid_factors"], of["valid_report"]) > FLOORS["report"]
    assert (of["valid_bound_bin"] >= 0).any()
    inferred, evidence = (of[key].mean(axis=(1, 2)) for key in ("valid_co_means", "valid_input_truth"))
    assert abs(np.corrcoef(inferred, evidence)[0, 1]) > FLOORS["evidence"]  # the sign of an inferred input is free


def test_lfads_5_one_model_of_sessions_that_see_other_units(tmp_path):
    out = carried_out("lfads_5_stitching.sh", tmp_path)
    found = sorted((out / "runs" / "stitched").glob("lfads_output_*.h5"))
    assert len(found) == 4
    seen = []
    for path in found:
        assert r2_of(path) > FLOORS["stitched"]
        seen.append(set(arrays(path)["channel_unit"].tolist()))
    assert {len(units) for units in seen} == {20}
    assert len(set.union(*seen)) > 40


def test_run_manager_the_four_runs_of_the_sweep_are_done_and_differ_in_the_setting_that_varies(tmp_path):
    out = carried_out("run_manager.sh", tmp_path)
    runs = sorted(path for path in (out / "sweep" / "runs").iterdir() if (path / "run.json").is_file())
    assert len(runs) == 4
    settings = [yaml.safe_load((run / "config.yaml").read_text(encoding="utf-8")) for run in runs]
    assert {one["regularisation"].pop("l2_generator") for one in settings} == {0.0, 1e-4, 1e-2, 1.0}
    assert all(one == settings[0] for one in settings)
    with (out / "scores.csv").open(encoding="utf-8") as file:
        assert len(list(csv.DictReader(file))) == 4
    assert len(list((out / "aligned").rglob("*.png"))) == 2
    scores = [np.mean([r2_of(path) for path in run.glob("lfads_output_*.h5")]) for run in runs]
    assert max(scores) > FLOORS["sweep"]
    averages = np.load(out / "condition_averages.npz")
    for session in ("session1", "session2"):
        true = arrays(out / "sessions" / f"{session}.h5")
        conditions = np.stack([true["valid_truth"][true["valid_cond"] == one].mean(axis=0) for one in np.unique(true["valid_cond"])])
        assert r2(averages[f"{session}/rates_hz"] * 0.02, conditions) > FLOORS["sweep"]


def test_lfads_torch_single_multi_search_and_evaluation(tmp_path):
    out = carried_out("lfads_torch.sh", tmp_path)
    assert r2_of(out / "runs" / "single" / "lfads_output_single.h5") > FLOORS["single"]
    assert r2_of(out / "runs" / "pbt" / "best" / "lfads_output_single.h5") > FLOORS["pbt"]
    multi = sorted((out / "runs" / "multi").glob("lfads_output_*.h5"))
    assert len(multi) == 2
    assert min(r2_of(path) for path in multi) > FLOORS["multi"]
    journal = json.loads((out / "runs" / "pbt" / "search.json").read_text(encoding="utf-8"))
    assert journal["kind"] == "pbt"
    for name in ("single", "pbt"):
        scores = json.loads((out / f"{name}.json").read_text(encoding="utf-8"))["sessions"]["single"]["scores"]["valid"]
        assert scores["LFADS"]["co_bps"] > FLOORS["co_bps single"]
    with (out / "compare.csv").open(encoding="utf-8") as file:
        assert len(list(csv.DictReader(file))) == 2
    assert "<html" in (out / "pbt.html").read_text(encoding="utf-8")


def test_autolfads_tf2_windows_come_back_as_one_recording_of_rates(tmp_path):
    out = carried_out("autolfads_tf2.sh", tmp_path)
    true, merged = arrays(out / "long.h5"), arrays(out / "merged.h5")
    (rates,) = (value for key, value in merged.items() if key.endswith("output_params"))
    rates = rates.reshape(-1, rates.shape[-1])
    assert rates.shape == true["train_truth"][0].shape
    assert r2(rates, true["train_truth"][0]) > FLOORS["merged"]
    (counts,) = (value for key, value in merged.items() if key.endswith("encod_data"))
    assert np.array_equal(counts.reshape(rates.shape), true["train_encod_data"][0])


def test_neurocaas_zips_hold_what_was_promised(tmp_path):
    out = carried_out("neurocaas.sh", tmp_path)
    with zipfile.ZipFile(out / "autolfads.zip") as one, zipfile.ZipFile(out / "sessions_out.zip") as several:
        both = {"README.txt", "fitlog.csv", "config.yaml", "run.json", "report.html", "evaluation.json"}
        assert both | {"lfads_output_data.h5", "search.json", "fitlog_best.csv"} <= set(one.namelist())
        assert both | {"lfads_output_session1.h5", "lfads_output_session2.h5"} <= set(several.namelist())
        assert any(name.startswith("checkpoints/") and name.endswith(".pt") for name in one.namelist())
        assert not any(name.startswith("search") for name in several.namelist())
        rows = list(csv.DictReader(one.read("fitlog.csv").decode().splitlines()))
        assert {row["member"] for row in rows} == {"0", "1"}
        one.extract("lfads_output_data.h5", out / "unpacked")
    assert r2_of(out / "unpacked" / "lfads_output_data.h5") > FLOORS["bundle"]


def test_nlb_tools_held_out_neurons_of_an_nwb_file_are_predicted_better_than_by_smoothing(tmp_path):
    pytest.importorskip("pynwb", reason="the extra nwb is not installed")
    out = carried_out("nlb_tools.sh", tmp_path)
    data = arrays(out / "nlb.h5")
    assert data["train_encod_data"].shape == (192, 30, 45)
    assert data["valid_recon_data"].shape == (48, 40, 60)
    scores = json.loads((out / "runs" / "nlb" / "evaluation.json").read_text(encoding="utf-8"))
    model, smoothing = (scores["sessions"]["nlb"]["scores"]["valid"][name] for name in ("LFADS", "Gaussian smoothing"))
    assert model["co_bps"] > max(FLOORS["co_bps"], smoothing["co_bps"])
    assert model["fp_bps"] > max(FLOORS["fp_bps"], smoothing["fp_bps"])
    assert model["velocity_r2"] > FLOORS["velocity"]
