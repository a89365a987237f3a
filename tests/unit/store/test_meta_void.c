// SPDX-License-Identifier: Apache-2.0
// store/meta: feed keys that are revoked. What they signed after that place is void in every store,
// whatever came first; registers fall back to the best that is left; nothing of it comes back.
#include "base/register.h"
#include "tests/unit/store/meta_histories.h"

#include <unistd.h>

#define GOOD "westeurope-1"

static struct region_store east, west, south;

static const char *memory_dir(void)
{
    return access("/dev/shm", W_OK) ? "/tmp" : "/dev/shm";
}

static struct feed_mark mark_of(const struct feed_entry *e)
{
    struct feed_mark m = {.epoch = e->epoch, .seq = e->seq};
    memcpy(m.hash, e->hash, sizeof m.hash);
    return m;
}

static struct feed_entry signed_by(struct feed_entry e, const char *key)
{
    char place[64];
    snprintf(place, sizeof place, "%s/%s/%llu/%llu", e.origin, key, (unsigned long long)e.epoch,
             (unsigned long long)e.seq);
    sha256(place, strlen(place), e.hash);
    e.key = key;
    return e;
}

static int take(struct region_store *s, const struct feed_entry *e)
{
    struct feed_mark m = mark_of(e);
    return meta_ingest(s->m, e->origin, e, 1, &m);
}

// Applies what is due until nothing moves; the texts of the two indexes have children.
static void settle(struct region_store *s)
{
    for (bool moved = true; moved;) {
        struct arena a;
        struct job *jobs;
        struct digest missing, index = digest_str("{I}");
        size_t n;
        int64_t next;
        struct manifest_ref child = {REF_MANIFEST, digest_str("{Y}"), 3};
        arena_init(&a, 0);
        moved = false;
        ck_assert_int_eq(meta_jobs_due(s->m, INT64_MAX - 1, 64, &a, &jobs, &n, &next), 0);
        for (size_t i = 0; i < n; i++) {
            bool is_index =
                jobs[i].entry.kind == ENTRY_MANIFEST && digest_equal(&jobs[i].entry.digest, &index);
            int rc =
                meta_apply(s->m, &jobs[i].entry, jobs[i].entry.content, &child, is_index, &missing);
            ck_assert(rc == 0 || rc == ERR_NOTFOUND);
            moved = moved || rc == 0;
        }
        arena_done(&a);
    }
}

static void key_revoke(struct region_store *s, const char *origin, const char *key, uint64_t epoch,
                       uint64_t seq, const uint8_t *hash)
{
    struct meta_revocation r = {.origin = origin, .key = key, .epoch = epoch, .seq = seq};
    struct meta_revoked done;
    if (hash)
        memcpy(r.hash, hash, sizeof r.hash);
    ck_assert_int_eq(meta_revoke(s->m, &r, 1, &done), 0);
}

static size_t sweep(struct region_store *s, size_t piece)
{
    size_t n = 0;
    for (struct meta_swept done = {.more = true}; done.more;) {
        ck_assert_int_eq(meta_revoke_sweep(s->m, piece, &done), 0);
        n += done.n_void;
    }
    return n;
}

static bool visible(struct region_store *s, const char *repo, const char *text)
{
    struct arena a;
    struct manifest_row row;
    struct digest d = digest_str(text);
    arena_init(&a, 0);
    int rc = meta_manifest_get(s->m, REG, repo, NULL, &d, &a, &row);
    arena_done(&a);
    ck_assert(rc == 0 || rc == ERR_NOTFOUND);
    return rc == 0;
}

// The state of a repository as a text: tags with their registers and histories, manifests with
// theirs.
static void state_of(struct region_store *s, const char *repo, struct buf *out)
{
    static const char *const tags[] = {"t", "u"}, *const texts[] = {"{X}", "{Y}", "{Z}", "{I}"};
    struct arena a;
    struct manifest_row row;
    struct tag_version *v;
    size_t n;
    arena_init(&a, 0);
    buf_clear(out);
    for (size_t i = 0; i < ARRAY_LEN(tags); i++) {
        if (meta_manifest_get(s->m, REG, repo, tags[i], NULL, &a, &row))
            continue;
        buf_printf(out, "%s %.*s %llu %s\n", tags[i], (int)row.content.n,
                   (const char *)row.content.p, (unsigned long long)row.stamp, row.origin);
        ck_assert_int_eq(meta_tag_history(s->m, REG, repo, tags[i], 100, &a, &v, &n), 0);
        for (size_t k = 0; k < n; k++)
            buf_printf(out, "  %02x %llu %s\n", v[k].digest.b[0], (unsigned long long)v[k].stamp,
                       v[k].origin);
    }
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        struct digest d = digest_str(texts[i]);
        if (meta_manifest_get(s->m, REG, repo, NULL, &d, &a, &row) == 0)
            buf_printf(out, "%s %llu %s\n", texts[i], (unsigned long long)row.stamp, row.origin);
    }
    ck_assert_int_eq(out->err, 0);
    arena_done(&a);
}

static struct feed_entry tag_entry(const char *origin, uint64_t epoch, uint64_t seq, uint64_t stamp,
                                   const char *repo, const char *tag, const char *text)
{
    struct feed_entry e = entry(origin, epoch, seq, stamp, ENTRY_TAG, repo, text);
    e.tag = tag;
    return e;
}

static const char *was_of(struct region_store *s, const struct feed_entry *e, bool *out_there)
{
    struct arena a;
    struct voided_row *rows;
    size_t n;
    const char *was = NULL;
    arena_init(&a, 0);
    ck_assert_int_eq(meta_voided(s->m, REG, 0, 1000, &a, &rows, &n), 0);
    for (size_t i = 0; i < n; i++)
        if (memcmp(rows[i].entry.hash, e->hash, ENTRY_HASH_BYTES) == 0) {
            was = !strcmp(rows[i].was, "stood")     ? "stood"
                  : !strcmp(rows[i].was, "pending") ? "pending"
                                                    : "replaced";
            ck_assert_str_eq(rows[i].reason, "revoked");
            ck_assert_str_eq(rows[i].entry.key, e->key);
            *out_there = rows[i].there;
        }
    arena_done(&a);
    return was;
}

START_TEST(registers_fall_back_or_go)
{
    bool there;
    struct digest missing;
    store_begin(&south, "southeastasia");
    const struct feed_entry good[] = {
        signed_by(entry("eastus", 1, 1, 1, ENTRY_MANIFEST, "app", "{X}"), "eastus-1"),
        signed_by(tag_entry("eastus", 1, 2, 2, "app", "t", "{X}"), "eastus-1"),
    };
    const struct feed_entry bad[] = {
        signed_by(entry("eastus", 1, 3, 5, ENTRY_MANIFEST, "app", "{Y}"), "eastus-1"),
        signed_by(tag_entry("eastus", 1, 4, 6, "app", "t", "{Y}"), "eastus-1"),
        signed_by(tag_entry("eastus", 1, 5, 7, "app", "t", "{Y}"), "eastus-1"),
        signed_by(tag_entry("eastus", 1, 6, 8, "app", "u", "{Y}"), "eastus-1"),
        signed_by(entry("eastus", 1, 7, 9, ENTRY_MANIFEST, "app", "{X}"), "eastus-1"),
        // waits for its manifest
        signed_by(tag_entry("eastus", 1, 8, 10, "app", "w", "{Z}"), "eastus-1"),
    };
    for (size_t i = 0; i < ARRAY_LEN(good); i++)
        ck_assert_int_eq(take(&south, &good[i]), 0);
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        ck_assert_int_eq(take(&south, &bad[i]), 0);
    settle(&south);
    expect_tag(&south, "app", "t", "{Y}");
    expect_tag(&south, "app", "u", "{Y}");
    key_revoke(&south, "eastus", "eastus-1", 1, 2, good[1].hash);
    ck_assert_uint_eq(sweep(&south, 64), ARRAY_LEN(bad));
    expect_tag(&south, "app", "t", "{X}");
    expect_tag(&south, "app", "u", NULL);
    ck_assert(!visible(&south, "app", "{Y}"));
    ck_assert_str_eq(was_of(&south, &bad[1], &there), "replaced");
    ck_assert_str_eq(was_of(&south, &bad[2], &there), "stood");
    ck_assert(there);
    ck_assert_str_eq(was_of(&south, &bad[3], &there), "stood");
    ck_assert(!there);
    ck_assert_str_eq(was_of(&south, &bad[5], &there), "pending");
    ck_assert_ptr_null(was_of(&south, &good[1], &there));
    // No job is left, and none of it comes back: not read, not applied, not relayed.
    struct arena a;
    struct job *jobs;
    struct feed_entry *e;
    size_t n;
    int64_t next;
    arena_init(&a, 0);
    ck_assert_int_eq(meta_jobs_due(south.m, INT64_MAX - 1, 64, &a, &jobs, &n, &next), 0);
    ck_assert_uint_eq(n, 0);
    ck_assert_int_eq(take(&south, &bad[2]), ERR_AUTH);
    ck_assert_int_eq(meta_apply(south.m, &bad[2], (struct bytes){0}, NULL, 0, &missing), 0);
    expect_tag(&south, "app", "t", "{X}");
    ck_assert_uint_eq(feed_all(&south, "eastus", &a, &e), 2);
    struct feed_entry fork = signed_by(tag_entry("eastus", 1, 2, 2, "app", "t", "{Z}"), "eastus-1");
    fork.hash[0] ^= 1; // in the very place of the last good one
    ck_assert_int_eq(take(&south, &fork), ERR_AUTH);
    arena_done(&a);
    store_end(&south);
}
END_TEST

// A manifest that only void entries assert stays while what others wrote leads to it, and no
// longer.
START_TEST(what_is_led_to_stays_as_long)
{
    store_begin(&south, "southeastasia");
    const struct feed_entry e[] = {
        signed_by(entry("eastus", 1, 1, 1, ENTRY_MANIFEST, "app", "{Y}"), "eastus-1"),
        // an index over Y
        signed_by(entry("westeurope", 1, 1, 2, ENTRY_MANIFEST, "app", "{I}"), GOOD),
        signed_by(tag_entry("westeurope", 1, 2, 3, "app", "t", "{Y}"), GOOD),
        signed_by(tag_entry("westeurope", 1, 3, 4, "app", "u", "{I}"), GOOD),
        signed_by(entry("westeurope", 1, 4, 5, ENTRY_MANIFEST, "app", "{X}"), GOOD),
        signed_by(tag_entry("westeurope", 1, 5, 6, "app", "t", "{X}"), GOOD),
    };
    for (size_t i = 0; i < 4; i++)
        ck_assert_int_eq(take(&south, &e[i]), 0);
    settle(&south);
    key_revoke(&south, "eastus", "eastus-1", 1, 0, NULL); // all that it ever signed
    ck_assert_uint_eq(sweep(&south, 64), 1);
    expect_tag(&south, "app", "t", "{Y}");
    ck_assert(visible(&south, "app", "{Y}"));
    ck_assert_int_eq(take(&south, &e[4]), 0);
    ck_assert_int_eq(take(&south, &e[5]), 0);
    settle(&south);
    expect_tag(&south, "app", "t", "{X}");
    ck_assert(visible(&south, "app", "{Y}")); // the index leads to it
    key_revoke(&south, "westeurope", GOOD, 1, 0, NULL);
    sweep(&south, 64);
    ck_assert(!visible(&south, "app", "{I}"));
    ck_assert(!visible(&south, "app", "{Y}"));
    ck_assert(!visible(&south, "app", "{X}"));
    expect_tag(&south, "app", "t", NULL);
    store_end(&south);
}
END_TEST

// More void versions than a tag's history keeps: the value below them is found all the same, in the
// log.
START_TEST(a_flood_does_not_push_the_good_value_out)
{
    store_begin_in(&south, "southeastasia", memory_dir());
    struct feed_entry x =
        signed_by(entry("eastus", 1, 1, 1, ENTRY_MANIFEST, "app", "{X}"), "eastus-1");
    struct feed_entry t = signed_by(tag_entry("eastus", 1, 2, 2, "app", "t", "{X}"), "eastus-1");
    struct feed_entry y =
        signed_by(entry("eastus", 1, 3, 3, ENTRY_MANIFEST, "app", "{Y}"), "eastus-1");
    ck_assert_int_eq(take(&south, &x), 0);
    ck_assert_int_eq(take(&south, &t), 0);
    ck_assert_int_eq(take(&south, &y), 0);
    for (uint64_t i = 0; i < META_HISTORY_MAX + 20; i++) {
        struct feed_entry e =
            signed_by(tag_entry("eastus", 1, 4 + i, 4 + i, "app", "t", "{Y}"), "eastus-1");
        ck_assert_int_eq(take(&south, &e), 0);
    }
    settle(&south);
    struct arena a;
    struct tag_version *v;
    size_t n;
    arena_init(&a, 0);
    ck_assert_int_eq(meta_tag_history(south.m, REG, "app", "t", 1000, &a, &v, &n), 0);
    ck_assert_uint_eq(n, META_HISTORY_MAX);
    key_revoke(&south, "eastus", "eastus-1", 1, 2, t.hash);
    // In pieces of two, with a restart after each: what a kill leaves is gone on with.
    size_t swept = 0, rounds = 0;
    for (struct meta_swept done = {.more = true}; done.more; rounds++) {
        ck_assert_int_eq(meta_revoke_sweep(south.m, rounds < 10 ? 2 : 50, &done), 0);
        swept += done.n_void;
        if (rounds < 10) {
            meta_close(south.m);
            store_reopen(&south);
        }
    }
    ck_assert_uint_eq(swept, META_HISTORY_MAX + 21);
    expect_tag(&south, "app", "t", "{X}");
    ck_assert_int_eq(meta_tag_history(south.m, REG, "app", "t", 1000, &a, &v, &n), 0);
    ck_assert_uint_eq(n, 1);
    ck_assert_int_eq(take(&south, &y), ERR_AUTH); // known after a restart
    arena_done(&a);
    store_end(&south);
}
END_TEST

// --- every order of arrival, with the revocation anywhere in it ---

struct small_history {
    struct feed_entry e[6];
    // the first n_good of `eastus` are good
    size_t n, n_good;
    const char *expect;
};

// `place`: of the last good entry of eastus in e.
static void history_of(unsigned which, unsigned turn, const char *repo, const char *key,
                       const char *good, struct small_history *out, size_t *out_last)
{
    *out = (struct small_history){0};
    struct feed_entry *e = out->e;
    switch (which) {
    case 0: // a good value below, void ones above, and one of another region between
        e[0] = signed_by(entry("eastus", turn, 1, 1, ENTRY_MANIFEST, repo, "{X}"), key);
        e[1] = signed_by(tag_entry("eastus", turn, 2, 2, repo, "t", "{X}"), key);
        e[2] = signed_by(tag_entry("westeurope", turn, 2, 3, repo, "t", "{X}"), good);
        e[3] = signed_by(entry("eastus", turn, 3, 4, ENTRY_MANIFEST, repo, "{Y}"), key);
        e[4] = signed_by(tag_entry("eastus", turn, 4, 5, repo, "t", "{Y}"), key);
        *out_last = 1;
        break;
    // equal stamps: the void one wins by its region's name; another region asserts the same
    // manifest
    case 1:
        e[0] = signed_by(entry("eastus", turn, 1, 1, ENTRY_MANIFEST, repo, "{X}"), good);
        e[1] = signed_by(tag_entry("eastus", turn, 2, 4, repo, "t", "{X}"), good);
        e[2] = signed_by(entry("westeurope", turn, 1, 3, ENTRY_MANIFEST, repo, "{X}"), key);
        e[3] = signed_by(entry("westeurope", turn, 2, 3, ENTRY_MANIFEST, repo, "{Z}"), key);
        e[4] = signed_by(tag_entry("westeurope", turn, 3, 4, repo, "t", "{Z}"), key);
        *out_last = SIZE_MAX;
        break;
    default: // only void: all is gone. Another key of the same region goes on after it
        e[0] = signed_by(entry("eastus", turn, 1, 1, ENTRY_MANIFEST, repo, "{Y}"), key);
        e[1] = signed_by(tag_entry("eastus", turn, 2, 2, repo, "t", "{Y}"), key);
        e[2] = signed_by(tag_entry("eastus", turn, 3, 3, repo, "u", "{Y}"), key);
        e[3] = signed_by(entry("eastus", turn, 4, 4, ENTRY_MANIFEST, repo, "{X}"), good);
        e[4] = signed_by(tag_entry("eastus", turn, 5, 5, repo, "u", "{X}"), good);
        *out_last = SIZE_MAX;
    }
    out->n = 5;
}

static void history_play(unsigned which, unsigned turn, const size_t order[6], struct buf *out)
{
    char repo[16], key[24], good[24];
    struct small_history h;
    size_t last;
    snprintf(repo, sizeof repo, "r%u", turn);
    snprintf(key, sizeof key, "bad-%u", turn);
    snprintf(good, sizeof good, "good-%u", turn);
    history_of(which, turn, repo, key, good, &h, &last);
    const char *origin = which == 1 ? "westeurope" : "eastus";
    bool revoked = false;
    for (size_t i = 0; i < 6; i++) {
        if (order[i] == 5) {
            key_revoke(&south, origin, key, turn, last == SIZE_MAX ? 0 : h.e[last].seq,
                       last == SIZE_MAX ? NULL : h.e[last].hash);
            sweep(&south, 1 + turn % 4);
            revoked = true;
            continue;
        }
        const struct feed_entry *e = &h.e[order[i]];
        bool is_void = strcmp(e->key, key) == 0 && (last == SIZE_MAX || e->seq > h.e[last].seq);
        ck_assert_int_eq(take(&south, e), revoked && is_void ? ERR_AUTH : 0);
        if (turn % 2 || i == 3) // others wait and come together
            settle(&south);
        if (i % 2)
            ck_assert_int_eq(take(&south, e), revoked && is_void ? ERR_AUTH : 0); // again
    }
    settle(&south);
    state_of(&south, repo, out);
}

static void every_order(unsigned which)
{
    static const char *const expected[] = {"t {X} 3 westeurope\n", "t {X} 4 eastus\n",
                                           "u {X} 5 eastus\n"};
    struct buf first, next;
    size_t order[6] = {0, 1, 2, 3, 4, 5};
    unsigned turn = 0;
    buf_init(&first, 0);
    buf_init(&next, 0);
    store_begin_in(&south, "southeastasia", memory_dir());
    do {
        turn++;
        history_play(which, turn, order, turn == 1 ? &first : &next);
        if (turn > 1)
            ck_assert_msg(strcmp(first.p, next.p) == 0, "order %zu%zu%zu%zu%zu%zu:\n%s\n%s",
                          order[0], order[1], order[2], order[3], order[4], order[5],
                          buf_cstr(&first), buf_cstr(&next));
    } while (permute(order, 6));
    ck_assert_uint_eq(turn, 720);
    ck_assert_msg(strncmp(buf_cstr(&first), expected[which], strlen(expected[which])) == 0, "%s",
                  buf_cstr(&first));
    ck_assert_ptr_null(strstr(buf_cstr(&first), "{Y}"));
    ck_assert_ptr_null(strstr(buf_cstr(&first), "{Z}"));
    buf_done(&first);
    buf_done(&next);
    store_end(&south);
}

START_TEST(every_order_ends_in_the_same_state)
{
    for (unsigned which = 0; which < 3; which++)
        every_order(which);
}
END_TEST

// --- three regions ---

static uint32_t seed;

static uint32_t rnd(uint32_t n)
{
    seed = seed * 1664525 + 1013904223;
    return (seed >> 8) % n;
}

// `to` reads on in `from`'s feed, at most `max` entries, from its read mark; false when that is no
// place there.
static bool read_on(struct region_store *from, struct region_store *to, size_t max)
{
    struct arena a;
    struct origin_status *o;
    struct feed_entry *e;
    struct feed_mark at = {0}, last;
    size_t n;
    arena_init(&a, 0);
    ck_assert_int_eq(meta_revoke_rewind(to->m, from->region), 0);
    ck_assert_int_eq(meta_origins(to->m, &a, &o, &n), 0);
    for (size_t i = 0; i < n; i++)
        if (strcmp(o[i].origin, from->region) == 0)
            at = o[i].read;
    bool placed = meta_feed_check(from->m, from->region, &at) == 0;
    if (placed) {
        ck_assert_int_eq(
            meta_feed_read(from->m, from->region, &at, NULL, 0, max, &a, &e, &n, &last), 0);
        int rc = meta_ingest(to->m, from->region, e, n, &last);
        // the reader knows of the revocation, the writer not yet
        ck_assert_msg(rc == 0 || rc == ERR_AUTH, "%d", rc);
        settle(to);
    }
    arena_done(&a);
    return placed;
}

static void key_change(struct region_store *s, const char *key)
{
    meta_close(s->m);
    s->key = key;
    store_reopen(s);
}

// East's key is stolen: what it signs after a place is void. The three regions learn of it at
// different times, having read more or less; east goes on with a new key, in a new epoch. In the
// end all hold the same.
static void agree(uint32_t from)
{
    struct region_store *all[] = {&east, &west, &south};
    seed = from;
    store_begin_in(&east, "eastus", memory_dir());
    store_begin_in(&west, "westeurope", memory_dir());
    store_begin_in(&south, "southeastasia", memory_dir());
    key_change(&east, "eastus-stolen");
    static const char *const texts[] = {"{X}", "{Y}", "{Z}"}, *const tags[] = {"t", "u", NULL};
    struct feed_mark last_good = {0};
    bool told[3] = {false, false, false}, changed = false;
    for (unsigned step = 0; step < 60; step++) {
        unsigned i = rnd(3), k = rnd(3);
        struct region_store *s = all[i];
        if (step == 20)
            ck_assert_int_eq(meta_head(east.m, "eastus", &last_good), 0);
        if (step >= 35 && !told[k] && rnd(4) == 0) {
            key_revoke(all[k], "eastus", "eastus-stolen", last_good.epoch, last_good.seq,
                       last_good.hash);
            sweep(all[k], 1 + rnd(5));
            told[k] = true;
        }
        if (told[0] && !changed) {
            ck_assert_int_eq(put(&east, "app", "t", "{X}"), ERR_AUTH); // not with that key
            ck_assert(!meta_writable(east.m));
            key_change(&east, "eastus-new");
            changed = true;
        }
        if (i != k && rnd(2))
            read_on(all[k], s, 1 + rnd(4)); // whatever comes of it now
        else if (i != 0 || step < 35 || changed)
            ck_assert_int_eq(put(s, "app", tags[rnd(3)], texts[rnd(3)]), 0);
    }
    for (unsigned i = 0; i < 3; i++)
        if (!told[i]) {
            key_revoke(all[i], "eastus", "eastus-stolen", last_good.epoch, last_good.seq,
                       last_good.hash);
            sweep(all[i], 3);
        }
    if (!changed)
        key_change(&east, "eastus-new");
    ck_assert_int_eq(put(&east, "app", "last", "{X}"), 0);
    for (unsigned i = 0; i < 9; i++)
        if (i / 3 != i % 3)
            ck_assert(read_on(all[i / 3], all[i % 3], 5000));
    struct buf state[3];
    for (unsigned i = 0; i < 3; i++) {
        buf_init(&state[i], 0);
        settle(all[i]);
        state_of(all[i], "app", &state[i]);
        expect_tag(all[i], "app", "last", "{X}");
    }
    ck_assert_msg(strcmp(state[0].p, state[1].p) == 0 && strcmp(state[0].p, state[2].p) == 0,
                  "seed %u:\n%s\n%s\n%s", from, state[0].p, state[1].p, state[2].p);
    for (unsigned i = 0; i < 3; i++) {
        buf_done(&state[i]);
        store_end(all[i]);
    }
}

START_TEST(regions_that_read_more_or_less_agree)
{
    for (uint32_t n = 1; n <= 40; n++)
        agree(n);
}
END_TEST

// Own entries that became void are not put back from a peer that has not heard of it; the places
// are not used again.
START_TEST(recovery_takes_nothing_void)
{
    store_begin(&east, "eastus");
    store_begin(&west, "westeurope");
    key_change(&east, "eastus-stolen");
    struct arena a;
    struct feed_entry *e;
    struct feed_mark good, head;
    struct recovered done;
    bool lost = true;
    arena_init(&a, 0);
    ck_assert_int_eq(put(&east, "app", "t", "{X}"), 0);
    ck_assert_int_eq(meta_head(east.m, "eastus", &good), 0);
    ck_assert_int_eq(put(&east, "app", "t", "{Y}"), 0);
    read_on(&east, &west, 100);
    key_revoke(&east, "eastus", "eastus-stolen", good.epoch, good.seq, good.hash);
    sweep(&east, 64);
    expect_tag(&east, "app", "t", "{X}");
    size_t n = feed_all(&west, "eastus", &a, &e);
    ck_assert_uint_eq(n, 4);
    ck_assert_int_eq(meta_lost(east.m, &e[3], &lost), 0);
    ck_assert(!lost);
    ck_assert_int_eq(meta_recover(east.m, e, n, &done), 0);
    ck_assert_uint_eq(done.n_put_back + done.n_restated, 0);
    expect_tag(&east, "app", "t", "{X}");
    key_change(&east, "eastus-new");
    ck_assert_int_eq(put(&east, "app", "t", "{Z}"), 0);
    ck_assert_int_eq(meta_head(east.m, "eastus", &head), 0);
    ck_assert_uint_gt(head.epoch, good.epoch);
    feed_verify(&east, "eastus");           // the chain goes on from the last good one
    ck_assert(!read_on(&east, &west, 100)); // where west stands is no place any more
    key_revoke(&west, "eastus", "eastus-stolen", good.epoch, good.seq, good.hash);
    sweep(&west, 64);
    ck_assert(read_on(&east, &west, 100));
    expect_tag(&west, "app", "t", "{Z}");
    arena_done(&a);
    store_end(&east);
    store_end(&west);
}
END_TEST

// The thief's entries were read in the places of good ones. The place of the revocation tells; all
// is read again, and what is offered then replaces what is held.
START_TEST(a_fork_is_replaced_by_what_is_good)
{
    struct arena a;
    struct origin_status *o;
    size_t n;
    bool there;
    store_begin(&south, "southeastasia");
    arena_init(&a, 0);
    const struct feed_entry good[] = {
        signed_by(entry("eastus", 1, 1, 1, ENTRY_MANIFEST, "app", "{X}"), "eastus-1"),
        signed_by(tag_entry("eastus", 1, 2, 2, "app", "t", "{X}"), "eastus-1"),
        signed_by(tag_entry("eastus", 1, 3, 3, "app", "u", "{X}"), "eastus-1"),
    };
    struct feed_entry fork[] = {
        signed_by(tag_entry("eastus", 1, 2, 5, "app", "u", "{X}"), "eastus-1"),
        signed_by(tag_entry("eastus", 1, 3, 6, "app", "w", "{X}"), "eastus-1"),
    };
    fork[0].hash[0] ^= 1;
    fork[1].hash[0] ^= 1;
    ck_assert_int_eq(take(&south, &good[0]), 0);
    ck_assert_int_eq(take(&south, &fork[0]), 0);
    ck_assert_int_eq(take(&south, &fork[1]), 0);
    settle(&south);
    ck_assert_int_eq(take(&south, &good[1]), ERR_CONFLICT); // nothing says which one is good
    key_revoke(&south, "eastus", "eastus-1", 1, 3, good[2].hash);
    ck_assert_uint_eq(sweep(&south, 64), 1);
    expect_tag(&south, "app", "w", NULL);
    expect_tag(&south, "app", "u", "{X}"); // not known to be void yet
    ck_assert_int_eq(meta_revoke_rewind(south.m, "eastus"), 0);
    ck_assert_int_eq(meta_origins(south.m, &a, &o, &n), 0);
    ck_assert_uint_eq(n, 0); // from the start
    for (size_t i = 0; i < ARRAY_LEN(good); i++)
        ck_assert_int_eq(take(&south, &good[i]), 0);
    settle(&south);
    expect_tag(&south, "app", "t", "{X}");
    struct manifest_row row;
    ck_assert_int_eq(meta_manifest_get(south.m, REG, "app", "u", NULL, &a, &row), 0);
    ck_assert_uint_eq(row.stamp, 3);
    ck_assert_str_eq(was_of(&south, &fork[0], &there), "stood");
    ck_assert_int_eq(take(&south, &fork[0]), ERR_AUTH);
    ck_assert_int_eq(meta_revoke_rewind(south.m, "eastus"), 0); // once
    ck_assert_int_eq(meta_origins(south.m, &a, &o, &n), 0);
    ck_assert_uint_eq(n, 1);
    ck_assert_int_eq(meta_revoke_reread(south.m, "eastus"), 0);
    ck_assert_int_eq(meta_revoke_rewind(south.m, "eastus"), 0);
    ck_assert_int_eq(meta_origins(south.m, &a, &o, &n), 0);
    ck_assert_uint_eq(n, 0);
    arena_done(&a);
    store_end(&south);
}
END_TEST

START_TEST(a_revocation_is_final)
{
    struct meta_revocation r = {.origin = "eastus", .key = "eastus-1", .epoch = 3, .seq = 9};
    struct meta_revoked done;
    store_begin(&south, "southeastasia");
    ck_assert_int_eq(meta_revoke(south.m, &r, 1, &done), 0);
    ck_assert_uint_eq(done.n_new, 1);
    ck_assert_int_eq(meta_revoke(south.m, &r, 1, &done), 0); // told again
    ck_assert_uint_eq(done.n_new + done.n_ignored, 0);
    r.seq = 10;
    ck_assert_int_eq(meta_revoke(south.m, &r, 1, &done), 0);
    ck_assert_uint_eq(done.n_ignored, 1);
    ck_assert_int_eq(meta_revoke(south.m, NULL, 0, &done), 0); // left out of the topology
    struct feed_entry e = signed_by(tag_entry("eastus", 3, 10, 2, "app", "t", "{X}"), "eastus-1");
    ck_assert_int_eq(take(&south, &e), ERR_AUTH);
    e = signed_by(tag_entry("eastus", 3, 5, 2, "app", "t", "{X}"), "eastus-1");
    ck_assert_int_eq(take(&south, &e), 0);
    r.seq = 4; // earlier: sooner or later it was known
    ck_assert_int_eq(meta_revoke(south.m, &r, 1, &done), 0);
    ck_assert_uint_eq(done.n_new, 1);
    ck_assert_uint_eq(sweep(&south, 64), 1);
    // not that region's key
    e = signed_by(tag_entry("westeurope", 3, 10, 2, "app", "t", "{X}"), "eastus-1");
    ck_assert_int_eq(take(&south, &e), 0);
    store_end(&south);
}
END_TEST

// What lies behind the read mark is read again, and may bring entries in void places: none of it
// counts as applied meanwhile.
START_TEST(applied_goes_back_with_what_is_read)
{
    struct arena a;
    struct origin_status *o;
    size_t n;
    struct feed_entry e[] = {
        signed_by(entry("eastus", 1, 1, 1, ENTRY_MANIFEST, "app", "{X}"), "eastus-1"),
        signed_by(tag_entry("eastus", 1, 2, 2, "app", "t", "{X}"), "eastus-1"),
        signed_by(entry("eastus", 1, 3, 3, ENTRY_MANIFEST, "app", "{Y}"), "eastus-2"),
        // waits for its manifest
        signed_by(tag_entry("eastus", 1, 4, 4, "app", "u", "{Z}"), "eastus-2"),
    };
    store_begin(&south, "southeastasia");
    arena_init(&a, 0);
    for (size_t i = 0; i < ARRAY_LEN(e); i++)
        ck_assert_int_eq(take(&south, &e[i]), 0);
    settle(&south);
    ck_assert_int_eq(meta_origins(south.m, &a, &o, &n), 0);
    ck_assert_uint_eq(o[0].read.seq, 4);
    ck_assert_uint_eq(o[0].applied.seq, 3);
    key_revoke(&south, "eastus", "eastus-1", 1, 1, e[0].hash);
    ck_assert_uint_eq(sweep(&south, 64), 1);
    ck_assert_int_eq(meta_revoke_rewind(south.m, "eastus"), 0);
    ck_assert_int_eq(meta_origins(south.m, &a, &o, &n), 0);
    ck_assert_uint_eq(o[0].read.seq, 1);
    ck_assert_uint_eq(o[0].applied.seq, 1);
    arena_done(&a);
    store_end(&south);
}
END_TEST

CHECK_MAIN("store/meta void", registers_fall_back_or_go, what_is_led_to_stays_as_long,
           a_flood_does_not_push_the_good_value_out, every_order_ends_in_the_same_state,
           regions_that_read_more_or_less_agree, recovery_takes_nothing_void,
           a_fork_is_replaced_by_what_is_good, a_revocation_is_final,
           applied_goes_back_with_what_is_read)
