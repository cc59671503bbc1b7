"""What the checks find before any training, and in which words."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lfads_core.data.checks import check_sessions, require
from lfads_core.data.layout import session_from_arrays
from lfads_core.data.session import Session, Split
from lfads_core.data.summary import suggest_reconstruction, summarise, summarise_array
from lfads_core.errors import DataError


@pytest.fixture
def recording():
    """Counts of 40 + 20 trials, 10 bins, 10 channels: 4000 and 2000 values; the encoders see the first 9 channels."""
    rng = np.random.default_rng(1)
    arrays = {f"{split}_recon_data": rng.poisson(1.0, (trials, 10, 10)).astype(np.float32) for split, trials in (("train", 40), ("valid", 20))}
    return {**arrays, **{key.replace("recon", "encod"): values[:, :, :9].copy() for key, values in arrays.items()}}


def found(arrays, attributes=None, *, support="counts", observes_missing=False, name="s", **options):
    """Return ``(severity, text)`` of each problem, without the name of the session in front."""
    session = session_from_arrays(name, arrays, attributes)
    problems = check_sessions([session], support=support, observes_missing=observes_missing, **options)
    return [(p.severity, p.text.removeprefix(f"session '{name}': ")) for p in problems]


def test_a_faultless_recording_has_no_problems(recording):
    assert found(recording, batch_size=40) == []


def test_missing_values_need_an_augmentation_that_observes_them(recording):
    recording["train_recon_data"].flat[:12] = np.nan
    text = (
        "'train_recon_data' must have no missing values, got NaN in 12 of 4000 values. "
        "Choose the augmentation 'sbtt' or the recipe 'zig', which take NaN as not observed, or drop these trials."
    )
    assert found(recording) == [("error", text)]
    assert found(recording, observes_missing=None) == [("warning", text)]
    assert found(recording, observes_missing=True) == []


def test_missing_values_in_the_input_count_too(recording):
    recording["valid_encod_data"][3, 2] = np.nan
    text = (
        "'valid_encod_data' must have no missing values, got NaN in 9 of 1800 values. "
        "Choose the augmentation 'sbtt' or the recipe 'zig', which take NaN as not observed, or drop these trials."
    )
    assert found(recording) == [("error", text)]


@pytest.mark.parametrize("observes_missing", [True, False])
def test_infinite_values_are_never_allowed(recording, observes_missing):
    recording["train_recon_data"].flat[:3] = [np.inf, -np.inf, np.inf]
    text = "'train_recon_data' must be finite, got 3 infinite of 4000 values. Mend them, or store NaN for not observed."
    assert found(recording, observes_missing=observes_missing) == [("error", text)]


ALTERNATIVES = "Choose a reconstruction for such values: 'gaussian' (any), 'zero-inflated-gamma' (>= 0), 'gamma' (> 0)"


@pytest.mark.parametrize(
    ("support", "value", "text"),
    [
        ("counts", 0.25, f"must hold counts (0, 1, 2...), got 2 fractional (such as 0.25) of 4000 values. {ALTERNATIVES}, or store counts."),
        ("counts", -1.0, f"must hold counts (0, 1, 2...), got 2 negative of 4000 values. {ALTERNATIVES}, or store counts."),
        ("nonnegative", -0.5, f"must hold values >= 0, got 2 negative of 4000 values. {ALTERNATIVES}, or clip at 0."),
    ],
)
def test_values_outside_the_support_of_the_reconstruction_are_errors(recording, support, value, text):
    recording["train_recon_data"].flat[[5, 77]] = value
    assert found(recording, support=support) == [("error", f"'train_recon_data' {text}")]
    assert found(recording, support="real") == []
    assert found(recording, support=None) == []


def test_zeros_are_errors_where_values_must_be_positive(recording):
    recording = {key: values + 0.1 for key, values in recording.items()}
    assert found(recording, support="positive") == []
    recording["valid_recon_data"].flat[0] = 0
    recording["valid_recon_data"].flat[1] = -1
    text = f"'valid_recon_data' must hold values > 0, got 2 zero or negative of 2000 values. {ALTERNATIVES}, or raise the data to a small floor."
    assert found(recording, support="positive") == [("error", text)]


def test_a_support_nobody_knows_is_refused(recording):
    text = "support: must be one of counts, real, nonnegative, positive, got 'integers'. Mend the reconstruction's 'support'."
    with pytest.raises(DataError, match=f"^{re.escape(text)}$"):
        found(recording, support="integers")


def test_channels_that_never_change_are_named_in_a_warning(recording):
    recording["train_recon_data"][:, :, 3] = 0
    recording["train_recon_data"][:, :, 7] = 2
    text = "'train_recon_data' has 2 of 10 channels that never change (3, 7). They teach nothing; consider dropping them."
    assert found(recording) == [("warning", text)]


def test_a_channel_that_was_never_observed_is_silent_too(recording):
    recording["train_recon_data"][:, :, 9] = np.nan
    text = "'train_recon_data' has 1 of 10 channels that never change (9). They teach nothing; consider dropping them."
    assert found(recording, observes_missing=True) == [("warning", text)]


def test_a_batch_larger_than_the_split_shrinks_with_a_note(recording):
    text = "data.batch_size: 41 trials do not fit, for there are 40 training trials: each step takes all of them."
    assert found(recording, batch_size=41) == [("info", text)]


def test_a_batch_is_compared_with_all_sessions_together(recording):
    sessions = [session_from_arrays(name, recording) for name in "ab"]
    assert check_sessions(sessions, support="counts", observes_missing=False, batch_size=80) == []
    (problem,) = check_sessions(sessions, support="counts", observes_missing=False, batch_size=81)
    assert problem.severity == "info"
    assert problem.text == "data.batch_size: 81 trials do not fit, for there are 80 training trials of 2 sessions: each step takes all of them."


@pytest.mark.parametrize(("train", "valid", "few"), [(40, 9, True), (40, 10, False), (400, 20, True), (400, 22, False)])
def test_few_validation_trials_are_a_warning(train, valid, few):
    rng = np.random.default_rng(0)
    arrays = {f"{split}_recon_data": rng.poisson(1.0, (n, 4, 3)) for split, n in (("train", train), ("valid", valid))}
    arrays |= {key.replace("recon", "encod"): values[:, :, :2] for key, values in arrays.items()}
    text = f"the validation split has {valid} of {train + valid} trials, too few to choose a model by. Keep at least 10, better a fifth of all."
    assert found(arrays) == ([("warning", text)] if few else [])


def test_an_empty_split_of_a_session_made_by_hand_is_an_error():
    nothing = np.zeros((0, 4, 3), dtype=np.float32)
    session = Session(name="s", path=None, splits={"train": Split(encod=nothing, recon=nothing, external=nothing)})
    (problem,) = [p for p in check_sessions([session], support="counts", observes_missing=False, batch_size=5) if p.severity == "error"]
    assert problem.text == "session 's': the split 'train' must have trials, bins and channels, got (0, 4, 3). Fill or delete it."


def test_short_external_inputs_are_noted_and_unknown_ones_are_errors(recording):
    recording |= {"train_ext_input": np.ones((40, 6, 2)), "valid_ext_input": np.ones((20, 6, 2))}
    notes = [("info", f"'{split}_ext_input' covers 6 of 10 bins; the rest is taken as 0.") for split in ("train", "valid")]
    assert found(recording) == notes
    recording["train_ext_input"][0, 0] = [np.nan, np.inf]
    text = "'train_ext_input' must be finite, got 2 NaN or infinite of 480 values. External inputs must be known in every bin: fill them."
    assert found(recording, observes_missing=True) == [("error", text), *notes]


def test_the_external_inputs_a_trained_model_takes_must_be_there(recording):
    recording |= {"train_ext_input": np.ones((40, 10, 2)), "valid_ext_input": np.ones((20, 10, 2))}
    assert found(recording, external=2) == []
    text = "'{}_ext_input' must have 3 channels, as the model was trained, got 2. Give the same external inputs."
    assert found(recording, external=3) == [("error", text.format("train")), ("error", text.format("valid"))]


def test_an_input_equal_to_the_target_is_noted_once_for_all_sessions(counts):
    arrays = {key: np.repeat(values, 2, axis=0) for key, values in counts.items()}
    what = (
        "the encoders see every value they reconstruct, so a model can fit by copying. Keep 'coordinated-dropout' on, "
        "or hold channels out (data.hold_out), and judge by co-bps."
    )
    assert found(arrays) == [("info", what)]
    sessions = [session_from_arrays(name, arrays) for name in ("a", "b", "c", "d", "e")]
    (problem,) = check_sessions(sessions, support="counts", observes_missing=False)
    assert problem.text == f"sessions a, b, c and 2 more: {what}"


def test_per_trial_arrays_of_another_length_are_a_warning(recording):
    text = "'train_behavior' has 39 rows for 40 trials: it is carried along whole, not trial by trial."
    assert found({**recording, "train_behavior": np.ones((39, 10)), "train_percentage": 0.8}) == [("warning", text)]


def test_truth_in_other_units_than_the_data_is_a_warning(recording):
    truth = {"train_truth": np.full((40, 10, 10), 1.0), "valid_truth": np.full((20, 10, 10), 1.0)}
    assert found({**recording, **truth}) == []
    mean = recording["train_recon_data"].mean()
    text = (
        f"'train_truth' should be expected values per bin, but its mean is 0.2 and that of the data {mean:.3g}. "
        "Check 'conversion_factor', by which stored truth is divided."
    )
    assert found({**recording, **truth, "conversion_factor": 5.0}) == [("warning", text)]
    text = "'train_truth' has shape (40, 10, 2) and the data (40, 10, 10): it is carried along, but rates cannot be compared with it."
    assert found({**recording, "train_truth": np.ones((40, 10, 2))}) == [("warning", text)]


def test_sessions_that_cannot_share_a_model_are_named_with_what_they_have(recording):
    short = {key: values[:, :8] for key, values in recording.items()}
    sessions = [
        session_from_arrays("a", recording, {"bin_ms": 5.0}),
        session_from_arrays("b", {**short, "train_ext_input": np.ones((40, 8, 1)), "valid_ext_input": np.ones((20, 8, 1))}, {"bin_ms": 10.0}),
        session_from_arrays("c", recording),
    ]
    problems = check_sessions(sessions, support="counts", observes_missing=False)
    assert {p.severity for p in problems} == {"error"}
    rest = "Rebin or cut them alike, or train them apart."
    assert [p.text for p in problems] == [
        f"all sessions: must have the same reconstructed bins, got 10 in a, c; 8 in b. {rest}",
        f"all sessions: must have the same encoded bins, got 10 in a, c; 8 in b. {rest}",
        f"all sessions: must have the same external inputs, got 0 in a, c; 1 in b. {rest}",
        f"all sessions: must have the same bin_ms, got 5 in a; 10 in b. {rest}",
    ]


def test_sessions_may_differ_in_channels_and_trials(recording, counts):
    other = {key: values[:30, :, :5] for key, values in recording.items()}
    sessions = [session_from_arrays("a", recording), session_from_arrays("b", other)]
    assert [p.severity for p in check_sessions(sessions, support="counts", observes_missing=False)] == ["info"]


def test_errors_come_first_and_are_all_raised_at_once(recording):
    recording["train_recon_data"][:, :, 3] = 0
    recording["train_recon_data"].flat[0] = np.inf
    recording["valid_recon_data"].flat[0] = 0.5
    problems = check_sessions([session_from_arrays("s", recording)], support="counts", observes_missing=False)
    assert [p.severity for p in problems] == ["error", "error", "warning"]
    with pytest.raises(DataError) as caught:
        require(problems)
    assert str(caught.value).split("\n") == [problems[0].text, problems[1].text]
    require(problems[2:])


@pytest.mark.property
@given(seed=st.integers(0, 10_000), trials=st.integers(1, 9), chunk=st.integers(1, 40))
def test_a_summary_is_the_same_however_it_is_cut_into_chunks(seed, trials, chunk):
    rng = np.random.default_rng(seed)
    values = rng.choice([0.0, 1.0, 2.0, -1.0, 0.5, np.nan, np.inf], size=(trials, 3, 2), p=[0.4, 0.2, 0.1, 0.1, 0.1, 0.05, 0.05])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lfads_core.data.summary._CHUNK", chunk)
        summary = summarise_array("x", values)
    finite = values[np.isfinite(values)]
    assert summary.missing == np.isnan(values).sum()
    assert summary.infinite == np.isinf(values).sum()
    assert summary.zeros == (values == 0).sum()
    assert summary.negative == (finite < 0).sum()
    assert summary.fractional == (finite % 1 != 0).sum()
    assert (summary.fraction is None) == (summary.fractional == 0)
    assert summary.low == (finite.min() if finite.size else None)
    assert summary.high == (finite.max() if finite.size else None)
    assert summary.mean == (pytest.approx(finite.mean()) if finite.size else None)
    channels = [values[..., i][np.isfinite(values[..., i])] for i in range(2)]
    assert summary.constant == tuple(i for i, seen in enumerate(channels) if len(set(seen)) <= 1)


@pytest.mark.parametrize(
    ("values", "suggestion"),
    [
        ([0, 1, 2, np.nan], "counts (0, 1, 2...): --plugin poisson (lfads-plugins-std)"),
        ([0, 0, 0, 0.5], "continuous values >= 0, 75% of them 0: --plugin zig (lfads-plugins-calcium)"),
        ([0.1, 0.2, 3, 4], "continuous values > 0: --plugin gamma (lfads-plugins-emg)"),
        ([-1, 0.5, 2, 0], "continuous values of both signs: --plugin gaussian (lfads-plugins-std)"),
        ([0, *[0.5] * 39], "continuous values >= 0, 1 of them 0: --plugin gamma (lfads-plugins-emg) once these have a small floor"),
    ],
)
def test_the_look_of_the_data_suggests_a_reconstruction(values, suggestion):
    data = np.array(values, dtype=float).reshape(1, -1, 1)
    session = session_from_arrays("s", {"train_encod_data": data, "valid_encod_data": data})
    assert suggest_reconstruction(summarise(session)) == suggestion
