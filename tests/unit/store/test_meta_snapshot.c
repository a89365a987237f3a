// SPDX-License-Identifier: Apache-2.0
// store/meta_snapshot: a snapshot up to any place of each feed, in pages of any size, some of them
// taken twice, and the feeds behind those places give the state that the feeds alone give.
#include "store/meta_delete.h"
#include "store/meta_snapshot.h"
#include "tests/unit/store/meta_histories.h"
#include "tests/unit/store/small_world.h"

#include <stdlib.h>

static struct region_store source, joiner, reader;
static uint64_t seed = 1;

static size_t chance(size_t n)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (size_t)(seed >> 33) % n;
}

// --- entries as they are on the wire ---

struct chain {
    uint64_t n;
    uint8_t hash[ENTRY_HASH_BYTES];
};

static struct feed_entry finished(const struct feed_entry *e, struct chain *c, struct arena *a)
{
    struct feed_entry from = *e, out;
    AUTO_BUF struct buf b;
    buf_init(&b, 0);
    from.version = 2;
    from.registry_seq = c->n + 1;
    memcpy(from.registry_prev, c->hash, sizeof c->hash);
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
    c->n++;
    entry_body_hash(&out, c->hash);
    return out;
}

// The feed of each region of a world.
struct feeds {
    struct feed_entry list[WORLD_REGIONS][WORLD_ENTRIES];
    size_t n[WORLD_REGIONS];
};

static void feeds_make(const struct world *w, struct feeds *f, struct arena *a)
{
    struct chain chains[WORLD_REGIONS] = {0};
    *f = (struct feeds){0};
    for (size_t i = 0; i < w->n; i++) {
        size_t r = 0;
        while (strcmp(w->entries[i].origin, world_regions[r]) != 0)
            r++;
        f->list[r][f->n[r]++] = finished(&w->entries[i], &chains[r], a);
    }
}

static void random_world(struct world *w, size_t n_steps)
{
    *w = (struct world){0};
    for (size_t i = 0; i < n_steps && w->n + 4 < WORLD_ENTRIES; i++) {
        struct step s = {(int)chance(WORLD_REGIONS), (enum act)chance(N_ACTS),
                         (int)chance(WORLD_REGIONS)};
        if (chance(4) == 0)
            s.act = ACT_READ;
        (void)world_act(w, s);
    }
    for (size_t i = 0; i < w->n; i++) // the world moved: texts in its entries point into it
        if (w->entries[i].absent.n)
            w->entries[i].absent = bytes_of(&w->marks[i], 1);
}

// --- into a store ---

static void ingest(struct region_store *s, const struct feed_entry *list, size_t n)
{
    if (!n)
        return;
    struct feed_mark upto = entry_mark(&list[n - 1]);
    ck_assert_int_eq(meta_ingest(s->m, list[0].origin, list, n, &upto), 0);
}

static size_t snapshot_take(const char *origin, const struct feed_mark *upto, size_t max)
{
    struct snapshot_ask ask = {
        .origin = origin, .registry = REG, .upto = *upto, .max = max, .max_bytes = SIZE_MAX};
    struct snapshot_page page = {0};
    struct arena a;
    size_t n = 0, n_pages = 0;
    arena_init(&a, 0);
    do {
        ck_assert_int_eq(meta_snapshot_read(source.m, &ask, &a, &page), 0);
        ck_assert_uint_le(page.n, max);
        ck_assert_int_eq(meta_snapshot_take(joiner.m, origin, page.entries, page.n), 0);
        if (chance(4) == 0)
            continue; // it died before it noted how far it was
        n += page.n;
        ask.after = page.next;
        ck_assert_uint_lt(++n_pages, 1000);
        if (page.at_end)
            break;
    } while (true);
    arena_done(&a);
    return n;
}

// Of one origin: a snapshot up to a place, and the feed from there.
static void join(const struct feed_entry *list, size_t n)
{
    size_t k = chance(n + 1);
    if (k) {
        struct feed_mark upto = entry_mark(&list[k - 1]);
        size_t n_taken = snapshot_take(list[0].origin, &upto, 1 + chance(4));
        ck_assert_uint_le(n_taken, k + 1); // the chain's last entry may come twice
        ck_assert_int_eq(meta_ingest(joiner.m, list[0].origin, NULL, 0, &upto), 0);
    }
    ingest(&joiner, list + k, n - k); // its chain goes on from the snapshot
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
            return; // its entry will come
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

// All jobs, each until it ends; the store says which there are.
static void jobs_run(struct region_store *s)
{
    bool any = true;
    size_t n_left = 0;
    while (any) {
        struct arena a;
        any = false;
        n_left = 0;
        arena_init(&a, 0);
        for (size_t r = 0; r < WORLD_REGIONS; r++) {
            struct feed_entry *e;
            struct origin_status *o;
            size_t n = feed_all(s, world_regions[r], &a, &e), n_o, before = 0, after = 0;
            ck_assert_int_eq(meta_origins(s->m, &a, &o, &n_o), 0);
            for (size_t i = 0; i < n_o; i++)
                before += o[i].n_pending;
            for (size_t i = 0; i < n; i++)
                (void)apply(s, &e[i]);
            ck_assert_int_eq(meta_origins(s->m, &a, &o, &n_o), 0);
            for (size_t i = 0; i < n_o; i++)
                after += o[i].n_pending;
            any = any || after < before;
            n_left = after;
        }
        arena_done(&a);
    }
    ck_assert_uint_eq(n_left, 0);
}

// --- what a store shows ---

static void show(struct region_store *s, struct buf *out)
{
    struct arena a;
    struct manifest_row row;
    struct tag_version *v;
    size_t n = 0;
    arena_init(&a, 0);
    int rc = meta_manifest_get(s->m, REG, "app", "t", NULL, &a, &row);
    buf_printf(out, "tag %d %llu\n", rc, rc ? 0 : (unsigned long long)row.stamp);
    for (int i = 0; i < WORLD_MANIFESTS; i++) {
        rc = meta_manifest_get(s->m, REG, "app", NULL, world_digest(i), &a, &row);
        buf_printf(out, "manifest %d: %d %llu\n", i, rc, rc ? 0 : (unsigned long long)row.stamp);
    }
    rc = meta_tag_history(s->m, REG, "app", "t", 1000, &a, &v, &n);
    buf_printf(out, "history %d\n", rc);
    for (size_t i = 0; !rc && i < n; i++)
        buf_printf(out, " %llu %s %02x\n", (unsigned long long)v[i].stamp, v[i].origin,
                   v[i].digest.b[0]);
    arena_done(&a);
}

static void compare(struct region_store *x, struct region_store *y, size_t world)
{
    AUTO_BUF struct buf a, b;
    buf_init(&a, 0);
    buf_init(&b, 0);
    show(x, &a);
    show(y, &b);
    ck_assert_msg(strcmp(buf_cstr(&a), buf_cstr(&b)) == 0, "world %zu:\n%s---\n%s", world,
                  buf_cstr(&a), buf_cstr(&b));
}

static size_t held_of(struct region_store *s)
{
    struct arena a;
    struct feed_entry *e;
    size_t n = 0;
    arena_init(&a, 0);
    for (size_t r = 0; r < WORLD_REGIONS; r++)
        n += feed_all(s, world_regions[r], &a, &e);
    arena_done(&a);
    return n;
}

START_TEST(a_snapshot_and_the_feed_behind_it_equal_the_feed)
{
    size_t n_worlds = backend_is("sqlite") ? 12 : 150, n_whole = 0, n_joined = 0;
    const char *more = getenv("SNAPSHOT_WORLDS");
    if (more)
        n_worlds = (size_t)atoi(more);
    for (size_t i = 0; i < n_worlds; i++) {
        struct world w;
        struct feeds f;
        struct arena a;
        arena_init(&a, 0);
        store_begin(&source, "eastus");
        store_begin(&joiner, "westeurope");
        store_begin(&reader, "southeastasia");
        random_world(&w, 10 + chance(30));
        feeds_make(&w, &f, &a);
        for (size_t r = 0; r < WORLD_REGIONS; r++) {
            ingest(&source, f.list[r], f.n[r]);
            ingest(&reader, f.list[r], f.n[r]);
        }
        for (size_t r = 0; r < WORLD_REGIONS; r++)
            join(f.list[r], f.n[r]);
        jobs_run(&reader);
        jobs_run(&joiner);
        compare(&reader, &joiner, i);
        n_whole += held_of(&reader);
        n_joined += held_of(&joiner);
        store_end(&source);
        store_end(&joiner);
        store_end(&reader);
        arena_done(&a);
    }
    ck_assert_uint_lt(n_joined, n_whole); // what was outdone was left out
}
END_TEST

// --- what stays of a register ---

// An own write of the source, as a reader would get it: n entries of one tag.
static void tags_write(size_t n, const char *tag, struct chain *c, uint64_t *seq, struct arena *a)
{
    for (size_t i = 0; i < n; i++) {
        ++*seq;
        struct feed_entry e = entry("a", 1, *seq, 100 + *seq, ENTRY_TAG, "app", "{1}");
        e.tag = tag;
        memset(e.hash, 0, sizeof e.hash);
        memcpy(e.hash, seq, sizeof *seq);
        e = finished(&e, c, a);
        ingest(&source, &e, 1);
    }
}

START_TEST(a_register_keeps_its_history_and_pages_end_anywhere)
{
    struct chain c = {0};
    struct arena a;
    uint64_t seq = 0, last = 0, looked = 0;
    size_t n = 0;
    arena_init(&a, 0);
    store_begin(&source, "eastus");
    tags_write(META_HISTORY_MAX + 20, "t", &c, &seq, &a);
    tags_write(3, "u", &c, &seq, &a);
    struct snapshot_ask ask = {.origin = "a",
                               .registry = REG,
                               .upto = {.epoch = 1, .seq = seq},
                               .max = 7,
                               .max_bytes = SIZE_MAX};
    struct snapshot_page p = {0};
    for (bool first = true; !p.at_end; first = false) {
        ck_assert_int_eq(meta_snapshot_read(source.m, &ask, &a, &p), 0);
        ck_assert_uint_le(p.n, ask.max);
        for (size_t i = 0; i < p.n; i++) {
            if (first && i == 0) { // the chain's last entry
                ck_assert_uint_eq(p.entries[0].seq, seq);
                continue;
            }
            ck_assert_uint_gt(p.entries[i].seq, last); // each once, here by place
            ck_assert_uint_gt(p.entries[i].seq, 20);   // the highest ones
            last = p.entries[i].seq;
            n++;
        }
        looked += p.looked;
        ask.after = p.next;
    }
    ck_assert_uint_eq(n, META_HISTORY_MAX + 3);
    ck_assert_uint_eq(looked, seq);
    // by bytes: one entry each
    ask.after = (struct snapshot_at){0};
    ask.max_bytes = 1;
    ck_assert_int_eq(meta_snapshot_read(source.m, &ask, &a, &p), 0);
    ck_assert_uint_eq(p.n, 1);
    ck_assert(!p.at_end);
    ask.after.nth = SNAPSHOT_KINDS;
    ck_assert_int_eq(meta_snapshot_read(source.m, &ask, &a, &p), ERR_INVAL);
    // of a registry, or an origin, that nothing is known of
    ask.after.nth = 0;
    ask.registry = "fabrikam";
    ck_assert_int_eq(meta_snapshot_read(source.m, &ask, &a, &p), 0);
    ck_assert(p.n == 0 && p.at_end);
    store_end(&source);
    arena_done(&a);
}
END_TEST

// A person's tombstone counts for what a rule's higher one does not end.
START_TEST(a_persons_tombstone_stays_beside_a_higher_one_of_a_rule)
{
    struct chain c = {0};
    struct arena a;
    struct snapshot_page p;
    bool person = false, rule = false;
    arena_init(&a, 0);
    store_begin(&source, "eastus");
    for (uint64_t seq = 1; seq <= 3; seq++) {
        struct feed_entry e = entry("a", 1, seq, 100 + seq, ENTRY_MANIFEST_GONE, "app", "{1}");
        e.media_type = "";
        memset(e.hash, (int)seq, sizeof e.hash);
        e.judged = seq == 3; // a value that it saw was written after the deletions
        e.judged_origin = "b";
        e.judged_epoch = 1;
        if (e.judged) {
            e.stamp = 203;
            e.judged_stamp = 150;
        }
        e = finished(&e, &c, &a);
        ingest(&source, &e, 1);
    }
    const struct snapshot_ask ask = {.origin = "a",
                                     .registry = REG,
                                     .upto = {.epoch = 1, .seq = 3},
                                     .max = 100,
                                     .max_bytes = SIZE_MAX};
    ck_assert_int_eq(meta_snapshot_read(source.m, &ask, &a, &p), 0);
    for (size_t i = 1; i < p.n; i++) { // behind the chain's last entry
        ck_assert_uint_ne(p.entries[i].seq, 1);
        person = person || p.entries[i].seq == 2;
        rule = rule || p.entries[i].seq == 3;
    }
    ck_assert(person && rule);
    store_end(&source);
    arena_done(&a);
}
END_TEST

// --- entries that are not known ---

static void unknown_write(size_t n, struct chain *c, uint64_t *seq, struct arena *a)
{
    for (size_t i = 0; i < n; i++) {
        AUTO_BUF struct buf b;
        char prev[2 * ENTRY_HASH_BYTES + 1];
        struct feed_entry e;
        buf_init(&b, 0);
        hex_format(c->hash, sizeof c->hash, prev);
        ++*seq;
        buf_printf(&b,
                   "meridian-feed-2\norigin=a\nepoch=1\npartition=0\nseq=%llu\nstamp=%llu\n"
                   "restates=0\nregistry=%s\nregistry-seq=%llu\nregistry-prev=%s\nrepository=app\n"
                   "must=0\nsubject=tag:t\nattribute=color\nvalue={\"n\":%zu}\n",
                   (unsigned long long)*seq, (unsigned long long)(100 + *seq), REG,
                   (unsigned long long)(c->n + 1), prev, i);
        struct bytes body = bytes_of(arena_strndup(a, b.p, b.n), b.n);
        ck_assert_int_eq(entry_body_parse(body, a, &e), 0);
        e.key = "k";
        memcpy(e.hash, seq, sizeof *seq);
        c->n++;
        entry_body_hash(&e, c->hash);
        ingest(&source, &e, 1);
    }
}

START_TEST(what_is_not_known_comes_whole)
{
    struct chain c = {0};
    struct arena a;
    uint64_t seq = 0;
    arena_init(&a, 0);
    store_begin(&source, "eastus");
    store_begin(&joiner, "westeurope");
    unknown_write(9, &c, &seq, &a);
    tags_write(2, "t", &c, &seq, &a);
    struct feed_mark upto = {.epoch = 1, .seq = seq};
    snapshot_take("a", &upto, 2);
    struct unknown_row *rows;
    size_t n;
    ck_assert_int_eq(meta_unknown_list(joiner.m, REG, &a, &rows, &n), 0);
    ck_assert_uint_eq(n, 1);
    ck_assert_uint_eq(rows[0].n, 9);
    struct feed_entry *e;
    ck_assert_uint_eq(feed_all(&joiner, "a", &a, &e), 11);
    store_end(&source);
    store_end(&joiner);
    arena_done(&a);
}
END_TEST

CHECK_MAIN("store/meta snapshot", a_snapshot_and_the_feed_behind_it_equal_the_feed,
           a_register_keeps_its_history_and_pages_end_anywhere,
           a_persons_tombstone_stays_beside_a_higher_one_of_a_rule, what_is_not_known_comes_whole)
