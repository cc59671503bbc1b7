/* Controller and generator in closed loop, a chunk of trials through all bins, forward and backward.
 *
 *     c = GRU(c; [ci, f]),  (mean, ln σ²) = L c,  u = mean + σ ε,  g = GRU(g; [u, x]),  f = W g
 */

/* Packed weights of one member beside those of its two cells. */
typedef struct {
    cell con, gen;
    int64_t inputs, ahead, factors, wide; /* ahead: inputs, padded; wide: factors, padded */
    REAL *posterior_bias, *posterior, *readout;
    int64_t packed_size, sums_size, posterior_sums, readout_sums;
} F(closed_of_type);
#define closed F(closed_of_type)

typedef struct {
    const loop_job *job;
    closed sizes;
    int64_t chunks;
    REAL *packed, *sums;
} F(loop_call_of_type);
#define loop_call F(loop_call_of_type)

static closed F(closed_of)(const loop_job *job, int backward) {
    closed s = {.con = F(cell_of)(job->ci + job->factors, job->con), .gen = F(cell_of)(job->inputs + job->external, job->gen)};
    s.inputs = job->inputs, s.ahead = F(padded)(job->inputs), s.factors = job->factors, s.wide = F(padded)(job->factors);
    s.packed_size = backward ? F(cell_backward_size)(&s.con) + F(cell_backward_size)(&s.gen) + 2 * s.inputs * s.con.wide + s.factors * s.gen.wide
                             : F(cell_forward_size)(&s.con) + F(cell_forward_size)(&s.gen) + 2 * s.ahead * (1 + job->con) + job->gen * s.wide;
    s.posterior_sums = F(cell_sums_size)(&s.con) + F(cell_sums_size)(&s.gen);
    s.readout_sums = s.posterior_sums + (job->con + 1) * 2 * s.ahead;
    s.sums_size = s.readout_sums + job->gen * s.wide;
    return s;
}

static closed F(closed_forward)(const loop_call *call, int64_t m) {
    closed s = call->sizes;
    REAL *room = call->packed + m * s.packed_size;
    F(cell_place_forward)(&s.con, room);
    F(cell_place_forward)(&s.gen, room += F(cell_forward_size)(&s.con));
    s.posterior_bias = room += F(cell_forward_size)(&s.gen);
    s.posterior = room += 2 * s.ahead;
    s.readout = room + 2 * s.ahead * s.con.hidden;
    return s;
}

static closed F(closed_backward)(const loop_call *call, int64_t m) {
    closed s = call->sizes;
    REAL *room = call->packed + m * s.packed_size;
    F(cell_place_backward)(&s.con, room);
    F(cell_place_backward)(&s.gen, room += F(cell_backward_size)(&s.con));
    s.posterior = room += F(cell_backward_size)(&s.gen);
    s.readout = room + 2 * s.inputs * s.con.wide;
    return s;
}

#define OF(name, size) ((const REAL *)job->name + m * (size))

static void F(loop_pack_forward)(void *given, int64_t m, void *scratch) {
    const loop_call *call = given;
    const loop_job *job = call->job;
    closed s = F(closed_forward)(call, m);
    int64_t H = s.con.hidden, G = s.gen.hidden, U = s.inputs;
    F(cell_pack_forward)(&s.con, OF(con_input, 3 * H * s.con.inputs), OF(con_recurrent, 3 * H * H), OF(con_bias, 3 * H));
    F(cell_pack_forward)(&s.gen, OF(gen_input, 3 * G * s.gen.inputs), OF(gen_recurrent, 3 * G * G), OF(gen_bias, 3 * G));
    memset(s.posterior_bias, 0, sizeof(REAL) * (2 * s.ahead * (1 + H) + G * s.wide));
    for (int64_t half = 0; half < 2; half++) {
        memcpy(s.posterior_bias + half * s.ahead, OF(posterior_bias, 2 * U) + half * U, sizeof(REAL) * U);
        F(pack)(s.posterior, H, 2 * s.ahead, 0, H, half * s.ahead, U, OF(posterior, 2 * U * H) + half * U * H, 1, H);
    }
    F(pack)(s.readout, G, s.factors, 0, G, 0, s.factors, OF(readout, s.factors * G), 1, G);
}

static void F(loop_pack_backward)(void *given, int64_t m, void *scratch) {
    const loop_call *call = given;
    const loop_job *job = call->job;
    closed s = F(closed_backward)(call, m);
    int64_t H = s.con.hidden, G = s.gen.hidden, U = s.inputs;
    F(cell_pack_backward)(&s.con, OF(con_input, 3 * H * s.con.inputs), OF(con_recurrent, 3 * H * H));
    F(cell_pack_backward)(&s.gen, OF(gen_input, 3 * G * s.gen.inputs), OF(gen_recurrent, 3 * G * G));
    memset(s.posterior, 0, sizeof(REAL) * (2 * U * s.con.wide + s.factors * s.gen.wide));
    F(pack)(s.posterior, 2 * U, H, 0, 2 * U, 0, H, OF(posterior, 2 * U * H), H, 1);
    F(pack)(s.readout, s.factors, G, 0, s.factors, 0, G, OF(readout, s.factors * G), G, 1);
}

/* Rows of a job's view at one bin of this chunk. */
#define ROWS_OF(name, t) F(at)(&job->name, m, first, t), job->name.trial

/* What a controller reads at bin t, masked: [ci | factors]. */
static void F(read_controller)(const loop_job *job, int64_t m, int64_t first, int64_t rows, int64_t t, const REAL *f, int64_t f_stride, REAL *x) {
    int64_t width = job->ci + job->factors;
    F(copy_rows)(rows, job->ci, ROWS_OF(ci_at, t), x, width);
    F(copy_rows)(rows, job->factors, f, f_stride, x + job->ci, width);
    if (job->con_mask.at) F(mask_rows)(rows, width, ROWS_OF(con_mask, t), x, width);
}

static void F(loop_chunk_forward)(void *given, int64_t task, void *scratch) {
    const loop_call *call = given;
    const loop_job *job = call->job;
    int64_t m = task / call->chunks, chunk = task % call->chunks, T = job->bins, U = job->inputs;
    int64_t first = chunk_start(job->trials, chunk), rows = chunk_start(job->trials, chunk + 1) - first;
    closed s = F(closed_forward)(call, m);
    int64_t H = s.con.hidden, G = s.gen.hidden, con_wide = s.con.wide, gen_wide = s.gen.wide, ahead = s.ahead;
    REAL *c = scratch, *rc = c + rows * con_wide, *con_gates = rc + rows * con_wide;
    REAL *g = con_gates + rows * 3 * con_wide, *rg = g + rows * gen_wide, *gen_gates = rg + rows * gen_wide;
    REAL *moments = gen_gates + rows * 3 * gen_wide, *f = moments + rows * 2 * ahead, *masked = f + rows * s.wide;
    REAL *con_x = masked + rows * gen_wide, *gen_x = con_x + rows * s.con.inputs;
    int64_t con_step = job->con_gates ? rows * 3 * con_wide : 0, gen_step = job->gen_gates ? rows * 3 * gen_wide : 0;
    if (job->con_gates) con_gates = F(gates_at)(job->con_gates, con_wide, m, job->trials, first, T);
    if (job->gen_gates) gen_gates = F(gates_at)(job->gen_gates, gen_wide, m, job->trials, first, T);
    memset(c, 0, sizeof(REAL) * rows * con_wide);
    memset(g, 0, sizeof(REAL) * rows * gen_wide);
    F(copy_rows)(rows, H, ROWS_OF(c0, 0), c, con_wide);
    F(copy_rows)(rows, G, ROWS_OF(g0, 0), g, gen_wide);
    F(copy_rows)(rows, s.factors, ROWS_OF(f0, 0), f, s.wide);
    for (int64_t t = 0; t < T; t++) {
        F(read_controller)(job, m, first, rows, t, f, s.wide, con_x);
        F(cell_forward)(&s.con, rows, con_x, s.con.inputs, c, rc, con_gates + t * con_step, (REAL)job->clip);
        part to_posterior = {c, con_wide, H};
        F(product)(rows, 2 * ahead, &to_posterior, 1, s.posterior, s.posterior_bias, 0, moments, 2 * ahead);
        for (int64_t row = 0; row < rows; row++) {
            REAL *mean = moments + row * 2 * ahead, *std = mean + ahead;
            for (int64_t v = 0; v < ahead; v += LANES) F(store)(std + v, F(exp)(F(load)(std + v) / 2));
            const REAL *noise = job->noise.at ? F(at)(&job->noise, m, first + row, t) : NULL;
            for (int64_t i = 0; i < U; i++) gen_x[row * s.gen.inputs + i] = noise ? mean[i] + std[i] * noise[i] : mean[i];
        }
        F(copy_rows)(rows, job->external, ROWS_OF(external_at, t), gen_x + U, s.gen.inputs);
        F(cell_forward)(&s.gen, rows, gen_x, s.gen.inputs, g, rg, gen_gates + t * gen_step, (REAL)job->clip);
        part to_factors = {g, gen_wide, G};
        if (job->state_mask.at) {
            F(copy_rows)(rows, G, g, gen_wide, masked, gen_wide);
            F(mask_rows)(rows, G, ROWS_OF(state_mask, t), masked, gen_wide);
            to_factors.at = masked;
        }
        F(product)(rows, s.factors, &to_factors, 1, s.readout, NULL, 0, f, s.wide);
        F(copy_rows)(rows, G, g, gen_wide, ROWS_OF(states, t));
        F(copy_rows)(rows, s.factors, f, s.wide, ROWS_OF(path, t));
        F(copy_rows)(rows, H, c, con_wide, ROWS_OF(con_states, t));
        F(copy_rows)(rows, U, moments, 2 * ahead, ROWS_OF(mean, t));
        F(copy_rows)(rows, U, moments + ahead, 2 * ahead, ROWS_OF(std, t));
        F(copy_rows)(rows, U, gen_x, s.gen.inputs, ROWS_OF(drawn, t));
    }
}

/* The gradient of the inferred inputs `du` (padded rows) becomes that of [mean | log-variance], and of the noise. */
static void F(moments_backward)(const loop_job *job, int64_t m, int64_t first, int64_t rows, int64_t t, const REAL *du, int64_t stride, REAL *to,
                                int64_t ahead) {
    int64_t U = job->inputs;
    for (int64_t row = 0; row < rows; row++) {
        const REAL *std = F(at)(&job->std, m, first + row, t), *noise = job->noise.at ? F(at)(&job->noise, m, first + row, t) : NULL;
        const REAL *d_drawn = job->d_drawn.at ? F(at)(&job->d_drawn, m, first + row, t) : NULL;
        const REAL *d_mean = job->d_mean.at ? F(at)(&job->d_mean, m, first + row, t) : NULL;
        const REAL *d_std = job->d_std.at ? F(at)(&job->d_std, m, first + row, t) : NULL;
        REAL *d_noise = job->d_noise ? (REAL *)job->d_noise + ((m * job->trials + first + row) * job->bins + t) * U : NULL;
        for (int64_t i = 0; i < U; i++) {
            REAL u = du[row * stride + i] + (d_drawn ? d_drawn[i] : 0), spread = d_std ? d_std[i] : 0;
            if (noise) spread += u * noise[i];
            to[row * 2 * ahead + i] = u + (d_mean ? d_mean[i] : 0);
            to[row * 2 * ahead + ahead + i] = spread * std[i] / 2;
            if (d_noise) d_noise[i] = u * std[i];
        }
    }
}

/* One row of an output (members, trials, bins, width), and how far the next trial's is. */
#define OUT(name, width, t) (REAL *)job->name + ((m * job->trials + first) * T + (t)) * (width), T * (width)

static void F(loop_chunk_backward)(void *given, int64_t task, void *scratch) {
    const loop_call *call = given;
    const loop_job *job = call->job;
    int64_t m = task / call->chunks, chunk = task % call->chunks, T = job->bins, U = job->inputs, C = job->ci, E = job->external;
    int64_t first = chunk_start(job->trials, chunk), rows = chunk_start(job->trials, chunk + 1) - first;
    int64_t most = WINDOW / rows > 1 ? WINDOW / rows : 1, deep = most * rows, filled = 0;
    closed s = F(closed_backward)(call, m);
    int64_t H = s.con.hidden, G = s.gen.hidden, width = s.factors, con_wide = s.con.wide, gen_wide = s.gen.wide, ahead = s.ahead;
    int64_t con_padded = F(padded)(s.con.inputs), gen_padded = F(padded)(s.gen.inputs);
    REAL *c = scratch, *g = c + rows * con_wide, *con_dx = g + rows * gen_wide, *gen_dx = con_dx + rows * con_padded;
    REAL *through = gen_dx + rows * gen_padded, *room = through + rows * gen_wide;
    REAL *con_h = room, *con_rh = con_h + deep * con_wide, *con_gates = con_rh + deep * con_wide, *con_after = con_gates + deep * 3 * con_wide;
    REAL *gen_h = con_after + deep * con_wide, *gen_rh = gen_h + deep * gen_wide, *gen_gates = gen_rh + deep * gen_wide;
    REAL *gen_after = gen_gates + deep * 3 * gen_wide, *moments = gen_after + deep * gen_wide, *path = moments + deep * 2 * ahead;
    REAL *con_x = path + deep * s.wide, *gen_x = con_x + deep * s.con.inputs, *end = gen_x + deep * s.gen.inputs;
    memset(scratch, 0, sizeof(REAL) * (end - (REAL *)scratch));
    REAL *sums = call->sums ? call->sums + task * s.sums_size : NULL;
    if (sums) memset(sums, 0, sizeof(REAL) * s.sums_size);
    const REAL *con_saved = F(gates_at)(job->con_gates, con_wide, m, job->trials, first, T);
    const REAL *gen_saved = F(gates_at)(job->gen_gates, gen_wide, m, job->trials, first, T);
    for (int64_t t = T - 1; t >= 0; t--) {
        int64_t at = filled * rows;
        waiting con = {con_x + at * s.con.inputs, con_h + at * con_wide, con_rh + at * con_wide, con_gates + at * 3 * con_wide};
        waiting gen = {gen_x + at * s.gen.inputs, gen_h + at * gen_wide, gen_rh + at * gen_wide, gen_gates + at * 3 * gen_wide};
        REAL *d_path = path + at * s.wide, *d_moments = moments + at * 2 * ahead;
        /* what the gates had read */
        if (t) {
            F(copy_rows)(rows, H, ROWS_OF(con_states, t - 1), con.h, con_wide);
            F(copy_rows)(rows, G, ROWS_OF(states, t - 1), gen.h, gen_wide);
            F(read_controller)(job, m, first, rows, t, ROWS_OF(path, t - 1), con.x);
        } else {
            F(copy_rows)(rows, H, ROWS_OF(c0, 0), con.h, con_wide);
            F(copy_rows)(rows, G, ROWS_OF(g0, 0), gen.h, gen_wide);
            F(read_controller)(job, m, first, rows, t, ROWS_OF(f0, 0), con.x);
        }
        F(copy_rows)(rows, U, ROWS_OF(drawn, t), gen.x, s.gen.inputs);
        F(copy_rows)(rows, E, ROWS_OF(external_at, t), gen.x + U, s.gen.inputs);
        F(copy_rows)(rows, H, ROWS_OF(con_states, t), con_after + at * con_wide, con_wide);
        F(copy_rows)(rows, G, ROWS_OF(states, t), gen_after + at * gen_wide, gen_wide);
        /* factors: the loss's share and the controller's, which read them one bin later */
        F(copy_rows)(rows, width, con_dx + C, con_padded, d_path, s.wide);
        if (job->d_path.at) F(add_rows)(rows, width, ROWS_OF(d_path, t), d_path, s.wide);
        part from_path = {d_path, s.wide, width};
        F(product)(rows, G, &from_path, 1, s.readout, NULL, 0, through, gen_wide);
        if (job->state_mask.at) {
            F(mask_rows)(rows, G, ROWS_OF(state_mask, t), through, gen_wide);
            F(mask_rows)(rows, G, ROWS_OF(state_mask, t), gen_after + at * gen_wide, gen_wide);
        }
        F(add_rows)(rows, G, through, gen_wide, g, gen_wide);
        if (job->d_states.at) F(add_rows)(rows, G, ROWS_OF(d_states, t), g, gen_wide);
        F(cell_backward)(&s.gen, rows, gen_saved + t * rows * 3 * gen_wide, g, &gen, gen_dx, (REAL)job->clip);
        if (job->d_external) F(copy_rows)(rows, E, gen_dx + U, gen_padded, OUT(d_external, E, t));
        F(moments_backward)(job, m, first, rows, t, gen_dx, gen_padded, d_moments, ahead);
        part from_moments[2] = {{d_moments, 2 * ahead, U}, {d_moments + ahead, 2 * ahead, U}};
        F(product)(rows, H, from_moments, 2, s.posterior, c, con_wide, c, con_wide);
        if (job->d_con_states.at) F(add_rows)(rows, H, ROWS_OF(d_con_states, t), c, con_wide);
        F(cell_backward)(&s.con, rows, con_saved + t * rows * 3 * con_wide, c, &con, con_dx, (REAL)job->clip);
        if (job->con_mask.at) F(mask_rows)(rows, C + width, ROWS_OF(con_mask, t), con_dx, con_padded);
        if (job->d_ci) F(copy_rows)(rows, C, con_dx, con_padded, OUT(d_ci, C, t));
        if (sums && (++filled == most || !t)) {
            int64_t depth = filled * rows;
            F(cell_add)(&s.con, depth, &(waiting){con_x, con_h, con_rh, con_gates}, sums);
            F(cell_add)(&s.gen, depth, &(waiting){gen_x, gen_h, gen_rh, gen_gates}, sums + F(cell_sums_size)(&s.con));
            F(outer)(depth, H, 2 * ahead, con_after, con_wide, moments, 2 * ahead, sums + s.posterior_sums, 2 * ahead);
            F(add_columns)(depth, 2 * ahead, moments, 2 * ahead, sums + s.posterior_sums + H * 2 * ahead);
            F(outer)(depth, G, width, gen_after, gen_wide, path, s.wide, sums + s.readout_sums, s.wide);
            filled = 0;
        }
    }
    if (job->d_c0) F(copy_rows)(rows, H, c, con_wide, (REAL *)job->d_c0 + (m * job->trials + first) * H, H);
    if (job->d_g0) F(copy_rows)(rows, G, g, gen_wide, (REAL *)job->d_g0 + (m * job->trials + first) * G, G);
    if (job->d_f0) F(copy_rows)(rows, width, con_dx + C, con_padded, (REAL *)job->d_f0 + (m * job->trials + first) * width, width);
}

#define TO(name, size) (job->name ? (REAL *)job->name + m * (size) : NULL)

/* Tasks of a member: the gates of the controller, those of the generator, posterior and readout. */
static void F(loop_join)(void *given, int64_t task, void *scratch) {
    const loop_call *call = given;
    const loop_job *job = call->job;
    const closed *s = &call->sizes;
    int64_t m = task / 7, which = task % 7, H = s->con.hidden, G = s->gen.hidden, U = s->inputs, n = call->chunks, apart = s->sums_size;
    const REAL *sums = call->sums + m * n * apart, *of_posterior = sums + s->posterior_sums;
    if (which < 3) {
        F(cell_join)(&s->con, which, n, sums, apart, TO(d_con_input, 3 * H * s->con.inputs), TO(d_con_recurrent, 3 * H * H), TO(d_con_bias, 3 * H));
    } else if (which < 6) {
        F(cell_join)(&s->gen, which - 3, n, sums + F(cell_sums_size)(&s->con), apart, TO(d_gen_input, 3 * G * s->gen.inputs),
                     TO(d_gen_recurrent, 3 * G * G), TO(d_gen_bias, 3 * G));
    } else {
        for (int64_t half = 0; half < 2; half++) {
            const REAL *from = of_posterior + half * s->ahead;
            F(join)(n, from, apart, H, U, 2 * s->ahead, job->d_posterior ? (REAL *)job->d_posterior + (2 * m + half) * U * H : NULL);
            F(join)(n, from + H * 2 * s->ahead, apart, 1, U, 2 * s->ahead, job->d_posterior_bias ? (REAL *)job->d_posterior_bias + (2 * m + half) * U : NULL);
        }
        F(join)(n, sums + s->readout_sums, apart, G, s->factors, s->wide, TO(d_readout, s->factors * G));
    }
}

/* 0, or 1 if there was no memory. */
API int64_t F(lfads_loop_forward)(const loop_job *job) {
    loop_call call = {.job = job, .sizes = F(closed_of)(job, 0), .chunks = chunks_of(job->trials)};
    const closed *s = &call.sizes;
    call.packed = aligned_room(sizeof(REAL) * job->members * s->packed_size);
    if (!call.packed) return 1;
    stage stages[] = {{F(loop_pack_forward), job->members}, {F(loop_chunk_forward), job->members * call.chunks}};
    int64_t row = 5 * s->con.wide + 6 * s->gen.wide + 2 * s->ahead + s->wide + s->con.inputs + s->gen.inputs;
    int failed = team_run(stages, 2, job->threads, sizeof(REAL) * CHUNK * row, &call);
    free(call.packed);
    return failed;
}

API int64_t F(lfads_loop_backward)(const loop_job *job) {
    loop_call call = {.job = job, .sizes = F(closed_of)(job, 1), .chunks = chunks_of(job->trials)};
    const closed *s = &call.sizes;
    int64_t M = job->members, tasks = M * call.chunks, window = WINDOW > CHUNK ? WINDOW : CHUNK;
    int weights = job->d_con_input || job->d_con_recurrent || job->d_con_bias || job->d_posterior || job->d_posterior_bias || job->d_gen_input ||
                  job->d_gen_recurrent || job->d_gen_bias || job->d_readout, failed = 1;
    call.packed = aligned_room(sizeof(REAL) * M * s->packed_size);
    if (weights) call.sums = aligned_room(sizeof(REAL) * tasks * s->sums_size);
    if (call.packed && (call.sums || !weights)) {
        stage stages[] = {{F(loop_pack_backward), M}, {F(loop_chunk_backward), tasks}, {F(loop_join), weights ? 7 * M : 0}};
        size_t row = s->con.wide + 2 * s->gen.wide + F(padded)(s->con.inputs) + F(padded)(s->gen.inputs);
        size_t deep = 6 * s->con.wide + 6 * s->gen.wide + 2 * s->ahead + s->wide + s->con.inputs + s->gen.inputs;
        failed = team_run(stages, 3, job->threads, sizeof(REAL) * (CHUNK * row + window * deep), &call);
    }
    free(call.packed);
    free(call.sums);
    return failed;
}
