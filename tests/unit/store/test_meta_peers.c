// SPDX-License-Identifier: Apache-2.0
// store/meta between regions: ingest, jobs, apply, marks, relay; any order gives the same state;
// lost entries come back.
#include "store/meta_delete.h"
#include "tests/support/leases.h"
#include "tests/unit/store/meta_support.h"

#include "base/clock_test.h"

#include <unistd.h>

static struct region_store east, west;

static struct feed_mark mark_of(const struct feed_entry *e)
{
    struct feed_mark m = {.epoch = e->epoch, .partition = e->partition, .seq = e->seq};
    memcpy(m.hash, e->hash, sizeof m.hash);
    return m;
}

// All that `from` has of its own goes into `to`'s log.
static void carry(struct region_store *from, struct region_store *to)
{
    struct arena a;
    struct feed_entry *e;
    arena_init(&a, 0);
    size_t n = feed_all(from, from->region, &a, &e);
    struct feed_mark upto = n ? mark_of(&e[n - 1]) : (struct feed_mark){0};
    ck_assert_int_eq(meta_ingest(to->m, from->region, e, n, &upto), 0);
    arena_done(&a);
}

static int apply(struct region_store *s, const struct feed_entry *e, struct digest *missing)
{
    return meta_apply(s->m, e, e->content, NULL, 0, missing);
}

// Applies what is due until nothing moves. Returns how many were applied.
static size_t run_jobs(struct region_store *s)
{
    size_t done = 0;
    for (bool moved = true; moved;) {
        struct arena a;
        struct job *jobs;
        size_t n;
        int64_t next;
        moved = false;
        arena_init(&a, 0);
        ck_assert_int_eq(meta_jobs_due(s->m, clock_mono_ms(), 32, &a, &jobs, &n, &next), 0);
        for (size_t i = 0; i < n; i++) {
            struct digest missing;
            int rc = apply(s, &jobs[i].entry, &missing);
            if (rc == ERR_NOTFOUND)
                ck_assert_int_eq(meta_job_retry(s->m, jobs[i].id, clock_mono_ms() + 3600000, NULL),
                                 0);
            else
                ck_assert_int_eq(rc, 0);
            done += rc == 0;
            moved = true;
        }
        arena_done(&a);
    }
    return done;
}

static struct origin_status status_of(struct region_store *s, const char *registry, struct arena *a)
{
    struct origin_status *list;
    size_t n;
    ck_assert_int_eq(registry ? meta_origins_of(s->m, registry, a, &list, &n)
                              : meta_origins(s->m, a, &list, &n),
                     0);
    ck_assert_uint_eq(n, 1);
    return list[0];
}

START_TEST(a_push_arrives)
{
    store_begin(&east, "eastus");
    store_begin(&west, "westeurope");
    struct arena a;
    arena_init(&a, 0);
    ck_assert_int_eq(put(&east, "app", "v1", "{1}"), 0);
    ck_assert_int_eq(put(&east, "app", "v1", "{2}"), 0);
    carry(&east, &west);
    struct origin_status o = status_of(&west, NULL, &a);
    ck_assert_str_eq(o.origin, "eastus");
    ck_assert_uint_eq(o.read.seq, 4);
    ck_assert_uint_eq(o.applied.seq, 0);
    ck_assert_uint_eq(o.n_pending, 4);
    ck_assert_uint_gt(o.oldest_pending_stamp, 0);
    ck_assert_uint_eq(status_of(&west, "fabrikam", &a).n_pending, 0);
    expect_tag(&west, "app", "v1", NULL); // read is not applied
    ck_assert_uint_eq(run_jobs(&west), 4);
    expect_tag(&west, "app", "v1", "{2}");
    o = status_of(&west, REG, &a);
    ck_assert_uint_eq(o.applied.seq, 4);
    ck_assert_uint_eq(o.n_pending, 0);
    ck_assert_uint_eq(head_seq(&west, "westeurope"), 0); // applying announces nothing
    carry(&east, &west);                                 // twice is as once
    ck_assert_uint_eq(run_jobs(&west), 0);
    feed_verify(&west, "eastus"); // what is relayed is what was signed
    struct buf x, y;
    buf_init(&x, 0);
    buf_init(&y, 0);
    listing(&east, &x);
    listing(&west, &y);
    ck_assert_str_eq(x.p, y.p);
    buf_done(&x);
    buf_done(&y);
    arena_done(&a);
    store_end(&east);
    store_end(&west);
}
END_TEST

START_TEST(a_tag_waits_for_its_manifest_and_is_woken)
{
    store_begin(&east, "eastus");
    store_begin(&west, "westeurope");
    struct arena a;
    struct feed_entry *e;
    struct job *jobs;
    struct digest missing, want = digest_str("{1}"), layer = digest_str("layer");
    size_t n;
    int64_t next;
    arena_init(&a, 0);
    ck_assert_int_eq(put(&east, "app", "v1", "{1}"), 0);
    carry(&east, &west);
    ck_assert_uint_eq(feed_all(&east, "eastus", &a, &e), 2);
    ck_assert_int_eq(apply(&west, &e[1], &missing), ERR_NOTFOUND);
    ck_assert(digest_equal(&missing, &want));
    expect_tag(&west, "app", "v1", NULL);
    ck_assert_int_eq(meta_jobs_due(west.m, clock_mono_ms(), 10, &a, &jobs, &n, &next), 0);
    ck_assert_uint_eq(n, 2);
    ck_assert_int_eq(next, INT64_MAX);
    ck_assert_int_eq(meta_job_retry(west.m, jobs[1].id, INT64_MAX, NULL), 0);
    ck_assert_int_eq(meta_job_retry(west.m, jobs[0].id, 5000, "connection refused"), 0);
    ck_assert_int_eq(meta_jobs_due(west.m, 4000, 10, &a, &jobs, &n, &next), 0);
    ck_assert_uint_eq(n, 0);
    ck_assert_int_eq(next, 5000);
    struct origin_status o = status_of(&west, NULL, &a);
    ck_assert_uint_eq(o.n_retrying, 1); // waiting for another entry is no failed try
    ck_assert_str_eq(o.last_error, "connection refused");
    ck_assert_int_eq(meta_jobs_due(west.m, 5000, 10, &a, &jobs, &n, &next), 0);
    ck_assert_uint_eq(n, 1);
    ck_assert_uint_eq(jobs[0].attempts, 1);
    ck_assert_str_eq(jobs[0].last_error, "connection refused");
    struct manifest_ref ref = {REF_BLOB, layer, 5};
    ck_assert_int_eq(meta_apply(west.m, &e[0], e[0].content, &ref, 1, &missing), ERR_NOTFOUND);
    ck_assert(digest_equal(&missing, &layer));
    ck_assert(!meta_repository_exists(west.m, REG, "app"));
    ck_assert_int_eq(lease_give(west.m, REG, "app", &layer, 5, NULL), 0);
    ck_assert_int_eq(meta_apply(west.m, &e[0], bytes_str("{2}"), &ref, 1, &missing), ERR_DIGEST);
    ck_assert_int_eq(meta_apply(west.m, &e[0], e[0].content, &ref, 1, &missing), 0);
    ck_assert_int_eq(meta_jobs_due(west.m, 0, 10, &a, &jobs, &n, &next), 0);
    ck_assert_uint_eq(n, 1); // the tag's job was woken by its manifest
    ck_assert_int_eq(apply(&west, &jobs[0].entry, &missing), 0);
    ck_assert_int_eq(apply(&west, &e[1], &missing), 0); // again
    expect_tag(&west, "app", "v1", "{1}");
    ck_assert_int_eq(meta_job_retry(west.m, jobs[0].id, 1, "late"), ERR_NOTFOUND);
    arena_done(&a);
    store_end(&east);
    store_end(&west);
}
END_TEST

START_TEST(jobs_are_moved_and_called_back)
{
    store_begin(&east, "eastus");
    store_begin(&west, "westeurope");
    ck_assert_int_eq(put(&east, "app", "v1", "{1}"), 0);
    ck_assert_int_eq(put(&east, "app", "v2", "{2}"), 0);
    carry(&east, &west);
    struct arena a;
    struct job *jobs;
    size_t n;
    int64_t next, now = clock_mono_ms(), far = now + 3600000;
    static const char *const other[] = {"fabrikam"}, *const both[] = {"fabrikam", REG};
    arena_init(&a, 0);
    ck_assert_int_eq(meta_jobs_due(west.m, now, 10, &a, &jobs, &n, &next), 0);
    ck_assert_uint_eq(n, 4);
    const int64_t ids[] = {jobs[0].id, jobs[2].id, 999};
    ck_assert_int_eq(meta_jobs_later(west.m, ids, 3, far), 0);
    ck_assert_int_eq(meta_job_retry(west.m, jobs[1].id, far, NULL), 0); // waits for its manifest
    ck_assert_int_eq(meta_job_retry(west.m, jobs[3].id, far, "no source"), 0); // failed
    ck_assert_int_eq(meta_jobs_due(west.m, now, 10, &a, &jobs, &n, &next), 0);
    ck_assert_uint_eq(n, 0);
    ck_assert_int_eq(next, far);
    ck_assert_int_eq(meta_jobs_retry_now(west.m, other, 1), 0);
    ck_assert_int_eq(meta_jobs_due(west.m, now, 10, &a, &jobs, &n, &next), 0);
    ck_assert_uint_eq(n, 0);
    ck_assert_int_eq(meta_jobs_retry_now(west.m, both, 2), 0);
    ck_assert_int_eq(meta_jobs_due(west.m, now, 10, &a, &jobs, &n, &next), 0);
    ck_assert_uint_eq(n, 3); // not the one that waits: no region's return helps it
    struct digest missing;
    // {1}: wakes the tag that waits for it
    ck_assert_int_eq(apply(&west, &jobs[0].entry, &missing), 0);
    ck_assert_int_eq(meta_jobs_due(west.m, now, 10, &a, &jobs, &n, &next), 0);
    ck_assert_uint_eq(n, 3);
    arena_done(&a);
    store_end(&east);
    store_end(&west);
}
END_TEST

static size_t n_due(struct region_store *s, struct job **out, struct arena *a)
{
    size_t n;
    int64_t next;
    ck_assert_int_eq(meta_jobs_due(s->m, clock_mono_ms(), 32, a, out, &n, &next), 0);
    return n;
}

// Images are applied in one transaction; what cannot be, and what waits for it, is left as it was.
START_TEST(several_entries_are_applied_together)
{
    store_begin(&east, "eastus");
    store_begin(&west, "westeurope");
    struct arena a;
    struct feed_entry *e;
    struct job *jobs;
    struct apply_item items[6], many[APPLY_ITEMS_MAX + 1] = {{.e = NULL}};
    struct meta_commits before, after;
    arena_init(&a, 0);
    ck_assert_int_eq(put(&east, "app", "v1", "{1}"), 0);
    ck_assert_int_eq(put(&east, "apart", "v2", "{2}"), 0);
    ck_assert_int_eq(put(&east, "app", "v3", "{3}"), 0);
    carry(&east, &west);
    ck_assert_uint_eq(feed_all(&east, "eastus", &a, &e), 6);
    for (size_t i = 0; i < 6; i++)
        items[i] = (struct apply_item){.e = &e[i], .content = e[i].content, .done = true};
    items[2].content = bytes_str("{x}"); // not what its digest says
    meta_commits_get(west.m, &before);
    ck_assert_int_eq(meta_apply_all(west.m, items, 6), 0);
    meta_commits_get(west.m, &after);
    if (backend_is("sqlite")) // the others count none
        ck_assert_uint_eq(after.n_commits - before.n_commits, 1);
    for (size_t i = 0; i < 6; i++)
        ck_assert_int_eq(items[i].done, i != 2 && i != 3);
    expect_tag(&west, "app", "v1", "{1}");
    expect_tag(&west, "app", "v3", "{3}");
    ck_assert(!meta_repository_exists(west.m, REG, "apart"));
    ck_assert_uint_eq(n_due(&west, &jobs, &a), 2); // the jobs of the others have ended
    items[2].content = e[2].content;
    ck_assert_int_eq(meta_apply_all(west.m, items, 6), 0); // of some again
    ck_assert(items[2].done && items[3].done && items[0].done);
    expect_tag(&west, "apart", "v2", "{2}");
    ck_assert_uint_eq(n_due(&west, &jobs, &a), 0);
    ck_assert_int_eq(meta_apply_all(west.m, many, APPLY_ITEMS_MAX + 1), ERR_TOOBIG);
    arena_done(&a);
    store_end(&east);
    store_end(&west);
}
END_TEST

static void expect_parked(struct region_store *s, uint64_t n, uint64_t bytes)
{
    struct arena a;
    struct parked *list;
    size_t k;
    arena_init(&a, 0);
    ck_assert_int_eq(meta_parked(s->m, &a, &list, &k), 0);
    ck_assert_uint_eq(k, n ? 1 : 0);
    if (n) {
        ck_assert_str_eq(list[0].origin, "eastus");
        ck_assert_uint_eq(list[0].n, n);
        ck_assert_uint_eq(list[0].bytes, bytes);
    }
    arena_done(&a);
}

// Six jobs: manifest and tag of v1, v2, v3. v2's content has no room.
static void park_second(struct job *jobs)
{
    static const char *const registries[] = {REG};
    int64_t far = clock_mono_ms() + 3600000;
    ck_assert_int_eq(meta_job_park(west.m, jobs[2].id, 500, 5, "no room"), 0);
    ck_assert_int_eq(meta_job_retry(west.m, jobs[3].id, far, NULL), 0); // its tag waits
    ck_assert_int_eq(meta_job_park(west.m, 999, 1, 5, "no such job"), ERR_NOTFOUND);
    // a region is back: no room comes by that
    ck_assert_int_eq(meta_jobs_retry_now(west.m, registries, 1), 0);
    expect_parked(&west, 1, 500);
}

START_TEST(what_has_no_room_is_parked_and_holds_back_no_mark)
{
    store_begin(&east, "eastus");
    store_begin(&west, "westeurope");
    for (int i = 1; i <= 3; i++) {
        char tag[8], content[8];
        snprintf(tag, sizeof tag, "v%d", i);
        snprintf(content, sizeof content, "{%d}", i);
        ck_assert_int_eq(put(&east, "app", tag, content), 0);
    }
    carry(&east, &west);
    struct arena a;
    struct job *jobs, *now;
    struct digest missing, two = digest_str("{2}"), one = digest_str("{1}");
    uint64_t room;
    arena_init(&a, 0);
    ck_assert_uint_eq(n_due(&west, &jobs, &a), 6);
    park_second(jobs);
    struct origin_status o = status_of(&west, REG, &a);
    ck_assert_uint_eq(o.n_parked, 1);
    ck_assert_uint_eq(o.parked_bytes, 500);
    ck_assert_uint_eq(o.n_retrying, 0);
    ck_assert_uint_eq(o.n_waiting, 1);
    ck_assert_uint_eq(n_due(&west, &now, &a), 4);
    // the others are applied, and the mark goes on over it and over what waits for it
    ck_assert_int_eq(apply(&west, &jobs[4].entry, &missing), 0);
    ck_assert_int_eq(apply(&west, &jobs[5].entry, &missing), 0);
    ck_assert_uint_eq(status_of(&west, REG, &a).applied.seq, 0);
    ck_assert_int_eq(apply(&west, &jobs[0].entry, &missing), 0);
    ck_assert_int_eq(apply(&west, &jobs[1].entry, &missing), 0);
    o = status_of(&west, REG, &a);
    ck_assert_uint_eq(o.applied.seq, o.read.seq);
    ck_assert_uint_eq(o.n_pending, 2);
    ck_assert_str_eq(o.last_error, "no room");
    ck_assert_int_eq(meta_parked_for(west.m, REG, "app", &two, &room), 0);
    ck_assert_uint_eq(room, 500);
    ck_assert_int_eq(meta_parked_for(west.m, REG, "app", &one, &room), ERR_NOTFOUND);
    ck_assert_int_eq(meta_parked_for(west.m, REG, "other", &two, &room), ERR_NOTFOUND);
    arena_done(&a);
    store_end(&east);
    store_end(&west);
}
END_TEST

// East deletes it, and west applies the tombstone.
static void delete_everywhere(const struct digest *d)
{
    const struct delete_request r = {.registry = REG, .repository = "app", .digest = d};
    struct delete_result result;
    struct digest missing;
    struct job *jobs;
    struct arena a;
    bool applied = false;
    arena_init(&a, 0);
    ck_assert_int_eq(meta_manifest_delete(east.m, &r, &a, &result), 0);
    carry(&east, &west);
    size_t n = n_due(&west, &jobs, &a);
    for (size_t i = 0; i < n; i++)
        if (jobs[i].entry.kind == ENTRY_MANIFEST_GONE) {
            ck_assert_int_eq(apply(&west, &jobs[i].entry, &missing), 0);
            applied = true;
        }
    ck_assert(applied);
    arena_done(&a);
}

// However many others are parked, and however late it was.
START_TEST(a_tombstone_ends_the_parked_jobs_of_its_manifest)
{
    clock_virtual_set(1800000000000);
    store_begin(&east, "eastus");
    store_begin(&west, "westeurope");
    struct digest last = digest_str("{29}"), missing;
    struct arena a;
    struct job *jobs;
    bool due = false;
    arena_init(&a, 0);
    for (int i = 10; i < 30; i++) {
        char tag[8], content[8];
        snprintf(tag, sizeof tag, "v%d", i);
        snprintf(content, sizeof content, "{%d}", i);
        ck_assert_int_eq(put(&east, "app", tag, content), 0);
        carry(&east, &west);
        clock_virtual_advance(1000);
        size_t n = n_due(&west, &jobs, &a);
        for (size_t k = 0; k < n; k++)
            if (jobs[k].entry.kind == ENTRY_MANIFEST)
                ck_assert_int_eq(meta_job_park(west.m, jobs[k].id, 500, 5, "no room"), 0);
            else
                ck_assert_int_eq(
                    meta_job_retry(west.m, jobs[k].id, clock_mono_ms() + 3600000, NULL), 0);
    }
    expect_parked(&west, 20, 20 * 500);
    delete_everywhere(&last);
    size_t n = n_due(&west, &jobs, &a);
    for (size_t i = 0; i < n; i++)
        if (jobs[i].entry.kind == ENTRY_MANIFEST && digest_equal(&jobs[i].entry.digest, &last)) {
            enum meta_needs needs;
            ck_assert_int_eq(meta_apply_needs(west.m, &jobs[i].entry, &needs), 0);
            ck_assert_int_eq(needs, META_NEEDS_NOTHING);
            ck_assert_int_eq(
                meta_apply(west.m, &jobs[i].entry, (struct bytes){0}, NULL, 0, &missing), 0);
            due = true;
        }
    ck_assert(due);
    expect_parked(&west, 19, 19 * 500);
    arena_done(&a);
    store_end(&east);
    store_end(&west);
    clock_virtual_off();
}
END_TEST

START_TEST(a_parked_job_is_looked_at_again_for_good_reasons)
{
    store_begin(&east, "eastus");
    store_begin(&west, "westeurope");
    for (int i = 1; i <= 3; i++) {
        char tag[8], content[8];
        snprintf(tag, sizeof tag, "v%d", i);
        snprintf(content, sizeof content, "{%d}", i);
        ck_assert_int_eq(put(&east, "app", tag, content), 0);
    }
    carry(&east, &west);
    struct arena a;
    struct job *jobs, *now;
    struct digest missing;
    size_t n;
    arena_init(&a, 0);
    ck_assert_uint_eq(n_due(&west, &jobs, &a), 6);
    park_second(jobs);
    ck_assert_int_eq(apply(&west, &jobs[0].entry, &missing), 0); // something of its repository came
    ck_assert_int_eq(apply(&west, &jobs[1].entry, &missing), 0);
    ck_assert_int_eq(apply(&west, &jobs[4].entry, &missing), 0);
    ck_assert_int_eq(apply(&west, &jobs[5].entry, &missing), 0);
    ck_assert_uint_eq(n_due(&west, &now, &a), 1);
    ck_assert_uint_eq(now[0].room, 500);
    ck_assert_int_eq(meta_job_park(west.m, now[0].id, 400, 5, "less"), 0);
    ck_assert_int_eq(meta_jobs_unpark(west.m, 399, 0, &n), 0);
    ck_assert_uint_eq(n, 0);
    // it was looked at long ago
    ck_assert_int_eq(meta_jobs_unpark(west.m, 0, clock_mono_ms(), &n), 0);
    ck_assert_uint_eq(n, 1);
    ck_assert_int_eq(meta_job_park(west.m, now[0].id, 400, 5, "still"), 0);
    ck_assert_int_eq(meta_jobs_unpark(west.m, 400, 0, &n), 0); // there is room
    ck_assert_uint_eq(n, 1);
    ck_assert_uint_eq(n_due(&west, &now, &a), 1);
    ck_assert_int_eq(meta_job_fits(west.m, now[0].id), 0);
    expect_parked(&west, 0, 0);
    ck_assert_int_eq(apply(&west, &now[0].entry, &missing), 0);
    ck_assert_uint_eq(run_jobs(&west), 1); // its tag was woken
    expect_tag(&west, "app", "v2", "{2}");
    arena_done(&a);
    store_end(&east);
    store_end(&west);
}
END_TEST

START_TEST(of_several_errors_the_worst_is_told)
{
    store_begin(&east, "eastus");
    store_begin(&west, "westeurope");
    struct arena a;
    struct job *jobs;
    int64_t far = clock_mono_ms() + 3600000;
    arena_init(&a, 0);
    ck_assert_int_eq(put(&east, "app", "v1", "{1}"), 0);
    carry(&east, &west);
    ck_assert_uint_eq(n_due(&west, &jobs, &a), 2);
    ck_assert_int_eq(meta_job_failed(west.m, jobs[0].id, far, 6, "wrong bytes"), 0);
    ck_assert_int_eq(meta_job_failed(west.m, jobs[1].id, far, 2, "unreachable"), 0);
    struct origin_status o = status_of(&west, NULL, &a);
    ck_assert_str_eq(o.last_error, "wrong bytes");
    ck_assert_int_eq(o.last_grade, 6);
    ck_assert_int_eq(meta_job_failed(west.m, jobs[0].id, far, 2, "unreachable too"), 0);
    ck_assert_int_eq(status_of(&west, NULL, &a).last_grade, 2);
    arena_done(&a);
    store_end(&east);
    store_end(&west);
}
END_TEST

// As many as fit together, the oldest first; one that is too large lets others pass.
START_TEST(parked_jobs_come_back_as_far_as_they_fit_together)
{
    store_begin(&east, "eastus");
    store_begin(&west, "westeurope");
    static const uint64_t rooms[] = {900, 300, 300, 100, 50};
    struct arena a;
    struct job *jobs, *now;
    size_t n;
    arena_init(&a, 0);
    for (size_t i = 0; i < ARRAY_LEN(rooms); i++) {
        char content[8];
        snprintf(content, sizeof content, "{%zu}", i);
        ck_assert_int_eq(put(&east, "app", NULL, content), 0);
    }
    carry(&east, &west);
    ck_assert_uint_eq(n_due(&west, &jobs, &a), ARRAY_LEN(rooms));
    for (size_t i = 0; i < ARRAY_LEN(rooms); i++)
        ck_assert_int_eq(meta_job_park(west.m, jobs[i].id, rooms[i], 5, "no room"), 0);
    ck_assert_int_eq(meta_jobs_unpark(west.m, 500, 0, &n), 0);
    ck_assert_uint_eq(n, 3); // 300 and 100 and 50
    ck_assert_uint_eq(n_due(&west, &now, &a), 3);
    ck_assert_uint_eq(now[0].room, 300);
    ck_assert_uint_eq(now[1].room, 100);
    ck_assert_uint_eq(now[2].room, 50);
    // a restart: all are looked at once more
    meta_close(west.m);
    store_reopen(&west);
    expect_parked(&west, 5, 1650);
    ck_assert_uint_eq(n_due(&west, &now, &a), 5);
    arena_done(&a);
    store_end(&east);
    store_end(&west);
}
END_TEST

// v1 was {1}, which has no room, and is {2} now: the older entry of the tag is superseded and does
// not wait for room.
START_TEST(a_later_entry_of_a_tag_ends_the_one_that_waits_for_room)
{
    store_begin(&east, "eastus");
    store_begin(&west, "westeurope");
    struct arena a;
    struct job *jobs, *now;
    struct digest missing;
    int64_t far = clock_mono_ms() + 3600000;
    arena_init(&a, 0);
    ck_assert_int_eq(put(&east, "app", "v1", "{1}"), 0);
    ck_assert_int_eq(put(&east, "app", "v1", "{2}"), 0);
    carry(&east, &west);
    ck_assert_uint_eq(n_due(&west, &jobs, &a), 4);
    ck_assert_int_eq(meta_job_park(west.m, jobs[0].id, 500, 5, "no room"), 0);
    ck_assert_int_eq(meta_job_retry(west.m, jobs[1].id, far, NULL), 0);
    ck_assert_int_eq(apply(&west, &jobs[2].entry, &missing), 0);
    ck_assert_int_eq(apply(&west, &jobs[3].entry, &missing), 0);
    size_t n = n_due(&west, &now, &a);
    bool ended = false;
    for (size_t i = 0; i < n; i++)
        if (now[i].entry.kind == ENTRY_TAG)
            ended = apply(&west, &now[i].entry, &missing) == 0;
    ck_assert(ended);
    expect_tag(&west, "app", "v1", "{2}");
    // the manifest is still to be had by digest
    ck_assert_uint_eq(status_of(&west, REG, &a).n_pending, 1);
    arena_done(&a);
    store_end(&east);
    store_end(&west);
}
END_TEST

START_TEST(a_job_that_is_dropped_holds_back_no_mark)
{
    store_begin(&east, "eastus");
    store_begin(&west, "westeurope");
    struct arena a;
    struct job *jobs, *now;
    struct digest missing;
    arena_init(&a, 0);
    ck_assert_int_eq(put(&east, "app", "v1", "{1}"), 0);
    ck_assert_int_eq(put(&east, "app", "v2", "{2}"), 0);
    carry(&east, &west);
    ck_assert_uint_eq(n_due(&west, &jobs, &a), 4);
    ck_assert_int_eq(meta_job_drop(west.m, jobs[0].id), 0);
    ck_assert_int_eq(meta_job_drop(west.m, jobs[0].id), ERR_NOTFOUND);
    ck_assert_int_eq(meta_job_drop(west.m, jobs[1].id), 0);
    ck_assert_uint_eq(n_due(&west, &now, &a), 2);
    ck_assert_int_eq(apply(&west, &jobs[2].entry, &missing), 0);
    ck_assert_int_eq(apply(&west, &jobs[3].entry, &missing), 0);
    struct origin_status o = status_of(&west, REG, &a);
    ck_assert_uint_eq(o.applied.seq, o.read.seq);
    ck_assert_uint_eq(o.n_pending, 0);
    expect_tag(&west, "app", "v2", "{2}");
    // applied after all, by somebody who had it in hand: as if it was applied before
    ck_assert_int_eq(apply(&west, &jobs[0].entry, &missing), 0);
    ck_assert_uint_eq(status_of(&west, REG, &a).n_pending, 0);
    arena_done(&a);
    store_end(&east);
    store_end(&west);
}
END_TEST

START_TEST(registries_take_turns)
{
    store_begin(&west, "westeurope");
    struct feed_entry e[60];
    char tags[60][8];
    for (size_t i = 0; i < ARRAY_LEN(e); i++) { // 40 of one registry, then 10 of two others
        snprintf(tags[i], sizeof tags[i], "t%zu", i);
        e[i] = (struct feed_entry){.origin = "eastus",
                                   .epoch = 1,
                                   .seq = i + 1,
                                   .stamp = 1000 + i,
                                   .kind = ENTRY_TAG,
                                   .registry = i < 40   ? "contoso"
                                               : i < 50 ? "fabrikam"
                                                        : "adatum",
                                   .repository = "app",
                                   .tag = tags[i],
                                   .media_type = "",
                                   .digest = digest_str("{1}"),
                                   .key = "k"};
        e[i].hash[0] = (uint8_t)i;
    }
    struct feed_mark upto = mark_of(&e[59]);
    ck_assert_int_eq(meta_ingest(west.m, "eastus", e, 60, &upto), 0);
    struct arena a;
    struct job *jobs;
    size_t n, of[3] = {0};
    int64_t next;
    arena_init(&a, 0);
    ck_assert_int_eq(meta_jobs_due(west.m, 1, 12, &a, &jobs, &n, &next), 0);
    ck_assert_uint_eq(n, 12);
    ck_assert_int_eq(next, 1); // more are due
    uint64_t last[3] = {0};
    for (size_t i = 0; i < n; i++) {
        size_t k = jobs[i].entry.registry[0] == 'c' ? 0 : jobs[i].entry.registry[0] == 'f' ? 1 : 2;
        ck_assert_uint_gt(jobs[i].entry.seq, last[k]); // oldest first within each
        last[k] = jobs[i].entry.seq;
        of[k]++;
    }
    ck_assert_uint_eq(of[0], 4);
    ck_assert_uint_eq(of[1], 4);
    ck_assert_uint_eq(of[2], 4);
    bool first[3] = {false}; // with fewer places than registries everybody comes first once
    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(meta_jobs_due(west.m, 1, 1, &a, &jobs, &n, &next), 0);
        ck_assert_uint_eq(n, 1);
        first[jobs[0].entry.registry[0] == 'c'   ? 0
              : jobs[0].entry.registry[0] == 'f' ? 1
                                                 : 2] = true;
    }
    ck_assert(first[0] && first[1] && first[2]);
    arena_done(&a);
    store_end(&west);
}
END_TEST

START_TEST(marks_are_checked_and_filters_move_them)
{
    store_begin(&east, "eastus");
    store_begin(&west, "westeurope");
    struct arena a;
    struct feed_entry *e, *f;
    struct feed_mark zero = {0}, last, m;
    size_t k;
    arena_init(&a, 0);
    for (int i = 0; i < 4; i++) {
        char text[16];
        snprintf(text, sizeof text, "{%d}", i);
        ck_assert_int_eq(put(&east, "app", NULL, text), 0);
    }
    size_t n = feed_all(&east, "eastus", &a, &e);
    ck_assert_uint_eq(n, 4);
    const char *const none[] = {"fabrikam"}, *const ours[] = {"fabrikam", REG};
    ck_assert_int_eq(meta_feed_read(east.m, "eastus", &zero, none, 1, 10, &a, &f, &k, &last), 0);
    ck_assert_uint_eq(k, 0);
    ck_assert_uint_eq(last.seq, 4); // all were looked at
    m = mark_of(&e[1]);
    ck_assert_int_eq(meta_feed_read(east.m, "eastus", &m, ours, 2, 1, &a, &f, &k, &last), 0);
    ck_assert_uint_eq(k, 1);
    ck_assert_uint_eq(f[0].seq, 3);
    ck_assert_uint_eq(last.seq, 3);
    ck_assert_int_eq(meta_feed_check(east.m, "eastus", &m), 0);
    ck_assert_int_eq(meta_feed_check(east.m, "eastus", &zero), 0);
    m.hash[5] ^= 1;
    ck_assert_int_eq(meta_feed_check(east.m, "eastus", &m), ERR_CONFLICT);
    m = mark_of(&e[3]);
    m.seq = 5;
    ck_assert_int_eq(meta_feed_check(east.m, "eastus", &m), ERR_CONFLICT);
    m.seq = UINT64_MAX;
    ck_assert_int_eq(meta_feed_check(east.m, "eastus", &m), ERR_CONFLICT);
    m = mark_of(&e[3]); // a filtered stretch: only the mark moves, and is a place we know
    ck_assert_int_eq(meta_ingest(west.m, "eastus", NULL, 0, &m), 0);
    ck_assert_int_eq(meta_feed_check(west.m, "eastus", &m), 0);
    ck_assert_uint_eq(status_of(&west, NULL, &a).read.seq, 4);
    m = mark_of(&e[0]); // it never goes back
    ck_assert_int_eq(meta_ingest(west.m, "eastus", e, 1, &m), 0);
    ck_assert_uint_eq(status_of(&west, NULL, &a).read.seq, 4);
    struct feed_entry other = e[0];
    other.hash[0] ^= 1;
    ck_assert_int_eq(meta_ingest(west.m, "eastus", &other, 1, &m), ERR_CONFLICT);
    ck_assert_int_eq(meta_ingest(west.m, "westeurope", e, 1, &m), ERR_INVAL);
    ck_assert_int_eq(meta_ingest(east.m, "eastus", e, 1, &m), ERR_INVAL);
    arena_done(&a);
    store_end(&east);
    store_end(&west);
}
END_TEST

START_TEST(a_write_beats_the_tag_it_replaces_whatever_the_clock_says)
{
    clock_virtual_set(1800000000000);
    store_begin(&east, "eastus");
    ck_assert_int_eq(put(&east, "app", "v1", "{1}"), 0);
    clock_virtual_jump_wall(-400); // west's clock is behind
    store_begin(&west, "westeurope");
    carry(&east, &west);
    run_jobs(&west);
    expect_tag(&west, "app", "v1", "{1}");
    ck_assert_int_eq(put(&west, "app", "v1", "{2}"), 0);
    expect_tag(&west, "app", "v1", "{2}");
    carry(&west, &east);
    run_jobs(&east);
    expect_tag(&east, "app", "v1", "{2}");
    store_end(&east);
    store_end(&west);
    clock_virtual_off();
}
END_TEST

// --- convergence ---

static uint32_t seed;

static uint32_t rnd(uint32_t below)
{
    seed = seed * 1664525u + 1013904223u;
    return (seed >> 8) % below;
}

static const char *const texts[] = {"{0}", "{1}", "{2}", "{3}", "{4}"};

// Random writes in a few regions, few tags, stamps that collide often; restated ones among them.
static size_t random_entries(struct feed_entry *e, size_t max)
{
    static const char *const origins[] = {"eastus", "southeastasia", "brazilsouth"};
    static const char *const tags[] = {"a", "b", "c"};
    uint64_t seq[3] = {0};
    size_t n = 0;
    for (size_t i = 0; i < ARRAY_LEN(texts) && n < max; i++, n++)
        e[n] = (struct feed_entry){.kind = ENTRY_MANIFEST,
                                   .tag = "",
                                   .media_type = rnd(2) ? TYPE : INDEX_TYPE,
                                   .content = bytes_str(texts[i]),
                                   .size = strlen(texts[i]),
                                   .digest = digest_str(texts[i])};
    for (; n < max; n++)
        e[n] = (struct feed_entry){.kind = ENTRY_TAG,
                                   .tag = tags[rnd(3)],
                                   .media_type = "",
                                   .digest = digest_str(texts[rnd(5)])};
    for (size_t i = 0; i < n; i++) {
        uint32_t o = rnd(3);
        e[i].origin = origins[o];
        e[i].epoch = 1 + rnd(2);
        e[i].seq = ++seq[o];
        e[i].stamp = 100 + rnd(6);
        e[i].restates = rnd(5) == 0 ? 90 + rnd(10) : 0;
        e[i].registry = REG;
        e[i].repository = rnd(3) || e[i].kind == ENTRY_MANIFEST ? "app" : "lib";
        e[i].key = "k";
        sha256(&i, sizeof i, e[i].hash);
    }
    for (size_t i = 0; i < n; i++) // "lib" has only one manifest, which comes with its own entry
        if (strcmp(e[i].repository, "lib") == 0)
            e[i].digest = digest_str(texts[0]);
    e[n - 1] = e[0];
    e[n - 1].seq = 1000;
    e[n - 1].hash[0] ^= 1;
    e[n - 1].repository = "lib";
    return n;
}

// In a random order with duplicates, through the log or straight; what waits is tried again at the
// end.
static void apply_shuffled(struct region_store *s, const struct feed_entry *e, size_t n)
{
    size_t order[128];
    for (size_t i = 0; i < n; i++)
        order[i] = i;
    for (size_t i = n - 1; i > 0; i--) {
        size_t k = rnd((uint32_t)i + 1), t = order[i];
        order[i] = order[k];
        order[k] = t;
    }
    struct digest missing;
    bool logged = rnd(2);
    for (size_t i = 0; i < n; i++) {
        const struct feed_entry *x = &e[order[i]];
        struct feed_mark m = mark_of(x);
        if (logged)
            ck_assert_int_eq(meta_ingest(s->m, x->origin, x, 1, &m), 0);
        int rc = apply(s, x, &missing);
        ck_assert(rc == 0 || rc == ERR_NOTFOUND);
        if (rnd(3) == 0) {
            rc = apply(s, &e[order[rnd((uint32_t)i + 1)]], &missing);
            ck_assert(rc == 0 || rc == ERR_NOTFOUND);
        }
    }
    for (size_t i = 0; i < n; i++)
        ck_assert_int_eq(apply(s, &e[order[i]], &missing), 0);
}

START_TEST(any_order_gives_the_same_state)
{
    for (seed = 1; seed < 400000; seed = seed * 3 + 7) {
        uint32_t keep = seed;
        struct feed_entry e[60];
        size_t n = random_entries(e, ARRAY_LEN(e));
        struct buf first, next;
        buf_init(&first, 0);
        buf_init(&next, 0);
        for (int k = 0; k < 3; k++) {
            // In memory where that is to be had: thousands of commits, and none of them is pulled
            // out.
            store_begin_in(&west, "westeurope", access("/dev/shm", W_OK) ? "/tmp" : "/dev/shm");
            apply_shuffled(&west, e, n);
            buf_clear(&next);
            listing(&west, k ? &next : &first);
            if (k)
                ck_assert_msg(strcmp(first.p, next.p) == 0, "seed %u:\n%s\n%s", keep, first.p,
                              next.p);
            store_end(&west);
        }
        ck_assert(strstr(first.p, " a ") != NULL); // something was compared
        buf_done(&first);
        buf_done(&next);
        seed = keep;
    }
}
END_TEST

// --- invariant 8 ---

START_TEST(a_restored_backup_recovers_and_uses_no_sequence_twice)
{
    store_begin(&east, "eastus");
    store_begin(&west, "westeurope");
    ck_assert_int_eq(put(&east, "app", "v1", "{1}"), 0);
    meta_close(east.m); // all is in the one file then
    store_backup(&east);
    store_reopen(&east);
    ck_assert_int_eq(put(&east, "app", "v1", "{2}"), 0);
    ck_assert_int_eq(put(&east, "app", "v2", "{3}"), 0);
    struct buf before, after;
    buf_init(&before, 0);
    buf_init(&after, 0);
    listing(&east, &before);
    carry(&east, &west);
    run_jobs(&west);
    meta_close(east.m);
    store_restore(&east);
    store_reopen(&east);
    ck_assert_uint_eq(head_seq(&east, "eastus"), 2);
    meta_gate_close(east.m, META_GATE_RECOVERY, "recovering");
    struct arena a;
    struct feed_entry *e;
    struct feed_mark head;
    arena_init(&a, 0);
    size_t n = feed_all(&west, "eastus", &a, &e);
    ck_assert_uint_eq(n, 6);
    struct feed_mark m = mark_of(&e[5]);
    // the peer is ahead of us
    ck_assert_int_eq(meta_feed_check(east.m, "eastus", &m), ERR_CONFLICT);
    struct recovered done = {0};
    ck_assert_int_eq(meta_recover(east.m, e, n, &done), 0);
    ck_assert_uint_eq(done.n_put_back, 4);
    ck_assert_uint_eq(done.n_restated, 0); // the epoch is open still: who reads on finds them
    ck_assert_uint_eq(done.epoch, 1);
    ck_assert_int_eq(meta_recover(east.m, e, n, &done), 0); // again
    ck_assert_uint_eq(done.n_put_back, 0);
    ck_assert_uint_eq(run_jobs(&east), 4); // these manifests are no JSON: left to the jobs
    listing(&east, &after);
    ck_assert_str_eq(before.p, after.p);
    ck_assert_int_eq(meta_feed_check(east.m, "eastus", &m), 0);
    uint64_t epoch = 0, second = 0;
    ck_assert_int_eq(meta_epoch_begin(east.m, 1, &epoch), 0);
    ck_assert_uint_eq(epoch, 2);
    meta_close(east.m);
    store_reopen(&east); // the epoch was begun for good
    ck_assert_int_eq(meta_epoch_begin(east.m, 7, &second), 0);
    ck_assert_uint_eq(second, 8);
    ck_assert_int_eq(put(&east, "app", "v3", "{4}"), 0);
    ck_assert_int_eq(meta_head(east.m, "eastus", &head), 0);
    ck_assert_uint_eq(head.epoch, 8);
    ck_assert_uint_eq(head.seq, 2);
    feed_verify(&east, "eastus"); // one chain over both epochs
    carry(&east, &west);
    run_jobs(&west);
    expect_tag(&west, "app", "v3", "{4}");
    buf_done(&before);
    buf_done(&after);
    arena_done(&a);
    store_end(&east);
    store_end(&west);
}
END_TEST

START_TEST(what_differs_is_restated_once)
{
    store_begin(&east, "eastus");
    store_begin(&west, "westeurope");
    ck_assert_int_eq(put(&east, "app", "base", "{0}"), 0);
    meta_close(east.m);
    store_backup(&east);
    store_reopen(&east);
    ck_assert_int_eq(put(&east, "app", "lost", "{1}"), 0);
    carry(&east, &west);
    meta_close(east.m);
    store_restore(&east);
    store_reopen(&east);
    // the same sequences, said anew: what must be mended
    ck_assert_int_eq(put(&east, "app", "new", "{2}"), 0);
    struct arena a;
    struct feed_entry *e, *mine;
    arena_init(&a, 0);
    size_t n = feed_all(&west, "eastus", &a, &e);
    ck_assert_uint_eq(n, 4);
    struct recovered done = {0};
    ck_assert_int_eq(meta_recover(east.m, e, n, &done), 0);
    ck_assert_uint_eq(done.n_put_back, 0);
    ck_assert_uint_eq(done.n_restated, 2);
    ck_assert_uint_eq(done.epoch, 2);
    run_jobs(&east);
    expect_tag(&east, "app", "lost", "{1}");
    expect_tag(&east, "app", "new", "{2}");
    ck_assert_int_eq(meta_recover(east.m, e, n, &done), 0); // again: nothing new
    ck_assert_uint_eq(done.n_restated, 0);
    ck_assert_uint_eq(feed_all(&east, "eastus", &a, &mine), 6);
    ck_assert_uint_eq(mine[5].restates, e[3].stamp);
    ck_assert_uint_eq(mine[5].epoch, 2);
    ck_assert(bytes_equal(mine[4].content, bytes_str("{1}")));
    feed_verify(&east, "eastus");
    struct tag_version *v;
    ck_assert_int_eq(meta_tag_history(east.m, REG, "app", "lost", 10, &a, &v, &n), 0);
    ck_assert_uint_eq(n, 1);
    ck_assert_uint_eq(v[0].stamp, e[3].stamp); // the register counts from when it was written
    ck_assert_int_eq(meta_recover(east.m, NULL, 0, &done), 0);
    ck_assert_uint_eq(done.epoch, 2);
    struct feed_entry foreign = e[0];
    foreign.origin = "westeurope";
    ck_assert_int_eq(meta_recover(east.m, &foreign, 1, &done), ERR_INVAL);
    arena_done(&a);
    store_end(&east);
    store_end(&west);
}
END_TEST

// Lost after the epoch had closed: put back and announced again. A restating entry that was lost
// too, and is put back in a closed epoch, does not count as an announcement.
START_TEST(what_was_lost_from_a_closed_epoch_is_announced_again)
{
    store_begin(&east, "eastus");
    store_begin(&west, "westeurope");
    ck_assert_int_eq(put(&east, "app", "v1", "{1}"), 0);
    carry(&east, &west);
    struct arena a;
    struct feed_entry *e, *mine;
    struct recovered done;
    uint64_t epoch;
    arena_init(&a, 0);
    // all is lost, twice over what it said of the loss before
    for (unsigned round = 0; round < 3; round++) {
        meta_close(east.m);
        store_lose(&east);
        store_reopen(&east);
        ck_assert_int_eq(meta_epoch_begin(east.m, 10 * (round + 1), &epoch), 0);
        size_t n = feed_all(&west, "eastus", &a, &e);
        ck_assert_int_eq(meta_recover(east.m, e, n, &done), 0);
        ck_assert_uint_eq(done.n_put_back, n);
        ck_assert_uint_eq(done.n_restated, 2);
        ck_assert_uint_eq(done.epoch, epoch);
        size_t n_mine = feed_all(&east, "eastus", &a, &mine);
        ck_assert_uint_eq(n_mine, n + 2);
        ck_assert_uint_eq(mine[n].epoch, epoch);
        ck_assert_uint_eq(mine[n + 1].restates, e[1].stamp);
        feed_verify(&east, "eastus");
        ck_assert_int_eq(meta_recover(east.m, e, n, &done), 0);
        ck_assert_uint_eq(done.n_restated, 0);
        carry(&east, &west);
    }
    run_jobs(&east);
    run_jobs(&west);
    expect_tag(&west, "app", "v1", "{1}");
    expect_tag(&east, "app", "v1", "{1}");
    arena_done(&a);
    store_end(&east);
    store_end(&west);
}
END_TEST

START_TEST(recovered_entries_whose_content_is_lost_become_jobs)
{
    store_begin(&east, "eastus");
    store_begin(&west, "westeurope");
    static const char text[] =
        "{\"schemaVersion\":2,\"config\":{\"mediaType\":\"a/b\",\"digest\":\"sha256:"
        "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\",\"size\":1},"
        "\"layers\":[]}";
    struct digest config;
    struct put_result r;
    ck_assert_int_eq(
        digest_parse("sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef", 71,
                     &config),
        0);
    struct manifest_ref ref = {REF_BLOB, config, 1};
    ck_assert_int_eq(lease_give(east.m, REG, "app", &config, 1, NULL), 0);
    ck_assert_int_eq(put_refs(&east, "app", "v1", text, &ref, 1, &r), 0);
    carry(&east, &west);
    struct arena a;
    struct feed_entry *e;
    struct job *jobs;
    size_t n, n_jobs;
    int64_t next;
    arena_init(&a, 0);
    n = feed_all(&west, "eastus", &a, &e);
    meta_close(east.m); // the disk is lost
    store_lose(&east);
    store_reopen(&east);
    struct recovered done;
    ck_assert_int_eq(meta_recover(east.m, e, n, &done), 0);
    expect_tag(&east, "app", "v1", NULL);
    ck_assert_uint_eq(head_seq(&east, "eastus"), 2);
    ck_assert_int_eq(meta_jobs_due(east.m, clock_mono_ms(), 10, &a, &jobs, &n_jobs, &next), 0);
    ck_assert_uint_eq(n_jobs, 2);
    struct origin_status *o;
    size_t n_origins;
    ck_assert_int_eq(meta_origins_of(east.m, REG, &a, &o, &n_origins), 0); // nothing is hidden
    ck_assert_uint_eq(n_origins, 1);
    ck_assert_str_eq(o[0].origin, "eastus");
    ck_assert_uint_eq(o[0].n_pending, 2);
    ck_assert_uint_eq(o[0].read.seq, 2);
    ck_assert_uint_eq(o[0].applied.seq, 0);
    ck_assert_int_eq(lease_give(east.m, REG, "app", &config, 1, NULL), 0); // fetched
    ck_assert_int_eq(meta_apply(east.m, &jobs[0].entry, jobs[0].entry.content, &ref, 1, &config),
                     0);
    ck_assert_int_eq(meta_apply(east.m, &jobs[1].entry, (struct bytes){0}, NULL, 0, &config), 0);
    expect_tag(&east, "app", "v1", text);
    ck_assert_int_eq(meta_origins_of(east.m, REG, &a, &o, &n_origins), 0);
    ck_assert_uint_eq(n_origins, 0);
    arena_done(&a);
    store_end(&east);
    store_end(&west);
}
END_TEST

CHECK_MAIN("store/meta peers", a_push_arrives, several_entries_are_applied_together,
           a_tag_waits_for_its_manifest_and_is_woken, jobs_are_moved_and_called_back,
           what_has_no_room_is_parked_and_holds_back_no_mark,
           a_tombstone_ends_the_parked_jobs_of_its_manifest,
           a_parked_job_is_looked_at_again_for_good_reasons, of_several_errors_the_worst_is_told,
           parked_jobs_come_back_as_far_as_they_fit_together,
           a_later_entry_of_a_tag_ends_the_one_that_waits_for_room,
           a_job_that_is_dropped_holds_back_no_mark, registries_take_turns,
           marks_are_checked_and_filters_move_them,
           a_write_beats_the_tag_it_replaces_whatever_the_clock_says,
           any_order_gives_the_same_state, a_restored_backup_recovers_and_uses_no_sequence_twice,
           what_differs_is_restated_once, what_was_lost_from_a_closed_epoch_is_announced_again,
           recovered_entries_whose_content_is_lost_become_jobs)
