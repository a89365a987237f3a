// SPDX-License-Identifier: Apache-2.0
// See connections_follow.h.
#include "control/connections_follow_priv.h"

#include "base/err.h"
#include "base/mem.h"
#include "config/catalogue.h"
#include "config/registry_key.h"
#include "control/document_rows.h"

#include <assert.h>
#include <string.h>

static const struct spec_private nothing;

bool row_in_dns(const struct spec_private *row)
{
    return row && row->stage == PRIVATE_IN_DNS;
}

// ---- what the entry touches ----

static struct link *link_of(struct following *f, const char *name)
{
    return htab_get(f->by_name, name, strlen(name));
}

// The link of that name, made if need be. NULL: out of memory.
static struct link *touch(struct following *f, const char *name)
{
    struct link *x = link_of(f, name);
    if (x)
        return x;
    if (f->n_links == f->cap_links) {
        size_t cap = f->cap_links ? 2 * f->cap_links : 16;
        struct link **list = arena_array(f->arena, cap, sizeof *list);
        if (!list)
            return NULL;
        if (f->n_links)
            memcpy(list, f->links, f->n_links * sizeof *list);
        f->links = list;
        f->cap_links = cap;
    }
    x = arena_alloc(f->arena, sizeof *x);
    if (!x)
        return NULL;
    *x = (struct link){.name = arena_strdup(f->arena, name)};
    if (!x->name || htab_put(f->by_name, x->name, strlen(x->name), x))
        return NULL;
    f->links[f->n_links++] = x;
    return x;
}

static bool registry_goes(const struct following *f, const char *name)
{
    for (size_t i = 0; i < f->change.n_remove; i++)
        if (f->change.remove[i] && !strcmp(f->change.remove[i], name))
            return true;
    return false;
}

static int touch_records(struct following *f)
{
    for (size_t i = 0; i < f->c->n_records; i++) {
        const char *key = f->c->records[i].key;
        if (strncmp(key, CONNECTION_PREFIX, strlen(CONNECTION_PREFIX)) != 0)
            continue;
        struct link *x = touch(f, key + strlen(CONNECTION_PREFIX));
        if (!x)
            return ERR_NOMEM;
        x->own = i + 1;
    }
    return 0;
}

static int touch_rows(struct following *f)
{
    const struct change *c = &f->change;
    for (size_t i = 0; i < c->n_private_endpoints; i++) {
        const char *name = c->private_endpoints[i].name;
        struct link *x = name ? touch(f, name) : NULL;
        if (name && !x)
            return ERR_NOMEM;
        if (x)
            x->given = &c->private_endpoints[i];
    }
    for (size_t i = 0; i < c->n_remove_private_endpoints; i++) {
        const char *name = c->remove_private_endpoints[i];
        struct link *x = name ? touch(f, name) : NULL;
        if (name && !x)
            return ERR_NOMEM;
        if (x)
            x->goes = true;
    }
    return 0;
}

// Connections of registries that go, with or without a row.
static int touch_removed(struct following *f)
{
    for (size_t i = 0; i < f->change.n_remove; i++) {
        const struct registry *r = NULL;
        struct connection *list;
        size_t n = 0;
        if (f->change.remove[i])
            r = topology_registry(f->c->before, f->change.remove[i]);
        int rc = r ? connections_of(f->l, r->key, f->arena, &list, &n) : 0;
        for (size_t k = 0; !rc && k < n; k++)
            rc = touch(f, list[k].name) ? 0 : ERR_NOMEM;
        if (rc)
            return rc;
    }
    return 0;
}

// ---- rows before and after ----

static const struct private_endpoint *row_of(const struct registry *r, const char *name)
{
    for (size_t i = 0; r && i < r->n_private_endpoints; i++)
        if (!strcmp(r->private_endpoints[i]->name, name))
            return r->private_endpoints[i];
    return NULL;
}

// The registry that a row in force leads to. Where it is likely is looked first: all are many.
static int registry_in_force(struct following *f, const struct link *x, const struct registry **out)
{
    const struct topology *t = f->c->before;
    *out = NULL;
    if (x->had_record)
        *out = topology_registry_by_key(t, x->before.registry);
    if (row_of(*out, x->name))
        return 0;
    if (x->given && x->given->registry)
        *out = topology_registry(t, x->given->registry);
    if (row_of(*out, x->name))
        return 0;
    if (!f->owners)
        f->owners = document_private_owners(t);
    if (!f->owners)
        return ERR_NOMEM;
    const char *owner = htab_get(f->owners, x->name, strlen(x->name));
    *out = owner ? topology_registry(t, owner) : NULL;
    return 0;
}

static int find_row_before(struct following *f, struct link *x)
{
    const struct registry *r;
    int rc = registry_in_force(f, x, &r);
    const struct private_endpoint *pe = row_of(r, x->name);
    if (rc || !pe)
        return rc;
    assert(r);
    struct spec_private *row = arena_alloc(f->arena, sizeof *row);
    if (!row)
        return ERR_NOMEM;
    x->row_before = row;
    x->registry_before = r->key;
    return change_private_row(f->c->before, r->name, pe, f->arena, row);
}

// The key that a registry of that name has after the change.
static int key_after(struct following *f, const char *name, const char **out)
{
    const struct registry *r = topology_registry(f->c->before, name);
    char *key = arena_alloc(f->arena, REGISTRY_KEY_SIZE);
    *out = r ? r->key : name;
    if (!key)
        return ERR_NOMEM;
    if (!r && f->change.incarnation && strlen(name) < HOSTNAME_REGISTRY_SIZE)
        *out = registry_key_format(name, f->change.incarnation, key);
    return 0;
}

static int find_row_after(struct following *f, struct link *x)
{
    const struct spec_private *given = x->given;
    if (!given) {
        bool stays = x->row_before && !x->goes;
        x->row_after = stays ? x->row_before : NULL;
        x->registry_after = stays ? x->registry_before : NULL;
        return 0;
    }
    if (!given->registry || !given->view)
        return 0; // it will be refused
    x->row_after = given;
    return key_after(f, given->registry, &x->registry_after);
}

// ---- records before and after ----

static int find_records(struct following *f, struct link *x)
{
    int rc = connection_get(f->l, x->name, f->arena, &x->before);
    x->had_record = !rc;
    if (rc == ERR_NOMEM)
        return rc;
    const char *value = NULL;
    if (x->own)
        value = f->c->records[x->own - 1].value;
    if (value && connection_parse(x->name, value, f->arena, &x->after))
        return ERR_INVAL;
    x->has_record = value != NULL;
    return 0;
}

static const char *said(struct following *f, const char *what)
{
    const char *text = arena_printf(f->arena, "%s by %.64s", what, f->c->by);
    return text ? text : what;
}

static void moves(struct following *f, struct link *x, enum connection_state to, const char *what)
{
    if (x->after.state != to)
        connection_move(&x->after, to, f->c->by, said(f, what), f->c->now_ms);
}

// A row that nobody has asked for by a command.
static void begins(struct following *f, struct link *x)
{
    x->after = (struct connection){.name = x->name,
                                   .registry = x->registry_after,
                                   .view = x->row_after->view,
                                   .pool = "",
                                   .is_static = true,
                                   .error = "",
                                   .state = CONNECTION_PENDING,
                                   .answered_by = (enum answered_by)x->row_after->answered_by};
    x->has_record = true;
    if (row_in_dns(x->row_after))
        moves(f, x, CONNECTION_APPROVED, "given in the document");
    else
        connection_move(&x->after, CONNECTION_PENDING, f->c->by, said(f, "given in the document"),
                        f->c->now_ms);
}

static bool leads_elsewhere(const struct link *x)
{
    return strcmp(x->after.registry, x->registry_after) != 0 ||
           strcmp(x->after.view, x->row_after->view) != 0;
}

// Without a word of a verb, the connection is what its row says.
static void follows_row(struct following *f, struct link *x)
{
    bool was = row_in_dns(x->row_before), is = row_in_dns(x->row_after);
    if (x->row_after && leads_elsewhere(x)) {
        x->moved = true;
        x->after.registry = x->registry_after;
        x->after.view = x->row_after->view;
        x->after.pool = "";
        x->after.is_static = true;
    }
    if (x->row_after)
        x->after.answered_by = (enum answered_by)x->row_after->answered_by;
    if (is)
        moves(f, x, CONNECTION_APPROVED, "given in the document");
    else if (was && x->after.state == CONNECTION_APPROVED)
        moves(f, x, CONNECTION_REJECTED, "taken out of the document");
    if (x->row_before && !x->row_after)
        x->after.provisioning = PROVISIONING_SUCCEEDED;
}

static void loses_registry(struct following *f, struct link *x)
{
    struct registry_key key;
    bool gone = !registry_key_parse(x->before.registry, &key) && registry_goes(f, key.name);
    if (!gone || x->row_after)
        return;
    if (x->after.state != CONNECTION_DISCONNECTED)
        connection_move(&x->after, CONNECTION_DISCONNECTED, f->c->by, "the registry was deleted",
                        f->c->now_ms);
    x->after.provisioning = PROVISIONING_SUCCEEDED;
}

// What a record would be without a word of the entry's own.
static void derive(struct following *f, struct link *x)
{
    x->has_record = x->had_record;
    x->after = x->before;
    if (!x->had_record) {
        if (x->row_after && x->row_after != x->row_before)
            begins(f, x);
        return;
    }
    if (x->row_after != x->row_before)
        follows_row(f, x);
    loses_registry(f, x);
}

// ---- members ----

static bool has_address(const struct spec_private *row, const char *key, const struct ip *ip)
{
    const struct spec_member *m = members_find(row->members, row->n_members, key);
    return m && members_have(m, 1, ip);
}

// Adds to `out`, which has room, those of `from` that it does not have under that key.
static void add_addresses(struct spec_member *list, size_t *n, const struct spec_member *from,
                          struct ip *room)
{
    struct spec_member *to = (struct spec_member *)members_find(list, *n, from->key);
    if (!to) {
        to = &list[(*n)++];
        *to = (struct spec_member){.key = from->key};
    }
    size_t kept = to->n_ips;
    if (kept)
        memcpy(room, to->ips, kept * sizeof *room);
    for (size_t i = 0; i < from->n_ips; i++)
        if (!members_have(to, 1, &from->ips[i]))
            room[kept++] = from->ips[i];
    to->ips = room;
    to->n_ips = kept;
}

// What left the row leaves the record, what came to it comes; what only the record has is on its way
// and stays.
static int follow_members(struct following *f, struct link *x)
{
    // a row that comes by itself says all of it
    bool anew = !x->own && x->row_after && (!x->row_before || x->moved);
    const struct spec_private *was = x->row_before ? x->row_before : &nothing;
    const struct spec_private *is = x->row_after ? x->row_after : &nothing;
    struct connection *c = &x->after;
    struct spec_member *list =
        arena_array(f->arena, c->n_members + is->n_members + 1, sizeof *list);
    size_t n = 0;
    if (!list)
        return ERR_NOMEM;
    // what is Rejected keeps its addresses, whatever becomes of the row
    for (size_t i = 0; i < c->n_members; i++) {
        const struct spec_member *m = &c->members[i];
        struct ip *ips = arena_array(f->arena, m->n_ips + 1, sizeof *ips);
        size_t kept = 0;
        if (!ips)
            return ERR_NOMEM;
        for (size_t k = 0; k < m->n_ips; k++) {
            bool left = x->row_after && (anew || has_address(was, m->key, &m->ips[k])) &&
                        !has_address(is, m->key, &m->ips[k]);
            if (!left)
                ips[kept++] = m->ips[k];
        }
        if (kept)
            list[n++] = (struct spec_member){m->key, ips, kept};
    }
    for (size_t i = 0; i < is->n_members; i++) {
        struct ip *room =
            arena_array(f->arena, PRIVATE_ADDRESSES_MAX + is->members[i].n_ips, sizeof *room);
        if (!room)
            return ERR_NOMEM;
        add_addresses(list, &n, &is->members[i], room);
    }
    c->members = list;
    c->n_members = n;
    members_sort(list, n);
    return 0;
}

// ---- when its addresses were answered ----

static void follow_times(struct following *f, struct link *x)
{
    struct connection *c = &x->after;
    bool was = row_in_dns(x->row_before), is = row_in_dns(x->row_after);
    if (x->had_record && c->answered_ms < x->before.answered_ms)
        c->answered_ms = x->before.answered_ms;
    if (was && !is)
        c->answered_ms = f->c->now_ms;
    c->rest_ms = 0;
    bool rests = c->state == CONNECTION_REJECTED || c->state == CONNECTION_DISCONNECTED;
    if (rests && c->answered_ms)
        c->rest_ms =
            c->answered_ms + (int64_t)f->c->before->ttl.private_ * 1000 + CONNECTION_REST_MS;
}

static int complete(struct following *f, struct link *x)
{
    int rc = find_records(f, x);
    if (!rc)
        rc = find_row_before(f, x);
    if (!rc)
        rc = find_row_after(f, x);
    if (rc)
        return rc;
    if (!x->own)
        derive(f, x);
    if (!x->has_record)
        return 0;
    rc = follow_members(f, x);
    follow_times(f, x);
    return rc;
}

// ---- what comes out ----

int follow_add(struct following *f, const struct control_record *r)
{
    if (f->n_out == f->cap_out) {
        size_t cap = f->cap_out ? 2 * f->cap_out : 16 + f->c->n_records;
        struct control_record *list = arena_array(f->arena, cap, sizeof *list);
        if (!list)
            return ERR_NOMEM;
        if (f->n_out)
            memcpy(list, f->out, f->n_out * sizeof *list);
        f->out = list;
        f->cap_out = cap;
    }
    f->out[f->n_out++] = *r;
    return 0;
}

static bool says_the_same(struct following *f, const struct link *x,
                          const struct control_record *after)
{
    struct control_record before;
    return x->had_record && !connection_record(&x->before, f->arena, &before) &&
           !strcmp(before.value, after->value);
}

// The records of the entry have stood first: its own of a connection is put in its place.
static int put_records(struct following *f)
{
    int rc = 0;
    for (size_t i = 0; i < f->c->n_records && !rc; i++)
        rc = follow_add(f, &f->c->records[i]);
    for (size_t i = 0; i < f->n_links && !rc; i++) {
        const struct link *x = f->links[i];
        struct control_record r;
        if (!x->has_record && x->had_record && !x->own) {
            const char *key = arena_printf(f->arena, CONNECTION_PREFIX "%s", x->name);
            rc = key ? follow_add(f, &(struct control_record){key, NULL}) : ERR_NOMEM;
        }
        if (!x->has_record)
            continue;
        rc = connection_record(&x->after, f->arena, &r);
        if (rc == ERR_TOOBIG)
            diag_add(f->diag, NULL, 0,
                     "private endpoint %s: its addresses are more than a connection may have",
                     x->name);
        if (!rc && x->own)
            f->out[x->own - 1] = r;
        else if (!rc && !says_the_same(f, x, &r))
            rc = follow_add(f, &r);
    }
    return rc == ERR_TOOBIG ? ERR_INVAL : rc;
}

static int read_change(struct following *f, bool *out_readable)
{
    struct diag unheard;
    *out_readable = true;
    if (!f->c->change.n)
        return 0;
    diag_init(&unheard);
    int rc = change_parse((const char *)f->c->change.p, f->c->change.n, "change", 1, f->arena,
                          &unheard, &f->change);
    diag_done(&unheard);
    *out_readable = !rc;
    return rc == ERR_NOMEM ? rc : 0;
}

static int follow(struct following *f)
{
    bool readable;
    int rc = read_change(f, &readable);
    if (!rc && readable)
        rc = touch_records(f);
    if (!rc && readable)
        rc = touch_rows(f);
    if (!rc && readable)
        rc = touch_removed(f);
    for (size_t i = 0; i < f->n_links && !rc; i++)
        rc = complete(f, f->links[i]);
    if (!rc)
        rc = follow_handed_over(f);
    if (!rc)
        rc = put_records(f);
    if (!rc)
        rc = follow_addresses(f);
    if (!rc)
        rc = follow_old_rests(f);
    return rc;
}

int connections_follow(const struct connections_change *c, const struct ledger_look *l,
                       struct arena *arena, struct diag *diag, const struct control_record **out,
                       size_t *out_n)
{
    struct following f = {.c = c, .l = l, .arena = arena, .diag = diag, .by_name = htab_new()};
    int rc = ERR_NOMEM;
    if (f.by_name)
        rc = follow(&f);
    htab_free(f.by_name);
    htab_free(f.owners);
    if (rc)
        return rc;
    *out = f.out;
    *out_n = f.n_out;
    return 0;
}
