// SPDX-License-Identifier: Apache-2.0
// One change on a topology; see changes.h. The registries that it touches are gathered in full,
// judged by the same functions as those of a document, and put into a successor. Files of changes
// are in changes_file.c.
#include "control/changes.h"

#include "base/bytes.h"
#include "base/clock.h"
#include "base/digest.h"
#include "base/err.h"
#include "base/mem.h"
#include "config/catalogue.h"
#include "config/moves.h"
#include "config/private_index.h"
#include "config/topology_priv.h"

#include <string.h>

struct changer {
    // NULL: not made, or not known to be right
    struct private_index *index;
    // content hash of the topology that it is right for
    uint8_t index_of[SHA256_BYTES];
    size_t n_uses;
};

// so far may clocks be apart: a change that comes before its time by no more waits
#define EARLY_MAX_S 60
#define INDEX_USES 10000 // then it is made anew: what it gave up lies in its arena

struct touched {
    struct topology_build b;
    struct arena *a;
    const struct spec_change *s;
    const struct topology *t;
    // NULL: no private endpoint is touched
    struct private_index *index;
    // of `all`: struct registry
    struct htab *names;
    // registries to remove; private endpoints that go, or are replaced
    struct htab *removed, *gone;
    struct registry *all;
    size_t n, cap;
    // errors that time alone will mend, and soon
    size_t n_early;
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

size_t change_whole(const char *text, size_t n)
{
    for (size_t at = 0; at < n;) {
        const char *end = memchr(text + at, '\n', n - at);
        if (!end)
            return 0;
        size_t line = (size_t)(end - text) - at;
        if ((line == 3 || (line == 4 && text[at + 3] == '\r')) && !memcmp(text + at, "...", 3))
            return at + line + 1;
        at += line + 1;
    }
    return 0;
}

static void *put_name(struct touched *x, struct htab *h, const char *name, void *value)
{
    void *old = htab_get(h, name, strlen(name));
    if (!old && htab_put(h, name, strlen(name), value))
        x->b.ctx->nomem = true;
    return old;
}

// ---- gathering ----

static void remember(struct touched *x, const struct registry *r)
{
    if (x->n == x->cap) { // more than rows can name: never
        x->b.ctx->nomem = true;
        return;
    }
    x->all[x->n] = *r;
    put_name(x, x->names, r->name, &x->all[x->n++]);
}

// A registry that is there already, as it is.
static struct registry *touch(struct touched *x, const char *name)
{
    struct registry *known = htab_get(x->names, name, strlen(name)), r;
    const struct catalogue_registry *rec = NULL;
    if (!known)
        rec = catalogue_find_name(x->t->catalogue, name);
    struct registry_room *room = NULL;
    if (rec)
        room = arena_alloc(x->a, sizeof *room);
    if (known || !rec)
        return known;
    if (!room) {
        x->b.ctx->nomem = true;
        return NULL;
    }
    catalogue_expand(rec, room, &r);
    remember(x, &r);
    return htab_get(x->names, name, strlen(name));
}

// The rows; what is there under their names keeps its private endpoints.
static void gather_rows(struct touched *x)
{
    topology_build_registries(&x->b);
    for (size_t i = 0; i < x->b.n_registries && !x->b.ctx->nomem; i++) {
        struct registry *r = &x->b.registries[i];
        const struct catalogue_registry *old = catalogue_find_name(x->t->catalogue, r->name);
        const struct private_endpoint *const *list;
        size_t n = 0;
        if (old)
            n = catalogue_private_endpoints(x->t->catalogue, old, &list);
        if (n)
            r->private_endpoints = list;
        r->n_private_endpoints = n;
        remember(x, r);
    }
}

static void gather_removed(struct touched *x)
{
    for (size_t i = 0; i < x->s->n_remove && !x->b.ctx->nomem; i++) {
        const char *name = x->s->remove[i];
        int line = doc_item_line(x->s->node, "remove", i);
        if (!name)
            continue;
        if (!catalogue_find_name(x->t->catalogue, name))
            options_error(x->b.ctx, line, "remove: there is no registry %.80s", name);
        else if (htab_get(x->names, name, strlen(name)))
            options_error(x->b.ctx, line, "remove: registry %s is given under registries too",
                          name);
        else if (put_name(x, x->removed, name, (void *)name))
            options_error(x->b.ctx, line, "remove: registry %s is given twice", name);
    }
}

// The private endpoints that go: those named, and those that a row replaces.
static void gather_gone(struct touched *x)
{
    const struct spec_change *s = x->s;
    for (size_t i = 0; i < s->n_remove_private_endpoints && !x->b.ctx->nomem; i++) {
        const char *name = s->remove_private_endpoints[i];
        int line = doc_item_line(s->node, "remove_private_endpoints", i);
        const struct private_owner *o = NULL;
        if (name)
            o = private_index_name(x->index, name);
        if (name && !o)
            options_error(x->b.ctx, line,
                          "remove_private_endpoints: there is no private endpoint %.80s", name);
        else if (name && put_name(x, x->gone, name, (void *)name))
            options_error(x->b.ctx, line,
                          "remove_private_endpoints: private endpoint %s is given twice", name);
        else if (name && !htab_get(x->removed, o->registry, strlen(o->registry)))
            touch(x, o->registry);
    }
    for (size_t i = 0; i < s->n_private_endpoints && !x->b.ctx->nomem; i++) {
        const struct spec_private *p = &s->private_endpoints[i];
        const struct private_owner *o = NULL;
        if (p->name)
            o = private_index_name(x->index, p->name);
        if (o && !htab_get(x->gone, p->name, strlen(p->name)))
            put_name(x, x->gone, p->name, (void *)p->name);
        if (o && !htab_get(x->removed, o->registry, strlen(o->registry)))
            touch(x, o->registry);
        if (p->registry && !htab_get(x->removed, p->registry, strlen(p->registry)))
            touch(x, p->registry); // unknown: said by topology_build_private
    }
}

// Takes what goes out of a list and out of the index. Returns how many stay.
static size_t drop_gone(struct touched *x, const char *registry,
                        const struct private_endpoint *const *list, size_t n,
                        const struct private_endpoint **out)
{
    size_t kept = 0;
    for (size_t i = 0; i < n; i++) {
        if (!htab_get(x->gone, list[i]->name, strlen(list[i]->name)))
            out[kept++] = list[i];
        else if (x->index)
            private_index_remove(x->index, registry, list[i]);
    }
    return kept;
}

static const struct private_endpoint **room_for(struct touched *x, size_t n)
{
    const struct private_endpoint **list = arena_array(x->a, n + 1, sizeof *list);
    if (!list)
        x->b.ctx->nomem = true;
    return list;
}

static void take_away(struct touched *x)
{
    for (size_t i = 0; i < x->n; i++) {
        struct registry *r = &x->all[i];
        const struct private_endpoint **kept = NULL;
        if (r->n_private_endpoints)
            kept = room_for(x, r->n_private_endpoints);
        if (!kept)
            continue;
        r->n_private_endpoints =
            drop_gone(x, r->name, r->private_endpoints, r->n_private_endpoints, kept);
        r->private_endpoints = kept;
    }
    for (size_t i = 0; i < x->s->n_remove; i++) {
        const struct catalogue_registry *r = NULL;
        if (x->s->remove[i])
            r = catalogue_find_name(x->t->catalogue, x->s->remove[i]);
        const struct private_endpoint *const *list;
        size_t n = 0;
        if (r)
            n = catalogue_private_endpoints(x->t->catalogue, r, &list);
        const struct private_endpoint **kept = NULL;
        if (n)
            kept = room_for(x, n);
        if (kept && drop_gone(x, x->s->remove[i], list, n, kept))
            options_error(x->b.ctx, doc_item_line(x->s->node, "remove", i),
                          "remove: private endpoint %s leads to registry %s; remove it too",
                          kept[0]->name, x->s->remove[i]);
    }
}

// ---- judging ----

// A private endpoint that stays must still fit its registry's new row.
static void judge_kept(struct touched *x, const struct spec_registry *row, const struct registry *r)
{
    for (size_t i = 0; i < r->n_private_endpoints; i++) {
        const struct private_endpoint *pe = r->private_endpoints[i];
        for (size_t k = 0; k < pe->n_members; k++) {
            const struct private_member *m = &pe->members[k];
            if (m->kind == NAME_GLOBAL)
                continue;
            if (!(r->replica_set >> m->region & 1))
                options_error(x->b.ctx, doc_key_line(row->node, "replicas"),
                              "registry %s: private endpoint %s has an address for region %s, "
                              "where there would be no "
                              "replica any more",
                              r->name, pe->name, x->t->regions[m->region].name);
            else if (m->kind == NAME_REGIONAL && !r->regional_endpoints)
                options_error(x->b.ctx, doc_key_line(row->node, "regional_endpoints"),
                              "registry %s: private endpoint %s has an address for region %s, but "
                              "regional endpoints "
                              "would be off",
                              r->name, pe->name, x->t->regions[m->region].name);
        }
    }
}

// Its row may not move it to another stamp just so.
static void judge_moves(struct touched *x, const struct spec_registry *row,
                        const struct registry *r)
{
    const struct catalogue_registry *rec = catalogue_find_name(x->t->catalogue, r->name);
    struct registry_room room;
    struct registry old;
    struct move_refusal why;
    int64_t now_s = clock_wall_ms() / 1000;
    if (!rec)
        return;
    catalogue_expand(rec, &room, &old);
    if (moves_registry_may_follow(x->t, &old, x->t, r, now_s, &why))
        return;
    options_error(x->b.ctx, moves_line(row->node, &why), "%s", why.why);
    x->n_early += why.again_s && why.again_s - now_s <= EARLY_MAX_S;
}

static int by_label(const void *a, const void *b)
{
    return strcmp(((const struct registry *)a)->label, ((const struct registry *)b)->label);
}

static void judge(struct touched *x)
{
    for (size_t i = 0; i < x->s->n_registries; i++) {
        const struct spec_registry *row = &x->s->registries[i];
        const struct registry *r = NULL;
        if (row->name)
            r = htab_get(x->names, row->name, strlen(row->name));
        if (!r)
            continue;
        judge_kept(x, row, r);
        judge_moves(x, row, r);
    }
    if (x->n)
        qsort(x->all, x->n, sizeof *x->all, by_label);
    x->b.registries = x->all;
    x->b.n_registries = x->n;
    if (x->s->n_private_endpoints)
        topology_build_private(&x->b);
}

// ---- applying ----

static int publishable(struct touched *x, const char *text, size_t n, struct topology **out)
{
    struct topology *next = topology_successor(x->t);
    AUTO_BUF struct buf chain;
    int rc = ERR_NOMEM;
    if (next)
        rc = 0;
    for (size_t i = 0; !rc && i < x->s->n_remove; i++)
        rc = catalogue_remove(next->catalogue, x->s->remove[i]);
    for (size_t i = 0; !rc && i < x->n; i++)
        rc = catalogue_put(next->catalogue, &x->all[i]);
    buf_init(&chain, 0);
    buf_add(&chain, x->t->content_hash, SHA256_BYTES);
    buf_add(&chain, text, n);
    if (!rc)
        rc = chain.err;
    if (rc) {
        snapshot_unref(next);
        return rc;
    }
    sha256(chain.p, chain.n, next->content_hash);
    next->n_registries = catalogue_count(next->catalogue);
    next->version = x->s->version;
    *out = next;
    return 0;
}

static int gather_and_judge(struct touched *x)
{
    x->cap = x->s->n_registries + 2 * x->s->n_private_endpoints + x->s->n_remove_private_endpoints;
    x->all = arena_array(x->a, x->cap + 1, sizeof *x->all);
    x->names = htab_new();
    x->removed = htab_new();
    x->gone = htab_new();
    if (!x->all || !x->names || !x->removed || !x->gone)
        return ERR_NOMEM;
    gather_rows(x);
    gather_removed(x);
    if (x->index)
        gather_gone(x);
    take_away(x);
    if (!x->b.ctx->nomem)
        judge(x);
    return option_ctx_result(x->b.ctx);
}

static int check_version(const struct topology *t, const struct spec_change *s,
                         struct option_ctx *ctx)
{
    if (ctx->n_errors || s->version == t->version + 1)
        return 0;
    if (s->version <= t->version)
        return ERR_EXISTS;
    options_error(ctx, doc_key_line(s->node, "version"),
                  "version %llu does not follow %llu, which is in force: version %llu is missing",
                  (unsigned long long)s->version, (unsigned long long)t->version,
                  (unsigned long long)t->version + 1);
    return ERR_CONFLICT;
}

static bool is_of(const struct changer *c, const struct topology *t)
{
    return !memcmp(c->index_of, t->content_hash, SHA256_BYTES);
}

// The index of what private endpoints have in use, as of t. It is the changer's, but only handed
// out.
static int index_for(struct changer *c, const struct topology *t)
{
    if (c->index && is_of(c, t) && c->n_uses < INDEX_USES)
        return 0;
    private_index_free(c->index);
    c->index = private_index_new();
    c->n_uses = 0;
    int rc = ERR_NOMEM;
    if (c->index)
        rc = private_index_add_all(c->index, t);
    if (rc) {
        private_index_free(c->index);
        c->index = NULL;
    }
    return rc;
}

static int apply(struct changer *c, struct touched *x, const struct spec_change *s,
                 const char *text, size_t n, struct topology **out)
{
    struct spec_topology spec = {.node = s->node,
                                 .registries = s->registries,
                                 .n_registries = s->n_registries,
                                 .private_endpoints = s->private_endpoints,
                                 .n_private_endpoints = s->n_private_endpoints};
    bool private_too = s->n_private_endpoints || s->n_remove_private_endpoints;
    int rc = 0;
    if (private_too)
        rc = index_for(c, x->t);
    if (rc)
        return rc;
    x->b.s = &spec;
    x->b.index = x->index = private_too ? c->index : NULL;
    rc = gather_and_judge(x);
    if (!rc)
        rc = publishable(x, text, n, out);
    if (rc && private_too) { // it was changed on the way
        private_index_free(c->index);
        c->index = NULL;
    }
    if (!rc && c->index && (private_too || is_of(c, x->t))) {
        memcpy(c->index_of, (*out)->content_hash, SHA256_BYTES);
        c->n_uses += private_too;
    }
    htab_free(x->names);
    htab_free(x->removed);
    htab_free(x->gone);
    x->b.s = NULL;
    return rc;
}

int changer_apply(struct changer *c, const struct topology *t, const char *text, size_t n,
                  const char *source, int first_line, struct diag *diag, struct topology **out)
{
    struct arena tmp;
    struct doc_node *root;
    struct spec_change s = {0};
    if (n > CHANGE_MAX_BYTES) {
        diag_add(diag, source, first_line, "a change of more than %u bytes", CHANGE_MAX_BYTES);
        return ERR_INVAL;
    }
    arena_init(&tmp, 0);
    struct option_ctx ctx = {.source = source, .diag = diag, .arena = &tmp};
    // only read
    struct touched x = {.b = {.ctx = &ctx, .t = (struct topology *)t}, .a = &tmp, .s = &s, .t = t};
    int rc = doc_parse_part(text, n, source, &(struct doc_lines){.first = first_line}, &tmp, diag,
                            &root);
    if (!rc) {
        options_apply(&ctx, &spec_change_set, root, "", &s);
        if (ctx.nomem)
            rc = ERR_NOMEM;
        else
            rc = check_version(t, &s, &ctx);
    }
    if (!rc && ctx.n_errors)
        rc = ERR_INVAL;
    if (!rc)
        rc = apply(c, &x, &s, text, n, out);
    if (rc == ERR_INVAL && x.n_early && x.n_early == ctx.n_errors)
        rc = ERR_BUSY;
    arena_done(&tmp);
    if (rc == ERR_NOMEM)
        diag_add(diag, source, first_line, "out of memory while reading a change");
    return rc;
}

const struct option_set *change_options(void)
{
    return &spec_change_set;
}
