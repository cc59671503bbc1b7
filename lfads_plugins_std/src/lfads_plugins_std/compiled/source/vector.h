/* Vectors of REAL and their exponentials, good to about one unit in the last place. NaN comes out as NaN. */
#define LANES ((int64_t)(VECTOR_BYTES / sizeof(REAL)))
#define vec F(vec_of_type)
#define ivec F(ivec_of_type)
#define uvec F(uvec_of_type)

typedef REAL vec __attribute__((vector_size(VECTOR_BYTES)));
typedef WHOLE ivec __attribute__((vector_size(VECTOR_BYTES)));
typedef REAL uvec __attribute__((vector_size(VECTOR_BYTES), aligned(sizeof(REAL)), may_alias)); /* anywhere in memory */

INLINE vec F(load)(const REAL *p) { return *(const uvec *)p; }
INLINE void F(store)(REAL *p, vec v) { *(uvec *)p = v; }
INLINE vec F(all)(REAL x) { return x - (vec){0}; }
INLINE vec F(select)(ivec where, vec yes, vec no) { return (vec)((where & (ivec)yes) | (~where & (ivec)no)); }
/* Comparisons with NaN are false, so that NaN passes through. */
INLINE vec F(at_least)(vec x, REAL low) { return F(select)(x < F(all)(low), F(all)(low), x); }
INLINE vec F(at_most)(vec x, REAL high) { return F(select)(x > F(all)(high), F(all)(high), x); }
INLINE int64_t F(padded)(int64_t width) { return (width + LANES - 1) / LANES * LANES; }

/* x = n ln 2 + r with |r| <= ln 2 / 2: returns exp(r) - 1 and leaves n. Its Taylor-like polynomial r + r² q(r) is a Chebyshev fit. */
INLINE vec F(reduced)(vec x, ivec *n) {
#ifdef DOUBLE
    const REAL shift = 6755399441055744.0, high = 0x1.62e42fee00000p-1, low = 1.9082149292705877e-10, per_ln2 = 1.4426950408889634;
#else
    const REAL shift = 12582912.0f, high = 0.693359375f, low = -2.1219444005469058e-4f, per_ln2 = 1.44269504f;
#endif
    vec shifted = x * per_ln2 + shift; /* its last bits are those of the nearest whole number */
    vec whole = shifted - shift;
    vec r = (x - whole * high) - whole * low;
    *n = (ivec)shifted - (ivec)F(all)(shift);
#ifdef DOUBLE
    vec q = r * 2.0915442297780115e-9 + 2.5106274733573295e-8;
    q = q * r + 2.7557271810219800e-7;
    q = q * r + 2.7557252833516910e-6;
    q = q * r + 2.4801587327007187e-5;
    q = q * r + 1.9841269876864355e-4;
    q = q * r + 1.3888888888883327e-3;
    q = q * r + 8.3333333333255447e-3;
    q = q * r + 4.1666666666666670e-2;
    q = q * r + 1.6666666666666671e-1;
    q = q * r + 0.5;
#else
    vec q = r * 1.3926926614e-3f + 8.36377387441e-3f;
    q = q * r + 4.16665501103e-2f;
    q = q * r + 1.66665733819e-1f;
    q = q * r + 0.5f;
#endif
    return r + r * r * q;
}

INLINE vec F(power_of_2)(ivec n) { return (vec)((n + BIAS) << MANTISSA); }

INLINE vec F(exp)(vec x) {
    ivec n;
#ifdef DOUBLE
    vec p = F(reduced)(F(at_most)(F(at_least)(x, -746), 710), &n);
#else
    vec p = F(reduced)(F(at_most)(F(at_least)(x, -104), 89), &n);
#endif
    ivec half = n >> 1; /* in two factors, so that results overflow and underflow as they should */
    return (p + 1) * F(power_of_2)(half) * F(power_of_2)(n - half);
}

INLINE vec F(sigmoid)(vec x) {
    ivec n;
#ifdef DOUBLE
    vec p = F(reduced)(F(at_most)(F(at_least)(-x, -708), 710), &n); /* 710 makes exp infinite */
#else
    vec p = F(reduced)(F(at_most)(F(at_least)(-x, -87), 89), &n);
#endif
    return 1 / (1 + (p + 1) * F(power_of_2)(n));
}

/* tanh |x| = -e / (2 + e), e = exp(-2|x|) - 1: small arguments lose nothing. */
INLINE vec F(tanh)(vec x) {
    const ivec sign = (ivec)F(all)((REAL)-0.0);
    vec size = (vec)((ivec)x & ~sign);
    ivec n;
    vec p = F(reduced)(F(at_least)(-2 * size, -44), &n), power = F(power_of_2)(n);
    vec e = power * p + (power - 1);
    return (vec)((ivec)(-e / (2 + e)) | ((ivec)x & sign));
}
