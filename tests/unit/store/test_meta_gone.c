// SPDX-License-Identifier: Apache-2.0
// store/meta: entries of all kinds, in any order and more than once, leave the same state; and that
// state is what store/liveness.h says of their set. The named histories are those that break
// simpler rules.
#include "store/meta_delete.h"
#include "store/meta_jobs.h"
#include "tests/unit/store/meta_histories.h"
#include "tests/unit/store/small_world.h"

#include <stdlib.h>

static struct region_store region;

// --- a set of entries into a store ---

static const struct manifest_ref index_refs[2] = {{.kind = REF_MANIFEST, .size = 3},
                                                  {.kind = REF_MANIFEST, .size = 3}};

static size_t refs_of(const struct digest *d, struct manifest_ref out[2])
{
    if (!digest_equal(d, world_digest(M_INDEX)))
        return 0;
    memcpy(out, index_refs, sizeof index_refs);
    out[0].digest = *world_digest(M_1);
    out[1].digest = *world_digest(M_2);
    return 2;
}

// Content that no entry brings comes as replication would fetch it: a child before its index.
static void content_bring(const char *repo, const struct digest *d)
{
    struct manifest_ref refs[2];
    struct digest missing;
    size_t n = refs_of(d, refs);
    const char *text = world_text(world_which(d));
    for (int i = 0; i < 3; i++) {
        int rc = meta_manifest_content_add(region.m, REG, repo, d, NULL, bytes_str(text), refs, n,
                                           &missing);
        if (!rc)
            return;
        ck_assert_int_eq(rc, ERR_NOTFOUND);
        if (!meta_content_lacks(region.m, REG, repo, &missing, NULL))
            return; // its entry will come
        content_bring(repo, &missing);
    }
}

static int apply_once(const struct feed_entry *e, struct digest *missing)
{
    enum meta_needs needs;
    struct manifest_ref refs[2];
    size_t n = 0;
    struct bytes content = {0};
    ck_assert_int_eq(meta_apply_needs(region.m, e, &needs), 0);
    if (needs == META_NEEDS_CONTENT)
        content = bytes_str(world_text(world_which(&e->digest)));
    if (e->kind == ENTRY_MANIFEST)
        n = refs_of(&e->digest, refs);
    return meta_apply(region.m, e, content, refs, n, missing);
}

static bool apply(const struct feed_entry *e)
{
    struct digest missing;
    int rc = apply_once(e, &missing);
    if (rc == ERR_NOTFOUND && meta_content_lacks(region.m, REG, e->repository, &missing, NULL)) {
        content_bring(e->repository, &missing);
        rc = apply_once(e, &missing);
    }
    ck_assert_msg(rc == 0 || rc == ERR_NOTFOUND, "%s", err_text(rc));
    return rc == 0;
}

// In the order of `list`; what waits is tried again after each that was applied.
static void apply_all(const struct feed_entry *entries, const size_t *list, size_t n,
                      const char *repo)
{
    bool done[2 * WORLD_ENTRIES] = {0};
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k <= i; k++) {
            struct feed_entry e = entries[list[k]];
            e.repository = repo;
            if (!done[k] && apply(&e)) {
                done[k] = true;
                k = SIZE_MAX; // again from the first that waits
            }
        }
    for (size_t i = 0; i < n; i++)
        ck_assert_msg(done[i], "entry %zu waits for ever", list[i]);
}

// --- what a store shows ---

static struct digest shown(const char *repo, const char *tag, const struct digest *d)
{
    struct arena a;
    struct manifest_row row = {0};
    arena_init(&a, 0);
    int rc = meta_manifest_get(region.m, REG, repo, tag, d, &a, &row);
    ck_assert(rc == 0 || rc == ERR_NOTFOUND);
    arena_done(&a);
    return rc ? (struct digest){0} : row.digest;
}

static void expect_sight(const char *repo, const struct sight *s, const char *what)
{
    struct digest tag = shown(repo, "t", NULL);
    ck_assert_msg(s->tag_live == (tag.n > 0), "%s: tag %d", what, s->tag_live);
    ck_assert_msg(!tag.n || digest_equal(&tag, &s->value.digest), "%s: another digest", what);
    for (int m = 0; m < WORLD_MANIFESTS; m++) {
        struct digest d = shown(repo, NULL, world_digest(m));
        ck_assert_msg(s->live[m] == (d.n > 0), "%s: manifest %d lives: %d", what, m, s->live[m]);
    }
}

static uint64_t seed = 1;

static size_t chance(size_t n)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (size_t)(seed >> 33) % n;
}

static void shuffle(size_t *list, size_t n)
{
    for (size_t i = n; i > 1; i--) {
        size_t k = chance(i), t = list[k];
        list[k] = list[i - 1];
        list[i - 1] = t;
    }
}

// --- random histories: the store equals the rules, whatever came first ---

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

// Which entries of those the region has, some of them twice.
static size_t list_of(const struct world *w, uint32_t has, size_t *list)
{
    size_t n = 0;
    for (size_t i = 0; i < w->n; i++) {
        if (!(has >> i & 1))
            continue;
        list[n++] = i;
        if (chance(4) == 0)
            list[n++] = i;
    }
    shuffle(list, n);
    return n;
}

START_TEST(the_store_equals_the_rules_in_every_order)
{
    size_t n_worlds = backend_is("sqlite") ? 60 : 600;
    const char *more = getenv("GONE_WORLDS");
    if (more)
        n_worlds = (size_t)atoi(more);
    store_begin(&region, "eastus");
    for (size_t i = 0; i < n_worlds; i++) {
        struct world w;
        random_world(&w, 6 + chance(14));
        for (int order = 0; order < 2; order++) {
            size_t list[2 * WORLD_ENTRIES];
            char repo[32], what[64];
            uint32_t has = order ? world_all(&w) : w.has[chance(WORLD_REGIONS)] | world_all(&w);
            size_t n = list_of(&w, has, list);
            struct sight s = world_see(&w, has);
            snprintf(repo, sizeof repo, "r%zu-%d", i, order);
            snprintf(what, sizeof what, "world %zu, order %d", i, order);
            apply_all(w.entries, list, n, repo);
            expect_sight(repo, &s, what);
        }
        if (i % 20 == 19) { // in memory each transaction costs what there is
            store_end(&region);
            store_begin(&region, "eastus");
        }
    }
    store_end(&region);
}
END_TEST

// --- named histories, in all orders ---

// Entries made by hand, with what one expects: the digest that the tag shows (WORLD_MANIFESTS:
// none), and which manifests live.
struct history {
    const char *name;
    struct feed_entry e[8];
    size_t n;
    enum world_manifest tag;
    unsigned live; // bit m
};

static struct feed_entry by(const char *origin, uint64_t stamp, enum entry_kind kind,
                            enum world_manifest m)
{
    struct feed_entry e = {.version = 2,
                           .origin = origin,
                           .epoch = 1,
                           .seq = stamp,
                           .stamp = stamp,
                           .kind = kind,
                           .registry = REG,
                           .tag = "",
                           .media_type = "",
                           .by = "",
                           .rule = "",
                           .key = "k"};
    if (kind == ENTRY_TAG || kind == ENTRY_TAG_GONE || kind == ENTRY_TAG_LOCK)
        e.tag = "t";
    if (m != WORLD_MANIFESTS)
        e.digest = *world_digest(m);
    if (kind == ENTRY_MANIFEST) {
        e.media_type = m == M_INDEX ? MANY_TYPE : ONE_TYPE;
        e.size = strlen(world_text(m));
    }
    e.hash[0] = (uint8_t)stamp;
    e.hash[1] = (uint8_t)*origin;
    return e;
}

static struct feed_entry push(const char *origin, uint64_t stamp, enum world_manifest m)
{
    return by(origin, stamp, ENTRY_MANIFEST, m);
}

static struct feed_entry tag(const char *origin, uint64_t stamp, enum world_manifest m)
{
    return by(origin, stamp, ENTRY_TAG, m);
}

static struct feed_entry create(const char *origin, uint64_t stamp, uint64_t generation,
                                enum world_manifest m)
{
    struct feed_entry e = by(origin, stamp, ENTRY_TAG, m);
    e.create_only = true;
    e.generation = generation;
    return e;
}

static struct feed_entry gone(const char *origin, uint64_t stamp, enum world_manifest m)
{
    return by(origin, stamp, m == WORLD_MANIFESTS ? ENTRY_TAG_GONE : ENTRY_MANIFEST_GONE, m);
}

static struct feed_entry rule(const char *origin, uint64_t stamp, enum world_manifest m,
                              uint64_t judged, const char *judged_origin)
{
    struct feed_entry e = gone(origin, stamp, m);
    e.judged = true;
    e.judged_stamp = judged;
    e.judged_origin = judged_origin;
    e.judged_epoch = 1;
    e.rule = "untagged";
    return e;
}

static struct feed_entry lock(const char *origin, uint64_t stamp, enum world_manifest m, bool is)
{
    struct feed_entry e =
        by(origin, stamp, m == WORLD_MANIFESTS ? ENTRY_TAG_LOCK : ENTRY_MANIFEST_LOCK, m);
    e.lock_delete = is;
    return e;
}

static struct feed_entry index_without(const char *origin, uint64_t stamp, const char *marks)
{
    struct feed_entry e = push(origin, stamp, M_INDEX);
    e.absent = bytes_of(marks, 1);
    return e;
}

static void history_run(const struct history *h)
{
    static int n_runs;
    size_t p[8], step = backend_is("sqlite") ? 23 : 1, turn = 0;
    for (size_t i = 0; i < h->n; i++)
        p[i] = i;
    do {
        size_t list[16], n = 0;
        char repo[32];
        if (turn++ % step)
            continue;
        for (size_t i = 0; i < h->n; i++)
            list[n++] = p[i];
        list[n++] = p[turn % h->n]; // one of them comes twice
        snprintf(repo, sizeof repo, "h%d", n_runs++);
        apply_all(h->e, list, n, repo);
        struct digest d = shown(repo, "t", NULL);
        enum world_manifest is = d.n ? world_which(&d) : WORLD_MANIFESTS;
        ck_assert_msg(is == h->tag, "%s, order %zu: the tag shows %d", h->name, turn, is);
        for (unsigned m = 0; m < WORLD_MANIFESTS; m++)
            ck_assert_msg((shown(repo, NULL, world_digest(m)).n > 0) == (h->live >> m & 1),
                          "%s, order %zu: manifest %u", h->name, turn, m);
        if (n_runs % 50 == 0) {
            store_end(&region);
            store_begin(&region, "eastus");
        }
    } while (permute(p, h->n));
}

#define NONE WORLD_MANIFESTS
#define ONE (1u << M_1)
#define TWO (1u << M_2)
#define INDEX (1u << M_INDEX)

#define HISTORY(test, ...)                        \
    START_TEST(test)                              \
    {                                             \
        const struct history h[] = {__VA_ARGS__}; \
        store_begin(&region, "eastus");           \
        for (size_t i = 0; i < ARRAY_LEN(h); i++) \
            history_run(&h[i]);                   \
        store_end(&region);                       \
    }                                             \
    END_TEST

HISTORY(a_rule_ends_no_write_that_it_had_not_seen,
        {"b tags what a rule of a deletes",
         {push("a", 5, M_1), tag("b", 12, M_1), rule("a", 13, M_1, 5, "a")},
         3,
         M_1,
         ONE},
        {"b pushes again what a rule of a deletes",
         {push("a", 5, M_1), push("b", 12, M_1), rule("a", 13, M_1, 5, "a")},
         3,
         NONE,
         ONE},
        {"nobody did", {push("a", 5, M_1), rule("a", 13, M_1, 5, "a")}, 2, NONE, 0},
        {"two runners do no harm",
         {push("a", 5, M_1), push("b", 12, M_1), rule("a", 13, M_1, 5, "a"),
          rule("c", 14, M_1, 5, "a")},
         4,
         NONE,
         ONE},
        {"a tag moves while a rule deletes it",
         {push("a", 1, M_1), push("a", 2, M_2), tag("a", 5, M_1), tag("b", 6, M_2),
          rule("a", 13, NONE, 5, "a")},
         5,
         M_2,
         ONE | TWO},
        {"and when nobody moves it",
         {push("a", 1, M_1), tag("a", 5, M_1), rule("a", 13, NONE, 5, "a")},
         3,
         NONE,
         ONE})

HISTORY(
    a_tag_never_falls_back,
    {"the manifest is deleted",
     {push("a", 1, M_1), tag("a", 1, M_1), push("a", 2, M_2), tag("a", 2, M_2), gone("a", 3, M_2)},
     5,
     NONE,
     ONE},
    {"the tag is deleted",
     {push("a", 1, M_1), tag("a", 1, M_1), push("a", 2, M_2), tag("a", 2, M_2), gone("a", 3, NONE)},
     5,
     NONE,
     ONE | TWO},
    {"a later push of the manifest does not bring back the tag",
     {push("a", 1, M_1), tag("a", 2, M_1), gone("b", 3, M_1), push("c", 4, M_1)},
     4,
     NONE,
     ONE},
    {"a tag that is newer than the deletion keeps the manifest",
     {push("a", 1, M_1), gone("b", 3, M_1), tag("a", 4, M_1)},
     3,
     M_1,
     ONE},
    {"until it moves on",
     {push("a", 1, M_1), gone("b", 3, M_1), tag("a", 4, M_1), push("a", 5, M_2), tag("a", 6, M_2)},
     5,
     M_2,
     TWO})

HISTORY(who_created_first_stays_until_it_is_deleted,
        {"two create",
         {push("a", 1, M_1), push("b", 2, M_2), create("a", 11, 0, M_1), create("b", 13, 0, M_2)},
         4,
         M_1,
         ONE | TWO},
        {"and the first is deleted",
         {push("a", 1, M_1), push("b", 2, M_2), create("a", 11, 0, M_1), create("b", 13, 0, M_2),
          gone("a", 12, NONE)},
         5,
         NONE,
         ONE | TWO},
        {"and somebody creates anew",
         {push("a", 1, M_1), push("b", 2, M_2), create("a", 11, 0, M_1), create("b", 13, 0, M_2),
          gone("a", 12, NONE), create("c", 20, 12, M_2)},
         6,
         M_2,
         ONE | TWO},
        {"a plain write that nobody saw",
         {push("a", 1, M_1), push("b", 2, M_2), create("a", 11, 0, M_1), tag("b", 5, M_2)},
         4,
         M_2,
         ONE | TWO},
        {"what a deleted manifest ended is created anew",
         {push("a", 1, M_1), create("a", 5, 0, M_1), gone("a", 10, M_1), push("b", 11, M_2),
          create("b", 12, 10, M_2)},
         5,
         M_2,
         TWO})

HISTORY(an_absent_child_is_not_held,
        {"it comes, and is deleted",
         {push("b", 1, M_2), index_without("a", 2, "\1"), push("b", 3, M_1), gone("b", 10, M_1)},
         4,
         NONE,
         TWO | INDEX},
        {"its sister is held",
         {push("b", 1, M_2), index_without("a", 2, "\1"), gone("b", 10, M_2)},
         3,
         NONE,
         TWO | INDEX},
        {"an index that says more later",
         {push("b", 1, M_2), index_without("a", 2, "\1"), push("b", 3, M_1), push("b", 4, M_INDEX),
          gone("c", 10, M_1)},
         5,
         NONE,
         ONE | TWO | INDEX},
        {"and when the index goes",
         {push("b", 1, M_1), push("b", 2, M_2), push("b", 3, M_INDEX), gone("c", 9, M_1),
          gone("c", 10, M_INDEX)},
         5,
         NONE,
         TWO})

HISTORY(locks_keep_what_they_cover,
        {"a lock that is older than the deletion is void",
         {push("a", 1, M_1), lock("a", 5, M_1, true), gone("b", 10, M_1)},
         3,
         NONE,
         0},
        {"one that is newer keeps, with the tags",
         {push("a", 1, M_1), tag("a", 2, M_1), lock("a", 11, M_1, true), gone("b", 10, M_1)},
         4,
         M_1,
         ONE},
        {"until it is lifted",
         {push("a", 1, M_1), tag("a", 2, M_1), lock("a", 11, M_1, true), gone("b", 10, M_1),
          lock("a", 12, M_1, false)},
         5,
         NONE,
         0},
        {"of a tag, against the tombstone of the tag",
         {push("a", 1, M_1), tag("a", 2, M_1), lock("a", 11, NONE, true), gone("b", 10, NONE)},
         4,
         M_1,
         ONE},
        {"of a tag, against the tombstone of its manifest",
         {push("a", 1, M_1), tag("a", 2, M_1), lock("a", 11, NONE, true), gone("b", 10, M_1)},
         4,
         M_1,
         ONE},
        {"of a tag, and older",
         {push("a", 1, M_1), tag("a", 2, M_1), lock("a", 9, NONE, true), gone("b", 10, M_1)},
         4,
         NONE,
         0},
        {"a rule that had not seen it",
         {push("a", 1, M_1), lock("a", 2, M_1, true), push("b", 3, M_1), rule("b", 9, M_1, 3, "b")},
         4,
         NONE,
         ONE})

// --- content of what is recorded ---

START_TEST(what_is_superseded_needs_no_content)
{
    store_begin(&region, "eastus");
    struct feed_entry g = gone("b", 10, M_1), p = push("a", 5, M_1), t = tag("c", 20, M_1);
    struct arena a;
    struct bytes content;
    const char *type;
    struct digest missing;
    enum meta_needs needs;
    size_t n;
    bool more;
    char recorded[MEDIA_TYPE_SIZE];
    arena_init(&a, 0);
    g.repository = p.repository = t.repository = "app";
    ck_assert_int_eq(meta_apply(region.m, &g, (struct bytes){0}, NULL, 0, &missing), 0);
    ck_assert_int_eq(meta_apply_needs(region.m, &p, &needs), 0);
    ck_assert_int_eq(needs, META_NEEDS_NOTHING);
    ck_assert(!meta_content_lacks(region.m, REG, "app", &p.digest, NULL)); // its entry will come
    ck_assert_int_eq(meta_apply(region.m, &p, (struct bytes){0}, NULL, 0, &missing), 0);
    // a tag from elsewhere lives on: the content is fetched for it
    ck_assert_int_eq(meta_apply(region.m, &t, (struct bytes){0}, NULL, 0, &missing), ERR_NOTFOUND);
    ck_assert(digest_equal(&missing, &p.digest));
    ck_assert(meta_content_lacks(region.m, REG, "app", &p.digest, recorded));
    ck_assert_str_eq(recorded, ONE_TYPE);
    ck_assert_int_eq(meta_manifest_content_add(region.m, REG, "app", &p.digest, NULL,
                                               bytes_str("{2}"), NULL, 0, &missing),
                     ERR_DIGEST);
    ck_assert_int_eq(meta_manifest_content_add(region.m, REG, "app", &p.digest, NULL,
                                               bytes_str("{1}"), NULL, 0, &missing),
                     0);
    ck_assert_uint_eq(shown("app", NULL, &p.digest).n, 0); // it lives by the tag alone
    ck_assert_int_eq(meta_apply(region.m, &t, (struct bytes){0}, NULL, 0, &missing), 0);
    ck_assert_uint_gt(shown("app", "t", NULL).n, 0);
    // it goes; content that is dead is kept for a while, for other regions too
    struct feed_entry u = gone("c", 30, NONE);
    u.repository = "app";
    ck_assert_int_eq(meta_apply(region.m, &u, (struct bytes){0}, NULL, 0, &missing), 0);
    ck_assert_uint_eq(shown("app", NULL, &p.digest).n, 0);
    ck_assert_int_eq(meta_manifest_content(region.m, REG, "app", &p.digest, &a, &content, &type),
                     0);
    ck_assert(bytes_equal(content, bytes_str("{1}")));
    ck_assert_int_eq(meta_dead_content_drop(region.m, 0, 10, &n, &more), 0);
    ck_assert_uint_eq(n, 0);
    ck_assert_int_eq(meta_dead_content_drop(region.m, clock_wall_ms() + 1, 10, &n, &more), 0);
    ck_assert(n == 1 && !more);
    ck_assert_int_eq(meta_manifest_content(region.m, REG, "app", &p.digest, &a, &content, &type),
                     ERR_NOTFOUND);
    ck_assert(meta_content_lacks(region.m, REG, "app", &p.digest, NULL));
    arena_done(&a);
    store_end(&region);
}
END_TEST

CHECK_MAIN("store/meta gone", the_store_equals_the_rules_in_every_order,
           a_rule_ends_no_write_that_it_had_not_seen, a_tag_never_falls_back,
           who_created_first_stays_until_it_is_deleted, an_absent_child_is_not_held,
           locks_keep_what_they_cover, what_is_superseded_needs_no_content)
