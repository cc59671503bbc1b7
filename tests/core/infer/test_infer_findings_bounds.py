"""Each sentence on a training in full, and where it begins to hold."""

from __future__ import annotations

import re

import h5py
import numpy as np
import pytest

from lfads_core.config.load import resolve
from lfads_core.data.session import Session, Split
from lfads_core.errors import ConfigError
from lfads_core.infer.findings import findings, informed, of_expected
from lfads_core.plugins import load_registry
from lfads_core.runs import Run


@pytest.fixture
def found(tmp_path, tiny_settings):
    """What is found with a log, scores and outputs of a split; none of them need be there."""

    def look(*overrides, costs=None, scores=None, split="valid", column="valid/recon_smooth", **outputs):
        (tmp_path / "fitlog.csv").unlink(missing_ok=True)
        if costs is not None:
            rows = "".join(f"{i},{cost}\n" for i, cost in enumerate(costs))
            (tmp_path / "fitlog.csv").write_text(f"epoch,{column}\n{rows}", encoding="utf-8")
        if outputs:
            with h5py.File(tmp_path / "lfads_output_s.h5", "w") as file:
                for key, value in outputs.items():
                    file[f"{split}_{key}"] = value
        return findings(Run(tmp_path), resolve([], (), [*tiny_settings, *overrides], load_registry()), scores or {})

    return look


def test_without_a_log_scores_and_outputs_nothing_is_known_to_be_wrong(found):
    assert found() == {}
    assert found(costs=[1.0, 2.0, 3.0, 4.0], column="valid/loss_smooth") == {}
    assert found(costs=[]) == {}


def test_ramps_that_a_training_did_not_reach_the_end_of(found):
    ramps = ("regularisation.kl_ramp.increase_epochs=9", "regularisation.l2_ramp.increase_epochs=4")
    assert found(*ramps, costs=[1.0] * 9) == {
        "ramps_unfinished": "the training ended after 9 epochs, and epoch 10 is the first in which the KL and L2 terms count in full, so no epoch "
        "could be judged the best, and the last one is used. Give it more time, or shorten the ramps: --set regularisation.kl_ramp.increase_epochs=3 "
        "--set regularisation.l2_ramp.increase_epochs=3."
    }
    assert list(found(costs=[3.0, 2.0])) == ["ramps_unfinished"]
    assert found(costs=[3.0, 2.0, 1.0]) == {}


WORSE = (
    "the validation cost has been getting worse since epoch {} of 8 ({}, in the end {}): the model learns its training trials by heart. The weights "
    "of the best epoch are used. Try a larger model.dropout or regularisation.l2_generator, a smaller model.generator.hidden, or more trials."
)


@pytest.mark.parametrize(
    ("costs", "said"),
    [
        ([10.5, 9, 8, 0.5, 1, 1.2, 9, 1.75], (4, 0.5, 1.75)),
        ([10.5, 9, 8, 0.5, 1, 1.2, 9, 1.5], None),  # a tenth of what was gained is lost, and no more
        ([10.5, 9, 8, 1, 0.5, 1.2, 9, 3.5], None),  # better in the second half
        ([10.5, 0.1, 8, 0.5, 1, 1.2, 9, 1.75], (4, 0.5, 1.75)),  # the second epoch does not count
        ([10.5, 0.1, 0.5, 1, 1, 1.2, 9, 4.25], (3, 0.5, 4.25)),
    ],
)
def test_a_cost_that_grows_in_the_second_half(found, costs, said):
    assert found(costs=costs) == ({} if said is None else {"validation_worse": WORSE.format(*said)})


def test_costs_that_never_fell(found):
    text = (
        "no epoch that counts was better on validation trials than the first one (1.25, best {}): nothing was learnt that holds for other trials. "
        "Try a smaller optim.lr or model, and look whether training and validation trials are alike."
    )
    assert found(costs=[1.25, 0.1, 1.5, 1.25, 2.0]) == {"never_better": text.format(1.25)}
    assert found(costs=[1.25, 0.1, 1.5, 1.75, 2.0]) == {"never_better": text.format(1.5)}
    assert found(costs=[1.25, 0.1, 1.5, 1.0, 1.0]) == {}


@pytest.mark.parametrize(
    ("scores", "what", "shown"),
    [
        ({"valid/co_bps": 0.0, "valid/bps": 0.5}, "held-out channels", "bits per spike 0.000"),
        ({"valid/bps": -0.0626, "valid/r2": 0.5}, "validation trials", "bits per spike -0.063"),
        ({"valid/r2": -1.5}, "validation trials", "R² -1.500"),
        ({"valid/co_bps": 0.25, "valid/bps": -0.5}, None, None),
        ({"valid/r2": 0.5, "train/bps": -1.0}, None, None),
    ],
)
def test_scores_of_predictions_that_are_no_better_than_means(found, scores, what, shown):
    text = (
        f"the model predicts {what} no better than each channel's mean does ({shown}). Try a longer training, a smaller optim.lr, or wider bins; "
        "if channels share nothing, no model of shared dynamics can do better."
    )
    assert found(scores=scores) == ({} if what is None else {"no_better_than_means": text})


def posteriors(trials=2, ic_std=0.5, co_std=0.5, ic=(1, 0.0), co=(3, 2, 0.0)):
    """Posteriors whose means are one number up and down from trial to trial, and whose deviations are another."""
    sign = np.where(np.arange(trials) % 2, 1.0, -1.0)
    *ic_shape, ic_mean = ic
    *co_shape, co_mean = co
    return {
        "ic_mean": sign[:, None] * np.full((trials, *ic_shape), ic_mean), "ic_std": np.full((trials, *ic_shape), ic_std),
        "co_means": sign[:, None, None] * np.full((trials, *co_shape), co_mean), "co_stds": np.full((trials, *co_shape), co_std),
    }  # fmt: skip


def test_latents_that_stayed_at_their_prior(found):
    texts = found("regularisation.kl_ic=1e-5", "regularisation.kl_inputs=1e-4", **posteriors(ic=(1, 0.05)), costs=[3.0, 2.0])
    assert list(texts) == ["ic_at_prior", "inputs_at_prior", "ramps_unfinished"]
    assert texts["ic_at_prior"] == (
        "the initial conditions stayed at their prior: at most 1.0% of their variance comes from the data, so the model does without them. If it "
        "should not, make them cheaper: --set regularisation.kl_ic=1e-06; if it may, the generator starts every trial alike."
    )
    assert texts["inputs_at_prior"] == (
        "the inferred inputs stayed at their prior: at most 0.0% of their variance comes from the data, so the model does without them. If it should "
        "not, make them cheaper: --set regularisation.kl_inputs=1e-05; if it may, model.controller=null is faster and says the same."
    )


@pytest.mark.parametrize(
    ("given", "settings", "said"),
    [
        ({}, (), ["ic_at_prior", "inputs_at_prior"]),
        ({"trials": 1}, (), []),  # one trial varies in nothing
        ({"ic_std": 0.0}, (), ["inputs_at_prior"]),  # no posterior
        ({"co_std": 0.0}, (), ["ic_at_prior"]),
        ({"co": (3, 0, 0.0)}, (), ["ic_at_prior"]),  # no inputs
        ({}, ("regularisation.kl_ic=0",), ["inputs_at_prior"]),
        ({}, ("regularisation.kl_inputs=0",), ["ic_at_prior"]),
        ({"ic": (1, 1.0), "ic_std": 7.0}, (), ["inputs_at_prior"]),  # 1 / (1 + 49) is the least share
        ({"ic": (1, 1.0), "ic_std": 7.1}, (), ["ic_at_prior", "inputs_at_prior"]),
    ],
)
@pytest.mark.parametrize("split", ["valid", "train"])
def test_only_latents_with_a_prior_that_do_not_follow_the_data_are_named(found, given, settings, said, split):
    assert list(found(*settings, split=split, **posteriors(**given))) == said


@pytest.mark.parametrize("name", ["kl_ic", "kl_inputs"])
def test_a_price_that_has_not_been_settled_is_named(found, name):
    with pytest.raises(ConfigError, match=re.escape(f"regularisation.{name}: must be a number once the recordings are known, got auto.")):
        found(f"regularisation.{name}=auto", **posteriors())


def test_the_informed_share_has_no_unit_and_is_none_where_nothing_varies():
    rng = np.random.default_rng(0)
    means, stds = rng.normal(size=(50, 7, 3)) * [0.5, 1.0, 2.0], rng.uniform(0.5, 1.0, size=(50, 7, 3))
    flat, left = means.reshape(-1, 3), (stds**2).reshape(-1, 3).mean(axis=0)
    explained = ((flat - flat.mean(axis=0)) ** 2).mean(axis=0)
    for unit in (1.0, 1e-25, 1e25):
        np.testing.assert_allclose(informed((unit * means).astype("f4"), (unit * stds).astype("f4")), explained / (explained + left), rtol=1e-5)
    assert informed(np.zeros((4, 2)), np.zeros((4, 2))).tolist() == [0, 0]


def recording(train, valid, **arrays):
    splits = {name: Split(encod=of, recon=of, external=np.zeros((*of.shape[:2], 0))) for name, of in (("train", train), ("valid", valid))}
    return Session(name="s", path=None, splits=splits, arrays=arrays)


BEYOND = (
    "s: {} of {} expected values are more than 2 times as large as any value of the recording: at most {}, in bin {} of channel {} in {} trial {}, "
    "where the recording has at most {}. A single posterior sample can do that, or a model that is far from right. Look at other seeds, or at "
    "posterior means (lfads infer RUN --means), before these values are used."
)


def test_values_beyond_the_recording_are_more_than_twice_its_largest():
    """Fewer bins than channels; the largest value may be of either sign, and below 1."""
    data = {"train": np.full((3, 2, 4), 0.125), "valid": np.full((2, 2, 4), -0.25)}
    expected = {"train": np.full((3, 2, 4), 0.5), "valid": np.full((2, 2, 4), -0.4375)}
    assert of_expected(recording(**data), expected) == ""
    assert of_expected(recording(**data), {}) == ""
    expected["train"][2, 1, 3], expected["valid"][1, 0, 0], expected["valid"][0, 1, 2] = -0.75, 0.625, 0.5
    session = recording(**data)
    assert of_expected(session, expected) == BEYOND.format(2, 40, -0.75, 1, 3, "train", 2, 0.25)
    session = recording(**data, channel_order=np.array([2, 0, 3, 1]))
    assert of_expected(session, expected) == BEYOND.format(2, 40, -0.75, 1, 1, "train", 2, 0.25)


def test_a_split_without_trials_has_no_values():
    data, none = np.full((3, 2, 4), 0.25), np.zeros((0, 2, 4))
    assert of_expected(recording(data, none), {"train": data, "valid": none}) == ""
    assert of_expected(recording(data * 0, none), {"train": data, "valid": none}) == ""
    found = of_expected(recording(data, none), {"train": 3 * data, "valid": none})
    assert found == BEYOND.format(24, 24, 0.75, 0, 0, "train", 0, 0.25)
