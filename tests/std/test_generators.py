"""Generators against their equations in NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lfads_core.components import GeneratorInfo
from lfads_core.rng import stream
from lfads_plugins_std.generators.linear import LinearDynamics
from lfads_plugins_std.generators.low_rank import LowRankNetwork
from lfads_plugins_std.generators.mlp import ResidualMLP
from lfads_plugins_std.model_settings import LinearDynamicsConfig, LowRankConfig, MLPConfig


def info(inputs=2, size=5, **more):
    return GeneratorInfo(inputs=inputs, size=size, rng=stream(0), **more)


def shaken(part):
    part = part.double()
    with torch.no_grad():
        for number, value in enumerate(part.parameters()):
            value.add_(torch.empty_like(value).normal_(std=0.2, generator=stream(3, number)))
    return part


def linear(w, g, u):
    return w["recurrent"] @ g + w["input"] @ u + w["bias"]


def low_rank(w, g, u):
    return (1 - 0.3) * g + 0.3 * (w["out"] @ w["into"] @ np.tanh(g) + w["input"] @ u + w["bias"])


def residual(w, g, u):
    h = w["layers.0.weight"] @ g + w["layers.0.bias"] + w["input"] @ u
    h = w["layers.1.weight"] @ np.tanh(h) + w["layers.1.bias"]
    return g + 0.2 * (w["layers.2.weight"] @ np.tanh(h) + w["layers.2.bias"])


CASES = {
    "linear": (lambda i: LinearDynamics(LinearDynamicsConfig(), i), linear),
    "low rank": (lambda i: LowRankNetwork(LowRankConfig(rank=2, leak=0.3), i), low_rank),
    "mlp": (lambda i: ResidualMLP(MLPConfig(hidden=4, change=0.2), i), residual),
}


@pytest.mark.parametrize("clip", [5.0, 0.4])
@pytest.mark.parametrize(("build", "equation"), CASES.values(), ids=CASES)
def test_a_generator_follows_its_equation_bin_by_bin(build, equation, clip):
    part = shaken(build(info()))
    weights = {name: value.detach().numpy() for name, value in part.named_parameters()}
    first, inputs = (torch.empty(3, *shape, dtype=torch.float64).normal_(generator=stream(1, *shape)) for shape in ((5,), (6, 2)))
    got = part.run(inputs, first, clip=clip).detach().numpy()
    for trial in range(3):
        g = first[trial].numpy()
        for t in range(6):
            g = np.clip(equation(weights, g, inputs[trial, t].numpy()), -clip, clip)
            np.testing.assert_allclose(got[trial, t], g, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize(("build", "equation"), CASES.values(), ids=CASES)
def test_scales_act_on_first_weights(build, equation):
    once, more = (dict(build(info(**scales)).named_parameters()) for scales in ({}, {"input_scale": 2.0, "recurrent_scale": 0.0}))
    torch.testing.assert_close(more["input"], 2 * once["input"])
    none = {"linear": "recurrent", "low rank": "out", "mlp": "layers.2.weight"}[next(name for name, case in CASES.items() if case[0] is build)]
    assert torch.equal(more[none], 0.9 * torch.eye(5)) if none == "recurrent" else not more[none].any()


def test_connections_of_low_rank_have_that_rank():
    part = shaken(LowRankNetwork(LowRankConfig(rank=3), info(size=20)))
    assert torch.linalg.matrix_rank(part.out @ part.into) == 3


@pytest.mark.parametrize(("build", "equation"), CASES.values(), ids=CASES)
def test_matrices_that_act_on_the_state_are_those_that_l2_counts(build, equation):
    part = build(info())
    counted = {name for name, value in part.named_parameters() if any(value is kernel for kernel in part.kernels())}
    assert counted == {name for name, value in part.named_parameters() if value.dim() == 2 and name != "input"}
