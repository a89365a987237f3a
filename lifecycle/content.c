// SPDX-License-Identifier: Apache-2.0
// Waiting for content; see content.h.
#include "lifecycle/content.h"

#include "base/err.h"
#include "base/mem.h"
#include "lifecycle/record.h"

#include <stdio.h>
#include <string.h>

// of what lacks, in a sentence
#define NAMED_MAX 3
// A write that began before its replica was closed has ended by then, or never will.
#define WRITES_END_MS ((int64_t)60 * 1000)

struct looking {
    struct content_wait *w;
    const char *registry, *region;
    region_set self, others;
    bool comes;
    struct lifecycle_content seen;
};

static void text_of(const struct topology *t, region_set set, char *out, size_t cap)
{
    size_t n = 0;
    *out = '\0';
    for (size_t i = 0; i < t->n_regions; i++)
        if (set >> i & 1 && n < cap)
            n += (size_t)snprintf(out + n, cap - n, "%s%s", n ? ", " : "", t->regions[i].name);
}

// One sentence of what is not known to be copied.
static void not_copied(struct looking *k, const char *sentence)
{
    json_t *list = json_object_get(k->w->record, "notCopied");
    if (!list) {
        list = json_array();
        if (json_object_set_new(k->w->record, "notCopied", list))
            return;
    }
    json_array_append_new(list, json_string(sentence));
    k->w->dirty = true;
}

// ---- a replica that goes ----

static enum content_state away_goes(struct looking *k)
{
    AUTO_FREE char *sentence =
        mem_printf("%s could not be reached: what it alone wrote of %s stays on its disk, and "
                   "nowhere else",
                   k->region, k->registry);
    not_copied(k, sentence ? sentence : k->region);
    return CONTENT_THERE;
}

// What it alone has, as far as that is known by name: all in the record, the first in `why`.
static void lacking_say(struct looking *k)
{
    struct content_wait *w = k->w;
    size_t n = strlen(w->why);
    for (size_t i = 0; i < k->seen.n_lacking; i++) {
        not_copied(k, k->seen.lacking[i]);
        if (i < NAMED_MAX && n < sizeof w->why)
            n += (size_t)snprintf(w->why + n, sizeof w->why - n, "%s%s", i ? "; " : ". ",
                                  k->seen.lacking[i]);
    }
    if (k->seen.n_lacking > NAMED_MAX && n < sizeof w->why)
        snprintf(w->why + n, sizeof w->why - n, "; and more, in notCopied of the operation");
}

static void give_up(struct looking *k)
{
    char names[256];
    struct content_wait *w = k->w;
    region_set lacking = w->waits_for & k->others;
    if (!lacking) // it says nothing itself
        lacking = w->waits_for;
    text_of(w->t, lacking, names, sizeof names);
    snprintf(w->why, sizeof w->why,
             "%s has not had all that %s wrote of %s within %d minutes (%llu entries are known to "
             "lack, and %llu of regions that are gone or say nothing): see meridian replication "
             "status %s; --no-wait-for-content takes the replica away all the same",
             names, k->region, k->registry, (int)(CONTENT_MAX_MS / 60000),
             (unsigned long long)k->seen.to_go, (unsigned long long)k->seen.n_orphaned,
             k->registry);
    lacking_say(k);
}

static enum content_state wait_on(struct looking *k)
{
    const struct content_wait *w = k->w;
    if (k->comes || w->now_ms - record_number(w->phase, "started") <= CONTENT_MAX_MS)
        return CONTENT_AWAITED;
    give_up(k);
    return CONTENT_GIVEN_UP;
}

static enum content_state goes(struct looking *k)
{
    struct content_wait *w = k->w;
    region_set reached = k->others & ~w->away;
    char names[256];
    if (k->self & topology_sealed(w->t)) // who comes later would have no way to what it wrote
        reached = k->others;
    w->waits_for = (k->seen.behind | k->seen.orphaned | k->seen.silent) & (reached | k->self);
    if (!reached) // nobody is there who could have it
        w->waits_for = k->others;
    if (w->waits_for)
        return wait_on(k);
    text_of(w->t, k->others & w->away, names, sizeof names);
    AUTO_FREE char *sentence =
        mem_printf("%s could not be reached: whether it has all that %s wrote of %s is not known",
                   names, k->region, k->registry);
    if (*names)
        not_copied(k, sentence ? sentence : names);
    return CONTENT_THERE;
}

// ---- a replica that comes ----

static enum content_state comes(struct looking *k)
{
    struct content_wait *w = k->w;
    region_set reached = k->others & ~w->away;
    char names[256];
    w->waits_for = k->seen.silent & (reached | k->self);
    w->waits_for |= (k->seen.behind | w->away) & k->self;
    if (!reached)
        w->waits_for |= k->others;
    if (w->waits_for)
        return CONTENT_AWAITED;
    text_of(w->t, k->others & w->away, names, sizeof names);
    AUTO_FREE char *sentence =
        mem_printf("%s could not be reached: what it alone wrote of %s is not in %s yet", names,
                   k->registry, k->region);
    if (*names)
        not_copied(k, sentence ? sentence : names);
    return CONTENT_THERE;
}

// ---- both ----

// When what regions say counts; noted with the phase once its document is everywhere.
static int64_t since_ms(struct looking *k)
{
    struct content_wait *w = k->w;
    int64_t since = record_number(w->phase, "contentSince");
    if (since && since - w->now_ms <= WRITES_END_MS) // else a clock was ahead
        return since;
    since = w->now_ms;
    if (!k->comes)
        since += WRITES_END_MS;
    json_object_set_new(w->phase, "contentSince", json_integer(since));
    w->dirty = true;
    return since;
}

static int ask(struct looking *k)
{
    const struct lifecycle_deps *deps = k->w->deps;
    region_set readers = k->others, origins = k->self;
    if (since_ms(k) > k->w->now_ms)
        return ERR_BUSY;
    if (k->comes) {
        readers = k->self;
        origins = k->others;
    }
    return deps->content(deps->ctx, k->registry, readers, origins, &k->seen);
}

// False: there is nothing to wait for any more.
static bool look_begin(struct looking *k)
{
    const struct content_wait *w = k->w;
    const json_t *content = json_object_get(w->phase, "content");
    k->registry = record_text(content, "registry");
    k->region = record_text(content, "region");
    k->comes = json_is_true(json_object_get(content, "comes"));
    const struct registry *r = topology_registry_by_key(w->t, k->registry);
    const struct region *at = topology_region(w->t, k->region);
    if (!w->deps->content || !r || !at || !registry_replica(r, at->index))
        return false;
    k->self = (region_set)1 << at->index;
    k->others = r->replica_set & ~k->self & ~topology_sealed(w->t);
    return k->others != 0;
}

enum content_state content_look(struct content_wait *w)
{
    struct looking k = {.w = w};
    w->waits_for = 0;
    if (!look_begin(&k))
        return CONTENT_THERE;
    if (!k.comes && k.self & w->away)
        return away_goes(&k);
    w->waits_for = k.self;
    if (k.comes && k.self & w->away) // nobody is asked in vain, for only so many can be asked about
        return CONTENT_AWAITED;
    w->waits_for |= k.others;
    if (ask(&k)) // it may be that nobody is asked at all: too many others wait, too
        return wait_on(&k);
    json_object_set_new(w->phase, "toGo", json_integer((json_int_t)k.seen.to_go));
    enum content_state state = k.comes ? comes(&k) : goes(&k);
    if (state == CONTENT_THERE)
        json_object_del(w->phase, "toGo");
    return state;
}
