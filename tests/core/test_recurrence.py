"""The loops over time: against plain NumPy, with and without a population axis, in every backend, with all gradients."""

from __future__ import annotations

import logging
from dataclasses import fields, replace

import numpy as np
import pytest
import torch

from backends import ON_CPU
from lfads_core.errors import ConfigError
from lfads_core.recurrence import choose
from lfads_core.recurrence.choose import BACKENDS, REFERENCE, choose_recurrence, obstacle
from lfads_core.recurrence.reference import affine, gru_step
from lfads_core.recurrence.weights import DecoderDrive, DecoderPath, DecoderStart, DecoderWeights, GRUWeights
from pairwise import pairwise

F64 = torch.float64
# B trials, T bins, I inputs, H units: the least of everything, no input at all, odd sizes
GRU_SHAPES = [(1, 1, 1, 1), (2, 3, 0, 2), (3, 7, 5, 4), (5, 9, 2, 7)]
# B trials, T bins, C encoder units, E external, U inferred, H controller, G generator, F factors
LOOP_SHAPES = [(1, 1, 1, 0, 1, 1, 1, 1), (2, 5, 3, 0, 2, 4, 3, 5), (3, 7, 2, 3, 1, 5, 7, 2)]
LOOSE, TIGHT = 5.0, 0.4


def draw(rng, *shape):
    return torch.empty(*shape, dtype=F64).normal_(generator=rng)


def rng_of(*numbers):
    return torch.Generator().manual_seed(hash(numbers) % 2**31)


def gru_weights(rng, inputs, hidden, *, members=()):
    rows = (*members, 3 * hidden)
    return GRUWeights(input=draw(rng, *rows, inputs), recurrent=draw(rng, *rows, hidden), bias=draw(rng, *rows))


def loop_arguments(rng, shape, members=(), *, noise=True, masks=False):
    B, T, C, E, U, H, G, F = shape
    start = DecoderStart(generator=draw(rng, *members, B, G), factors=draw(rng, *members, B, F), controller=draw(rng, *members, B, H))

    def mask(width):
        return (draw(rng, *members, B, T, width) > -0.5).to(F64) / 0.7 if masks else None

    drive = DecoderDrive(
        ci=draw(rng, *members, B, T, 2 * C),
        external=draw(rng, *members, B, T, E),
        noise=draw(rng, *members, B, T, U) if noise else None,
        con_mask=mask(2 * C + F),
        state_mask=mask(G),
    )
    weights = DecoderWeights(
        controller=gru_weights(rng, 2 * C + F, H, members=members),
        posterior=0.5 * draw(rng, *members, 2 * U, H),
        posterior_bias=0.5 * draw(rng, *members, 2 * U),
        generator=gru_weights(rng, U + E, G, members=members),
        factors=draw(rng, *members, F, G),
    )
    return start, drive, weights


def tensors_in(*records):
    """Every tensor of nested records, in order, with its name."""
    found = []
    for record in records:
        for field in fields(record):
            value = getattr(record, field.name)
            if isinstance(value, torch.Tensor):
                found.append((field.name, value))
            elif isinstance(value, GRUWeights):
                found += [(f"{field.name}.{name}", inner) for name, inner in tensors_in(value)]
    return found


def changed(record, change):
    """A copy with every tensor changed."""
    new = {}
    for field in fields(record):
        value = getattr(record, field.name)
        new[field.name] = changed(value, change) if isinstance(value, GRUWeights) else change(value) if isinstance(value, torch.Tensor) else value
    return replace(record, **new)


def leaf(value):
    return value.detach().clone().requires_grad_()


def weighted_sum(value):
    """A number that every entry moves differently, in the same way for each member of a population (first of four axes)."""
    weights = torch.linspace(-1, 1, value.shape[-3:].numel(), dtype=F64)
    return (value * weights.view(value.shape[-3:])).sum()


def with_gradients(function, *records):
    """Outputs, and the gradients of a weighted sum of all of them with respect to every tensor of the records but the masks."""
    leaves = [changed(record, leaf) for record in records]
    outputs = function(*leaves)
    outputs = [value for _, value in tensors_in(outputs)] if isinstance(outputs, DecoderPath) else [outputs]
    inputs = [value for name, value in tensors_in(*leaves) if not name.endswith("mask")]
    grads = torch.autograd.grad(sum(weighted_sum(value) for value in outputs), inputs, allow_unused=True)
    return outputs, [torch.zeros_like(value) if grad is None else grad for value, grad in zip(inputs, grads, strict=True)]


def assert_close(got, wanted, tolerance=1e-12):
    for a, b in zip(got, wanted, strict=True):
        assert a.shape == b.shape
        size = max(1.0, b.detach().abs().amax().item()) if b.numel() else 1.0
        assert torch.allclose(a, b, rtol=0, atol=tolerance * size)


def numpy_gru(x, h, weights, clip):
    """One trial, one bin and one unit at a time."""
    w, u, b = (value.numpy() for value in (weights.input, weights.recurrent, weights.bias))
    hidden, states = len(h), []
    for x_t in x:
        z, r, n = np.empty(hidden), np.empty(hidden), np.empty(hidden)
        for i in range(hidden):
            z[i] = 1 / (1 + np.exp(-(w[i] @ x_t + b[i] + u[i] @ h)))
            r[i] = 1 / (1 + np.exp(-(w[hidden + i] @ x_t + b[hidden + i] + u[hidden + i] @ h)))
        for i in range(hidden):
            n[i] = np.tanh(w[2 * hidden + i] @ x_t + b[2 * hidden + i] + u[2 * hidden + i] @ (r * h))
        h = np.clip(z * h + (1 - z) * n, -clip, clip)
        states.append(h)
    return np.array(states)


@pytest.fixture(params=ON_CPU)
def backend(request, usable):
    return usable(request.param)


def test_the_backends_left_out_here_compute_on_no_cpu():
    clauses = {obstacle(name, "cpu", asked=True) for name in set(BACKENDS) - set(ON_CPU)}
    assert clauses == {"it computes on CUDA devices alone, not on cpu"}


@pytest.mark.parametrize("clip", [LOOSE, TIGHT])
@pytest.mark.parametrize("shape", GRU_SHAPES)
def test_a_gru_is_what_a_plain_loop_over_units_says(backend, shape, clip):
    B, T, inputs, H = shape
    rng = rng_of(*shape)
    x, h0, weights = draw(rng, B, T, inputs), draw(rng, B, H), gru_weights(rng, inputs, H)
    states = backend.gru(x, h0, weights, clip=clip)
    wanted = np.stack([numpy_gru(x[b].numpy(), h0[b].numpy(), weights, clip) for b in range(B)])
    assert np.allclose(states.numpy(), wanted, rtol=0, atol=1e-13)
    assert float(states.abs().max()) <= clip


def test_the_reset_gate_acts_before_the_recurrent_product():
    recurrent = torch.tensor([[0.0, 0.0], [0.0, 0.0], [0.0, 0.0], [0.0, 0.0], [0.0, 1.0], [0.0, 0.0]], dtype=F64)
    drive = torch.tensor([[-50.0, -50.0, 50.0, -50.0, 0.0, 0.0]], dtype=F64)  # update everything; reset unit 1 alone
    h = gru_step(drive, torch.tensor([[0.0, 0.8]], dtype=F64), recurrent, LOOSE)
    assert h.abs().max() < 1e-12  # torch's own GRU would give tanh(1 * 0.8) for unit 0, whose own reset gate is open


@pytest.mark.parametrize("shape", GRU_SHAPES)
def test_a_gru_in_reverse_is_the_gru_of_reversed_time_in_the_order_of_the_input(backend, shape):
    B, T, inputs, H = shape
    rng = rng_of(*shape, 1)
    x, h0, weights = draw(rng, B, T, inputs), draw(rng, B, H), gru_weights(rng, inputs, H)
    assert_close([backend.gru(x, h0, weights, clip=LOOSE, reverse=True)], [backend.gru(x.flip(1), h0, weights, clip=LOOSE).flip(1)])


@pytest.mark.parametrize("clip", [LOOSE, TIGHT])
@pytest.mark.parametrize("shape", GRU_SHAPES)
def test_the_last_state_is_that_of_a_plain_loop(backend, shape, clip):
    B, T, inputs, H = shape
    rng = rng_of(*shape)
    x, h0, weights = draw(rng, B, T, inputs), draw(rng, B, H), gru_weights(rng, inputs, H)
    wanted = np.stack([numpy_gru(x[b].numpy(), h0[b].numpy(), weights, clip)[-1] for b in range(B)])
    assert np.allclose(backend.last(x, h0, weights, clip=clip).numpy(), wanted, rtol=0, atol=1e-13)


@pairwise(shape=GRU_SHAPES, clip=[LOOSE, TIGHT], masks=[False, True])
def test_a_driven_generator_is_what_a_plain_loop_says(backend, shape, clip, masks):
    B, T, inputs, H = shape
    rng = rng_of(*shape, masks)
    x, h0, weights, factors = draw(rng, B, T, inputs), draw(rng, B, H), gru_weights(rng, inputs, H), draw(rng, 3, H)
    mask = (draw(rng, B, T, H) > 0).to(F64) / 0.7 if masks else None
    states, read = backend.driven(x, h0, weights, factors, clip=clip, mask=mask)
    for b in range(B):
        wanted = numpy_gru(x[b].numpy(), h0[b].numpy(), weights, clip)
        assert np.allclose(states[b].numpy(), wanted, rtol=0, atol=1e-13)
        kept = wanted if mask is None else wanted * mask[b].numpy()
        assert np.allclose(read[b].numpy(), kept @ factors.numpy().T, rtol=0, atol=1e-12)


@pytest.mark.parametrize("masks", [False, True])
@pytest.mark.parametrize("members", [(), (2,)])
def test_the_gradients_of_the_last_state_and_of_a_driven_generator_are_those_of_finite_differences(backend, members, masks):
    rng = rng_of(8, len(members), masks)
    sizes = ((2, 4, 2), (2, 3), (9, 2), (9, 3), (9,), (2, 3))
    arguments = [leaf(draw(rng, *members, *size)) for size in sizes]
    mask = (draw(rng, *members, 2, 4, 3) > -0.5).to(F64) / 0.7 if masks else None

    def paths(x, h0, wi, wh, b, factors):
        weights = GRUWeights(input=wi, recurrent=wh, bias=b)
        return *backend.driven(x, h0, weights, factors, clip=TIGHT, mask=mask), backend.last(x, h0, weights, clip=TIGHT)

    assert torch.autograd.gradcheck(paths, arguments)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("clip", [LOOSE, TIGHT])
def test_the_gradients_of_a_gru_are_those_of_finite_differences(backend, reverse, clip):
    rng = rng_of(2)
    arguments = [leaf(value) for value in (draw(rng, 2, 4, 3), draw(rng, 2, 3), draw(rng, 9, 3), draw(rng, 9, 3), draw(rng, 9))]

    def states(x, h0, wi, wh, b):
        return backend.gru(x, h0, GRUWeights(input=wi, recurrent=wh, bias=b), clip=clip, reverse=reverse)

    assert torch.autograd.gradcheck(states, arguments)


@pairwise(clip=[LOOSE, TIGHT], noise=[False, True], masks=[False, True])
def test_the_gradients_of_the_closed_loop_are_those_of_finite_differences(backend, noise, masks, clip):
    records = loop_arguments(rng_of(3, noise, masks), (1, 3, 1, 1, 1, 2, 2, 2), noise=noise, masks=masks)
    names = [name for name, _ in tensors_in(*records)]
    values = [value if name.endswith("mask") else leaf(value) for name, value in tensors_in(*records)]
    assert "factors" in names

    def paths(*given):
        rest = iter(given)
        start, drive, weights = (changed(record, lambda _: next(rest)) for record in records)
        return tuple(value for _, value in tensors_in(backend.controlled(start, drive, weights, clip=clip)))

    assert torch.autograd.gradcheck(paths, values)


def numpy_closed_loop(start, drive, weights, clip):
    """One trial at a time, straight from the equations."""
    out = {field.name: [] for field in fields(DecoderPath)}
    U = weights.posterior.shape[0] // 2
    for b in range(drive.ci.shape[0]):
        g, f, c = (value[b].numpy() for value in (start.generator, start.factors, start.controller))
        rows = {name: [] for name in out}
        for t in range(drive.ci.shape[1]):
            seen = np.concatenate([drive.ci[b, t].numpy(), f])
            if drive.con_mask is not None:
                seen = seen * drive.con_mask[b, t].numpy()
            c = numpy_gru(seen[None], c, weights.controller, clip)[0]
            moments = weights.posterior.numpy() @ c + weights.posterior_bias.numpy()
            mean, std = moments[:U], np.exp(moments[U:] / 2)
            u = mean if drive.noise is None else mean + std * drive.noise[b, t].numpy()
            g = numpy_gru(np.concatenate([u, drive.external[b, t].numpy()])[None], g, weights.generator, clip)[0]
            f = weights.factors.numpy() @ (g if drive.state_mask is None else g * drive.state_mask[b, t].numpy())
            for name, value in {"states": g, "factors": f, "con_states": c, "input_mean": mean, "input_std": std, "inputs": u}.items():
                rows[name].append(value)
        for name, values in rows.items():
            out[name].append(values)
    return {name: np.array(values) for name, values in out.items()}


@pairwise(shape=LOOP_SHAPES, clip=[LOOSE, TIGHT], noise=[False, True], masks=[False, True])
def test_the_closed_loop_is_what_a_plain_loop_says(backend, shape, clip, noise, masks):
    start, drive, weights = loop_arguments(rng_of(*shape), shape, noise=noise, masks=masks)
    path = backend.controlled(start, drive, weights, clip=clip)
    for name, wanted in numpy_closed_loop(start, drive, weights, clip).items():
        assert np.allclose(getattr(path, name).numpy(), wanted, rtol=1e-12, atol=1e-12), name


@pairwise(shape=GRU_SHAPES, members=[1, 3], clip=[LOOSE, TIGHT], reverse=[False, True])
def test_each_member_of_a_population_runs_its_gru_as_if_alone(backend, shape, members, clip, reverse):
    B, T, inputs, H = shape
    rng = rng_of(*shape, members)
    weights = gru_weights(rng, inputs, H, members=(members,))
    x, h0 = draw(rng, members, B, T, inputs), draw(rng, members, B, H)

    def run(start, drive, weights):
        return backend.gru(drive.ci, start.controller, weights, clip=clip, reverse=reverse)

    # The records of the closed loop carry the input and the first state of the GRU; their other tensors are not used.
    start = DecoderStart(generator=h0, factors=h0, controller=h0)
    drive = DecoderDrive(ci=x, external=x, noise=None)
    outputs, grads = with_gradients(run, start, drive, weights)
    for m in range(members):
        alone = [changed(record, lambda value, m=m: value[m]) for record in (start, drive, weights)]
        own_outputs, own_grads = with_gradients(run, *alone)
        assert_close([value[m] for value in outputs], own_outputs)
        assert_close([value[m] for value in grads], own_grads)


@pairwise(shape=LOOP_SHAPES, members=[1, 3], noise=[False, True], masks=[False, True])
def test_each_member_of_a_population_runs_its_closed_loop_as_if_alone(backend, shape, members, noise, masks):
    records = loop_arguments(rng_of(*shape, members), shape, (members,), noise=noise, masks=masks)

    def run(start, drive, weights):
        return backend.controlled(start, drive, weights, clip=TIGHT)

    outputs, grads = with_gradients(run, *records)
    for m in range(members):
        own_outputs, own_grads = with_gradients(run, *(changed(record, lambda value, m=m: value[m]) for record in records))
        assert_close([value[m] for value in outputs], own_outputs)
        assert_close([value[m] for value in grads], own_grads)


@pairwise(shape=LOOP_SHAPES, members=[(), (2,)], clip=[LOOSE, TIGHT], noise=[False, True], masks=[False, True])
def test_every_backend_agrees_with_the_reference_in_the_closed_loop_and_all_its_gradients(backend, shape, members, clip, noise, masks):
    records = loop_arguments(rng_of(*shape, 7), shape, members, noise=noise, masks=masks)
    outputs, grads = with_gradients(lambda *r: backend.controlled(*r, clip=clip), *records)
    wanted, wanted_grads = with_gradients(lambda *r: REFERENCE.controlled(*r, clip=clip), *records)
    assert_close(outputs, wanted)
    assert_close(grads, wanted_grads)


def test_a_population_maps_each_member_with_its_own_weights():
    rng = rng_of(5)
    x, weight, bias = draw(rng, 3, 2, 4, 5), draw(rng, 3, 6, 5), draw(rng, 3, 6)
    wanted = torch.stack([x[m] @ weight[m].T + bias[m] for m in range(3)])
    assert_close([affine(x, weight, bias)], [wanted])
    assert_close([affine(x[:, :, 0], weight)], [wanted[:, :, 0] - bias.unsqueeze(1)])


def test_a_backend_is_chosen_by_name_or_automatically_and_says_why(caplog):
    caplog.set_level(logging.INFO, "lfads_core.recurrence.choose")
    choose._say_once.cache_clear()
    assert choose_recurrence("reference", "cpu") is REFERENCE
    assert caplog.messages == ["recurrence: reference (asked for)"]
    caplog.clear()
    assert choose_recurrence("auto", "cpu").name in BACKENDS
    assert len(caplog.messages) == 1
    with pytest.raises(ConfigError, match=f"^train.recurrence: must be auto or one of {', '.join(sorted(BACKENDS))}, got 'cudnn'$"):
        choose_recurrence("cudnn", "cpu")
