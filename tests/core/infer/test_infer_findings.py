"""What went wrong in a training is said in sentences: each where it holds, and only there."""

from __future__ import annotations

import h5py
import numpy as np
import pytest
import torch

import lfads_core
from lfads_core.config.load import resolve
from lfads_core.data.session import Session, Split
from lfads_core.infer.findings import findings, informed, informed_once, of_expected
from lfads_core.infer.run import infer_files
from lfads_core.plugins import load_registry
from lfads_core.runs import Run


@pytest.fixture
def found(tmp_path, tiny_settings):
    def look(costs, scores=None, outputs=None, *overrides):
        (tmp_path / "fitlog.csv").write_text("epoch,valid/recon_smooth\n" + "".join(f"{i},{c}\n" for i, c in enumerate(costs)), encoding="utf-8")
        if outputs is not None:
            with h5py.File(tmp_path / "lfads_output_s.h5", "w") as file:
                for key, value in outputs.items():
                    file[f"valid_{key}"] = value
        return findings(Run(tmp_path), resolve([], (), [*tiny_settings, *overrides], load_registry()), scores or {})

    return look


def latents(ic=1.0, inputs=1.0):
    rng = np.random.default_rng(0)
    return {
        "ic_mean": ic * rng.normal(size=(20, 4)), "ic_std": np.full((20, 4), 0.5),
        "co_means": inputs * rng.normal(size=(20, 8, 2)), "co_stds": np.full((20, 8, 2), 0.5),
    }  # fmt: skip


def test_nothing_is_said_of_a_training_that_went_well(found):
    assert found([1.0, 0.9, 0.8, 0.7, 0.6, 0.6], {"valid/bps": 0.2, "valid/co_bps": 0.1}, latents()) == {}


def test_a_training_that_ended_before_its_ramps_is_named(found):
    text = found([1.0, 0.9])["ramps_unfinished"]
    assert text == (
        "the training ended after 2 epochs, and epoch 3 is the first in which the KL and L2 terms count in full, so no epoch could be judged the "
        "best, and the last one is used. Give it more time, or shorten the ramps: --set regularisation.kl_ramp.increase_epochs=0 "
        "--set regularisation.l2_ramp.increase_epochs=0."
    )


def test_a_validation_cost_that_has_been_growing_is_named_with_the_epoch(found):
    text = found([1.0, 0.9, 0.8, 0.5, 0.6, 0.7, 0.8, 0.9])["validation_worse"]
    assert text.startswith("the validation cost has been getting worse since epoch 4 of 8 (0.5, in the end 0.9):")
    assert found([1.0, 0.9, 0.8, 0.5, 0.51, 0.51, 0.52, 0.52]) == {}


def test_a_training_that_learnt_nothing_is_named(found):
    assert found([1.0, 1.1, 1.2, 1.3])["never_better"].startswith(
        "no epoch that counts was better on validation trials than the first one (1, best 1.2)"
    )


@pytest.mark.parametrize(
    ("scores", "said"),
    [
        ({"valid/bps": 0.3, "valid/co_bps": -0.01}, "held-out channels no better than each channel's mean does (bits per spike -0.010)"),
        ({"valid/bps": 0.0}, "validation trials no better than each channel's mean does (bits per spike 0.000)"),
        ({"valid/r2": -0.5}, "validation trials no better than each channel's mean does (R² -0.500)"),
        ({"valid/bps": 0.3, "valid/r2": -0.5}, None),
        ({}, None),
    ],
)
def test_predictions_no_better_than_means_are_named(found, scores, said):
    text = found([1.0, 0.9, 0.8, 0.7], scores).get("no_better_than_means")
    assert text is None if said is None else said in text


def test_latents_at_their_prior_are_named_with_a_price_to_try(found):
    texts = found([1.0, 0.9, 0.8, 0.7], {}, latents(ic=1e-3, inputs=1e-3))
    assert set(texts) == {"ic_at_prior", "inputs_at_prior"}
    assert texts["inputs_at_prior"] == (
        "the inferred inputs stayed at their prior: at most 0.0% of their variance comes from the data, so the model does without them. If it should "
        "not, make them cheaper: --set regularisation.kl_inputs=2e-06; if it may, model.controller=null is faster and says the same."
    )


def test_one_latent_that_follows_the_data_is_enough(found):
    outputs = latents(inputs=0.0)
    outputs["co_means"][:, :, 1] = np.random.default_rng(1).normal(size=(20, 8))
    assert found([1.0, 0.9, 0.8, 0.7], {}, outputs) == {}


@pytest.mark.parametrize(("push", "said"), [(0.25, {"inputs_at_prior"}), (0.5, set())])
def test_inputs_that_come_once_a_trial_are_not_at_their_prior(found, push, said):
    rng = np.random.default_rng(3)
    means, stds = 1e-3 * rng.normal(size=(20, 60, 2)), np.full((20, 60, 2), 0.5)
    means[np.arange(20), rng.integers(60, size=20), 1] += push * 0.5
    assert informed(means, stds).max() < 0.02
    assert set(found([1.0, 0.9, 0.8, 0.7], {}, {**latents(), "co_means": means, "co_stds": stds})) == said


def test_the_share_of_the_bin_that_moves_most_is_that_of_a_loop():
    rng = np.random.default_rng(4)
    means, stds = rng.normal(size=(7, 5, 3)), rng.uniform(0.5, 2, size=(7, 5, 3))
    expected = []
    for latent in range(3):
        moved = [row - means[:, :, latent].mean(axis=0) for row in means[:, :, latent]]
        shares = [[d**2 / (d**2 + s**2) for d, s in zip(*trial, strict=True)] for trial in zip(moved, stds[:, :, latent], strict=True)]
        expected.append(sorted(max(trial) for trial in shares)[3])
    np.testing.assert_allclose(informed_once(means, stds), expected)


def test_latents_that_cost_nothing_or_are_no_posterior_are_left_alone(found):
    free = ("regularisation.kl_ic=0", "regularisation.kl_inputs=0")
    assert found([1.0, 0.9, 0.8, 0.7], {}, latents(ic=0.0, inputs=0.0), *free) == {}
    off = {**latents(), "co_means": np.zeros((20, 8, 0)), "co_stds": np.zeros((20, 8, 0))}
    assert found([1.0, 0.9, 0.8, 0.7], {}, off) == {}


def test_the_informed_share_is_that_of_the_law_of_total_variance():
    rng = np.random.default_rng(2)
    means, stds = rng.normal(size=(400, 3)) * [0.0, 1.0, 2.0], np.ones((400, 3))
    draws = (means[..., None] + stds[..., None] * rng.normal(size=(400, 3, 500))).transpose(0, 2, 1).reshape(-1, 3)
    np.testing.assert_allclose(informed(means, stds), means.var(axis=0) / draws.var(axis=0), atol=0.01)


def recording(train, valid, **arrays):
    def split(values):
        return Split(encod=values, recon=values, external=np.zeros((*values.shape[:2], 0)))

    return Session(name="s", path=None, splits={"train": split(train), "valid": split(valid)}, arrays=arrays)


def test_expected_values_far_beyond_the_recording_are_named_with_their_place():
    rng = np.random.default_rng(0)
    data = {"train": rng.normal(size=(6, 5, 4)), "valid": rng.normal(size=(3, 5, 4))}
    data["train"][2, 3, 1], data["valid"][0, 0, 0] = -25.0, np.nan
    expected = {split: values.clip(-20, 20) for split, values in data.items()} | {"valid": np.zeros((3, 5, 4))}
    expected["valid"][1, 4, 2] = 49.9
    assert of_expected(recording(**data), expected) == ""
    expected["valid"][1, 4, 2], expected["train"][5, 0, 0] = -137.0, 51.0
    text = (
        "s: 2 of 180 expected values are more than 2 times as large as any value of the recording: at most -137, in bin 4 of channel {} in valid "
        "trial 1, where the recording has at most 25."
    )
    assert of_expected(recording(**data), expected).startswith(text.format(2))
    turned = of_expected(recording(**data, channel_order=np.array([3, 1, 0, 2])), expected)
    assert turned.startswith(text.format(0))


def test_a_silent_recording_has_nothing_to_be_compared_with():
    silent = np.zeros((2, 3, 1))
    assert of_expected(recording(silent, silent), {"train": silent + 0.1}) == ""


def test_inference_says_what_lies_beyond_the_recording(train_tiny, caplog):
    run = train_tiny("train.epochs=1").run
    assert "beyond_the_data" not in run.read_state()["findings"]
    loaded = lfads_core.load(run.path)
    with torch.no_grad():
        for parameter in loaded.model.readouts.parameters():
            parameter.add_(10.0)
    infer_files(loaded, None, samples=None, output=None)
    assert "expected values are more than 2 times as large as any value of the recording" in caplog.text


@pytest.mark.long
def test_a_run_keeps_what_was_found_and_says_it(train_tiny, resume):
    finished = train_tiny("train.epochs=2")
    state = finished.run.read_state()
    assert "ramps_unfinished" in state["findings"]
    resume("train.epochs=9")
    assert "ramps_unfinished" not in finished.run.read_state()["findings"]
