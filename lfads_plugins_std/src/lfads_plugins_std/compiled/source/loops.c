/* The recurrent loops for processors, in float and double, behind a plain C interface.
 *
 * Trials do not meet inside a loop over time, so each chunk of trials of one member is a task of its own: a thread carries it
 * through all bins, and chunks join only in the sums behind the gradients of weights. Chunks depend on the sizes alone, hence
 * results do not depend on the number of threads, and a member of a population computes what it would compute alone.
 *
 * Rows are trials; units lie along the lanes of vectors. Weights are packed once per call into panels as wide as the registers
 * can hold sums for. Everything a product reads or writes within a bin fits the caches next to the core.
 */
#include <math.h>
#include <pthread.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "team.h"

#if defined(__AVX512F__)
#define VECTOR_BYTES 64
#define PANEL 4 /* vectors side by side: with ROWS sums each, they fill the registers */
#elif defined(__AVX__)
#define VECTOR_BYTES 32
#define PANEL 2
#elif defined(__aarch64__)
#define VECTOR_BYTES 16
#define PANEL 4
#else
#define VECTOR_BYTES 16
#define PANEL 2
#endif
#define ROWS 6         /* trials per register tile */
#define CHUNK 12       /* most trials of a task: two tiles, and tasks enough for cores of unequal speed */
#define WINDOW 128     /* rows of gradients that wait for one product with what the gates had read */
#define INLINE static inline __attribute__((always_inline))
#define API __attribute__((visibility("default")))
#define JOIN_(a, b) a##b
#define JOIN(a, b) JOIN_(a, b)
#define F(name) JOIN(name, SUFFIX)

/* A tensor (members, trials, bins, features) with unit stride in its features; strides count numbers, not bytes. */
typedef struct {
    void *at;
    int64_t member, trial, bin;
} view;

typedef struct {
    int64_t members, trials, bins, inputs, hidden, threads, reverse;
    double clip;
    view x, h0, d_states, d_last;                    /* gradients of all states, and of the last one computed; may be null */
    const void *input, *recurrent, *bias;            /* (M, 3H, I), (M, 3H, H), (M, 3H) */
    void *states, *gates;                            /* (M, B, T, H); z, r, n of all bins for the way back, or null */
    void *d_x, *d_h0, *d_input, *d_recurrent, *d_bias; /* null: not wanted */
} gru_job;

typedef struct {
    int64_t members, trials, bins, threads;
    int64_t ci, external, inputs, con, gen, factors; /* widths; inputs: inferred ones */
    double clip;
    view c0, g0, f0, ci_at, external_at, noise, con_mask, state_mask; /* the last three may be null */
    const void *con_input, *con_recurrent, *con_bias, *posterior, *posterior_bias, *gen_input, *gen_recurrent, *gen_bias, *readout;
    view states, path, con_states, mean, std, drawn; /* out, and in again on the way back */
    void *con_gates, *gen_gates;
    view d_states, d_path, d_con_states, d_mean, d_std, d_drawn; /* may be null */
    void *d_c0, *d_g0, *d_f0, *d_ci, *d_external, *d_noise;      /* null: not wanted */
    void *d_con_input, *d_con_recurrent, *d_con_bias, *d_posterior, *d_posterior_bias, *d_gen_input, *d_gen_recurrent, *d_gen_bias, *d_readout;
} loop_job;

/* Trials are shared out evenly over the least even number of chunks (or one) none of which exceeds CHUNK. */
static int64_t chunks_of(int64_t trials) {
    int64_t count = (trials + CHUNK - 1) / CHUNK;
    return count > 1 ? count + count % 2 : count;
}

static int64_t chunk_start(int64_t trials, int64_t chunk) {
    int64_t count = chunks_of(trials);
    return chunk * (trials / count) + (chunk < trials % count ? chunk : trials % count);
}

INLINE int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

#define REAL float
#define WHOLE int32_t
#define SUFFIX _f32
#define MANTISSA 23
#define BIAS 127
#include "vector.h"
#include "product.h"
#include "cell.h"
#include "gru.h"
#include "controlled.h"
#undef REAL
#undef WHOLE
#undef SUFFIX
#undef MANTISSA
#undef BIAS

#define DOUBLE
#define REAL double
#define WHOLE int64_t
#define SUFFIX _f64
#define MANTISSA 52
#define BIAS 1023
#include "vector.h"
#include "product.h"
#include "cell.h"
#include "gru.h"
#include "controlled.h"

API int64_t lfads_vector_bytes(void) { return VECTOR_BYTES; }

/* What the caller's records must measure: a guard against a library of another interface. */
API int64_t lfads_size_of_gru_job(void) { return (int64_t)sizeof(gru_job); }
API int64_t lfads_size_of_loop_job(void) { return (int64_t)sizeof(loop_job); }
