"""The one module that imports Triton, and what all kernels share; imported on first use, never at start-up.

Kernels here follow one rule, because only Triton's interpreter need ever have checked them. A *phase* is what stands between
two barriers of a program. Within a phase no location of memory is both written and read, or written twice: what one phase
writes, only later ones read. Then it does not matter which thread holds which element, and a barrier of the block is all
the ordering there has to be; programs never exchange anything. A test watches every access for it.
"""

from typing import no_type_check

import triton
import triton.language as tl
from triton import knobs

jit = triton.jit
kernel = triton.jit(do_not_specialize=["T", "M", "B"])  # compiled once whatever these are
constexpr = tl.constexpr
INTERPRETED = tl.constexpr(bool(knobs.runtime.interpret))  # kernels run in NumPy, on tensors of the CPU


@jit
@no_type_check
def dot(a, w, acc, PRODUCTS: constexpr):
    """``acc + a w``. "bf16" rounds ``a`` (``w`` is stored so); sums are kept in the type of ``acc`` throughout."""
    if PRODUCTS == "bf16":
        if INTERPRETED:  # whose own product of bfloat16 reads bits as integers: multiply the rounded numbers instead
            return tl.dot(a.to(tl.bfloat16).to(tl.float32), w.to(tl.float32), acc, input_precision="ieee")
        else:  # noqa: RET505 - Triton drops the branch not taken only when both are written out
            return tl.dot(a.to(tl.bfloat16), w, acc)
    else:
        return tl.dot(a, w, acc, input_precision=PRODUCTS, out_dtype=acc.dtype)


@jit
@no_type_check
def product(a, w, columns, K: constexpr, N: constexpr, WARPS: constexpr, DEPTH: constexpr, PRODUCTS: constexpr):
    """``a w``: ``a`` points to the first of K columns of each row, ``w`` is (K, N) with rows padded to whole eights.

    In float32 the terms of a sum are dealt out to groups of threads, which meet only at the end: weights pass from cache to
    registers with no barrier on the way, and each that is read serves all rows. Tensor cores take pieces of DEPTH terms instead.
    Columns beyond N may come out as anything. Whatever is to be added had better be loaded afterwards: the sum over groups
    leaves copies of the result with each group, and what meets it in registers would be computed as often.
    """
    WIDTH: constexpr = (N + 7) // 8 * 8
    ROWS: constexpr = a.shape[0]
    UNITS: constexpr = columns.shape[0]
    if PRODUCTS == "ieee":
        GROUPS: constexpr = DEPTH if 128 * WARPS >= DEPTH * UNITS else (128 * WARPS + UNITS - 1) // UNITS  # a thread has 4 columns
        WHOLE: constexpr = K // DEPTH * DEPTH
        REST: constexpr = (K - WHOLE + GROUPS - 1) // GROUPS
        left, group = a[:, :, None], tl.arange(0, GROUPS)[None, :, None]
        right, there = w + columns[None, None, :], (columns < WIDTH)[None, None, :]
        part = tl.full((ROWS, GROUPS, UNITS), 0.0, a.dtype.element_ty)
        for k in range(0, WHOLE, DEPTH):
            for i in tl.static_range(DEPTH // GROUPS):
                at = k + i * GROUPS + group
                part += tl.load(left + at) * tl.load(right + at * WIDTH, mask=there)
        for i in tl.static_range(REST):
            at = WHOLE + i * GROUPS + group
            part += tl.load(left + at, mask=at < K, other=0.0) * tl.load(right + at * WIDTH, mask=there & (at < K), other=0.0)
        return tl.sum(part, axis=1)
    else:
        term = tl.arange(0, DEPTH)
        there = (columns < WIDTH)[None, :]
        total = tl.full((ROWS, UNITS), 0.0, a.dtype.element_ty)
        for k in range(0, K, DEPTH):
            at = k + term
            left = tl.load(a + at[None, :], mask=(at < K)[None, :], other=0.0)
            right = tl.load(w + at[:, None] * WIDTH + columns[None, :], mask=(at < K)[:, None] & there, other=0.0)
            total = dot(left, right, total, PRODUCTS)
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
