// SPDX-License-Identifier: Apache-2.0
// The frame of the topology with a joiner in it; see join.h. Pure.
#include "fleet/join.h"

#include "base/err.h"
#include "base/mem.h"
#include "control/identity_list.h"
#include "control/regions.h"
#include "control/sections.h"

#include <string.h>

static bool has_address(const struct ip *list, size_t n, const struct ip *ip)
{
    for (size_t i = 0; i < n; i++)
        if (ip_equal(&list[i], ip))
            return true;
    return false;
}

static bool addresses_match(const struct stamp *s, const struct region_row *row)
{
    for (size_t i = 0; i < row->n_ipv4; i++)
        if (!has_address(s->ipv4, s->n_ipv4, &row->ipv4[i]))
            return false;
    for (size_t i = 0; i < row->n_ipv6; i++)
        if (!has_address(s->ipv6, s->n_ipv6, &row->ipv6[i]))
            return false;
    return true;
}

// A region that the topology has already says itself where it is.
static int row_judge(const struct region *r, const struct region_row *row, struct diag *diag)
{
    char at[ENDPOINT_TEXT_SIZE];
    for (size_t i = 0; i < r->n_stamps; i++) {
        if (strcmp(r->stamps[i].name, row->stamp) != 0)
            continue;
        if (addresses_match(&r->stamps[i], row) && r->peer.port == row->peer.port &&
            ip_equal(&r->peer.ip, &row->peer.ip))
            return 0;
        diag_add(diag, NULL, 0,
                 "the topology has other addresses for stamp %s of %s, or for its peer listener "
                 "(%s): join with those, or change them in the topology first",
                 row->stamp, r->name, endpoint_format(&r->peer, at));
        return ERR_CONFLICT;
    }
    diag_add(diag, NULL, 0, "the topology has no stamp %s in %s: join with --stamp %s", row->stamp,
             r->name, r->n_stamps ? r->stamps[0].name : "?");
    return ERR_CONFLICT;
}

// What the node before it had ends: its feed keys verify what they signed, all else goes. A region
// that was forgotten is a member again: what its feed goes on from, it learns from the others.
static void identity_end(struct identity *x, int64_t now_s)
{
    x->sealed = NULL;
    x->n[IDENTITY_FINGERPRINT] = 0;
    x->n[IDENTITY_TOKEN_KEY] = 0;
    x->n[IDENTITY_CONTROL_KEY] = 0;
    for (size_t i = 0; i < x->n[IDENTITY_FEED_KEY]; i++)
        if (!x->items[IDENTITY_FEED_KEY][i].retired_s)
            x->items[IDENTITY_FEED_KEY][i].retired_s = now_s;
}

static int identity_full(const struct join_request *q, struct diag *diag, int rc)
{
    if (rc == ERR_TOOBIG)
        diag_add(diag, NULL, 0,
                 "%s has as many keys as a region may have: drop old ones with `meridian "
                 "identities retire`",
                 q->row.name);
    else if (rc == ERR_CONFLICT)
        diag_add(diag, NULL, 0, "a key's id of %s stands in the topology with another key",
                 q->row.name);
    return rc;
}

static int identities_set(const struct topology *t, const struct join_request *q,
                          const char *fingerprint, bool replace, int64_t now_s, struct arena *a,
                          struct diag *diag, const char **out_text)
{
    struct identity_list *l = arena_alloc(a, sizeof *l);
    if (!l)
        return ERR_NOMEM;
    identity_list_init(l);
    int rc = identity_list_add_all(l, t);
    if (rc)
        return rc;
    struct identity *had = identity_of_region(l, q->row.name);
    if (had && replace)
        identity_end(had, now_s);
    const struct {
        enum identity_kind kind;
        struct identity_item item;
    } rows[] = {
        {IDENTITY_FINGERPRINT, {.id = fingerprint}},
        {IDENTITY_TOKEN_KEY, {.id = q->token_key.id, .key = q->token_key.spki}},
        {IDENTITY_FEED_KEY, {.id = q->feed_key.id, .key = q->feed_key.spki}},
        {IDENTITY_CONTROL_KEY, {.id = q->control_key.id, .key = q->control_key.spki}},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        rc = identity_add(l, q->row.name, rows[i].kind, rows[i].item);
        if (rc < 0)
            return identity_full(q, diag, rc);
    }
    *out_text = identity_list_text(l, a);
    if (*out_text)
        return 0;
    return ERR_NOMEM;
}

// Has this very joiner come in already? Then the frame is as it should be.
static bool is_in(const struct region *r, const char *fingerprint)
{
    for (size_t i = 0; r && i < r->n_peer_fingerprints; i++)
        if (!strcmp(r->peer_fingerprints[i], fingerprint))
            return true;
    return false;
}

int join_frame(const struct topology *t, const char *frame, size_t n, const struct join_request *q,
               const char *fingerprint, bool replace, int64_t now_s, struct arena *a,
               struct diag *diag, struct buf *out)
{
    const struct region *r = topology_region(t, q->row.name);
    if (is_in(r, fingerprint))
        return ERR_EXISTS;
    if (r && r->n_peer_fingerprints && !replace) {
        diag_add(diag, NULL, 0,
                 "%s is a region of the fleet already, with keys of its own. If its node is lost, "
                 "replace it: `meridian region replace %s`",
                 r->name, r->name);
        return ERR_CONFLICT;
    }
    AUTO_BUF struct buf with_row;
    buf_init(&with_row, 0);
    int rc = 0;
    if (r)
        rc = row_judge(r, &q->row, diag);
    if (rc)
        return rc;
    if (r)
        buf_add(&with_row, frame, n);
    else
        rc = regions_add(frame, n, &q->row, a, &with_row);
    if (rc == ERR_INVAL)
        diag_add(diag, NULL, 0, "the topology in force cannot take the region's row");
    const char *identities = NULL;
    if (!rc)
        rc = identities_set(t, q, fingerprint, replace, now_s, a, diag, &identities);
    if (rc)
        return rc;
    const struct edit_section s = {"identities", identities};
    edit_sections(buf_cstr(&with_row), &s, 1, 0, out);
    if (with_row.err)
        return with_row.err;
    return out->err;
}
