/* One GRU cell, one bin, one chunk of trials: forward, backward, and the sums behind the gradients of its weights.
 *
 *     z = σ(d_z + U_z h),  r = σ(d_r + U_r h),  n = tanh(d_n + U_n (r h)),  h' = clip(z h + (1 - z) n),  d = W x + b
 *
 * Gates stand side by side, [z | r | n], each padded to whole vectors. Padding holds no number that anything else reads.
 */

/* Sizes, and the packed weights of one member. */
typedef struct {
    int64_t inputs, hidden, wide;                /* wide: hidden, padded */
    REAL *bias, *to_gates, *to_n;                /* forward: from [x | h] to z and r, from [x | r h] to n */
    REAL *from_n, *from_gates, *from_all;        /* backward: of n to r h, of z and r to h, of all to x */
} F(cell_of_type);
#define cell F(cell_of_type)

/* Rows that wait for the product behind the weights' gradients: what gates read, and their gradients. */
typedef struct {
    REAL *x, *h, *rh, *gates;
} F(waiting_of_type);
#define waiting F(waiting_of_type)

static cell F(cell_of)(int64_t inputs, int64_t hidden) {
    return (cell){.inputs = inputs, .hidden = hidden, .wide = F(padded)(hidden)};
}

static int64_t F(cell_forward_size)(const cell *c) { return 3 * c->wide * (1 + c->inputs + c->hidden); }
static int64_t F(cell_backward_size)(const cell *c) { return 3 * c->hidden * (c->wide + F(padded)(c->inputs)); }
static int64_t F(cell_sums_size)(const cell *c) { return 3 * c->wide * (c->inputs + c->hidden + 1); }

/* Lay the packed weights out in `room`, which member `m` has for itself. */
static void F(cell_place_forward)(cell *c, REAL *room) {
    int64_t depth = c->inputs + c->hidden;
    c->bias = room;
    c->to_gates = c->bias + 3 * c->wide;
    c->to_n = c->to_gates + 2 * c->wide * depth;
}

static void F(cell_place_backward)(cell *c, REAL *room) {
    c->from_n = room;
    c->from_gates = c->from_n + c->hidden * c->wide;
    c->from_all = c->from_gates + 2 * c->hidden * c->wide;
}

static void F(cell_pack_forward)(const cell *c, const REAL *input, const REAL *recurrent, const REAL *bias) {
    int64_t I = c->inputs, H = c->hidden, depth = I + H;
    memset(c->bias, 0, sizeof(REAL) * F(cell_forward_size)(c));
    for (int64_t gate = 0; gate < 3; gate++) {
        memcpy(c->bias + gate * c->wide, bias + gate * H, sizeof(REAL) * H);
        REAL *to = gate == 2 ? c->to_n : c->to_gates;
        int64_t columns = gate == 2 ? c->wide : 2 * c->wide, first = gate == 1 ? c->wide : 0;
        F(pack)(to, depth, columns, 0, I, first, H, input + gate * H * I, 1, I);
        F(pack)(to, depth, columns, I, H, first, H, recurrent + gate * H * H, 1, H);
    }
}

static void F(cell_pack_backward)(const cell *c, const REAL *input, const REAL *recurrent) {
    int64_t I = c->inputs, H = c->hidden;
    memset(c->from_n, 0, sizeof(REAL) * F(cell_backward_size)(c));
    F(pack)(c->from_n, H, H, 0, H, 0, H, recurrent + 2 * H * H, H, 1);
    F(pack)(c->from_gates, 2 * H, H, 0, 2 * H, 0, H, recurrent, H, 1);
    F(pack)(c->from_all, 3 * H, I, 0, 3 * H, 0, I, input, I, 1);
}

INLINE vec F(mixed)(vec z, vec h, vec n) { return z * h + (1 - z) * n; }

/* h to h', in place; `gates` receives z, r, n. */
static void F(cell_forward)(const cell *c, int64_t rows, const REAL *x, int64_t x_stride, REAL *h, REAL *rh, REAL *gates, REAL clip) {
    int64_t wide = c->wide;
    part read[2] = {{x, x_stride, c->inputs}, {h, wide, c->hidden}};
    F(product)(rows, 2 * wide, read, 2, c->to_gates, c->bias, 0, gates, 3 * wide);
    for (int64_t row = 0; row < rows; row++) {
        REAL *g = gates + row * 3 * wide;
        for (int64_t v = 0; v < wide; v += LANES) {
            vec r = F(sigmoid)(F(load)(g + wide + v));
            F(store)(g + v, F(sigmoid)(F(load)(g + v)));
            F(store)(g + wide + v, r);
            F(store)(rh + row * wide + v, r * F(load)(h + row * wide + v));
        }
    }
    read[1].at = rh;
    F(product)(rows, wide, read, 2, c->to_n, c->bias + 2 * wide, 0, gates + 2 * wide, 3 * wide);
    for (int64_t row = 0; row < rows; row++) {
        REAL *g = gates + row * 3 * wide, *state = h + row * wide;
        for (int64_t v = 0; v < wide; v += LANES) {
            vec n = F(tanh)(F(load)(g + 2 * wide + v));
            F(store)(g + 2 * wide + v, n);
            vec next = F(mixed)(F(load)(g + v), F(load)(state + v), n);
            F(store)(state + v, F(at_most)(F(at_least)(next, -clip), clip));
        }
    }
}

/* The gradient `g` of h' becomes that of h, `dx` (if not null) that of x, padded; gates' gradients and r h go to `w`, whose h is given. */
static void F(cell_backward)(const cell *c, int64_t rows, const REAL *gates, REAL *g, const waiting *w, REAL *dx, REAL clip) {
    int64_t wide = c->wide, H = c->hidden;
    for (int64_t row = 0; row < rows; row++) {
        const REAL *gate = gates + row * 3 * wide;
        REAL *to = w->gates + row * 3 * wide;
        for (int64_t v = 0; v < wide; v += LANES) {
            vec z = F(load)(gate + v), r = F(load)(gate + wide + v), n = F(load)(gate + 2 * wide + v);
            vec h = F(load)(w->h + row * wide + v), next = F(mixed)(z, h, n), shut = 1 - z;
            ivec free = (next >= F(all)(-clip)) & (next <= F(all)(clip)); /* no gradient where the state was clipped */
            vec up = (vec)(free & (ivec)F(load)(g + row * wide + v));
            F(store)(to + v, up * (h - n) * (z * shut));
            F(store)(to + 2 * wide + v, up * shut * (1 - n * n));
            F(store)(g + row * wide + v, up * z);
            F(store)(w->rh + row * wide + v, r * h);
        }
    }
    part from_n = {w->gates + 2 * wide, 3 * wide, H};
    REAL *through = w->gates + wide; /* the gradient of r h, until that of r takes its place */
    F(product)(rows, H, &from_n, 1, c->from_n, NULL, 0, through, 3 * wide);
    for (int64_t row = 0; row < rows; row++) {
        REAL *to = through + row * 3 * wide, *back = g + row * wide;
        for (int64_t v = 0; v < wide; v += LANES) {
            vec r = F(load)(gates + row * 3 * wide + wide + v), rh = F(load)(w->rh + row * wide + v), d = F(load)(to + v);
            F(store)(back + v, F(load)(back + v) + d * r);
            F(store)(to + v, d * rh * (1 - r));
        }
    }
    part from[3] = {{w->gates, 3 * wide, H}, {w->gates + wide, 3 * wide, H}, from_n};
    F(product)(rows, H, from, 2, c->from_gates, g, wide, g, wide);
    if (dx) F(product)(rows, c->inputs, from, 3, c->from_all, NULL, 0, dx, F(padded)(c->inputs));
}

/* sums [x | h or r h | 1] by [z | r | n] of one chunk. */
static void F(cell_add)(const cell *c, int64_t depth, const waiting *w, REAL *sums) {
    int64_t wide = c->wide, I = c->inputs, H = c->hidden;
    F(outer)(depth, I, 3 * wide, w->x, I, w->gates, 3 * wide, sums, 3 * wide);
    F(outer)(depth, H, 2 * wide, w->h, wide, w->gates, 3 * wide, sums + I * 3 * wide, 3 * wide);
    F(outer)(depth, H, wide, w->rh, wide, w->gates + 2 * wide, 3 * wide, sums + I * 3 * wide + 2 * wide, 3 * wide);
    F(add_columns)(depth, 3 * wide, w->gates, 3 * wide, sums + (I + H) * 3 * wide);
}

/* out (columns, n) = transposed sum over chunks of sums (n, columns), whose rows are `stride` apart. */
static void F(join)(int64_t chunks, const REAL *sums, int64_t apart, int64_t n, int64_t columns, int64_t stride, REAL *out) {
    if (!out) return;
    for (int64_t v = 0; v < columns; v += LANES)
        for (int64_t i = 0; i < n; i++) {
            vec total = {0};
            for (int64_t chunk = 0; chunk < chunks; chunk++) total += F(load)(sums + chunk * apart + i * stride + v);
            for (int64_t lane = 0; lane < least(LANES, columns - v); lane++) out[(v + lane) * n + i] = total[lane];
        }
}

static void F(cell_join)(const cell *c, int64_t gate, int64_t chunks, const REAL *sums, int64_t apart, REAL *d_input, REAL *d_recurrent, REAL *d_bias) {
    int64_t I = c->inputs, H = c->hidden, stride = 3 * c->wide;
    const REAL *from = sums + gate * c->wide;
    F(join)(chunks, from, apart, I, H, stride, d_input ? d_input + gate * H * I : NULL);
    F(join)(chunks, from + I * stride, apart, H, H, stride, d_recurrent ? d_recurrent + gate * H * H : NULL);
    F(join)(chunks, from + (I + H) * stride, apart, 1, H, stride, d_bias ? d_bias + gate * H : NULL);
}

INLINE REAL *F(at)(const view *of, int64_t member, int64_t trial, int64_t bin) {
    return (REAL *)of->at + member * of->member + trial * of->trial + bin * of->bin;
}

/* Rows from one place to another: copied, added, or multiplied by a mask. */
INLINE void F(copy_rows)(int64_t rows, int64_t width, const REAL *from, int64_t stride, REAL *to, int64_t to_stride) {
    for (int64_t row = 0; row < rows; row++) memcpy(to + row * to_stride, from + row * stride, sizeof(REAL) * width);
}

INLINE void F(add_rows)(int64_t rows, int64_t width, const REAL *from, int64_t stride, REAL *to, int64_t to_stride) {
    for (int64_t row = 0; row < rows; row++)
        for (int64_t i = 0; i < width; i++) to[row * to_stride + i] += from[row * stride + i];
}

INLINE void F(mask_rows)(int64_t rows, int64_t width, const REAL *mask, int64_t stride, REAL *to, int64_t to_stride) {
    for (int64_t row = 0; row < rows; row++)
        for (int64_t i = 0; i < width; i++) to[row * to_stride + i] *= mask[row * stride + i];
}
