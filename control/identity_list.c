// SPDX-License-Identifier: Apache-2.0
// Identities as a value; see identity_list.h. Called by `meridian init` and `meridian
// identities`, and where a region joins or leaves (control/regions.h).
#include "control/identity_list.h"

#include "base/bytes.h"
#include "base/digest.h"
#include "base/err.h"
#include "base/mem.h"

#include <string.h>
#include <time.h>

static const char *const kind_names[N_IDENTITY_KINDS] = {"fingerprint", "token-key", "feed-key",
                                                         "control-key"};

const char *identity_kind_name(enum identity_kind kind)
{
    return kind_names[kind];
}

int identity_kind_parse(const char *s, enum identity_kind *out)
{
    for (int i = 0; i < N_IDENTITY_KINDS; i++)
        if (!strcmp(s, kind_names[i])) {
            *out = (enum identity_kind)i;
            return 0;
        }
    return ERR_INVAL;
}

void identity_list_init(struct identity_list *l)
{
    memset(l, 0, sizeof *l);
}

struct identity *identity_of_region(struct identity_list *l, const char *region)
{
    for (size_t i = 0; i < l->n; i++)
        if (!strcmp(l->list[i].region, region))
            return &l->list[i];
    return NULL;
}

struct identity_item *identity_find(struct identity *x, enum identity_kind kind, const char *id)
{
    for (size_t i = 0; i < x->n[kind]; i++)
        if (!strcmp(x->items[kind][i].id, id))
            return &x->items[kind][i];
    return NULL;
}

void identity_remove(struct identity *x, enum identity_kind kind, struct identity_item *item)
{
    size_t at = (size_t)(item - x->items[kind]);
    memmove(item, item + 1, (x->n[kind] - at - 1) * sizeof *item);
    x->n[kind]--;
}

bool identity_revoked(const struct identity *x, const char *key)
{
    for (size_t i = 0; i < x->n_revoked; i++)
        if (!strcmp(x->revoked[i].key, key))
            return true;
    return false;
}

size_t identity_n_in_use(const struct identity *x, enum identity_kind kind)
{
    size_t n = 0;
    for (size_t i = 0; i < x->n[kind]; i++)
        n += !x->items[kind][i].retired_s && !identity_revoked(x, x->items[kind][i].id);
    return n;
}

static bool same_key(const struct identity_item *a, const struct identity_item *b)
{
    return (!a->key && !b->key) || (a->key && b->key && !strcmp(a->key, b->key));
}

static struct identity *identity_make(struct identity_list *l, const char *region)
{
    struct identity *x = identity_of_region(l, region);
    if (x || l->n == TOPOLOGY_MAX_REGIONS)
        return x;
    x = &l->list[l->n++];
    *x = (struct identity){.region = region};
    return x;
}

// A key that is revoked already stays so at the earlier of both places. ERR_TOOBIG.
static int identity_revoke(struct identity_list *l, const char *region,
                           const struct feed_revocation *v)
{
    struct identity *x = identity_make(l, region);
    if (!x)
        return ERR_TOOBIG;
    for (size_t i = 0; i < x->n_revoked; i++) {
        struct feed_revocation *had = &x->revoked[i];
        if (strcmp(had->key, v->key) != 0)
            continue;
        if (v->epoch < had->epoch || (v->epoch == had->epoch && v->seq < had->seq))
            *had = *v;
        return 0;
    }
    if (x->n_revoked == IDENTITY_REVOKED_MAX)
        return ERR_TOOBIG;
    x->revoked[x->n_revoked++] = *v;
    return 0;
}

int identity_add(struct identity_list *l, const char *region, enum identity_kind kind,
                 struct identity_item item)
{
    struct identity *x = identity_make(l, region);
    if (!x)
        return ERR_TOOBIG;
    struct identity_item *had = identity_find(x, kind, item.id);
    if (had && !same_key(had, &item))
        return ERR_CONFLICT;
    if (had && item.retired_s && (!had->retired_s || item.retired_s < had->retired_s))
        had->retired_s = item.retired_s;
    if (had)
        return 0;
    if (x->n[kind] == IDENTITIES_MAX)
        return ERR_TOOBIG;
    x->items[kind][x->n[kind]++] = item;
    return 1;
}

static int add_keys(struct identity_list *l, const char *region, enum identity_kind kind,
                    const struct public_key *keys, size_t n)
{
    int rc = 0;
    for (size_t i = 0; i < n && rc >= 0; i++)
        rc = identity_add(l, region, kind,
                          (struct identity_item){keys[i].id, keys[i].spki_b64, keys[i].retired_s});
    if (rc < 0)
        return rc;
    return 0;
}

int identity_list_add_all(struct identity_list *l, const struct topology *t)
{
    int rc = 0;
    for (size_t i = 0; i < t->n_regions && !rc; i++) {
        const struct region *r = &t->regions[i];
        for (size_t k = 0; k < r->n_peer_fingerprints && rc >= 0; k++)
            rc = identity_add(l, r->name, IDENTITY_FINGERPRINT,
                              (struct identity_item){.id = r->peer_fingerprints[k]});
        if (rc >= 0)
            rc = add_keys(l, r->name, IDENTITY_TOKEN_KEY, r->token_keys, r->n_token_keys);
        if (rc >= 0)
            rc = add_keys(l, r->name, IDENTITY_FEED_KEY, r->feed_keys, r->n_feed_keys);
        if (rc >= 0)
            rc = add_keys(l, r->name, IDENTITY_CONTROL_KEY, r->control_keys, r->n_control_keys);
        for (size_t k = 0; k < r->n_revoked && !rc; k++)
            rc = identity_revoke(l, r->name, &r->revoked[k]);
        if (!rc && r->sealed && !identity_make(l, r->name))
            rc = ERR_TOOBIG;
        if (!rc && r->sealed)
            identity_of_region(l, r->name)->sealed = r->sealed;
    }
    return rc;
}

const char *identity_time(int64_t s, struct arena *a)
{
    struct tm tm;
    time_t t = (time_t)s;
    char text[32];
    gmtime_r(&t, &tm);
    strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &tm);
    return arena_strdup(a, text);
}

static void put_keys(struct buf *b, const char *name, const struct identity *x,
                     enum identity_kind kind, struct arena *a)
{
    if (x->n[kind])
        buf_printf(b, "    %s:\n", name);
    for (size_t i = 0; i < x->n[kind]; i++) {
        const struct identity_item *k = &x->items[kind][i];
        const char *since = NULL;
        if (k->retired_s)
            since = identity_time(k->retired_s, a);
        buf_printf(b, "      - { id: %s, key: \"%s\"%s%s%s }\n", k->id, k->key,
                   since ? ", retired: \"" : "", since ? since : "", since ? "\"" : "");
    }
}

static void put_revoked(struct buf *b, const struct identity *x)
{
    if (x->n_revoked)
        buf_str(b, "    revoked:\n");
    for (size_t i = 0; i < x->n_revoked; i++) {
        const struct feed_revocation *v = &x->revoked[i];
        char hash[2 * sizeof v->hash + 1];
        hex_format(v->hash, sizeof v->hash, hash);
        buf_printf(b, "      - { key: %s, epoch: %llu, seq: %llu, hash: \"%s\" }\n", v->key,
                   (unsigned long long)v->epoch, (unsigned long long)v->seq, hash);
    }
}

static void put_seal(struct buf *b, const struct feed_seal *s)
{
    char hash[2 * sizeof s->hash + 1];
    hex_format(s->hash, sizeof s->hash, hash);
    buf_printf(b, "    sealed: { epoch: %llu, seq: %llu, hash: \"%s\" }\n",
               (unsigned long long)s->epoch, (unsigned long long)s->seq, hash);
}

static void put_region(struct buf *b, const struct identity *x, struct arena *a)
{
    size_t n = x->n_revoked + (x->sealed != NULL);
    for (int kind = 0; kind < N_IDENTITY_KINDS; kind++)
        n += x->n[kind];
    if (!n)
        return;
    buf_printf(b, "  %s:\n", x->region);
    for (size_t i = 0; i < x->n[IDENTITY_FINGERPRINT]; i++) // digits alone would be a number
        buf_printf(b, "%s\"%s\"", i ? ", " : "    peer_fingerprints: [",
                   x->items[IDENTITY_FINGERPRINT][i].id);
    if (x->n[IDENTITY_FINGERPRINT])
        buf_str(b, "]\n");
    put_keys(b, "token_keys", x, IDENTITY_TOKEN_KEY, a);
    put_keys(b, "feed_keys", x, IDENTITY_FEED_KEY, a);
    put_keys(b, "control_keys", x, IDENTITY_CONTROL_KEY, a);
    put_revoked(b, x);
    if (x->sealed)
        put_seal(b, x->sealed);
}

const char *identity_list_text(const struct identity_list *l, struct arena *a)
{
    AUTO_BUF struct buf b;
    buf_init(&b, 1 << 20);
    for (size_t i = 0; i < l->n; i++)
        put_region(&b, &l->list[i], a);
    if (b.err)
        return NULL;
    if (b.n)
        return arena_printf(a, "identities:\n%s", buf_cstr(&b));
    return "";
}
