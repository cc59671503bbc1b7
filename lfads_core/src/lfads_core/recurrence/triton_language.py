"""The one module that imports Triton, and what all kernels share; imported on first use, never at start-up.

Kernels here follow one rule, because only Triton's interpreter need ever have checked them. A *phase* is what stands between
two barriers of a program. Within a phase no location of memory is both written and read, or written twice: what one phase
writes, only later ones read. Then it does not matter which thread holds which element, and a barrier of the block is all
the ordering there has to be; programs never exchange anything.
"""

# mypy: ignore-errors

from typing import no_type_check

import triton
import triton.language as tl
from triton import knobs

jit = triton.jit
kernel = triton.jit(do_not_specialize=["T", "M", "B", "start_member", "start_trial"])  # compiled once whatever these are
constexpr = tl.constexpr
INTERPRETED = tl.constexpr(bool(knobs.runtime.interpret))  # kernels run in NumPy, on tensors of the CPU


@jit
@no_type_check
def dot(a, w, acc, PRODUCTS: constexpr):
    """``acc + a w`` on tensor cores, which see 8 bits ("bf16") or 11 ("tf32") of each factor; sums are float32.

    The interpreter's own product reads the bits of bfloat16 as integers and takes tf32 for float32, so there it gets what
    a tensor core would see.
    """
    if PRODUCTS == "bf16":
        if INTERPRETED:
            return tl.dot(a.to(tl.bfloat16).to(tl.float32), w.to(tl.float32), acc, input_precision="ieee")
        else:
            return tl.dot(a.to(tl.bfloat16), w, acc)
    elif INTERPRETED:
        return tl.dot(cut(a), cut(w), acc, input_precision="ieee")
    else:
        return tl.dot(a, w, acc, input_precision="tf32")


@jit
@no_type_check
def cut(x):
    """The float32 whose last 13 bits are zero, as a tensor core reads it."""
    return (x.to(tl.int32, bitcast=True) & -8192).to(tl.float32, bitcast=True)


@jit
@no_type_check
def weights_of(member, w, STRIDE: constexpr, K: constexpr, N: constexpr, UNITS: constexpr, HELD: constexpr):
    """A member's block (K, N), as ``pack`` lays it out; STRIDE numbers hold all blocks of one member.

    It is where the block begins; or, HELD, the numbers themselves, read once for all bins and kept in shared memory or registers.
    """
    w += member * STRIDE
    if HELD:
        WIDTH: constexpr = (N + 7) // 8 * 8
        DEEP: constexpr = triton.next_power_of_2(K) if K > 16 else 16
        term, column = tl.arange(0, DEEP)[:, None], tl.arange(0, UNITS)[None, :]
        return tl.load(w + term * WIDTH + column, mask=(term < K) & (column < WIDTH), other=0.0)
    else:
        return w


@jit
@no_type_check
def summed(part):
    """Sum over the groups, the second axis, half added to half until one is left.

    ``tl.sum`` along this axis writes to shared memory with the groups side by side, so that up to 16 threads ask the same bank: on an H200
    that was half of a GRU's time. A split passes through shared memory once, without conflicts, and leaves each thread columns of its own.
    """
    total = tl.permute(part, (0, 2, 1))
    for _ in tl.static_range(8):
        if total.shape[2] > 1:
            first, second = tl.split(tl.reshape(total, (total.shape[0], total.shape[1], total.shape[2] // 2, 2)))
            total = first + second
    return tl.reshape(total, (total.shape[0], total.shape[1]))


@jit
@no_type_check
def product(a, w, columns, K: constexpr, N: constexpr, WARPS: constexpr, DEPTH: constexpr, PRODUCTS: constexpr):
    """``a w``: ``a`` points to the first of K columns of each row, ``w`` is (K, N) as ``pack`` lays it out.

    In float32 ("ieee") the terms of a sum are dealt out to groups of threads, which meet only at the end: weights pass from cache
    to registers with no barrier on the way, and each that is read serves all rows; DEPTH is how many terms of a group are under way
    at once. Tensor cores take pieces of DEPTH terms through shared memory. Columns beyond N may come out as anything.

    Whatever is to be added had better be loaded afterwards: the sum over groups leaves a copy of the result with each group,
    and what meets it in registers would be computed as often.
    """
    WIDTH: constexpr = (N + 7) // 8 * 8
    ROWS: constexpr = a.shape[0]
    UNITS: constexpr = columns.shape[0]
    if PRODUCTS == "ieee":
        GROUPS: constexpr = (128 * WARPS + UNITS - 1) // UNITS  # a thread has four columns
        PIECE: constexpr = DEPTH * GROUPS
        WHOLE: constexpr = K // PIECE * PIECE
        group = tl.arange(0, GROUPS)[None, :, None]
        there = (columns < WIDTH)[None, None, :]
        left, right = a[:, :, None] + group, w + group * WIDTH + columns[None, None, :]
        last_left, last_right = left + WHOLE, right + WHOLE * WIDTH
        part = tl.full((ROWS, GROUPS, UNITS), 0.0, a.dtype.element_ty)
        for _ in range(WHOLE // PIECE):
            for i in tl.static_range(DEPTH):
                part += tl.load(left + i * GROUPS) * tl.load(right + i * (GROUPS * WIDTH), mask=there)
            left += PIECE
            right += PIECE * WIDTH
        for i in tl.static_range((K - WHOLE + GROUPS - 1) // GROUPS):
            inside = WHOLE + i * GROUPS + group < K
            other = tl.load(last_right + i * (GROUPS * WIDTH), mask=inside & there, other=0.0)
            part += tl.load(last_left + i * GROUPS, mask=inside, other=0.0) * other
        return summed(part)
    elif not w.dtype.is_ptr():
        term = tl.arange(0, w.shape[0])
        here = tl.load(a + term[None, :], mask=(term < K)[None, :], other=0.0)
        return dot(here, w, tl.full((ROWS, UNITS), 0.0, a.dtype.element_ty), PRODUCTS)
    else:
        PIECE: constexpr = DEPTH if K > 32 else (32 if K > 16 else 16)
        term = tl.arange(0, PIECE)
        left, right = a + term[None, :], w + term[:, None] * WIDTH + columns[None, :]
        total = tl.full((ROWS, UNITS), 0.0, a.dtype.element_ty)
        for k in range(0, K, PIECE):
            here = tl.load(left, mask=(k + term < K)[None, :], other=0.0)
            total = dot(here, tl.load(right, mask=(columns < WIDTH)[None, :], other=0.0), total, PRODUCTS)
            left += PIECE
            right += PIECE * WIDTH
        return total


@jit
@no_type_check
def sigmoid(x):
    """``1 / (1 + exp(-x))``; the exponential may overflow to infinity, which gives 0."""
    return 1.0 / (1.0 + tl.exp(-x))


@jit
@no_type_check
def tanh(x):
    """Hyperbolic tangent from one exponential; near 0, where that would lose digits, from its series."""
    e = tl.exp(-2.0 * tl.abs(x))
    far = (1.0 - e) / (1.0 + e)
    far = tl.where(x < 0, -far, far)
    if x.dtype == tl.float64:
        return far  # off by 1e-16, and no worse than that anywhere
    else:
        s = x * x
        near = x * (1.0 + s * (-1.0 / 3 + s * (2.0 / 15 + s * (-17.0 / 315 + s * (62.0 / 2835)))))
        return tl.where(tl.abs(x) < 0.25, near, far)


@jit
@no_type_check
def bound(clip: constexpr, like):
    """The clip in the type of ``like``; a bare number would be rounded to float32 first."""
    return tl.full((1, 1), clip, like.dtype)


@jit
@no_type_check
def clamp(x, clip: constexpr):
    """To [-clip, clip]; NaN stays NaN, which minimum and maximum of a GPU would not keep."""
    limit = bound(clip, x)
    return tl.where(x > limit, limit, tl.where(x < -limit, -limit, x))
