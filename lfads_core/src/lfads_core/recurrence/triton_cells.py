"""The phases of one GRU cell, forward and backward, over tiles of units; both kernels of both loops are made of them.

Names without more point to the first column of each row (trial) of the program: tensors of pointers of shape (rows, 1).
"""

# mypy: ignore-errors

from typing import no_type_check

from lfads_core.recurrence.triton_language import bound, clamp, constexpr, jit, product, sigmoid, tanh, tl


@jit
@no_type_check
def gates_phase(
    drive, state, reads, gates, reset, ok, w,
    H: constexpr, K: constexpr, UNITS: constexpr, WARPS: constexpr, DEPTH: constexpr, PRODUCTS: constexpr,
):  # fmt: skip
    """``z, r = σ(drive + reads w)``, side by side; keeps them and ``r ⊙ state``."""
    for j in range(0, 2 * H, UNITS):
        columns = j + tl.arange(0, UNITS)
        c = columns[None, :]
        here, resets = ok & (c < 2 * H), ok & (c >= H) & (c < 2 * H)
        both = product(reads, w, columns, K, 2 * H, WARPS, DEPTH, PRODUCTS)
        both = sigmoid(both + tl.load(drive + c, mask=here, other=0.0))
        tl.store(gates + c, both, mask=here)
        tl.store(reset + c - H, both * tl.load(state + c - H, mask=resets, other=0.0), mask=resets)


@jit
@no_type_check
def candidate_phase(
    drive, state, reads, gates, n_out, after, ok, w, clip: constexpr,
    H: constexpr, K: constexpr, UNITS: constexpr, WARPS: constexpr, DEPTH: constexpr, PRODUCTS: constexpr,
):  # fmt: skip
    """``n = tanh(drive + reads w)``, ``after = clip(n + z (state - n))``; keeps both."""
    for j in range(0, H, UNITS):
        columns = j + tl.arange(0, UNITS)
        c = columns[None, :]
        here = ok & (c < H)
        n = product(reads, w, columns, K, H, WARPS, DEPTH, PRODUCTS)
        n = tanh(n + tl.load(drive + 2 * H + c, mask=here, other=0.0))
        z = tl.load(gates + c, mask=here, other=0.0)
        h = tl.load(state + c, mask=here, other=0.0)
        tl.store(n_out + c, n, mask=here)
        tl.store(after + c, clamp(n + z * (h - n), clip), mask=here)


@jit
@no_type_check
def open_tile(g, state, after, gates, n_in, to_gates, kept, here, c, clip: constexpr, H: constexpr):
    """From the gradient of the clipped state: those of the candidate's and the update gate's sums, and what passes by, ``g z``."""
    z = tl.load(gates + c, mask=here, other=0.0)
    n = tl.load(n_in + c, mask=here, other=0.0)
    h = tl.load(state + c, mask=here, other=0.0)
    g = tl.where(tl.abs(tl.load(after + c, mask=here, other=0.0)) < bound(clip, g), g, 0.0)
    tl.store(to_gates + 2 * H + c, g * (1.0 - z) * (1.0 - n * n), mask=here)
    tl.store(to_gates + c, g * (h - n) * z * (1.0 - z), mask=here)
    tl.store(kept + c, g * z, mask=here)


@jit
@no_type_check
def reset_phase(
    state, gates, to_gates, kept, carry, ok, w,
    H: constexpr, UNITS: constexpr, WARPS: constexpr, DEPTH: constexpr, PRODUCTS: constexpr,
):  # fmt: skip
    """Through the candidate's product to ``r ⊙ state``: the reset gate's gradient, and ``carry = g z + g_reset r``."""
    for j in range(0, H, UNITS):
        columns = j + tl.arange(0, UNITS)
        c = columns[None, :]
        here = ok & (c < H)
        through = product(to_gates + 2 * H, w, columns, H, H, WARPS, DEPTH, PRODUCTS)
        r = tl.load(gates + H + c, mask=here, other=0.0)
        h = tl.load(state + c, mask=here, other=0.0)
        tl.store(to_gates + H + c, through * h * r * (1.0 - r), mask=here)
        tl.store(carry + c, tl.load(kept + c, mask=here, other=0.0) + through * r, mask=here)


@jit
@no_type_check
def zero_phase(to_gates, carry, ok, H: constexpr, UNITS: constexpr):
    """Before the first bin of a way back: no gradient of both gates' sums, and none that passed by."""
    for j in range(0, H, UNITS):
        c = (j + tl.arange(0, UNITS))[None, :]
        here = ok & (c < H)
        zero = tl.full((ok.shape[0], UNITS), 0.0, carry.dtype.element_ty)
        tl.store(to_gates + c, zero, mask=here)
        tl.store(to_gates + H + c, zero, mask=here)
        tl.store(carry + c, zero, mask=here)


@jit
@no_type_check
def copy_phase(given, into, ok, H: constexpr, UNITS: constexpr):
    """``into = given``: what a way forward starts from."""
    for j in range(0, H, UNITS):
        c = (j + tl.arange(0, UNITS))[None, :]
        here = ok & (c < H)
        tl.store(into + c, tl.load(given + c, mask=here, other=0.0), mask=here)
