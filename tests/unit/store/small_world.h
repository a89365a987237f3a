// SPDX-License-Identifier: Apache-2.0
// A small world for tests of what lives: three regions, one repository with two manifests, an index
// of both and a tag. Regions act on what they see, and read each other whole. What is visible is
// computed here from the set of entries that a region has, from nothing each time, by the rules of
// store/liveness.h alone; the store, which keeps it row by row, must agree.
//
//   struct world w = {0};
//   world_act(&w, (struct step){.region = 0, .act = ACT_TAG_1});
//   world_act(&w, (struct step){.region = 1, .act = ACT_READ, .from = 0});
//   struct sight s = world_see(&w, world_all(&w));
#ifndef MERIDIAN_TESTS_SMALL_WORLD_H
#define MERIDIAN_TESTS_SMALL_WORLD_H

#include "base/digest.h"
#include "base/mem.h"
#include "store/entry_kind.h"
#include "store/liveness.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#define WORLD_REGIONS 3
#define WORLD_ENTRIES 32
#define ONE_TYPE "application/vnd.oci.image.manifest.v1+json"
#define MANY_TYPE "application/vnd.oci.image.index.v1+json"

enum world_manifest { M_1, M_2, M_INDEX, WORLD_MANIFESTS };

enum act {
    ACT_READ, // all that `from` has
    ACT_PUSH_1,
    ACT_PUSH_2,
    ACT_PUSH_INDEX, // with what is not seen of its children marked as absent
    ACT_TAG_1,
    ACT_TAG_2,
    ACT_TAG_INDEX,
    ACT_CREATE_1, // only if there is no such tag
    ACT_CREATE_2,
    ACT_DELETE_TAG,
    ACT_DELETE_1,
    ACT_DELETE_INDEX,
    ACT_RULE_TAG,
    ACT_RULE_1,
    ACT_LOCK_TAG, // against deletion
    ACT_UNLOCK_TAG,
    ACT_LOCK_1,
    ACT_UNLOCK_1,
    N_ACTS
};

struct step {
    int region;
    enum act act;
    int from;
};

struct world {
    struct feed_entry entries[WORLD_ENTRIES];
    // what the writer of each entry saw
    uint32_t saw[WORLD_ENTRIES];
    uint8_t marks[WORLD_ENTRIES];
    size_t n;
    // which entries each region has, as bits
    uint32_t has[WORLD_REGIONS];
    uint64_t clock;
    uint64_t seq[WORLD_REGIONS];
};

// What a region sees that has some of the entries.
struct sight {
    struct register_value value, gone; // of the tag
    struct register_value presence[WORLD_MANIFESTS], absence[WORLD_MANIFESTS];
    uint64_t ended, killed[WORLD_MANIFESTS]; // by persons
    uint8_t marks;                           // of the index
    struct lock_facts tag_lock, locks[WORLD_MANIFESTS];
    bool tag_live, live[WORLD_MANIFESTS];
    enum world_manifest tag_to;
};

static const char *const world_regions[WORLD_REGIONS] = {"a", "b", "c"};

static inline const char *world_text(enum world_manifest m)
{
    static char text[1024];
    if (m == M_1)
        return "{1}";
    if (m == M_2)
        return "{2}";
    if (!*text) {
        struct digest d[2];
        char t[2][DIGEST_TEXT_SIZE];
        for (int i = 0; i < 2; i++) {
            digest_of(DIGEST_SHA256, world_text(i), 3, &d[i]);
            digest_format(&d[i], t[i]);
        }
        snprintf(text, sizeof text,
                 "{\"schemaVersion\":2,\"mediaType\":\"" MANY_TYPE "\",\"manifests\":["
                 "{\"mediaType\":\"" ONE_TYPE "\",\"digest\":\"%s\",\"size\":3},"
                 "{\"mediaType\":\"" ONE_TYPE "\",\"digest\":\"%s\",\"size\":3}]}",
                 t[0], t[1]);
    }
    return text;
}

static inline const struct digest *world_digest(enum world_manifest m)
{
    static struct digest d[WORLD_MANIFESTS];
    if (!d[M_1].n)
        for (int i = 0; i < WORLD_MANIFESTS; i++)
            digest_of(DIGEST_SHA256, world_text(i), strlen(world_text(i)), &d[i]);
    return &d[m];
}

static inline enum world_manifest world_which(const struct digest *d)
{
    for (int i = 0; i < WORLD_MANIFESTS; i++)
        if (digest_equal(d, world_digest(i)))
            return i;
    return WORLD_MANIFESTS;
}

static inline uint32_t world_all(const struct world *w)
{
    return (uint32_t)((1ull << w->n) - 1);
}

// --- what is seen ---

static inline struct register_value world_value(const struct feed_entry *e)
{
    struct register_value v = {.stamp = entry_register_stamp(e),
                               .origin = entry_register_origin(e),
                               .epoch = entry_register_epoch(e),
                               .digest = e->digest,
                               .gone = entry_has(e, ENTRY_IS_GONE),
                               .create_only = e->create_only};
    if (v.create_only)
        v.generation = e->generation;
    return v;
}

static inline bool world_take(struct register_value *to, const struct register_value *v)
{
    if (register_has(to) && register_order(v, to) <= 0)
        return false;
    *to = *v;
    return true;
}

static inline void world_count(const struct world *w, size_t i, struct sight *s)
{
    const struct feed_entry *e = &w->entries[i];
    struct register_value v = world_value(e);
    struct lock_facts lock = {v.stamp, e->lock_write, e->lock_delete};
    enum world_manifest m = world_which(&e->digest);
    if (e->kind == ENTRY_MANIFEST && world_take(&s->presence[m], &v) && m == M_INDEX)
        s->marks = w->marks[i];
    if (e->kind == ENTRY_MANIFEST_GONE) {
        world_take(&s->absence[m], &v);
        if (!e->judged)
            s->killed[m] = stamp_max(s->killed[m], v.stamp);
    }
    if (e->kind == ENTRY_TAG)
        world_take(&s->value, &v);
    if (e->kind == ENTRY_TAG_GONE) {
        world_take(&s->gone, &v);
        if (!e->judged)
            s->ended = stamp_max(s->ended, v.stamp);
    }
    if (e->kind == ENTRY_TAG_LOCK && lock.stamp > s->tag_lock.stamp)
        s->tag_lock = lock;
    if (e->kind == ENTRY_MANIFEST_LOCK && lock.stamp > s->locks[m].stamp)
        s->locks[m] = lock;
}

static inline void world_judge(struct sight *s)
{
    s->tag_to = register_has(&s->value) ? world_which(&s->value.digest) : WORLD_MANIFESTS;
    if (register_has(&s->value)) {
        const struct tag_facts f = {.value = &s->value,
                                    .gone = &s->gone,
                                    .ended = s->ended,
                                    .killed = s->killed[s->tag_to],
                                    .lock = s->tag_lock,
                                    .manifest_lock = s->locks[s->tag_to]};
        s->tag_live = tag_lives(&f);
    }
    for (int m = WORLD_MANIFESTS - 1; m >= 0; m--) { // the index first: it holds the others
        const struct manifest_facts f = {.value = &s->presence[m],
                                         .gone = &s->absence[m],
                                         .killed = s->killed[m],
                                         .lock = s->locks[m],
                                         .led = s->tag_live && s->tag_to == (unsigned)m,
                                         .held = m != M_INDEX && s->live[M_INDEX] &&
                                                 !(s->marks >> m & 1)};
        s->live[m] = manifest_wanted(&f);
    }
}

static inline struct sight world_see(const struct world *w, uint32_t has)
{
    struct sight s = {.value.origin = "", .gone = {.origin = "", .gone = true}};
    for (int m = 0; m < WORLD_MANIFESTS; m++) {
        s.presence[m] = (struct register_value){.origin = "", .digest = *world_digest(m)};
        s.absence[m] =
            (struct register_value){.origin = "", .digest = *world_digest(m), .gone = true};
    }
    for (size_t i = 0; i < w->n; i++)
        if (has >> i & 1)
            world_count(w, i, &s);
    world_judge(&s);
    return s;
}

// --- what is done ---

static inline struct feed_entry *world_mint(struct world *w, int region, enum entry_kind kind,
                                            const struct digest *d)
{
    struct feed_entry *e = &w->entries[w->n];
    *e = (struct feed_entry){.version = 2,
                             .origin = world_regions[region],
                             .epoch = 1,
                             .seq = ++w->seq[region],
                             .stamp = ++w->clock,
                             .kind = kind,
                             .registry = "contoso",
                             .repository = "app",
                             .tag = "",
                             .media_type = "",
                             .rule = "",
                             .by = "",
                             .key = "k"};
    if (kind == ENTRY_TAG || kind == ENTRY_TAG_GONE || kind == ENTRY_TAG_LOCK)
        e->tag = "t";
    if (d)
        e->digest = *d;
    e->hash[0] = (uint8_t)region;
    e->hash[1] = (uint8_t)e->seq;
    w->marks[w->n] = 0;
    w->saw[w->n] = w->has[region];
    w->has[region] |= 1u << w->n++;
    return e;
}

// The entry of a push, with what its children need.
static inline void world_push(struct world *w, int region, const struct sight *s,
                              enum world_manifest m)
{
    struct feed_entry *e = world_mint(w, region, ENTRY_MANIFEST, world_digest(m));
    e->media_type = m == M_INDEX ? MANY_TYPE : ONE_TYPE;
    e->size = strlen(world_text(m));
    if (m != M_INDEX)
        return;
    for (int i = 0; i < 2; i++)
        if (!s->live[i])
            w->marks[w->n - 1] |= (uint8_t)(1u << i);
    if (w->marks[w->n - 1])
        e->absent = bytes_of(&w->marks[w->n - 1], 1);
}

// A push by tag. Where the manifest was there already, its entry is not always needed: here it is
// written when the region has none of its own above what deleted it.
static inline void world_tag(struct world *w, int region, const struct sight *s,
                             enum world_manifest m, bool create)
{
    bool own = false;
    for (size_t i = 0; i < w->n; i++) {
        const struct feed_entry *e = &w->entries[i];
        if (e->kind != ENTRY_MANIFEST || strcmp(e->origin, world_regions[region]) != 0)
            continue;
        if (world_which(&e->digest) == m && e->stamp > s->absence[m].stamp)
            own = true;
    }
    if (!s->live[m] || !own)
        world_push(w, region, s, m);
    struct feed_entry *e = world_mint(w, region, ENTRY_TAG, world_digest(m));
    e->create_only = create;
    if (create)
        e->generation = tag_generation(&s->value, &s->gone,
                                       s->tag_to == WORLD_MANIFESTS ? 0 : s->killed[s->tag_to]);
}

static inline bool world_tag_kept(const struct sight *s)
{
    return lock_keeps(&s->tag_lock, stamp_max(s->ended, s->killed[s->tag_to]));
}

static inline bool world_manifest_kept(const struct sight *s, enum world_manifest m)
{
    return lock_keeps(&s->locks[m], s->killed[m]);
}

static inline bool world_delete(struct world *w, int region, const struct sight *s,
                                enum world_manifest m)
{
    bool held = m != M_INDEX && s->live[M_INDEX] && !(s->marks >> m & 1);
    bool led = s->tag_live && s->tag_to == m;
    if (!s->live[m] || held || world_manifest_kept(s, m) || (led && world_tag_kept(s)))
        return false;
    world_mint(w, region, ENTRY_MANIFEST_GONE, world_digest(m));
    return true;
}

static inline void world_judged(struct feed_entry *e, const struct register_value *v)
{
    e->judged = true;
    e->judged_stamp = v->stamp;
    e->judged_origin = v->origin;
    e->judged_epoch = v->epoch;
    e->create_only = v->create_only;
    e->generation = v->generation;
    e->rule = "r";
}

static inline bool world_rule_1(struct world *w, int region, const struct sight *s)
{
    bool held = s->live[M_INDEX] && !(s->marks & 1);
    bool led = s->tag_live && s->tag_to == M_1;
    if (!s->live[M_1] || held || led || world_manifest_kept(s, M_1))
        return false;
    if (!register_stands(&s->presence[M_1], &s->absence[M_1]))
        return false;
    world_judged(world_mint(w, region, ENTRY_MANIFEST_GONE, world_digest(M_1)), &s->presence[M_1]);
    return true;
}

static inline bool world_lock(struct world *w, int region, enum entry_kind kind,
                              const struct digest *d, bool is, bool will)
{
    if (is == will)
        return false;
    world_mint(w, region, kind, d)->lock_delete = will;
    return true;
}

// False: nothing comes of it.
static inline bool world_act(struct world *w, struct step step)
{
    int r = step.region;
    struct sight s = world_see(w, w->has[r]);
    uint32_t had = w->has[r];
    assert(w->n + 3 < WORLD_ENTRIES);
    switch (step.act) {
    case ACT_READ:
        w->has[r] |= w->has[step.from];
        return w->has[r] != had;
    case ACT_PUSH_1:
        world_push(w, r, &s, M_1);
        return true;
    case ACT_PUSH_2:
        world_push(w, r, &s, M_2);
        return true;
    case ACT_PUSH_INDEX:
        world_push(w, r, &s, M_INDEX);
        return true;
    case ACT_TAG_1:
        world_tag(w, r, &s, M_1, false);
        return true;
    case ACT_TAG_2:
        world_tag(w, r, &s, M_2, false);
        return true;
    case ACT_TAG_INDEX:
        world_tag(w, r, &s, M_INDEX, false);
        return true;
    case ACT_CREATE_1:
    case ACT_CREATE_2:
        if (!s.tag_live)
            world_tag(w, r, &s, step.act == ACT_CREATE_1 ? M_1 : M_2, true);
        return !s.tag_live;
    case ACT_DELETE_TAG:
        if (!s.tag_live || world_tag_kept(&s))
            return false;
        world_mint(w, r, ENTRY_TAG_GONE, NULL);
        return true;
    case ACT_DELETE_1:
        return world_delete(w, r, &s, M_1);
    case ACT_DELETE_INDEX:
        return world_delete(w, r, &s, M_INDEX);
    case ACT_RULE_TAG:
        if (!s.tag_live || world_tag_kept(&s))
            return false;
        world_judged(world_mint(w, r, ENTRY_TAG_GONE, NULL), &s.value);
        return true;
    case ACT_RULE_1:
        return world_rule_1(w, r, &s);
    case ACT_LOCK_TAG:
    case ACT_UNLOCK_TAG:
        return s.tag_live &&
               world_lock(w, r, ENTRY_TAG_LOCK, NULL, world_tag_kept(&s), step.act == ACT_LOCK_TAG);
    case ACT_LOCK_1:
    case ACT_UNLOCK_1:
        return s.live[M_1] && world_lock(w, r, ENTRY_MANIFEST_LOCK, world_digest(M_1),
                                         world_manifest_kept(&s, M_1), step.act == ACT_LOCK_1);
    case N_ACTS:
        break;
    }
    return false;
}

#endif
