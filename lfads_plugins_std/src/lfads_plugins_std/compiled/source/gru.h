/* A GRU over time: whole sequences of a chunk of trials, forward and backward. */

/* What all tasks of a call share: the job, sizes, packed weights of each member, sums of each chunk. */
typedef struct {
    const gru_job *job;
    cell cell;
    int64_t chunks;
    REAL *packed, *sums;
} F(gru_call_of_type);
#define gru_call F(gru_call_of_type)

static void F(gru_pack_forward)(void *given, int64_t m, void *scratch) {
    const gru_call *call = given;
    const gru_job *job = call->job;
    cell c = call->cell;
    int64_t I = c.inputs, H = c.hidden;
    F(cell_place_forward)(&c, call->packed + m * F(cell_forward_size)(&c));
    F(cell_pack_forward)(&c, (const REAL *)job->input + m * 3 * H * I, (const REAL *)job->recurrent + m * 3 * H * H, (const REAL *)job->bias + m * 3 * H);
}

static void F(gru_pack_backward)(void *given, int64_t m, void *scratch) {
    const gru_call *call = given;
    const gru_job *job = call->job;
    cell c = call->cell;
    int64_t I = c.inputs, H = c.hidden;
    F(cell_place_backward)(&c, call->packed + m * F(cell_backward_size)(&c));
    F(cell_pack_backward)(&c, (const REAL *)job->input + m * 3 * H * I, (const REAL *)job->recurrent + m * 3 * H * H);
}

/* Where a chunk's gates of bin 0 lie; those of one bin are contiguous, and bins follow one another. */
INLINE REAL *F(gates_at)(void *gates, int64_t wide, int64_t member, int64_t trials, int64_t first, int64_t bins) {
    return (REAL *)gates + (member * trials + first) * bins * 3 * wide;
}

static void F(gru_chunk_forward)(void *given, int64_t task, void *scratch) {
    const gru_call *call = given;
    const gru_job *job = call->job;
    cell c = call->cell;
    int64_t m = task / call->chunks, chunk = task % call->chunks, H = c.hidden, wide = c.wide;
    int64_t first = chunk_start(job->trials, chunk), rows = chunk_start(job->trials, chunk + 1) - first, T = job->bins;
    F(cell_place_forward)(&c, call->packed + m * F(cell_forward_size)(&c));
    REAL *h = scratch, *rh = h + rows * wide, *gates = rh + rows * wide;
    int64_t gates_step = job->gates ? rows * 3 * wide : 0;
    if (job->gates) gates = F(gates_at)(job->gates, wide, m, job->trials, first, T);
    memset(h, 0, sizeof(REAL) * rows * wide);
    F(copy_rows)(rows, H, F(at)(&job->h0, m, first, 0), job->h0.trial, h, wide);
    for (int64_t step = 0; step < T; step++) {
        int64_t t = job->reverse ? T - 1 - step : step;
        F(cell_forward)(&c, rows, F(at)(&job->x, m, first, t), job->x.trial, h, rh, gates + step * gates_step, (REAL)job->clip);
        F(copy_rows)(rows, H, h, wide, (REAL *)job->states + ((m * job->trials + first) * T + t) * H, T * H);
    }
}

static void F(gru_chunk_backward)(void *given, int64_t task, void *scratch) {
    const gru_call *call = given;
    const gru_job *job = call->job;
    cell c = call->cell;
    int64_t m = task / call->chunks, chunk = task % call->chunks, I = c.inputs, H = c.hidden, wide = c.wide;
    int64_t first = chunk_start(job->trials, chunk), rows = chunk_start(job->trials, chunk + 1) - first, T = job->bins;
    int64_t most = WINDOW / rows > 1 ? WINDOW / rows : 1, filled = 0, padded = F(padded)(I);
    F(cell_place_backward)(&c, call->packed + m * F(cell_backward_size)(&c));
    REAL *g = scratch, *dx = g + rows * wide;
    REAL *h = dx + rows * padded, *rh = h + most * rows * wide, *gates = rh + most * rows * wide, *x = gates + most * rows * 3 * wide;
    REAL *sums = call->sums ? call->sums + task * F(cell_sums_size)(&c) : NULL;
    const REAL *saved = F(gates_at)(job->gates, wide, m, job->trials, first, T), *states = (const REAL *)job->states + (m * job->trials + first) * T * H;
    memset(g, 0, sizeof(REAL) * rows * wide);
    if (job->d_last.at) F(copy_rows)(rows, H, F(at)(&job->d_last, m, first, 0), job->d_last.trial, g, wide);
    memset(h, 0, sizeof(REAL) * most * rows * wide);
    if (sums) memset(sums, 0, sizeof(REAL) * F(cell_sums_size)(&c));
    for (int64_t step = T - 1; step >= 0; step--) {
        int64_t t = job->reverse ? T - 1 - step : step, before = job->reverse ? t + 1 : t - 1, at = filled * rows;
        waiting here = {x + at * I, h + at * wide, rh + at * wide, gates + at * 3 * wide};
        if (job->d_states.at) F(add_rows)(rows, H, F(at)(&job->d_states, m, first, t), job->d_states.trial, g, wide);
        if (step) F(copy_rows)(rows, H, states + before * H, T * H, here.h, wide);
        else F(copy_rows)(rows, H, F(at)(&job->h0, m, first, 0), job->h0.trial, here.h, wide);
        F(cell_backward)(&c, rows, saved + step * rows * 3 * wide, g, &here, job->d_x ? dx : NULL, (REAL)job->clip);
        if (job->d_x) F(copy_rows)(rows, I, dx, padded, (REAL *)job->d_x + ((m * job->trials + first) * T + t) * I, T * I);
        if (!sums) continue;
        F(copy_rows)(rows, I, F(at)(&job->x, m, first, t), job->x.trial, here.x, I);
        if (++filled == most || !step) {
            F(cell_add)(&c, filled * rows, &(waiting){x, h, rh, gates}, sums);
            filled = 0;
        }
    }
    if (job->d_h0) F(copy_rows)(rows, H, g, wide, (REAL *)job->d_h0 + (m * job->trials + first) * H, H);
}

static void F(gru_join)(void *given, int64_t task, void *scratch) {
    const gru_call *call = given;
    const gru_job *job = call->job;
    int64_t m = task / 3, I = call->cell.inputs, H = call->cell.hidden, size = F(cell_sums_size)(&call->cell);
    F(cell_join)(&call->cell, task % 3, call->chunks, call->sums + m * call->chunks * size, size,
                 job->d_input ? (REAL *)job->d_input + m * 3 * H * I : NULL, job->d_recurrent ? (REAL *)job->d_recurrent + m * 3 * H * H : NULL,
                 job->d_bias ? (REAL *)job->d_bias + m * 3 * H : NULL);
}

/* 0, or 1 if there was no memory. */
API int64_t F(lfads_gru_forward)(const gru_job *job) {
    gru_call call = {.job = job, .cell = F(cell_of)(job->inputs, job->hidden), .chunks = chunks_of(job->trials)};
    int64_t M = job->members, wide = call.cell.wide;
    call.packed = aligned_room(sizeof(REAL) * M * F(cell_forward_size)(&call.cell));
    if (!call.packed) return 1;
    stage stages[] = {{F(gru_pack_forward), M}, {F(gru_chunk_forward), M * call.chunks}};
    int failed = team_run(stages, 2, job->threads, sizeof(REAL) * CHUNK * 5 * wide, &call);
    free(call.packed);
    return failed;
}

API int64_t F(lfads_gru_backward)(const gru_job *job) {
    gru_call call = {.job = job, .cell = F(cell_of)(job->inputs, job->hidden), .chunks = chunks_of(job->trials)};
    int64_t M = job->members, wide = call.cell.wide, tasks = M * call.chunks, window = WINDOW > CHUNK ? WINDOW : CHUNK;
    int weights = job->d_input || job->d_recurrent || job->d_bias, failed = 1;
    call.packed = aligned_room(sizeof(REAL) * M * F(cell_backward_size)(&call.cell));
    if (weights) call.sums = aligned_room(sizeof(REAL) * tasks * F(cell_sums_size)(&call.cell));
    if (call.packed && (call.sums || !weights)) {
        stage stages[] = {{F(gru_pack_backward), M}, {F(gru_chunk_backward), tasks}, {F(gru_join), weights ? 3 * M : 0}};
        size_t scratch = CHUNK * (wide + F(padded)(job->inputs)) + window * (5 * wide + job->inputs);
        failed = team_run(stages, 3, job->threads, sizeof(REAL) * scratch, &call);
    }
    free(call.packed);
    free(call.sums);
    return failed;
}
