/* A team of threads, made for one call and gone after it, so that nothing is left for a fork or another caller to trip over. */

/* Tasks 0 .. tasks - 1, each done once by any member of the team; a stage begins when the one before it has ended. */
typedef struct {
    void (*run)(void *job, int64_t task, void *scratch);
    int64_t tasks;
} stage;

#define STAGES 4
typedef struct {
    const stage *stages;
    int64_t count, size, arrived, round, next[STAGES];
    size_t scratch_bytes;
    int failed;
    void *job;
    pthread_mutex_t lock;
    pthread_cond_t change;
} team;

static void *aligned_room(size_t bytes) {
    void *room = NULL;
    if (posix_memalign(&room, 64, bytes < 64 ? 64 : bytes)) return NULL;
#ifdef POISON /* for tests: all bits set is NaN, in both types */
    memset(room, 255, bytes);
#endif
    return room;
}

static void team_wait(team *t) {
    pthread_mutex_lock(&t->lock);
    int64_t round = t->round;
    if (++t->arrived >= t->size) {
        t->arrived = 0;
        t->round++;
        pthread_cond_broadcast(&t->change);
    }
    while (round == t->round) pthread_cond_wait(&t->change, &t->lock);
    pthread_mutex_unlock(&t->lock);
}

static void *team_member(void *given) {
    team *t = given;
    void *scratch = aligned_room(t->scratch_bytes);
    if (!scratch) __atomic_store_n(&t->failed, 1, __ATOMIC_RELAXED);
    team_wait(t); /* the first wait opens when the size of the team is settled */
    for (int64_t s = 0; s < t->count; s++) {
        int64_t task;
        while ((task = __atomic_fetch_add(&t->next[s], 1, __ATOMIC_RELAXED)) < t->stages[s].tasks)
            if (!__atomic_load_n(&t->failed, __ATOMIC_RELAXED)) t->stages[s].run(t->job, task, scratch);
        team_wait(t);
    }
    free(scratch);
    return NULL;
}

/* 0, or 1 if there was no memory. Threads that cannot be made are done without. */
static int team_run(const stage *stages, int64_t count, int64_t threads, size_t scratch_bytes, void *job) {
    int64_t most = 1, made = 0;
    for (int64_t s = 0; s < count; s++) most = stages[s].tasks > most ? stages[s].tasks : most;
    if (threads > most) threads = most;
    team t = {.stages = stages, .count = count, .size = threads + 1, .scratch_bytes = scratch_bytes, .job = job};
    pthread_t *others = threads > 1 ? calloc((size_t)threads, sizeof *others) : NULL;
    pthread_mutex_init(&t.lock, NULL);
    pthread_cond_init(&t.change, NULL);
    if (others)
        while (made < threads - 1 && !pthread_create(&others[made], NULL, team_member, &t)) made++;
    pthread_mutex_lock(&t.lock);
    t.size = made + 1;
    pthread_mutex_unlock(&t.lock);
    team_member(&t);
    for (int64_t i = 0; i < made; i++) pthread_join(others[i], NULL);
    pthread_cond_destroy(&t.change);
    pthread_mutex_destroy(&t.lock);
    free(others);
    return t.failed;
}
