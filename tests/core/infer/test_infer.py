"""Inference: output files, posterior averages, new recordings, the Python door."""

from __future__ import annotations

import h5py
import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

import lfads_core
from lfads_core.data.loader import SplitTensors
from lfads_core.errors import DataError, RunError
from lfads_core.infer.posterior import average, draw_samples, infer_split
from lfads_core.infer.run import infer_files
from lfads_core.rng import stream
from lfads_core.train.checkpoint import load_checkpoint
from lfads_core.train.data import read_for
from lfads_plugins_lab.export.generate import generate_trials

SHAPES = {
    "output_params": (8, 5),
    "factors": (8, 3),
    "ic_mean": (4,),
    "ic_std": (4,),
    "co_means": (8, 2),
    "co_stds": (8, 2),
    "gen_states": (8, 8),
    "gen_init": (8,),
    "gen_inputs": (8, 2),
    "con_states": (8, 5),
    "rates_hz": (8, 5),
}


def contents(path):
    with h5py.File(path) as file:
        return {key: value[()] for key, value in file.items()}


@pytest.fixture
def loaded(train_tiny):
    return lfads_core.load(train_tiny("train.epochs=4").run.path)


def test_the_output_file_has_every_field_with_units_beside_the_input_as_it_was(train_tiny, write_tiny):
    rng = np.random.default_rng(3)
    data = {
        "train_encod_data": rng.poisson(1.0, (12, 8, 5)).astype("i2"),
        "valid_recon_data": rng.poisson(1.0, (6, 8, 5)).astype("f8"),
        "train_recon_data": rng.poisson(1.0, (12, 8, 5)).astype("f8"),
        "valid_speed": rng.normal(size=(6, 8)),
        "depth": rng.normal(size=5).astype(">f8"),
    }
    done = train_tiny(data=write_tiny(animal="rat 7", **data))
    with h5py.File(done.run.output("tiny")) as file:
        for key, value in data.items():
            assert file[key].dtype == value.dtype
            assert np.array_equal(file[key][()], value)
        for split, trials in (("train", 12), ("valid", 6)):
            for field, shape in SHAPES.items():
                dataset = file[f"{split}_{field}"]
                assert dataset.shape == (trials, *shape)
                assert np.isfinite(dataset[()]).all()
                assert dataset.attrs["meaning"]
        units = {field: file[f"valid_{field}"].attrs["unit"] for field in SHAPES}
        assert {field: unit for field, unit in units.items() if unit != "arbitrary"} == {"output_params": "events/bin", "rates_hz": "events/s"}
        assert np.allclose(file["valid_rates_hz"][()], file["valid_output_params"][()] * 100)
        assert np.array_equal(file["time_ms"][()], np.arange(8) * 10.0)
        assert file["time_ms"].attrs["unit"] == "ms"
        assert dict(file.attrs) == {
            "animal": "rat 7",
            "bin_ms": 10.0,
            "lfads_session": "tiny",
            "lfads_checkpoint": "best",
            "lfads_posterior_samples": 3,
        }


def source_of(loaded):
    (session,) = read_for(loaded.config, loaded.run.data, loaded.registry)
    return {session.name: SplitTensors.from_split(session.splits["valid"], extras=())}


@torch.no_grad()
def test_the_average_is_the_mean_over_passes_one_by_one(loaded):
    batches = {name: source.take(torch.arange(6)) for name, source in source_of(loaded).items()}
    draws = list(draw_samples(loaded.model, batches, 120, seed=5))  # more than fit into one pass
    passes = [loaded.model(batches, noise) for noise in draws]
    found = average(loaded.model, batches, iter(draws))["tiny"]
    rates = torch.stack([loaded.model.reconstructions["tiny"].mean(p.params["tiny"]) for p in passes]).mean(0)
    factors = torch.stack([p.latents.factors for p in passes]).mean(0)
    inputs = torch.stack([p.latents.inputs.std for p in passes]).mean(0)
    for value, expected in ((found["output_params"], rates), (found["factors"], factors), (found["co_stds"], inputs)):
        torch.testing.assert_close(value, expected, rtol=1e-5, atol=1e-6)


def test_samples_do_not_depend_on_the_batch_and_fewer_are_the_first_of_many(loaded):
    source = source_of(loaded)["tiny"]
    all_of, one = ({"tiny": source.take(torch.tensor(rows))} for rows in ([0, 1, 2, 3], [2]))
    many = list(draw_samples(loaded.model, all_of, 25, seed=1))
    few = list(draw_samples(loaded.model, one, 12, seed=1))
    for noise, alone in zip(many, few, strict=False):
        assert torch.equal(noise.ic["normal"][2], alone.ic["normal"][0])
        assert torch.equal(noise.inputs["normal"][2], alone.inputs["normal"][0])
    drawn = torch.stack([noise.ic["normal"] for noise in many]).flatten()
    assert len(drawn.unique()) == len(drawn)


class Drawn(TorchDispatchMode):
    """Counts operations, and the random numbers that they make."""

    def __init__(self):
        super().__init__()
        self.numbers, self.others = 0, 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        out = function(*args, **(kwargs or {}))
        if torch.Tag.nondeterministic_seeded in function.tags:
            self.numbers += out.numel()
        elif not function.is_view:
            self.others += 1
        return out


OTHER_DRAWS = ("components.ic_prior=student-t", "components.latents=[{name: context, size: 2}]")


@pytest.mark.parametrize("settings", [(), OTHER_DRAWS], ids=["normal draws", "draws of priors and latents of plugins"])
def test_samples_are_to_the_bit_those_that_each_trial_draws_alone_block_by_block(settings, train_tiny):
    loaded = lfads_core.load(train_tiny("train.epochs=1", *settings).run.path)
    batches = {"tiny": source_of(loaded)["tiny"].take(torch.tensor([3, 1]))}
    found = list(draw_samples(loaded.model, batches, 24, seed=1))
    for trial, row in enumerate((3, 1)):
        rng = stream(1, "infer", "tiny", row)
        blocks = [loaded.model.draw_noise(10, rng, sample=True, dropout=False) for _ in range(3)]
        for number, noise in enumerate(found):
            theirs = blocks[number // 10]
            for mine, own in ((noise.ic, theirs.ic), (noise.inputs, theirs.inputs), *zip_of(noise.latents, theirs.latents)):
                assert mine.keys() == own.keys()
                assert all(torch.equal(mine[key][trial], own[key][number % 10]) for key in own)


def zip_of(one, other):
    return [(one[name], other[name]) for name in other or ()]


def test_noise_is_drawn_for_a_batch_at_once_and_no_more_of_it_than_is_used(loaded):
    """A stream's last draws would be behind divergences, which inference does not compute."""
    counted = []
    for rows in ([0, 1], [0, 1, 2, 3, 4, 5]):
        batches = {"tiny": source_of(loaded)["tiny"].take(torch.tensor(rows))}
        with Drawn() as drawn:
            list(draw_samples(loaded.model, batches, 10, seed=0))
        assert drawn.numbers == len(rows) * 10 * (4 + 8 * 2)
        counted.append(drawn.others)
    assert counted[0] == counted[1] < 10


def test_results_are_reproducible_and_the_batch_size_changes_only_rounding(loaded):
    def infer(batch_size, seed=0):
        return infer_split(loaded.model, loaded.infer_stack, source_of(loaded), samples=7, batch_size=batch_size, seed=seed)["tiny"]

    assert np.array_equal(infer(4).factors, infer(4).factors)
    assert np.allclose(infer(1).output_params, infer(6).output_params, rtol=1e-5, atol=1e-6)
    assert not np.allclose(infer(4, seed=1).factors, infer(4).factors, atol=1e-4)


def test_means_are_one_pass_without_noise(loaded, tmp_path):
    from lfads_core.model.noise import Noise

    (path,) = infer_files(loaded, None, samples=None, output=tmp_path / "means.h5")
    batch = {name: source.take(torch.arange(6)) for name, source in source_of(loaded).items()}
    with torch.no_grad():
        expected = loaded.model(batch, Noise()).latents.factors
    with h5py.File(path) as file:
        assert np.allclose(file["valid_factors"][()], expected.numpy(), atol=1e-6)
        assert file.attrs["lfads_posterior_samples"] == 0


def test_a_loaded_run_opens_everything(loaded):
    assert loaded.config.model.generator.factors == 3
    assert loaded.checkpoint == "best"
    assert not loaded.model.training
    assert np.array_equal(loaded.outputs()["train_factors"], contents(loaded.run.output("tiny"))["train_factors"])
    assert loaded.columns()["epoch"] == [0, 1, 2, 3]
    weights = loaded.parameters()
    trained = load_checkpoint(loaded.run.checkpoints, "best").tensors["model"]
    assert all(np.array_equal(value, trained[name].numpy()) for name, value in weights.items())
    assert np.array_equal(weights["decoder.to_generator.weight"], loaded.model.decoder.to_generator.weight.detach().numpy())
    loaded.run.output("tiny").unlink()
    with pytest.raises(RunError) as caught:
        loaded.outputs()
    assert str(caught.value) == f"{loaded.run.output('tiny')}: there are no outputs yet. Make them with `lfads infer {loaded.run.path}`."


def test_the_checkpoint_that_the_settings_name_is_inferred(train_tiny):
    run = train_tiny("infer.checkpoint=last", "train.epochs=4").run
    assert lfads_core.load(run.path).checkpoint == "last"
    with h5py.File(run.output("tiny")) as file:
        assert file.attrs["lfads_checkpoint"] == "last"


def test_loading_does_not_touch_the_threads_of_the_caller(train_tiny):
    run = train_tiny("train.epochs=1").run
    torch.set_num_threads(2)
    lfads_core.load(run.path)
    assert torch.get_num_threads() == 2


def test_a_new_recording_may_hold_one_split_and_have_any_name(loaded, write_tiny):
    data = write_tiny("tomorrow.h5", splits=("test",), seed=9)
    (path,) = infer_files(loaded, [data], samples=2, output=None)
    assert path == loaded.run.path / "lfads_output_tomorrow.h5"
    found = contents(path)
    assert found["test_factors"].shape == (6, 8, 3)
    assert np.array_equal(found["test_encod_data"], contents(data)["test_encod_data"])
    assert not [key for key in found if key.startswith(("train", "valid"))]


def test_a_session_the_model_does_not_know_is_refused(train_tiny, write_tiny):
    done = train_tiny("train.epochs=1", data=[write_tiny("a.h5"), write_tiny("b.h5", channels=4)])
    other = write_tiny("c.h5")
    with pytest.raises(DataError) as caught:
        infer_files(lfads_core.load(done.run.path), [other], samples=1, output=None)
    assert str(caught.value) == f"{other}: the session must be one the model knows (a, b), got 'c'. Rename the file."


def test_wrong_sizes_are_refused(loaded, write_tiny):
    other = write_tiny("other.h5", channels=6)
    with pytest.raises(DataError) as caught:
        infer_files(loaded, [other], samples=1, output=None)
    assert str(caught.value) == (
        f"{other}: 'train' must have encoded (bins, channels), reconstructed (bins, channels) and external inputs ((8, 5), (8, 5), 0) "
        "as in training, got ((8, 6), (8, 6), 0). Cut and bin it like the training data."
    )


def test_outputs_of_outputs_keep_both(loaded, tmp_path):
    first = infer_files(loaded, None, samples=1, output=tmp_path / "one.h5")[0]
    second = infer_files(loaded, [first], samples=1, output=tmp_path / "two.h5")[0]
    third = infer_files(loaded, [second], samples=1, output=tmp_path / "three.h5")[0]
    assert np.allclose(contents(third)["valid_factors"], contents(first)["valid_factors"], atol=1e-6)


def test_new_trials_have_the_shapes_and_statistics_of_the_prior(loaded, tmp_path):
    one, same, other = (contents(generate_trials(loaded, trials=400, seed=seed, path=tmp_path / f"{i}.h5")) for i, seed in enumerate((1, 1, 2)))
    shapes = {key: value.shape for key, value in one.items()}
    assert shapes == {
        "factors": (400, 8, 3),
        "gen_inputs": (400, 8, 2),
        "gen_states": (400, 8, 8),
        "ic": (400, 4),
        "tiny_output_params": (400, 8, 5),
        "tiny_data": (400, 8, 5),
    }
    assert all(np.array_equal(one[key], same[key]) for key in one)
    assert not np.array_equal(one["tiny_data"], other["tiny_data"])
    counts, rates = one["tiny_data"], one["tiny_output_params"]
    assert np.array_equal(counts, np.round(counts))
    assert abs((counts - rates).sum()) < 6 * np.sqrt(rates.sum())  # Poisson: the variance of the sum is the sum of the rates
    prior = loaded.model.ic_prior
    z = (one["ic"] - prior.mean.detach().numpy()) / np.exp(prior.log_var.detach().numpy() / 2)
    assert abs(z.mean()) < 6 / np.sqrt(z.size)
    assert abs(z.var() - 1) < 6 * np.sqrt(2 / z.size)


def test_a_model_that_never_sampled_is_inferred_from_its_posterior_means(train_tiny):
    finished = train_tiny("model.variational=false", "infer.samples=7")
    with h5py.File(finished.run.output("tiny")) as file:
        assert file.attrs["lfads_posterior_samples"] == 0


def test_figures_are_drawn_unless_the_settings_say_no_which_a_resumed_run_may_change(train_tiny, resume, monkeypatch):
    drawn = []
    monkeypatch.setattr("lfads_core.infer.run.draw_reports", lambda run, *_: drawn.append(run.path))
    run = train_tiny("train.epochs=1", "infer.figures=true").run
    assert drawn == [run.path]
    resume("train.epochs=2", "infer.figures=false")
    assert drawn == [run.path]
    resume("train.epochs=3", "infer.figures=true")
    assert drawn == [run.path, run.path]
