"""``lfads eval`` and ``lfads compare`` on tiny runs: numbers against formulas, reasons for what is missing, files, JSON."""

from __future__ import annotations

import csv
import io
import json

import h5py
import numpy as np
import pytest
import torch
from click.testing import CliRunner
from sklearn.metrics import r2_score as sklearn_r2

from lfads_core.cli.main import cli
from lfads_core.infer.loading import load
from lfads_plugins_lab.evaluate.costs import costs_of
from lfads_plugins_lab.evaluate.recorded import recorded_sessions
from lfads_plugins_lab.evaluate.run import evaluate_run
from lfads_plugins_std.metrics.baselines import poisson_nll
from lfads_plugins_std.metrics.ridge import fit_ridge_cv
from lfads_plugins_std.metrics.spikes import bits_per_spike, channel_means


@pytest.fixture
def invoke(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: CliRunner().invoke(cli, [str(part) for part in arguments])


@pytest.fixture
def data(write_tiny):
    rng = np.random.default_rng(8)
    more = {}
    for split, trials in (("train", 12), ("valid", 6), ("test", 6)):
        more[f"{split}_cond"] = np.arange(trials) % 2
        more[f"{split}_behavior"] = rng.normal(size=(trials, 8, 2))
        more[f"{split}_truth"] = rng.gamma(2.0, 0.5, (trials, 8, 5))
    return write_tiny("tiny.h5", splits=("train", "valid", "test"), **more)


@pytest.fixture
def run(train_tiny, data):
    return train_tiny("data.hold_out.fraction=0.4", data=data, name="held").run


def test_scores_are_those_of_the_outputs_by_split_beside_baselines(run):
    report = evaluate_run(load(run.path))
    (session,) = report.sessions
    assert list(session.scores) == ["train", "valid", "test"]
    assert list(session.scores["valid"]) == ["LFADS", "condition average", "Gaussian smoothing", "Poisson regression", "factor analysis"]
    assert list(session.scores["train"]) == ["LFADS"]
    with h5py.File(run.output("tiny")) as file:
        rates, counts = file["valid_output_params"][()], file["valid_recon_data"][()]
    assert session.scores["valid"]["LFADS"]["co_bps"] == pytest.approx(bits_per_spike(rates[..., 3:], counts[..., 3:]))
    assert session.per_channel["valid"]["bps"][4] == pytest.approx(bits_per_spike(rates[..., [4]], counts[..., [4]]))
    final = {name.removeprefix("valid/"): value for name, value in run.read_state()["scores"].items() if name.startswith("valid/")}
    assert session.scores["valid"]["LFADS"] == {name: pytest.approx(value, rel=1e-5) for name, value in final.items()}
    assert {"psth_r2", "velocity_r2", "r2_truth", "r2_truth_median", "r2_truth_vw"} <= set(final)
    assert set(session.lacking) == {"fp_bps", "tp_corr"}
    assert session.lacking["fp_bps"] == "no bins beyond the encoded ones"


def test_costs_are_the_negative_log_likelihoods_of_posterior_means(run):
    loaded = load(run.path)
    (one,) = recorded_sessions(loaded)
    found = costs_of(loaded, one, "valid")
    batchwise = one.session.splits["valid"]
    x = torch.as_tensor(batchwise.encod)
    from lfads_core.components.batch import Batch
    from lfads_core.model.noise import Noise

    batch = Batch(encod=x, recon=torch.as_tensor(batchwise.recon), external=torch.zeros(6, 8, 0), trials=torch.arange(6))
    with torch.no_grad():
        rates = loaded.model.reconstructions["tiny"].mean(loaded.model({"tiny": batch}, Noise()).params["tiny"]).numpy()
    counts = batchwise.recon
    assert found.all == pytest.approx(poisson_nll(rates, counts), rel=1e-5)
    assert found.seen == pytest.approx(poisson_nll(rates[..., :3], counts[..., :3]), rel=1e-5)
    assert found.heldout == pytest.approx(poisson_nll(rates[..., 3:], counts[..., 3:]), rel=1e-5)
    null = np.broadcast_to(channel_means(one.session.splits["train"].recon), counts.shape)
    assert found.null_seen == pytest.approx(poisson_nll(null[..., :3], counts[..., :3]), rel=1e-4)
    assert found.hidden is not None


@pytest.mark.long
def test_the_command_writes_what_it_prints_and_compare_shows_it(invoke, run, train_tiny, data):
    done = invoke("eval", "runs/held", "--few-shot", 4)
    assert done.exit_code == 0, done.output
    assert "bits per spike, held-out channels (co-bps)" in done.stdout
    assert "n/a  speed against time produced, r: the file has no times produced (behaviour of trials by columns)" in done.stdout
    kept = json.loads((run.path / "evaluation.json").read_text())
    printed = json.loads(invoke("eval", "runs/held", "--json").stdout)
    few = kept["sessions"]["tiny"].pop("few_shot")
    assert printed["sessions"]["tiny"].pop("few_shot") is None
    assert kept == printed
    assert (few["trials"], few["why_not"]) == (4, "")
    assert few["co_bps"] is not None
    assert len(kept["sessions"]["tiny"]["per_channel"]["valid"]["r2_truth"]) == 5
    train_tiny("optim.lr=0.02", data=data, name="other")
    table = list(csv.DictReader(io.StringIO(invoke("compare", "runs", "--csv").stdout)))
    assert [row["run"] for row in table] == ["held", "other"]
    assert [row["optim.lr"] for row in table] == ["default", "0.02"]
    assert [row["data.hold_out.fraction"] for row in table] == ["0.4", "default"]
    assert "train.epochs" not in table[0]
    assert float(table[0]["valid/nll"]) == pytest.approx(kept["sessions"]["tiny"]["costs"]["valid"]["all"])
    assert float(table[0]["valid/co_bps"]) == pytest.approx(kept["sessions"]["tiny"]["scores"]["valid"]["LFADS"]["co_bps"], rel=1e-5)
    assert table[1]["valid/nll"] == table[1]["valid/co_bps"] == ""
    assert [row["epochs"] for row in table] == ["5", "5"]
    again = json.loads(invoke("compare", "runs/other", "runs/held", "--json").stdout)
    assert [row["run"] for row in again] == ["other", "held"]
    shown = invoke("compare", "runs/held", "runs/other").stdout
    assert "optim.lr" in shown
    assert invoke("compare", "runs", "-o", "x.csv").stdout == "wrote x.csv\n"


def test_wrong_input_is_one_line(invoke, run, train_tiny, tmp_path):
    def fault(*arguments):
        done = invoke(*arguments)
        assert done.exit_code == 2, done.output
        return done.stderr

    assert fault("eval", "runs/held", "--session", "x") == "error: runs/held: must know the session 'x', got tiny. Name one of these.\n"
    assert fault("compare", "runs/held", "--csv", "--json") == "error: --json, --csv: exclude each other, got both. Give one of them.\n"
    nothing = "must be a run's folder, holding run.json, got nothing. Give a folder that `lfads run` made."
    assert fault("compare", "nothere") == f"error: nothere: {nothing}\n"
    run.output("tiny").unlink()
    missing = "error: runs/held/lfads_output_tiny.h5: there are no outputs yet. Make them with `lfads infer runs/held`.\n"
    assert fault("eval", "runs/held") == missing
    assert fault("report", "runs/held") == missing
    (run.path / "evaluation.json").write_text('{"sessions": {"a": 1}}')
    assert fault("compare", "runs/held").startswith(
        "error: runs/held/evaluation.json: must be what `lfads eval` writes, got something else (TypeError"
    )


@pytest.mark.long
def test_a_decoder_and_averages_of_one_session_are_tried_on_another(train_tiny, write_tiny):
    rng, paths = np.random.default_rng(0), []
    for seed, name in enumerate(("a.h5", "b.h5")):
        more = {f"{s}_cond": np.arange(n) % 3 for s, n in (("train", 12), ("valid", 6))}
        more |= {f"{s}_behavior": rng.normal(size=(n, 8, 1)) for s, n in (("train", 12), ("valid", 6))}
        paths.append(write_tiny(name, seed=seed, **more))
    run = train_tiny(data=paths, name="two").run
    report = evaluate_run(load(run.path), ("b", "a"))
    assert [s.name for s in report.sessions] == list(report.cross.sessions) == ["a", "b"]
    with h5py.File(run.output("a")) as a, h5py.File(run.output("b")) as b:
        fit = fit_ridge_cv(a["train_factors"][()].reshape(-1, 3).astype(float), a["train_behavior"][()].reshape(-1, 1))
        guess = fit(b["valid_factors"][()].reshape(-1, 3).astype(float))
        assert report.cross.decoding[0, 1] == pytest.approx(sklearn_r2(b["valid_behavior"][()].reshape(-1, 1), guess))
        averages = [
            np.stack([file[f"{s}_factors"][()][file[f"{s}_cond"][()] == c].mean(axis=0) for c in range(3)])
            for file, s in ((a, "train"), (b, "valid"))
        ]
        expected = sklearn_r2(averages[1].reshape(-1, 3), averages[0].reshape(-1, 3), multioutput="variance_weighted")
    assert report.cross.conditions[0, 1] == pytest.approx(expected, rel=1e-5)
    assert report.plain()["cross_session"]["conditions"][0][1] == pytest.approx(expected, rel=1e-5)
    assert report.numbers()["eval/valid/bps/a"] == report.sessions[0].scores["valid"]["LFADS"]["bps"]
    few = evaluate_run(load(run.path), ("a",), shots=3)
    assert few.cross is None
    assert few.sessions[0].few_shot.why_not == "no channels are held out (lfads run --hold-out 0.25)"


def test_other_reconstructions_have_r2_instead_of_bits(train_tiny, write_tiny):
    rng = np.random.default_rng(0)
    data = write_tiny("real.h5", **{f"{s}_encod_data": rng.normal(size=(n, 8, 5)).astype("f4") for s, n in (("train", 12), ("valid", 6))})
    run = train_tiny("components.reconstruction=gaussian", data=data, name="real").run
    (session,) = evaluate_run(load(run.path), shots=2).sessions
    assert set(session.scores["valid"]["LFADS"]) == {"r2", "gain_over_constant"}
    assert set(session.scores["valid"]["Gaussian smoothing"]) == {"r2"}
    assert session.lacking["bps"] == "the data are no counts"
    assert session.lacking["condition average"] == "the file names no conditions"
    assert session.lacking["co_r2"] == "no channels are held out (--hold-out)"
    assert session.few_shot.why_not == "bits per spike need counts"
    assert np.isfinite(session.costs["valid"].all)
