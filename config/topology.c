// SPDX-License-Identifier: Apache-2.0
// The topology's life: document in, frozen struct out, and the lookups. See topology.h.
#include "config/topology.h"

#include "base/digest.h"
#include "base/err.h"
#include "base/mem.h"
#include "config/catalogue.h"
#include "config/frontend.h"
#include "config/private_index.h"
#include "config/registry_key.h"
#include "config/reserved.h"
#include "config/topology_make.h"
#include "config/topology_priv.h"

#include <malloc.h>
#include <stdatomic.h>
#include <string.h>

#define TRIM_FROM_BYTES (1u << 20) // of text

static void frame_unref(struct topology_frame *f)
{
    if (!f || atomic_fetch_sub_explicit(&f->refs, 1, memory_order_acq_rel) != 1)
        return;
    htab_free(f->by_region);
    arena_done(&f->arena);
    free(f);
}

static void topology_free(void *self)
{
    struct topology *t = self;
    catalogue_free(t->catalogue);
    reserved_names_unref(t->reserved);
    frame_unref(t->frame);
    free(t);
}

static struct topology_frame *frame_new(void)
{
    struct topology_frame *f = mem_zalloc(sizeof *f);
    if (!f)
        return NULL;
    atomic_init(&f->refs, 1);
    arena_init(&f->arena, 0);
    f->by_region = htab_new();
    if (f->by_region)
        return f;
    free(f);
    return NULL;
}

struct topology *topology_new(const char *source)
{
    struct topology *t = mem_zalloc(sizeof *t);
    if (!t)
        return NULL;
    snapshot_head_init(&t->head, topology_free);
    t->frame = frame_new();
    if (t->frame)
        t->source = arena_strdup(&t->frame->arena, source);
    else
        t->source = NULL;
    if (t->source)
        return t;
    topology_free(t);
    return NULL;
}

struct topology *topology_successor(const struct topology *t)
{
    struct topology *next = mem_alloc(sizeof *next);
    if (!next)
        return NULL;
    memcpy(next, t, sizeof *t);
    snapshot_head_init(&next->head, topology_free);
    atomic_fetch_add_explicit(&next->frame->refs, 1, memory_order_relaxed);
    next->reserved = reserved_names_ref(t->reserved);
    next->catalogue = catalogue_copy(t->catalogue);
    if (next->catalogue)
        return next;
    topology_free(next);
    return NULL;
}

static void build_settings(struct topology_build *b)
{
    const struct spec_topology *s = b->s;
    struct topology *t = b->t;
    t->version = t->frame->version = s->version;
    t->domain = build_string(b, s->domain);
    if (s->hostmaster)
        t->hostmaster = build_string(b, s->hostmaster);
    else
        t->hostmaster = arena_printf(&t->frame->arena, "hostmaster@%s", s->domain ? s->domain : "");
    if (!t->hostmaster)
        b->ctx->nomem = true;
    t->https_port = s->https_port;
    if (s->private_cut)
        t->private_cut = (enum private_cut)s->private_cut_at;
    else
        t->private_cut = PRIVATE_CUT_NONE;
    if (!s->private_cut && doc_get(s->node, "private_cut_at"))
        options_error(b->ctx, doc_key_line(s->node, "private_cut_at"),
                      "private_cut_at means nothing without private_cut: insecure");
    t->ttl = s->ttl;
    t->health = s->health;
    t->replication = s->replication;
    t->max_stale_s = s->max_stale_s;
    if (s->health.timeout_ms > 4 * s->health.interval_ms && s->health.interval_ms)
        options_error(b->ctx, doc_key_line(doc_get(s->node, "health"), "timeout"),
                      "health: timeout (%u ms) is more than four times the interval (%u ms)",
                      s->health.timeout_ms, s->health.interval_ms);
}

static void build_ca(struct topology_build *b)
{
    int line = doc_key_line(doc_get(b->s->node, "certificates"), "ca_region");
    const char *name = b->s->certificates.ca_region;
    int r = -1;
    if (name)
        r = build_find_region(b, line, "certificates.ca_region", name);
    b->t->cert_life = b->s->certificates.life;
    if (r >= 0)
        b->t->ca_region = b->t->regions[r].name;
}

// Of a change control/changer.h judges it by the version in force.
static void check_incarnations(struct topology_build *b)
{
    for (size_t i = 0; i < b->s->n_registries; i++) {
        const struct spec_registry *r = &b->s->registries[i];
        if (r->incarnation > b->t->version)
            options_error(b->ctx, doc_key_line(r->node, "incarnation"),
                          "registry %s: incarnation is the version that created it, and %llu is "
                          "above the document's, %llu",
                          r->name ? r->name : "", (unsigned long long)r->incarnation,
                          (unsigned long long)b->t->version);
    }
}

struct listed { // registries of an array
    const struct registry *all;
    size_t n, at;
};

static void listed_rewind(void *ctx)
{
    ((struct listed *)ctx)->at = 0;
}

static bool listed_next(void *ctx, struct registry *out, struct catalogue_extra **out_extra)
{
    struct listed *l = ctx;
    if (l->at == l->n)
        return false;
    *out = l->all[l->at++];
    *out_extra = NULL;
    return true;
}

// All but the catalogue. `b` holds the registries afterwards.
static int build(struct option_ctx *ctx, const struct doc_node *root, struct topology_build *b)
{
    struct spec_topology spec = {0};
    options_apply(ctx, &spec_topology_set, root, "", &spec);
    if (root->kind != DOC_MAP || ctx->nomem)
        return option_ctx_result(ctx);
    b->s = &spec;
    b->index = private_index_new();
    if (!b->index) {
        b->s = NULL;
        return ERR_NOMEM;
    }
    void (*const steps[])(struct topology_build *) = {
        build_settings,         topology_build_regions,    build_ca,
        topology_build_views,   topology_build_registries, topology_build_private,
        topology_build_routing, topology_build_identities, topology_build_transfer,
        topology_build_apex,    topology_build_dnssec,     topology_build_zone_serial,
        topology_build_control, topology_build_reserved,   check_incarnations,
    };
    for (size_t i = 0; i < ARRAY_LEN(steps) && !ctx->nomem; i++)
        steps[i](b);
    private_index_free(b->index);
    b->s = NULL;
    b->index = NULL;
    return option_ctx_result(ctx);
}

int topology_finish(struct topology *t, const struct catalogue_source *src, size_t n,
                    enum topology_form form)
{
    t->n_registries = n;
    int rc = catalogue_new(t, src, n, form == TOPOLOGY_FULL, &t->catalogue);
    if (rc)
        return rc;
    return frontend_finish(t);
}

// A document, or a part of one: in `out` all that does not belong to the registries.
static int parse_document(struct bytes text, const struct doc_lines *lines, struct option_ctx *ctx,
                          struct topology_build *b)
{
    struct doc_node *root;
    int rc = doc_parse_part((const char *)text.p, text.n, ctx->source, lines, ctx->arena, ctx->diag,
                            &root);
    if (!rc)
        rc = build(ctx, root, b);
    if (!rc)
        rc = topology_keep_text(b->t, root, lines, (const char *)text.p, text.n);
    return rc;
}

// What `parse` has made, or the reason why not. Takes over `t`.
static int parsed(int rc, struct topology *t, const char *source, struct diag *diag,
                  struct topology **out)
{
    if (rc == ERR_NOMEM)
        diag_add(diag, source, 0, "out of memory while reading it");
    if (rc)
        snapshot_unref(t);
    else
        *out = t;
    return rc;
}

int topology_parse_frame(const char *text, size_t n, const char *source,
                         const struct doc_lines *lines, struct diag *diag, struct topology **out)
{
    struct arena tmp;
    arena_init(&tmp, 0);
    struct option_ctx ctx = {.source = source, .diag = diag, .arena = &tmp};
    struct topology_build b = {.ctx = &ctx, .t = topology_new(source)};
    int rc = ERR_NOMEM;
    if (b.t)
        rc = parse_document(bytes_of(text, n), lines, &ctx, &b);
    if (!rc && (b.n_registries || b.t->reserved))
        rc = ERR_CORRUPT; // they are where registries are kept
    arena_done(&tmp);
    return parsed(rc, b.t, source, diag, out);
}

int topology_parse(const char *text, size_t n, const char *source, struct diag *diag,
                   struct topology **out)
{
    return topology_parse_as(TOPOLOGY_FULL, text, n, source, diag, out);
}

int topology_parse_as(enum topology_form form, const char *text, size_t n, const char *source,
                      struct diag *diag, struct topology **out)
{
    if (n > TOPOLOGY_MAX_BYTES) {
        diag_add(diag, source, 0, "larger than %u bytes", TOPOLOGY_MAX_BYTES);
        return ERR_TOOBIG;
    }
    struct arena tmp;
    arena_init(&tmp, 0);
    struct option_ctx ctx = {.source = source, .diag = diag, .arena = &tmp};
    struct topology_build b = {.ctx = &ctx, .t = topology_new(source)};
    int rc = ERR_NOMEM;
    if (b.t)
        rc = parse_document(bytes_of(text, n), NULL, &ctx, &b);
    if (!rc) {
        struct listed list = {b.registries, b.n_registries, 0};
        const struct catalogue_source src = {&list, listed_rewind, listed_next};
        rc = topology_finish(b.t, &src, b.n_registries, form);
    }
    arena_done(&tmp);
    if (n >= TRIM_FROM_BYTES)
        // the document's tree was many times the topology: back to the system with it
        malloc_trim(0);
    if (!rc) {
        sha256(text, n, b.t->content_hash);
        memcpy(b.t->frame->base_hash, b.t->content_hash, SHA256_BYTES);
        b.t->frame->base_version = b.t->version;
    }
    return parsed(rc, b.t, source, diag, out);
}

const char *name_stage_word(enum name_stage s)
{
    static const char *const words[] = {"public", "private", "edge", "gone"};
    return words[s];
}

const char *answered_by_word(enum answered_by a)
{
    return spec_answered_by_words[a].word;
}

static uint32_t larger(uint32_t a, uint32_t b)
{
    if (a > b)
        return a;
    return b;
}

uint32_t ttls_cached_s(const struct ttls *ttl)
{
    return larger(larger(ttl->global, ttl->regional), larger(ttl->data, ttl->private_));
}

const struct region *topology_region(const struct topology *t, const char *name)
{
    return htab_get(t->frame->by_region, name, strlen(name));
}

const struct view *topology_view(const struct topology *t, const char *name)
{
    for (size_t i = 0; i < t->n_views; i++)
        if (!strcmp(t->views[i].name, name))
            return &t->views[i];
    return NULL;
}

const struct address_pool *topology_pool(const struct topology *t, const char *name,
                                         const struct view **out_view)
{
    for (size_t i = 0; i < t->n_views; i++)
        for (size_t k = 0; k < t->views[i].n_pools; k++) {
            if (strcmp(t->views[i].pools[k].name, name) != 0)
                continue;
            if (out_view)
                *out_view = &t->views[i];
            return &t->views[i].pools[k];
        }
    return NULL;
}

const struct private_endpoint *topology_private_endpoint(const struct topology *t, const char *name,
                                                         const struct registry **out_registry)
{
    struct catalogue_iter it = {0};
    for (const struct catalogue_registry *rec; (rec = catalogue_next_private(t->catalogue, &it));) {
        const struct private_endpoint *const *list;
        size_t n = catalogue_private_endpoints(t->catalogue, rec, &list);
        for (size_t i = 0; i < n; i++) {
            if (strcmp(list[i]->name, name) != 0)
                continue;
            if (out_registry)
                *out_registry = catalogue_full(t->catalogue, rec);
            return list[i];
        }
    }
    return NULL;
}

const struct registry *topology_registry(const struct topology *t, const char *name)
{
    const struct catalogue_registry *r = catalogue_find_name(t->catalogue, name);
    if (r)
        return catalogue_full(t->catalogue, r);
    return NULL;
}

const struct registry *topology_registry_by_key(const struct topology *t, const char *key)
{
    struct registry_key k;
    if (registry_key_parse(key, &k))
        return NULL;
    const struct registry *r = topology_registry(t, k.name);
    if (r && r->incarnation == k.incarnation)
        return r;
    return NULL;
}

bool topology_registry_replaced(const struct topology *t, const char *key)
{
    struct registry_key k;
    const struct registry *r = NULL;
    if (!registry_key_parse(key, &k))
        r = topology_registry(t, k.name);
    return r && r->incarnation > k.incarnation;
}

const struct registry *topology_by_label(const struct topology *t, const char *label)
{
    return topology_by_label_n(t, label, strlen(label));
}

const struct registry *topology_by_label_n(const struct topology *t, const char *label, size_t n)
{
    const struct catalogue_registry *r = catalogue_find(t->catalogue, label, n);
    if (r)
        return catalogue_full(t->catalogue, r);
    return NULL;
}

const struct registry *topology_next(const struct topology *t, struct catalogue_iter *it)
{
    const struct catalogue_registry *r = catalogue_next(t->catalogue, it);
    if (r)
        return catalogue_full(t->catalogue, r);
    return NULL;
}

static int by_label(const void *a, const void *b)
{
    return strcmp((*(const struct registry *const *)a)->label,
                  (*(const struct registry *const *)b)->label);
}

const struct registry **topology_sorted(const struct topology *t)
{
    const struct registry **list = mem_zalloc_array(t->n_registries + 1, sizeof *list), *r;
    struct catalogue_iter it = {0};
    size_t n = 0;
    while (list && (r = topology_next(t, &it)))
        list[n++] = r;
    if (list)
        qsort(list, n, sizeof *list, by_label);
    return list;
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

const struct stamp_move *registry_move(const struct registry *r, uint8_t region)
{
    for (size_t i = 0; i < r->n_moves; i++)
        if (r->moves[i].region == region)
            return &r->moves[i];
    return NULL;
}

const struct stamp *registry_stamp_at(const struct topology *t, const struct registry *r,
                                      uint8_t region, int64_t now_s)
{
    const struct replica *rep = registry_replica(r, region);
    const struct stamp_move *m = registry_move(r, region);
    if (rep && m && now_s < m->since_s && m->was != STAMP_GONE)
        return &t->regions[region].stamps[m->was];
    if (rep)
        return topology_replica_stamp(t, rep);
    return NULL;
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

const struct public_key *topology_control_key(const struct topology *t, const char *kid)
{
    const struct public_key *k = NULL;
    for (size_t i = 0; !k && i < t->n_regions; i++)
        k = key_by_id(t->regions[i].control_keys, t->regions[i].n_control_keys, kid);
    return k;
}

const struct public_key *topology_feed_key_in_use(const struct topology *t, const char *kid)
{
    const struct public_key *k = topology_feed_key(t, kid);
    if (!k || k->retired_s || topology_revocation(t, kid))
        return NULL;
    if (t->regions[k->region].sealed)
        return NULL;
    return k;
}

bool public_key_signed_at(const struct topology *t, const struct public_key *k, int64_t wall_ms)
{
    return !k->retired_s || wall_ms <= k->retired_s * 1000 + t->replication.clock_skew_ms;
}

const struct region *topology_region_by_fingerprint(const struct topology *t, const char *hex)
{
    for (size_t i = 0; i < t->n_regions; i++)
        for (size_t k = 0; k < t->regions[i].n_peer_fingerprints; k++)
            if (!strcmp(t->regions[i].peer_fingerprints[k], hex))
                return &t->regions[i];
    return NULL;
}
