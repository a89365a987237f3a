// SPDX-License-Identifier: Apache-2.0
// One change on a topology; see changer.h.
//
// Invariants
// 1. `index` is NULL, or right for the topology whose content hash is `index_of`.
// 2. A successor is one version above the topology that it follows.
#include "control/changer.h"

#include "base/bytes.h"
#include "base/clock.h"
#include "base/digest.h"
#include "base/err.h"
#include "base/mem.h"
#include "config/reserved.h"
#include "config/topology_make.h"
#include "control/changer_priv.h"

#include <assert.h>
#include <string.h>

// After so many uses the index is made anew: what it gave up lies in its arena until then.
#define INDEX_USES 10000

struct changer {
    struct private_index *index;
    uint8_t index_of[SHA256_BYTES];
    size_t n_uses;
    // wall; 0: not given
    int64_t at_ms;
};

struct changer *changer_new(void)
{
    return mem_zalloc(sizeof(struct changer));
}

void changer_free(struct changer *c)
{
    if (!c)
        return;
    private_index_free(c->index);
    free(c);
}

void changer_at(struct changer *c, int64_t wall_ms)
{
    c->at_ms = wall_ms;
}

// ---- the index ----

static bool index_is_of(const struct changer *c, const struct topology *t)
{
    return c->index && !memcmp(c->index_of, t->content_hash, SHA256_BYTES);
}

static void index_drop(struct changer *c)
{
    private_index_free(c->index);
    c->index = NULL;
}

// Makes c->index right for `t`.
static int index_for(struct changer *c, const struct topology *t)
{
    if (index_is_of(c, t) && c->n_uses < INDEX_USES)
        return 0;
    index_drop(c);
    c->n_uses = 0;
    c->index = private_index_new();
    if (!c->index)
        return ERR_NOMEM;
    int rc = private_index_add_all(c->index, t);
    if (rc) {
        index_drop(c);
        return rc;
    }
    memcpy(c->index_of, t->content_hash, SHA256_BYTES);
    return 0;
}

// ---- applying ----

static int fill(struct topology *next, const struct touched *x)
{
    for (size_t i = 0; i < x->change->n_remove; i++) {
        int rc = catalogue_remove(next->catalogue, x->change->remove[i]);
        if (rc)
            return rc;
    }
    for (size_t i = 0; i < x->n; i++) {
        int rc = catalogue_put(next->catalogue, &x->all[i]);
        if (rc)
            return rc;
    }
    if (x->n_reserve || x->n_release)
        return topology_edit_reserved(next, x->reserve, x->n_reserve, x->release, x->n_release);
    return 0;
}

// Of the hash before and the change.
static int hash_chain(const struct topology *t, const char *text, size_t n,
                      uint8_t out[SHA256_BYTES])
{
    AUTO_BUF struct buf chain;
    buf_init(&chain, 0);
    buf_add(&chain, t->content_hash, SHA256_BYTES);
    buf_add(&chain, text, n);
    if (chain.err)
        return chain.err;
    sha256(chain.p, chain.n, out);
    return 0;
}

static int publishable(const struct touched *x, const char *text, size_t n, struct topology **out)
{
    struct topology *next = topology_successor(x->t);
    if (!next)
        return ERR_NOMEM;
    int rc = fill(next, x);
    if (!rc)
        rc = hash_chain(x->t, text, n, next->content_hash);
    if (rc) {
        snapshot_unref(next);
        return rc;
    }
    next->n_registries = catalogue_count(next->catalogue);
    next->version = x->change->version;
    assert(next->version == x->t->version + 1); // invariant 2
    *out = next;
    return 0;
}

static int gather_and_judge(struct touched *x)
{
    touched_gather(x);
    if (!x->ctx->nomem)
        touched_judge(x);
    if (!x->ctx->nomem)
        touched_reserved(x);
    return option_ctx_result(x->ctx);
}

static int check_version(const struct topology *t, const struct change *change,
                         struct option_ctx *ctx)
{
    if (change->version == t->version + 1 && change->incarnation &&
        change->incarnation != change->version) {
        options_error(ctx, doc_key_line(change->node, "incarnation"),
                      "incarnation %llu: what this change creates has its version, %llu",
                      (unsigned long long)change->incarnation, (unsigned long long)change->version);
        return ERR_INVAL;
    }
    if (change->version == t->version + 1)
        return 0;
    if (change->version <= t->version)
        return ERR_EXISTS;
    options_error(ctx, doc_key_line(change->node, "version"),
                  "version %llu does not follow %llu, which is in force: version %llu is missing",
                  (unsigned long long)change->version, (unsigned long long)t->version,
                  (unsigned long long)t->version + 1);
    return ERR_CONFLICT;
}

static bool touches_private(const struct change *change)
{
    return change->n_private_endpoints || change->n_remove_private_endpoints;
}

static int apply(struct changer *c, struct touched *x, const char *text, size_t n,
                 struct topology **out)
{
    bool private_too = touches_private(x->change);
    bool was_right = index_is_of(c, x->t);
    if (private_too) {
        int rc = index_for(c, x->t);
        if (rc)
            return rc;
        x->index = c->index;
    }
    int rc = gather_and_judge(x);
    if (!rc)
        rc = publishable(x, text, n, out);
    touched_done(x);
    if (rc && private_too) {
        index_drop(c); // gathering and judging have altered it
        return rc;
    }
    if (rc)
        return rc;
    if (private_too)
        c->n_uses++;
    if (private_too || was_right)
        memcpy(c->index_of, (*out)->content_hash, SHA256_BYTES); // invariant 1
    return 0;
}

static int64_t time_of(const struct changer *c, const struct change *change)
{
    if (c->at_ms)
        return c->at_ms / 1000;
    int64_t at;
    if (change->time && !clock_parse_s(change->time, &at))
        return at;
    return clock_wall_ms() / 1000;
}

static int read_and_apply(struct changer *c, struct touched *x, struct change *change,
                          const char *text, size_t n, int first_line, struct topology **out)
{
    struct option_ctx *ctx = x->ctx;
    int rc = change_read(ctx, text, n, first_line, change);
    if (rc)
        return rc;
    if (ctx->n_errors)
        return ERR_INVAL;
    rc = check_version(x->t, change, ctx);
    if (rc)
        return rc;
    x->time_is_common = c->at_ms || change->time;
    x->now_s = time_of(c, change);
    x->ctx->now_s = x->now_s;
    rc = apply(c, x, text, n, out);
    // a change is early when nothing but time is wrong with it
    if (rc == ERR_INVAL && x->n_early && x->n_early == ctx->n_errors)
        return ERR_BUSY;
    return rc;
}

int changer_apply(struct changer *c, const struct topology *t, const char *text, size_t n,
                  const char *source, int first_line, struct diag *diag, struct topology **out)
{
    struct arena tmp;
    struct change change = {0};
    arena_init(&tmp, 0);
    struct option_ctx ctx = {.source = source, .diag = diag, .arena = &tmp};
    struct touched x = {.ctx = &ctx, .change = &change, .t = t};
    int rc = read_and_apply(c, &x, &change, text, n, first_line, out);
    arena_done(&tmp);
    if (rc == ERR_NOMEM)
        diag_add(diag, source, first_line, "out of memory while reading a change");
    return rc;
}
