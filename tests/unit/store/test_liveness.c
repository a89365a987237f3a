// SPDX-License-Identifier: Apache-2.0
// store/liveness: all short histories of three regions. Whatever regions did without seeing each
// other, what lives once all have read all is what the rules promise to who acted.
//
// LIVENESS_STEPS in the environment is the length of the histories, 4 when it is not set; 5 takes
// minutes.
#include "tests/support/check_main.h"
#include "tests/unit/store/small_world.h"

#include <stdlib.h>

struct walk {
    int depth;
    uint64_t n_histories;
    struct step steps[8];
};

static const char *const act_names[N_ACTS] = {
    "reads",      "pushes 1",  "pushes 2",  "pushes the index", "tags 1",    "tags 2",
    "tags index", "creates 1", "creates 2", "deletes the tag",  "deletes 1", "deletes the index",
    "rule: tag",  "rule: 1",   "locks tag", "unlocks tag",      "locks 1",   "unlocks 1"};

static const char *history_text(const struct walk *k, int n)
{
    static char text[512];
    size_t at = 0;
    for (int i = 0; i < n; i++) {
        const struct step *s = &k->steps[i];
        at += (size_t)snprintf(text + at, sizeof text - at, "%s %s", world_regions[s->region],
                               act_names[s->act]);
        if (s->act == ACT_READ)
            at += (size_t)snprintf(text + at, sizeof text - at, " %s", world_regions[s->from]);
        at += (size_t)snprintf(text + at, sizeof text - at, "; ");
    }
    return text;
}

// --- what the rules promise ---

static bool is_person_gone(const struct feed_entry *e)
{
    return (e->kind == ENTRY_TAG_GONE || e->kind == ENTRY_MANIFEST_GONE) && !e->judged;
}

static bool saw(const struct world *w, size_t who, size_t what)
{
    return w->saw[who] >> what & 1;
}

// A plain write that nobody wrote over, deleted or judged stands.
static const char *writes_stand(const struct world *w, const struct sight *s)
{
    for (size_t i = 0; i < w->n; i++) {
        const struct feed_entry *e = &w->entries[i];
        bool outdone = false;
        if (e->kind != ENTRY_TAG || e->create_only)
            continue;
        for (size_t k = 0; k < w->n; k++) {
            const struct feed_entry *o = &w->entries[k];
            bool same_manifest = digest_equal(&o->digest, &e->digest);
            outdone |= o->kind == ENTRY_TAG && o->stamp > e->stamp &&
                       (!o->create_only || o->generation >= e->stamp);
            outdone |= o->kind == ENTRY_TAG_GONE && o->stamp > e->stamp && !o->judged;
            outdone |= o->kind == ENTRY_TAG_GONE && o->judged && o->judged_stamp == e->stamp;
            outdone |= o->kind == ENTRY_MANIFEST_GONE && !o->judged && same_manifest &&
                       o->stamp > e->stamp;
        }
        if (!outdone && !(s->tag_live && s->value.stamp == e->stamp))
            return "an acknowledged write is lost";
    }
    return NULL;
}

// A rule ends the value that it judged: without its entry another value would not be hidden.
static const char *rules_end_what_they_judged(const struct world *w)
{
    for (size_t i = 0; i < w->n; i++) {
        const struct feed_entry *e = &w->entries[i];
        if (!e->judged)
            continue;
        struct sight without = world_see(w, world_all(w) & ~(1u << i));
        struct sight with = world_see(w, world_all(w));
        if (e->kind == ENTRY_TAG_GONE && without.tag_live && !with.tag_live &&
            without.value.stamp != e->judged_stamp)
            return "a rule ended a value of the tag that it had not judged";
        if (e->kind == ENTRY_MANIFEST_GONE && without.live[M_1] && !with.live[M_1] &&
            without.presence[M_1].stamp != e->judged_stamp)
            return "a rule ended a presence that it had not judged";
        if (e->kind == ENTRY_MANIFEST_GONE && without.tag_live != with.tag_live)
            return "a rule for a manifest removed a tag";
    }
    return NULL;
}

// What a person deleted, as that person saw it, is not shown again; unless a lock that the person
// had not seen keeps it.
static const char *deletions_hold(const struct world *w, const struct sight *s)
{
    for (size_t i = 0; i < w->n; i++) {
        const struct feed_entry *e = &w->entries[i];
        if (!is_person_gone(e) || !s->tag_live)
            continue;
        for (size_t k = 0; k < w->n; k++) {
            const struct feed_entry *o = &w->entries[k];
            if (o->kind != ENTRY_TAG || o->stamp != s->value.stamp || !saw(w, i, k))
                continue;
            if (e->kind == ENTRY_MANIFEST_GONE && !digest_equal(&o->digest, &e->digest))
                continue;
            bool locked = (s->tag_lock.del && s->tag_lock.stamp > e->stamp) ||
                          (e->kind == ENTRY_MANIFEST_GONE && s->locks[M_1].del &&
                           s->locks[M_1].stamp > e->stamp);
            if (!locked)
                return "a deleted value is shown";
        }
    }
    return NULL;
}

// Of two that created in the same generation the later one never shows.
static const char *first_creator_stays(const struct world *w, const struct sight *s)
{
    if (!s->tag_live || !s->value.create_only)
        return NULL;
    for (size_t i = 0; i < w->n; i++) {
        const struct feed_entry *e = &w->entries[i];
        if (e->kind == ENTRY_TAG && e->create_only && e->generation == s->value.generation &&
            e->stamp < s->value.stamp)
            return "the later one of two that created is shown";
    }
    return NULL;
}

// A creator saw no value. So it wins over all that it saw.
static const char *creators_win_over_what_they_saw(const struct world *w)
{
    for (size_t i = 0; i < w->n; i++) {
        const struct feed_entry *e = &w->entries[i];
        if (e->kind != ENTRY_TAG || !e->create_only)
            continue;
        struct sight then = world_see(w, w->saw[i] | 1u << i);
        if (!then.tag_live || then.value.stamp != e->stamp)
            return "what was created is not shown to who created it";
    }
    return NULL;
}

// A delete lock that nobody lifted, on what was not deleted by a person after it, keeps.
static const char *locks_keep(const struct world *w, const struct sight *s)
{
    if (!s->locks[M_1].del || s->locks[M_1].stamp <= s->killed[M_1])
        return NULL;
    (void)w;
    return s->live[M_1] ? NULL : "a locked manifest is gone";
}

static const char *index_holds_its_children(const struct sight *s)
{
    for (int m = 0; m < 2; m++)
        if (s->live[M_INDEX] && !(s->marks >> m & 1) && !s->live[m])
            return "a child of a live index is gone";
    if (s->tag_live && !s->live[s->tag_to])
        return "a tag leads to nothing";
    return NULL;
}

static const char *broken_promise(const struct world *w)
{
    struct sight s = world_see(w, world_all(w));
    const char *wrong = writes_stand(w, &s);
    if (!wrong)
        wrong = rules_end_what_they_judged(w);
    if (!wrong)
        wrong = deletions_hold(w, &s);
    if (!wrong)
        wrong = first_creator_stays(w, &s);
    if (!wrong)
        wrong = creators_win_over_what_they_saw(w);
    if (!wrong)
        wrong = locks_keep(w, &s);
    if (!wrong)
        wrong = index_holds_its_children(&s);
    return wrong;
}

// --- all histories ---

static void walk(struct walk *k, const struct world *w, int n, int n_regions)
{
    for (int r = 0; r < WORLD_REGIONS && r <= n_regions;
         r++) // which region is first does not matter
        for (enum act act = 0; act < N_ACTS; act++)
            for (int from = 0; from < (act == ACT_READ ? WORLD_REGIONS : 1); from++) {
                struct world next = *w;
                k->steps[n] = (struct step){r, act, from};
                if (!world_act(&next, k->steps[n]))
                    continue;
                k->n_histories++;
                const char *wrong = broken_promise(&next);
                ck_assert_msg(!wrong, "%s: %s", history_text(k, n + 1), wrong);
                if (n + 1 < k->depth)
                    walk(k, &next, n + 1, r == n_regions ? n_regions + 1 : n_regions);
            }
}

START_TEST(every_short_history_keeps_what_was_promised)
{
    const char *steps = getenv("LIVENESS_STEPS");
    struct walk k = {.depth = steps ? atoi(steps) : 4};
    struct world w = {0};
    ck_assert(k.depth >= 1 && k.depth <= 8);
    walk(&k, &w, 0, 0);
    ck_assert_uint_gt(k.n_histories, 1000);
}
END_TEST

CHECK_MAIN("store/liveness", every_short_history_keeps_what_was_promised)
