// SPDX-License-Identifier: Apache-2.0
// The phases of a move from stamp to stamp; see stamp_move.h.
#include "lifecycle/stamp_move.h"

#include "base/clock.h"
#include "base/err.h"
#include "control/change.h"
#include "lifecycle/caches.h"
#include "lifecycle/lifecycle.h"
#include "lifecycle/record.h"
#include "lifecycle/registry_goal_priv.h"
#include "lifecycle/registry_verbs.h"

#include <string.h>

// Names do not lead there before a time is given.
#define NEVER "9999-12-31T23:59:59Z"
// that clocks may be apart
#define CLOCKS_S 5
// for answers on their way
#define OVERLAP_MORE_S 60
// for what runs at a stamp that takes nothing new
#define DRAIN_S 60

struct moving {
    const struct plan_ctx *x;
    const struct registry *r;
    const struct region *at;
    // Of the row: the stamp it names, and the one before; was NULL: none, or that is gone.
    const char *home, *was;
    int64_t since_s;
    const char *to;
};

static void look(struct moving *m, const struct replica *rep)
{
    const struct stamp_move *move = registry_move(m->r, m->at->index);
    m->home = m->at->stamps[rep->stamp].name;
    if (!move || move->was == STAMP_GONE)
        return;
    m->was = m->at->stamps[move->was].name;
    m->since_s = move->since_s;
}

// ---- steps ----

// Caches lead to a stamp by a name's TTL and then by its address's.
static uint32_t overlap_s(const struct plan_ctx *x)
{
    return caches_hold_s(x) + x->t->ttl.frontend + OVERLAP_MORE_S;
}

// The row with that stamp, and `was` until `since` (NULL: without).
static int write_row(const struct moving *m, const char *was, const char *since, struct phase *out)
{
    struct spec_registry row;
    const struct change c = {.registries = &row, .n_registries = 1};
    int rc = change_registry_row(m->x->t, m->r, m->x->arena, &row);
    if (rc)
        return rc;
    struct spec_replica *rep = change_replica(&row, m->at->name);
    rep->stamp = m->to;
    rep->was = was;
    rep->since = since;
    return change_text(m->x, &c, &out->change);
}

static int warm(const struct moving *m, struct phase *out)
{
    out->name = "warm";
    out->stamp = m->to;
    out->waits = WAIT_PUBLISHED;
    out->rest_s = caches_deny_s(m->x) + CLOCKS_S;
    return write_row(m, m->home, NEVER, out);
}

static int lead(const struct moving *m, const char *from, struct phase *out)
{
    char now[CLOCK_TEXT_SIZE];
    clock_format_s(m->x->now_ms / 1000, now);
    const char *since = arena_strdup(m->x->arena, now);
    if (!since)
        return ERR_NOMEM;
    out->name = "switch";
    out->rest = "overlap";
    out->rest_s = overlap_s(m->x);
    return write_row(m, from, since, out);
}

static int drain(const struct moving *m, struct phase *out)
{
    out->name = "drain";
    out->rest_s = DRAIN_S;
    return write_row(m, NULL, NULL, out);
}

// Back to where names lead still, or led until lately.
static int lead_back(const struct moving *m, struct phase *out)
{
    if (!m->was || m->since_s != MOVE_SINCE_MAX_S)
        return lead(m, m->home, out);
    out->name = "document";
    return write_row(m, NULL, NULL, out);
}

static int find(struct moving *m, const json_t *goal, struct diag *diag)
{
    const struct replica *rep = NULL;
    m->r = plan_registry(m->x, record_text(goal, "registry"), diag);
    if (!m->r)
        return ERR_NOTFOUND;
    m->at = plan_region(m->x, record_text(goal, "region"), diag);
    if (!m->at)
        return ERR_NOTFOUND;
    rep = registry_replica(m->r, m->at->index);
    if (!rep) {
        refuse(diag, "registry %s has no replica in %s any more", m->r->name, m->at->name);
        return ERR_NOTFOUND;
    }
    look(m, rep);
    return 0;
}

int stamp_move_step(const struct plan_ctx *x, const json_t *goal, struct phase *out,
                    struct diag *diag)
{
    struct moving m = {.x = x, .to = record_text(goal, "stamp")};
    bool back = goal_wants(goal, "back") == WANTED;
    *out = (struct phase){0};
    int rc = find(&m, goal, diag);
    if (rc)
        return rc;
    bool home = !strcmp(m.home, m.to);
    if (!home && back)
        return lead_back(&m, out);
    if (!home)
        return warm(&m, out);
    if (!m.was)
        return 0;
    if (m.since_s != MOVE_SINCE_MAX_S)
        return drain(&m, out);
    out->stamp = m.to;
    return lead(&m, m.was, out);
}

bool stamp_move_is(const json_t *goal)
{
    return goal_wants(goal, "move") == WANTED;
}

// ---- the plan ----

static int check(const struct moving *m, struct diag *diag)
{
    const struct lifecycle_deps *deps = m->x->deps;
    const struct lifecycle_move move = {m->r->name, m->at->name, m->to};
    if (deps->stamps)
        return deps->stamps->check(deps->ctx, m->x->t, &move, diag);
    refuse(
        diag,
        "two stamps of one region serve over one store only with a store engine that this "
        "release does not have: %s would not find its content at %s. If %s is another address of "
        "the server that %s leads to, or of a balancer before it, `meridian replication rebind "
        "-r %s --region %s --stamp %s` leads names there",
        m->r->name, m->to, m->to, m->home, m->r->name, m->at->name, m->to);
    return ERR_CONFLICT;
}

// Is there something to do, and no other move under way?
static int judge(const struct moving *m, struct diag *diag)
{
    char since[CLOCK_TEXT_SIZE];
    bool pending = m->was && m->x->now_ms / 1000 < m->since_s;
    if (!region_stamp(m->at, m->to)) {
        refuse(diag, "region %s has no stamp %.80s: meridian stamp list", m->at->name, m->to);
        return ERR_NOTFOUND;
    }
    if (pending) {
        refuse(diag,
               "names of %s in %s lead to %s from %s on already: wait until then, or take it back "
               "with meridian replication rebind --stamp %s",
               m->r->name, m->at->name, m->home, clock_format_s(m->since_s, since), m->was);
        return ERR_CONFLICT;
    }
    if (!strcmp(m->home, m->to))
        return ERR_EXISTS;
    return 0;
}

static void tell(const struct moving *m, struct plan *out)
{
    plan_note(m->x, out,
              "%s opens it first; names lead there once all who answer for fe.%s have had its name "
              "for %u s, and no resolver remembers that it was denied",
              m->to, m->x->t->domain, (unsigned)caches_deny_s(m->x) + CLOCKS_S);
    plan_note(m->x, out,
              "then both serve for %u s, until no cache leads to %s, and what runs there then has "
              "%d s to end",
              (unsigned)overlap_s(m->x), m->home, DRAIN_S);
    plan_note(m->x, out,
              "until both have served for so long meridian operation cancel takes it back; it goes "
              "back by itself if %s ceases to serve",
              m->to);
}

static json_t *goal_to(const struct moving *m, const char *stamp, bool back)
{
    return json_pack("{s:b, s:s, s:s, s:s, s:b}", "move", true, "registry", m->r->name, "region",
                     m->at->name, "stamp", stamp, "back", back);
}

int stamp_move_plan(const struct plan_ctx *x, const struct stamp_move_wish *w, struct plan *out,
                    struct diag *diag)
{
    struct moving m = {.x = x, .r = w->r, .at = w->at, .to = w->to};
    look(&m, w->replica);
    int rc = judge(&m, diag);
    if (!rc)
        rc = check(&m, diag);
    if (rc)
        return rc;
    out->goal = goal_to(&m, m.to, false);
    out->before = goal_to(&m, m.home, true);
    out->locks[out->n_locks] = arena_printf(x->arena, "registry/%s", m.r->name);
    if (!out->goal || !out->before || !out->locks[out->n_locks++])
        return ERR_NOMEM;
    tell(&m, out);
    return 0;
}
