// SPDX-License-Identifier: Apache-2.0
// The rules of moves from one stamp to another; see moves.h. Two topologies may number regions and
// stamps differently: names are compared, where numbers do not show at once that nothing has moved.
#include "control/moves.h"

#include "base/arena.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "config/catalogue.h"
#include "config/document.h"

#include <stdio.h>
#include <string.h>

#define REFUSALS_TOLD 8

// ---- one replica ----

struct home { // by names
    const struct region *region;
    const char *stamp;
    // NULL: it does not move; "": from a stamp that is gone
    const char *was;
    int64_t since_s;
};

static struct home home_of(const struct topology *t, const struct registry *r, uint8_t region)
{
    struct home h = {.region = &t->regions[region]};
    const struct stamp_move *m = registry_move(r, region);
    h.stamp = topology_replica_stamp(t, registry_replica(r, region))->name;
    if (!m)
        return h;
    if (m->was == STAMP_GONE)
        h.was = "";
    else
        h.was = h.region->stamps[m->was].name;
    h.since_s = m->since_s;
    return h;
}

static bool is_ripe(const struct home *h, int64_t now_s)
{
    return !h->was || !*h->was || now_s >= h->since_s;
}

static const char *leads_to(const struct home *h, int64_t now_s)
{
    if (is_ripe(h, now_s))
        return h->stamp;
    return h->was;
}

struct judging {
    const char *registry;
    struct home old, new;
    int64_t now_s;
    uint32_t cached_s;
    struct move_refusal *out;
};

static bool refuse(struct judging *j, const char *key, int64_t again_s, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
static bool refuse(struct judging *j, const char *key, int64_t again_s, const char *fmt, ...)
{
    va_list ap;
    int n = snprintf(j->out->why, sizeof j->out->why, "registry %s: replicas: %s: ", j->registry,
                     j->new.region->name);
    va_start(ap, fmt);
    vsnprintf(j->out->why + n, sizeof j->out->why - (size_t)n, fmt, ap);
    va_end(ap);
    j->out->region = j->new.region->name;
    j->out->key = key;
    j->out->again_s = again_s;
    return false;
}

static bool refuse_jump(struct judging *j)
{
    const char *old = leads_to(&j->old, j->now_s), *new = j->new.stamp;
    return refuse(j, "stamp", 0,
                  "names would lead from stamp %s to %s at once, and resolvers that have seen %s "
                  "denied would say that "
                  "it does not exist. `meridian replication rebind -r %s --region %s --stamp %s` "
                  "moves them when none "
                  "does any more. By hand, stamp_was: %s and stamp_since: TIME (as in "
                  "2026-11-23T19:58:50Z) say from when on; if "
                  "the move was made while this node was away, that time is past",
                  old, new, new, j->registry, j->new.region->name, new, old);
}

// A row with the fields. What they say of a time that is past is taken as said.
static bool judge_move(struct judging *j)
{
    const struct home *old = &j->old, *new = &j->new;
    char since[CLOCK_TEXT_SIZE];
    if (new->since_s <= j->now_s || (old->was && !strcmp(new->was, old->was)))
        return true;
    bool from_home = !strcmp(new->was, old->stamp), ripe = is_ripe(old, j->now_s);
    if (from_home && ripe)
        return true;
    int64_t again_s;
    if (from_home && old->since_s < new->since_s)
        again_s = old->since_s;
    else
        again_s = new->since_s;
    return refuse(j, "stamp_was", again_s,
                  "names lead to stamp %s now, not to %s: until %s stamp_was must be %s",
                  leads_to(old, j->now_s), new->was, clock_format_s(new->since_s, since),
                  leads_to(old, j->now_s));
}

// A row without. Back to where names led before needs none: that name never left fe.D.
static bool judge_plain(struct judging *j)
{
    const struct home *old = &j->old, *new = &j->new;
    char since[CLOCK_TEXT_SIZE];
    if (old->was && !strcmp(new->stamp, old->was))
        return true;
    if (strcmp(new->stamp, old->stamp) != 0)
        return refuse_jump(j);
    if (is_ripe(old, j->now_s))
        return true;
    return refuse(j, "stamp", old->since_s,
                  "names lead to stamp %s until %s: stamp_was and stamp_since must stay until then",
                  old->was, clock_format_s(old->since_s, since));
}

static bool judge_gone(struct judging *j, const char *stamp, int64_t until_s)
{
    char until[CLOCK_TEXT_SIZE];
    if (j->now_s >= until_s || region_stamp(j->new.region, stamp))
        return true;
    return refuse(
        j, "stamp", until_s,
        "stamp %s is gone, but caches lead to it until %s: the region must keep it until then",
        stamp, clock_format_s(until_s, until));
}

// Neither where names lead now nor where they led until lately may leave fe.D.
static bool judge_left(struct judging *j)
{
    const struct home *old = &j->old, *new = &j->new;
    const char *led = leads_to(old, j->now_s);
    if (old->was && *old->was && is_ripe(old, j->now_s) &&
        !judge_gone(j, old->was, old->since_s + j->cached_s))
        return false;
    return !new->was || judge_gone(j, led, new->since_s + j->cached_s);
}

static bool judge(struct judging *j)
{
    bool ok;
    if (j->new.was)
        ok = judge_move(j);
    else
        ok = judge_plain(j);
    return ok && judge_left(j);
}

// ---- registries ----

bool moves_registry_may_follow(const struct topology *before, const struct registry *old,
                               const struct topology *next, const struct registry *new,
                               int64_t now_s, struct move_refusal *out)
{
    struct judging j = {
        .registry = new->name, .now_s = now_s, .cached_s = ttls_cached_s(&before->ttl), .out = out};
    for (size_t i = 0; i < new->n_replicas; i++) {
        uint8_t region = new->replicas[i].region;
        const struct region *was = topology_region(before, next->regions[region].name);
        if (!was || !registry_replica(old, was->index))
            continue;
        j.old = home_of(before, old, was->index);
        j.new = home_of(next, new, region);
        if (!judge(&j))
            return false;
    }
    return true;
}

#define NO_REGION 0xff
struct numbers { // of the next topology, as numbers of the one before
    uint8_t region[TOPOLOGY_MAX_REGIONS];
    // STAMP_GONE: there was none of that name
    uint8_t stamp[TOPOLOGY_MAX_REGIONS][256];
};

static void numbers_fill(struct numbers *m, const struct topology *before,
                         const struct topology *next)
{
    for (size_t i = 0; i < next->n_regions; i++) {
        const struct region *new = &next->regions[i], *old = topology_region(before, new->name);
        if (old)
            m->region[i] = old->index;
        else
            m->region[i] = NO_REGION;
        for (size_t k = 0; old && k < new->n_stamps; k++) {
            const struct stamp *s = region_stamp(old, new->stamps[k].name);
            if (s)
                m->stamp[i][k] = s->index;
            else
                m->stamp[i][k] = STAMP_GONE;
        }
    }
}

// By numbers alone, as for nearly all. False: look at the names.
static bool clearly_stays(const struct numbers *m, const struct catalogue_registry *old,
                          const struct catalogue_registry *new)
{
    if ((old->flags | new->flags) & CATALOGUE_MOVES)
        return false;
    for (region_set left = new->replicas; left; left &= left - 1) {
        uint8_t region = (uint8_t)__builtin_ctzll(left), was = m->region[region];
        if (was == NO_REGION || !(old->replicas >> was & 1))
            continue;
        if (m->stamp[region][catalogue_stamp(new, region)] != catalogue_stamp(old, was))
            return false;
    }
    return true;
}

static const struct catalogue_registry *record_before(const struct topology *before,
                                                      const struct catalogue_registry *r)
{
    const struct catalogue_registry *same =
        catalogue_find(before->catalogue, (const char *)catalogue_label(r), r->label_n);
    struct registry_room room;
    struct registry full;
    if (same)
        return same;
    catalogue_expand(r, &room, &full);
    return catalogue_find_name(before->catalogue, full.name); // with another hash
}

static const struct doc_node *item_with(const struct doc_node *list, const char *key,
                                        const char *value)
{
    for (const struct doc_node *i = list ? list->child : NULL; i; i = i->next) {
        const struct doc_node *v = doc_get(i, key);
        if (v && v->kind == DOC_SCALAR && !strcmp(v->text, value))
            return i;
    }
    return NULL;
}

int moves_line(const struct doc_node *registry, const struct move_refusal *r)
{
    const struct doc_node *row = item_with(doc_get(registry, "replicas"), "region", r->region);
    if (row)
        return doc_key_line(row, r->key);
    return doc_key_line(registry, "replicas");
}

struct telling { // refusals with their lines; the document is read again only when there are any
    const struct topology *next;
    struct bytes text;
    struct arena arena;
    struct doc_node *root;
    struct diag *diag;
    size_t n;
    int64_t again_s;
};

static void tell(struct telling *x, const struct registry *r, const struct move_refusal *why)
{
    if (!x->n++ && x->text.n)
        (void)doc_parse((const char *)x->text.p, x->text.n, x->next->source, &x->arena, NULL,
                        &x->root);
    const struct doc_node *row = NULL;
    if (x->root)
        row = item_with(doc_get(x->root, "registries"), "name", r->name);
    if (x->n <= REFUSALS_TOLD)
        diag_add(x->diag, x->next->source, row ? moves_line(row, why) : 0, "%s", why->why);
    if (why->again_s && (!x->again_s || why->again_s < x->again_s))
        x->again_s = why->again_s;
}

static void judge_record(struct telling *x, const struct topology *before,
                         const struct catalogue_registry *old, const struct catalogue_registry *new,
                         int64_t now_s)
{
    struct registry_room rooms[2];
    struct registry a, b;
    struct move_refusal why;
    catalogue_expand(old, &rooms[0], &a);
    catalogue_expand(new, &rooms[1], &b);
    if (!moves_registry_may_follow(before, &a, x->next, &b, now_s, &why))
        tell(x, &b, &why);
}

bool moves_may_follow(const struct topology *before, const struct topology *next, struct bytes text,
                      int64_t now_s, struct diag *diag, int64_t *out_again_s)
{
    struct telling x = {.next = next, .text = text, .diag = diag};
    struct catalogue_iter it = {0};
    AUTO_FREE struct numbers *m = mem_alloc(sizeof *m);
    if (!m) {
        diag_add(diag, next->source, 0, "%s", err_text(ERR_NOMEM));
        return false;
    }
    numbers_fill(m, before, next);
    arena_init(&x.arena, 0);
    for (const struct catalogue_registry *new; (new = catalogue_next(next->catalogue, &it));) {
        const struct catalogue_registry *old = record_before(before, new);
        if (old && !clearly_stays(m, old, new))
            judge_record(&x, before, old, new, now_s);
    }
    if (x.n > REFUSALS_TOLD)
        diag_add(diag, next->source, 0, "and so of %zu more registries", x.n - REFUSALS_TOLD);
    arena_done(&x.arena);
    *out_again_s = x.again_s;
    return !x.n;
}
