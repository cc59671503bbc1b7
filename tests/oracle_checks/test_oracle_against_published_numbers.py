"""The NumPy oracle against the published numbers: outputs, losses and gradients to 1e-11 of each array's largest value.

Three published files hold a shift by the length of the IC segment that we do not repeat. What it touches:
- ``c``: the file gives an external input whose first bins were cut off. Array bin 0 belongs to output bin 0 here as everywhere, so the
  arithmetic is the published one; which bins to hand over is the data module's matter.
- ``k_cd_model_ic_enc_seq``: only the gradients; ``k_coordinated_dropout/cd1``: only the gradient; ``k_sample_validation/sv1``: the losses.
  There the aligned numbers must differ, and must agree once the mask is laid on bin 0 on purpose.
"""

import json
from dataclasses import replace

import numpy as np
import pytest

from oracle import pieces
from oracle.augmentations import jitter_probability
from oracle.case import Case
from oracle.derive import gradients, posterior_average
from oracle.files import case_from, group, read_file, session_from
from oracle.lfads_numpy import ramp, run
from oracle.priors import student_t_log_density
from oracle.recipes import RECIPES
from oracle.training import reduce_on_plateau, train
from oracle.weights import frozen

TOLERANCE = 1e-11
SHIFTED = "k_cd_model_ic_enc_seq"
MODELS = [r.name for r in RECIPES if not r.name.startswith("y_")]


def differs(found, expected):
    """Largest difference relative to the largest expected value; shapes and NaNs must agree."""
    found, expected = np.asarray(found), np.asarray(expected)
    assert found.shape == expected.shape
    assert (np.isnan(found) == np.isnan(expected)).all()
    if expected.size == 0 or np.isnan(expected).all():
        return 0.0
    largest = np.nanmax(np.abs(expected))
    return float(np.nanmax(np.abs(found - expected)) / (largest or 1.0))


def wrong(found, expected):
    """The arrays of ``expected`` that ``found`` lacks or misses, with how far off they are."""
    assert expected
    far = {name: differs(found[name], value) if name in found else "absent" for name, value in expected.items()}
    return {name: d for name, d in far.items() if d == "absent" or d > TOLERANCE}


@pytest.fixture
def published(shared):
    def read(name):
        return read_file(shared / "parity" / "open" / f"{name}.h5")

    return read


@pytest.mark.parametrize("name", MODELS)
def test_outputs_and_losses_of_a_model_file_agree(published, name):
    attributes, data = published(name)
    result = run(case_from(attributes, data))
    assert wrong(result.outputs, group(data, "outputs")) == {}
    assert wrong(result.loss, group(data, "loss")) == {}
    assert wrong(result.intermediate, group(data, "intermediate")) == {}
    augmented = {k: v for k, v in group(data, "inputs").items() if k.endswith("_after_augmentation")}
    assert not augmented or wrong(result.inputs, augmented) == {}
    assert set(result.outputs) == set(group(data, "outputs"))


@pytest.mark.parametrize("name", MODELS)
def test_gradients_of_a_model_file_agree(published, name):
    attributes, data = published(name)
    case = case_from(attributes, data)
    if name == SHIFTED:
        case = replace(case, loss_mask_first_bin=0)
    names = [w for w in case.weights if w not in attributes["frozen_params"]]
    assert set(names) - set(attributes["params_without_grad"]) == set(group(data, "grads"))
    assert wrong(gradients(case, names), group(data, "grads")) == {}


def test_with_an_ic_segment_the_published_gradient_mask_lies_elsewhere(published):
    attributes, data = published(SHIFTED)
    expected = group(data, "grads")
    assert set(wrong(gradients(case_from(attributes, data), list(expected)), expected)) == set(expected) - {
        name for name in expected if name.startswith(("ic_prior", "co_prior"))
    }


def test_the_posterior_average_agrees(published):
    attributes, data = published("s_posterior_average")
    assert wrong(posterior_average(case_from(attributes, data), attributes["num_samples"]), group(data, "outputs")) == {}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["o_adamw20_means", "o2_adamw20_sampled_cd"])
def test_twenty_optimiser_steps_agree(published, name):
    attributes, data = published(name)
    config = attributes["config"]
    weights = group(data, "weights")
    cases = []
    for i in range(20):
        masks = {"cd_mask": data["cd_masks"][i], "pass_mask": np.zeros_like(data["cd_masks"][i])} if "cd_masks" in data else {}
        cases.append(
            Case(
                weights=weights,
                config=config,
                sessions=(session_from(group(data, f"batches/{i % 4}")),),
                sample_posteriors=bool(attributes["sample_posteriors"]),
                noise={k: v[i] for k, v in group(data, "noise").items()},
                masks=masks,
                cd_rate=attributes["cd_rate"],
            )
        )
    names = [w for w in weights if w not in frozen(weights)]
    found = train(cases, names, epochs=5, lr=config["lr_init"], weight_decay=config["weight_decay"], grad_clip=attributes["grad_clip"])
    assert wrong(found.steps, group(data, "steps")) == {}
    assert wrong(found.final_weights, group(data, "final_weights")) == {}


@pytest.mark.parametrize(("part", "compute"), [("ar", pieces.ar_prior), ("mvn", pieces.normal_prior)])
@pytest.mark.parametrize("i", range(3))
def test_prior_densities_and_their_gradients_agree(published, part, compute, i):
    given = group(published("j_ar_prior")[1], f"{part}{i}")
    found = compute(given)
    assert wrong(found, {name: given[name] for name in found}) == {}


@pytest.mark.parametrize("name", ["i_studentt_means", "i2_studentt_sampled"])
@pytest.mark.parametrize("which", ["ic", "co"])
def test_student_t_densities_agree(published, name, which):
    attributes, data = published(name)
    x, loc, scale = (data[f"logprob/{which}_{part}"] for part in ("sample", "post_loc", "post_scale"))
    df = attributes["config"][f"{which}_prior"]["df"]
    prior = data[f"weights/{which}_prior.loc"], np.exp(data[f"weights/{which}_prior.logscale"])
    assert differs(student_t_log_density(x, loc, scale, df).sum(axis=-1), data[f"logprob/{which}_posterior_log_prob"]) < TOLERANCE
    assert differs(student_t_log_density(x, *prior, df).sum(axis=-1), data[f"logprob/{which}_prior_log_prob"]) < TOLERANCE


@pytest.mark.parametrize("i", range(3))
def test_coordinated_dropout_agrees(published, i):
    given = group(published("k_coordinated_dropout")[1], f"cd{i}")
    found = pieces.coordinated_dropout(given, first_bin=0)
    assert wrong(found, {name: given[name] for name in found}) == {}
    aligned = pieces.coordinated_dropout(given)
    assert set(wrong(aligned, {name: given[name] for name in aligned})) == ({"grad_weighted_sum_wrt_loss_in"} if given["ic_enc_seq_len"] else set())


@pytest.mark.parametrize("i", range(2))
def test_sample_validation_agrees(published, i):
    given = group(published("k_sample_validation")[1], f"sv{i}")
    found = pieces.sample_validation(given, first_bin=0)
    assert wrong(found, {name: given[name] for name in found}) == {}
    aligned = pieces.sample_validation(given)
    shifted = {"loss_out", "logged_heldout", "grad_weighted_sum_wrt_loss_in"} if given["ic_enc_seq_len"] else set()
    assert set(wrong(aligned, {name: given[name] for name in aligned})) == shifted


def test_missing_values_agree(published):
    given = published("k_sbtt")[1]
    found = pieces.speckled_bins(given)
    assert wrong(found, {name: given[name] for name in found}) == {}


def test_temporal_shift_agrees(published):
    attributes, given = published("k_temporal_shift")
    found = pieces.temporal_shift(given, attributes["max_shift"])
    assert wrong(found, {name: given[name] for name in found}) == {}


def test_spike_jitter_destinations_agree(published):
    attributes, given = published("k_spike_jitter")
    expected = given["expected_destination_probability"]
    assert differs(jitter_probability(len(expected), attributes["width"]), expected) < TOLERANCE


@pytest.mark.parametrize(("name", "compute"), [("n_metrics", pieces.metrics), ("n_nlb_tools", pieces.nlb_metrics)])
def test_metrics_agree(published, name, compute):
    given = published(name)[1]
    found = compute(given)
    assert wrong(found, {key: given[key] for key in found}) == {}


def test_schedules_agree(shared):
    published = json.loads((shared / "parity" / "open" / "r_schedules.json").read_text())
    for item in published["ramps"]:
        values = item["values_by_epoch_from_0"]
        assert differs([ramp(e, item["start_epoch"], item["increase_epoch"]) for e in range(len(values))], values) < TOLERANCE
    for item in published["plateau"]:
        settings = {name: item[name] for name in ("lr_init", "lr_decay", "lr_stop", "lr_patience")}
        assert differs(reduce_on_plateau(item["metric_by_epoch"], **settings), item["lr_after_epoch"]) < TOLERANCE
