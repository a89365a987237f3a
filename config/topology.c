// SPDX-License-Identifier: Apache-2.0
// The topology's life: document in, frozen struct out, and the lookups. See topology.h.
#include "config/topology.h"

#include "base/digest.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "config/catalogue.h"
#include "config/topology_priv.h"

#include <malloc.h>
#include <stdio.h>
#include <string.h>

#define TRIM_FROM_BYTES (1u << 20) // of text

static void topology_free(void *self)
{
    struct topology *t = self;
    catalogue_free(t->catalogue);
    htab_free(t->by_region);
    arena_done(&t->arena);
    free(t);
}

static struct topology *topology_new(const char *source)
{
    struct topology *t = mem_zalloc(sizeof *t);
    if (!t)
        return NULL;
    snapshot_head_init(&t->head, topology_free);
    arena_init(&t->arena, 0);
    t->by_region = htab_new();
    t->source = arena_strdup(&t->arena, source);
    if (t->by_region && t->source)
        return t;
    topology_free(t);
    return NULL;
}

static void build_settings(struct topology_build *b)
{
    const struct spec_topology *s = b->s;
    struct topology *t = b->t;
    t->version = s->version;
    t->domain = build_string(b, s->domain);
    t->hostmaster = s->hostmaster ? build_string(b, s->hostmaster)
                                  : arena_printf(&t->arena, "hostmaster@%s", s->domain ? s->domain : "");
    if (!t->hostmaster)
        b->ctx->nomem = true;
    t->https_port = s->https_port;
    t->private_cut = s->private_cut ? (enum private_cut)s->private_cut_at : PRIVATE_CUT_NONE;
    if (!s->private_cut && doc_get(s->node, "private_cut_at"))
        options_error(b->ctx, doc_key_line(s->node, "private_cut_at"),
                      "private_cut_at means nothing without private_cut: insecure");
    t->ttl = s->ttl;
    t->health = s->health;
    t->max_stale_s = s->max_stale_s;
    if (s->health.timeout_ms > 4 * s->health.interval_ms && s->health.interval_ms)
        options_error(b->ctx, doc_key_line(doc_get(s->node, "health"), "timeout"),
                      "health: timeout (%u ms) is more than four times the interval (%u ms)", s->health.timeout_ms,
                      s->health.interval_ms);
}

static void build_ca(struct topology_build *b)
{
    int line = doc_key_line(doc_get(b->s->node, "certificates"), "ca_region");
    const char *name = b->s->certificates.ca_region;
    int r = name ? build_find_region(b, line, "certificates.ca_region", name) : -1;
    b->t->cert_life = b->s->certificates.life;
    if (r >= 0)
        b->t->ca_region = b->t->regions[r].name;
}

static int build(struct option_ctx *ctx, const struct doc_node *root, struct topology *t)
{
    struct spec_topology spec = {0};
    options_apply(ctx, &spec_topology_set, root, "", &spec);
    if (root->kind != DOC_MAP || ctx->nomem)
        return option_ctx_result(ctx);
    struct topology_build b = {ctx, t, &spec, htab_new()};
    if (!b.by_registry)
        return ERR_NOMEM;
    void (*const steps[])(struct topology_build *) = {
        build_settings,         topology_build_regions,    build_ca,
        topology_build_views,   topology_build_registries, topology_build_private,
        topology_build_routing, topology_build_identities,
    };
    for (size_t i = 0; i < ARRAY_LEN(steps) && !ctx->nomem; i++)
        steps[i](&b);
    htab_free(b.by_registry);
    int rc = option_ctx_result(ctx);
    return rc ? rc : catalogue_new(t, &t->catalogue);
}

int topology_parse(const char *text, size_t n, const char *source, struct diag *diag, struct topology **out)
{
    if (n > TOPOLOGY_MAX_BYTES) {
        diag_add(diag, source, 0, "larger than %u bytes", TOPOLOGY_MAX_BYTES);
        return ERR_TOOBIG;
    }
    struct arena tmp;
    arena_init(&tmp, 0);
    struct option_ctx ctx = {.source = source, .diag = diag, .arena = &tmp};
    struct doc_node *root;
    struct topology *t = topology_new(source);
    int rc = t ? doc_parse(text, n, source, &tmp, diag, &root) : ERR_NOMEM;
    if (!rc)
        rc = build(&ctx, root, t);
    arena_done(&tmp);
    if (n >= TRIM_FROM_BYTES)
        malloc_trim(0); // the document's tree was many times the topology: back to the system with it
    if (rc == ERR_NOMEM)
        diag_add(diag, source, 0, "out of memory while reading it");
    if (rc) {
        snapshot_unref(t);
        return rc;
    }
    sha256(text, n, t->content_hash);
    *out = t;
    return 0;
}

int topology_load(const char *path, struct diag *diag, struct topology **out)
{
    struct buf text AUTO_BUF;
    buf_init(&text, 0);
    int rc = file_read(path, TOPOLOGY_MAX_BYTES, &text);
    if (rc) {
        diag_add(diag, path, 0, "cannot read the topology: %s", err_text(rc));
        return rc;
    }
    return topology_parse(buf_cstr(&text), text.n, path, diag, out);
}

const struct region *topology_region(const struct topology *t, const char *name)
{
    return htab_get(t->by_region, name, strlen(name));
}

// The first registry whose label is not before `label`, or NULL.
static const struct registry *label_not_before(const struct topology *t, const char *label)
{
    size_t low = 0, n = t->n_registries;
    while (n) {
        size_t half = n / 2;
        if (strcmp(t->registries[low + half].label, label) < 0) {
            low += half + 1;
            n -= half + 1;
        } else {
            n = half;
        }
    }
    return low < t->n_registries ? &t->registries[low] : NULL;
}

// A label is the name, or the name, a hyphen (which no name has) and a hash; names are unique.
const struct registry *topology_registry(const struct topology *t, const char *name)
{
    char hashed[HOSTNAME_REGISTRY_SIZE + 1];
    const struct registry *r = topology_by_label(t, name);
    if (r && !*r->hash)
        return r;
    if (strlen(name) >= HOSTNAME_REGISTRY_SIZE)
        return NULL;
    snprintf(hashed, sizeof hashed, "%s-", name);
    r = label_not_before(t, hashed);
    return r && !strcmp(r->name, name) ? r : NULL;
}

const struct registry *topology_by_label(const struct topology *t, const char *label)
{
    return topology_by_label_n(t, label, strlen(label));
}

const struct registry *topology_by_label_n(const struct topology *t, const char *label, size_t n)
{
    const struct catalogue_registry *r = catalogue_find(t->catalogue, label, n);
    return r ? &t->registries[r->index] : NULL;
}

const struct replica *registry_replica(const struct registry *r, uint8_t region)
{
    if (region >= TOPOLOGY_MAX_REGIONS || !(r->replica_set >> region & 1))
        return NULL;
    for (size_t i = 0; i < r->n_replicas; i++)
        if (r->replicas[i].region == region)
            return &r->replicas[i];
    return NULL;
}

const struct stamp *topology_replica_stamp(const struct topology *t, const struct replica *rep)
{
    return &t->regions[rep->region].stamps[rep->stamp];
}

const struct stamp *region_stamp(const struct region *r, const char *name)
{
    for (size_t i = 0; i < r->n_stamps; i++)
        if (!strcmp(r->stamps[i].name, name))
            return &r->stamps[i];
    return NULL;
}

static const struct public_key *key_by_id(const struct public_key *keys, size_t n, const char *kid)
{
    for (size_t i = 0; i < n; i++)
        if (!strcmp(keys[i].id, kid))
            return &keys[i];
    return NULL;
}

const struct public_key *topology_token_key(const struct topology *t, const char *kid)
{
    const struct public_key *k = NULL;
    for (size_t i = 0; !k && i < t->n_regions; i++)
        k = key_by_id(t->regions[i].token_keys, t->regions[i].n_token_keys, kid);
    return k;
}

const struct public_key *topology_feed_key(const struct topology *t, const char *kid)
{
    const struct public_key *k = NULL;
    for (size_t i = 0; !k && i < t->n_regions; i++)
        k = key_by_id(t->regions[i].feed_keys, t->regions[i].n_feed_keys, kid);
    return k;
}

const struct region *topology_region_by_fingerprint(const struct topology *t, const char *hex)
{
    for (size_t i = 0; i < t->n_regions; i++)
        for (size_t k = 0; k < t->regions[i].n_peer_fingerprints; k++)
            if (!strcmp(t->regions[i].peer_fingerprints[k], hex))
                return &t->regions[i];
    return NULL;
}
