// SPDX-License-Identifier: Apache-2.0
// Thousands of random entries of a region that lies, read by two others, each in a stream of its
// own: neither loses anything that the liar does not hold. Their clocks stay, writes go on, also
// after a restart, and what one of them writes the other takes. Deterministic; MERIDIAN_SEED gives
// another run, and a failure names the seed.
#include "base/clock_test.h"
#include "tests/unit/replication/feed_fixture.h"
#include "tests/unit/replication/hostile.h"
#include "tests/unit/store/meta_support.h"

#include "replication/cursor.h"

#include <inttypes.h>
#include <stdlib.h>
#include <unistd.h>

#define SKEW_MS 60000
#define N_WORLDS 8
#define N_ROUNDS 50
#define N_LINES 24

struct reader { // an honest region
    struct region_store store;
    // what it hears
    struct hostile liar;
    struct feed_rules rules;
    // of its own writes
    uint64_t last_stamp;
    uint64_t n_taken, n_ahead, n_refused, n_malformed;
};

static struct topology *t;
static struct reader west, south;
static uint64_t seed;

static void liar_mac(void *ctx, const void *p, size_t n, uint8_t sig[ENTRY_SIG_BYTES])
{
    char spki[64];
    (void)ctx;
    fixture_spki(1, spki); // the key of eastus
    fixture_mac(spki, p, n, sig);
}

static void reader_begin(struct reader *r, const char *region, uint64_t state)
{
    memset(r, 0, sizeof *r);
    store_begin_in(&r->store, region, access("/dev/shm", W_OK) ? "/tmp" : "/dev/shm");
    r->liar = (struct hostile){.state = state * 2 + 1,
                               .skew_ms = SKEW_MS,
                               .origin = "eastus",
                               .key = "eastus-feed-1",
                               .other_key = "westeurope-feed-1",
                               .sign = liar_mac};
}

// As replication/feed_stream.c: what was accepted before a line that is not is stored.
static void batch_store(struct reader *r, const struct feed_entry *entries, size_t n)
{
    int rc = meta_ingest(r->store.m, "eastus", entries, n, &r->rules.last);
    // The same place said anew is the origin's own affair (Conflict).
    ck_assert_msg(rc == 0 || rc == ERR_CONFLICT, "seed %" PRIu64 ": ingest %d", seed, rc);
    r->n_taken += rc ? 0 : n;
}

static void stream_read(struct reader *r)
{
    struct arena a;
    struct buf text;
    struct feed_entry entries[N_LINES];
    size_t n = 0;
    arena_init(&a, 0);
    buf_init(&text, 0);
    struct origin_status *o;
    size_t n_origins;
    struct feed_mark stored = {0};
    ck_assert_int_eq(meta_origins(r->store.m, &a, &o, &n_origins), 0);
    for (size_t i = 0; i < n_origins; i++)
        if (strcmp(o[i].origin, "eastus") == 0)
            stored = o[i].read;
    fixture_rules(t, &r->rules);
    r->rules.self = topology_region(t, r->store.region);
    r->rules.last = stored;
    ck_assert_int_eq(meta_last_stamp(r->store.m, "eastus", stored.epoch, &r->rules.last_stamp), 0);
    hostile_lines(&r->liar, &stored, N_LINES, 8, &text);
    int rc = 0;
    for (const char *at = text.p, *nl;
         !rc && (nl = memchr(at, '\n', text.n - (size_t)(at - text.p))); at = nl + 1) {
        struct feed_line l;
        const char *why;
        r->rules.limit = meta_stamp_limit(r->store.m);
        rc = feed_line_accept(&r->rules, bytes_of(at, (size_t)(nl - at)), &a, &l, &why);
        if (!rc && l.kind == FEED_ENTRY)
            entries[n++] = l.entry;
        r->n_malformed += !rc && l.kind == FEED_MALFORMED;
    }
    r->n_ahead += rc == ERR_AHEAD;
    r->n_refused += rc && rc != ERR_AHEAD;
    batch_store(r, entries, n);
    buf_done(&text);
    arena_done(&a);
}

static void jobs_run(struct reader *r)
{
    struct arena a;
    struct job *jobs;
    size_t n;
    int64_t next;
    struct digest missing;
    arena_init(&a, 0);
    ck_assert_int_eq(meta_jobs_due(r->store.m, clock_wall_ms(), 40, &a, &jobs, &n, &next), 0);
    for (size_t i = 0; i < n; i++) {
        const struct feed_entry *e = &jobs[i].entry;
        int rc = meta_apply(r->store.m, e, e->content, NULL, 0, &missing);
        if (rc)
            ck_assert_int_eq(
                meta_job_retry(r->store.m, jobs[i].id, clock_wall_ms() + 1000, err_text(rc)), 0);
    }
    arena_done(&a);
}

static int put_in(struct reader *r, const char *registry, const char *repository, const char *tag,
                  const char *text)
{
    struct put_result result = {0};
    struct manifest_put p = {.registry = registry,
                             .repository = repository,
                             .digest = digest_str(text),
                             .media_type = TYPE,
                             .content = bytes_str(text),
                             .tag = tag};
    int rc = meta_manifest_put(r->store.m, &p, &result);
    if (!rc) {
        ck_assert_msg(result.stamp <= meta_stamp_limit(r->store.m),
                      "seed %" PRIu64 ": the clock ran away", seed);
        ck_assert_msg(result.stamp > r->last_stamp, "seed %" PRIu64 ": the clock went back", seed);
        r->last_stamp = result.stamp;
    }
    return rc;
}

// What `from` has written since, as its peer reads it.
static void carry(struct reader *from, struct reader *to)
{
    struct arena a;
    struct feed_mark at, last;
    struct feed_entry *e;
    size_t n;
    struct digest missing;
    arena_init(&a, 0);
    ck_assert_int_eq(meta_head(to->store.m, from->store.region, &at), 0);
    ck_assert_int_eq(
        meta_feed_read(from->store.m, from->store.region, &at, NULL, 0, 1000, &a, &e, &n, &last),
        0);
    ck_assert_int_eq(meta_ingest(to->store.m, from->store.region, e, n, &last), 0);
    for (size_t i = 0; i < n; i++)
        ck_assert_int_eq(meta_apply(to->store.m, &e[i], e[i].content, NULL, 0, &missing), 0);
    arena_done(&a);
}

static void expect_alive(struct reader *r, unsigned round)
{
    char text[64], tag[16], theirs[16];
    snprintf(text, sizeof text, "{%s %u}", r->store.region, round);
    snprintf(tag, sizeof tag, "h%u", round % 7);
    snprintf(theirs, sizeof theirs, "t%u", round % 50);
    ck_assert_msg(meta_writable(r->store.m), "seed %" PRIu64 ", round %u: not writable", seed,
                  round);
    int rc = put_in(r, "tailspin", "app", tag, text); // which the liar does not hold
    ck_assert_msg(rc == 0, "seed %" PRIu64 ", round %u: %s", seed, round, err_name(rc));
    rc = put_in(r, "contoso", "honest", tag, text);
    ck_assert_msg(rc == 0, "seed %" PRIu64 ", round %u: %s", seed, round, err_name(rc));
    rc = put_in(r, "contoso", "app", theirs, text); // its own tags: a second later at the latest
    if (rc == ERR_AHEAD) {
        clock_virtual_advance(1000);
        rc = put_in(r, "contoso", "app", theirs, text);
    }
    ck_assert_msg(rc == 0, "seed %" PRIu64 ", round %u: %s", seed, round, err_name(rc));
}

static void expect_sane(struct reader *r)
{
    struct arena a;
    struct feed_entry *e;
    arena_init(&a, 0);
    size_t n = feed_all(&r->store, "eastus", &a, &e);
    for (size_t i = 0; i < n; i++)
        ck_assert(e[i].stamp <= meta_stamp_limit(r->store.m) && e[i].restates < e[i].stamp);
    feed_verify(&r->store, r->store.region);
    arena_done(&a);
}

static void restart(struct reader *r)
{
    meta_close(r->store.m);
    store_reopen(&r->store);
}

static void world_run(uint64_t world, uint64_t n[4])
{
    clock_virtual_set(1800000000000);
    reader_begin(&west, "westeurope", seed * 1000 + world * 2);
    reader_begin(&south, "southeastasia", seed * 1000 + world * 2 + 1);
    struct reader *const both[] = {&west, &south};
    for (unsigned round = 0; round < N_ROUNDS; round++) {
        for (size_t i = 0; i < 2; i++) {
            both[i]->liar.dead_ends = round >= N_ROUNDS - 8;
            stream_read(both[i]);
            jobs_run(both[i]);
            expect_alive(both[i], round);
        }
        carry(&west, &south);
        carry(&south, &west);
        clock_virtual_advance(hostile_rnd(&west.liar, 3) ? 50 : 20000);
        if (round % 10 == 9) {
            restart(&west);
            restart(&south);
        }
    }
    for (size_t i = 0; i < 2; i++) {
        expect_sane(both[i]);
        n[0] += both[i]->n_taken;
        n[1] += both[i]->n_ahead;
        n[2] += both[i]->n_refused;
        n[3] += both[i]->n_malformed;
        store_end(&both[i]->store);
    }
    clock_virtual_off();
}

START_TEST(honest_regions_lose_nothing)
{
    const char *given = getenv("MERIDIAN_SEED");
    seed = given ? strtoull(given, NULL, 10) : 9;
    printf("seed %" PRIu64 "\n", seed);
    fflush(stdout);
    t = fixture_topology();
    ck_assert_ptr_nonnull(t);
    uint64_t n[4] = {0};
    for (uint64_t world = 0; world < N_WORLDS; world++)
        world_run(world, n);
    snapshot_unref(t);
    printf("%" PRIu64 " entries taken, %" PRIu64
           " malformed; streams ended before the future: %" PRIu64
           ", by a line that was refused: %" PRIu64 "\n",
           n[0], n[3], n[1], n[2]);
    fflush(stdout);
    ck_assert(n[0] > 500 && n[1] > 50 && n[2] > 50 && n[3] > 5); // each kind was tried
}
END_TEST

CHECK_MAIN("replication/hostile_random", honest_regions_lose_nothing)
