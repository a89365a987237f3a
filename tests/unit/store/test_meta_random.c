// SPDX-License-Identifier: Apache-2.0
// Random histories over the real apply path: three regions write, delete and read each other in pieces,
// twice, in any order, with jobs left for later; what all have is dropped and trimmed in each at other
// times; a fourth loses its disk and joins by snapshots again and again, and so do writers, which take their own
// entries back from the others. Whenever all have read all,
// each shows what a region shows that was told everything and never dropped anything. Stamps are of the
// clock, so a seed is no exact repetition.
#include "store/meta_delete.h"
#include "store/meta_drop.h"
#include "store/meta_floor.h"
#include "store/meta_snapshot.h"
#include "store/meta_spent.h"
#include "tests/unit/store/meta_support.h"

#include <stdlib.h>

enum { WRITERS = 3, JOINER = 3, REFERENCE = 4, STORES = 5 };
#define TAGS 3
#define TEXTS 4
#define STEPS 80
#define SEEDS 60 // MERIDIAN_SEEDS: of 1000 and more after a change of what is dropped or given

static struct region_store stores[STORES];
static const char *const names[STORES] = {"eastus", "westeurope", "southeastasia", "japaneast",
                                          "brazilsouth"};
static uint64_t state, seed;

static size_t chance(size_t n)
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (size_t)(state >> 33) % n;
}

static const char *tag_of(size_t i)
{
    static const char *const tags[TAGS] = {"v1", "v2", "v3"};
    return tags[i];
}

static const char *text_of(size_t i)
{
    static const char *const texts[TEXTS] = {"{1}", "{2}", "{3}", "{4}"};
    return texts[i];
}

// --- what regions do ---

static void write_some(struct region_store *s)
{
    struct arena a;
    struct delete_result out;
    struct digest d = digest_str(text_of(chance(TEXTS)));
    const struct delete_request of_tag = {
        .registry = REG, .repository = "app", .tag = tag_of(chance(TAGS))};
    const struct delete_request of_manifest = {.registry = REG, .repository = "app", .digest = &d};
    int rc = 0;
    arena_init(&a, 0);
    switch (chance(5)) {
    case 0:
        rc = meta_tag_delete(s->m, &of_tag, &a, &out);
        break;
    case 1:
        rc = meta_manifest_delete(s->m, &of_manifest, &a, &out);
        break;
    default:
        ck_assert_int_eq(put(s, "app", tag_of(chance(TAGS)), text_of(chance(TEXTS))), 0);
    }
    ck_assert(rc == 0 || rc == ERR_NOTFOUND);
    arena_done(&a);
}

// At most `max` entries that `to` lacks of what `from` wrote, some of them twice.
static void carry(struct region_store *from, struct region_store *to, size_t max)
{
    struct arena a;
    struct feed_entry *e;
    struct feed_mark mark, last;
    size_t n;
    arena_init(&a, 0);
    ck_assert_int_eq(meta_head(to->m, from->region, &mark), 0);
    ck_assert_int_eq(meta_feed_read(from->m, from->region, &mark, NULL, 0, max, &a, &e, &n, &last),
                     0);
    for (size_t i = 0; n && i < 1 + chance(2); i++) {
        int rc = meta_ingest(to->m, from->region, e, n, &last);
        ck_assert_msg(rc == 0, "seed %llu: %s reads %s: %s", (unsigned long long)seed, to->region,
                      from->region, err_name(rc));
    }
    arena_done(&a);
}

// What a region fetches when it lacks a manifest's content.
static struct bytes content_of(const struct digest *d)
{
    for (size_t i = 0; i < TEXTS; i++) {
        struct digest is = digest_str(text_of(i));
        if (digest_equal(&is, d))
            return bytes_str(text_of(i));
    }
    ck_abort_msg("a manifest that nobody has put");
    return (struct bytes){0};
}

// As replication/apply_manifest.c and revive.c do it. ERR_NOTFOUND: it waits for another entry.
static int apply(struct region_store *s, const struct feed_entry *e)
{
    struct bytes content = e->content;
    struct digest missing = {0};
    enum meta_needs needs;
    ck_assert_int_eq(meta_apply_needs(s->m, e, &needs), 0);
    if (needs == META_NEEDS_CONTENT && !content.n)
        content = content_of(&e->digest);
    int rc = meta_apply(s->m, e, content, NULL, 0, &missing);
    if (rc != ERR_NOTFOUND || !meta_content_lacks(s->m, REG, "app", &missing, NULL))
        return rc;
    ck_assert_int_eq(meta_manifest_content_add(s->m, REG, "app", &missing, NULL,
                                               content_of(&missing), NULL, 0, NULL),
                     0);
    return meta_apply(s->m, e, content, NULL, 0, &missing);
}

// Jobs that are due, in any order; with `lazy` some are left. true: one was done.
static bool run_jobs(struct region_store *s, bool lazy)
{
    struct arena a;
    struct job *jobs;
    size_t n;
    int64_t next;
    bool moved = false;
    arena_init(&a, 0);
    ck_assert_int_eq(meta_jobs_due(s->m, clock_mono_ms() + 3600000, 500, &a, &jobs, &n, &next), 0);
    for (size_t left = n; left; left--) {
        size_t i = chance(left);
        const struct feed_entry *e = &jobs[i].entry;
        if (!lazy || chance(3)) {
            int rc = apply(s, e);
            ck_assert(rc == 0 || rc == ERR_NOTFOUND);
            moved = moved || rc == 0;
        }
        jobs[i] = jobs[left - 1];
    }
    arena_done(&a);
    return moved;
}

// --- dropping ---

static uint64_t horizon, begun[WRITERS], cleared[WRITERS], ended[WRITERS];

static struct dropped drop(struct region_store *s, enum drop_step step, uint64_t upto)
{
    struct drop_at at = {0};
    struct dropped all = {0}, one = {0};
    const struct drop_ask ask = {REG, upto, step, 1 + chance(4)};
    while (!one.at_end) {
        ck_assert_int_eq(meta_drop(s->m, &ask, &at, &one), 0);
        all.n_entries += one.n_entries;
        all.kept = all.kept || one.kept;
    }
    return all;
}

static void trim(struct region_store *s)
{
    for (size_t i = 0; i < WRITERS; i++) {
        struct trim_at at = {0};
        struct dropped one = {0};
        const struct trim_ask ask = {REG, names[i], horizon, 1 + chance(4)};
        while (!one.at_end)
            ck_assert_int_eq(meta_trim(s->m, &ask, &at, &one), 0);
    }
}

static size_t n_dropped;

static void drop_some(size_t i)
{
    struct region_store *s = &stores[i];
    uint64_t lowest = UINT64_MAX;
    if (!horizon)
        return;
    ck_assert_int_eq(meta_floor_raise(s->m, REG, horizon), 0);
    begun[i] = horizon;
    struct dropped d = drop(s, DROP_VALUES, horizon);
    n_dropped += d.n_entries;
    if (!d.kept) {
        ck_assert_int_eq(meta_floor_clear(s->m, REG, horizon), 0);
        cleared[i] = horizon;
    }
    for (size_t k = 0; k < WRITERS; k++)
        if (cleared[k] < lowest)
            lowest = cleared[k];
    ended[i] = lowest;
    if (lowest)
        n_dropped += drop(s, DROP_TOMBSTONES, lowest).n_entries;
    if (chance(2))
        trim(s);
}

// --- a disk is lost ---

// What the origin wrote comes from its own snapshot; what this one wrote itself, from who has it.
static void past_take(struct region_store *s, size_t from)
{
    struct arena a;
    struct snapshot_page p = {0};
    struct snapshot_ask ask = {
        .origin = names[from], .registry = REG, .max = 1000, .max_bytes = 1 << 20};
    arena_init(&a, 0);
    ck_assert_int_eq(meta_head(stores[from].m, names[from], &ask.upto), 0);
    if (ask.upto.seq) {
        ck_assert_int_eq(meta_snapshot_read(stores[from].m, &ask, &a, &p), 0);
        ck_assert(p.at_end);
        ck_assert_int_eq(meta_snapshot_take(s->m, names[from], p.entries, p.n), 0);
        ck_assert_int_eq(meta_ingest(s->m, names[from], NULL, 0, &ask.upto), 0);
    }
    arena_done(&a);
}

static void own_take(struct region_store *s, size_t from)
{
    struct arena a;
    struct feed_entry *e;
    struct feed_mark zero = {0}, last;
    struct recovered done;
    size_t n;
    arena_init(&a, 0);
    ck_assert_int_eq(
        meta_feed_read(stores[from].m, s->region, &zero, NULL, 0, 1000, &a, &e, &n, &last), 0);
    ck_assert_int_eq(meta_spent_mark(stores[from].m, e, n), 0);
    ck_assert_int_eq(meta_recover(s->m, e, n, &done), 0);
    arena_done(&a);
}

static void rejoin(void)
{
    struct region_store *s = &stores[JOINER];
    store_end(s);
    store_begin(s, names[JOINER]);
    for (size_t i = 0; i < WRITERS; i++)
        past_take(s, i);
}

// A writer loses its disk. All have what it wrote; what is not there is lost for good, and no matter here.
static void disk_lose(size_t which)
{
    struct region_store *s = &stores[which];
    for (size_t to = 0; to < STORES; to++)
        if (to != which)
            carry(s, &stores[to], 1000);
    store_end(s);
    store_begin(s, names[which]);
    begun[which] = cleared[which] = ended[which] = 0;
    for (size_t i = 0; i < WRITERS; i++)
        if (i != which)
            own_take(s, i);
    for (size_t i = 0; i < WRITERS; i++)
        if (i != which)
            past_take(s, i);
}

// --- what is seen ---

static int shown(struct region_store *s, const char *tag, const char *text)
{
    struct arena a;
    struct manifest_row row;
    struct digest d = digest_str(text ? text : "");
    int found = 0;
    arena_init(&a, 0);
    if (!meta_manifest_get(s->m, REG, "app", tag, text ? &d : NULL, &a, &row)) {
        found = 1;
        for (size_t i = 0; tag && i < TEXTS; i++) {
            d = digest_str(text_of(i));
            if (digest_equal(&d, &row.digest))
                found = 2 + (int)i;
        }
    }
    arena_done(&a);
    return found;
}

static void compare(size_t i)
{
    for (size_t k = 0; k < TAGS; k++) {
        int is = shown(&stores[i], tag_of(k), NULL);
        int must = shown(&stores[REFERENCE], tag_of(k), NULL);
        ck_assert_msg(is == must, "seed %llu: %s shows %d for %s, and not %d",
                      (unsigned long long)seed, names[i], is, tag_of(k), must);
    }
    for (size_t k = 0; k < TEXTS; k++) {
        int is = shown(&stores[i], NULL, text_of(k));
        int must = shown(&stores[REFERENCE], NULL, text_of(k));
        ck_assert_msg(is == must, "seed %llu: %s shows %d for %s, and not %d",
                      (unsigned long long)seed, names[i], is, text_of(k), must);
    }
}

// The last stamp of what a region wrote; 0: it wrote nothing.
static uint64_t last_stamp(size_t i)
{
    struct arena a;
    struct feed_entry *e;
    uint64_t stamp = 0;
    arena_init(&a, 0);
    size_t n = feed_all(&stores[i], names[i], &a, &e);
    if (n)
        stamp = e[n - 1].stamp;
    arena_done(&a);
    return stamp;
}

// All read all. From then on nobody writes at or below the lowest of their last stamps.
static void read_all(void)
{
    uint64_t lowest = UINT64_MAX;
    for (size_t to = 0; to < STORES; to++) {
        for (size_t from = 0; from < WRITERS; from++)
            if (from != to)
                carry(&stores[from], &stores[to], 1000);
        while (run_jobs(&stores[to], false))
            ;
    }
    for (size_t i = 0; i < REFERENCE; i++)
        compare(i);
    for (size_t i = 0; i < WRITERS; i++)
        if (last_stamp(i) < lowest)
            lowest = last_stamp(i);
    if (lowest > horizon)
        horizon = lowest;
}

static void history_run(void)
{
    state = seed * 0x9e3779b97f4a7c15ull + 1;
    horizon = 0;
    memset(begun, 0, sizeof begun);
    memset(cleared, 0, sizeof cleared);
    memset(ended, 0, sizeof ended);
    for (size_t i = 0; i < STORES; i++)
        store_begin(&stores[i], names[i]);
    for (size_t step = 0; step < STEPS; step++) {
        size_t i = chance(WRITERS), other = chance(STORES);
        switch (chance(13)) {
        case 12:
            disk_lose(i);
            break;
        case 0:
            drop_some(i);
            break;
        case 1:
            rejoin();
            break;
        case 2:
            read_all();
            break;
        case 3:
        case 4:
            (void)run_jobs(&stores[other], true);
            break;
        case 5:
        case 6:
        case 7:
            if (i != other)
                carry(&stores[i], &stores[other], 1 + chance(5));
            break;
        default:
            write_some(&stores[i]);
        }
    }
    read_all();
    for (size_t i = 0; i < WRITERS; i++)
        drop_some(i);
    for (size_t i = 0; i < WRITERS; i++)
        drop_some(i); // tombstones, too
    rejoin();
    read_all();
    for (size_t i = 0; i < STORES; i++)
        store_end(&stores[i]);
}

static size_t n_seeds(void)
{
    const char *given = getenv("MERIDIAN_SEEDS");
    return given ? strtoul(given, NULL, 10) : SEEDS;
}

START_TEST(dropping_changes_nothing_that_is_seen)
{
    const char *which = getenv("TEST_META");
    setenv("TEST_META", "memory", 1);
    n_dropped = 0;
    for (seed = 1; seed <= n_seeds(); seed++)
        history_run();
    ck_assert_uint_gt(n_dropped, n_seeds()); // by the clock some five a history
    if (which)
        setenv("TEST_META", which, 1);
    else
        unsetenv("TEST_META");
}
END_TEST

START_TEST(and_so_it_is_on_a_disk)
{
    for (seed = 1001; seed <= 1002; seed++)
        history_run();
}
END_TEST

CHECK_MAIN("store/meta_random", dropping_changes_nothing_that_is_seen, and_so_it_is_on_a_disk)
