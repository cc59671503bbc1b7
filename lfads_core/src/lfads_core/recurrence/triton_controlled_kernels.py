"""Kernels of controller and generator in closed loop: one program per member and block of trials, all bins inside.

Members are the first axis of every buffer and time the second, (M, T, B, ·). What a cell's products read stands in ``rows``, one bin more
than there are, as in the hand-written backend: [state | input | reset state]. Gates read [state | input], the candidate [input |
reset state]. Going back, ``path`` has the gradient of the factors that bin t reads in row t, so row 0 is that of the first factors.
"""

# mypy: ignore-errors

from typing import no_type_check

from lfads_core.recurrence.triton_cells import candidate_phase, copy_phase, gates_phase, open_tile, reset_phase, zero_phase
from lfads_core.recurrence.triton_language import constexpr, kernel, product, tl, weights_of


@kernel
@no_type_check
def controlled_forward(
    con_drive, gen_drive, c0, g0, f0, feedback_mask, state_mask, noise, posterior_bias,
    con_rows, con_gates, con_n, moments, gen_rows, gen_gates, gen_n, masked, path,
    w_con_gates, w_con_n, w_posterior, w_gen_gates, w_gen_n, w_factors, T, B, start_member, start_trial,
    STRIDE: constexpr, HELD: constexpr, clip: constexpr,
    C: constexpr, G: constexpr, U: constexpr, F: constexpr, CON_ROW: constexpr, GEN_ROW: constexpr,
    ROWS: constexpr, CON: constexpr, GEN: constexpr, CON_GATES: constexpr, GEN_GATES: constexpr, INPUTS: constexpr, FACTORS: constexpr,
    WARPS: constexpr, DEPTH: constexpr, PRODUCTS: constexpr,
):  # fmt: skip
    """Six phases a bin. C, G, U, F are sizes; CON, GEN, INPUTS, FACTORS the tiles of their units."""
    member = tl.program_id(1)
    trials = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    ok = (trials < B)[:, None]
    one = tl.minimum(trials, B - 1).to(tl.int64)[:, None]  # reading beyond the last trial reads the last
    rows, ends, once = one + member.to(tl.int64) * T * B, one + member.to(tl.int64) * (T + 1) * B, one + member.to(tl.int64) * B
    w_con_gates = weights_of(member, w_con_gates, STRIDE, C + F, 2 * C, CON_GATES, HELD & 1)
    w_con_n = weights_of(member, w_con_n, STRIDE, C + F, C, CON, HELD & 2)
    w_posterior = weights_of(member, w_posterior, STRIDE, C, 2 * U, INPUTS, 0)
    w_gen_gates = weights_of(member, w_gen_gates, STRIDE, G + U, 2 * G, GEN_GATES, HELD & 8)
    w_gen_n = weights_of(member, w_gen_n, STRIDE, G + U, G, GEN, HELD & 16)
    w_factors = weights_of(member, w_factors, STRIDE, G, F, FACTORS, HELD & 32)
    few = tl.arange(0, INPUTS)
    an_input = ok & (few < U)[None, :]
    mean_bias = tl.load(posterior_bias + member * (2 * U) + few, mask=few < U, other=0.0)[None, :]
    std_bias = tl.load(posterior_bias + member * (2 * U) + U + few, mask=few < U, other=0.0)[None, :]
    copy_phase(c0 + member * start_member + one * start_trial, con_rows + ends * CON_ROW, ok, C, CON)
    copy_phase(g0 + once * G, gen_rows + ends * GEN_ROW, ok, G, GEN)
    for j in range(0, F, FACTORS):
        at = (j + tl.arange(0, FACTORS))[None, :]
        there = ok & (at < F)
        f = tl.load(f0 + once * F + at, mask=there, other=0.0)
        if feedback_mask is not None:
            f *= tl.load(feedback_mask + rows * F + at, mask=there & (T > 0), other=0.0)
        tl.store(con_rows + ends * CON_ROW + C + at, f, mask=there)
    tl.debug_barrier()
    for t in range(T):
        here, before, after = rows + t * B, ends + t * B, ends + (t + 1) * B
        x, row, gates = con_drive + here * (3 * C), con_rows + before * CON_ROW, con_gates + here * (2 * C)
        c = con_rows + after * CON_ROW
        gates_phase(x, row, row, gates, row + C + F, ok, w_con_gates, C, C + F, CON_GATES, WARPS, DEPTH, PRODUCTS)
        tl.debug_barrier()
        candidate_phase(x, row, row + C, gates, con_n + here * C, c, ok, w_con_n, clip, C, C + F, CON, WARPS, DEPTH, PRODUCTS)
        tl.debug_barrier()

        x, row, gates = gen_drive + here * (3 * G), gen_rows + before * GEN_ROW, gen_gates + here * (2 * G)
        g = gen_rows + after * GEN_ROW
        mean = product(c, w_posterior, few, C, 2 * U, WARPS, DEPTH, PRODUCTS) + mean_bias
        std = tl.exp((product(c, w_posterior, U + few, C, 2 * U, WARPS, DEPTH, PRODUCTS) + std_bias) * 0.5)
        tl.store(moments + here * (2 * U) + few[None, :], mean, mask=an_input)
        tl.store(moments + here * (2 * U) + U + few[None, :], std, mask=an_input)
        if noise is not None:
            mean += std * tl.load(noise + here * U + few[None, :], mask=an_input, other=0.0)
        tl.store(row + G + few[None, :], mean, mask=an_input)
        tl.debug_barrier()

        gates_phase(x, row, row, gates, row + G + U, ok, w_gen_gates, G, G + U, GEN_GATES, WARPS, DEPTH, PRODUCTS)
        tl.debug_barrier()
        candidate_phase(x, row, row + G, gates, gen_n + here * G, g, ok, w_gen_n, clip, G, G + U, GEN, WARPS, DEPTH, PRODUCTS)
        tl.debug_barrier()

        if state_mask is not None:
            for j in range(0, G, GEN):
                columns = (j + tl.arange(0, GEN))[None, :]
                there = ok & (columns < G)
                scale = tl.load(state_mask + here * G + columns, mask=there, other=0.0)
                tl.store(masked + here * G + columns, scale * tl.load(g + columns, mask=there, other=0.0), mask=there)
            g = masked + here * G
            tl.debug_barrier()
        for j in range(0, F, FACTORS):
            columns = j + tl.arange(0, FACTORS)
            there, at = ok & (columns < F)[None, :], columns[None, :]
            f = product(g, w_factors, columns, G, F, WARPS, DEPTH, PRODUCTS)
            tl.store(path + here * F + at, f, mask=there)
            if feedback_mask is not None:  # what the next bin reads; after the last there is none
                f *= tl.load(feedback_mask + (here + B) * F + at, mask=there & (t + 1 < T), other=0.0)
            tl.store(con_rows + after * CON_ROW + C + at, f, mask=there & (t + 1 < T))
        tl.debug_barrier()


@kernel
@no_type_check
def controlled_backward(
    d_states, d_factors, d_con, d_mean, d_std, d_inputs,
    feedback_mask, state_mask, noise, con_rows, con_gates, con_n, moments, gen_rows, gen_gates, gen_n,
    con_to_gates, gen_to_gates, d_moments, d_noise, path, con_kept, con_carry, gen_kept, gen_carry, grad_c0, grad_g0,
    w_con_gates, w_con_n, w_con_feed, w_posterior, w_gen_gates, w_gen_n, w_gen_feed, w_factors, T, B,
    STRIDE: constexpr, HELD: constexpr, clip: constexpr,
    C: constexpr, G: constexpr, U: constexpr, F: constexpr, CON_ROW: constexpr, GEN_ROW: constexpr,
    ROWS: constexpr, CON: constexpr, GEN: constexpr, INPUTS: constexpr, FACTORS: constexpr,
    WARPS: constexpr, DEPTH: constexpr, PRODUCTS: constexpr,
):  # fmt: skip
    """Six phases a bin. All weights as they stand, not transposed.

    ``to_gates`` have one bin more than there are: the last is set to zero, as both ``carry`` are; the last row of ``path`` is what the loss says.
    """
    member = tl.program_id(1)
    trials = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    ok = (trials < B)[:, None]
    one = tl.minimum(trials, B - 1).to(tl.int64)[:, None]  # reading beyond the last trial reads the last
    rows, ends, once = one + member.to(tl.int64) * T * B, one + member.to(tl.int64) * (T + 1) * B, one + member.to(tl.int64) * B
    w_con_gates = weights_of(member, w_con_gates, STRIDE, 2 * C, C, CON, HELD & 1)
    w_con_n = weights_of(member, w_con_n, STRIDE, C, C, CON, HELD & 2)
    w_con_feed = weights_of(member, w_con_feed, STRIDE, 3 * C, F, FACTORS, HELD & 4)
    w_posterior = weights_of(member, w_posterior, STRIDE, 2 * U, C, CON, HELD & 8)
    w_gen_gates = weights_of(member, w_gen_gates, STRIDE, 2 * G, G, GEN, HELD & 16)
    w_gen_n = weights_of(member, w_gen_n, STRIDE, G, G, GEN, HELD & 32)
    w_gen_feed = weights_of(member, w_gen_feed, STRIDE, 3 * G, U, INPUTS, HELD & 64)
    w_factors = weights_of(member, w_factors, STRIDE, F, G, GEN, HELD & 128)
    few = tl.arange(0, INPUTS)
    an_input = ok & (few < U)[None, :]
    con_kept += once * C
    con_carry += once * C
    gen_kept += once * G
    gen_carry += once * G
    end = ends + T * B
    zero_phase(con_to_gates + end * (3 * C), con_carry, ok, C, CON)
    zero_phase(gen_to_gates + end * (3 * G), gen_carry, ok, G, GEN)
    for j in range(0, F, FACTORS):
        at = (j + tl.arange(0, FACTORS))[None, :]
        there = ok & (at < F)
        f = tl.full((ROWS, FACTORS), 0.0, path.dtype.element_ty)
        if d_factors is not None:
            f = tl.load(d_factors + (rows + (T - 1) * B) * F + at, mask=there & (T > 0), other=0.0)
        tl.store(path + end * F + at, f, mask=there)
    tl.debug_barrier()
    for s in range(T):
        t = T - 1 - s
        here, before, after = rows + t * B, ends + t * B, ends + (t + 1) * B
        row, gates = gen_rows + before * GEN_ROW, gen_gates + here * (2 * G)
        now, later = gen_to_gates + before * (3 * G), gen_to_gates + after * (3 * G)
        for j in range(0, G, GEN):
            columns = j + tl.arange(0, GEN)
            there, at = ok & (columns < G)[None, :], columns[None, :]
            total = product(later, w_gen_gates, columns, 2 * G, G, WARPS, DEPTH, PRODUCTS) + tl.load(gen_carry + at, mask=there, other=0.0)
            through = product(path + after * F, w_factors, columns, F, G, WARPS, DEPTH, PRODUCTS)
            if state_mask is not None:
                through *= tl.load(state_mask + here * G + at, mask=there, other=0.0)
            total += through
            if d_states is not None:
                total += tl.load(d_states + here * G + at, mask=there, other=0.0)
            open_tile(total, row, gen_rows + after * GEN_ROW, gates, gen_n + here * G, now, gen_kept, there, at, clip, G)
        tl.debug_barrier()
        reset_phase(row, gates, now, gen_kept, gen_carry, ok, w_gen_n, G, GEN, WARPS, DEPTH, PRODUCTS)
        tl.debug_barrier()

        std = tl.load(moments + here * (2 * U) + U + few[None, :], mask=an_input, other=0.0)
        u = product(now, w_gen_feed, few, 3 * G, U, WARPS, DEPTH, PRODUCTS)
        if d_inputs is not None:
            u += tl.load(d_inputs + here * U + few[None, :], mask=an_input, other=0.0)
        log_std = tl.full((ROWS, INPUTS), 0.0, path.dtype.element_ty)
        if noise is not None:
            log_std += u * std * tl.load(noise + here * U + few[None, :], mask=an_input, other=0.0)
        if d_noise is not None:
            tl.store(d_noise + here * U + few[None, :], u * std, mask=an_input)
        if d_mean is not None:
            u += tl.load(d_mean + here * U + few[None, :], mask=an_input, other=0.0)
        if d_std is not None:
            log_std += std * tl.load(d_std + here * U + few[None, :], mask=an_input, other=0.0)
        tl.store(d_moments + here * (2 * U) + few[None, :], u, mask=an_input)
        tl.store(d_moments + here * (2 * U) + U + few[None, :], log_std * 0.5, mask=an_input)  # of the log-variance
        tl.debug_barrier()

        row, gates = con_rows + before * CON_ROW, con_gates + here * (2 * C)
        now, later = con_to_gates + before * (3 * C), con_to_gates + after * (3 * C)
        for j in range(0, C, CON):
            columns = j + tl.arange(0, CON)
            there, at = ok & (columns < C)[None, :], columns[None, :]
            total = product(later, w_con_gates, columns, 2 * C, C, WARPS, DEPTH, PRODUCTS)
            total += product(d_moments + here * (2 * U), w_posterior, columns, 2 * U, C, WARPS, DEPTH, PRODUCTS)
            total += tl.load(con_carry + at, mask=there, other=0.0)
            if d_con is not None:
                total += tl.load(d_con + here * C + at, mask=there, other=0.0)
            open_tile(total, row, con_rows + after * CON_ROW, gates, con_n + here * C, now, con_kept, there, at, clip, C)
        tl.debug_barrier()
        reset_phase(row, gates, now, con_kept, con_carry, ok, w_con_n, C, CON, WARPS, DEPTH, PRODUCTS)
        tl.debug_barrier()

        for j in range(0, F, FACTORS):
            columns = j + tl.arange(0, FACTORS)
            there, at = ok & (columns < F)[None, :], columns[None, :]
            f = product(now, w_con_feed, columns, 3 * C, F, WARPS, DEPTH, PRODUCTS)
            if feedback_mask is not None:
                f *= tl.load(feedback_mask + here * F + at, mask=there, other=0.0)
            if d_factors is not None:
                f += tl.load(d_factors + (here - B) * F + at, mask=there & (t > 0), other=0.0)
            tl.store(path + before * F + at, f, mask=there)
        tl.debug_barrier()

    for j in range(0, G, GEN):
        columns = j + tl.arange(0, GEN)
        there, at = ok & (columns < G)[None, :], columns[None, :]
        total = product(gen_to_gates + ends * (3 * G), w_gen_gates, columns, 2 * G, G, WARPS, DEPTH, PRODUCTS)
        tl.store(grad_g0 + once * G + at, total + tl.load(gen_carry + at, mask=there, other=0.0), mask=there)
    for j in range(0, C, CON):
        columns = j + tl.arange(0, CON)
        there, at = ok & (columns < C)[None, :], columns[None, :]
        total = product(con_to_gates + ends * (3 * C), w_con_gates, columns, 2 * C, C, WARPS, DEPTH, PRODUCTS)
        tl.store(grad_c0 + once * C + at, total + tl.load(con_carry + at, mask=there, other=0.0), mask=there)
