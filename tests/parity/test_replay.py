"""Fixtures replayed against the library: the published ones where they are at hand, our own always, and altered ones."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import sys
from dataclasses import replace

import h5py
import numpy as np
import pytest
import torch

from backends import ON_CPU
from parity.fixture import read_fixture
from parity.replay import main, replay, replay_fixture


@pytest.fixture(scope="session")
def published(shared):
    folder = shared / "parity" / "open"
    if not folder.is_dir():
        pytest.skip("no published parity fixtures beside the repository")
    return folder


@pytest.fixture(params=["published", "own_fixtures"])
def folder(request):
    return request.getfixturevalue(request.param)


def run(capsys, *arguments):
    code = main([str(a) for a in arguments])
    records = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    return code, [r for r in records if "summary" not in r], [r for r in records if "summary" in r]


@pytest.mark.parametrize("recurrence", ON_CPU)
def test_every_fixture_is_reproduced_in_float64_to_rounding(folder, recurrence, usable, capsys):
    usable(recurrence)
    paths = sorted(p for p in folder.iterdir() if p.suffix in (".h5", ".json"))
    code, records, summaries = run(capsys, *paths, "--recurrence", recurrence)
    assert [r for r in records if not r["ok"]] == []
    assert code == 0
    assert [s["file"] for s in summaries] == [p.name for p in paths]
    assert all(s["compared"] > 0 for s in summaries)
    assert max(s["largest_error"] for s in summaries) < 1e-12
    assert torch.get_default_dtype() == torch.float32


@pytest.mark.long
@pytest.mark.parametrize("recurrence", ON_CPU)
def test_every_fixture_is_reproduced_in_float32_within_1e_4(folder, recurrence, usable, capsys):
    usable(recurrence)
    code, records, _ = run(capsys, *sorted(folder.glob("*.h5")), "--float32", "--recurrence", recurrence)
    assert [r for r in records if not r["ok"]] == []
    assert code == 0


def test_the_notes_say_where_the_published_files_are_not_aligned(published, capsys):
    names = ("c_controller_ext_ic_enc_seq", "k_cd_model_ic_enc_seq", "k_coordinated_dropout", "k_sample_validation")
    _, records, _ = run(capsys, *(published / f"{name}.h5" for name in names))
    noted = {r["case"] for r in records if "bins early" in r.get("note", "")}
    assert noted == set(names)
    aligned = {r["array"] for r in records if r["array"].endswith("(aligned)")}
    assert "cd1/grad_weighted_sum_wrt_loss_in (aligned)" in aligned
    assert "sv1/logged_heldout (aligned)" in aligned
    _, records, _ = run(capsys, published / "c2_controller_ext_full_ic_enc_seq.h5")
    assert not any("early" in r.get("note", "") for r in records)


@pytest.fixture
def decisions():
    """A file of decisions, small enough to be worked out by hand or by Python itself."""
    rng = random.Random(5)
    values = []
    for _ in range(20):
        pair = rng.uniform(0.0006, 0.3), rng.uniform(-0.3, -0.0006)
        values.append(2.0 * (1 + rng.choice(pair)))
    order = [0, 1, 2, 3]
    random.Random(6).shuffle(order)
    scores = [0.0, 3.0, 2.0, 1.0]
    pairs = list(zip(order[:2], order[2:], strict=True))
    numpy_rng = np.random.RandomState(7)
    return {
        "description": "",
        "explore": [
            {
                "name": "x",
                "min": 0.0,
                "max": 9.0,
                "explore_wt": 0.3,
                "enforce": True,
                "start": 2.0,
                "python_random_seed": 5,
                "values": values,
                "min_value": min(values),
                "fraction_up": sum(v > 2 for v in values) / 20,
            },
            {
                "name": "x",
                "min": 0.0,
                "max": 9.0,
                "explore_wt": 0.3,
                "enforce": True,
                "start": 2.0,
                "python_random_seed": 1,
                "fraction_up": 0.5,
                "ratio_max": 1.3,
                "min_value": 1.4,
            },
        ],
        "sampling": [
            {"sample_fn": "randint", "min": 3, "max": 9, "numpy_global_seed": 7, "values": [int(numpy_rng.randint(3, 9)) for _ in range(9)]}
        ],
        "tournament": [
            {
                "python_random_seed": 6,
                "scores": scores,
                "finished": [False] * 4,
                "losers": [min(p, key=scores.__getitem__) for p in pairs],
                "winners": [max(p, key=scores.__getitem__) for p in pairs],
            }
        ],
        "stopper": [
            {
                "num_trials": 1,
                "perturbation_interval": 2,
                "burn_in_period": 1,
                "patience": 2,
                "min_improvement_ratio": 0.1,
                "calls_epoch_trial_value_result": [[0, 0, 4.0, False], [1, 0, 9.0, False], [2, 0, 3.0, False], [3, 0, 9.0, False], [4, 0, 2.9, True]],
                "stops_at_epoch_trial": [4, 0],
            }
        ],
        "semantics": {},
    }


def test_decisions_of_population_based_training_are_replayed(decisions, tmp_path, capsys):
    path = tmp_path / "p_pbt.json"
    path.write_text(json.dumps(decisions))
    code, records, _ = run(capsys, path)
    assert [r for r in records if not r["ok"]] == []
    assert (code, len(records)) == (0, 11)


@pytest.mark.parametrize(
    ("section", "key", "change"),
    [
        ("explore", "values", lambda v: [v[0] * (1 + 1e-8), *v[1:]]),
        ("explore", "fraction_up", lambda v: v + 0.05),
        ("sampling", "values", lambda v: [v[0] + 1, *v[1:]]),
        ("tournament", "losers", lambda v: v[::-1]),
        ("stopper", "calls_epoch_trial_value_result", lambda v: [*v[:-1], [*v[-1][:3], False]]),
        ("stopper", "stops_at_epoch_trial", lambda _: None),
    ],
)
def test_an_altered_decision_is_found(section, key, change, decisions, tmp_path, capsys):
    path = tmp_path / "p_pbt.json"
    decisions[section][0][key] = change(decisions[section][0][key])
    path.write_text(json.dumps(decisions))
    code, records, _ = run(capsys, path)
    assert code == 1
    assert [r["array"] for r in records if not r["ok"]] == [f"{section}/0/{key}"]


def test_a_statistic_that_cannot_be_ours_and_a_name_nobody_knows_are_found(decisions, tmp_path, capsys):
    path = tmp_path / "p_pbt.json"
    decisions["explore"][1]["fraction_up"] = 0.7
    decisions["stopper"][0]["mood"] = 1
    path.write_text(json.dumps(decisions))
    code, records, _ = run(capsys, path)
    assert code == 1
    assert [r["array"] for r in records if not r["ok"]] == ["explore/1/fraction_up", "stopper/0/mood"]


ALTERED = [
    ("a_poisson_controller_cosmooth_forward", "outputs/factors"),
    ("a_poisson_controller_cosmooth_forward", "outputs/output_params"),
    ("a_poisson_controller_cosmooth_forward", "intermediate/ci"),
    ("a_poisson_controller_cosmooth_forward", "loss/total"),
    ("a_poisson_controller_cosmooth_forward", "loss/kl_ramp"),
    ("a_poisson_controller_cosmooth_forward", "loss/recon_all"),
    ("a_poisson_controller_cosmooth_forward", "grads/encoder.ci_enc_h0"),
    ("a_poisson_controller_cosmooth_forward", "grads/co_prior.logtaus"),
    ("a_poisson_controller_cosmooth_forward", "weights/decoder.rnn.cell.gen_cell.weight_hh"),
    ("a_poisson_controller_cosmooth_forward", "weights/decoder.rnn.cell.gen_cell.bias_hh"),
    ("a_poisson_controller_cosmooth_forward", "noise/co_kl_normal"),
    ("a_poisson_controller_cosmooth_forward", "inputs/recon_data"),
    ("b2_no_controller_no_input", "outputs/gen_states"),
    ("h_multisession_pcr", "pcr_init/sess1/readout_weight"),
    ("h_multisession_pcr", "loss/sess2/recon"),
    ("h_multisession_pcr", "outputs/sess0/co_stds"),
    ("i_studentt_means", "logprob/co_prior_log_prob"),
    ("k_cd_model_ic_enc_seq", "loss/recon_all_before_augmentation"),
    ("k_cd_model_ic_enc_seq", "grads/readout.0.weight"),
    ("k_sbtt_cd_model", "inputs/recon_data_after_augmentation"),
    ("j_ar_prior", "ar0/grad_kl_wrt_logtaus"),
    ("j_ar_prior", "mvn0/kl_on_first_step_only"),
    ("k_coordinated_dropout", "cd1/grad_weighted_sum_wrt_loss_in"),
    ("k_sample_validation", "sv1/logged_heldout"),
    ("k_sbtt", "loss_out"),
    ("k_temporal_shift", "encod_shift"),
    ("k_spike_jitter", "expected_destination_probability"),
    ("k_spike_jitter", "measured_destination_fraction"),
    ("n_metrics", "regional/co_bps"),
    ("n_metrics", "exp_smoothed0/smoothed"),
    ("n_nlb_tools", "eval_psth/value_with_jitter"),
    ("o_adamw20_means", "steps/grad_norm"),
    ("o_adamw20_means", "steps/epoch"),
    ("o_adamw20_means", "final_weights/decoder.con_h0"),
    ("s_posterior_average", "outputs/output_params"),
]


@pytest.mark.long
@pytest.mark.parametrize(("case", "array"), ALTERED)
def test_one_altered_number_is_noticed(own_fixtures, case, array):
    fixture = read_fixture(own_fixtures / f"{case}.h5")
    values = fixture.arrays[array].copy()
    values.reshape(-1)[values.size // 2] += 1 if values.dtype.kind in "iu" else 1e-5 * max(float(np.nanmax(np.abs(values))), 1e-3)
    altered = replace(fixture, arrays={**fixture.arrays, array: values})
    assert not replay_fixture(fixture).failures
    assert replay_fixture(altered).failures


def test_an_altered_schedule_is_noticed(own_fixtures, tmp_path):
    data = json.loads((own_fixtures / "r_schedules.json").read_text())
    data["plateau"][0]["lr_after_epoch"][-1] *= 1 + 1e-6
    path = tmp_path / "r_schedules.json"
    path.write_text(json.dumps(data))
    assert [r["array"] for r in replay(path).failures] == ["plateau/0/lr_after_epoch"]


def test_an_array_that_the_replay_does_not_know_is_a_failure(own_fixtures):
    fixture = read_fixture(own_fixtures / "x_mse.h5")
    more = replace(fixture, arrays={**fixture.arrays, "outputs/novelty": np.zeros(3), "novelty": np.zeros(3)})
    assert {r["array"] for r in replay_fixture(more).failures} == {"outputs/novelty", "novelty"}


@pytest.mark.parametrize(
    ("frozen", "unreached", "failing"),
    [
        (["ic_prior.mean", "ic_prior.logvar"], [], {"frozen_params/ic_prior.mean", "trainable/ic_prior.mean"}),
        (["ic_prior.logvar"], ["ic_prior.mean"], {"params_without_grad/ic_prior.mean"}),
        ([], [], set()),
    ],
)
def test_what_is_frozen_and_what_gets_no_gradient_is_checked(own_fixtures, frozen, unreached, failing):
    fixture = read_fixture(own_fixtures / "a2_poisson_mvn_co_prior.h5")
    attributes = {**fixture.attributes, "frozen_params": frozen, "params_without_grad": unreached}
    assert {r["array"] for r in replay_fixture(replace(fixture, attributes=attributes)).failures} == failing


def test_a_gradient_that_the_file_does_not_list_is_a_failure(own_fixtures):
    fixture = read_fixture(own_fixtures / "x_mse.h5")
    fewer = replace(fixture, arrays={name: a for name, a in fixture.arrays.items() if name != "grads/ic_prior.mean"})
    assert {r["array"] for r in replay_fixture(fewer).failures} == {"our parameter ic_prior.mean"}


def test_a_missing_value_where_none_is_expected_is_a_failure_that_json_can_say(own_fixtures):
    fixture = read_fixture(own_fixtures / "x_mse.h5")
    values = fixture.arrays["outputs/factors"].copy()
    values[0, 0, 0] = np.nan
    failures = replay_fixture(replace(fixture, arrays={**fixture.arrays, "outputs/factors": values})).failures
    assert [(r["array"], r["error"]) for r in failures] == [("outputs/factors", None)]


@pytest.mark.long
def test_the_script_exits_1_on_an_altered_file_and_2_on_files_that_are_no_fixtures(root, own_fixtures, tmp_path):
    altered, foreign, text = tmp_path / "altered.h5", tmp_path / "foreign.h5", tmp_path / "text.h5"
    shutil.copy(own_fixtures / "x_mse.h5", altered)
    with h5py.File(altered, "r+") as file:
        file["grads/readout.0.bias"][0] += 1e-6
    with h5py.File(foreign, "w") as file:
        file["train_encod_data"] = np.zeros((2, 3, 4))
    text.write_text("not HDF5")

    def script(*paths):
        return subprocess.run([sys.executable, "tests/parity/replay.py", *map(str, paths)], cwd=root, capture_output=True, text=True, check=False)

    done = script(own_fixtures / "x_mse.h5", altered)
    assert (done.returncode, done.stderr) == (1, "")
    assert [json.loads(line)["array"] for line in done.stdout.splitlines() if '"ok": false' in line and "summary" not in line] == [
        "grads/readout.0.bias"
    ]
    done = script(own_fixtures / "x_mse.h5", foreign, text)
    assert (done.returncode, done.stderr) == (2, "")
    messages = [json.loads(line).get("message") for line in done.stdout.splitlines() if "summary" in line]
    assert messages[:2] == [None, f"{foreign}: must be a parity fixture with the attribute 'case', got another program's file"]
    assert messages[2].startswith(f"{text}: must be a readable HDF5 file, got: ")
