// SPDX-License-Identifier: Apache-2.0
// Transactions of the backend in memory, and the harness; see memory_backend.h.
#include "tests/support/memory_backend.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "tests/support/memory_tables.h"

#include <assert.h>
#include <pthread.h>
#include <string.h>

struct memory_db {
    char *region;
    pthread_mutex_t lock;
    // the state that was committed last
    struct state *now;
    // what readers see; NULL: now
    struct state *held;
    struct state *backup;
    unsigned n_conflicts;
    void (*act)(void *ctx);
    void *act_ctx;
    unsigned fail_after;
    int fail_rc;
    uint64_t n_runs, n_commits;
    unsigned n_openers;
};

struct memory_backend {
    struct backend base;
    struct memory_db *db;
    _Atomic bool handed_over;
};

static struct memory_backend *memory_of(struct backend *b)
{
    return (struct memory_backend *)b;
}

struct memory_db *memory_db_new(const char *region)
{
    struct memory_db *db = mem_zalloc(sizeof *db);
    if (!db)
        return NULL;
    pthread_mutex_init(&db->lock, NULL);
    db->region = mem_strdup(region);
    db->now = state_new();
    if (!db->region || !db->now) {
        memory_db_free(db);
        return NULL;
    }
    return db;
}

void memory_db_free(struct memory_db *db)
{
    if (!db)
        return;
    state_unref(db->held);
    state_unref(db->backup);
    state_unref(db->now);
    pthread_mutex_destroy(&db->lock);
    free(db->region);
    free(db);
}

// --- the harness ---

void memory_db_conflicts(struct memory_db *db, unsigned n)
{
    pthread_mutex_lock(&db->lock);
    db->n_conflicts = n;
    pthread_mutex_unlock(&db->lock);
}

void memory_db_before_commit(struct memory_db *db, void (*act)(void *ctx), void *ctx)
{
    pthread_mutex_lock(&db->lock);
    db->act = act;
    db->act_ctx = ctx;
    pthread_mutex_unlock(&db->lock);
}

void memory_db_fail(struct memory_db *db, unsigned after, int rc)
{
    pthread_mutex_lock(&db->lock);
    db->fail_after = after;
    db->fail_rc = rc;
    pthread_mutex_unlock(&db->lock);
}

void memory_db_hold(struct memory_db *db, bool hold)
{
    pthread_mutex_lock(&db->lock);
    state_unref(take_ptr(db->held));
    if (hold) {
        db->held = db->now;
        db->held->n_refs++;
    }
    pthread_mutex_unlock(&db->lock);
}

uint64_t memory_db_n_runs(struct memory_db *db)
{
    pthread_mutex_lock(&db->lock);
    uint64_t n = db->n_runs;
    pthread_mutex_unlock(&db->lock);
    return n;
}

uint64_t memory_db_n_commits(struct memory_db *db)
{
    pthread_mutex_lock(&db->lock);
    uint64_t n = db->n_commits;
    pthread_mutex_unlock(&db->lock);
    return n;
}

void memory_db_backup(struct memory_db *db)
{
    pthread_mutex_lock(&db->lock);
    state_unref(db->backup);
    db->backup = db->now;
    db->backup->n_refs++;
    pthread_mutex_unlock(&db->lock);
}

// Takes the reference.
static void state_replace(struct memory_db *db, struct state *s)
{
    assert(s);
    pthread_mutex_lock(&db->lock);
    state_unref(db->now);
    db->now = s;
    pthread_mutex_unlock(&db->lock);
}

void memory_db_restore(struct memory_db *db)
{
    assert(db->backup);
    state_replace(db, state_copy(db->backup));
}

void memory_db_lose(struct memory_db *db)
{
    state_replace(db, state_new());
}

// --- writing ---

static uint64_t stamp_of(struct tx *tx)
{
    return own_row(tx).stamp;
}

// Runs it over a copy of the last state. 0: t->s is what it made of that.
static int run_once(struct memory_backend *b, tx_run *run, void *arg, struct memory_tx *t)
{
    struct memory_db *db = b->db;
    pthread_mutex_lock(&db->lock);
    t->s = state_copy(db->now);
    db->n_runs++;
    pthread_mutex_unlock(&db->lock);
    t->of = b;
    t->writes = true;
    t->tx = (struct tx){.ops = b->base.ops, .region = db->region, .mints = !b->handed_over};
    if (!t->s)
        return ERR_NOMEM;
    return run(&t->tx, arg);
}

static void act(struct memory_db *db)
{
    pthread_mutex_lock(&db->lock);
    void (*what)(void *ctx) = take_ptr(db->act);
    void *ctx = db->act_ctx;
    pthread_mutex_unlock(&db->lock);
    if (what)
        what(ctx);
}

// db->lock is held.
static int may_commit(struct memory_db *db, const struct state *s, unsigned n_lost)
{
    if (db->fail_rc && db->fail_after == 0)
        return db->fail_rc;
    if (n_lost < db->n_conflicts || s->version != db->now->version)
        return ERR_CONFLICT;
    if (db->fail_after)
        db->fail_after--;
    return 0;
}

// ERR_CONFLICT: run it again.
static int commit(struct memory_backend *b, struct memory_tx *t, unsigned n_lost)
{
    struct memory_db *db = b->db;
    act(db);
    pthread_mutex_lock(&db->lock);
    int rc = may_commit(db, t->s, n_lost);
    if (!rc) {
        t->s->version++;
        state_unref(db->now);
        db->now = t->s;
        db->now->n_refs++;
        db->n_commits++;
        b->base.clock = stamp_of(&t->tx);
    }
    pthread_mutex_unlock(&db->lock);
    return rc;
}

static int memory_write(struct backend *backend, tx_run *run, void *arg)
{
    struct memory_backend *b = memory_of(backend);
    for (unsigned n_lost = 0;; n_lost++) {
        struct memory_tx t = {0};
        int run_rc = run_once(b, run, arg, &t);
        int rc = run_rc;
        if (!rc)
            rc = commit(b, &t, n_lost);
        bool notify = !rc && t.tx.notify;
        state_unref(t.s);
        if (notify && backend->on_commit)
            backend->on_commit(backend->on_commit_ctx);
        // a rule's own ERR_CONFLICT is its result
        if (run_rc || rc != ERR_CONFLICT)
            return rc;
    }
}

static int memory_attempt(struct tx *tx, tx_run *run, void *arg)
{
    struct memory_tx *t = memory_tx(tx);
    struct state *before = state_copy(t->s);
    bool notify = tx->notify;
    assert(t->writes);
    if (!before)
        return ERR_NOMEM;
    int rc = run(tx, arg);
    if (!rc) {
        state_unref(before);
        return 0;
    }
    state_unref(t->s);
    t->s = before;
    tx->notify = notify;
    return rc;
}

// --- reading ---

// Every operation of a reader sees the moment at which it began.
static int memory_read(struct backend *backend, bool one_moment, struct tx **out)
{
    struct memory_backend *b = memory_of(backend);
    struct memory_tx *t = mem_zalloc(sizeof *t);
    (void)one_moment;
    if (!t)
        return ERR_NOMEM;
    pthread_mutex_lock(&b->db->lock);
    t->s = b->db->held ? b->db->held : b->db->now;
    t->s->n_refs++;
    pthread_mutex_unlock(&b->db->lock);
    t->of = b;
    t->tx = (struct tx){.ops = b->base.ops, .region = b->db->region};
    *out = &t->tx;
    return 0;
}

static void memory_end(struct tx *tx)
{
    struct memory_tx *t = memory_tx(tx);
    assert(!t->writes);
    state_unref(t->s);
    free(t);
}

static int memory_probe(struct tx *tx)
{
    (void)tx;
    return 0;
}

// Any commit changes it. A reader who is held back sees the number of what it sees.
static uint64_t memory_changes(struct backend *backend, unsigned shard)
{
    struct memory_db *db = memory_of(backend)->db;
    (void)shard;
    pthread_mutex_lock(&db->lock);
    uint64_t n = db->now->version + 1;
    pthread_mutex_unlock(&db->lock);
    return n;
}

static uint64_t memory_changes_seen(struct tx *tx, unsigned shard)
{
    (void)shard;
    return memory_tx(tx)->s->version + 1;
}

// --- the backend ---

static void memory_close(struct backend *backend)
{
    struct memory_db *db = memory_of(backend)->db;
    pthread_mutex_lock(&db->lock);
    db->n_openers--;
    pthread_mutex_unlock(&db->lock);
    free(backend);
}

static void memory_hand_over(struct backend *backend)
{
    memory_of(backend)->handed_over = true;
}

static int memory_check(struct backend *backend)
{
    (void)backend;
    return 0;
}

static const struct backend_ops memory_ops = {
    .close = memory_close,
    .hand_over = memory_hand_over,
    .check = memory_check,
    .write = memory_write,
    .read = memory_read,
    .end = memory_end,
    .attempt = memory_attempt,
    .probe = memory_probe,
    .changes = memory_changes,
    .changes_seen = memory_changes_seen,
    .log = &memory_log_ops,
    .chains = &memory_chain_ops,
    .state = &memory_state_ops,
    .manifests = &memory_manifest_ops,
    .tags = &memory_tag_ops,
    .tasks = &memory_task_ops,
    .jobs = &memory_job_ops,
    .voids = &memory_void_ops,
    .surveys = &memory_survey_ops,
    .uploads = &memory_upload_ops,
    .links = &memory_link_ops,
};

static int64_t touched_last(struct tx *tx)
{
    int64_t last_ms = 0;
    EACH_ROW(tx, T_UPLOADS, struct m_upload, u)
    if (u->row.touched_ms > last_ms)
        last_ms = u->row.touched_ms;
    return last_ms;
}

// Times of the monotonic clock of an earlier run mean nothing now: the last one is now.
static int uploads_run(struct tx *tx)
{
    int64_t last_ms = touched_last(tx), now_ms = clock_mono_ms();
    int rc = 0;
    for (size_t i = 0; !rc && i < row_count(tx, T_UPLOADS); i++) {
        struct m_upload u = *(const struct m_upload *)row_at(tx, T_UPLOADS, i);
        u.idle_ms += last_ms - u.row.touched_ms;
        u.row.touched_ms = now_ms;
        rc = row_put(tx, T_UPLOADS, &u);
    }
    return rc;
}

// The same of leases and of blobs that are not live.
static int holds_run(struct tx *tx)
{
    int64_t now_ms = clock_mono_ms();
    int rc = 0;
    for (size_t i = 0; !rc && i < row_count(tx, T_LINKS); i++) {
        struct m_link l = *(const struct m_link *)row_at(tx, T_LINKS, i);
        l.hold.since_ms = now_ms;
        rc = row_put(tx, T_LINKS, &l);
    }
    for (size_t i = 0; !rc && i < row_count(tx, T_BLOBS); i++) {
        struct m_blob b = *(const struct m_blob *)row_at(tx, T_BLOBS, i);
        b.row.since_ms = now_ms;
        rc = row_put(tx, T_BLOBS, &b);
    }
    return rc;
}

// All tasks become due; the first opener also brings the uploads, the leases and the blobs to the
// present clock.
static int open_run(struct tx *tx, void *arg)
{
    int rc = 0;
    bool is_first = *(const bool *)arg;
    if (is_first)
        rc = uploads_run(tx);
    if (!rc && is_first)
        rc = holds_run(tx);
    for (size_t i = 0; !rc && i < row_count(tx, T_TASKS); i++) {
        struct m_task j = *(const struct m_task *)row_at(tx, T_TASKS, i);
        j.due_ms = j.failed_ms = 0;
        j.waiting = false;
        rc = row_put(tx, T_TASKS, &j);
    }
    return rc;
}

int memory_backend_open(struct memory_db *db, struct backend **out)
{
    struct memory_backend *b = mem_zalloc(sizeof *b);
    struct tx *tx;
    if (!b)
        return ERR_NOMEM;
    b->base.ops = &memory_ops;
    b->db = db;
    pthread_mutex_lock(&db->lock);
    bool is_first = db->n_openers++ == 0;
    pthread_mutex_unlock(&db->lock);
    int rc = memory_write(&b->base, open_run, &is_first);
    if (!rc)
        rc = memory_read(&b->base, false, &tx);
    if (rc) {
        memory_close(&b->base);
        return rc;
    }
    b->base.clock = stamp_of(tx);
    memory_end(tx);
    *out = &b->base;
    return 0;
}

int memory_meta_open(struct memory_db *db, const struct meta_options *o, struct meta **out)
{
    struct backend *b;
    int rc = memory_backend_open(db, &b);
    if (rc)
        return rc;
    return meta_open(b, o, NULL, out);
}
