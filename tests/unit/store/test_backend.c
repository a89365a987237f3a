// SPDX-License-Identifier: Apache-2.0
// The suite that every backend of metadata must pass (store/backend.h): what a transaction is, what
// order the operations promise, and what two openers of one state may rely on. TEST_META in the
// environment names the backend; see meta_support.h. "conflicts" makes each transaction run twice.
#include "store/backend.h"

#include "store/backend_chain.h"
#include "store/backend_jobs.h"
#include "store/backend_links.h"
#include "store/backend_log.h"
#include "store/backend_state.h"
#include "store/backend_survey.h"
#include "store/backend_tags.h"
#include "store/backend_tasks.h"
#include "store/backend_uploads.h"
#include "store/backend_void.h"
#include "tests/unit/store/meta_support.h"

#include <pthread.h>

static char dir[64];
static struct memory_db *db;
static struct backend *b;

static int open_another(struct backend **out)
{
    if (db)
        return memory_backend_open(db, out);
    AUTO_FREE char *path = mem_printf("%s/meta.db", dir);
    return sqlite_store_open(path, "eastus", NULL, out);
}

static void begin(void)
{
    snprintf(dir, sizeof dir, "/tmp/meridian-backend-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    if (!backend_is("sqlite")) {
        db = memory_db_new("eastus");
        ck_assert_ptr_nonnull(db);
        memory_db_conflicts(db, backend_is("conflicts"));
    }
    ck_assert_int_eq(open_another(&b), 0);
}

static void reopen(void)
{
    backend_close(b);
    ck_assert_int_eq(open_another(&b), 0);
}

static void end(void)
{
    backend_close(b);
    memory_db_free(take_ptr(db));
    ck_assert_int_eq(dir_remove_tree(dir), 0);
}

// One operation, in a transaction of its own.
struct call {
    int64_t id, ms;
    const struct feed_entry *e;
    const struct job_failure *failure;
    const struct task_new *task;
    const struct task_state *state;
    const struct upload_row *row;
    const char *name;
    uint64_t bytes;
};

#define CALL(name, expr)                            \
    static int name##_run(struct tx *tx, void *arg) \
    {                                               \
        const struct call *c = arg;                 \
        (void)c;                                    \
        return (expr);                              \
    }

CALL(job_add, job_add(tx, c->id, c->e))
CALL(job_remove, job_remove(tx, c->id))
CALL(job_wait, job_wait(tx, c->id, c->ms, true))
CALL(job_fail, job_fail(tx, c->id, c->failure))
CALL(job_park, job_park(tx, c->id, c->bytes, c->failure))
CALL(job_unpark, job_unpark(tx, c->id))
CALL(jobs_try_manifest, jobs_try_manifest(tx, c->e->registry, c->e->repository, &c->e->digest))
CALL(jobs_wake_all, jobs_wake_all(tx))
CALL(log_remove, log_remove(tx, c->id))
CALL(task_put, task_put(tx, c->task, c->ms != 0))
CALL(task_set, task_set(tx, c->id, c->state))
CALL(task_remove, task_remove(tx, c->id))
CALL(task_remove_key, task_remove_key(tx, TASK_RETAIN, c->name))
CALL(upload_add, upload_add(tx, c->row))
CALL(upload_age, upload_age(tx, c->ms))
CALL(upload_move, upload_move(tx, c->name, c->bytes, c->bytes + 5, c->ms))
CALL(upload_remove, upload_remove(tx, c->name))

#define WRITE(name, ...) backend_write(b, name##_run, &(struct call){__VA_ARGS__})

static struct tx *reader(void)
{
    struct tx *tx;
    ck_assert_int_eq(backend_read(b, &tx), 0);
    return tx;
}

static struct feed_entry entry_at(const char *origin, uint64_t seq, const char *tag,
                                  const char *text)
{
    struct feed_entry e = {.origin = origin,
                           .epoch = 1,
                           .seq = seq,
                           .stamp = 100 + seq,
                           .kind = ENTRY_TAG,
                           .registry = REG,
                           .repository = "app",
                           .tag = tag,
                           .media_type = "",
                           .digest = digest_str(text),
                           .key = "key"};
    memset(e.hash, (int)seq, sizeof e.hash);
    return e;
}

// --- transactions ---

struct step {
    struct feed_entry e;
    int rc;
    int n_runs;
    int64_t id;
};

static int append_run(struct tx *tx, void *arg)
{
    struct step *s = arg;
    s->n_runs++;
    int rc = log_append(tx, &s->e, (struct bytes){0}, &s->id);
    return rc ? rc : s->rc;
}

static bool is_held(const struct feed_entry *e)
{
    int64_t id;
    struct tx *tx = reader();
    int rc = log_held(tx, e, &id);
    tx_end(tx);
    return rc == 0;
}

START_TEST(a_failed_transaction_leaves_nothing)
{
    begin();
    struct step s = {.e = entry_at("westeurope", 1, "t", "x"), .rc = ERR_CANCELED};
    ck_assert_int_eq(backend_write(b, append_run, &s), ERR_CANCELED);
    ck_assert_int_eq(s.n_runs, 1); // a rule's own failure is its result
    ck_assert(!is_held(&s.e));
    s.rc = ERR_CONFLICT; // also this one
    ck_assert_int_eq(backend_write(b, append_run, &s), ERR_CONFLICT);
    ck_assert(!is_held(&s.e));
    s.rc = 0;
    s.n_runs = 0;
    ck_assert_int_eq(backend_write(b, append_run, &s), 0);
    ck_assert_int_eq(s.n_runs, backend_is("conflicts") ? 2 : 1);
    ck_assert(is_held(&s.e));
    reopen();
    ck_assert(is_held(&s.e));
    end();
}
END_TEST

static int two_run(struct tx *tx, void *arg)
{
    struct step *list = arg;
    int rc = append_run(tx, &list[0]);
    if (rc)
        return rc;
    rc = tx_attempt(tx, append_run, &list[1]);
    return rc == ERR_CANCELED ? append_run(tx, &list[2]) : rc;
}

START_TEST(an_attempt_takes_back_its_own_changes)
{
    begin();
    struct step list[3] = {{.e = entry_at("westeurope", 1, "t", "x")},
                           {.e = entry_at("westeurope", 2, "t", "y"), .rc = ERR_CANCELED},
                           {.e = entry_at("westeurope", 2, "t", "z")}};
    list[2].e.hash[0] = 99; // the place of the one that was taken back is free
    ck_assert_int_eq(backend_write(b, two_run, list), 0);
    ck_assert(is_held(&list[0].e) && is_held(&list[2].e) && !is_held(&list[1].e));
    end();
}
END_TEST

START_TEST(a_reader_sees_whole_commits)
{
    begin();
    struct step s = {.e = entry_at("westeurope", 1, "t", "x")};
    struct tx *moment;
    int64_t id;
    ck_assert_int_eq(backend_read_moment(b, &moment), 0);
    ck_assert_int_eq(log_held(moment, &s.e, &id), ERR_NOTFOUND);
    ck_assert_int_eq(backend_write(b, append_run, &s), 0);
    ck_assert_int_eq(log_held(moment, &s.e, &id), ERR_NOTFOUND); // still that moment
    tx_end(moment);
    ck_assert(is_held(&s.e));
    end();
}
END_TEST

// --- the own head ---

static int mint_run(struct tx *tx, void *arg)
{
    struct step *s = arg;
    struct own_head own;
    int rc = own_lock(tx, &own);
    if (rc)
        return rc;
    s->e = entry_at("eastus", own.last.seq + 1, "t", "x");
    s->e.stamp = own.stamp + 1;
    rc = append_run(tx, s);
    if (rc)
        return rc;
    own.last = (struct feed_mark){.epoch = 1, .seq = s->e.seq};
    own.stamp = s->e.stamp;
    return own_set(tx, &own);
}

START_TEST(the_own_head_commits_with_its_entry)
{
    begin();
    struct step s = {0};
    ck_assert_int_eq(backend_write(b, mint_run, &s), 0);
    ck_assert_uint_eq(s.e.seq, 1);
    s.rc = ERR_CANCELED;
    ck_assert_int_eq(backend_write(b, mint_run, &s), ERR_CANCELED);
    s.rc = 0;
    ck_assert_int_eq(backend_write(b, mint_run, &s), 0);
    ck_assert_uint_eq(s.e.seq, 2); // nobody saw the one that failed
    ck_assert_uint_eq(b->clock, s.e.stamp);
    reopen();
    ck_assert_uint_eq(b->clock, s.e.stamp);
    ck_assert_int_eq(backend_write(b, mint_run, &s), 0);
    ck_assert_uint_eq(s.e.seq, 3);
    end();
}
END_TEST

enum { MINTERS = 4, MINTS = 50 };

struct minter {
    struct backend *b;
    pthread_t thread;
};
static _Atomic bool minting;

static void *minter_main(void *arg)
{
    const struct minter *m = arg;
    for (int i = 0; i < MINTS; i++) {
        struct step s = {0};
        ck_assert_int_eq(backend_write(m->b, mint_run, &s), 0);
    }
    return NULL;
}

// No sequence shows before a lower one.
static void *looker_main(void *arg)
{
    (void)arg;
    while (minting) {
        struct tx *tx;
        struct feed_mark head;
        ck_assert_int_eq(backend_read_moment(b, &tx), 0);
        if (log_head(tx, "eastus", &head, NULL) == 0)
            for (uint64_t seq = 1; seq <= head.seq; seq++) {
                int64_t id;
                struct feed_entry e = entry_at("eastus", seq, "t", "x");
                ck_assert_int_eq(log_held(tx, &e, &id), 0);
            }
        tx_end(tx);
    }
    return NULL;
}

START_TEST(sequences_of_many_writers_have_no_gap)
{
    begin();
    struct minter list[MINTERS];
    struct backend *other = b;
    pthread_t looker;
    if (db)
        ck_assert_int_eq(open_another(&other), 0);
    minting = true;
    ck_assert_int_eq(pthread_create(&looker, NULL, looker_main, NULL), 0);
    for (int i = 0; i < MINTERS; i++) {
        list[i].b = i % 2 ? other : b;
        ck_assert_int_eq(pthread_create(&list[i].thread, NULL, minter_main, &list[i]), 0);
    }
    for (int i = 0; i < MINTERS; i++)
        pthread_join(list[i].thread, NULL);
    minting = false;
    pthread_join(looker, NULL);
    struct feed_mark head;
    struct tx *tx = reader();
    ck_assert_int_eq(log_head(tx, "eastus", &head, NULL), 0);
    ck_assert_uint_eq(head.seq, MINTERS * MINTS);
    tx_end(tx);
    ck_assert_uint_le(b->n_commits, b->n_writes);
    if (db)
        backend_close(other);
    end();
}
END_TEST

// --- a second opener ---

START_TEST(a_second_opener_is_taken_or_refused)
{
    begin();
    struct backend *other;
    struct step s = {0};
    int rc = open_another(&other);
    if (!db) { // SQLite: one process at a time, until it hands over
        ck_assert_int_eq(rc, ERR_BUSY);
        backend_hand_over(b);
        ck_assert_int_eq(open_another(&other), 0);
    } else {
        ck_assert_int_eq(rc, 0);
        ck_assert_int_eq(backend_write(b, mint_run, &s), 0);
    }
    ck_assert_int_eq(backend_write(other, mint_run, &s), 0);
    ck_assert_uint_eq(s.e.seq, db ? 2 : 1);
    ck_assert(is_held(&s.e)); // the first one sees it
    backend_close(other);
    end();
}
END_TEST

static int mints_run(struct tx *tx, void *arg)
{
    *(bool *)arg = tx->mints;
    return 0;
}

START_TEST(who_handed_over_mints_no_more)
{
    begin();
    bool mints = false;
    ck_assert_int_eq(backend_write(b, mints_run, &mints), 0);
    ck_assert(mints);
    backend_hand_over(b);
    ck_assert_int_eq(backend_write(b, mints_run, &mints), 0);
    ck_assert(!mints);
    end();
}
END_TEST

struct rival {
    struct backend *other;
    struct step s;
};

static void rival_acts(void *ctx)
{
    struct rival *r = ctx;
    ck_assert_int_eq(backend_write(r->other, mint_run, &r->s), 0);
}

// Another process commits between the run and its commit: the loser runs again and takes the next
// place.
START_TEST(who_comes_second_runs_again)
{
    begin();
    if (db) {
        struct rival r = {0};
        struct step s = {0};
        ck_assert_int_eq(open_another(&r.other), 0);
        memory_db_before_commit(db, rival_acts, &r);
        ck_assert_int_eq(backend_write(b, mint_run, &s), 0);
        ck_assert_int_ge(s.n_runs, 2);
        ck_assert_uint_eq(r.s.e.seq, 1);
        ck_assert_uint_eq(s.e.seq, 2);
        ck_assert_uint_gt(s.e.stamp, r.s.e.stamp);
        backend_close(r.other);
    }
    end();
}
END_TEST

// --- the log ---

START_TEST(a_place_has_one_entry)
{
    begin();
    struct step one = {.e = entry_at("westeurope", 7, "t", "x")},
                other = {.e = entry_at("westeurope", 7, "t", "y")};
    int64_t id = 0;
    other.e.hash[0] = 1;
    ck_assert_int_eq(backend_write(b, append_run, &one), 0);
    ck_assert_int_eq(backend_write(b, append_run, &other), ERR_CONFLICT);
    struct tx *tx = reader();
    ck_assert_int_eq(log_held(tx, &one.e, &id), 0);
    ck_assert_int_eq(id, one.id);
    id = 0;
    ck_assert_int_eq(log_held(tx, &other.e, &id), ERR_CONFLICT);
    ck_assert_int_eq(id, one.id);
    tx_end(tx);
    struct step big = {.e = entry_at("westeurope", (uint64_t)INT64_MAX + 1, "t", "x")};
    ck_assert_int_eq(backend_write(b, append_run, &big), ERR_TOOBIG);
    end();
}
END_TEST

START_TEST(ids_rise_and_places_are_ordered_by_epoch_and_sequence)
{
    begin();
    static const struct {
        uint64_t epoch, seq;
    } places[] = {{2, 1}, {1, 9}, {1, 2}, {2, 3}};
    int64_t last = 0;
    for (size_t i = 0; i < ARRAY_LEN(places); i++) {
        struct step s = {.e = entry_at("westeurope", places[i].seq, "t", "x")};
        s.e.epoch = places[i].epoch;
        ck_assert_int_eq(backend_write(b, append_run, &s), 0);
        ck_assert_int_gt(s.id, last);
        last = s.id;
    }
    struct tx *tx = reader();
    struct feed_mark mark;
    ck_assert_int_eq(log_head(tx, "westeurope", &mark, NULL), 0);
    ck_assert(mark.epoch == 2 && mark.seq == 3);
    ck_assert_int_eq(log_before(tx, "westeurope", &mark, &mark), 0);
    ck_assert(mark.epoch == 2 && mark.seq == 1);
    ck_assert_int_eq(log_before(tx, "westeurope", &mark, &mark), 0);
    ck_assert(mark.epoch == 1 && mark.seq == 9);
    ck_assert_int_eq(log_head(tx, "southeast", &mark, NULL), ERR_NOTFOUND);
    tx_end(tx);
    end();
}
END_TEST

START_TEST(an_entry_with_a_job_stays)
{
    begin();
    struct step s = {.e = entry_at("westeurope", 1, "t", "x")};
    struct feed_entry got;
    struct arena a;
    arena_init(&a, 0);
    ck_assert_int_eq(backend_write(b, append_run, &s), 0);
    ck_assert_int_eq(WRITE(job_add, .id = s.id, .e = &s.e), 0);
    ck_assert_int_eq(WRITE(log_remove, .id = s.id), ERR_CONFLICT);
    ck_assert_int_eq(WRITE(job_remove, .id = s.id), 0);
    ck_assert_int_eq(WRITE(log_remove, .id = s.id), 0);
    struct tx *tx = reader();
    ck_assert_int_eq(log_get(tx, s.id, &a, &got), ERR_NOTFOUND);
    tx_end(tx);
    arena_done(&a);
    end();
}
END_TEST

static int open_of(const char *tag, const struct digest *digest, enum entry_kind kind)
{
    struct register_name name = {.registry = REG, .repository = "app", .tag = tag};
    struct tx *tx = reader();
    if (digest)
        name.digest = *digest;
    int rc = survey_open_of(tx, &name, kind);
    tx_end(tx);
    return rc;
}

START_TEST(a_register_is_open_while_an_entry_of_it_has_a_job)
{
    begin();
    struct step tag = {.e = entry_at("westeurope", 1, "t", "x")},
                manifest = {.e = entry_at("westeurope", 2, "", "x")};
    const struct digest *d = &manifest.e.digest;
    manifest.e.kind = ENTRY_MANIFEST;
    manifest.e.media_type = TYPE;
    ck_assert_int_eq(backend_write(b, append_run, &tag), 0);
    ck_assert_int_eq(backend_write(b, append_run, &manifest), 0);
    ck_assert_int_eq(open_of("t", NULL, ENTRY_TAG), ERR_NOTFOUND);
    ck_assert_int_eq(open_of("", d, ENTRY_MANIFEST), ERR_NOTFOUND);
    ck_assert_int_eq(WRITE(job_add, .id = tag.id, .e = &tag.e), 0);
    ck_assert_int_eq(open_of("t", NULL, ENTRY_TAG), 0);
    ck_assert_int_eq(open_of("t", NULL, ENTRY_TAG_GONE), ERR_NOTFOUND);
    ck_assert_int_eq(open_of("u", NULL, ENTRY_TAG), ERR_NOTFOUND);
    ck_assert_int_eq(open_of("", d, ENTRY_MANIFEST), ERR_NOTFOUND);
    ck_assert_int_eq(WRITE(job_add, .id = manifest.id, .e = &manifest.e), 0);
    ck_assert_int_eq(open_of("", d, ENTRY_MANIFEST), 0);
    ck_assert_int_eq(open_of("", d, ENTRY_MANIFEST_GONE), ERR_NOTFOUND);
    ck_assert_int_eq(WRITE(job_remove, .id = tag.id), 0);
    ck_assert_int_eq(open_of("t", NULL, ENTRY_TAG), ERR_NOTFOUND);
    end();
}
END_TEST

// --- chains, unknown entries, numbers ---

// An entry of version 2 as the log is given it.
static struct feed_entry chained(const char *origin, uint64_t epoch, uint64_t seq,
                                 uint64_t registry_seq, struct arena *a)
{
    struct feed_entry e;
    const char *body = arena_printf(
        a,
        "meridian-feed-2\norigin=%s\nepoch=%llu\npartition=0\nseq=%llu\nstamp=%llu\nrestates=0\n"
        "registry=" REG "\nregistry-seq=%llu\nregistry-prev=%064d\nrepository=app\nmust=0\n"
        "subject=tag:v1\nattribute=locked\nvalue={\"write\":true,\"delete\":false,\"by\":\"ci\"}\n",
        origin, (unsigned long long)epoch, (unsigned long long)seq,
        (unsigned long long)(100 * epoch + seq), (unsigned long long)registry_seq,
        registry_seq > 1);
    ck_assert_int_eq(entry_body_parse(bytes_str(body), a, &e), 0);
    ck_assert_int_eq(e.kind, ENTRY_TAG_LOCK);
    e.key = "key";
    memset(e.hash, (int)seq, sizeof e.hash);
    return e;
}

static int64_t appended(const struct feed_entry *e)
{
    struct step s = {.e = *e};
    ck_assert_int_eq(backend_write(b, append_run, &s), 0);
    return s.id;
}

START_TEST(a_chain_is_ordered_by_place)
{
    begin();
    struct arena a;
    arena_init(&a, 0);
    struct feed_entry list[] = {
        chained("westeurope", 1, 1, 1, &a), chained("westeurope", 1, 3, 2, &a),
        chained("westeurope", 2, 1, 2, &a), chained("westeurope", 1, 4, 3, &a),
        chained("northeu", 5, 1, 9, &a)};
    for (size_t i = 0; i < ARRAY_LEN(list); i++)
        appended(&list[i]);
    struct feed_entry old = entry_at("westeurope", 9, "t", "x"); // version 1 is in no chain
    old.epoch = 3;
    appended(&old);
    struct tx *tx = reader();
    struct chain_head head;
    uint8_t hash[ENTRY_HASH_BYTES];
    struct chain_query q = {.origin = "westeurope", .registry = REG};
    ck_assert_int_eq(chain_last(tx, &q, &head), 0);
    ck_assert(head.registry_seq == 2 && head.at.epoch == 2 && head.at.seq == 1);
    entry_body_hash(&list[2], hash);
    ck_assert_mem_eq(head.hash, hash, sizeof hash);
    ck_assert_mem_eq(head.at.hash, list[2].hash, sizeof hash);
    struct feed_mark upto = {.epoch = 1, .seq = 3};
    q.upto = &upto;
    ck_assert_int_eq(chain_last(tx, &q, &head), 0);
    ck_assert(head.registry_seq == 2 && head.at.epoch == 1);
    q.upto = NULL;
    q.stamp_max = 103;
    ck_assert_int_eq(chain_last(tx, &q, &head), 0);
    ck_assert(head.at.epoch == 1 && head.at.seq == 3);
    q.registry = "fabrikam";
    ck_assert_int_eq(chain_last(tx, &q, &head), ERR_NOTFOUND);
    // both that have the number are found, each by its hash
    ck_assert_int_eq(chain_has(tx, "westeurope", REG, 2, hash), 0);
    entry_body_hash(&list[1], hash);
    ck_assert_int_eq(chain_has(tx, "westeurope", REG, 2, hash), 0);
    ck_assert_int_eq(chain_has(tx, "westeurope", REG, 3, hash), ERR_NOTFOUND);
    ck_assert_int_eq(chain_has(tx, "northeu", REG, 2, hash), ERR_NOTFOUND);
    tx_end(tx);
    arena_done(&a);
    end();
}
END_TEST

struct learning {
    int64_t id;
    const struct feed_entry *e;
};

static int learn_run(struct tx *tx, void *arg)
{
    const struct learning *l = arg;
    return unknown_learn(tx, l->id, l->e);
}

START_TEST(unknown_entries_are_counted_until_they_are_learned)
{
    begin();
    struct arena a;
    arena_init(&a, 0);
    struct feed_entry e = chained("westeurope", 1, 1, 1, &a), known = e, got;
    struct unknown_entry *unknown;
    struct unknown_row *rows;
    size_t n;
    e.kind = ENTRY_UNKNOWN;
    e.must = true;
    int64_t id = appended(&e);
    e.seq = 2;
    e.attribute = ""; // counts for nothing
    appended(&e);
    e = chained("westeurope", 1, 3, 2, &a); // is known
    int64_t known_id = appended(&e);
    struct tx *tx = reader();
    ck_assert_int_eq(log_get(tx, id, &a, &got), 0);
    ck_assert_int_eq(got.kind, ENTRY_UNKNOWN);
    ck_assert(bytes_equal(got.body, known.body));
    ck_assert_int_eq(log_get(tx, known_id, &a, &got), 0);
    ck_assert_int_eq(got.kind, ENTRY_TAG_LOCK);
    ck_assert(got.version == 2 && got.lock_write && !got.lock_delete && got.registry_seq == 2);
    ck_assert_str_eq(got.tag, "v1");
    ck_assert_str_eq(got.by, "ci");
    ck_assert_uint_eq(got.digest.n, 0);
    ck_assert(bytes_equal(got.value, e.value));
    ck_assert_int_eq(unknown_list(tx, REG, 10, &a, &rows, &n), 0);
    ck_assert_uint_eq(n, 1);
    ck_assert(rows[0].n == 1 && rows[0].must);
    ck_assert_str_eq(rows[0].attribute, "locked");
    ck_assert_int_eq(unknown_list(tx, "fabrikam", 10, &a, &rows, &n), 0);
    ck_assert_uint_eq(n, 0);
    ck_assert_int_eq(frozen_look(tx, REG, "app"), 0);
    ck_assert_int_eq(frozen_look(tx, REG, "lib"), ERR_NOTFOUND);
    ck_assert_int_eq(unknown_next(tx, 0, 10, &a, &unknown, &n), 0);
    ck_assert_uint_eq(n, 1);
    ck_assert_int_eq(unknown[0].id, id);
    ck_assert_int_eq(unknown[0].entry.kind, ENTRY_TAG_LOCK); // this program knows it
    ck_assert_int_eq(unknown_next(tx, id, 10, &a, &unknown, &n), 0);
    ck_assert_uint_eq(n, 0);
    tx_end(tx);
    ck_assert_int_eq(backend_write(b, learn_run, &(struct learning){id, &known}), 0);
    tx = reader();
    ck_assert_int_eq(log_get(tx, id, &a, &got), 0);
    ck_assert_int_eq(got.kind, ENTRY_TAG_LOCK);
    ck_assert_int_eq(frozen_look(tx, REG, "app"), ERR_NOTFOUND);
    ck_assert_int_eq(unknown_next(tx, 0, 10, &a, &unknown, &n), 0);
    ck_assert_uint_eq(n, 0);
    tx_end(tx);
    arena_done(&a);
    end();
}
END_TEST

static int number_run(struct tx *tx, void *arg)
{
    uint64_t is;
    const uint64_t *to = arg;
    int rc = number_get(tx, "test:a", &is);
    if (rc && rc != ERR_NOTFOUND)
        return rc;
    if (!rc && is >= *to)
        return ERR_EXISTS;
    return number_set(tx, "test:a", *to);
}

START_TEST(numbers_are_kept_by_name)
{
    begin();
    uint64_t is = 0, to = 7;
    ck_assert_int_eq(backend_write(b, number_run, &to), 0);
    ck_assert_int_eq(backend_write(b, number_run, &to), ERR_EXISTS);
    to = (uint64_t)INT64_MAX + 1;
    ck_assert_int_eq(backend_write(b, number_run, &to), ERR_TOOBIG);
    to = INT64_MAX;
    ck_assert_int_eq(backend_write(b, number_run, &to), 0);
    reopen();
    struct tx *tx = reader();
    ck_assert_int_eq(number_get(tx, "test:a", &is), 0);
    ck_assert_uint_eq(is, INT64_MAX);
    ck_assert_int_eq(number_get(tx, "test:b", &is), ERR_NOTFOUND);
    tx_end(tx);
    end();
}
END_TEST

// --- jobs ---

static int64_t job_of(const char *registry, uint64_t seq)
{
    struct step s = {.e = entry_at("westeurope", seq, "t", "x")};
    s.e.registry = registry;
    ck_assert_int_eq(backend_write(b, append_run, &s), 0);
    ck_assert_int_eq(WRITE(job_add, .id = s.id, .e = &s.e), 0);
    return s.id;
}

START_TEST(due_jobs_come_oldest_first_and_registries_by_name)
{
    begin();
    // the younger place came first
    int64_t one = job_of("fabrikam", 5), two = job_of("contoso", 4), three = job_of("contoso", 1);
    struct arena a;
    const char **names;
    int64_t ids[4], next;
    size_t n;
    arena_init(&a, 0);
    struct tx *tx = reader();
    ck_assert_int_eq(tasks_registries_due(tx, TASK_APPLY, 0, 9, &a, &names, &n), 0);
    ck_assert_uint_eq(n, 2);
    ck_assert_str_eq(names[0], "contoso");
    ck_assert_str_eq(names[1], "fabrikam");
    ck_assert_int_eq(tasks_registries_due(tx, TASK_APPLY, 0, 1, &a, &names, &n), 0);
    ck_assert_uint_eq(n, 1);
    ck_assert_int_eq(tasks_due(tx, TASK_APPLY, "contoso", 0, 4, ids, &n), 0);
    ck_assert_uint_eq(n, 2);
    ck_assert(ids[0] == two && ids[1] == three); // by their ids
    ck_assert_int_eq(tasks_due(tx, TASK_APPLY, "fabrikam", 0, 4, ids, &n), 0);
    ck_assert(n == 1 && ids[0] == one);
    tx_end(tx);
    const struct job_failure failure = {.due_ms = 300, .error = "e"};
    ck_assert_int_eq(WRITE(job_wait, .id = two, .ms = 500), 0);
    ck_assert_int_eq(WRITE(job_fail, .id = three, .failure = &failure), 0);
    tx = reader();
    ck_assert_int_eq(tasks_next_due(tx, TASK_APPLY, 0, &next), 0);
    ck_assert_int_eq(next, 300);
    ck_assert_int_eq(tasks_next_due(tx, TASK_APPLY, 500, &next), 0);
    ck_assert_int_eq(next, INT64_MAX);
    tx_end(tx);
    ck_assert_int_eq(WRITE(jobs_wake_all, .id = 0), 0); // those that wait, not those that failed
    tx = reader();
    ck_assert_int_eq(tasks_due(tx, TASK_APPLY, "contoso", 0, 4, ids, &n), 0);
    ck_assert(n == 1 && ids[0] == two);
    tx_end(tx);
    reopen(); // all are due
    tx = reader();
    ck_assert_int_eq(tasks_due(tx, TASK_APPLY, "contoso", 0, 4, ids, &n), 0);
    ck_assert_uint_eq(n, 2);
    tx_end(tx);
    arena_done(&a);
    end();
}
END_TEST

// So many registries have jobs of that origin that hold back: contoso first.
static void held_are(struct tx *tx, const char *origin, size_t n)
{
    struct arena a;
    struct held_row *rows;
    size_t n_rows = 99;
    arena_init(&a, 0);
    ck_assert_int_eq(jobs_held(tx, origin, n, &a, &rows, &n_rows), 0);
    ck_assert_uint_eq(n_rows, n);
    if (n) {
        ck_assert_str_eq(rows[0].registry, "contoso");
        ck_assert_int_eq(jobs_held(tx, origin, n - 1, &a, &rows, &n_rows), ERR_TOOBIG);
    }
    arena_done(&a);
}

// Parked jobs of one manifest are tried; of others, and of its tags, not.
START_TEST(parked_jobs_of_a_manifest_are_tried)
{
    begin();
    struct step s = {.e = entry_at("westeurope", 1, "", "x")};
    s.e.kind = ENTRY_MANIFEST;
    s.e.registry = "contoso";
    ck_assert_int_eq(backend_write(b, append_run, &s), 0);
    ck_assert_int_eq(WRITE(job_add, .id = s.id, .e = &s.e), 0);
    int64_t tag = job_of("contoso", 2), ids[4];
    size_t n;
    struct feed_entry of_other = entry_at("westeurope", 9, "", "y");
    of_other.registry = "contoso";
    const struct job_failure failure = {.failed_ms = 7, .error = "no room"};
    ck_assert_int_eq(WRITE(job_park, .id = s.id, .bytes = 1000, .failure = &failure), 0);
    ck_assert_int_eq(WRITE(job_park, .id = tag, .bytes = 1000, .failure = &failure), 0);
    ck_assert_int_eq(WRITE(jobs_try_manifest, .e = &of_other), 0);
    struct tx *tx = reader();
    ck_assert_int_eq(tasks_due(tx, TASK_APPLY, "contoso", 0, 4, ids, &n), 0);
    ck_assert_uint_eq(n, 0);
    tx_end(tx);
    ck_assert_int_eq(WRITE(jobs_try_manifest, .e = &s.e), 0);
    tx = reader();
    ck_assert_int_eq(tasks_due(tx, TASK_APPLY, "contoso", 0, 4, ids, &n), 0);
    ck_assert(n == 1 && ids[0] == s.id);
    tx_end(tx);
    end();
}
END_TEST

// What holds back is told by registry, with the lowest stamp.
START_TEST(held_jobs_are_told_by_registry)
{
    begin();
    struct arena a;
    struct held_row *rows;
    size_t n;
    arena_init(&a, 0);
    int64_t first = job_of("fabrikam", 1);
    (void)job_of("contoso", 2);
    (void)job_of("contoso", 3);
    struct tx *tx = reader();
    held_are(tx, "westeurope", 2);
    ck_assert_int_eq(jobs_held(tx, "westeurope", 9, &a, &rows, &n), 0);
    ck_assert_str_eq(rows[1].registry, "fabrikam");
    ck_assert_uint_lt(rows[1].stamp, rows[0].stamp);
    const uint64_t contoso = rows[0].stamp;
    tx_end(tx);
    ck_assert_int_eq(WRITE(job_remove, .id = first), 0);
    tx = reader();
    ck_assert_int_eq(jobs_held(tx, "westeurope", 9, &a, &rows, &n), 0);
    ck_assert(n == 1 && rows[0].stamp == contoso);
    tx_end(tx);
    arena_done(&a);
    end();
}
END_TEST

START_TEST(parked_jobs_hold_nothing_back_and_fit_by_size)
{
    begin();
    int64_t one = job_of("contoso", 1), two = job_of("contoso", 2);
    struct feed_mark first;
    struct parked_job *fit;
    struct job_counts c;
    struct arena a;
    size_t n;
    arena_init(&a, 0);
    const struct job_failure failure = {.failed_ms = 7, .error = "no room"};
    ck_assert_int_eq(WRITE(job_park, .id = one, .bytes = 1000, .failure = &failure), 0);
    struct tx *tx = reader();
    ck_assert_int_eq(jobs_first_holding(tx, "westeurope", 0, &first), 0);
    ck_assert_uint_eq(first.seq, 2);
    held_are(tx, "westeurope", 1);
    held_are(tx, "northeurope", 0);
    ck_assert_int_eq(jobs_parked_fitting(tx, 999, 9, &a, &fit, &n), 0);
    ck_assert_uint_eq(n, 0);
    ck_assert_int_eq(jobs_parked_fitting(tx, 1000, 9, &a, &fit, &n), 0);
    ck_assert(n == 1 && fit[0].id == one && fit[0].needed_bytes == 1000);
    ck_assert_int_eq(jobs_count(tx, "westeurope", NULL, &c), 0);
    ck_assert(c.n_all == 2 && c.n_parked == 1 && c.parked_bytes == 1000 && c.n_retrying == 0);
    tx_end(tx);
    ck_assert_int_eq(WRITE(job_remove, .id = two), 0);
    tx = reader();
    ck_assert_int_eq(jobs_first_holding(tx, "westeurope", 0, &first), ERR_NOTFOUND);
    tx_end(tx);
    ck_assert_int_eq(WRITE(job_unpark, .id = one), 0);
    tx = reader();
    ck_assert_int_eq(jobs_first_holding(tx, "westeurope", 0, &first), 0);
    tx_end(tx);
    arena_done(&a);
    end();
}
END_TEST

START_TEST(the_log_tells_which_repositories_were_touched)
{
    begin();
    struct arena a;
    struct feed_touched *t;
    int64_t from, upto;
    size_t n;
    arena_init(&a, 0);
    struct tx *tx = reader();
    ck_assert_int_eq(log_touched(tx, -1, 9, &a, &t, &n, &from), 0);
    ck_assert(n == 0 && from == 0);
    tx_end(tx);
    (void)job_of("contoso", 1);
    (void)job_of("fabrikam", 2);
    tx = reader();
    ck_assert_int_eq(log_touched(tx, from, 1, &a, &t, &n, &upto), 0);
    ck_assert(n == 1 && strcmp(t[0].registry, "contoso") == 0);
    ck_assert_str_eq(t[0].repository, "app");
    ck_assert_int_eq(log_touched(tx, upto, 9, &a, &t, &n, &upto), 0);
    ck_assert(n == 1 && strcmp(t[0].registry, "fabrikam") == 0);
    ck_assert_int_eq(log_touched(tx, upto, 9, &a, &t, &n, &from), 0);
    ck_assert(n == 0 && from == upto);
    ck_assert_int_eq(log_touched(tx, -1, 9, &a, &t, &n, &from), 0);
    ck_assert(n == 0 && from == upto);
    tx_end(tx);
    arena_done(&a);
    end();
}
END_TEST

// --- the queue ---

static void ask(const char *registry, const char *key, int64_t due_ms, const char *payload)
{
    const struct task_new t = {.kind = TASK_RETAIN,
                               .registry = registry,
                               .key = key,
                               .due_ms = due_ms,
                               .payload = payload};
    ck_assert_int_eq(WRITE(task_put, .task = &t, .ms = true), 0);
}

// All tasks of the kind, in the order of their keys.
static size_t listed(struct arena *a, struct task **out)
{
    size_t n;
    struct tx *tx = reader();
    ck_assert_int_eq(tasks_list(tx, TASK_RETAIN, NULL, 16, a, out, &n), 0);
    tx_end(tx);
    return n;
}

static size_t due_at(const char *registry, int64_t now_ms, int64_t ids[4])
{
    size_t n;
    struct tx *tx = reader();
    ck_assert_int_eq(tasks_due(tx, TASK_RETAIN, registry, now_ms, 4, ids, &n), 0);
    tx_end(tx);
    return n;
}

START_TEST(a_task_is_one_by_its_key_and_tells_that_it_was_asked_for_again)
{
    begin();
    struct arena a;
    struct task *before, *t;
    arena_init(&a, 0);
    ask("contoso", "contoso/app", 500, "one");
    ck_assert_uint_eq(listed(&a, &before), 1);
    ck_assert(before->id < 0 && before->due_ms == 500 && before->attempts == 0);
    ck_assert_str_eq(before->payload, "one");
    ck_assert_ptr_null(before->reason);
    ask("contoso", "contoso/app", 900, NULL); // later: the time stays, and so does the payload
    ck_assert_uint_eq(listed(&a, &t), 1);
    ck_assert(t->id == before->id && t->due_ms == 500 && t->revision > before->revision);
    ck_assert_str_eq(t->payload, "one");
    ask("contoso", "contoso/app", 200, "two");
    ck_assert_uint_eq(listed(&a, &t), 1);
    ck_assert_int_eq(t->due_ms, 200);
    ck_assert_str_eq(t->payload, "two");
    const struct task_new moved = {
        .kind = TASK_RETAIN, .registry = "contoso", .key = "contoso/app", .due_ms = 900};
    ck_assert_int_eq(WRITE(task_put, .task = &moved, .ms = false), 0);
    ck_assert_uint_eq(listed(&a, &t), 1);
    ck_assert_int_eq(t->due_ms, 900);
    // Another kind has keys of its own.
    const struct task_new other = {
        .kind = TASK_COLLECT, .registry = "contoso", .key = "contoso/app"};
    ck_assert_int_eq(WRITE(task_put, .task = &other, .ms = true), 0);
    ck_assert_uint_eq(listed(&a, &t), 1);
    ck_assert_int_eq(WRITE(task_remove_key, .name = "contoso/app"), 0);
    ck_assert_int_eq(WRITE(task_remove_key, .name = "contoso/app"), 0);
    ck_assert_uint_eq(listed(&a, &t), 0);
    ask("contoso", "contoso/app", 1, NULL); // no id comes twice
    ck_assert_uint_eq(listed(&a, &t), 1);
    ck_assert(t->id != before->id);
    ck_assert_str_eq(t->payload, "");
    arena_done(&a);
    end();
}
END_TEST

START_TEST(due_tasks_come_by_time_and_beside_the_jobs)
{
    begin();
    struct arena a;
    const char **names;
    struct task *t;
    struct task_count *c;
    int64_t ids[4], next;
    size_t n;
    arena_init(&a, 0);
    int64_t job = job_of("contoso", 1);
    ask("contoso", "b", 30, NULL);
    ask("contoso", "a", 30, NULL);
    ask("contoso", "c", 10, NULL);
    ask("fabrikam", "d", 99, NULL);
    ck_assert_uint_eq(listed(&a, &t), 4);
    ck_assert_str_eq(t[0].key, "a");
    ck_assert_str_eq(t[3].registry, "fabrikam");
    ck_assert_uint_eq(due_at("contoso", 50, ids), 3);
    ck_assert(ids[0] == t[2].id && ids[1] == t[1].id && ids[2] == t[0].id);
    ck_assert_uint_eq(due_at("contoso", 10, ids), 1);
    struct tx *tx = reader();
    ck_assert_int_eq(tasks_registries_due(tx, TASK_RETAIN, 50, 9, &a, &names, &n), 0);
    ck_assert(n == 1 && strcmp(names[0], "contoso") == 0);
    ck_assert_int_eq(tasks_next_due(tx, TASK_RETAIN, 30, &next), 0);
    ck_assert_int_eq(next, 99);
    ck_assert_int_eq(tasks_due(tx, TASK_APPLY, "contoso", 50, 4, ids, &n), 0);
    ck_assert(n == 1 && ids[0] == job);
    ck_assert_int_eq(task_get(tx, job, &a, t), ERR_NOTFOUND); // a job is not a task of these
    struct task found;
    ck_assert_int_eq(task_find(tx, TASK_RETAIN, "c", &a, &found), 0);
    ck_assert(found.id == t[2].id && found.due_ms == 10);
    ck_assert_int_eq(task_find(tx, TASK_COLLECT, "c", &a, &found), ERR_NOTFOUND);
    tx_end(tx);
    const struct task_state failed = {.due_ms = 70, .attempts = 2, .reason = "no disk"};
    ck_assert_int_eq(WRITE(task_set, .id = t[0].id, .state = &failed), 0);
    ck_assert_int_eq(WRITE(task_set, .id = -999, .state = &failed), ERR_NOTFOUND);
    ck_assert_int_eq(WRITE(jobs_wake_all, .id = 0), 0); // of jobs alone
    ck_assert_int_eq(WRITE(task_remove, .id = t[1].id), 0);
    ck_assert_int_eq(WRITE(task_remove, .id = t[1].id), 0);
    tx = reader();
    ck_assert_int_eq(tasks_count(tx, TASK_RETAIN, 50, 9, &a, &c, &n), 0);
    ck_assert_uint_eq(n, 2);
    ck_assert_str_eq(c[0].registry, "contoso");
    ck_assert(c[0].n_all == 2 && c[0].n_due == 1 && c[0].n_failing == 1);
    ck_assert(c[1].n_all == 1 && c[1].n_due == 0 && c[1].n_failing == 0);
    ck_assert_int_eq(tasks_list(tx, TASK_RETAIN, "a", 1, &a, &t, &n), 0);
    ck_assert(n == 1 && strcmp(t[0].key, "c") == 0);
    tx_end(tx);
    reopen(); // all are due, and what failed is not forgotten
    ck_assert_uint_eq(due_at("contoso", 0, ids), 2);
    ck_assert_uint_eq(listed(&a, &t), 3);
    ck_assert(t[0].attempts == 2 && strcmp(t[0].reason, "no disk") == 0);
    arena_done(&a);
    end();
}
END_TEST

// --- the register's order ---

static void register_fill(struct register_now *to, const struct register_value *v)
{
    snprintf(to->origin, sizeof to->origin, "%s", v->origin);
    to->value = *v;
    to->value.origin = to->origin;
}

// A live tag with this value and without a tombstone.
static int tag_show(struct tx *tx, int64_t repo, const char *tag, const struct register_value *v)
{
    static const struct register_value none = {.origin = ""};
    struct tag_now t = {.tag = tag, .by = "ada", .live = true};
    register_fill(&t.value, v);
    register_fill(&t.gone, &none);
    return tag_save(tx, repo, &t);
}

// The history of a tag keeps its highest versions, and one with the same stamp, origin and digest
// is the same, with the higher epoch.
struct versions {
    struct register_value list[24];
    size_t n, keep;
    int64_t repo;
};

static int versions_run(struct tx *tx, void *arg)
{
    struct versions *v = arg;
    int rc = repo_make(tx, REG, "app", &v->repo);
    if (!rc)
        rc = tag_show(tx, v->repo, "t", &v->list[0]);
    for (size_t i = 0; !rc && i < v->n; i++)
        rc = tag_history_add(tx, v->repo, "t", &v->list[i], "ada");
    if (!rc && v->keep)
        rc = tag_history_trim(tx, v->repo, "t", v->keep);
    return rc;
}

static int value_highest_first(const void *pa, const void *pb)
{
    return register_order(pb, pa);
}

// Is the value at `at` a version that stands before it with a higher epoch?
static bool is_lower_copy(const struct versions *v, size_t at)
{
    const struct register_value *is = &v->list[at];
    for (size_t i = 0; i < at; i++)
        if (v->list[i].stamp == is->stamp && !strcmp(v->list[i].origin, is->origin) &&
            digest_equal(&v->list[i].digest, &is->digest))
            return true;
    return false;
}

START_TEST(a_history_keeps_the_highest_versions)
{
    begin();
    static const char *const origins[] = {"eastus", "westeurope", "a"};
    struct versions v = {.keep = 9};
    struct tag_version *got;
    struct arena a;
    size_t n;
    arena_init(&a, 0);
    for (uint64_t i = 0; i < 24; i++) {
        char text[8];
        snprintf(text, sizeof text, "%u", (unsigned)i % 4);
        v.list[v.n] = (struct register_value){
            .stamp = 10 + i * 7 % 6, .origin = origins[i % 3], .epoch = i + 1, digest_str(text)};
        v.list[v.n].gone = i % 5 == 2;
        v.list[v.n].create_only = i % 4 == 1;
        if (v.list[v.n].create_only)
            v.list[v.n].generation = 8 + i % 4;
        if (v.list[v.n].gone)
            v.list[v.n].digest = (struct digest){0};
        v.n++;
    }
    ck_assert_int_eq(backend_write(b, versions_run, &v), 0);
    qsort(v.list, v.n, sizeof v.list[0], value_highest_first);
    struct tx *tx = reader();
    ck_assert_int_eq(tag_history_list(tx, REG, "app", "t", 100, &a, &got, &n), 0);
    ck_assert_uint_eq(n, 9);
    for (size_t i = 0, at = 0; i < n; i++, at++) {
        while (is_lower_copy(&v, at))
            at++;
        ck_assert_uint_eq(got[i].stamp, v.list[at].stamp);
        ck_assert_uint_eq(got[i].epoch, v.list[at].epoch);
        ck_assert_str_eq(got[i].origin, v.list[at].origin);
        ck_assert(digest_equal(&got[i].digest, &v.list[at].digest));
        ck_assert(got[i].gone == v.list[at].gone && got[i].create_only == v.list[at].create_only);
        ck_assert_uint_eq(got[i].generation, v.list[at].generation);
        ck_assert_str_eq(got[i].by, "ada");
        ck_assert(!got[i].here);
    }
    ck_assert_int_eq(tag_history_list(tx, REG, "app", "other", 100, &a, &got, &n), ERR_NOTFOUND);
    tx_end(tx);
    arena_done(&a);
    end();
}
END_TEST

// --- state ---

// A live manifest with this value and without a tombstone.
static void manifest_fill(struct manifest_now *m, const struct register_value *v)
{
    static const struct register_value none = {.origin = ""};
    *m = (struct manifest_now){.digest = v->digest, .media_type = TYPE, .by = "ada", .live = true};
    register_fill(&m->value, v);
    register_fill(&m->gone, &none);
}

static int manifest_put_in(struct tx *tx, int64_t repo, const struct register_value *v,
                           const char *text)
{
    struct manifest_now m;
    manifest_fill(&m, v);
    return manifest_save(tx, repo, &m, bytes_str(text));
}

static int state_run(struct tx *tx, void *arg)
{
    int64_t *repo = arg;
    static const char *const names[] = {"zeta", "App", "app", "app/x", "empty"};
    const struct digest d = digest_str("m");
    const struct register_value v = {5, "westeurope", 1, d};
    int rc = 0;
    for (size_t i = 0; !rc && i < ARRAY_LEN(names); i++) {
        rc = repo_make(tx, REG, names[i], repo);
        if (!rc && i < 4)
            rc = manifest_put_in(tx, *repo, &v, "m");
        if (!rc && i < 4)
            rc = usage_add(tx, *repo, &(struct usage_delta){.manifests = 1});
    }
    if (!rc)
        rc = repo_find(tx, REG, "app", repo);
    const struct register_value tag = {7, "eastus", 2, d};
    if (!rc)
        rc = tag_show(tx, *repo, "t", &tag);
    if (!rc)
        rc = lease_set(tx, *repo, &d, 99, 1, "");
    return rc;
}

START_TEST(what_is_put_in_reads_back)
{
    begin();
    int64_t repo, same;
    const struct digest d = digest_str("m"), other = digest_str("other");
    struct manifest_row row;
    struct digest missing;
    const char **names;
    struct arena a;
    size_t n;
    arena_init(&a, 0);
    ck_assert_int_eq(backend_write(b, state_run, &repo), 0);
    ck_assert_int_eq(backend_write(b, state_run, &same), 0); // rows that are there are replaced
    reopen();
    struct tx *tx = reader();
    ck_assert_int_eq(repo_find(tx, REG, "app", &same), 0);
    ck_assert_int_eq(same, repo);
    ck_assert_int_eq(repo_find(tx, REG, "absent", &same), ERR_NOTFOUND);
    ck_assert_int_eq(repos_list(tx, REG, "", 9, &a, &names, &n), 0);
    ck_assert_uint_eq(n, 4); // in byte order; one without a manifest is not listed
    ck_assert_str_eq(names[0], "App");
    ck_assert_str_eq(names[1], "app");
    ck_assert_str_eq(names[2], "app/x");
    ck_assert_int_eq(repos_list(tx, REG, "app", 1, &a, &names, &n), 0);
    ck_assert_uint_eq(n, 1);
    ck_assert_str_eq(names[0], "app/x");
    // by tag the register is the tag's, by digest the presence
    ck_assert_int_eq(manifest_get(tx, REG, "app", "t", NULL, &a, &row), 0);
    ck_assert(row.stamp == 7 && row.epoch == 2 && !strcmp(row.origin, "eastus"));
    ck_assert(digest_equal(&row.digest, &d) && bytes_equal(row.content, bytes_str("m")));
    ck_assert_int_eq(manifest_get(tx, REG, "app", NULL, &d, &a, &row), 0);
    ck_assert(row.stamp == 5 && row.epoch == 1 && !strcmp(row.origin, "westeurope"));
    ck_assert_int_eq(manifest_get(tx, REG, "app", "u", NULL, &a, &row), ERR_NOTFOUND);
    ck_assert_int_eq(manifest_get(tx, REG, "app", NULL, &other, &a, &row), ERR_NOTFOUND);
    const struct manifest_ref refs[] = {{.kind = REF_BLOB, .digest = d},
                                        {.kind = REF_SUBJECT, .digest = other},
                                        {.kind = REF_MANIFEST, .digest = other}};
    const struct refs_how live = {0}, absent = {.absent = (const uint8_t *)"\1", .n_absent = 1};
    ck_assert_int_eq(refs_check(tx, repo, refs, 2, &live, &missing), 0);
    ck_assert_int_eq(refs_check(tx, repo, refs, 3, &live, &missing), ERR_NOTFOUND);
    ck_assert(digest_equal(&missing, &other));
    ck_assert_int_eq(refs_check(tx, repo, refs, 3, &absent, &missing), 0);
    tx_end(tx);
    arena_done(&a);
    end();
}
END_TEST

struct attached {
    int64_t repo;
    struct digest subject, by[5];
};

// Five manifests with a subject in one repository, and one each of another subject, another kind of
// reference and another repository.
static int attached_run(struct tx *tx, void *arg)
{
    struct attached *at = arg;
    static const char *const texts[] = {"a", "bb", "ccc", "dddd", "eeeee", "other", "child"};
    const struct manifest_ref subject = {.kind = REF_SUBJECT, .digest = at->subject},
                              other = {.kind = REF_SUBJECT, .digest = digest_str("none")},
                              child = {.kind = REF_MANIFEST, .digest = at->subject};
    int64_t elsewhere;
    int rc = repo_make(tx, REG, "attached", &at->repo);
    if (!rc)
        rc = repo_make(tx, REG, "elsewhere", &elsewhere);
    for (size_t i = 0; !rc && i < ARRAY_LEN(texts); i++) {
        const struct register_value v = {7 + i, "eastus", 1, digest_str(texts[i])};
        const struct manifest_ref *ref = &subject;
        if (i == 5)
            ref = &other;
        if (i == 6)
            ref = &child;
        if (i < 5)
            at->by[i] = v.digest;
        rc = manifest_put_in(tx, at->repo, &v, texts[i]);
        if (!rc)
            rc = refs_add(tx, at->repo, &v.digest, ref, 1, NULL, 0);
        if (!rc && i == 0)
            rc = manifest_put_in(tx, elsewhere, &v, texts[i]);
        if (!rc && i == 0)
            rc = refs_add(tx, elsewhere, &v.digest, ref, 1, NULL, 0);
    }
    return rc;
}

static int digest_order(const void *pa, const void *pb)
{
    return memcmp(((const struct digest *)pa)->b, ((const struct digest *)pb)->b, SHA256_BYTES);
}

START_TEST(what_is_attached_comes_in_pages)
{
    begin();
    struct attached at = {.subject = digest_str("subject")};
    struct arena a;
    arena_init(&a, 0);
    ck_assert_int_eq(backend_write(b, attached_run, &at), 0);
    qsort(at.by, ARRAY_LEN(at.by), sizeof at.by[0], digest_order);
    reopen();
    struct tx *tx = reader();
    struct referrers_ask ask = {REG, "attached", &at.subject, .max = 9, .max_bytes = 1000};
    struct referrers_page page;
    ck_assert_int_eq(referrers(tx, &ask, &a, &page), 0);
    ck_assert_uint_eq(page.n, 5);
    ck_assert(!page.more);
    for (size_t i = 0; i < 5; i++) {
        ck_assert(digest_equal(&page.rows[i].digest, &at.by[i]));
        ck_assert_str_eq(page.rows[i].media_type, TYPE);
        ck_assert_uint_gt(page.rows[i].content.n, 0);
        ck_assert_uint_ge(page.rows[i].stamp, 7);
        ck_assert_str_eq(page.rows[i].origin, "eastus");
    }
    // by number, and behind one
    ask.max = 2;
    ask.after = &at.by[1];
    ck_assert_int_eq(referrers(tx, &ask, &a, &page), 0);
    ck_assert_uint_eq(page.n, 2);
    ck_assert(page.more && digest_equal(&page.rows[0].digest, &at.by[2]));
    ask.after = &at.by[2];
    ck_assert_int_eq(referrers(tx, &ask, &a, &page), 0);
    ck_assert(page.n == 2 && !page.more);
    ask.max = 0;
    ck_assert_int_eq(referrers(tx, &ask, &a, &page), 0);
    ck_assert(page.n == 0 && page.more);
    // by bytes: one that is larger than the page comes alone
    ask = (struct referrers_ask){REG, "attached", &at.subject, .max = 9, .max_bytes = 0};
    ck_assert_int_eq(referrers(tx, &ask, &a, &page), 0);
    ck_assert(page.n == 1 && page.more);
    // nothing, and no such repository
    const struct digest none = digest_str("nobody's");
    ask = (struct referrers_ask){REG, "attached", &none, .max = 9, .max_bytes = 9};
    ck_assert_int_eq(referrers(tx, &ask, &a, &page), 0);
    ck_assert(page.n == 0 && !page.more);
    ask.repository = "absent";
    ck_assert_int_eq(referrers(tx, &ask, &a, &page), 0);
    ck_assert_uint_eq(page.n, 0);
    ask = (struct referrers_ask){REG, "elsewhere", &at.subject, .max = 9, .max_bytes = 9};
    ck_assert_int_eq(referrers(tx, &ask, &a, &page), 0);
    ck_assert_uint_eq(page.n, 1);
    tx_end(tx);
    arena_done(&a);
    end();
}
END_TEST

// What leads to what, and what is locked.
struct family {
    int64_t repo;
    struct digest parent, child, absent, dead;
};

static int family_run(struct tx *tx, void *arg)
{
    struct family *f = arg;
    const struct manifest_ref refs[] = {{.kind = REF_MANIFEST, .digest = f->child},
                                        {.kind = REF_MANIFEST, .digest = f->absent},
                                        {.kind = REF_MANIFEST, .digest = f->child}};
    const struct register_value p = {7, "eastus", 1, f->parent}, c = {8, "eastus", 1, f->child};
    struct manifest_now d;
    const struct register_value dead = {9, "eastus", 1, f->dead};
    int rc = repo_make(tx, REG, "family", &f->repo);
    if (!rc)
        rc = manifest_put_in(tx, f->repo, &p, "parent");
    if (!rc)
        rc = manifest_put_in(tx, f->repo, &c, "child");
    if (!rc)
        rc = refs_add(tx, f->repo, &f->parent, refs, 3, (const uint8_t *)"\6", 1);
    manifest_fill(&d, &dead);
    d.live = false;
    d.died_ms = 50;
    d.killed = 12;
    d.n_absent = 1;
    d.absent[0] = 5;
    const struct register_value gone = {12, "westeurope", 2, f->dead, .gone = true};
    register_fill(&d.gone, &gone);
    if (!rc)
        rc = manifest_save(tx, f->repo, &d, bytes_str("dead"));
    if (!rc)
        rc = refs_add(tx, f->repo, &f->dead, refs, 1, NULL, 0);
    struct lock_now l = {.write = true, .by = "ada"};
    register_fill(&l.value, &p);
    if (!rc)
        rc = lock_save(tx, f->repo, &(struct subject){"", f->child}, &l);
    if (!rc)
        rc = untagged_set(tx, f->repo, &f->child, 77);
    return rc;
}

static int family_end(struct tx *tx, void *arg)
{
    struct family *f = arg;
    int rc = lock_remove(tx, f->repo, &(struct subject){"", f->child});
    if (!rc)
        rc = manifest_empty(tx, f->repo, &f->dead);
    if (!rc)
        rc = manifest_remove(tx, f->repo, &f->parent);
    return rc;
}

START_TEST(manifests_know_what_holds_them)
{
    begin();
    struct family f = {0, digest_str("parent"), digest_str("child"), digest_str("absent"),
                       digest_str("dead")};
    struct manifest_now m;
    struct manifest_detail *list;
    struct child_row *children;
    struct digest *parents;
    struct died_row *died;
    struct lock_now l;
    struct arena a;
    size_t n;
    arena_init(&a, 0);
    ck_assert_int_eq(backend_write(b, family_run, &f), 0);
    reopen();
    struct tx *tx = reader();
    ck_assert_int_eq(manifest_held(tx, f.repo, &f.child), 0);
    ck_assert_int_eq(manifest_held(tx, f.repo, &f.absent), ERR_NOTFOUND);
    ck_assert_int_eq(manifest_led(tx, f.repo, &f.child), ERR_NOTFOUND);
    ck_assert_int_eq(manifest_parents(tx, f.repo, &f.child, 9, &a, &parents, &n), 0);
    ck_assert(n == 1 && digest_equal(&parents[0], &f.parent)); // the dead one does not hold
    ck_assert_int_eq(dead_parents(tx, f.repo, &f.child, 9, &a, &parents, &n), 0);
    ck_assert(n == 1 && digest_equal(&parents[0], &f.dead));
    ck_assert_int_eq(manifest_children(tx, f.repo, &f.parent, &a, &children, &n), 0);
    ck_assert(n == 1 && digest_equal(&children[0].digest, &f.child));
    ck_assert(children[0].there && children[0].here && children[0].live && children[0].asserted);
    ck_assert_int_eq(manifest_visible(tx, f.repo, &f.dead), ERR_NOTFOUND);
    ck_assert_int_eq(manifest_look(tx, f.repo, &f.dead, &m), 0);
    ck_assert(m.here && !m.live && m.killed == 12 && m.died_ms == 50 && m.size == 4);
    ck_assert(m.gone.value.stamp == 12 && m.gone.value.epoch == 2 && m.gone.value.gone);
    ck_assert(m.n_absent == 1 && m.absent[0] == 5);
    ck_assert_str_eq(m.gone.origin, "westeurope");
    ck_assert_str_eq(m.by, "ada");
    ck_assert_int_eq(manifests_died(tx, 49, 9, &a, &died, &n), 0);
    ck_assert_uint_eq(n, 0);
    ck_assert_int_eq(manifests_died(tx, 50, 9, &a, &died, &n), 0);
    ck_assert(n == 1 && digest_equal(&died[0].digest, &f.dead) && died[0].repo == f.repo);
    ck_assert_int_eq(manifest_details(tx, f.repo, &(struct digest){0}, 9, &a, &list, &n), 0);
    ck_assert_uint_eq(n, 2);
    for (size_t i = 0; i < n; i++)
        ck_assert_int_eq(list[i].untagged_ms, digest_equal(&list[i].digest, &f.child) ? 77 : 0);
    ck_assert_int_eq(lock_get(tx, f.repo, &(struct subject){"", f.child}, &l), 0);
    ck_assert(l.write && !l.del && l.value.value.stamp == 7 && !strcmp(l.by, "ada"));
    ck_assert_int_eq(lock_get(tx, f.repo, &(struct subject){.tag = "t"}, &l), ERR_NOTFOUND);
    tx_end(tx);
    ck_assert_int_eq(backend_write(b, family_end, &f), 0);
    tx = reader();
    ck_assert_int_eq(lock_get(tx, f.repo, &(struct subject){"", f.child}, &l), ERR_NOTFOUND);
    ck_assert_int_eq(manifest_look(tx, f.repo, &f.dead, &m), 0);
    ck_assert(!m.here && m.size == 0 && m.killed == 12);
    ck_assert_int_eq(manifest_look(tx, f.repo, &f.parent, &m), ERR_NOTFOUND);
    ck_assert_int_eq(manifest_held(tx, f.repo, &f.child), ERR_NOTFOUND);
    ck_assert_int_eq(manifest_children(tx, f.repo, &f.dead, &a, &children, &n), 0);
    ck_assert_uint_eq(n, 0);
    tx_end(tx);
    arena_done(&a);
    end();
}
END_TEST

// --- uploads ---

static int upload_put(const char *id, const char *principal, uint64_t size, int64_t touched_ms)
{
    struct upload_row row = {.id = id,
                             .registry = REG,
                             .repository = "app",
                             .principal = principal,
                             .size = size,
                             .touched_ms = touched_ms};
    return WRITE(upload_add, .row = &row);
}

START_TEST(uploads_are_counted_and_the_longest_rest_comes_first)
{
    begin();
    const struct upload_owner ci = {REG, "ci"};
    struct upload_amount is;
    struct upload_rest rest[4];
    struct upload_row row;
    struct arena a;
    int64_t ms;
    size_t n;
    arena_init(&a, 0);
    ck_assert_int_eq(upload_put("a", "ci", 10, 300), 0);
    ck_assert_int_eq(upload_put("b", "ci", 20, 100), 0);
    ck_assert_int_eq(upload_put("c", "ada", 40, 200), 0);
    ck_assert_int_eq(upload_put("a", "ci", 1, 1), ERR_CONFLICT);
    struct tx *tx = reader();
    ck_assert_int_eq(upload_amount(tx, REG, "ci", &is), 0);
    ck_assert(is.n == 2 && is.bytes == 30);
    ck_assert_int_eq(upload_amount(tx, REG, NULL, &is), 0);
    ck_assert(is.n == 3 && is.bytes == 70);
    ck_assert_int_eq(upload_oldest(tx, &ci, INT64_MAX, 0, 4, &a, rest, &n), 0);
    ck_assert_uint_eq(n, 2);
    ck_assert_str_eq(rest[0].id, "b");
    ck_assert_int_eq(upload_oldest(tx, &ci, 299, 0, 4, &a, rest, &n), 0);
    ck_assert_uint_eq(n, 1);
    ck_assert_int_eq(upload_newest(tx, &ci, &ms), 0);
    ck_assert_int_eq(ms, 300);
    ck_assert_int_eq(upload_get(tx, "x", &a, &row), ERR_NOTFOUND);
    tx_end(tx);
    ck_assert_int_eq(WRITE(upload_age, .ms = 1000), 0);
    tx = reader();
    ck_assert_int_eq(upload_newest(tx, &ci, &ms), 0);
    ck_assert_int_eq(ms, 300); // ageing does not change it
    ck_assert_int_eq(upload_idle(tx, "b", &ms), 0);
    ck_assert_int_eq(ms, 900);
    tx_end(tx);
    ck_assert_int_eq(WRITE(upload_move, .name = "b", .bytes = 20, .ms = 1000), 0);
    tx = reader();
    ck_assert_int_eq(upload_get(tx, "b", &a, &row), 0);
    ck_assert(row.size == 20 && row.received == 25);
    ck_assert_str_eq(row.principal, "ci");
    ck_assert_int_eq(upload_idle(tx, "b", &ms), 0);
    ck_assert_int_eq(ms, 0);
    tx_end(tx);
    ck_assert_int_eq(WRITE(upload_remove, .name = "b"), 0);
    ck_assert_int_eq(WRITE(upload_remove, .name = "b"), ERR_NOTFOUND);
    arena_done(&a);
    end();
}
END_TEST

// --- the log, register by register ---

static void append(const struct feed_entry *e)
{
    struct step s = {.e = *e};
    ck_assert_int_eq(backend_write(b, append_run, &s), 0);
}

static size_t walk(struct tx *tx, const struct kind_query *q, size_t max, char *out, size_t size)
{
    struct kind_at at = {.tag = ""};
    struct arena a;
    size_t n = max, all = 0, used = 0;
    arena_init(&a, 0);
    while (n == max) {
        struct log_row *rows;
        ck_assert_int_eq(survey_kind_next(tx, q, &at, max, &a, &rows, &n, &at), 0);
        for (size_t i = 0; i < n; i++)
            used += (size_t)snprintf(out + used, size - used, "%s%llu ",
                                     rows[i].entry.tag ? rows[i].entry.tag : "",
                                     (unsigned long long)rows[i].entry.seq);
        all += n;
    }
    arena_done(&a);
    return all;
}

START_TEST(the_log_is_walked_register_by_register)
{
    static const char *const tags[] = {"v2", "v1", "v2", "v10", "v1"};
    char all[128], paged[128];
    const char *name = NULL;
    struct arena a;
    begin();
    arena_init(&a, 0);
    for (uint64_t i = 0; i < ARRAY_LEN(tags); i++) {
        struct feed_entry e = entry_at("westeurope", i + 1, tags[i], "x");
        append(&e);
        e = entry_at("southeastasia", i + 1, tags[i], "x"); // another origin's are not shown
        append(&e);
    }
    struct feed_entry e = entry_at("westeurope", 7, "v1", "a");
    append(&e);
    e = entry_at("westeurope", 6, "", "a");
    e.kind = ENTRY_MANIFEST;
    append(&e);
    e = entry_at("westeurope", 8, "t", "a");
    e.repository = "zoo";
    append(&e);
    e = entry_at("westeurope", 9, "t", "a");
    e.registry = "fabrikam";
    e.repository = "bee";
    append(&e);
    struct tx *tx = reader();
    ck_assert_int_eq(survey_repository_next(tx, "westeurope", REG, NULL, &a, &name), 0);
    ck_assert_str_eq(name, "app");
    ck_assert_int_eq(survey_repository_next(tx, "westeurope", REG, "app", &a, &name), 0);
    ck_assert_str_eq(name, "zoo");
    ck_assert_int_eq(survey_repository_next(tx, "westeurope", REG, "zoo", &a, &name), ERR_NOTFOUND);
    struct kind_query q = {.origin = "westeurope",
                           .registry = REG,
                           .repository = "app",
                           .kind = ENTRY_TAG,
                           .upto = {.epoch = 1, .seq = 9}};
    ck_assert_uint_eq(walk(tx, &q, 100, all, sizeof all), 6);
    bool lower = memcmp(digest_str("a").b, digest_str("x").b, SHA256_BYTES) < 0;
    ck_assert_str_eq(all, lower ? "v17 v12 v15 v104 v21 v23 " : "v12 v15 v17 v104 v21 v23 ");
    for (size_t max = 1; max < 7; max++) {
        ck_assert_uint_eq(walk(tx, &q, max, paged, sizeof paged), 6);
        ck_assert_str_eq(paged, all);
    }
    q.upto.seq = 3; // later ones are passed over
    ck_assert_uint_eq(walk(tx, &q, 2, paged, sizeof paged), 3);
    ck_assert_str_eq(paged, "v12 v21 v23 ");
    q.upto = (struct feed_mark){.epoch = 1, .seq = 9};
    q.kind = ENTRY_MANIFEST;
    ck_assert_uint_eq(walk(tx, &q, 2, paged, sizeof paged), 1);
    q.kind = ENTRY_TAG_LOCK;
    ck_assert_uint_eq(walk(tx, &q, 2, paged, sizeof paged), 0);
    uint64_t n;
    ck_assert_int_eq(survey_count(tx, "westeurope", REG, &q.upto, &n), 0);
    ck_assert_uint_eq(n, 8); // the one of another registry and another origin's are not counted
    q.upto.seq = 3;
    ck_assert_int_eq(survey_count(tx, "westeurope", REG, &q.upto, &n), 0);
    ck_assert_uint_eq(n, 3);
    ck_assert_int_eq(survey_count(tx, "nowhere", REG, &q.upto, &n), 0);
    ck_assert_uint_eq(n, 0);
    tx_end(tx);
    arena_done(&a);
    end();
}
END_TEST

static int refuse_run(struct tx *tx, void *arg)
{
    return log_refuse(tx, ((struct step *)arg)->id);
}

static size_t refused_of(struct tx *tx, const char *registry, size_t max, uint64_t *out_first)
{
    struct log_row *rows;
    struct arena a;
    size_t n;
    arena_init(&a, 0);
    ck_assert_int_eq(survey_refused(tx, registry, max, &a, &rows, &n), 0);
    *out_first = n ? rows[0].entry.seq : 0;
    arena_done(&a);
    return n;
}

START_TEST(what_is_refused_stays_in_its_place_and_counts_for_nothing)
{
    char text[128];
    uint64_t first;
    struct arena a;
    struct log_row *rows;
    struct feed_mark mark;
    size_t n;
    begin();
    arena_init(&a, 0);
    struct step s[3];
    for (uint64_t i = 0; i < 3; i++) {
        s[i] = (struct step){.e = entry_at("westeurope", i + 1, "v1", "x")};
        ck_assert_int_eq(backend_write(b, append_run, &s[i]), 0);
    }
    ck_assert_int_eq(backend_write(b, refuse_run, &s[0]), 0);
    ck_assert_int_eq(backend_write(b, refuse_run, &s[2]), 0);
    struct tx *tx = reader();
    const struct register_name name = {.registry = REG, .repository = "app", .tag = "v1"};
    ck_assert_int_eq(survey_entries_of(tx, &name, ENTRY_TAG, 0, 10, &a, &rows, &n), 0);
    ck_assert_uint_eq(n, 1);
    ck_assert_uint_eq(rows[0].entry.seq, 2);
    struct kind_query q = {.origin = "westeurope",
                           .registry = REG,
                           .repository = "app",
                           .kind = ENTRY_TAG,
                           .upto = {.epoch = 1, .seq = 9}};
    ck_assert_uint_eq(walk(tx, &q, 100, text, sizeof text), 1);
    ck_assert_str_eq(text, "v12 ");
    ck_assert_int_eq(log_head(tx, "westeurope", &mark, NULL), 0);
    ck_assert_uint_eq(mark.seq, 3);
    ck_assert(is_held(&s[0].e));
    ck_assert_uint_eq(refused_of(tx, REG, 10, &first), 2);
    ck_assert_uint_eq(first, 3);
    ck_assert_uint_eq(refused_of(tx, REG, 1, &first), 1);
    ck_assert_uint_eq(refused_of(tx, "fabrikam", 10, &first), 0);
    tx_end(tx);
    arena_done(&a);
    end();
}
END_TEST

CHECK_MAIN("store/backend", a_failed_transaction_leaves_nothing,
           an_attempt_takes_back_its_own_changes, a_reader_sees_whole_commits,
           the_own_head_commits_with_its_entry, sequences_of_many_writers_have_no_gap,
           a_second_opener_is_taken_or_refused, who_handed_over_mints_no_more,
           who_comes_second_runs_again, a_place_has_one_entry,
           ids_rise_and_places_are_ordered_by_epoch_and_sequence, an_entry_with_a_job_stays,
           a_register_is_open_while_an_entry_of_it_has_a_job, a_chain_is_ordered_by_place,
           unknown_entries_are_counted_until_they_are_learned, numbers_are_kept_by_name,
           due_jobs_come_oldest_first_and_registries_by_name,
           parked_jobs_hold_nothing_back_and_fit_by_size, held_jobs_are_told_by_registry,
           parked_jobs_of_a_manifest_are_tried, the_log_tells_which_repositories_were_touched,
           a_task_is_one_by_its_key_and_tells_that_it_was_asked_for_again,
           due_tasks_come_by_time_and_beside_the_jobs, a_history_keeps_the_highest_versions,
           what_is_put_in_reads_back, manifests_know_what_holds_them,
           what_is_attached_comes_in_pages, uploads_are_counted_and_the_longest_rest_comes_first,
           the_log_is_walked_register_by_register,
           what_is_refused_stays_in_its_place_and_counts_for_nothing)
