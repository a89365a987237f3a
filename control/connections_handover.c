// SPDX-License-Identifier: Apache-2.0
// Rows that a document gives under another name: what the new one has for the same names of the same
// registry is not the old one's any more. See connections_follow.h.
#include "control/connections_follow_priv.h"

#include "base/err.h"

#include <stdio.h>
#include <string.h>

struct address_key address_key(const char *view, const struct ip *ip)
{
    struct address_key k;
    char text[IP_TEXT_SIZE];
    snprintf(k.text, sizeof k.text, "%.63s/%s", view, ip_format(ip, text));
    return k;
}

// The links whose rows the entry gives, by their addresses.
static int gather(const struct following *f, struct htab *out)
{
    for (size_t i = 0; i < f->n_links; i++) {
        struct link *x = f->links[i];
        const struct spec_private *row = x->given ? x->row_after : NULL;
        for (size_t m = 0; row && m < row->n_members; m++)
            for (size_t k = 0; k < row->members[m].n_ips; k++) {
                const struct address_key key = address_key(row->view, &row->members[m].ips[k]);
                int rc = htab_put(out, key.text, strlen(key.text), x);
                if (rc && rc != ERR_EXISTS)
                    return rc;
            }
    }
    return 0;
}

static bool is_taken(const struct htab *given, const struct link *x, const char *key,
                     const struct ip *ip)
{
    const struct address_key at = address_key(x->after.view, ip);
    const struct link *by = htab_get(given, at.text, strlen(at.text));
    if (!by || by == x || strcmp(by->registry_after, x->registry_before) != 0)
        return false;
    const struct spec_member *m =
        members_find(by->row_after->members, by->row_after->n_members, key);
    return m && members_have(m, 1, ip);
}

static void hand_over(const struct htab *given, struct link *x)
{
    struct connection *c = &x->after;
    size_t n = 0;
    for (size_t i = 0; i < c->n_members; i++) {
        struct ip *ips = (struct ip *)c->members[i].ips; // made for this connection alone
        size_t kept = 0;
        for (size_t k = 0; k < c->members[i].n_ips; k++)
            if (!is_taken(given, x, c->members[i].key, &ips[k]))
                ips[kept++] = ips[k];
        c->members[i].n_ips = kept;
        if (kept)
            c->members[n++] = c->members[i];
    }
    c->n_members = n;
    x->has_record = n > 0;
}

int follow_handed_over(struct following *f)
{
    if (!f->change.n_private_endpoints || !f->change.n_remove_private_endpoints)
        return 0;
    struct htab *given = htab_new();
    int rc = ERR_NOMEM;
    if (given)
        rc = gather(f, given);
    for (size_t i = 0; i < f->n_links && !rc; i++) {
        struct link *x = f->links[i];
        if (x->has_record && !x->own && x->row_before && !x->row_after)
            hand_over(given, x);
    }
    htab_free(given);
    return rc;
}
