// SPDX-License-Identifier: Apache-2.0
// Registries in the compiled form; see compiled_priv.h. They are read three times from the same
// bytes: once to judge them, then twice to fill the buckets. What is judged here is what
// topology_build.c and topology_network.c judge in a document.
#include "control/compiled_priv.h"

#include "base/err.h"
#include "base/mem.h"
#include "config/private_index.h"
#include "config/registry_spec.h"
#include "config/topology_make.h"

#include <stdarg.h>
#include <string.h>

#define OWN_FLAGS                                                                                \
    (CATALOGUE_REGIONAL | CATALOGUE_OWN_DATA | CATALOGUE_ANONYMOUS | CATALOGUE_ACCESS_DISABLED | \
     CATALOGUE_ACCESS_CIDRS | CATALOGUE_SETS | CATALOGUE_EXTRA | CATALOGUE_MOVES)
#define SCRATCH_BYTES (64u << 10)
#define MEMBER_BYTES 18

// ---- writing ----

static void put_endpoint(struct buf *b, const struct private_endpoint *pe)
{
    compiled_put(b, strlen(pe->name), 1);
    buf_str(b, pe->name);
    compiled_put(b, pe->view, 4);
    compiled_put(b, pe->n_members, 2);
    for (size_t i = 0; i < pe->n_members; i++) {
        buf_u8(b, (uint8_t)pe->members[i].kind);
        buf_u8(b, pe->members[i].region);
        buf_add(b, pe->members[i].ip.b, 16);
    }
}

static void put_extra(struct buf *b, const struct registry *r)
{
    buf_u8(b, r->weights != NULL);
    if (r->weights)
        buf_add(b, r->weights, TOPOLOGY_MAX_REGIONS);
    compiled_put(b, r->n_public_cidrs, 2);
    for (size_t i = 0; i < r->n_public_cidrs; i++) {
        buf_add(b, r->public_cidrs[i].ip.b, 16);
        buf_u8(b, r->public_cidrs[i].bits);
    }
    compiled_put(b, r->n_private_endpoints, 2);
    for (size_t i = 0; i < r->n_private_endpoints; i++)
        put_endpoint(b, r->private_endpoints[i]);
}

static void put_moves(struct buf *b, const struct registry *r)
{
    buf_u8(b, r->n_moves);
    for (size_t i = 0; i < r->n_moves; i++) {
        buf_u8(b, r->moves[i].region);
        buf_u8(b, r->moves[i].was);
        compiled_put(b, (uint64_t)r->moves[i].since_s, 8);
    }
}

void compiled_put_registry(struct buf *b, const struct catalogue *c,
                           const struct catalogue_registry *r)
{
    struct registry_room room;
    struct registry full;
    buf_u8(b, r->label_n);
    buf_add(b, catalogue_label(r), r->label_n);
    compiled_put(b, r->replicas, 8);
    compiled_put(b, r->flags & OWN_FLAGS, 2);
    buf_add(b, r->bytes, (size_t)__builtin_popcountll(r->replicas));
    catalogue_expand(r, &room, &full);
    if (r->flags & CATALOGUE_SETS) {
        region_set drained = 0;
        for (size_t i = 0; i < full.n_replicas; i++)
            drained |= (region_set)full.replicas[i].drained << full.replicas[i].region;
        compiled_put(b, catalogue_on(c, r), 8);
        compiled_put(b, drained, 8);
    }
    if (r->flags & CATALOGUE_EXTRA)
        put_extra(b, &full);
    if (r->flags & CATALOGUE_MOVES)
        put_moves(b, &full);
}

// ---- reading one ----

struct reading {
    struct cursor start, c;
    uint64_t n, at;
    // of what `one` points to
    struct arena scratch;
    struct registry one;
    struct replica replicas[TOPOLOGY_MAX_REGIONS];
    char label[HOSTNAME_LABEL_SIZE], name[HOSTNAME_LABEL_SIZE];
    bool nomem;
    // While judging:
    const struct topology *t;
    const char *source;
    struct diag *diag;
    struct private_index *index;
    char before[HOSTNAME_LABEL_SIZE];
};

static void *scratch(struct reading *r, size_t n, size_t size)
{
    void *p = arena_array(&r->scratch, n ? n : 1, size);
    if (!p)
        r->nomem = r->c.failed = true;
    return p;
}

static void take_label(struct reading *r, struct registry *out)
{
    size_t n = cursor_u8(&r->c);
    struct bytes b = cursor_take(&r->c, n);
    if (b.n != n || n >= sizeof r->label || memchr(b.p, 0, n)) {
        r->c.failed = true;
        return;
    }
    memcpy(r->label, b.p, n);
    r->label[n] = 0;
    size_t name_n = catalogue_name_bytes(r->label, n);
    out->label = out->name = r->label;
    out->hash = "";
    if (name_n == n)
        return;
    memcpy(r->name, r->label, name_n);
    r->name[name_n] = 0;
    out->name = r->name;
    out->hash = r->label + name_n + 1;
}

static void take_cidrs(struct reading *r, struct registry *out)
{
    size_t n = cursor_u16(&r->c);
    if (n > cursor_left(&r->c) / 17) {
        r->c.failed = true;
        return;
    }
    struct cidr *list = NULL;
    if (n)
        list = scratch(r, n, sizeof *list);
    for (size_t i = 0; list && i < n; i++) {
        struct bytes ip = cursor_take(&r->c, 16);
        if (ip.n == 16)
            memcpy(list[i].ip.b, ip.p, 16);
        list[i].bits = cursor_u8(&r->c);
    }
    out->public_cidrs = list;
    if (list)
        out->n_public_cidrs = (uint32_t)n;
    else
        out->n_public_cidrs = 0;
}

static void take_endpoint(struct reading *r, struct private_endpoint *pe)
{
    size_t n_name = cursor_u8(&r->c);
    struct bytes name = cursor_take(&r->c, n_name);
    char *text = scratch(r, n_name + 1, 1);
    if (text && name.n == n_name && n_name)
        memcpy(text, name.p, n_name);
    pe->name = text;
    pe->view = cursor_u32(&r->c);
    size_t n = cursor_u16(&r->c);
    if (n > cursor_left(&r->c) / MEMBER_BYTES) {
        r->c.failed = true;
        return;
    }
    struct private_member *m = scratch(r, n, sizeof *m);
    for (size_t i = 0; m && i < n; i++) {
        m[i].kind = (enum name_kind)cursor_u8(&r->c);
        m[i].region = cursor_u8(&r->c);
        struct bytes ip = cursor_take(&r->c, 16);
        if (ip.n == 16)
            memcpy(m[i].ip.b, ip.p, 16);
    }
    pe->members = m;
    pe->n_members = n;
}

static void take_extra(struct reading *r, struct registry *out)
{
    uint8_t weighed = cursor_u8(&r->c);
    if (weighed > 1)
        r->c.failed = true;
    struct bytes w;
    if (weighed == 1)
        w = cursor_take(&r->c, TOPOLOGY_MAX_REGIONS);
    else
        w = (struct bytes){0};
    if (w.n)
        out->weights = w.p;
    else
        out->weights = NULL;
    take_cidrs(r, out);
    size_t n = cursor_u16(&r->c);
    if (n > cursor_left(&r->c) || r->c.failed) {
        r->c.failed = true;
        return;
    }
    struct private_endpoint *all = scratch(r, n, sizeof *all);
    const struct private_endpoint **list = scratch(r, n, sizeof *list);
    for (size_t i = 0; all && list && i < n && !r->c.failed; i++) {
        take_endpoint(r, &all[i]);
        list[i] = &all[i];
    }
    out->private_endpoints = list;
    out->n_private_endpoints = n;
}

static void take_moves(struct reading *r, struct registry *out)
{
    size_t n = cursor_u8(&r->c);
    struct stamp_move *list = scratch(r, n, sizeof *list);
    if (!n || n > out->n_replicas)
        r->c.failed = true;
    for (size_t i = 0; list && i < n && !r->c.failed; i++) {
        list[i].region = cursor_u8(&r->c);
        list[i].was = cursor_u8(&r->c);
        list[i].since_s = (int64_t)cursor_u64(&r->c);
    }
    out->moves = list;
    out->n_moves = (uint8_t)n;
}

// The next registry, into r->one. What it holds is only known to lie within the file.
static bool take_one(struct reading *r)
{
    struct registry *out = &r->one;
    if (r->scratch.used_bytes > SCRATCH_BYTES)
        arena_done(&r->scratch);
    *out = (struct registry){0};
    take_label(r, out);
    out->replica_set = cursor_u64(&r->c);
    unsigned flags = cursor_u16(&r->c);
    size_t n = (size_t)__builtin_popcountll(out->replica_set);
    struct bytes stamps = cursor_take(&r->c, n);
    region_set on;
    if (flags & CATALOGUE_SETS)
        on = cursor_u64(&r->c);
    else
        on = out->replica_set;
    region_set drained = 0;
    if (flags & CATALOGUE_SETS)
        drained = cursor_u64(&r->c);
    if (flags & ~(unsigned)OWN_FLAGS || (on | drained) & ~out->replica_set ||
        (flags & CATALOGUE_ACCESS_DISABLED && flags & CATALOGUE_ACCESS_CIDRS) ||
        (flags & CATALOGUE_MOVES && !(flags & CATALOGUE_EXTRA)))
        r->c.failed = true;
    for (region_set left = stamps.n == n ? out->replica_set : 0; left; left &= left - 1) {
        uint8_t region = (uint8_t)__builtin_ctzll(left);
        r->replicas[out->n_replicas] = (struct replica){region, stamps.p[out->n_replicas],
                                                        on >> region & 1, drained >> region & 1};
        out->n_replicas++;
    }
    out->replicas = r->replicas;
    out->regional_endpoints = flags & CATALOGUE_REGIONAL;
    out->data_endpoints = flags & CATALOGUE_OWN_DATA;
    out->anonymous_pull = flags & CATALOGUE_ANONYMOUS;
    if (flags & CATALOGUE_ACCESS_DISABLED)
        out->public_access = ACCESS_DISABLED;
    else if (flags & CATALOGUE_ACCESS_CIDRS)
        out->public_access = ACCESS_CIDRS;
    else
        out->public_access = ACCESS_ENABLED;
    if (flags & CATALOGUE_EXTRA)
        take_extra(r, out);
    if (flags & CATALOGUE_MOVES && !r->c.failed)
        take_moves(r, out);
    return !r->c.failed;
}

static void reading_rewind(void *ctx)
{
    struct reading *r = ctx;
    r->c = r->start;
    r->at = 0;
}

static bool reading_next(void *ctx, struct registry *out, struct catalogue_extra **out_extra)
{
    struct reading *r = ctx;
    if (r->nomem || r->at == r->n || !take_one(r))
        return false;
    r->at++;
    *out = r->one;
    *out_extra = NULL;
    return true;
}

// ---- judging ----

static bool wrong(struct reading *r, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static bool wrong(struct reading *r, const char *fmt, ...)
{
    char text[256];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    diag_add(r->diag, r->source, 0, "a damaged compiled topology: registry number %llu: %s",
             (unsigned long long)r->at + 1, text);
    return false;
}

static bool judge_names(struct reading *r, const struct registry *x)
{
    size_t n = strlen(x->name);
    if (!hostname_registry_ok(x->name) || (*x->hash && (!hostname_hash_ok(x->hash) || n > 46)))
        return wrong(r, "its name is none");
    size_t before_n = catalogue_name_bytes(r->before, strlen(r->before));
    if (strcmp(r->before, x->label) >= 0 || (before_n == n && !memcmp(r->before, x->name, n)))
        return wrong(r, "%s is given twice, or out of order", x->name);
    memcpy(r->before, r->label, sizeof r->before);
    return true;
}

static bool judge_replicas(struct reading *r, const struct registry *x)
{
    bool any_on = false;
    for (size_t i = 0; i < x->n_replicas; i++) {
        const struct replica *rep = &x->replicas[i];
        if (rep->region >= r->t->n_regions || rep->stamp >= r->t->regions[rep->region].n_stamps)
            return wrong(r, "%s has a replica where there is no region or stamp", x->name);
        any_on |= rep->global_routing;
    }
    if (any_on)
        return true;
    return wrong(r, "%s: global routing is off for every replica", x->name);
}

static bool judge_moves(struct reading *r, const struct registry *x)
{
    for (size_t i = 0; i < x->n_moves; i++) {
        const struct stamp_move *m = &x->moves[i];
        const struct replica *rep = registry_replica(x, m->region);
        if (!rep || (i && m->region <= m[-1].region) || m->was == rep->stamp || m->since_s <= 0 ||
            m->since_s > MOVE_SINCE_MAX_S ||
            (m->was != STAMP_GONE && m->was >= r->t->regions[m->region].n_stamps))
            return wrong(r, "%s: a move to another stamp that cannot be", x->name);
    }
    return true;
}

static bool canonical(const struct cidr *c)
{
    for (unsigned i = c->bits; i < 128; i++)
        if (c->ip.b[i / 8] & 0x80 >> i % 8)
            return false;
    return c->bits <= 128;
}

static bool judge_access(struct reading *r, const struct registry *x)
{
    if ((x->public_access == ACCESS_CIDRS) != (x->n_public_cidrs > 0) || x->n_public_cidrs > 4096)
        return wrong(r, "%s: its networks contradict its public access", x->name);
    for (size_t i = 0; i < x->n_public_cidrs; i++)
        if (!canonical(&x->public_cidrs[i]))
            return wrong(r, "%s: a network has host bits", x->name);
    for (size_t i = 0; x->weights && i < TOPOLOGY_MAX_REGIONS; i++)
        if (x->weights[i] > 100)
            return wrong(r, "%s: a weight above 100", x->name);
    return true;
}

// How many addresses the member has before this one. An address stands once in a member: twice, it
// would be two records that are one.
static size_t addresses_before(const struct private_endpoint *pe, const struct private_member *m,
                               bool *out_same)
{
    size_t n = 0;
    *out_same = false;
    for (const struct private_member *x = pe->members; x < m; x++)
        if (x->kind == m->kind && x->region == m->region) {
            *out_same |= ip_equal(&x->ip, &m->ip);
            n++;
        }
    return n;
}

static bool judge_member(struct reading *r, const struct registry *x,
                         const struct private_endpoint *pe, const struct private_owner *owner,
                         const struct private_member *m)
{
    bool regional = m->kind == NAME_REGIONAL,
         known = m->kind == NAME_GLOBAL || m->kind == NAME_DATA || regional;
    const struct private_owner *first = private_index_address(r->index, pe->view, &m->ip);
    if (!known || (m->kind == NAME_GLOBAL
                       ? m->region != REGION_NONE
                       : m->region >= r->t->n_regions || !(x->replica_set >> m->region & 1)))
        return wrong(r, "%s: private endpoint %s: no such member", x->name, pe->name);
    if (regional && !x->regional_endpoints)
        return wrong(r, "%s: private endpoint %s: regional endpoints are off", x->name, pe->name);
    if (!topology_ip_sensible(&m->ip) || !view_holds(&r->t->views[pe->view], &m->ip))
        return wrong(r, "%s: private endpoint %s: an address that cannot be", x->name, pe->name);
    if (first && first != owner)
        return wrong(r, "%s: private endpoint %s: its address is %s's", x->name, pe->name,
                     first->name);
    bool same;
    if (addresses_before(pe, m, &same) >= PRIVATE_ADDRESSES_MAX)
        return wrong(r, "%s: private endpoint %s: more than %d addresses of one name", x->name,
                     pe->name, PRIVATE_ADDRESSES_MAX);
    if (same)
        return wrong(r, "%s: private endpoint %s: an address is given twice", x->name, pe->name);
    if (!first && private_index_put_address(r->index, owner, pe->view, &m->ip))
        r->nomem = true;
    return !r->nomem;
}

static bool judge_endpoint(struct reading *r, const struct registry *x,
                           const struct private_endpoint *pe)
{
    const struct private_owner *o;
    if (!topology_name_ok(pe->name) || pe->view >= r->t->n_views || !pe->n_members ||
        pe->n_members > PRIVATE_MEMBERS_MAX)
        return wrong(r, "%s: a private endpoint without name, view or address, or with too many",
                     x->name);
    if (private_index_name(r->index, pe->name) || private_index_view(r->index, x->name, pe->view))
        return wrong(r, "%s: private endpoint %s is given twice", x->name, pe->name);
    if (private_index_owner(r->index, &(struct private_owner){pe->name, x->name, 0}, &o) ||
        private_index_put_name(r->index, o) || private_index_put_view(r->index, o, pe->view)) {
        r->nomem = true;
        return false;
    }
    for (size_t i = 0; i < pe->n_members; i++)
        if (!judge_member(r, x, pe, o, &pe->members[i]))
            return false;
    return true;
}

static bool judge(struct reading *r)
{
    const struct registry *x = &r->one;
    if (!judge_names(r, x) || !judge_replicas(r, x) || !judge_moves(r, x) || !judge_access(r, x))
        return false;
    for (size_t i = 0; i < x->n_private_endpoints; i++)
        if (!judge_endpoint(r, x, x->private_endpoints[i]))
            return false;
    return true;
}

static int judge_all(struct reading *r)
{
    for (; r->at < r->n; r->at++) {
        if (!take_one(r) && !r->nomem)
            wrong(r, "ends too early, or has what does not fit together");
        if (r->c.failed || !judge(r)) {
            if (r->nomem)
                return ERR_NOMEM;
            return ERR_CORRUPT;
        }
    }
    if (cursor_left(&r->c)) {
        diag_add(r->diag, r->source, 0,
                 "a damaged compiled topology: %zu bytes after its last registry",
                 cursor_left(&r->c));
        return ERR_CORRUPT;
    }
    return 0;
}

int compiled_take_registries(enum topology_form form, struct cursor *c, struct topology *t,
                             const char *source, struct diag *diag)
{
    struct reading r = {.t = t, .source = source, .diag = diag, .n = cursor_u64(c)};
    if (c->failed || r.n > cursor_left(c)) {
        diag_add(diag, source, 0, "a damaged compiled topology: its registries are missing");
        return ERR_CORRUPT;
    }
    r.start = r.c = *c;
    arena_init(&r.scratch, 0);
    r.index = private_index_new();
    int rc = ERR_NOMEM;
    if (r.index)
        rc = judge_all(&r);
    private_index_free(r.index);
    const struct catalogue_source src = {&r, reading_rewind, reading_next};
    if (!rc)
        rc = topology_finish(t, &src, r.n, form);
    if (!rc && r.nomem)
        rc = ERR_NOMEM;
    arena_done(&r.scratch);
    return rc;
}
