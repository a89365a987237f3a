// SPDX-License-Identifier: Apache-2.0
// A new frame around the registries in force; see frame.h.
#include "control/frame.h"

#include "base/digest.h"
#include "base/err.h"
#include "base/mem.h"
#include "config/catalogue.h"
#include "config/private_index.h"
#include "config/reserved.h"
#include "config/topology_make.h"
#include "control/compiled_priv.h"

#include <string.h>

#define VIEWS_MAX 1024 // config/topology_rows.c

int frame_text(const struct topology *t, struct buf *out)
{
    if (!t->frame->text)
        return ERR_UNSUPPORTED;
    buf_add(out, t->frame->text, t->frame->text_n);
    return out->err;
}

// ---- where things are in the new frame ----

struct names_map {
    // by the old index; -1: it is gone
    int region[TOPOLOGY_MAX_REGIONS];
    int stamp[TOPOLOGY_MAX_REGIONS][256];
    int view[VIEWS_MAX];
};

static int find_view(const struct topology *t, const char *name)
{
    for (size_t i = 0; i < t->n_views; i++)
        if (!strcmp(t->views[i].name, name))
            return (int)i;
    return -1;
}

static void map_region(struct names_map *m, const struct region *was, const struct region *now)
{
    m->region[was->index] = now ? now->index : -1;
    for (size_t i = 0; i < was->n_stamps; i++) {
        const struct stamp *s = NULL;
        if (now)
            s = region_stamp(now, was->stamps[i].name);
        m->stamp[was->index][i] = s ? s->index : -1;
    }
}

static struct names_map *names_map_new(const struct topology *was, const struct topology *now)
{
    struct names_map *m = mem_alloc(sizeof *m);
    if (!m)
        return NULL;
    memset(m, 0xff, sizeof *m); // all -1
    for (size_t i = 0; i < was->n_regions; i++)
        map_region(m, &was->regions[i], topology_region(now, was->regions[i].name));
    for (size_t i = 0; i < was->n_views && i < VIEWS_MAX; i++)
        m->view[i] = find_view(now, was->views[i].name);
    return m;
}

// ---- one registry ----

struct moving { // what hands registries over, one by one
    const struct topology *was;
    const struct names_map *map;
    // sorted by label
    const struct catalogue_registry **all;
    size_t n, at;
    struct registry_room room;
    struct replica replicas[TOPOLOGY_MAX_REGIONS];
    struct stamp_move moves[TOPOLOGY_MAX_REGIONS];
    uint8_t weights[TOPOLOGY_MAX_REGIONS];
    // of private endpoints; done before each registry that has some
    struct arena scratch;
    // why the registry in hand cannot be handed over
    const char *gone, *what;
    bool nomem;
};

static bool lost(struct moving *x, const char *what, const char *name)
{
    if (!x->gone) {
        x->what = what;
        x->gone = name;
    }
    return false;
}

static int by_region(const void *a, const void *b)
{
    return ((const struct replica *)a)->region - ((const struct replica *)b)->region;
}

static int by_moved_region(const void *a, const void *b)
{
    return ((const struct stamp_move *)a)->region - ((const struct stamp_move *)b)->region;
}

static bool move_replicas(struct moving *x, struct registry *r)
{
    r->replica_set = 0;
    for (size_t i = 0; i < r->n_replicas; i++) {
        struct replica *to = &x->replicas[i];
        const struct region *home = &x->was->regions[r->replicas[i].region];
        int region = x->map->region[home->index];
        int stamp = x->map->stamp[home->index][r->replicas[i].stamp];
        if (region < 0)
            return lost(x, "region", home->name);
        if (stamp < 0)
            return lost(x, "stamp", home->stamps[r->replicas[i].stamp].name);
        *to = r->replicas[i];
        to->region = (uint8_t)region;
        to->stamp = (uint8_t)stamp;
        r->replica_set |= (region_set)1 << region;
    }
    qsort(x->replicas, r->n_replicas, sizeof *x->replicas, by_region);
    r->replicas = x->replicas;
    return true;
}

static void move_moves(struct moving *x, struct registry *r)
{
    for (size_t i = 0; i < r->n_moves; i++) {
        const struct stamp_move *from = &r->moves[i];
        int was = -1;
        if (from->was != STAMP_GONE)
            was = x->map->stamp[from->region][from->was];
        x->moves[i] = *from;
        x->moves[i].region = (uint8_t)x->map->region[from->region];
        x->moves[i].was = was < 0 ? STAMP_GONE : (uint8_t)was;
    }
    if (r->n_moves)
        qsort(x->moves, r->n_moves, sizeof *x->moves, by_moved_region);
    r->moves = x->moves;
}

static void move_weights(struct moving *x, struct registry *r)
{
    if (!r->weights)
        return;
    memset(x->weights, 100, sizeof x->weights);
    for (size_t i = 0; i < x->was->n_regions; i++)
        if (x->map->region[i] >= 0)
            x->weights[x->map->region[i]] = r->weights[i];
    r->weights = x->weights;
}

static bool move_members(struct moving *x, const struct private_endpoint *from,
                         struct private_endpoint *to)
{
    struct private_member *m = arena_array(&x->scratch, from->n_members, sizeof *m);
    if (!m) {
        x->nomem = true;
        return false;
    }
    for (size_t i = 0; i < from->n_members; i++) {
        m[i] = from->members[i];
        if (m[i].region == REGION_NONE)
            continue;
        int region = x->map->region[m[i].region];
        if (region < 0)
            return lost(x, "region", x->was->regions[m[i].region].name);
        m[i].region = (uint8_t)region;
    }
    to->members = m;
    return true;
}

static bool move_private(struct moving *x, struct registry *r)
{
    if (!r->n_private_endpoints)
        return true;
    arena_done(&x->scratch);
    struct private_endpoint *all = arena_array(&x->scratch, r->n_private_endpoints, sizeof *all);
    const struct private_endpoint **list =
        arena_array(&x->scratch, r->n_private_endpoints, sizeof *list);
    if (!all || !list) {
        x->nomem = true;
        return false;
    }
    for (size_t i = 0; i < r->n_private_endpoints; i++) {
        const struct private_endpoint *from = r->private_endpoints[i];
        all[i] = *from;
        list[i] = &all[i];
        if (x->map->view[from->view] < 0)
            return lost(x, "view", x->was->views[from->view].name);
        all[i].view = (uint32_t)x->map->view[from->view];
        if (!move_members(x, from, &all[i]))
            return false;
    }
    r->private_endpoints = list;
    return true;
}

static bool move_one(struct moving *x, struct registry *r)
{
    catalogue_expand(x->all[x->at], &x->room, r);
    if (!move_replicas(x, r))
        return false;
    move_moves(x, r);
    move_weights(x, r);
    return move_private(x, r);
}

static void moving_rewind(void *ctx)
{
    ((struct moving *)ctx)->at = 0;
}

static bool moving_next(void *ctx, struct registry *out, struct catalogue_extra **out_extra)
{
    struct moving *x = ctx;
    if (x->nomem || x->at == x->n || !move_one(x, out))
        return false;
    x->at++;
    *out_extra = NULL;
    return true;
}

// ---- all of them ----

static int by_label(const void *a, const void *b)
{
    const struct catalogue_registry *x = *(const struct catalogue_registry *const *)a,
                                    *y = *(const struct catalogue_registry *const *)b;
    size_t n = x->label_n < y->label_n ? x->label_n : y->label_n;
    int c = memcmp(catalogue_label(x), catalogue_label(y), n);
    if (c)
        return c;
    return (int)x->label_n - (int)y->label_n;
}

static int moving_init(struct moving *x, const struct topology *was, const struct names_map *map)
{
    struct catalogue_iter it = {0};
    const struct catalogue_registry *r;
    *x = (struct moving){.was = was, .map = map};
    arena_init(&x->scratch, 0);
    x->all = mem_zalloc_array(was->n_registries + 1, sizeof *x->all);
    if (!x->all)
        return ERR_NOMEM;
    while ((r = catalogue_next(was->catalogue, &it)))
        x->all[x->n++] = r;
    qsort(x->all, x->n, sizeof *x->all, by_label);
    return 0;
}

static void moving_done(struct moving *x)
{
    arena_done(&x->scratch);
    free(x->all);
}

static int judge_all(struct moving *x, const struct topology *now, const char *source,
                     struct diag *diag)
{
    struct registry r;
    struct compiled_judge j = {
        .t = now, .source = source, .what = "the registries in force", .diag = diag};
    j.index = private_index_new();
    int rc = j.index ? 0 : ERR_NOMEM;
    for (x->at = 0; !rc && x->at < x->n; x->at++) {
        j.number = x->at + 1;
        if (move_one(x, &r))
            rc = compiled_judge_registry(&j, &r);
        else if (x->nomem)
            rc = ERR_NOMEM;
        else
            rc = ERR_INVAL;
        if (x->gone)
            diag_add(diag, source, 0, "registry %s refers to %s %s, which is not there any more",
                     r.name, x->what, x->gone);
    }
    private_index_free(j.index);
    if (rc == ERR_CORRUPT)
        return ERR_INVAL;
    return rc;
}

static int hash_chain(const struct topology *was, struct bytes text, struct topology *now)
{
    AUTO_BUF struct buf chain;
    buf_init(&chain, 0);
    buf_add(&chain, was->content_hash, SHA256_BYTES);
    buf_add(&chain, text.p, text.n);
    if (chain.err)
        return chain.err;
    sha256(chain.p, chain.n, now->content_hash);
    sha256(text.p, text.n, now->frame->base_hash);
    now->frame->base_version = now->version;
    return 0;
}

static int fill(const struct topology *was, struct topology *now, const char *source,
                enum topology_form form, struct diag *diag)
{
    struct moving x;
    AUTO_FREE struct names_map *map = names_map_new(was, now);
    if (!map)
        return ERR_NOMEM;
    int rc = moving_init(&x, was, map);
    if (!rc)
        rc = judge_all(&x, now, source, diag);
    const struct catalogue_source src = {&x, moving_rewind, moving_next};
    if (!rc)
        rc = topology_finish(now, &src, x.n, form);
    if (!rc && x.nomem)
        rc = ERR_NOMEM;
    moving_done(&x);
    return rc;
}

int frame_replace(const struct topology *t, struct bytes text, const char *source,
                  enum topology_form form, struct diag *diag, struct topology **out)
{
    struct topology *now = NULL;
    if (text.n > FRAME_MAX_BYTES) {
        diag_add(diag, source, 0, "larger than %u bytes", FRAME_MAX_BYTES);
        return ERR_TOOBIG;
    }
    int rc = topology_parse_frame((const char *)text.p, text.n, source,
                                  &(struct doc_lines){.first = 1}, diag, &now);
    if (rc == ERR_CORRUPT) {
        diag_add(diag, source, 0, "it has registries; they are changed by changes of registries");
        rc = ERR_INVAL;
    }
    if (!rc)
        rc = topology_set_source(now, t->source);
    if (!rc)
        topology_take_reserved(now, t);
    if (!rc)
        rc = fill(t, now, source, form, diag);
    if (!rc)
        rc = hash_chain(t, text, now);
    if (rc)
        snapshot_unref(now);
    else
        *out = now;
    return rc;
}
