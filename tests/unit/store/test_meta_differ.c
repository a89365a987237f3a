// SPDX-License-Identifier: Apache-2.0
// store/meta_shown and store/meta_differ: regions that have applied the same entries show the same
// digests, whatever came first; while entries are still coming nothing is called wrong; what was
// lost or damaged is found, and made good by signed entries alone.
#include "store/meta_delete.h"
#include "store/meta_differ.h"
#include "store/meta_snapshot.h"
#include "tests/unit/store/meta_histories.h"
#include "tests/unit/store/small_world.h"

#include <sqlite3.h>
#include <stdlib.h>
#include <unistd.h>

#define N_STORES 2

static struct region_store stores[N_STORES];
static uint64_t seed = 1;

static size_t chance(size_t n)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (size_t)(seed >> 33) % n;
}

static void begin(void)
{
    const char *where = access("/dev/shm", W_OK) ? "/tmp" : "/dev/shm";
    store_begin_in(&stores[0], "eastus", where);
    store_begin_in(&stores[1], "westeurope", where);
}

static void end(void)
{
    for (size_t i = 0; i < N_STORES; i++)
        store_end(&stores[i]);
}

// --- the rule ---

START_TEST(what_may_be_lag_is_never_called_wrong)
{
    for (unsigned i = 0; i < 1u << 9; i++) {
        const struct differ_facts f = {
            .same = i & 1,
            .lacks_here = i >> 1 & 1,
            .behind_here = i >> 2 & 1,
            .open_here = i >> 3 & 1,
            .agrees_here = i >> 4 & 1,
            .lacks_there = i >> 5 & 1,
            .behind_there = i >> 6 & 1,
            .open_there = i >> 7 & 1,
            .agrees_there = i >> 8 & 1,
        };
        enum differ_verdict v = differ_rule(&f);
        ck_assert_int_eq(v == DIFFER_LACKS, f.lacks_here);
        if (f.open_here)
            ck_assert(v != DIFFER_WRONG_HERE && v != DIFFER_WRONG_THERE);
        if (f.behind_here || f.behind_there || f.open_there)
            ck_assert_int_ne(v, DIFFER_WRONG_THERE);
        if (f.agrees_here)
            ck_assert_int_ne(v, DIFFER_WRONG_HERE);
        if (!f.agrees_here && !f.open_here && !f.lacks_here)
            ck_assert_int_eq(v, DIFFER_WRONG_HERE);
        if (v == DIFFER_SAME)
            ck_assert(f.same);
        if (v == DIFFER_WRONG_THERE)
            ck_assert(!f.same && (f.lacks_there || !f.agrees_there));
        ck_assert_ptr_nonnull(differ_verdict_name(v));
    }
}
END_TEST

// --- names and sums ---

START_TEST(names_read_back_and_are_ordered)
{
    static const char *const bad[] = {
        "",       "repository",      "repository:x", "manifest:", "tag:",
        "tag:-x", "manifest:md5:00", "blob:",        "tag:a/b",   "manifest:sha256:00"};
    struct digest one = digest_str("1"), two = digest_str("2");
    if (memcmp(one.b, two.b, one.n) > 0) {
        one = two;
        two = digest_str("1");
    }
    const struct shown_subject list[] = {
        {.kind = SUBJECT_REPOSITORY},
        {.kind = SUBJECT_MANIFEST, .digest = one},
        {.kind = SUBJECT_MANIFEST, .digest = two},
        {.kind = SUBJECT_TAG, .tag = "B"},
        {.kind = SUBJECT_TAG, .tag = "a"},
    };
    for (size_t i = 0; i < ARRAY_LEN(list); i++) {
        char name[SHOWN_NAME_SIZE];
        struct shown_subject back;
        ck_assert_int_eq(shown_subject_parse(shown_subject_format(&list[i], name), &back), 0);
        for (size_t k = 0; k < ARRAY_LEN(list); k++) {
            int order = shown_subject_order(&back, &list[k]);
            ck_assert_int_eq((order > 0) - (order < 0), (i > k) - (i < k));
        }
    }
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct shown_subject s;
        ck_assert_int_eq(shown_subject_parse(bad[i], &s), ERR_INVAL);
    }
}
END_TEST

START_TEST(a_sum_has_no_order_and_carries)
{
    struct shown_item items[3] = {0};
    size_t order[3] = {0, 1, 2};
    struct shown_sum first = {0};
    memset(items[0].hash, 0xff, SHA256_BYTES);
    items[1].hash[SHA256_BYTES - 1] = 1; // with the first one: 2^256, which is 0
    items[2].hash[7] = 9;
    for (size_t i = 0; i < 3; i++)
        shown_sum_add(&first, &items[i]);
    ck_assert_mem_eq(first.b, items[2].hash, SHA256_BYTES);
    ck_assert_uint_eq(first.n, 3);
    do {
        struct shown_sum s = {0};
        for (size_t i = 0; i < 3; i++)
            shown_sum_add(&s, &items[order[i]]);
        ck_assert(shown_sum_equal(&s, &first));
    } while (permute(order, 3));
}
END_TEST

// --- what a store shows ---

// The sum of a repository, by pages of that size; a page may be of size 1.
static struct shown_sum sum_of(struct region_store *s, const char *repo, size_t page)
{
    struct shown_item items[64];
    struct shown_subject at;
    struct shown_sum sum = {0};
    bool is_end = false, any = false;
    ck_assert_uint_le(page, ARRAY_LEN(items));
    while (!is_end) {
        size_t n;
        ck_assert_int_eq(
            meta_shown_walk(s->m, REG, repo, any ? &at : NULL, page, items, &n, &is_end), 0);
        ck_assert(is_end || n == page);
        for (size_t i = 0; i < n; i++) {
            if (any)
                ck_assert_int_lt(shown_subject_order(&at, &items[i].subject), 0);
            any = true;
            at = items[i].subject;
            shown_sum_add(&sum, &items[i]);
        }
    }
    return sum;
}

static bool is_shown(struct region_store *s, const char *repo, const struct shown_subject *of)
{
    struct arena a;
    struct differ_look look;
    arena_init(&a, 0);
    ck_assert_int_eq(meta_differ_look(s->m, REG, repo, of, &a, &look), 0);
    bool is = *look.text != '\0';
    arena_done(&a);
    return is;
}

static const struct shown_subject tag_t = {.kind = SUBJECT_TAG, .tag = "t"};

START_TEST(a_walk_shows_what_clients_see_page_by_page)
{
    struct shown_sum whole, before;
    struct arena a;
    struct delete_result gone;
    uint64_t stamp;
    begin();
    struct region_store *s = &stores[0];
    arena_init(&a, 0);
    whole = sum_of(s, "app", 3);
    ck_assert_uint_eq(whole.n, 0);
    for (int i = 0; i < 9; i++) {
        char tag[8], text[8];
        snprintf(tag, sizeof tag, "t%d", i);
        snprintf(text, sizeof text, "{%d}", i / 2);
        ck_assert_int_eq(put(s, "app", tag, text), 0);
    }
    whole = sum_of(s, "app", 64);
    ck_assert_uint_eq(whole.n, 9 + 5);
    for (size_t page = 1; page < 20; page++) {
        struct shown_sum sum = sum_of(s, "app", page);
        ck_assert(shown_sum_equal(&sum, &whole));
    }
    const struct lock_request lock = {.registry = REG, .repository = "app", .write = true};
    const struct lock_request unlock = {.registry = REG, .repository = "app"};
    ck_assert_int_eq(meta_lock_set(s->m, &lock, &stamp), 0);
    before = sum_of(s, "app", 64);
    ck_assert_uint_eq(before.n, whole.n + 1);
    ck_assert_int_eq(meta_lock_set(s->m, &unlock, &stamp), 0);
    before = sum_of(s, "app", 64);
    ck_assert(shown_sum_equal(&before, &whole)); // an unlock is as if there had been no lock
    const struct delete_request r = {.registry = REG, .repository = "app", .tag = "t8"};
    ck_assert_int_eq(meta_tag_delete(s->m, &r, &a, &gone), 0);
    whole = sum_of(s, "app", 2);
    ck_assert_uint_eq(whole.n, 8 + 5);
    ck_assert_int_eq(put(s, "app", "t0", "{0}"), 0); // a newer write of the same
    before = sum_of(s, "app", 2);
    ck_assert_uint_eq(before.n, whole.n);
    ck_assert(!shown_sum_equal(&before, &whole));
    arena_done(&a);
    end();
}
END_TEST

// --- random histories ---

struct feeds {
    struct feed_entry list[WORLD_REGIONS][WORLD_ENTRIES];
    size_t n[WORLD_REGIONS];
};

static struct feed_entry finished(const struct feed_entry *e, uint64_t seq, const uint8_t *prev,
                                  struct arena *a)
{
    struct feed_entry from = *e, out;
    AUTO_BUF struct buf b;
    buf_init(&b, 0);
    from.registry_seq = seq;
    memcpy(from.registry_prev, prev, ENTRY_HASH_BYTES);
    if (from.kind != ENTRY_TAG) { // a rule's tombstone does not say them
        from.create_only = false;
        from.generation = 0;
    }
    ck_assert_int_eq(entry_body_make(&from, &b), 0);
    struct bytes body = bytes_of(arena_strndup(a, b.p, b.n), b.n);
    ck_assert_int_eq(entry_body_parse(body, a, &out), 0);
    memcpy(out.hash, e->hash, sizeof out.hash);
    out.key = e->key;
    out.content = e->content;
    return out;
}

static void feeds_make(struct world *w, struct feeds *f, struct arena *a)
{
    uint8_t hashes[WORLD_REGIONS][ENTRY_HASH_BYTES] = {{0}};
    *f = (struct feeds){0};
    for (size_t i = 0; i < w->n; i++) {
        size_t r = 0;
        if (w->entries[i].absent.n)
            w->entries[i].absent = bytes_of(&w->marks[i], 1);
        while (r + 1 < WORLD_REGIONS && strcmp(w->entries[i].origin, world_regions[r]) != 0)
            r++;
        struct feed_entry *e = &f->list[r][f->n[r]++];
        *e = finished(&w->entries[i], f->n[r], hashes[r], a);
        entry_body_hash(e, hashes[r]);
    }
}

static void random_feeds(struct feeds *f, struct arena *a)
{
    struct world *w = arena_alloc(a, sizeof *w);
    size_t n_steps = 8 + chance(30);
    *w = (struct world){0};
    for (size_t i = 0; i < n_steps && w->n + 4 < WORLD_ENTRIES; i++) {
        struct step s = {(int)chance(WORLD_REGIONS), (enum act)chance(N_ACTS),
                         (int)chance(WORLD_REGIONS)};
        if (chance(4) == 0)
            s.act = ACT_READ;
        (void)world_act(w, s);
    }
    feeds_make(w, f, a);
}

static size_t refs_of(const struct digest *d, struct manifest_ref out[2])
{
    if (!digest_equal(d, world_digest(M_INDEX)))
        return 0;
    for (int i = 0; i < 2; i++)
        out[i] = (struct manifest_ref){REF_MANIFEST, *world_digest(i), 3};
    return 2;
}

// Content that no entry brings comes as replication would fetch it: a child before its index.
static void content_bring(struct region_store *s, const struct digest *d)
{
    struct manifest_ref refs[2];
    struct digest missing;
    size_t n = refs_of(d, refs);
    const char *text = world_text(world_which(d));
    for (int i = 0; i < 3; i++) {
        if (!meta_manifest_content_add(s->m, REG, "app", d, NULL, bytes_str(text), refs, n,
                                       &missing))
            return;
        if (!meta_content_lacks(s->m, REG, "app", &missing, NULL))
            return;
        content_bring(s, &missing);
    }
}

static int apply_once(struct region_store *s, const struct feed_entry *e, struct digest *missing)
{
    enum meta_needs needs;
    struct manifest_ref refs[2];
    size_t n = 0;
    struct bytes content = {0};
    ck_assert_int_eq(meta_apply_needs(s->m, e, &needs), 0);
    if (needs == META_NEEDS_CONTENT)
        content = bytes_str(world_text(world_which(&e->digest)));
    if (e->kind == ENTRY_MANIFEST)
        n = refs_of(&e->digest, refs);
    return meta_apply(s->m, e, content, refs, n, missing);
}

static bool apply(struct region_store *s, const struct feed_entry *e)
{
    struct digest missing;
    int rc = apply_once(s, e, &missing);
    if (rc == ERR_NOTFOUND && meta_content_lacks(s->m, REG, "app", &missing, NULL)) {
        content_bring(s, &missing);
        rc = apply_once(s, e, &missing);
    }
    ck_assert_msg(rc == 0 || rc == ERR_NOTFOUND, "%s", err_text(rc));
    return rc == 0;
}

// Jobs, in a random order; `whole`: until none is left, else about half of them once.
static void jobs_run(struct region_store *s, bool whole)
{
    for (bool moved = true; moved;) {
        struct arena a;
        struct job *jobs;
        size_t n;
        int64_t next;
        arena_init(&a, 0);
        moved = false;
        ck_assert_int_eq(meta_jobs_due(s->m, INT64_MAX - 1, 64, &a, &jobs, &n, &next), 0);
        for (size_t i = 0; i < n; i++) {
            const struct feed_entry *e = &jobs[chance(n)].entry;
            if (whole)
                e = &jobs[i].entry;
            if (whole || chance(2))
                moved = apply(s, e) || moved;
        }
        arena_done(&a);
        if (!whole)
            return;
    }
}

// The next `n` entries of one feed.
static void feed_move(struct region_store *s, const struct feeds *f, size_t r, size_t *at, size_t n)
{
    if (n > f->n[r] - *at)
        n = f->n[r] - *at;
    if (!n)
        return;
    struct feed_mark upto = entry_mark(&f->list[r][*at + n - 1]);
    ck_assert_int_eq(meta_ingest(s->m, world_regions[r], &f->list[r][*at], n, &upto), 0);
    *at += n;
}

static size_t subjects(struct shown_subject out[WORLD_MANIFESTS + 2])
{
    size_t n = 0;
    out[n++] = (struct shown_subject){.kind = SUBJECT_REPOSITORY};
    for (int i = 0; i < WORLD_MANIFESTS; i++)
        out[n++] = (struct shown_subject){.kind = SUBJECT_MANIFEST, .digest = *world_digest(i)};
    out[n++] = tag_t;
    return n;
}

static void tell(struct region_store *s, const char *repo, const struct shown_subject *of,
                 struct arena *a, struct differ_told *out)
{
    struct differ_place *places;
    *out = (struct differ_told){0};
    ck_assert_int_eq(meta_differ_places(s->m, a, &places, &out->n_places), 0);
    out->places = places;
    ck_assert_int_eq(meta_differ_look(s->m, REG, repo, of, a, &out->look), 0);
}

static struct differ_judgement judge(struct region_store *s, const char *repo,
                                     const struct shown_subject *of, const struct differ_told *told,
                                     struct arena *a)
{
    struct differ_judgement j;
    ck_assert_int_eq(meta_differ_judge(s->m, REG, repo, of, told, a, &j), 0);
    return j;
}

// The rest of the feeds, and what they ask for.
static void all_come(const struct feeds *f, size_t at[N_STORES][WORLD_REGIONS])
{
    for (size_t i = 0; i < N_STORES; i++) {
        for (size_t r = 0; r < WORLD_REGIONS; r++)
            feed_move(&stores[i], f, r, &at[i][r], WORLD_ENTRIES);
        jobs_run(&stores[i], true);
    }
}

static void expect_equal(size_t world)
{
    struct shown_sum a = sum_of(&stores[0], "app", 1 + chance(6)),
                     b = sum_of(&stores[1], "app", 1 + chance(6));
    ck_assert_msg(shown_sum_equal(&a, &b), "world %zu", world);
}

static size_t n_worlds(void)
{
    const char *more = getenv("DIFFER_WORLDS");
    if (more)
        return (size_t)atoi(more);
    return backend_is("sqlite") ? 10 : 120;
}

// Entries come and are applied in any order while one region tells and the other judges what it was
// told a while ago.
START_TEST(nothing_is_called_wrong_while_entries_come)
{
    size_t n_lags = 0;
    for (size_t i = 0; i < n_worlds(); i++) {
        struct feeds f;
        struct arena a;
        size_t at[N_STORES][WORLD_REGIONS] = {{0}};
        struct shown_subject list[WORLD_MANIFESTS + 2];
        size_t n = subjects(list);
        arena_init(&a, 0);
        begin();
        random_feeds(&f, &a);
        for (size_t step = 0; step < 60; step++) {
            struct region_store *from = &stores[chance(N_STORES)], *to = &stores[chance(N_STORES)];
            const struct shown_subject *of = &list[chance(n)];
            struct differ_told told;
            tell(from, "app", of, &a, &told);
            for (size_t k = chance(3); k > 0; k--) {
                size_t s = chance(N_STORES), r = chance(WORLD_REGIONS);
                feed_move(&stores[s], &f, r, &at[s][r], 1 + chance(4));
                jobs_run(&stores[chance(N_STORES)], false);
            }
            struct differ_judgement j = judge(to, "app", of, &told, &a);
            ck_assert_msg(j.verdict == DIFFER_SAME || j.verdict == DIFFER_LAGS,
                          "world %zu step %zu: %s\nthere: %shere: %s", i, step,
                          differ_verdict_name(j.verdict), told.look.text, j.text);
            n_lags += j.verdict == DIFFER_LAGS;
        }
        all_come(&f, at);
        for (size_t k = 0; k < n; k++) {
            struct differ_told told;
            tell(&stores[0], "app", &list[k], &a, &told);
            ck_assert_int_eq(judge(&stores[1], "app", &list[k], &told, &a).verdict, DIFFER_SAME);
        }
        expect_equal(i);
        end();
        arena_done(&a);
    }
    ck_assert_uint_gt(n_lags, 0);
}
END_TEST

// One round of the second store: whatever lacks is taken, whatever is wrong is mended. Returns how
// much that was.
static size_t round_run(const char *repo, const struct shown_subject *list, size_t n)
{
    size_t done = 0;
    struct arena a;
    arena_init(&a, 0);
    for (size_t k = 0; k < n; k++) {
        struct differ_told told;
        struct differ_look mended;
        tell(&stores[0], repo, &list[k], &a, &told);
        struct differ_judgement j = judge(&stores[1], repo, &list[k], &told, &a);
        for (size_t i = 0; i < j.n_lacks; i++)
            ck_assert_int_eq(meta_differ_take(stores[1].m, j.lacks[i]), 0);
        done += j.n_lacks;
        if (j.verdict != DIFFER_WRONG_HERE)
            continue;
        bool changed = false;
        int rc = meta_differ_mend(stores[1].m, REG, repo, &list[k], &a, &mended, &changed);
        char name[SHOWN_NAME_SIZE];
        ck_assert_msg(rc == 0 && changed, "%s: %s", shown_subject_format(&list[k], name),
                      err_text(rc));
        done++;
    }
    arena_done(&a);
    jobs_run(&stores[1], true);
    return done;
}

// The last entry but one of each feed never comes to the second store, though its mark passes it; the
// last one, which is held, proves it.
START_TEST(what_was_withheld_is_found_by_comparing_with_another)
{
    size_t n_found = 0;
    for (size_t i = 0; i < n_worlds(); i++) {
        struct feeds f;
        struct arena a;
        size_t at[N_STORES][WORLD_REGIONS] = {{0}};
        struct shown_subject list[WORLD_MANIFESTS + 2];
        size_t n = subjects(list);
        arena_init(&a, 0);
        begin();
        random_feeds(&f, &a);
        for (size_t r = 0; r < WORLD_REGIONS; r++) {
            size_t n_kept = f.n[r] > 3 ? f.n[r] - 2 : f.n[r];
            feed_move(&stores[1], &f, r, &at[1][r], n_kept);
            if (n_kept == f.n[r])
                continue;
            const struct feed_entry *last = &f.list[r][f.n[r] - 1];
            struct feed_mark upto = entry_mark(last);
            ck_assert_int_eq(meta_snapshot_take(stores[1].m, world_regions[r], last, 1), 0);
            ck_assert_int_eq(meta_ingest(stores[1].m, world_regions[r], NULL, 0, &upto), 0);
            at[1][r] = f.n[r];
        }
        all_come(&f, at);
        for (size_t k = 0; k < 4; k++) // a tag may lead to another manifest once it has moved
            n_found += round_run("app", list, n);
        expect_equal(i);
        ck_assert_uint_eq(round_run("app", list, n), 0);
        end();
        arena_done(&a);
    }
    ck_assert_uint_gt(n_found, 0);
}
END_TEST

// --- damage ---

static void sql(struct region_store *s, const char *text)
{
    sqlite3 *h;
    char *error = NULL;
    ck_assert_int_eq(sqlite3_open(s->path, &h), SQLITE_OK);
    ck_assert_int_eq(sqlite3_busy_timeout(h, 10000), SQLITE_OK);
    int rc = sqlite3_exec(h, text, NULL, NULL, &error);
    ck_assert_msg(rc == SQLITE_OK, "%s: %s", text, error);
    ck_assert_int_gt(sqlite3_changes(h), 0);
    ck_assert_int_eq(sqlite3_close(h), SQLITE_OK);
}

static struct feed_mark head_of(struct region_store *s)
{
    struct feed_mark m;
    ck_assert_int_eq(meta_head(s->m, s->region, &m), 0);
    return m;
}

static void carry(struct region_store *from, struct region_store *to)
{
    struct arena a;
    struct feed_entry *e;
    arena_init(&a, 0);
    size_t n = feed_all(from, from->region, &a, &e);
    struct feed_mark upto = head_of(from);
    ck_assert_int_eq(meta_ingest(to->m, from->region, e, n, &upto), 0);
    arena_done(&a);
    jobs_run(to, true);
}

static void world_put(struct region_store *s, const char *tag, enum world_manifest m)
{
    struct put_result r;
    struct manifest_ref refs[2];
    size_t n = refs_of(world_digest(m), refs);
    ck_assert_int_eq(put_refs(s, "app", tag, world_text(m), refs, n, &r), 0);
}

struct damage {
    const char *what, *sql;
};

// Each is one row that somebody altered or deleted in the second store's database.
static const struct damage damages[] = {
    {"a tag's row is deleted", "DELETE FROM tags WHERE tag='t'"},
    {"a tag leads elsewhere",
     "UPDATE tags SET digest=(SELECT digest FROM tags WHERE tag='u') WHERE tag='t'"},
    {"a tag's stamp is altered", "UPDATE tags SET stamp=stamp-1 WHERE tag='t'"},
    {"a tag's origin is altered", "UPDATE tags SET origin='southeast' WHERE tag='t'"},
    {"a tag is hidden", "UPDATE tags SET live=0 WHERE tag='t'"},
    {"a deleted tag is shown again", "UPDATE tags SET gone_stamp=0,gone_origin='',gone_epoch=0,"
                                     "ended=0,live=1 WHERE tag='v'"},
    {"a tag's lock is deleted", "DELETE FROM attributes WHERE tag='t'"},
    {"a tag's lock is lifted", "UPDATE attributes SET flags=0 WHERE tag='t'"},
    {"a manifest's row is deleted", "DELETE FROM manifests WHERE size>9"},
    {"a manifest is hidden", "UPDATE manifests SET live=0 WHERE size>9"},
    {"a manifest's media type is altered",
     "UPDATE manifests SET media_type='application/x' WHERE size>9"},
    {"a manifest's stamp is altered", "UPDATE manifests SET stamp=1 WHERE size>9"},
    {"a manifest is asserted no more", "UPDATE manifests SET stamp=0,origin='' WHERE size>9"},
};

static void damaged_begin(void)
{
    struct arena a;
    struct delete_result gone;
    uint64_t stamp;
    const struct lock_request lock = {
        .registry = REG, .repository = "app", .tag = "t", .del = true};
    const struct delete_request r = {.registry = REG, .repository = "app", .tag = "v"};
    arena_init(&a, 0);
    begin();
    world_put(&stores[0], "u", M_1);
    world_put(&stores[0], "t", M_2);
    world_put(&stores[0], "i", M_INDEX);
    world_put(&stores[0], "t", M_2);
    world_put(&stores[0], "v", M_1);
    ck_assert_int_eq(meta_lock_set(stores[0].m, &lock, &stamp), 0);
    ck_assert_int_eq(meta_tag_delete(stores[0].m, &r, &a, &gone), 0);
    carry(&stores[0], &stores[1]);
    arena_done(&a);
}

// All that either store shows of a repository.
static size_t shown_of(const char *repo, struct shown_subject *out, size_t max)
{
    struct shown_item items[64];
    size_t n = 0;
    for (size_t i = 0; i < N_STORES; i++) {
        size_t k;
        bool is_end;
        ck_assert_int_eq(meta_shown_walk(stores[i].m, REG, repo, NULL, 64, items, &k, &is_end), 0);
        for (size_t x = 0; x < k; x++) {
            ck_assert_uint_lt(n, max);
            out[n++] = items[x].subject;
        }
    }
    return n;
}

static void damage_check(const struct damage *d)
{
    struct shown_subject list[128];
    damaged_begin();
    struct shown_sum good = sum_of(&stores[0], "app", 64), is = sum_of(&stores[1], "app", 64);
    ck_assert(shown_sum_equal(&good, &is));
    sql(&stores[1], d->sql);
    is = sum_of(&stores[1], "app", 64);
    ck_assert_msg(!shown_sum_equal(&good, &is), "%s: not seen", d->what);
    ck_assert_uint_ge(round_run("app", list, shown_of("app", list, ARRAY_LEN(list))), 1);
    is = sum_of(&stores[1], "app", 64);
    ck_assert_msg(shown_sum_equal(&good, &is), "%s: not made good", d->what);
    ck_assert_uint_eq(round_run("app", list, shown_of("app", list, ARRAY_LEN(list))), 0);
    end();
}

START_TEST(a_damaged_row_is_found_and_made_anew_in_one_round)
{
    NEEDS_SQLITE;
    for (size_t i = 0; i < ARRAY_LEN(damages); i++)
        damage_check(&damages[i]);
}
END_TEST

START_TEST(who_is_damaged_is_told_by_the_other_and_mends_itself_alone)
{
    NEEDS_SQLITE;
    struct arena a;
    struct differ_told told;
    struct differ_look look;
    bool changed;
    arena_init(&a, 0);
    damaged_begin();
    sql(&stores[1], damages[0].sql);
    tell(&stores[1], "app", &tag_t, &a, &told);
    ck_assert(!told.look.agrees && !*told.look.text);
    ck_assert_int_eq(judge(&stores[0], "app", &tag_t, &told, &a).verdict, DIFFER_WRONG_THERE);
    ck_assert_int_eq(meta_differ_mend(stores[0].m, REG, "app", &tag_t, &a, &look, &changed), 0);
    ck_assert(!changed);
    ck_assert(is_shown(&stores[0], "app", &tag_t));
    ck_assert_int_eq(meta_differ_mend(stores[1].m, REG, "app", &tag_t, &a, &look, &changed), 0);
    ck_assert(changed && look.agrees && *look.text);
    ck_assert(is_shown(&stores[1], "app", &tag_t));
    end();
    arena_done(&a);
}
END_TEST

// A lost entry of the other region: deleted with all that it made, by hand.
START_TEST(a_lost_entry_is_missed_by_who_still_has_it)
{
    NEEDS_SQLITE;
    struct arena a;
    struct differ_told told;
    arena_init(&a, 0);
    damaged_begin();
    sql(&stores[1], "DELETE FROM tags WHERE tag='t'");
    sql(&stores[1], "DELETE FROM attributes WHERE tag='t'");
    sql(&stores[1], "DELETE FROM feed WHERE tag='t'");
    tell(&stores[1], "app", &tag_t, &a, &told);
    ck_assert(told.look.agrees); // it has lost its memory, too
    ck_assert_int_eq(judge(&stores[0], "app", &tag_t, &told, &a).verdict, DIFFER_WRONG_THERE);
    tell(&stores[0], "app", &tag_t, &a, &told);
    struct differ_judgement j = judge(&stores[1], "app", &tag_t, &told, &a);
    ck_assert_int_eq(j.verdict, DIFFER_LACKS);
    ck_assert_uint_eq(j.n_lacks, 2); // the value and the lock
    for (size_t i = 0; i < j.n_lacks; i++) {
        ck_assert_int_eq(meta_differ_take(stores[1].m, j.lacks[i]), 0);
        ck_assert_int_eq(meta_differ_take(stores[1].m, j.lacks[i]), 0); // held
    }
    jobs_run(&stores[1], true);
    ck_assert(is_shown(&stores[1], "app", &tag_t));
    struct feed_entry own = *j.lacks[0];
    own.origin = "westeurope";
    ck_assert_int_eq(meta_differ_take(stores[1].m, &own), ERR_INVAL);
    struct feed_entry other = *j.lacks[0];
    other.hash[0] ^= 1;
    ck_assert_int_eq(meta_differ_take(stores[1].m, &other), ERR_CONFLICT);
    struct feed_entry ahead = *j.lacks[0];
    ahead.seq += 100;
    ahead.stamp = INT64_MAX - 1;
    ck_assert_int_eq(meta_differ_take(stores[1].m, &ahead), ERR_AHEAD);
    end();
    arena_done(&a);
}
END_TEST

// The same place, the same number in the chain, a key that was stolen; but another text.
static struct feed_entry forged_of(const struct feed_entry *e, struct arena *a)
{
    struct feed_entry f = *e;
    f.stamp = e->stamp + 1000;
    f.by = "mallory";
    return finished(&f, e->registry_seq, e->registry_prev, a);
}

START_TEST(what_nothing_here_proves_is_not_taken)
{
    NEEDS_SQLITE;
    struct arena a;
    struct differ_told told;
    arena_init(&a, 0);
    damaged_begin();
    sql(&stores[1], "DELETE FROM tags WHERE tag='t'");
    sql(&stores[1], "DELETE FROM attributes WHERE tag='t'");
    sql(&stores[1], "DELETE FROM feed WHERE tag='t'");
    tell(&stores[0], "app", &tag_t, &a, &told);
    struct differ_judgement j = judge(&stores[1], "app", &tag_t, &told, &a);
    ck_assert_uint_eq(j.n_lacks, 2);
    for (size_t i = 0; i < j.n_lacks; i++) {
        struct feed_entry forged = forged_of(j.lacks[i], &a);
        ck_assert_int_eq(meta_differ_take(stores[1].m, &forged), ERR_GAP);
        struct feed_entry after = forged; // it goes on from what is held, which proves nothing
        after.seq += 500;
        after.registry_seq += 500;
        after = finished(&after, after.registry_seq, forged.hash, &a);
        ck_assert_int_eq(meta_differ_take(stores[1].m, &after), ERR_GAP);
        ck_assert_int_eq(meta_differ_take(stores[1].m, j.lacks[i]), 0);
    }
    jobs_run(&stores[1], true);
    ck_assert(is_shown(&stores[1], "app", &tag_t));
    end();
    arena_done(&a);
}
END_TEST

START_TEST(an_entry_of_version_1_is_proven_by_its_neighbours)
{
    static const uint8_t zeros[ENTRY_HASH_BYTES];
    struct feed_entry e[3];
    begin();
    for (size_t i = 0; i < 3; i++) {
        e[i] = (struct feed_entry){.version = 1,
                                   .origin = "westeurope",
                                   .epoch = 1,
                                   .seq = i + 1,
                                   .stamp = i + 10,
                                   .kind = ENTRY_TAG,
                                   .registry = REG,
                                   .repository = "app",
                                   .tag = "t",
                                   .media_type = "",
                                   .digest = *world_digest(M_1),
                                   .key = "k"};
        ck_assert_int_eq(entry_hash(i ? e[i - 1].hash : zeros, &e[i], e[i].hash), 0);
    }
    ck_assert_int_eq(meta_snapshot_take(stores[0].m, "westeurope", &e[0], 1), 0);
    ck_assert_int_eq(meta_differ_take(stores[0].m, &e[1]), ERR_GAP);
    ck_assert_int_eq(meta_snapshot_take(stores[0].m, "westeurope", &e[2], 1), 0);
    struct feed_entry forged = e[1];
    forged.stamp += 1000; // the running hash that it says is that of the true one
    ck_assert_int_eq(meta_differ_take(stores[0].m, &forged), ERR_GAP);
    ck_assert_int_eq(entry_hash(e[0].hash, &forged, forged.hash), 0);
    ck_assert_int_eq(meta_differ_take(stores[0].m, &forged), ERR_GAP);
    ck_assert_int_eq(meta_differ_take(stores[0].m, &e[1]), 0);
    end();
}
END_TEST

// The log lost the newest write of a tag, or its lock; the row still has it.
START_TEST(a_row_above_the_log_is_never_undone_by_it)
{
    NEEDS_SQLITE;
    struct arena a;
    struct differ_told told;
    struct differ_look look;
    bool changed;
    arena_init(&a, 0);
    damaged_begin();
    world_put(&stores[1], "t", M_1);
    struct shown_sum before = sum_of(&stores[1], "app", 64);
    sql(&stores[1], "DELETE FROM feed WHERE origin='westeurope' AND tag='t'");
    tell(&stores[0], "app", &tag_t, &a, &told);
    ck_assert_int_eq(judge(&stores[1], "app", &tag_t, &told, &a).verdict, DIFFER_WRONG_HERE);
    ck_assert_int_eq(meta_differ_mend(stores[1].m, REG, "app", &tag_t, &a, &look, &changed),
                     ERR_CONFLICT);
    struct shown_sum after = sum_of(&stores[1], "app", 64);
    ck_assert(shown_sum_equal(&before, &after));
    sql(&stores[1],
        "DELETE FROM attributes WHERE tag='t'"); // beside it the lock is wrong: it is mended
    ck_assert_int_eq(meta_differ_mend(stores[1].m, REG, "app", &tag_t, &a, &look, &changed), 0);
    ck_assert(changed && !look.agrees);
    after = sum_of(&stores[1], "app", 64);
    ck_assert(shown_sum_equal(&before, &after));
    end();
    arena_done(&a);
}
END_TEST

CHECK_MAIN("store/meta_differ", what_may_be_lag_is_never_called_wrong,
           names_read_back_and_are_ordered, a_sum_has_no_order_and_carries,
           a_walk_shows_what_clients_see_page_by_page, nothing_is_called_wrong_while_entries_come,
           what_was_withheld_is_found_by_comparing_with_another,
           a_damaged_row_is_found_and_made_anew_in_one_round,
           who_is_damaged_is_told_by_the_other_and_mends_itself_alone,
           a_lost_entry_is_missed_by_who_still_has_it, what_nothing_here_proves_is_not_taken,
           an_entry_of_version_1_is_proven_by_its_neighbours,
           a_row_above_the_log_is_never_undone_by_it)
