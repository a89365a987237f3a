// SPDX-License-Identifier: Apache-2.0
// See private_watch.h.
#include "tests/unit/lifecycle/private_watch.h"

#include "base/addr.h"
#include "base/mem.h"
#include "config/catalogue.h"
#include "control/change.h"
#include "lifecycle/record.h"

#include <arpa/inet.h>
#include <check.h>
#include <stdio.h>
#include <string.h>

#define CONNECTION "connection/"
#define DAY_MS INT64_C(86400000)

uint32_t watch_ip(const char *text)
{
    struct in_addr a;
    ck_assert_int_eq(inet_pton(AF_INET, text, &a), 1);
    return ntohl(a.s_addr);
}

json_t *watch_record(const struct asked *a, const char *name)
{
    char key[100];
    snprintf(key, sizeof key, CONNECTION "%s", name);
    const char *value = toy_fleet_record(&a->fleet, key);
    json_t *doc = value ? json_loads(value, 0, NULL) : NULL;
    ck_assert(!value || doc);
    return doc;
}

static const char *ip_words(uint32_t ip)
{
    static char text[2][INET_ADDRSTRLEN];
    static unsigned at;
    struct in_addr a = {htonl(ip)};
    return inet_ntop(AF_INET, &a, text[at++ % 2], INET_ADDRSTRLEN);
}

// ---- who has what ----

static void copy(char out[WATCH_NAME], const char *text)
{
    ck_assert_uint_lt(strlen(text), WATCH_NAME);
    snprintf(out, WATCH_NAME, "%s", text);
}

// That of the row and that of the record are one.
static void use(struct private_watch *w, const struct address_use *u)
{
    for (size_t i = 0; i < w->n_uses; i++) {
        struct address_use *x = &w->uses[i];
        if (x->ip != u->ip || strcmp(x->view, u->view) != 0 || strcmp(x->name, u->name) != 0)
            continue;
        x->in_row |= u->in_row;
        x->in_dns |= u->in_dns;
        x->is_held |= u->is_held;
        return;
    }
    ck_assert_uint_lt(w->n_uses, WATCH_USES_MAX);
    w->uses[w->n_uses++] = *u;
}

static void use_row(struct private_watch *w, const struct topology *t, const struct registry *r,
                    const struct private_endpoint *pe)
{
    struct spec_private row;
    struct arena arena;
    char ip[IP_TEXT_SIZE];
    struct address_use u = {.in_row = true, .in_dns = pe->stage == PRIVATE_IN_DNS};
    arena_init(&arena, 0);
    ck_assert_int_eq(change_private_row(t, r->name, pe, &arena, &row), 0);
    copy(u.view, row.view);
    copy(u.name, pe->name);
    copy(u.registry, r->key);
    for (size_t i = 0; i < row.n_members; i++)
        for (size_t k = 0; k < row.members[i].n_ips; k++) {
            copy(u.member, row.members[i].key);
            u.ip = watch_ip(ip_format(&row.members[i].ips[k], ip));
            use(w, &u);
        }
    arena_done(&arena);
}

static bool holds(const json_t *record, int64_t now_ms)
{
    const char *state = record_text(record, "state");
    return !strcmp(state, "Pending") || !strcmp(state, "Approved") ||
           json_integer_value(json_object_get(record, "restMs")) > now_ms;
}

static void use_record(struct private_watch *w, const char *name, json_t *record, int64_t now_ms)
{
    struct address_use u = {.is_held = holds(record, now_ms)};
    const char *key;
    json_t *list, *ip;
    size_t i;
    copy(u.view, record_text(record, "view"));
    copy(u.name, name);
    copy(u.registry, record_text(record, "registry"));
    json_object_foreach(json_object_get(record, "members"), key, list)
    {
        copy(u.member, key);
        json_array_foreach(list, i, ip)
        {
            u.ip = watch_ip(json_string_value(ip));
            if (u.is_held)
                use(w, &u);
        }
    }
}

static void gather(struct private_watch *w, const struct toy_fleet *f)
{
    struct catalogue_iter it = {0};
    w->n_uses = 0;
    for (const struct registry *r; (r = topology_next(f->t, &it));)
        for (size_t i = 0; i < r->n_private_endpoints; i++)
            use_row(w, f->t, r, r->private_endpoints[i]);
    for (size_t i = 0; i < f->n_records; i++) {
        if (strncmp(f->records[i].key, CONNECTION, strlen(CONNECTION)) != 0)
            continue;
        json_t *record = json_loads(f->records[i].value, 0, NULL);
        ck_assert_ptr_nonnull(record);
        use_record(w, f->records[i].key + strlen(CONNECTION), record, f->now_ms);
        json_decref(record);
    }
}

// ---- what has to hold ----

static int64_t rests_until(const struct toy_fleet *f, const struct address_past *p)
{
    return p->last_ms + (int64_t)f->t->ttl.private_ * 1000 + DAY_MS;
}

static bool same_place(const struct address_use *a, const struct address_use *b)
{
    return a->ip == b->ip && !strcmp(a->view, b->view);
}

static bool same_owner(const struct address_use *a, const struct address_use *b)
{
    return same_place(a, b) && !strcmp(a->name, b->name) && !strcmp(a->registry, b->registry);
}

static const struct address_use *find(const struct address_use *list, size_t n,
                                      const struct address_use *u)
{
    for (size_t i = 0; i < n; i++)
        if (same_owner(&list[i], u))
            return &list[i];
    return NULL;
}

static void is_of_one(const struct private_watch *w, const struct address_use *u)
{
    for (size_t i = 0; i < w->n_uses; i++)
        ck_assert_msg(!same_place(&w->uses[i], u) || !strcmp(w->uses[i].name, u->name),
                      "seed %lu: %s of view %s is of %s and of %s", w->seed, ip_words(u->ip),
                      u->view, w->uses[i].name, u->name);
}

static void may_come(struct private_watch *w, const struct toy_fleet *f,
                     const struct address_use *u)
{
    for (size_t i = 0; i < w->n_past; i++) {
        const struct address_use *was = &w->past[i].use;
        if (!same_place(was, u) || same_owner(was, u) || f->now_ms >= rests_until(f, &w->past[i]))
            continue;
        bool goes_on = !strcmp(was->registry, u->registry) && !strcmp(was->member, u->member);
        ck_assert_msg(
            goes_on,
            "seed %lu: %s of view %s was answered for %s (%s) %lld s ago, and comes to %s "
            "(%s)",
            w->seed, ip_words(u->ip), u->view, was->name, was->registry,
            (long long)(f->now_ms - w->past[i].last_ms) / 1000, u->name, u->registry);
    }
}

static void leaves_dns(struct private_watch *w, const struct address_use *u, int64_t now_ms)
{
    size_t i = 0;
    while (i < w->n_past && !same_place(&w->past[i].use, u))
        i++;
    ck_assert_uint_lt(i, WATCH_USES_MAX);
    w->past[i] = (struct address_past){*u, now_ms};
    if (i == w->n_past)
        w->n_past++;
    w->n_answered++;
}

static void only_approved_is_answered(const struct private_watch *w, const struct toy_fleet *f)
{
    for (size_t i = 0; i < f->n_records; i++) {
        const char *name = f->records[i].key + strlen(CONNECTION);
        const struct private_endpoint *pe;
        if (strncmp(f->records[i].key, CONNECTION, strlen(CONNECTION)) != 0)
            continue;
        json_t *record = json_loads(f->records[i].value, 0, NULL);
        pe = topology_private_endpoint(f->t, name, NULL);
        bool is_answered = pe && pe->stage == PRIVATE_IN_DNS;
        bool is_approved = !strcmp(record_text(record, "state"), "Approved");
        ck_assert_msg(is_answered == is_approved, "seed %lu: %s: %s, and in DNS: %d", w->seed, name,
                      f->records[i].value, is_answered);
        json_decref(record);
    }
}

static void has_record(const struct private_watch *w, const struct toy_fleet *f,
                       const struct address_use *u)
{
    char key[100];
    snprintf(key, sizeof key, CONNECTION "%s", u->name);
    ck_assert_msg(!u->in_row || toy_fleet_record(f, key), "seed %lu: row %s has no connection",
                  w->seed, u->name);
}

static void after_entry(struct toy_fleet *f, void *ctx)
{
    static struct address_use before[WATCH_USES_MAX];
    struct private_watch *w = ctx;
    size_t n_before = w->n_uses;
    memcpy(before, w->uses, n_before * sizeof *before);
    gather(w, f);
    for (size_t i = 0; i < n_before; i++) {
        const struct address_use *is = find(w->uses, w->n_uses, &before[i]);
        if (before[i].in_dns && (!is || !is->in_dns))
            leaves_dns(w, &before[i], f->now_ms);
    }
    for (size_t i = 0; i < w->n_uses; i++) {
        is_of_one(w, &w->uses[i]);
        has_record(w, f, &w->uses[i]);
        if (!find(before, n_before, &w->uses[i]))
            may_come(w, f, &w->uses[i]);
    }
    only_approved_is_answered(w, f);
    w->n_entries++;
}

void private_watch_begin(struct private_watch *w, struct asked *a, unsigned long seed)
{
    *w = (struct private_watch){.seed = seed};
    gather(w, &a->fleet);
    a->fleet.appended = after_entry;
    a->fleet.ctx = w;
}

bool private_watch_held(const struct private_watch *w, const struct asked *a, const char *view,
                        uint32_t ip, const char *but)
{
    struct private_watch now = {.seed = w->seed};
    gather(&now, &a->fleet); // time has passed since the last entry
    for (size_t i = 0; i < now.n_uses; i++)
        if (now.uses[i].ip == ip && !strcmp(now.uses[i].view, view))
            return !but || strcmp(now.uses[i].name, but) != 0;
    for (size_t i = 0; i < w->n_past; i++)
        if (w->past[i].use.ip == ip && !strcmp(w->past[i].use.view, view))
            return a->fleet.now_ms < rests_until(&a->fleet, &w->past[i]);
    return false;
}

bool private_watch_rests(const struct private_watch *w, const struct asked *a, const char *view,
                         uint32_t ip, const char *name)
{
    for (size_t i = 0; i < w->n_past; i++)
        if (w->past[i].use.ip == ip && !strcmp(w->past[i].use.view, view) &&
            !strcmp(w->past[i].use.name, name))
            return a->fleet.now_ms < rests_until(&a->fleet, &w->past[i]);
    return false;
}
