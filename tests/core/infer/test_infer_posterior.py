"""Averages over posterior samples are those of single passes, sessions and fields kept apart; noise is that of each trial's own stream."""

from __future__ import annotations

import threading
from dataclasses import replace

import numpy as np
import pytest
import torch

from lfads_core.augment.stack import AugmentationStack
from lfads_core.components import AbstractAugmentation
from lfads_core.data.loader import SplitTensors
from lfads_core.infer import posterior
from lfads_core.infer.posterior import Inferred, average, draw_samples, infer_batches, infer_split, joined
from lfads_core.model.noise import Noise
from lfads_core.rng import stream

FIELDS = {"output_params", "factors", "ic_mean", "ic_std", "co_means", "co_stds", "gen_states", "gen_init", "gen_inputs", "con_states"}
LATENT = "components.latents=[{name: context, size: 2}]"
KINDS = {
    "counts": (),
    "two parameters, a latent": ("components.reconstruction=gaussian", LATENT),
    "no controller": ("model.controller=null",),
}


@pytest.fixture(params=KINDS.values(), ids=KINDS)
def model(request, untrained, sessions):
    return untrained(sessions, *request.param).model


@pytest.fixture
def plain(untrained, sessions):
    return untrained(sessions, LATENT).model


@pytest.fixture
def sessions(recorded):
    return [recorded("monday", external=2), recorded("tuesday", channels=6, external=2, seed=1)]


@pytest.fixture
def sources(sessions):
    return {s.name: SplitTensors.from_split(s.splits["valid"], extras=()) for s in sessions}


def taken(sources, monday=(0, 1, 2, 3), tuesday=(2, 0, 3)):
    return {name: sources[name].take(torch.tensor(rows)) for name, rows in (("monday", monday), ("tuesday", tuesday)) if rows}


def mean(values):
    return torch.stack(list(values)).double().mean(0)


@torch.no_grad()
def test_an_average_is_that_of_passes_one_by_one(model, sources, monkeypatch):
    """A pass takes two samples of seven trials; three samples are a pass and a rest."""
    monkeypatch.setattr(posterior, "ROWS", {"cpu": 14})
    batches = taken(sources)
    draws = list(draw_samples(model, batches, 3, seed=5))
    passes = [model(batches, noise) for noise in draws]
    found, more = average(model, batches, draws), average(model, batches, draws, distribution=True)
    latents = [one.latents for one in passes]
    for session, rows in (("monday", slice(0, 4)), ("tuesday", slice(4, 7))):
        reconstruction = model.reconstructions[session]
        expected = {name: mean(getattr(one, name)[rows] for one in latents) for name in ("factors", "gen_states", "gen_init", "gen_inputs")}
        expected["output_params"] = mean(reconstruction.mean(one.params[session]) for one in passes)
        expected |= {f"ic_{what}": getattr(latents[0].ic, what)[rows] for what in ("mean", "std")}
        if model.input_encoder is None:
            expected |= {name: torch.zeros(rows.stop - rows.start, 7, 0) for name in ("co_means", "co_stds", "con_states")}
        else:
            expected |= {f"co_{what}s": mean(getattr(one.inputs, what)[rows] for one in latents) for what in ("mean", "std")}
            expected["con_states"] = mean(one.con_states[rows] for one in latents)
        for name, q in latents[0].further.items():
            expected |= {f"latent_{name}_mean": q.mean[rows], f"latent_{name}_std": q.std[rows]}
        assert found[session].keys() == expected.keys() >= FIELDS
        parameters = [reconstruction.distribution_params(one.params[session]) for one in passes]
        wide = {**expected, **{f"distribution_{name}": mean(of[name] for of in parameters) for name in parameters[0]}}
        assert more[session].keys() == wide.keys() > expected.keys()
        for got, wanted in ((found, expected), (more, wide)):
            for name, value in wanted.items():
                torch.testing.assert_close(got[session][name].double(), value.double(), rtol=1e-5, atol=1e-6, msg=name)


@pytest.mark.parametrize(("rows", "passes"), [(21, [21, 14]), (20, [14, 14, 7]), (3, [7] * 5)])
@torch.no_grad()
def test_a_pass_has_as_many_rows_as_are_allowed_but_at_least_one_sample(plain, sources, monkeypatch, rows, passes):
    monkeypatch.setattr(posterior, "ROWS", {"cpu": rows})
    seen = []
    decode = plain.decode
    monkeypatch.setattr(plain, "decode", lambda encoded, external, noise: seen.append(len(external)) or decode(encoded, external, noise))
    batches = taken(sources)
    draws = list(draw_samples(plain, batches, 5, seed=0))
    average(plain, batches, draws)
    assert seen == passes
    monkeypatch.setattr(type(plain), "device", torch.device("meta"))  # of a kind that is not in the table, then of one that is
    for table in ({"cpu": rows}, {"cpu": 1, "meta": rows}):
        seen.clear()
        monkeypatch.setattr(posterior, "ROWS", table)
        average(plain, batches, draws)
        assert seen == passes


def test_samples_are_to_the_bit_those_that_each_trial_draws_alone_block_by_block(plain, sources):
    batches = taken(sources, (3, 1), (2,))
    found = list(draw_samples(plain, batches, 24, seed=1))
    assert len(found) == 24
    for trial, (name, row) in enumerate((("monday", 3), ("monday", 1), ("tuesday", 2))):
        rng = stream(1, "infer", name, row)
        blocks = [plain.draw_noise(10, rng, sample=True, dropout=False) for _ in range(3)]
        for number, noise in enumerate(found):
            own = blocks[number // 10]
            for mine, theirs in ((noise.ic, own.ic), (noise.inputs, own.inputs), (noise.latents["context"], own.latents["context"])):
                assert torch.equal(mine["normal"][trial], theirs["normal"][number % 10])
            assert (noise.ic_kl, noise.inputs_kl, noise.dropout, noise.latents_kl) == (None, None, None, {})


@pytest.mark.parametrize(("samples", "divergences"), [(10, [False]), (11, [True, False]), (30, [True, True, False])])
def test_draws_behind_divergences_are_made_only_before_others(plain, sources, monkeypatch, samples, divergences):
    """Nothing is drawn for a later block before it is wanted, nor in another thread than the caller's: there is no copying to wait for."""
    asked = []
    real = posterior.draw_noises

    def draw(models, trials, rngs, **how):
        assert (how["sample"], how["dropout"], threading.current_thread()) == (True, False, threading.main_thread())
        asked.append(how["divergences"])
        return real(models, trials, rngs, **how)

    monkeypatch.setattr(posterior, "draw_noises", draw)
    found = draw_samples(plain, taken(sources), samples, seed=0)
    next(found)
    assert asked == divergences[:1]
    assert len(list(found)) == samples - 1
    assert asked == divergences


def test_for_another_device_noise_is_drawn_while_the_last_is_used(plain, sources, monkeypatch):
    threads = []
    real = posterior.draw_noises
    monkeypatch.setattr(posterior, "draw_noises", lambda *given, **how: threads.append(threading.current_thread()) or real(*given, **how))
    batches = taken(sources)
    expected = list(draw_samples(plain, batches, 24, seed=1))
    threads.clear()
    monkeypatch.setattr(type(plain), "device", torch.device("meta"))  # has shapes, and no values
    found = list(draw_samples(plain, batches, 24, seed=1))
    assert len(threads) == 3
    assert threading.main_thread() not in threads
    assert [one.ic["normal"].shape for one in found] == [one.ic["normal"].shape for one in expected]
    assert {one.inputs["normal"].device.type for one in found} == {"meta"}


def test_noise_has_the_precision_of_the_weights(plain, sources):
    plain.double()
    noise = next(draw_samples(plain, taken(sources), 1, seed=0))
    assert (noise.ic["normal"].dtype, noise.inputs["normal"].dtype) == (torch.float64, torch.float64)


class Shifted(AbstractAugmentation):
    """Adds a number to the input; remembers what it was given."""

    name = "shifted"

    def __init__(self):
        self.numbers, self.first_bins, self.rows = [], [], []

    def draw(self, batch, rng):
        return {"by": torch.rand((), generator=rng)}

    def augment(self, batch, noise):
        self.numbers.append(float(noise["by"]))
        self.first_bins.append(batch.ic_bins)
        self.rows.append(batch.trials.tolist())
        return replace(batch, encod=batch.encod + noise["by"])


def test_every_batch_of_inference_is_augmented_with_numbers_of_its_own(untrained, sessions, sources):
    model = untrained(sessions, "model.encoder.ic_bins=3").model
    part = Shifted()
    how = {"samples": None, "batch_size": 3, "seed": 4}
    found = list(infer_batches(model, AugmentationStack([part], [part]), sources, **how))
    assert len(found) == 3
    per_batch = [[name for name in ("monday", "tuesday") if name in of] for of in found]
    expected = []
    for number, names in enumerate(per_batch):
        rng = stream(4, "infer augmentations", number)
        expected += [float(torch.rand((), generator=rng)) for _ in names]
    assert part.numbers == expected
    assert set(part.first_bins) == {3}
    shifts, rows = iter(expected), iter(part.rows)
    for names, of in zip(per_batch, found, strict=True):
        batches = {}
        for name in names:
            batch = sources[name].take(torch.tensor(next(rows)))
            batches[name] = replace(batch, encod=batch.encod + next(shifts))
        with torch.no_grad():
            alone = average(model, batches, [Noise()])
        for name in names:
            np.testing.assert_array_equal(of[name].factors, alone[name]["factors"].numpy())


@pytest.mark.parametrize("samples", [None, 3])
@pytest.mark.parametrize("distribution", [False, True])
def test_parts_are_in_the_order_of_the_file_and_together_the_whole(plain, sources, samples, distribution):
    stack = AugmentationStack([], [])
    how = {"samples": samples, "seed": 7, **({"distribution": True} if distribution else {})}
    parts = list(infer_batches(plain, stack, sources, batch_size=4, **how))
    whole = infer_split(plain, stack, sources, batch_size=4, **how)
    batches = {name: source.take(torch.arange(4)) for name, source in sources.items()}
    with torch.no_grad():
        expected = average(plain, batches, [Noise()] if samples is None else draw_samples(plain, batches, samples, 7), distribution=distribution)
    assert [len(part["monday"].factors) for part in parts] == [2, 2]
    for name in sources:
        together = joined([part[name] for part in parts]).arrays()
        assert any(key.startswith("distribution_") for key in together) == distribution
        assert together.keys() == whole[name].arrays().keys() == expected[name].keys()
        for key, value in whole[name].arrays().items():
            np.testing.assert_array_equal(together[key], value)
            np.testing.assert_allclose(value, expected[name][key].numpy(), rtol=1e-5, atol=1e-6, err_msg=key)


def test_a_session_that_has_no_trials_in_a_batch_is_not_in_it(plain, sources):
    few = {
        **sources,
        "monday": SplitTensors(encod=sources["monday"].encod[:1], recon=sources["monday"].recon[:1], external=sources["monday"].external[:1]),
    }
    parts = list(infer_batches(plain, AugmentationStack([], []), few, samples=None, batch_size=2, seed=0))
    assert sorted(tuple(part) for part in parts) == [("monday", "tuesday"), ("tuesday",), ("tuesday",)]
    whole = infer_split(plain, AugmentationStack([], []), few, samples=None, batch_size=2, seed=0)
    assert {name: len(of.factors) for name, of in whole.items()} == {"monday": 1, "tuesday": 4}


def test_arrays_and_records_are_the_same_by_name(inferred):
    further = np.ones((3, 2), dtype=np.float32)
    record = inferred(3, inputs=2, latent_context_mean=further)
    arrays = record.arrays()
    assert arrays.keys() == FIELDS | {"latent_context_mean"}
    assert all(arrays[name] is getattr(record, name) for name in FIELDS)
    again = Inferred.of(arrays)
    assert again.further.keys() == {"latent_context_mean"}
    assert again.further["latent_context_mean"] is further
    assert all(getattr(again, name) is arrays[name] for name in FIELDS)
    other = inferred(2, inputs=2, seed=1, latent_context_mean=0 * further[:2])
    both = joined([record, other])
    np.testing.assert_array_equal(both.further["latent_context_mean"], [[1, 1]] * 3 + [[0, 0]] * 2)
    np.testing.assert_array_equal(both.factors, np.concatenate([record.factors, other.factors]))
