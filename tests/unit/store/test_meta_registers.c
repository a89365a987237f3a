// SPDX-License-Identifier: Apache-2.0
// store/meta: registers over small histories, exhaustively: every order of arrival gives the same
// state, and the one that base/register.h says.
#define HOT_SHADOW_OFF
#include "base/clock_test.h"
#include "base/register.h"
#include "store/meta_priv.h"
#include "store/sqlite/sqlite_test.h"
#include "tests/unit/store/meta_histories.h"

#include <sched.h>
#include <sqlite3.h>
#include <unistd.h>

static struct region_store east;

static struct register_value value_of(const struct feed_entry *e)
{
    return (struct register_value){entry_register_stamp(e), e->origin, e->epoch, e->digest};
}

static void expect_value(const char *repo, const struct feed_entry *want)
{
    struct arena a;
    struct manifest_row row;
    arena_init(&a, 0);
    ck_assert_int_eq(meta_manifest_get(east.m, REG, repo, "t", NULL, &a, &row), 0);
    struct register_value here = {row.stamp, row.origin, row.epoch, row.digest},
                          wanted = value_of(want);
    ck_assert_int_eq(register_order(&here, &wanted), 0);
    arena_done(&a);
}

// Values of one stamp: the region decides, then the epoch, then the digest; one restates. In the
// log's way, each applied twice, in all 720 orders: the store has the highest by register_order at
// every step.
START_TEST(equal_stamps_have_one_winner_in_every_order)
{
    static const char *const texts[] = {"{1}", "{2}"};
    size_t order[6] = {0, 1, 2, 3, 4, 5};
    unsigned n = 0;
    store_begin_in(&east, "eastus", access("/dev/shm", W_OK) ? "/tmp" : "/dev/shm");
    do {
        char repo[16];
        struct digest missing;
        snprintf(repo, sizeof repo, "r%u", n++);
        struct feed_entry t[6] = {entry("eastus", 1, 9, 5, ENTRY_TAG, repo, texts[0]),
                                  entry("eastus", 2, 9, 5, ENTRY_TAG, repo, texts[0]),
                                  entry("eastus", 2, 9, 5, ENTRY_TAG, repo, texts[1]),
                                  entry("westeurope", 1, 9, 5, ENTRY_TAG, repo, texts[0]),
                                  entry("westeurope", 1, 9, 5, ENTRY_TAG, repo, texts[1]),
                                  entry("west", 7, 9, 8, ENTRY_TAG, repo, texts[1])};
        t[5].restates = 5;
        for (size_t i = 0; i < ARRAY_LEN(t); i++) // places of their own
            t[i].seq = 10 * n + i;
        for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
            struct feed_entry m = entry("eastus", 1, 0, 1, ENTRY_MANIFEST, repo, texts[i]);
            ck_assert_int_eq(meta_apply(east.m, &m, m.content, NULL, 0, &missing), 0);
        }
        const struct feed_entry *best = NULL;
        for (size_t i = 0; i < ARRAY_LEN(t); i++) {
            const struct feed_entry *e = &t[order[i]];
            struct register_value a = value_of(e), b = best ? value_of(best) : a;
            best = !best || register_order(&a, &b) > 0 ? e : best;
            ck_assert_int_eq(meta_apply(east.m, e, (struct bytes){0}, NULL, 0, &missing), 0);
            expect_value(repo, best);
        }
        for (size_t i = 0; i < ARRAY_LEN(t); i += 5) // again
            ck_assert_int_eq(meta_apply(east.m, &t[order[i]], (struct bytes){0}, NULL, 0, &missing),
                             0);
        expect_value(repo, best);
        struct arena a;
        struct tag_version *v;
        size_t n_versions;
        arena_init(&a, 0);
        ck_assert_int_eq(meta_tag_history(east.m, REG, repo, "t", 100, &a, &v, &n_versions), 0);
        ck_assert_uint_eq(n_versions, 5); // eastus said {1} twice, the second time in a later epoch
        for (size_t i = 1; i < n_versions; i++) {
            struct register_value x = {v[i - 1].stamp, v[i - 1].origin, v[i - 1].epoch,
                                       v[i - 1].digest};
            struct register_value y = {v[i].stamp, v[i].origin, v[i].epoch, v[i].digest};
            ck_assert_int_gt(register_order(&x, &y), 0);
        }
        arena_done(&a);
    } while (permute(order, 6));
    ck_assert_uint_eq(n, 720);
    store_end(&east);
}
END_TEST

// --- minting ---

static struct region_store west;

// All that `from` has of its own goes to `to`, and is applied.
static void carry(struct region_store *from, struct region_store *to)
{
    struct arena a;
    struct feed_entry *e;
    struct digest missing;
    arena_init(&a, 0);
    size_t n = feed_all(from, from->region, &a, &e);
    ck_assert_uint_gt(n, 0);
    struct feed_mark upto = {.epoch = e[n - 1].epoch, .seq = e[n - 1].seq};
    memcpy(upto.hash, e[n - 1].hash, sizeof upto.hash);
    ck_assert_int_eq(meta_ingest(to->m, from->region, e, n, &upto), 0);
    for (size_t i = 0; i < n; i++)
        ck_assert_int_eq(meta_apply(to->m, &e[i], e[i].content, NULL, 0, &missing), 0);
    arena_done(&a);
}

// West is cut off and writes Y; later east, where the tag is X, gets X again, with 201. Whoever was
// last wins.
START_TEST(a_push_that_changes_nothing_here_wins_over_an_earlier_one_elsewhere)
{
    int64_t now = clock_wall_ms();
    clock_virtual_set(now);
    store_begin(&east, "eastus");
    store_begin(&west, "westeurope");
    ck_assert_int_eq(put(&east, "app", "latest", "{X}"), 0);
    carry(&east, &west);
    clock_virtual_advance(1000);
    ck_assert_int_eq(put(&west, "app", "latest", "{Y}"), 0);
    clock_virtual_advance(6000);
    ck_assert_int_eq(put(&east, "app", "latest", "{X}"), 0);
    carry(&east, &west);
    carry(&west, &east);
    expect_tag(&east, "app", "latest", "{X}");
    expect_tag(&west, "app", "latest", "{X}");
    clock_virtual_off();
    store_end(&east);
    store_end(&west);
}
END_TEST

#define N_PUSHERS 12

struct pusher {
    pthread_t thread;
    const char *tag, *text;
    bool by_digest;
    int rc;
    struct put_result result;
};

static void *pusher_main(void *arg)
{
    struct pusher *p = arg;
    p->rc = put_refs(&east, "app", p->by_digest ? NULL : p->tag, p->text, NULL, 0, &p->result);
    return NULL;
}

static _Atomic bool held, holds;

static int hold_run(struct tx *tx, void *arg)
{
    (void)tx, (void)arg;
    holds = true;
    while (held)
        sched_yield();
    holds = false;
    return 0;
}

static void *holder_main(void *arg)
{
    (void)arg;
    ck_assert_int_eq(backend_write(east.m->b, hold_run, NULL), 0);
    return NULL;
}

// Pushes wait until the writer, which is held, takes them all into one commit (the clock stands: no
// group is too long).
static void push_together(struct pusher *p, size_t n)
{
    pthread_t holder;
    held = true;
    ck_assert_int_eq(pthread_create(&holder, NULL, holder_main, NULL), 0);
    while (!holds)
        sched_yield();
    for (size_t i = 0; i < n; i++) {
        ck_assert_int_eq(pthread_create(&p[i].thread, NULL, pusher_main, &p[i]), 0);
        while (sqlite_n_queued(east.m->b) <= i) // in their order
            sched_yield();
    }
    held = false;
    for (size_t i = 0; i < n; i++) {
        pthread_join(p[i].thread, NULL);
        ck_assert_int_eq(p[i].rc, 0);
    }
    pthread_join(holder, NULL);
}

START_TEST(pushes_of_one_commit_share_an_entry_and_later_ones_mint)
{
    NEEDS_SQLITE;
    struct pusher p[N_PUSHERS];
    clock_virtual_set(clock_wall_ms());
    store_begin(&east, "eastus");
    ck_assert_int_eq(put(&east, "app", "t", "{X}"), 0);
    uint64_t before = head_seq(&east, "eastus");
    for (size_t i = 0; i < N_PUSHERS; i++)
        p[i] = (struct pusher){.tag = "t", .text = "{X}"};
    push_together(p, N_PUSHERS);
    ck_assert_uint_eq(head_seq(&east, "eastus"), before + 1);
    for (size_t i = 1; i < N_PUSHERS; i++)
        ck_assert_uint_eq(p[i].result.stamp, p[0].result.stamp);
    struct put_result r;
    ck_assert_int_eq(put_refs(&east, "app", "t", "{X}", NULL, 0, &r), 0); // later: one of its own
    ck_assert_uint_gt(r.stamp, p[0].result.stamp);
    ck_assert_uint_eq(head_seq(&east, "eastus"), before + 2);
    // By digest: the manifest's entry is shared. Other digests or tags share nothing.
    for (size_t i = 0; i < N_PUSHERS; i++)
        p[i] = (struct pusher){.text = "{X}", .by_digest = true};
    p[4].text = "{Z}";
    p[5] = (struct pusher){.tag = "u", .text = "{X}"};
    push_together(p, N_PUSHERS);
    ck_assert_uint_eq(head_seq(&east, "eastus"), before + 2 + 3);
    // X, Y, X: the third does not share with the first, which lost to the second.
    p[0] = p[2] = (struct pusher){.tag = "t", .text = "{X}"};
    p[1] = (struct pusher){.tag = "t", .text = "{Z}"};
    push_together(p, 3);
    ck_assert_uint_gt(p[2].result.stamp, p[1].result.stamp);
    ck_assert_uint_gt(p[1].result.stamp, p[0].result.stamp);
    expect_tag(&east, "app", "t", "{X}");
    feed_verify(&east, "eastus");
    clock_virtual_off();
    store_end(&east);
}
END_TEST

START_TEST(a_single_replica_may_skip)
{
    store_begin(&east, "eastus");
    struct manifest_put p = {.registry = REG,
                             .repository = "app",
                             .digest = digest_str("{X}"),
                             .media_type = TYPE,
                             .content = bytes_str("{X}"),
                             .tag = "t",
                             .sole_replica = true};
    struct put_result first, again;
    ck_assert_int_eq(meta_manifest_put(east.m, &p, &first), 0);
    ck_assert_int_eq(meta_manifest_put(east.m, &p, &again), 0);
    ck_assert_uint_eq(first.stamp, again.stamp);
    ck_assert_uint_eq(head_seq(&east, "eastus"), 2);
    p.tag = "u";
    ck_assert_int_eq(meta_manifest_put(east.m, &p, &again), 0);
    ck_assert_uint_eq(head_seq(&east, "eastus"), 3);
    p.sole_replica = false;
    ck_assert_int_eq(meta_manifest_put(east.m, &p, &again), 0);
    ck_assert_uint_eq(head_seq(&east, "eastus"), 4);
    store_end(&east);
}
END_TEST

// West pushes an index over children that only east has asserted: its feed says of all of them that
// they are there, the innermost first, and once is enough.
START_TEST(what_an_own_entry_refers_to_is_asserted_before_it)
{
    store_begin(&east, "eastus");
    store_begin(&west, "westeurope");
    struct manifest_ref inner[] = {{REF_MANIFEST, digest_str("{leaf}"), 6}};
    struct manifest_ref outer[] = {{REF_MANIFEST, digest_str("{inner}"), 7},
                                   {REF_MANIFEST, digest_str("{leaf}"), 6}};
    struct put_result r;
    ck_assert_int_eq(put(&east, "app", NULL, "{leaf}"), 0);
    ck_assert_int_eq(put_refs(&east, "app", NULL, "{inner}", inner, 1, &r), 0);
    struct arena a;
    struct feed_entry *e;
    struct digest missing;
    arena_init(&a, 0);
    ck_assert_uint_eq(feed_all(&east, "eastus", &a, &e), 2);
    ck_assert_int_eq(meta_apply(west.m, &e[0], e[0].content, NULL, 0, &missing), 0);
    ck_assert_int_eq(meta_apply(west.m, &e[1], e[1].content, inner, 1, &missing), 0);
    ck_assert_int_eq(put_refs(&west, "app", "all", "{outer}", outer, 2, &r), 0);
    ck_assert_uint_eq(feed_all(&west, "westeurope", &a, &e), 4);
    static const char *const texts[] = {"{outer}", "{leaf}", "{inner}", "{outer}"};
    for (size_t i = 0; i < 4; i++) {
        struct digest d = digest_str(texts[i]);
        ck_assert_msg(digest_equal(&e[i].digest, &d), "entry %zu is not of %s", i, texts[i]);
        ck_assert_int_eq(e[i].kind, i < 3 ? ENTRY_MANIFEST : ENTRY_TAG);
    }
    ck_assert(bytes_equal(e[1].content, bytes_str("{leaf}")));
    ck_assert_int_eq(put_refs(&west, "app", "all", "{outer}", outer, 2, &r), 0);
    ck_assert_int_eq(put(&west, "app", "leaf", "{leaf}"), 0);
    ck_assert_uint_eq(head_seq(&west, "westeurope"), 6); // two tags
    feed_verify(&west, "westeurope");
    arena_done(&a);
    store_end(&east);
    store_end(&west);
}
END_TEST

// --- history ---

START_TEST(a_history_is_bounded_and_the_same_in_any_order)
{
    struct buf first, next;
    struct digest missing;
    buf_init(&first, 0);
    buf_init(&next, 0);
    for (size_t turn = 0; turn < 4; turn++) {
        store_begin_in(&east, "eastus", access("/dev/shm", W_OK) ? "/tmp" : "/dev/shm");
        struct feed_entry m = entry("eastus", 1, 1, 1, ENTRY_MANIFEST, "app", "{1}");
        ck_assert_int_eq(meta_apply(east.m, &m, m.content, NULL, 0, &missing), 0);
        size_t n = META_HISTORY_MAX + 31;
        for (size_t i = 0; i < n; i++) {
            // 131 is a prime
            size_t k = turn == 0 ? i : turn == 1 ? n - 1 - i : i * (turn == 2 ? 7 : 40) % n;
            struct feed_entry e = entry(k % 2 ? "eastus" : "westeurope", 1, 10 + k, 10 + k / 4,
                                        ENTRY_TAG, "app", "{1}");
            ck_assert_int_eq(meta_apply(east.m, &e, (struct bytes){0}, NULL, 0, &missing), 0);
        }
        buf_clear(&next);
        listing(&east, turn ? &next : &first);
        if (turn)
            ck_assert_str_eq(first.p, next.p);
        store_end(&east);
    }
    size_t lines = 0;
    for (const char *s = first.p; (s = strchr(s, '\n')); s++)
        lines++;
    ck_assert_uint_le(lines, 2 + META_HISTORY_MAX);
    buf_done(&first);
    buf_done(&next);
}
END_TEST

// --- the first schema ---

static void old_store(struct region_store *s)
{
    struct buf sql;
    sqlite3 *h;
    *s = (struct region_store){.region = "eastus"};
    snprintf(s->dir, sizeof s->dir, "/tmp/meridian-meta-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(s->dir));
    snprintf(s->path, sizeof s->path, "%s/meta.db", s->dir);
    buf_init(&sql, 0);
    ck_assert_int_eq(file_read(META_V1, 1 << 20, &sql), 0);
    ck_assert_int_eq(sqlite3_open(s->path, &h), SQLITE_OK);
    ck_assert_int_eq(sqlite3_exec(h, buf_cstr(&sql), NULL, NULL, NULL), SQLITE_OK);
    // More versions of a tag than are kept now.
    for (int i = 0; i < 150; i++) {
        char text[300];
        snprintf(text, sizeof text,
                 "INSERT INTO tag_history(repo,tag,stamp,origin,digest,epoch)"
                 " SELECT repo,tag,%d,origin,digest,epoch FROM tags WHERE tag='v1'",
                 1000 + i);
        ck_assert_int_eq(sqlite3_exec(h, text, NULL, NULL, NULL), SQLITE_OK);
    }
    ck_assert_int_eq(sqlite3_close(h), SQLITE_OK);
    buf_done(&sql);
}

START_TEST(a_store_of_the_first_schema_goes_on)
{
    NEEDS_SQLITE;
    old_store(&east);
    store_reopen(&east);
    struct arena a;
    struct feed_entry *e;
    struct tag_version *v;
    size_t n;
    arena_init(&a, 0);
    expect_tag(&east, "app", "v1", "{west}");
    expect_tag(&east, "app", "all", "{index}");
    feed_verify(&east, "eastus");
    feed_verify(&east, "westeurope");
    ck_assert_int_eq(meta_tag_history(east.m, REG, "app", "v1", 1000, &a, &v, &n), 0);
    ck_assert_uint_eq(n, META_HISTORY_MAX);
    ck_assert_str_eq(v[0].origin, "westeurope");
    ck_assert_uint_eq(v[n - 1].stamp, 1000 + 150 - (META_HISTORY_MAX - 3)); // the highest stayed
    uint64_t before = head_seq(&east, "eastus");
    ck_assert_int_eq(put(&east, "app", "all", "{index}"), 0);
    ck_assert_uint_eq(head_seq(&east, "eastus"), before + 1);
    ck_assert_uint_eq(feed_all(&east, "westeurope", &a, &e), 4);
    struct job *jobs; // by its own schema due in an hour of a clock that was wrong
    int64_t next;
    ck_assert_int_eq(meta_jobs_due(east.m, clock_mono_ms(), 10, &a, &jobs, &n, &next), 0);
    ck_assert_uint_eq(n, 1);
    ck_assert_uint_eq(jobs[0].attempts, 1);
    struct digest missing;
    ck_assert_int_eq(meta_apply(east.m, &e[3], (struct bytes){0}, NULL, 0, &missing), 0); // the job
    expect_tag(&east, "lib", "v2", "{lib}");
    struct upload_row upload;
    ck_assert_int_eq(meta_upload_get(east.m, "0123456789abcdef", &a, &upload), 0);
    ck_assert_uint_eq(upload.size, 7);
    ck_assert_uint_eq(upload.received, 7);
    arena_done(&a);
    store_end(&east);
}
END_TEST

CHECK_MAIN("store/meta registers", equal_stamps_have_one_winner_in_every_order,
           a_push_that_changes_nothing_here_wins_over_an_earlier_one_elsewhere,
           pushes_of_one_commit_share_an_entry_and_later_ones_mint, a_single_replica_may_skip,
           what_an_own_entry_refers_to_is_asserted_before_it,
           a_history_is_bounded_and_the_same_in_any_order, a_store_of_the_first_schema_goes_on)
