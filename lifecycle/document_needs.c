// SPDX-License-Identifier: Apache-2.0
// Rights by sections and rows; see document_needs.h.
#include "lifecycle/document_needs.h"

#include "base/err.h"
#include "base/mem.h"
#include "config/document.h"
#include "config/topology_control.h"
#include "control/change.h"
#include "control/document_rows.h"
#include "control/document_text.h"
#include "lifecycle/private_endpoints.h"

#include <string.h>

struct needing {
    const struct plan_ctx *x;
    struct plan *out;
    struct diag *diag;
};

// ---- sections ----

// What says whose word counts needs all rights, and so does a section that nobody has put here yet.
static unsigned section_rights(const char *key)
{
    static const struct {
        const char *key;
        // beyond the verb's own
        unsigned rights;
    } rows[] = {
        {"version", 0},
        {"hostmaster", 0},
        {"https_port", 0},
        {"private_cut", 0},
        {"routing", 0},
        {"private_cut_at", 0},
        {"views", 0},
        {"name_servers", 0},
        {"dns_access", 0},
        {"health", 0},
        {"ttl", 0},
        {"zone_serial", 0},
        {"replication", 0},
        {"transfer", 0},
        {"apex", 0},
        // how long a user who was revoked may go on
        {"tokens", CONTROL_RIGHT_PRINCIPALS},
        {"regions", CONTROL_RIGHT_REGIONS},
        // requests are signed for it
        {"domain", CONTROL_RIGHTS_ALL},
        // whose tokens, feeds and connections count
        {"identities", CONTROL_RIGHTS_ALL},
        // who writes, and who may ask for what
        {"control", CONTROL_RIGHTS_ALL},
        // who issues them
        {"certificates", CONTROL_RIGHTS_ALL},
        // whose signatures of the zones count
        {"dnssec", CONTROL_RIGHTS_ALL},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if (!strcmp(rows[i].key, key))
            return rows[i].rights;
    return CONTROL_RIGHTS_ALL;
}

static int section_needs(struct needing *n, const char *key)
{
    unsigned rights = section_rights(key);
    if (!rights)
        return 0;
    const char *what = arena_printf(n->x->arena, "the section %s", key);
    if (!what)
        return ERR_NOMEM;
    plan_need(n->out, rights, what);
    return 0;
}

static int sections_need(struct needing *n, struct bytes text)
{
    const struct doc_node *now;
    struct doc_node *next;
    if (!text.n)
        return 0;
    int rc = document_frame(n->x->arena, n->x->t, &now);
    if (!rc)
        rc = doc_parse((const char *)text.p, text.n, "the document", n->x->arena, n->diag, &next);
    if (rc)
        return rc;
    for (const struct doc_node *v = now->child; v && !rc; v = v->next)
        if (!document_equal(v, doc_get(next, v->key)))
            rc = section_needs(n, v->key);
    for (const struct doc_node *v = next->child; v && !rc; v = v->next)
        if (!doc_get(now, v->key))
            rc = section_needs(n, v->key);
    return rc;
}

// ---- rows ----

static int row_needs(struct needing *n, const char *kind, const char *name)
{
    const char *what = arena_printf(n->x->arena, "%s %s", kind, name);
    if (!what)
        return ERR_NOMEM;
    plan_need(n->out, CONTROL_RIGHT_REGISTRIES, what);
    return 0;
}

static int registry_needs(struct needing *n, const struct spec_registry *row)
{
    const struct registry *r = topology_registry(n->x->t, row->name);
    const char *owner = "";
    int rc = row_needs(n, "the registry", row->name);
    if (rc)
        return rc;
    if (!r)
        return plan_need_name(n->x, n->out, row->name);
    if (row->owner)
        owner = row->owner;
    if (!strcmp(r->owner, owner))
        return 0;
    // nobody may make a registry his own and then do as its owner may
    const char *what = arena_printf(n->x->arena, "an owner of %s, which has none,", row->name);
    if (*r->owner)
        what =
            arena_printf(n->x->arena, "another owner of %s, which is %s's,", row->name, r->owner);
    return plan_need_owner(n->x, n->out, r->owner, what);
}

// A document speaks for both sides of a private endpoint.
static int private_needs(struct needing *n, const struct spec_private *row)
{
    const char *what = arena_printf(n->x->arena, "the private endpoint %s", row->name);
    if (!what)
        return ERR_NOMEM;
    plan_need(n->out, CONTROL_RIGHT_REGISTRIES | CONTROL_RIGHT_PRIVATE_ENDPOINTS, what);
    int rc = plan_need_view(n->x, n->out, row->view);
    if (!rc)
        rc = plan_need_registry(n->x, n->out, topology_registry(n->x->t, row->registry));
    return rc;
}

static int rows_need(struct needing *n, struct bytes rows)
{
    struct change c;
    if (!rows.n)
        return 0;
    AUTO_BUF struct buf text; // a change must have a version, and any will do here
    buf_init(&text, 0);
    buf_str(&text, "version: 1\n");
    buf_add(&text, rows.p, rows.n);
    if (text.err)
        return text.err;
    int rc = change_parse(buf_cstr(&text), text.n, "the document", 0, n->x->arena, n->diag, &c);
    for (size_t i = 0; !rc && i < c.n_registries; i++)
        rc = registry_needs(n, &c.registries[i]);
    for (size_t i = 0; !rc && i < c.n_remove; i++)
        rc = row_needs(n, "the registry", c.remove[i]);
    for (size_t i = 0; !rc && i < c.n_private_endpoints; i++)
        rc = private_needs(n, &c.private_endpoints[i]);
    for (size_t i = 0; !rc && i < c.n_remove_private_endpoints; i++)
        rc = row_needs(n, "the private endpoint", c.remove_private_endpoints[i]);
    return rc;
}

int document_needs(const struct plan_ctx *x, struct bytes frame, struct bytes change,
                   struct plan *out, struct diag *diag)
{
    struct needing n = {.x = x, .out = out, .diag = diag};
    int rc = sections_need(&n, frame);
    if (!rc)
        rc = rows_need(&n, change);
    return rc;
}
