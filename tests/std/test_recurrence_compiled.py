"""The loops in C: every size and type against the reference, threads, populations, strange numbers, strange memory."""

from __future__ import annotations

import functools
import itertools
import os
import pickle
import shutil
import subprocess
import threading
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from lfads_core.recurrence.choose import BACKENDS, REFERENCE
from lfads_core.recurrence.selfcheck import TOLERANCE as TRIAL_TOLERANCE
from lfads_core.recurrence.selfcheck import difference
from lfads_core.recurrence.weights import DecoderDrive, DecoderPath, DecoderStart, DecoderWeights, GRUWeights
from lfads_core.rng import stream
from lfads_plugins_std.compiled import build, cache
from lfads_plugins_std.compiled.check import loops_of
from lfads_plugins_std.compiled.library import load, opened
from pairwise import pairwise

F32, F64 = torch.float32, torch.float64
TOLERANCE = {F32: 5e-5, F64: 1e-12}
"""Of a tensor's largest entry or 1, whichever is larger. Sums over bins and trials: the reference itself is off by 2e-5 in single precision."""
B, H, T = (1, 3, 65), (1, 5, 7, 50, 129), (1, 2, 63)
QUICK = {(1, 1, 1), (3, 2, 5), (65, 1, 7), (1, 63, 50), (3, 63, 7), (65, 2, 129), (3, 1, 129), (1, 2, 7), (65, 63, 5)}
SIZES = [pytest.param(*size, marks=() if size in QUICK else pytest.mark.slow) for size in itertools.product(B, T, H)]


@pytest.fixture
def compiled(usable):
    return usable("compiled")


def normal(rng, *shape, dtype=F64, scale=1.0):
    return (scale * torch.randn(*shape, generator=rng, dtype=F64)).to(dtype).requires_grad_()


def gru_weights(rng, inputs, hidden, members=(), dtype=F64):
    scale = (inputs + hidden) ** -0.5
    sizes = ((3 * hidden, inputs), (3 * hidden, hidden), (3 * hidden,))
    one, two, three = (normal(rng, *members, *size, dtype=dtype, scale=scale) for size in sizes)
    return GRUWeights(input=one, recurrent=two, bias=three)


def gru_arguments(rng, trials, bins, inputs, hidden, members=(), dtype=F64):
    x, h0 = normal(rng, *members, trials, bins, inputs, dtype=dtype), normal(rng, *members, trials, hidden, dtype=dtype)
    return x, h0, gru_weights(rng, inputs, hidden, members, dtype)


def loop_arguments(rng, trials, bins, hidden, *, members=(), dtype=F64, external=0, noise=True, masks=True):
    """A closed loop whose widths all differ."""
    inputs, con, factors, ci = 1 + hidden % 3, hidden + 3, 1 + hidden // 2, 2 * (1 + hidden // 3)

    def mask(width):
        return (torch.rand(*members, trials, bins, width, generator=rng) > 0.3).to(dtype) / 0.7 if masks else None

    start = DecoderStart(
        generator=normal(rng, *members, trials, hidden, dtype=dtype),
        factors=normal(rng, *members, trials, factors, dtype=dtype),
        controller=normal(rng, *members, trials, con, dtype=dtype),
    )
    drive = DecoderDrive(
        ci=normal(rng, *members, trials, bins, ci, dtype=dtype),
        external=normal(rng, *members, trials, bins, external, dtype=dtype),
        noise=normal(rng, *members, trials, bins, inputs, dtype=dtype) if noise else None,
        con_mask=mask(ci + factors),
        state_mask=mask(hidden),
    )
    weights = DecoderWeights(
        controller=gru_weights(rng, ci + factors, con, members, dtype),
        posterior=normal(rng, *members, 2 * inputs, con, dtype=dtype, scale=0.2),
        posterior_bias=normal(rng, *members, 2 * inputs, dtype=dtype, scale=0.2),
        generator=gru_weights(rng, inputs + external, hidden, members, dtype),
        factors=normal(rng, *members, factors, hidden, dtype=dtype, scale=hidden**-0.5),
    )
    return start, drive, weights


def driven_arguments(rng, trials, bins, hidden, *, members=(), dtype=F64, inputs=2, masks=True):
    """A generator under given inputs: positional arguments, then the mask on its states."""
    x, h0, weights = gru_arguments(rng, trials, bins, inputs, hidden, members, dtype)
    factors = normal(rng, *members, 1 + hidden // 2, hidden, dtype=dtype, scale=hidden**-0.5)
    kept = (torch.rand(*members, trials, bins, hidden, generator=rng) > 0.3).to(dtype) / 0.7 if masks else None
    return (x, h0, weights, factors), kept


def masked(loop, mask):
    """A driven loop with its mask given."""
    return functools.partial(loop, mask=mask)


def tensors(*values):
    found = []
    for value in values:
        if isinstance(value, torch.Tensor):
            found.append(value)
        elif isinstance(value, tuple):
            found += tensors(*value)
        elif value is not None:
            found += tensors(*vars(value).values())
    return found


def changed(change, value):
    if value is None or isinstance(value, torch.Tensor):
        return None if value is None else change(value)
    return replace(value, **{name: changed(change, inner) for name, inner in vars(value).items()})


def results(loop, arguments, *, clip=1.0, wanted=None, axes=3, **options):
    """Outputs, then the gradients of a weighted sum of them with respect to all that can be differentiated, or to ``wanted``.

    Weights differ along the last ``axes``, and are the same for all members before these.
    """
    outputs = tensors(loop(*arguments, clip=clip, **options))
    total = sum((value * torch.linspace(-1, 1, value.shape[-axes:].numel(), dtype=value.dtype).view(value.shape[-axes:])).sum() for value in outputs)
    leaves = [value for value in tensors(*arguments) if value.requires_grad] if wanted is None else wanted
    return [*(value.detach() for value in outputs), *torch.autograd.grad(total, leaves)]


def assert_close(got, wanted, tolerance=None):
    assert len(got) == len(wanted)
    for a, b in zip(got, wanted, strict=True):
        assert a.shape == b.shape
        size = max(1.0, float(b.detach().abs().max())) if b.numel() else 1.0
        torch.testing.assert_close(a.to(F64), b, rtol=0, atol=(tolerance or TOLERANCE[a.dtype]) * size)


def in_double(arguments):
    """The same numbers for the reference, whose own rounding is then out of the way."""
    return [changed(lambda value: value.detach().to(F64).requires_grad_(value.requires_grad), value) for value in arguments]


def assert_identical(got, wanted):
    assert all(torch.equal(a, b) for a, b in zip(got, wanted, strict=True))


@pytest.mark.parametrize("dtype", [F64, F32])
@pytest.mark.parametrize(("trials", "bins", "hidden"), SIZES)
def test_a_gru_of_any_size_and_all_its_gradients_equal_the_reference(compiled, trials, bins, hidden, dtype):
    arguments = gru_arguments(stream(0, "gru", trials, bins, hidden), trials, bins, hidden % 6, hidden, dtype=dtype)
    for reverse in (False, True):
        assert_close(results(compiled.gru, arguments, reverse=reverse), results(REFERENCE.gru, in_double(arguments), reverse=reverse))
    assert_close(results(compiled.last, arguments), results(REFERENCE.last, in_double(arguments)))


@pytest.mark.parametrize("dtype", [F64, F32])
@pytest.mark.parametrize(("trials", "bins", "hidden"), SIZES)
def test_a_closed_loop_of_any_size_and_all_its_gradients_equal_the_reference(compiled, trials, bins, hidden, dtype):
    arguments = loop_arguments(stream(0, "loop", trials, bins, hidden), trials, bins, hidden, dtype=dtype, external=hidden % 2)
    assert_close(results(compiled.controlled, arguments), results(REFERENCE.controlled, in_double(arguments)))


@pytest.mark.parametrize("dtype", [F64, F32])
@pytest.mark.parametrize(("trials", "bins", "hidden"), SIZES)
def test_a_driven_generator_of_any_size_and_all_its_gradients_equal_the_reference(compiled, trials, bins, hidden, dtype):
    arguments, mask = driven_arguments(stream(0, "driven", trials, bins, hidden), trials, bins, hidden, dtype=dtype, inputs=hidden % 3)
    wanted = results(masked(REFERENCE.driven, mask.double()), in_double(arguments))
    assert_close(results(masked(compiled.driven, mask), arguments), wanted)


@pairwise(masks=[False, True], inputs=[0, 2], members=[(), (1,), (3,)], clip=[5.0, 0.3], dtype=[F64, F32])
def test_every_combination_of_the_driven_generator_equals_the_reference(compiled, masks, inputs, members, clip, dtype):
    rng = stream(0, "driven combination", masks, inputs, len(members))
    arguments, mask = driven_arguments(rng, 19, 7, 9, members=members, dtype=dtype, inputs=inputs, masks=masks)
    wanted = results(masked(REFERENCE.driven, None if mask is None else mask.double()), in_double(arguments), clip=clip)
    assert_close(results(masked(compiled.driven, mask), arguments, clip=clip), wanted)


@pairwise(noise=[False, True], masks=[False, True], external=[0, 2], members=[(), (1,), (3,)], clip=[5.0, 0.3], dtype=[F64, F32])
def test_every_combination_of_the_closed_loop_equals_the_reference(compiled, noise, masks, external, members, clip, dtype):
    rng = stream(0, "combination", noise, masks, external, len(members))
    arguments = loop_arguments(rng, 19, 7, 9, members=members, dtype=dtype, external=external, noise=noise, masks=masks)
    assert_close(results(compiled.controlled, arguments, clip=clip), results(REFERENCE.controlled, in_double(arguments), clip=clip))


def test_a_member_of_a_population_computes_bit_by_bit_what_it_computes_alone(compiled):
    for loop, arguments in (
        (compiled.gru, gru_arguments(stream(0, "member"), 37, 9, 5, 11, (3,), F32)),
        (compiled.last, gru_arguments(stream(0, "member"), 37, 9, 5, 11, (3,), F32)),
        (compiled.driven, driven_arguments(stream(0, "member"), 37, 9, 11, members=(3,), dtype=F32)[0]),
        (compiled.controlled, loop_arguments(stream(0, "members"), 37, 9, 11, members=(3,), dtype=F32, external=1)),
    ):
        axes = 2 if loop is compiled.last else 3
        together = results(loop, arguments, axes=axes)
        for m in range(3):
            alone = [changed(lambda value, m=m: value.detach()[m].requires_grad_(value.requires_grad), value) for value in arguments]
            assert_identical([value[m] for value in together], results(loop, alone, axes=axes))


def test_results_do_not_depend_on_the_number_of_threads(compiled):
    for loop, arguments in (
        (compiled.gru, gru_arguments(stream(0, "threads"), 130, 9, 5, 11, (), F32)),
        (compiled.last, gru_arguments(stream(0, "threads"), 130, 9, 5, 11, (), F32)),
        (compiled.driven, driven_arguments(stream(0, "threads"), 130, 9, 11, dtype=F32)[0]),
        (compiled.controlled, loop_arguments(stream(0, "threads"), 130, 9, 11, dtype=F32)),
    ):
        given = []
        for threads in (1, 2, 5):
            torch.set_num_threads(threads)
            given.append(results(loop, arguments))
        assert_identical(given[0], given[1])
        assert_identical(given[0], given[2])


def test_inference_without_gradients_gives_the_same_states(compiled):
    arguments = gru_arguments(stream(0, "inference"), 5, 6, 4, 7)
    loop = loop_arguments(stream(0, "inference"), 5, 6, 7)
    with torch.no_grad():
        quick = everything(compiled, arguments, loop)
    assert not any(value.requires_grad for value in quick)
    assert_identical(quick, everything(compiled, arguments, loop))


def everything(loops, arguments, loop):
    """What all loops make of the arguments of a GRU and those of a closed loop."""
    factors = arguments[1][:3].detach()
    plain = [loops.gru(*arguments, clip=1.0), loops.last(*arguments, clip=1.0), *loops.driven(*arguments, factors, clip=1.0)]
    return [*plain, *tensors(loops.controlled(*loop, clip=1.0))]


def test_arguments_may_lie_in_memory_as_they_like(compiled):
    def scattered(value):
        """Every second entry of every axis of a larger tensor, turned round, full of NaN elsewhere."""
        room = torch.full([2 * size for size in value.shape[::-1]], torch.nan, dtype=value.dtype)
        place = room[tuple(slice(1, None, 2) for _ in value.shape)].permute(*range(value.dim() - 1, -1, -1))
        place.copy_(value.detach())
        return place.requires_grad_(value.requires_grad)

    def spread(value):
        """All trials alike, kept once."""
        return value.detach()[:1].expand_as(value).requires_grad_(value.requires_grad)

    gru, loop = gru_arguments(stream(0, "strides"), 5, 6, 4, 7), loop_arguments(stream(0, "strides"), 5, 6, 7, external=2)
    driven = driven_arguments(stream(0, "strides"), 5, 6, 7)[0]
    for change in (scattered, spread):
        pairs = ((name, gru) for name in ("gru", "last")), (("driven", driven), ("controlled", loop))
        for name, arguments in itertools.chain(*pairs):
            mine, theirs = getattr(compiled, name), getattr(REFERENCE, name)
            odd = [changed(change, value) for value in arguments]
            plain = [changed(lambda value: value.detach().clone().requires_grad_(value.requires_grad), value) for value in odd]
            assert_close(results(mine, odd), results(theirs, plain))


def test_upstream_gradients_may_be_expanded_or_absent(compiled):
    x, h0, weights = gru_arguments(stream(0, "upstream"), 5, 6, 4, 7)
    for loss in (lambda states: states.sum(), lambda states: states[:, -1].sum(), lambda states: states.mT.cumsum(-1).sum()):
        got, wanted = (torch.autograd.grad(loss(loop.gru(x, h0, weights, clip=1.0)), tensors(x, h0, weights)) for loop in (compiled, REFERENCE))
        assert_close(got, wanted)
    arguments = loop_arguments(stream(0, "upstream"), 5, 6, 7)
    leaves = [value for value in tensors(*arguments) if value.requires_grad]
    for name in vars(compiled.controlled(*arguments, clip=1.0)):
        got, wanted = (
            torch.autograd.grad(getattr(loop.controlled(*arguments, clip=1.0), name).sum(), leaves, allow_unused=True, materialize_grads=True)
            for loop in (compiled, REFERENCE)
        )
        assert_close(got, wanted)


def test_each_argument_may_be_the_only_one_with_a_gradient(compiled):
    gru, loop = gru_arguments(stream(0, "subsets"), 5, 6, 4, 7), loop_arguments(stream(0, "subsets"), 5, 6, 7, external=2)
    driven = driven_arguments(stream(0, "subsets"), 5, 6, 7)[0]
    for mine, arguments in ((compiled.gru, gru), (compiled.last, gru), (compiled.driven, driven), (compiled.controlled, loop)):
        of_all = results(mine, arguments)
        leaves = [value for value in tensors(*arguments) if value.requires_grad]
        outputs = len(of_all) - len(leaves)
        for i in range(len(leaves)):
            count = itertools.count()
            alone = [changed(lambda value, i=i, count=count: _only(value, i, count), value) for value in arguments]
            assert_identical(results(mine, alone)[outputs:], [of_all[outputs + i]])


def _only(value, i, count):
    return value.detach().requires_grad_(next(count) == i) if value.requires_grad else value


def test_arguments_are_left_as_they_were(compiled):
    for loop, arguments in (
        (compiled.gru, gru_arguments(stream(0, "untouched"), 5, 6, 4, 7)),
        (compiled.controlled, loop_arguments(stream(0, "untouched"), 5, 6, 7, external=2)),
    ):
        before = [value.detach().clone() for value in tensors(*arguments)]
        results(loop, arguments)
        assert_identical([value.detach() for value in tensors(*arguments)], before)


@pytest.mark.parametrize("dtype", [F64, F32])
@pytest.mark.parametrize("size", [1e4, 100.0, 1e-4, 1e-30])
def test_drives_of_any_size_saturate_the_gates_as_in_the_reference(compiled, size, dtype):
    x, h0, weights = gru_arguments(stream(0, "extreme"), 9, 12, 4, 7, dtype=dtype)
    arguments = (x.detach() * size).requires_grad_(), h0, weights
    got, wanted = results(compiled.gru, arguments), results(REFERENCE.gru, in_double(arguments))
    assert_close(got, wanted, TOLERANCE[dtype] * 10)


def test_a_state_that_stands_at_the_bound_by_itself_passes_its_gradient(compiled):
    weights = GRUWeights(
        input=torch.zeros(9, 1, dtype=F64), recurrent=torch.zeros(9, 3, dtype=F64), bias=torch.tensor([1e4] * 3 + [0.0] * 6, dtype=F64)
    )
    h0 = torch.full((2, 3), 1.0, dtype=F64, requires_grad=True)  # the update gate keeps it, and the bound is 1: nothing is cut off
    for loop in (REFERENCE, compiled):
        (slope,) = torch.autograd.grad(loop.gru(torch.zeros(2, 5, 1, dtype=F64), h0, weights, clip=1.0)[:, -1].sum(), h0)
        assert torch.equal(slope, torch.ones(2, 3, dtype=F64))


@pytest.mark.parametrize("dtype", [F64, F32])
@pytest.mark.parametrize("bad", [torch.nan, torch.inf, -torch.inf])
def test_a_number_that_is_none_shows_where_it_shows_in_the_reference(compiled, bad, dtype):
    def spoilt(value):
        """The second trial's first number."""
        copy = value.detach().clone()
        copy[1].view(-1)[0] = bad
        return copy.requires_grad_(value.requires_grad)

    x, h0, weights = gru_arguments(stream(0, "bad"), 20, 5, 4, 7, dtype=dtype)
    start, drive, decoder = loop_arguments(stream(0, "bad"), 20, 5, 7, dtype=dtype, external=1)
    cases = [(compiled.gru, REFERENCE.gru, case) for case in ((spoilt(x), h0, weights), (x, spoilt(h0), weights))]
    for record in (start, drive):
        for name, value in vars(record).items():
            new = replace(record, **{name: spoilt(value)})
            case = (new, drive, decoder) if record is start else (start, new, decoder)
            cases.append((compiled.controlled, REFERENCE.controlled, case))
    for mine, theirs, case in cases:
        for got, wanted in zip(tensors(mine(*case, clip=1.0)), tensors(theirs(*case, clip=1.0)), strict=True):
            torch.testing.assert_close(got, wanted, rtol=0, atol=TOLERANCE[dtype], equal_nan=True)


def test_what_c_does_not_cover_is_computed_all_the_same(compiled):
    x, h0, weights = gru_arguments(stream(0, "half"), 3, 4, 2, 5, dtype=torch.bfloat16)
    assert compiled.gru(x, h0, weights, clip=1.0).dtype == torch.bfloat16
    start, drive, decoder = loop_arguments(stream(0, "mixed"), 3, 4, 5)
    drive = replace(drive, state_mask=drive.state_mask.detach().requires_grad_())
    assert_close(tensors(compiled.controlled(start, drive, decoder, clip=1.0)), tensors(REFERENCE.controlled(start, drive, decoder, clip=1.0)))


def test_no_trial_at_all_gives_nothing_and_zero_gradients(compiled):
    arguments = gru_arguments(stream(0, "none"), 0, 4, 2, 5)
    states, *grads = results(compiled.gru, arguments)
    assert states.shape == (0, 4, 5)
    assert all(not value.any() for value in grads)


def test_two_python_threads_may_compute_at_once(compiled):
    arguments = [loop_arguments(stream(0, "at once", i), 40, 20, 30, dtype=F32) for i in range(2)]
    wanted = [results(compiled.controlled, one) for one in arguments]
    got = [[], []]

    def work(i):
        for _ in range(5):
            got[i].append(results(compiled.controlled, arguments[i]))

    workers = [threading.Thread(target=work, args=(i,)) for i in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    for i in range(2):
        for one in got[i]:
            assert_identical(one, wanted[i])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork.*:DeprecationWarning")
def test_a_forked_process_goes_on_computing(compiled):
    torch.set_num_threads(2)
    arguments = gru_arguments(stream(0, "fork"), 70, 5, 4, 7)
    wanted = results(compiled.gru, arguments)
    child = os.fork()
    if child == 0:
        with torch.no_grad():
            os._exit(0 if torch.equal(compiled.gru(*arguments, clip=1.0), wanted[0]) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_the_backend_can_be_pickled(compiled):
    assert pickle.loads(pickle.dumps(compiled)) == compiled == BACKENDS["compiled"]


def test_nothing_is_read_that_was_not_written_before(compiled, tmp_path, monkeypatch):
    """With every buffer, ours and torch's, full of NaN beforehand."""
    compiler = build.find_compiler()
    poisoned = tmp_path / "loops.so"
    flags = [flag for flag in build.FLAGS if flag != "-O3"]
    subprocess.run([*compiler.command, *flags, "-DPOISON", "loops.c", "-o", poisoned, "-lm"], cwd=cache.SOURCES, check=True)
    loops = loops_of(opened(poisoned))
    monkeypatch.setattr(torch, "empty_like", lambda value, **_: torch.full(value.shape, torch.nan, dtype=value.dtype))
    monkeypatch.setattr(torch.Tensor, "new_empty", lambda value, *shape: torch.full(shape, torch.nan, dtype=value.dtype))
    for trials, hidden in ((1, 5), (21, 7)):
        gru = gru_arguments(stream(0, "poison"), trials, 30, 3, hidden, dtype=F32)
        loop = loop_arguments(stream(0, "poison"), trials, 30, hidden, external=1, dtype=F32)
        driven = driven_arguments(stream(0, "poison"), trials, 30, hidden, dtype=F32)[0]
        for name, arguments in (("gru", gru), ("last", gru), ("driven", driven), ("controlled", loop)):
            assert_close(results(getattr(loops, name), arguments), results(getattr(REFERENCE, name), in_double(arguments)))


def test_the_library_is_opened_once(compiled):
    assert load() is load()
    assert isinstance(load().path, Path)
    assert isinstance(compiled.controlled(*loop_arguments(stream(0, "once"), 1, 1, 1), clip=1.0), DecoderPath)


@pytest.mark.long
def test_a_library_that_computes_something_else_does_not_pass_its_trial(compiled, tmp_path):
    assert max(of_library(load(), dtype) / tolerance for dtype, tolerance in TRIAL_TOLERANCE.items()) < 0.1
    sources = tmp_path / "source"
    shutil.copytree(cache.SOURCES, sources)
    cell = sources / "cell.h"
    cell.write_text(cell.read_text().replace("d * rh * (1 - r)", "d * rh"))
    compiler = build.find_compiler()
    subprocess.run(
        [*compiler.command, *(flag for flag in build.FLAGS if flag != "-O3"), "loops.c", "-o", tmp_path / "wrong.so", "-lm"], cwd=sources, check=True
    )
    assert of_library(opened(tmp_path / "wrong.so"), F64) > TRIAL_TOLERANCE[F64]


def of_library(library, dtype):
    return difference(loops_of(library), dtype)
