"""Several sessions in one model: known by name, concatenated in order, each with its own channels and parameters."""

from __future__ import annotations

import re

import pytest
import torch

from lfads_core.errors import ConfigError
from lfads_core.model.noise import Noise
from lfads_core.rng import stream

CHANNELS = {"tuesday": (6, 8), "monday": (4, 5)}


@pytest.fixture
def two(make_model, make_batch):
    model = make_model("components.readin=linear", channels=CHANNELS)
    batches = {
        "tuesday": make_batch(3, channels=(6, 8), seed=1),
        "monday": make_batch(2, channels=(4, 5), seed=2),
    }
    return model, batches


def test_trials_are_concatenated_in_the_order_of_the_batches(two):
    model, batches = two
    output = model(batches, Noise())
    assert output.rows == {"tuesday": slice(0, 3), "monday": slice(3, 5)}
    assert output.latents.factors.shape == (5, 9, 4)
    assert {name: tuple(p.shape) for name, p in output.params.items()} == {"tuesday": (3, 9, 8, 1), "monday": (2, 9, 5, 1)}
    turned = model(dict(reversed(batches.items())), Noise())
    assert turned.rows == {"monday": slice(0, 2), "tuesday": slice(2, 5)}
    for name in batches:
        torch.testing.assert_close(turned.params[name], output.params[name], rtol=1e-12, atol=1e-14)


def test_a_session_gives_alone_what_it_gives_among_others(two):
    model, batches = two
    together = model(batches, Noise())
    for name, batch in batches.items():
        alone = model({name: batch}, Noise())
        torch.testing.assert_close(alone.params[name], together.params[name], rtol=1e-12, atol=1e-14)
        torch.testing.assert_close(alone.latents.ic.mean, together.latents.ic.mean[together.rows[name]], rtol=1e-12, atol=1e-14)


def test_a_session_is_read_out_of_its_own_rows_by_its_own_readout(two):
    model, batches = two
    output = model(batches, Noise())
    for name, where in output.rows.items():
        torch.testing.assert_close(output.params[name][..., 0], model.readouts[name](output.latents.factors[where]), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize(("reconstruction", "blocks"), [("gaussian", 2), ("zero-inflated-gamma", 3)])
def test_parameters_are_blocks_of_channels_stacked_last(make_model, reconstruction, blocks):
    model = make_model(f"components.reconstruction={reconstruction}")
    factors = torch.randn(2, 9, 4, generator=stream(0), dtype=torch.float64)
    flat, stacked = model.readouts["a"](factors), model.read_out("a", factors)
    assert stacked.shape == (2, 9, 8, blocks)
    for p in range(blocks):
        assert torch.equal(stacked[..., p], flat[..., 8 * p : 8 * (p + 1)])


def test_one_session_without_a_readin_is_encoded_as_it_is(make_model, make_batch):
    model, batch = make_model(), make_batch()
    assert model.read_in("a", batch) is batch.encod
    assert len(model.readins) == 0


def test_several_sessions_are_read_in_at_one_width_even_if_none_was_asked_for(make_model):
    model = make_model(channels=CHANNELS)
    assert {name: part.size for name, part in model.readins.items()} == {"tuesday": 4, "monday": 4}
    assert model.sizes.encoder_width == 4


@pytest.mark.parametrize("name", ["train", "items", "keys", "forward", "type", "_modules"])
def test_a_session_may_have_a_name_that_torch_uses_itself(make_model, make_batch, name):
    model = make_model(channels={name: (6, 8), "b": (6, 8)})
    batches = {name: make_batch(seed=1), "b": make_batch(seed=2)}
    assert model(batches, Noise()).params.keys() == batches.keys()
    for part in (model.readins, model.readouts, model.reconstructions):
        assert list(part) == list(part.keys()) == [key for key, _ in part.items()] == [name, "b"]
        assert name in part
        assert "c" not in part
    fresh = make_model("train.seed=1", channels={name: (6, 8), "b": (6, 8)})
    fresh.load_state_dict(model.state_dict())
    assert torch.equal(fresh(batches, Noise()).params[name], model(batches, Noise()).params[name])


def test_a_segment_as_long_as_the_window_is_refused(make_model):
    text = "model.encoder.ic_bins: must be below the 7 bins that are encoded, got 7. Use null for all bins."
    with pytest.raises(ConfigError, match=f"^{re.escape(text)}$"):
        make_model("model.encoder.ic_bins=7")
