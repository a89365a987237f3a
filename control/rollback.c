// SPDX-License-Identifier: Apache-2.0
// Back to an earlier version; see rollback.h.
#include "control/rollback.h"

#include "base/err.h"
#include "base/mem.h"
#include "config/address_pool.h"
#include "control/document_diff.h"
#include "control/document_rows.h"
#include "control/document_text.h"

#include <string.h>

struct going_back {
    const struct topology *now, *old;
    const struct ledger_look *ledger;
    int64_t now_ms;
    struct topology_rollback *out;
    struct arena *arena;
    struct rollback_kept *kept;
    size_t n_kept, cap_kept;
};

static int keep(struct going_back *g, const char *what, const char *why)
{
    if (!what)
        return ERR_NOMEM;
    if (g->n_kept == g->cap_kept) {
        size_t cap = g->cap_kept ? 2 * g->cap_kept : 16;
        struct rollback_kept *list = arena_array(g->arena, cap, sizeof *list);
        if (!list)
            return ERR_NOMEM;
        if (g->n_kept)
            memcpy(list, g->kept, g->n_kept * sizeof *list);
        g->kept = list;
        g->cap_kept = cap;
    }
    g->kept[g->n_kept++] = (struct rollback_kept){what, why};
    return 0;
}

// ---- the frame ----

static const char *why_section_stays(const char *key)
{
    static const struct {
        const char *key, *why;
    } rows[] = {
        {"identities", "keys, fingerprints and revocations never go back"},
        {"control", "the writer, the operators and their revocations never go back"},
        {"dnssec", "the keys of the zones never go back: resolvers hold what was published"},
        {"zone_serial", "the serial of fe.D never goes back"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if (!strcmp(rows[i].key, key))
            return rows[i].why;
    return NULL;
}

static int add_region(struct going_back *g, const struct doc_node *region, struct doc_node *list,
                      struct doc_node **last)
{
    struct doc_node *copy = arena_copy(g->arena, region, sizeof *copy);
    if (!copy)
        return ERR_NOMEM;
    copy->next = NULL;
    if (*last)
        (*last)->next = copy;
    else
        list->child = copy;
    *last = copy;
    list->n++;
    return 0;
}

// Those that are there, in the order of now, as they were in old.
static int regions_back(struct going_back *g, const struct doc_node *now,
                        const struct doc_node *old, const struct doc_node **out)
{
    struct doc_node *list = arena_copy(g->arena, now, sizeof *list), *last = NULL;
    if (!list)
        return ERR_NOMEM;
    list->child = NULL;
    list->n = 0;
    int rc = 0;
    for (const struct doc_node *v = now->child; v && !rc; v = v->next) {
        const char *name = doc_get(v, "name")->text;
        const struct doc_node *was = document_item(old, "name", name);
        if (!was)
            rc = keep(g, arena_printf(g->arena, "section/regions/%s", name),
                      "it has joined since: a region leaves by `meridian region remove`");
        if (!rc)
            rc = add_region(g, was ? was : v, list, &last);
    }
    for (const struct doc_node *v = old->child; v && !rc; v = v->next) {
        const char *name = doc_get(v, "name")->text;
        if (!document_item(now, "name", name))
            rc = keep(g, arena_printf(g->arena, "section/regions/%s", name),
                      "it has left since: a region joins by `meridian fleet join`");
    }
    *out = list;
    return rc;
}

// *out: the section as it is to be; NULL: it goes.
static int section_back(struct going_back *g, const char *key, const struct doc_node *now,
                        const struct doc_node *old, const struct doc_node **out)
{
    const char *why = why_section_stays(key);
    *out = old;
    if (document_equal(now, old))
        return 0;
    if (why) {
        *out = now;
        return keep(g, arena_printf(g->arena, "section/%s", key), why);
    }
    if (now && old && !strcmp(key, "regions"))
        return regions_back(g, now, old, out);
    return 0;
}

struct frames {
    const struct doc_node *now, *old;
    struct buf text;
    // other than now; other than old
    bool changed, mixed;
};

static int put_section(struct going_back *g, struct frames *f, const char *key)
{
    const struct doc_node *now = doc_get(f->now, key), *old = doc_get(f->old, key), *is;
    if (!strcmp(key, "version")) {
        document_put_pair(&f->text, key, now, 0);
        return 0;
    }
    int rc = section_back(g, key, now, old, &is);
    if (rc)
        return rc;
    f->changed = f->changed || !document_equal(is, now);
    f->mixed = f->mixed || !document_equal(is, old);
    if (is)
        document_put_pair(&f->text, key, is, 0);
    return f->text.err;
}

static int put_sections(struct going_back *g, struct frames *f)
{
    int rc = document_frame(g->arena, g->now, &f->now);
    if (!rc)
        rc = document_frame(g->arena, g->old, &f->old);
    for (const struct doc_node *v = rc ? NULL : f->old->child; v && !rc; v = v->next)
        rc = put_section(g, f, v->key);
    for (const struct doc_node *v = rc ? NULL : f->now->child; v && !rc; v = v->next)
        if (!doc_get(f->old, v->key))
            rc = put_section(g, f, v->key);
    return rc;
}

static int frame_back(struct going_back *g)
{
    struct frames f = {.changed = false};
    if (topology_same_frame(g->now, g->old))
        return 0;
    buf_init(&f.text, 0);
    int rc = put_sections(g, &f);
    struct buf *out = &g->out->frame;
    if (!rc && f.changed && f.mixed)
        buf_add(out, buf_cstr(&f.text), f.text.n);
    else if (!rc && f.changed) // with its comments
        buf_add(out, g->old->frame->text, g->old->frame->text_n);
    buf_done(&f.text);
    if (rc)
        return rc;
    return out->err;
}

// ---- rows ----

static int stamps_stay(struct going_back *g, const struct registry *now, struct spec_registry *row)
{
    struct spec_registry is;
    int rc = change_registry_row(g->now, now, g->arena, &is);
    for (size_t i = 0; i < row->n_replicas && !rc; i++) {
        struct spec_replica *back = (struct spec_replica *)&row->replicas[i];
        const struct spec_replica *stays = change_replica(&is, back->region);
        if (!stays)
            continue;
        if (strcmp(back->stamp, stays->stamp) != 0)
            rc = keep(g, arena_printf(g->arena, "registry/%s/%s", row->name, back->region),
                      "its home stamp stays: `meridian replication rebind` moves it");
        back->stamp = stays->stamp;
        back->was = stays->was;
        back->since = stays->since;
    }
    return rc;
}

// A version may be of the middle of an operation, which nobody goes on with: names of that time are
// whole, since a document takes no stages.
static void stages_end(struct spec_registry *row)
{
    row->stage = STAGE_PUBLIC;
    row->regional_stage = STAGE_PUBLIC;
    row->data_stage = STAGE_PUBLIC;
    for (size_t i = 0; i < row->n_replicas; i++)
        ((struct spec_replica *)&row->replicas[i])->stage = STAGE_PUBLIC;
}

// *out: does the row say anything that is not in force?
static int says_more(struct going_back *g, const struct registry *now,
                     const struct spec_registry *row, bool *out)
{
    struct spec_registry is;
    const struct doc_node *a = NULL, *b = NULL;
    int rc = change_registry_row(g->now, now, g->arena, &is);
    if (!rc)
        rc = document_spec_registry(g->arena, &is, &a);
    if (!rc)
        rc = document_spec_registry(g->arena, row, &b);
    *out = !rc && !document_equal(a, b);
    return rc;
}

// *out false: it stays as it is in force.
static int registry_back(struct going_back *g, struct spec_registry *row, bool *out)
{
    const struct registry *now = topology_registry(g->now, row->name);
    const char *what = arena_printf(g->arena, "registry/%s", row->name);
    *out = false;
    if (!now)
        return keep(g, what,
                    "it was deleted since: what is created under its name is another registry");
    if (now->incarnation != row->incarnation)
        return keep(g, what, "it was deleted since, and the one of that name is another registry");
    stages_end(row);
    int rc = stamps_stay(g, now, row);
    if (!rc)
        rc = says_more(g, now, row, out);
    return rc;
}

static int registries_back(struct going_back *g, struct change *c)
{
    size_t n = 0;
    for (size_t i = 0; i < c->n_registries; i++) {
        bool goes;
        int rc = registry_back(g, &c->registries[i], &goes);
        if (rc)
            return rc;
        if (goes)
            c->registries[n++] = c->registries[i];
    }
    c->n_registries = n;
    return 0;
}

static const struct private_endpoint *row_now(const struct going_back *g, const char *registry,
                                              const char *name)
{
    const struct registry *r = topology_registry(g->now, registry);
    for (size_t i = 0; r && i < r->n_private_endpoints; i++)
        if (!strcmp(r->private_endpoints[i]->name, name))
            return r->private_endpoints[i];
    return NULL;
}

// Why a private endpoint does not go back; NULL: it does.
static const char *why_private_stays(const struct going_back *g, const struct spec_private *p)
{
    const struct registry *now = topology_registry(g->now, p->registry);
    const struct registry *old = topology_registry(g->old, p->registry);
    struct connection c;
    if (!now || now->incarnation != old->incarnation)
        return "the registry that it led to was deleted since";
    if (!row_now(g, p->registry, p->name))
        return "it was taken away since: `meridian private-endpoint create` asks for it anew";
    if (!connection_get(g->ledger, p->name, g->arena, &c) && c.state != CONNECTION_APPROVED)
        return "its connection is not approved any more";
    return NULL;
}

// What the connection itself has given up, and nobody has had since: caches find the same there.
static int rests_for_itself(struct going_back *g, const struct spec_private *p, const struct ip *ip,
                            bool *out)
{
    AUTO_BUF struct buf text;
    struct rest r;
    const char *key = rest_key(g->arena, p->view, ip);
    const struct registry *to = topology_registry(g->now, p->registry);
    buf_init(&text, 0);
    *out = false;
    if (!key)
        return ERR_NOMEM;
    int rc = g->ledger->record(g->ledger->ctx, key, &text);
    if (!rc)
        rc = rest_parse(buf_cstr(&text), g->arena, &r);
    if (rc)
        return rc == ERR_NOMEM ? rc : 0;
    *out = to && !strcmp(r.was, p->name) && r.was_of && !strcmp(r.was_of, to->key);
    return 0;
}

static int is_held(struct going_back *g, const struct spec_private *p,
                   const struct address_set *held, const struct ip *ip, bool *out)
{
    bool own = false;
    *out = ip_set_contains(held->list, held->n, ip);
    int rc = *out ? rests_for_itself(g, p, ip, &own) : 0;
    *out = *out && !own;
    return rc;
}

// Without the addresses that are held for others by now.
static int addresses_back(struct going_back *g, struct spec_private *p)
{
    const struct view *v = topology_view(g->now, p->view);
    struct address_set held = {0};
    struct spec_member *members = arena_array(g->arena, p->n_members + 1, sizeof *members);
    char text[IP_TEXT_SIZE];
    size_t n = 0;
    if (!members)
        return ERR_NOMEM;
    int rc = 0;
    if (v) // one without is refused
        rc = addresses_held(g->ledger, g->now, (uint32_t)(v - g->now->views), g->now_ms, p->name,
                            g->arena, &held);
    for (size_t i = 0; i < p->n_members && !rc; i++) {
        const struct spec_member *m = &p->members[i];
        struct ip *ips = arena_array(g->arena, m->n_ips + 1, sizeof *ips);
        size_t kept = 0;
        if (!ips)
            return ERR_NOMEM;
        for (size_t k = 0; k < m->n_ips && !rc; k++) {
            bool others;
            rc = is_held(g, p, &held, &m->ips[k], &others);
            if (!rc && !others)
                ips[kept++] = m->ips[k];
            else if (!rc)
                rc = keep(
                    g,
                    arena_printf(g->arena, "private/%s/%s", p->name, ip_format(&m->ips[k], text)),
                    "the address is held for another private endpoint by now, or caches may "
                    "still have it as another's");
        }
        if (kept)
            members[n++] = (struct spec_member){m->key, ips, kept};
    }
    p->members = members;
    p->n_members = n;
    return rc;
}

// *out false: it stays as it is in force.
static int private_back(struct going_back *g, struct spec_private *p, bool *out)
{
    const char *why = why_private_stays(g, p);
    struct spec_private is;
    const struct doc_node *a = NULL, *b = NULL;
    *out = false;
    if (why)
        return keep(g, arena_printf(g->arena, "private/%s", p->name), why);
    const struct private_endpoint *now = row_now(g, p->registry, p->name);
    p->stage = now->stage;
    int rc = addresses_back(g, p);
    if (!rc)
        rc = change_private_row(g->now, p->registry, now, g->arena, &is);
    if (!rc && p->n_members)
        rc = document_spec_private(g->arena, p, &a);
    if (!rc && p->n_members)
        rc = document_spec_private(g->arena, &is, &b);
    *out = !rc && p->n_members && !document_equal(a, b);
    return rc;
}

static int privates_back(struct going_back *g, struct change *c)
{
    struct spec_private *rows = arena_array(g->arena, c->n_private_endpoints + 1, sizeof *rows);
    size_t n = 0;
    if (!rows)
        return ERR_NOMEM;
    for (size_t i = 0; i < c->n_private_endpoints; i++) {
        bool goes;
        rows[n] = c->private_endpoints[i];
        int rc = private_back(g, &rows[n], &goes);
        if (rc)
            return rc;
        n += goes;
    }
    c->private_endpoints = rows;
    c->n_private_endpoints = n;
    return 0;
}

// Those of a registry that stays as it is in force stay with it.
static int privates_gone(struct going_back *g, struct change *c)
{
    const char **names = arena_array(g->arena, c->n_remove_private_endpoints + 1, sizeof *names);
    struct htab *owners = document_private_owners(g->now);
    size_t n = 0;
    for (size_t i = 0; names && owners && i < c->n_remove_private_endpoints; i++) {
        const char *name = c->remove_private_endpoints[i];
        const char *registry = htab_get(owners, name, strlen(name));
        const struct registry *now = topology_registry(g->now, registry);
        const struct registry *old = topology_registry(g->old, registry);
        if (!old || old->incarnation == now->incarnation)
            names[n++] = name;
    }
    c->remove_private_endpoints = names;
    c->n_remove_private_endpoints = n;
    htab_free(owners);
    return names && owners ? 0 : ERR_NOMEM;
}

static int rows_back(struct going_back *g)
{
    struct document_diff d;
    int rc = document_diff(g->now, g->old, &d);
    if (!rc)
        rc = registries_back(g, &d.change);
    if (!rc)
        rc = privates_back(g, &d.change);
    if (!rc)
        rc = privates_gone(g, &d.change);
    if (!rc)
        rc = change_format(&d.change, &g->out->change);
    const char **removed = arena_array(g->arena, d.change.n_remove + 1, sizeof *removed);
    if (!rc && !removed)
        rc = ERR_NOMEM;
    for (size_t i = 0; !rc && i < d.change.n_remove; i++) {
        // names live as long as `now`
        removed[i] = d.change.remove[i];
        g->out->n_removed++;
    }
    g->out->removed = removed;
    document_diff_done(&d);
    return rc;
}

int topology_rollback(const struct topology *now, const struct topology *old,
                      const struct ledger_look *l, int64_t now_ms, struct topology_rollback *out)
{
    *out = (struct topology_rollback){.n_kept = 0};
    arena_init(&out->arena, 0);
    buf_init(&out->frame, 0);
    buf_init(&out->change, 0);
    struct going_back g = {
        .now = now, .old = old, .ledger = l, .now_ms = now_ms, .out = out, .arena = &out->arena};
    int rc = frame_back(&g);
    if (!rc)
        rc = rows_back(&g);
    out->kept = g.kept;
    out->n_kept = g.n_kept;
    return rc;
}

void topology_rollback_done(struct topology_rollback *r)
{
    buf_done(&r->frame);
    buf_done(&r->change);
    arena_done(&r->arena);
}
