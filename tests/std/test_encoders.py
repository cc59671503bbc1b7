"""Transformer and LSTM against plain NumPy and torch's own LSTM, and bin by bin."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from lfads_core.components import EncoderInfo
from lfads_core.rng import stream
from lfads_plugins_std.encoders.lstm import LSTMEncoder
from lfads_plugins_std.encoders.transformer import TransformerEncoder
from lfads_plugins_std.model_settings import LSTMConfig, TransformerConfig


def info(*, causal=False, width=3, hidden=6, clip=5.0, scale=1.0):
    return EncoderInfo(width=width, hidden=hidden, causal=causal, rng=stream(0), clip=clip, scale=scale)


def shaken(part):
    """In float64, with weights that hide nothing behind zeros."""
    part = part.double()
    with torch.no_grad():
        for number, value in enumerate(part.parameters()):
            value.add_(torch.empty_like(value).normal_(std=0.3, generator=stream(2, number)))
    return part


def data(trials=2, bins=7, width=3):
    return torch.empty(trials, bins, width, dtype=torch.float64).normal_(generator=stream(1))


def test_each_direction_of_the_lstm_is_torchs_own_lstm():
    part, x = shaken(LSTMEncoder(LSTMConfig(), info())), data()
    for way, read, got in zip(part.ways, (x, x.flip(1)), part(x), strict=True):
        theirs = torch.nn.LSTM(3, 6, batch_first=True).double()
        order = [*range(12), *range(18, 24), *range(12, 18)]  # theirs: i, f, n, o; ours: i, f, o, n
        with torch.no_grad():
            theirs.weight_ih_l0.copy_(way.input[order])
            theirs.weight_hh_l0.copy_(way.recurrent[order])
            theirs.bias_ih_l0.copy_(way.bias[order])
            theirs.bias_hh_l0.zero_()
        wanted, _ = theirs(read, tuple(value.expand(1, 2, -1).contiguous() for value in (way.h0, way.c0)))
        torch.testing.assert_close(got, wanted, rtol=1e-12, atol=1e-12)


def test_cells_of_the_lstm_stay_within_the_clip():
    part = LSTMEncoder(LSTMConfig(), info(clip=0.2)).double()
    (way, _), state = part.ways, None
    x = 50 * data()
    for t in range(7):
        state = way.step(way.drive(x[:, t]), way.first([2]) if state is None else state)
        assert state[1].abs().max() <= 0.2
    assert (state[1].abs() == 0.2).any()


def test_forget_gates_start_where_the_setting_says():
    part = LSTMEncoder(LSTMConfig(forget_bias=3.0), info())
    assert part.ways[0].bias.tolist() == [*[0.0] * 6, *[3.0] * 6, *[0.0] * 12]


def attention_by_hand(stack, x, heads, window):
    """One direction in NumPy, query by query, key by key."""
    w = {name: value.detach().numpy() for name, value in stack.named_parameters()}

    def affine(name, value):
        weight, bias = w[f"{name}.weight"], w[f"{name}.bias"]
        return value @ weight.T + np.concatenate([np.zeros(len(weight) - len(bias)), bias])  # keys, which come first, have no bias

    def norm(name, value):
        centred = value - value.mean(-1, keepdims=True)
        return centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-5) * w[f"{name}.weight"] + w[f"{name}.bias"]

    bins, width = x.shape[0], w["read.bias"].size
    h = affine("read", x)
    for t in range(bins):
        for j in range(width):
            waves = (width + 1) // 2
            angle = t / 10_000 ** ((j % waves) / waves)
            h[t, j] += math.sin(angle) if j < waves else math.cos(angle)
    for i in range(len(stack.blocks)):
        name = f"blocks.{i}"
        parts = np.split(affine(f"{name}.keys_queries_values", norm(f"{name}.attention_norm", h)), 3, axis=-1)
        key, query, value = (np.split(part, heads, axis=-1) for part in parts)
        heard = np.zeros((bins, heads * key[0].shape[1]))
        for n in range(heads):
            size = key[n].shape[1]
            for t in range(bins):
                seen = range(0 if window is None else max(0, t - window + 1), t + 1)
                weights = np.exp([query[n][t] @ key[n][s] / math.sqrt(size) for s in seen])
                heard[t, n * size : (n + 1) * size] = sum(a * value[n][s] for a, s in zip(weights / weights.sum(), seen, strict=True))
        h = h + affine(f"{name}.mixed", heard)
        wide = affine(f"{name}.wide", norm(f"{name}.network_norm", h))
        gelu = wide * 0.5 * (1 + np.vectorize(math.erf)(wide / math.sqrt(2)))
        h = h + affine(f"{name}.narrow", gelu)
    return norm("norm", h)


@pytest.mark.parametrize("window", [None, 1, 3])
@pytest.mark.parametrize("hidden", [6, 5])
def test_the_transformer_is_attention_written_out(window, hidden):
    settings = TransformerConfig(layers=2, heads=3, head_size=2, expansion=2, window=window)
    part, x = shaken(TransformerEncoder(settings, info(hidden=hidden))), data()
    states = part(x)
    for trial in range(2):
        for way, read, got in zip(part.ways, (x, x.flip(1)), states, strict=True):
            np.testing.assert_allclose(got[trial].detach().numpy(), attention_by_hand(way, read[trial].numpy(), 3, window), rtol=1e-9, atol=1e-9)


BUILD = {
    "lstm": lambda i: LSTMEncoder(LSTMConfig(), i),
    "transformer": lambda i: TransformerEncoder(TransformerConfig(), i),
    "transformer with a window": lambda i: TransformerEncoder(TransformerConfig(window=2), i),
}


@pytest.mark.parametrize("build", BUILD.values(), ids=BUILD)
def test_bin_by_bin_a_causal_encoder_knows_what_it_knows_of_the_whole(build):
    part, x, memory = shaken(build(info(causal=True))), data(bins=12), None
    (wanted,) = part(x)
    for t in range(12):
        state, memory = part.listen(x[:, t], memory)
        torch.testing.assert_close(state, wanted[:, t], rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("build", BUILD.values(), ids=BUILD)
def test_the_scale_of_first_weights_is_one_of_what_is_read(build):
    once, twice = (dict(build(info(scale=scale)).named_parameters()) for scale in (1.0, 2.0))
    read = next(name for name in once if name.endswith(("0.input", "read.weight")))
    torch.testing.assert_close(twice[read], 2 * once[read])
