// SPDX-License-Identifier: Apache-2.0
// Addresses that an entry takes from connections and gives to them; see connections_follow.h.
//
// Invariants
// 1. An address of a view that DNS has answered less than a day ago is held, after every entry, by
//    the connection that had it, or rests.
// 2. No address comes to a connection while it is held for another one, or for another registry.
#include "control/connections_follow_priv.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

#define OLD_RESTS_MAX 16 // that one entry takes away

struct owned { // an address of a connection
    const struct link *link;
    const char *view, *key, *registry;
    struct ip ip;
    // wall; when DNS may have answered it last; 0: never
    int64_t answered_ms;
};

struct owning {
    struct following *f;
    struct owned *list;
    size_t n, cap;
    // "corp/10.4.0.9" to the first of it
    struct htab *by_address;
};

// ---- sets of them ----

static const struct owned *owner_of(const struct owning *o, const char *view, const struct ip *ip)
{
    const struct address_key k = address_key(view, ip);
    return htab_get(o->by_address, k.text, strlen(k.text));
}

// Room for all, so that what the table points to never moves.
static int owning_init(struct owning *o, struct following *f, size_t cap)
{
    *o = (struct owning){.f = f, .cap = cap, .by_address = htab_new()};
    o->list = arena_array(f->arena, cap + 1, sizeof *o->list);
    return o->list && o->by_address ? 0 : ERR_NOMEM;
}

static int own(struct owning *o, const struct owned *x)
{
    const struct address_key k = address_key(x->view, &x->ip);
    struct owned *first = htab_get(o->by_address, k.text, strlen(k.text));
    if (first && first->link == x->link) {
        if (first->answered_ms < x->answered_ms)
            first->answered_ms = x->answered_ms;
        return 0;
    }
    o->list[o->n] = *x;
    struct owned *mine = &o->list[o->n++];
    if (!first)
        return htab_put(o->by_address, k.text, strlen(k.text), mine);
    return 0;
}

static int own_members(struct owning *o, struct owned proto, const struct spec_member *list,
                       size_t n)
{
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < list[i].n_ips; k++) {
            proto.key = list[i].key;
            proto.ip = list[i].ips[k];
            int rc = own(o, &proto);
            if (rc)
                return rc;
        }
    return 0;
}

static int own_row(struct owning *o, const struct link *x, const struct spec_private *row,
                   const char *registry, int64_t answered_ms)
{
    const struct owned proto = {
        .link = x, .view = row->view, .registry = registry, .answered_ms = answered_ms};
    return own_members(o, proto, row->members, row->n_members);
}

static int own_record(struct owning *o, const struct link *x, const struct connection *c)
{
    const struct owned proto = {
        .link = x, .view = c->view, .registry = c->registry, .answered_ms = c->answered_ms};
    if (!connection_holds(c, o->f->c->now_ms))
        return 0;
    return own_members(o, proto, c->members, c->n_members);
}

// Of a row that is not in DNS and has no connection nobody knows since when.
static int64_t row_answered_ms(const struct following *f, const struct link *x)
{
    if (row_in_dns(x->row_before) || !x->had_record)
        return f->c->now_ms;
    return x->before.answered_ms;
}

static int own_before(struct owning *o, const struct link *x)
{
    int rc = 0;
    if (x->row_before)
        rc = own_row(o, x, x->row_before, x->registry_before, row_answered_ms(o->f, x));
    if (!rc && x->had_record)
        rc = own_record(o, x, &x->before);
    return rc;
}

static int own_after(struct owning *o, const struct link *x)
{
    int rc = 0;
    if (x->row_after)
        rc = own_row(o, x, x->row_after, x->registry_after, 0);
    if (!rc && x->has_record)
        rc = own_record(o, x, &x->after);
    return rc;
}

static size_t addresses_of(const struct spec_member *list, size_t n)
{
    size_t all = 0;
    for (size_t i = 0; i < n; i++)
        all += list[i].n_ips;
    return all;
}

static size_t room_for(const struct following *f)
{
    size_t n = 0;
    for (size_t i = 0; i < f->n_links; i++) {
        const struct link *x = f->links[i];
        if (x->row_before)
            n += addresses_of(x->row_before->members, x->row_before->n_members);
        if (x->row_after)
            n += addresses_of(x->row_after->members, x->row_after->n_members);
        n += addresses_of(x->before.members, x->before.n_members);
        n += addresses_of(x->after.members, x->after.n_members);
    }
    return n;
}

// ---- what leaves ----

static int64_t until_ms(const struct following *f, const struct owned *x)
{
    if (!x->answered_ms)
        return 0;
    return x->answered_ms + (int64_t)f->c->before->ttl.private_ * 1000 + CONNECTION_REST_MS;
}

static int leave(struct following *f, const struct owning *before, const struct owning *after)
{
    for (size_t i = 0; i < before->n; i++) {
        const struct owned *x = &before->list[i];
        const struct rest r = {until_ms(f, x), x->link->name, x->registry};
        struct control_record out;
        if (owner_of(after, x->view, &x->ip) || r.until_ms <= f->c->now_ms)
            continue;
        int rc = rest_record(f->arena, x->view, &x->ip, &r, &out);
        if (!rc)
            rc = follow_add(f, &out);
        if (rc)
            return rc;
    }
    return 0;
}

// ---- what comes ----

static int held_by(struct following *f, const struct owned *x, const char *other, int64_t until)
{
    char ip[IP_TEXT_SIZE], when[CLOCK_TEXT_SIZE];
    ip_format(&x->ip, ip);
    if (until)
        diag_add(f->diag, NULL, 0,
                 "private endpoint %s: %s (view %s) was private endpoint %s's, and caches may lead "
                 "there: it is free from %s on",
                 x->link->name, ip, x->view, other, clock_format(until, when));
    else
        diag_add(f->diag, NULL, 0,
                 "private endpoint %s: %s (view %s) is held for private endpoint %s", x->link->name,
                 ip, x->view, other);
    return ERR_INVAL;
}

static bool same_registry(const char *a, const char *b)
{
    return a && b && !strcmp(a, b);
}

// One that another connection gives up in the same entry, or that leads to another registry with it.
// Caches find the same name there.
static int judge_handed_over(struct following *f, const struct owned *x,
                             const struct owning *before)
{
    const struct owned *was = owner_of(before, x->view, &x->ip);
    if (!was || until_ms(f, was) <= f->c->now_ms)
        return 0;
    if (same_registry(was->registry, x->registry) && !strcmp(was->key, x->key))
        return 0;
    return held_by(f, x, was->link->name, until_ms(f, was));
}

static int judge_rest(struct following *f, const struct owned *x)
{
    AUTO_BUF struct buf text;
    struct rest r;
    const char *key = rest_key(f->arena, x->view, &x->ip);
    buf_init(&text, 0);
    if (!key)
        return ERR_NOMEM;
    int rc = f->l->record(f->l->ctx, key, &text);
    if (rc)
        return rc == ERR_NOTFOUND ? 0 : rc;
    rc = rest_parse(buf_cstr(&text), f->arena, &r);
    if (rc == ERR_NOMEM)
        return rc;
    bool own = !rc && !strcmp(r.was, x->link->name) && same_registry(r.was_of, x->registry);
    if (!rc && r.until_ms > f->c->now_ms && !own)
        return held_by(f, x, r.was, r.until_ms);
    return follow_add(f, &(struct control_record){key, NULL});
}

static int come(struct following *f, const struct owning *before, const struct owning *after)
{
    for (size_t i = 0; i < after->n; i++) {
        const struct owned *x = &after->list[i];
        const struct owned *was = owner_of(before, x->view, &x->ip);
        const struct owned *first = owner_of(after, x->view, &x->ip);
        if (first->link != x->link)
            return held_by(f, x, first->link->name, 0);
        if (was && was->link == x->link && same_registry(was->registry, x->registry))
            continue;
        int rc = judge_handed_over(f, x, before);
        if (!rc)
            rc = judge_rest(f, x);
        if (rc)
            return rc;
    }
    return 0;
}

// ---- against those that the entry does not touch ----

struct others {
    struct following *f;
    const struct owning *before, *after;
    struct arena scratch;
    int rc;
};

static void judge_other(struct others *o, const struct connection *c)
{
    struct following *f = o->f;
    if (!connection_holds(c, f->c->now_ms))
        return;
    for (size_t i = 0; i < c->n_members && !o->rc; i++)
        for (size_t k = 0; k < c->members[i].n_ips && !o->rc; k++) {
            const struct ip *ip = &c->members[i].ips[k];
            const struct owned *x = owner_of(o->after, c->view, ip);
            const struct owned *was = x ? owner_of(o->before, c->view, ip) : NULL;
            if (x && (!was || was->link != x->link))
                o->rc = held_by(f, x, c->name, 0);
        }
}

static bool judge_one(void *ctx, const char *key, const char *value)
{
    struct others *o = ctx;
    struct connection c;
    const char *name = key + strlen(CONNECTION_PREFIX);
    if (htab_get(o->f->by_name, name, strlen(name)))
        return true;
    arena_init(&o->scratch, 0);
    int rc = connection_parse(name, value, &o->scratch, &c);
    if (!rc)
        judge_other(o, &c);
    if (rc == ERR_NOMEM)
        o->rc = rc;
    arena_done(&o->scratch);
    return !o->rc;
}

static bool any_comes(const struct owning *before, const struct owning *after)
{
    for (size_t i = 0; i < after->n; i++)
        if (!owner_of(before, after->list[i].view, &after->list[i].ip))
            return true;
    return false;
}

static int judge_others(struct following *f, const struct owning *before,
                        const struct owning *after)
{
    struct others o = {.f = f, .before = before, .after = after};
    if (any_comes(before, after))
        f->l->records(f->l->ctx, CONNECTION_PREFIX, judge_one, &o);
    return o.rc;
}

static int compare(struct following *f, struct owning *before, struct owning *after)
{
    int rc = 0;
    for (size_t i = 0; i < f->n_links && !rc; i++) {
        rc = own_before(before, f->links[i]);
        if (!rc)
            rc = own_after(after, f->links[i]);
    }
    if (!rc)
        rc = come(f, before, after);
    if (!rc)
        rc = judge_others(f, before, after);
    if (!rc)
        rc = leave(f, before, after);
    return rc;
}

int follow_addresses(struct following *f)
{
    struct owning before, after;
    size_t room = room_for(f);
    int rc = owning_init(&before, f, room);
    int rc_after = owning_init(&after, f, room);
    if (!rc)
        rc = rc_after;
    if (!rc)
        rc = compare(f, &before, &after);
    htab_free(before.by_address);
    htab_free(after.by_address);
    return rc;
}

// ---- what has rested long enough ----

struct sweeping {
    struct following *f;
    size_t n;
    int rc;
};

static bool is_written(const struct following *f, const char *key)
{
    for (size_t i = 0; i < f->n_out; i++)
        if (!strcmp(f->out[i].key, key))
            return true;
    return false;
}

static bool sweep(void *ctx, const char *key, const char *value)
{
    struct sweeping *s = ctx;
    static const char begin[] = "{\"until\":"; // as rest_record writes it
    bool is_old = !strncmp(value, begin, strlen(begin)) &&
                  strtoll(value + strlen(begin), NULL, 10) <= s->f->c->now_ms;
    if (!is_old || is_written(s->f, key))
        return true;
    const char *copy = arena_strdup(s->f->arena, key);
    s->rc = ERR_NOMEM;
    if (copy)
        s->rc = follow_add(s->f, &(struct control_record){copy, NULL});
    return !s->rc && ++s->n < OLD_RESTS_MAX;
}

int follow_old_rests(struct following *f)
{
    struct sweeping s = {.f = f};
    f->l->records(f->l->ctx, REST_PREFIX, sweep, &s);
    return s.rc;
}
