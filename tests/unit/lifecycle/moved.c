// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/lifecycle/moved.h"

#include "base/err.h"
#include "base/mem.h"
#include "lifecycle/record.h"

#include <check.h>
#include <stdio.h>
#include <string.h>

#define EASTUS 0
// what runs at a stamp that takes nothing new
#define GRACE_S 60

static struct moved *of(void *ctx)
{
    struct toy_fleet *f = ctx;
    struct asked *a = (struct asked *)((char *)f - offsetof(struct asked, fleet));
    return (struct moved *)((char *)a - offsetof(struct moved, a));
}

static unsigned stamp_index(const char *name)
{
    return !strcmp(name, "eus-2");
}

// ---- what the engine is told ----

static int check(void *ctx, const struct topology *t, const struct lifecycle_move *m,
                 struct diag *diag)
{
    const struct moved *w = of(ctx);
    (void)t;
    if (!w->unfit)
        return 0;
    refuse(diag, "stamp %s: %s", m->stamp, w->unfit);
    return ERR_CONFLICT;
}

static bool serves(void *ctx, const struct topology *t, const struct lifecycle_move *m, char *why,
                   size_t why_size)
{
    const struct moved *w = of(ctx);
    const struct moved_stamp *s = &w->stamps[stamp_index(m->stamp)];
    ck_assert_ptr_nonnull(topology_registry(t, m->registry));
    ck_assert_str_eq(m->region, "eastus");
    if (!s->dead && !s->stuck && !s->drained_s)
        return true;
    snprintf(why, why_size, "%s does not answer for %s", m->stamp, m->registry);
    return false;
}

static bool published(void *ctx, const struct topology *t, const struct lifecycle_move *m,
                      char *why, size_t why_size)
{
    const struct moved *w = of(ctx);
    (void)t;
    if (!w->lacking)
        return true;
    snprintf(why, why_size, "%s has not got %s", w->lacking, m->stamp);
    return false;
}

static const struct lifecycle_stamps one_store = {check, serves, published};

void moved_init(struct moved *m)
{
    *m = (struct moved){0};
    asked_init(&m->a, "registries:\n  - { name: contoso, regional_endpoints: enabled, replicas: [{ "
                      "region: eastus, stamp: eus-1 }] }\n");
    m->a.fleet.deps.stamps = &one_store;
    lifecycle_free(m->a.l);
    m->a.l = lifecycle_new(&m->a.fleet.deps);
    m->stamps[1].drained_s = 1; // the row does not name it yet
}

void moved_done(struct moved *m)
{
    asked_done(&m->a);
}

int64_t moved_now_s(const struct moved *m)
{
    return m->a.fleet.now_ms / 1000;
}

// ---- the nodes ----

static void read_row(struct moved *m)
{
    const struct topology *t = m->a.fleet.t;
    const struct registry *r = topology_registry(t, "contoso");
    const struct stamp_move *move = registry_move(r, EASTUS);
    for (unsigned i = 0; i < MOVED_STAMPS; i++) {
        struct moved_stamp *s = &m->stamps[i];
        bool named = registry_replica(r, EASTUS)->stamp == i || (move && move->was == i);
        if (named)
            s->drained_s = 0;
        else if (!s->drained_s)
            s->drained_s = moved_now_s(m);
    }
}

// Does it take a request? A connection that is open may end what runs, and is closed then.
static bool takes(const struct moved *m, unsigned stamp, bool open)
{
    const struct moved_stamp *s = &m->stamps[stamp];
    if (s->dead || s->stuck)
        return false;
    return !s->drained_s || (open && moved_now_s(m) < s->drained_s + GRACE_S);
}

// ---- resolvers ----

static unsigned resolve(struct moved *m, unsigned client)
{
    const struct topology *t = m->a.fleet.t;
    struct moved_resolver *v = &m->resolvers[client % MOVED_RESOLVERS];
    int64_t now_s = moved_now_s(m);
    if (now_s >= v->name_until_s) {
        const struct registry *r = topology_registry(t, "contoso");
        v->stamp = registry_stamp_at(t, r, EASTUS, now_s)->index;
        v->name_until_s = now_s + t->ttl.regional;
    }
    if (now_s >= v->address_until_s[v->stamp])
        v->address_until_s[v->stamp] = now_s + t->ttl.frontend;
    return v->stamp;
}

// ---- clients ----

static void goes_wrong(struct moved *m, struct moved_client *c)
{
    m->n_failed++;
    m->failed_at[c->stamp]++;
    m->last_failed_s = moved_now_s(m);
    c->connected = false;
}

// A connection to where its resolver says. False: there is none.
static bool connect_client(struct moved *m, unsigned client)
{
    struct moved_client *c = &m->clients[client];
    int64_t now_s = moved_now_s(m);
    if (c->connected && now_s < c->until_s)
        return true;
    c->stamp = resolve(m, client);
    c->until_s = now_s + 5 + client; // some hold one for longer than others
    c->connected = takes(m, c->stamp, false);
    return c->connected;
}

// Reads what it wrote last, writes something new, and a part of its upload.
static bool request(struct moved *m, unsigned client)
{
    struct moved_client *c = &m->clients[client];
    struct moved_stamp *s = &m->stamps[c->stamp];
    struct moved_store *store = &m->stores[s->store];
    if (!takes(m, c->stamp, true) || store->written[client] != c->wrote)
        return false;
    s->n_served++;
    s->last_s = moved_now_s(m);
    store->written[client] = ++c->wrote;
    if (!c->parts_left)
        return true;
    if (store->uploaded[client] != c->parts_done)
        return false;
    store->uploaded[client] = ++c->parts_done;
    c->parts_left--;
    m->parts[c->stamp]++;
    return true;
}

static void turn_of(struct moved *m, unsigned client)
{
    struct moved_client *c = &m->clients[client];
    if (!connect_client(m, client) || !request(m, client))
        goes_wrong(m, c);
    else if (m->stamps[c->stamp].drained_s)
        c->connected = false; // the answer says that it closes
}

void moved_pass(struct moved *m, int64_t seconds)
{
    for (int64_t i = 0; i < seconds; i++) {
        read_row(m);
        for (unsigned k = 0; k < MOVED_CLIENTS; k++)
            turn_of(m, k);
        if (m->a.fleet.dead)
            m->a.fleet.now_ms += 1000;
        else
            asked_pass(&m->a, 1);
    }
}

void moved_upload(struct moved *m, unsigned client, unsigned parts)
{
    m->clients[client].parts_left = parts;
}

unsigned moved_at(const struct moved *m, unsigned stamp)
{
    unsigned n = 0;
    for (unsigned i = 0; i < MOVED_CLIENTS; i++)
        n += m->clients[i].stamp == stamp;
    return n;
}

// ---- the operation ----

void moved_ask(struct moved *m, const char *stamp)
{
    json_t *body;
    char arguments[64];
    snprintf(arguments, sizeof arguments, "{'stamp':'%s'}", stamp);
    int status = asked(&m->a, "replication update", "contoso/eastus", arguments, &body);
    ck_assert_msg(status == 202, "%d", status);
    snprintf(m->id, sizeof m->id, "%s", record_text(json_object_get(body, "operation"), "id"));
    json_decref(body);
}

json_t *moved_operation(struct moved *m)
{
    json_t *o = NULL;
    ck_assert_int_eq(lifecycle_operation(m->a.l, m->id, &o), 0);
    return o;
}

const char *moved_phase(struct moved *m)
{
    static char name[32];
    json_t *o = moved_operation(m);
    snprintf(name, sizeof name, "%s", record_text(record_running(o), "name"));
    json_decref(o);
    return name;
}

static bool is_in(struct moved *m, const char *phase)
{
    json_t *o = moved_operation(m);
    bool ended = record_ended(o);
    json_decref(o);
    if (*phase)
        return !strcmp(moved_phase(m), phase);
    return ended;
}

void moved_until(struct moved *m, const char *phase)
{
    for (int i = 0; i < 2000; i++) {
        if (is_in(m, phase))
            return;
        moved_pass(m, 1);
    }
    ck_abort_msg("never \"%s\": %s", phase, moved_phases(m));
}

const char *moved_phases(struct moved *m)
{
    static char text[1024];
    size_t i, n = 0;
    json_t *phase, *o = moved_operation(m);
    text[0] = 0;
    json_array_foreach(json_object_get(o, "phases"), i, phase)
    {
        n += (size_t)snprintf(text + n, sizeof text - n, "%s%s:%s", i ? " " : "",
                              record_text(phase, "name"), record_text(phase, "state"));
    }
    json_decref(o);
    return text;
}

const char *moved_row(const struct moved *m)
{
    static char text[64];
    const struct topology *t = m->a.fleet.t;
    const struct registry *r = topology_registry(t, "contoso");
    const struct stamp_move *move = registry_move(r, EASTUS);
    const struct stamp *stamps = t->regions[EASTUS].stamps;
    snprintf(text, sizeof text, "%s%s%s", stamps[registry_replica(r, EASTUS)->stamp].name,
             move ? " was " : "", move ? stamps[move->was].name : "");
    return text;
}
