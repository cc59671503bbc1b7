"""Kernels of a GRU over time: one program per member and block of trials, the whole loop over bins inside.

Members are the first axis of every buffer and time the second, (M, T, B, ·), so that products over bins and trials need no copy. The state
before the first bin is one bin more, so that bin t stands between rows t and t + 1 of ``states``: going forward it leads from the first to the
second, in reverse the other way round.
"""

# mypy: ignore-errors

from typing import no_type_check

from lfads_core.recurrence.triton_cells import candidate_phase, copy_phase, gates_phase, open_tile, reset_phase, zero_phase
from lfads_core.recurrence.triton_language import constexpr, kernel, product, tl, weights_of


@kernel
@no_type_check
def gru_forward(
    drive, h0, states, gates, n, reset, w_gates, w_n, T, B, start_member, start_trial,
    STRIDE: constexpr, HELD: constexpr, clip: constexpr, REVERSE: constexpr, H: constexpr,
    ROWS: constexpr, UNITS: constexpr, GATES: constexpr, WARPS: constexpr, DEPTH: constexpr, PRODUCTS: constexpr,
):  # fmt: skip
    """Two phases a bin: gates, candidate. ``w_gates`` is (H, 2H), ``w_n`` (H, H); ``h0`` may be the same for all trials of a member."""
    member = tl.program_id(1)
    trials = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    ok = (trials < B)[:, None]
    one = tl.minimum(trials, B - 1).to(tl.int64)[:, None]  # reading beyond the last trial reads the last
    rows, ends = one + member.to(tl.int64) * T * B, one + member.to(tl.int64) * (T + 1) * B
    w_gates = weights_of(member, w_gates, STRIDE, H, 2 * H, GATES, HELD & 1)
    w_n = weights_of(member, w_n, STRIDE, H, H, UNITS, HELD & 2)
    copy_phase(h0 + member * start_member + one * start_trial, states + (ends + (T * REVERSE) * B) * H, ok, H, UNITS)
    tl.debug_barrier()
    for s in range(T):
        t = T - 1 - s if REVERSE else s
        here, before, after = rows + t * B, ends + (t + REVERSE) * B, ends + (t + 1 - REVERSE) * B
        x, h = drive + here * (3 * H), states + before * H
        g, rh = gates + here * (2 * H), reset + here * H
        gates_phase(x, h, h, g, rh, ok, w_gates, H, H, GATES, WARPS, DEPTH, PRODUCTS)
        tl.debug_barrier()
        candidate_phase(x, h, rh, g, n + here * H, states + after * H, ok, w_n, clip, H, H, UNITS, WARPS, DEPTH, PRODUCTS)
        tl.debug_barrier()


@kernel
@no_type_check
def gru_backward(
    grad, states, gates, n, to_gates, kept, carry, grad_h0, w_gates, w_n, T, B,
    STRIDE: constexpr, HELD: constexpr, clip: constexpr, REVERSE: constexpr, H: constexpr,
    ROWS: constexpr, UNITS: constexpr, WARPS: constexpr, DEPTH: constexpr, PRODUCTS: constexpr,
):  # fmt: skip
    """Two phases a bin. ``w_gates`` (2H, H) and ``w_n`` (H, H) are as they stand, not transposed.

    Gradients of a bin's sums stand in ``to_gates`` where ``states`` has the state before it; the row left over is set to zero, as ``carry`` is.
    """
    member = tl.program_id(1)
    trials = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    ok = (trials < B)[:, None]
    one = tl.minimum(trials, B - 1).to(tl.int64)[:, None]  # reading beyond the last trial reads the last
    rows, ends = one + member.to(tl.int64) * T * B, one + member.to(tl.int64) * (T + 1) * B
    w_gates = weights_of(member, w_gates, STRIDE, 2 * H, H, UNITS, HELD & 1)
    w_n = weights_of(member, w_n, STRIDE, H, H, UNITS, HELD & 2)
    once = one + member.to(tl.int64) * B
    kept += once * H
    carry += once * H
    zero_phase(to_gates + (ends + (T - T * REVERSE) * B) * (3 * H), carry, ok, H, UNITS)
    tl.debug_barrier()
    for s in range(T):
        t = s if REVERSE else T - 1 - s
        here, before, after = rows + t * B, ends + (t + REVERSE) * B, ends + (t + 1 - REVERSE) * B
        now, later, h, g = to_gates + before * (3 * H), to_gates + after * (3 * H), states + before * H, gates + here * (2 * H)
        for j in range(0, H, UNITS):
            columns = j + tl.arange(0, UNITS)
            c = columns[None, :]
            there = ok & (c < H)
            total = product(later, w_gates, columns, 2 * H, H, WARPS, DEPTH, PRODUCTS)
            total += tl.load(grad + here * H + c, mask=there, other=0.0) + tl.load(carry + c, mask=there, other=0.0)
            open_tile(total, h, states + after * H, g, n + here * H, now, kept, there, c, clip, H)
        tl.debug_barrier()
        reset_phase(h, g, now, kept, carry, ok, w_n, H, UNITS, WARPS, DEPTH, PRODUCTS)
        tl.debug_barrier()
    first = to_gates + (ends + (T * REVERSE) * B) * (3 * H)
    for j in range(0, H, UNITS):
        columns = j + tl.arange(0, UNITS)
        c = columns[None, :]
        there = ok & (c < H)
        total = product(first, w_gates, columns, 2 * H, H, WARPS, DEPTH, PRODUCTS)
        tl.store(grad_h0 + once * H + c, total + tl.load(carry + c, mask=there, other=0.0), mask=there)
