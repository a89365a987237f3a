// SPDX-License-Identifier: Apache-2.0
// Registries in the compiled form, written and read; see compiled_priv.h. They are read three times
// from the same bytes: once to judge them (compiled_judge.c), then twice to fill the buckets.
#include "control/compiled_priv.h"

#include "base/err.h"
#include "base/mem.h"
#include "config/policy.h"
#include "config/private_index.h"
#include "config/registry_key.h"
#include "config/registry_spec.h"
#include "config/topology_make.h"

#include <stdarg.h>
#include <string.h>

#define OWN_FLAGS                                                                                \
    (CATALOGUE_REGIONAL | CATALOGUE_OWN_DATA | CATALOGUE_ANONYMOUS | CATALOGUE_ACCESS_DISABLED | \
     CATALOGUE_ACCESS_CIDRS | CATALOGUE_SETS | CATALOGUE_EXTRA | CATALOGUE_MOVES |               \
     CATALOGUE_INCARNATION | CATALOGUE_POLICY | CATALOGUE_STAGES | CATALOGUE_OWNER |             \
     CATALOGUE_ENDPOINTS)
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

static void put_stages(struct buf *b, const struct registry *r)
{
    region_set sets[4] = {0};
    for (size_t i = 0; i < r->n_replicas; i++)
        sets[r->replicas[i].stage] |= (region_set)1 << r->replicas[i].region;
    buf_u8(b, r->stage);
    buf_u8(b, r->regional_stage);
    buf_u8(b, r->data_stage);
    compiled_put(b, sets[STAGE_PRIVATE], 8);
    compiled_put(b, sets[STAGE_EDGE], 8);
}

bool compiled_has_endpoints(const struct catalogue *c, const struct catalogue_registry *r)
{
    const struct private_endpoint *const *list;
    size_t n = 0;
    if (r->flags & CATALOGUE_ENDPOINTS)
        n = catalogue_private_endpoints(c, r, &list);
    for (size_t i = 0; i < n; i++)
        if (list[i]->stage || list[i]->answered_by)
            return true;
    return false;
}

static void put_endpoints(struct buf *b, const struct registry *r)
{
    for (size_t i = 0; i < r->n_private_endpoints; i++) {
        const struct private_endpoint *pe = r->private_endpoints[i];
        buf_u8(b, (uint8_t)(pe->stage | pe->answered_by << 1));
    }
}

void compiled_put_registry(struct buf *b, const struct catalogue *c,
                           const struct catalogue_registry *r)
{
    struct registry_room room;
    struct registry full;
    unsigned flags = r->flags & OWN_FLAGS;
    if (!compiled_has_endpoints(c, r)) // most say nothing, and older releases read them
        flags &= ~(unsigned)CATALOGUE_ENDPOINTS;
    buf_u8(b, r->label_n);
    buf_add(b, catalogue_label(r), r->label_n);
    compiled_put(b, r->replicas, 8);
    compiled_put(b, flags, 2);
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
    if (r->flags & CATALOGUE_POLICY)
        policy_put(b, full.policy);
    if (r->flags & CATALOGUE_STAGES)
        put_stages(b, &full);
    if (r->flags & CATALOGUE_OWNER) {
        buf_u8(b, full.dnl_scope);
        compiled_put(b, strlen(full.owner), 1);
        buf_str(b, full.owner);
    }
    if (r->flags & CATALOGUE_INCARNATION)
        compiled_put(b, full.incarnation, 8);
    if (flags & CATALOGUE_ENDPOINTS)
        put_endpoints(b, &full);
}

// ---- reading one ----

struct reading {
    struct cursor start, c;
    uint64_t n, at;
    // of what `one` points to
    struct arena scratch;
    struct registry one;
    struct replica replicas[TOPOLOGY_MAX_REGIONS];
    char label[HOSTNAME_LABEL_SIZE], name[HOSTNAME_LABEL_SIZE], key[REGISTRY_KEY_SIZE];
    char owner[256];
    bool nomem;
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
    if (!list)
        return;
    out->public_cidrs = list;
    out->n_public_cidrs = (uint16_t)n;
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
    pe->stage = PRIVATE_IN_DNS;
    pe->answered_by = ANSWERED_BY_NONE;
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
    if (weighed == 1)
        out->weights = cursor_take(&r->c, TOPOLOGY_MAX_REGIONS).p;
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
    out->n_private_endpoints = (uint16_t)n;
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

static void take_policy(struct reading *r, struct registry *out)
{
    out->policy = policy_take(&r->c, &r->scratch);
    if (!out->policy && !r->c.failed)
        r->nomem = r->c.failed = true;
}

static void take_stages(struct reading *r, struct registry *out)
{
    out->stage = cursor_u8(&r->c);
    out->regional_stage = cursor_u8(&r->c);
    out->data_stage = cursor_u8(&r->c);
    region_set private = cursor_u64(&r->c), edge = cursor_u64(&r->c);
    bool fits = !((private | edge) & ~out->replica_set) && !(private & edge);
    if (!fits)
        r->c.failed = true;
    for (size_t i = 0; i < out->n_replicas; i++) {
        struct replica *rep = &r->replicas[i];
        if (private >> rep->region & 1)
            rep->stage = STAGE_PRIVATE;
        if (edge >> rep->region & 1)
            rep->stage = STAGE_EDGE;
    }
}

static void take_owner(struct reading *r, struct registry *out)
{
    out->dnl_scope = cursor_u8(&r->c);
    size_t n = cursor_u8(&r->c);
    struct bytes b = cursor_take(&r->c, n);
    if (b.n != n || n >= sizeof r->owner || (n && memchr(b.p, 0, n))) {
        r->c.failed = true;
        return;
    }
    if (n)
        memcpy(r->owner, b.p, n);
    r->owner[n] = '\0';
    out->owner = r->owner;
}

static void take_incarnation(struct reading *r, struct registry *out)
{
    out->incarnation = cursor_u64(&r->c);
    // what its name is was not judged yet
    if (!out->incarnation || out->incarnation > INT64_MAX ||
        strlen(out->name) >= HOSTNAME_REGISTRY_SIZE) {
        r->c.failed = true;
        return;
    }
    out->key = registry_key_format(out->name, out->incarnation, r->key);
}

static void take_endpoints(struct reading *r, struct registry *out)
{
    if (!out->n_private_endpoints)
        r->c.failed = true;
    for (size_t i = 0; i < out->n_private_endpoints && !r->c.failed; i++) {
        // they were made in the scratch arena just now
        struct private_endpoint *pe = (struct private_endpoint *)out->private_endpoints[i];
        uint8_t v = cursor_u8(&r->c);
        pe->stage = v & 1;
        pe->answered_by = v >> 1;
    }
}

struct sets { // of the replicas: those with global routing on, those drained
    region_set on, drained;
};

static struct sets take_sets(struct reading *r, unsigned flags, region_set replicas)
{
    struct sets s = {.on = replicas};
    if (!(flags & CATALOGUE_SETS))
        return s;
    s.on = cursor_u64(&r->c);
    s.drained = cursor_u64(&r->c);
    return s;
}

static bool flags_fit(unsigned flags)
{
    const unsigned access = CATALOGUE_ACCESS_DISABLED | CATALOGUE_ACCESS_CIDRS;
    if (flags & ~(unsigned)OWN_FLAGS)
        return false;
    if ((flags & access) == access)
        return false;
    const unsigned of_extra = CATALOGUE_MOVES | CATALOGUE_POLICY | CATALOGUE_STAGES |
                              CATALOGUE_OWNER | CATALOGUE_ENDPOINTS;
    return !(flags & of_extra) || flags & CATALOGUE_EXTRA;
}

static void put_replicas(struct reading *r, const struct sets *sets, const uint8_t *stamps)
{
    struct registry *out = &r->one;
    for (region_set left = out->replica_set; left; left &= left - 1) {
        uint8_t region = (uint8_t)__builtin_ctzll(left);
        size_t i = out->n_replicas++;
        r->replicas[i] = (struct replica){region, stamps[i], sets->on >> region & 1,
                                          sets->drained >> region & 1, STAGE_PUBLIC};
    }
    out->replicas = r->replicas;
}

static enum access_mode access_of(unsigned flags)
{
    if (flags & CATALOGUE_ACCESS_DISABLED)
        return ACCESS_DISABLED;
    if (flags & CATALOGUE_ACCESS_CIDRS)
        return ACCESS_CIDRS;
    return ACCESS_ENABLED;
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
    struct sets sets = take_sets(r, flags, out->replica_set);
    bool sets_fit = !((sets.on | sets.drained) & ~out->replica_set);
    if (!sets_fit || !flags_fit(flags))
        r->c.failed = true;
    if (r->c.failed)
        return false;
    put_replicas(r, &sets, stamps.p);
    out->regional_endpoints = flags & CATALOGUE_REGIONAL;
    out->data_endpoints = flags & CATALOGUE_OWN_DATA;
    out->anonymous_pull = flags & CATALOGUE_ANONYMOUS;
    out->public_access = (uint8_t)access_of(flags);
    out->owner = "";
    if (flags & CATALOGUE_EXTRA)
        take_extra(r, out);
    if (flags & CATALOGUE_MOVES && !r->c.failed)
        take_moves(r, out);
    out->key = out->name;
    if (flags & CATALOGUE_POLICY && !r->c.failed)
        take_policy(r, out);
    if (flags & CATALOGUE_STAGES && !r->c.failed)
        take_stages(r, out);
    if (flags & CATALOGUE_OWNER && !r->c.failed)
        take_owner(r, out);
    if (flags & CATALOGUE_INCARNATION && !r->c.failed)
        take_incarnation(r, out);
    if (flags & CATALOGUE_ENDPOINTS && !r->c.failed)
        take_endpoints(r, out);
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

// ---- all of them ----

static int judge_all(struct reading *r, struct compiled_judge *j)
{
    for (; r->at < r->n; r->at++) {
        j->number = r->at + 1;
        if (!take_one(r)) {
            if (r->nomem)
                return ERR_NOMEM;
            compiled_judge_broken(j);
            return ERR_CORRUPT;
        }
        int rc = compiled_judge_registry(j, &r->one);
        if (rc)
            return rc;
    }
    return 0;
}

int compiled_take_registries(enum topology_form form, struct cursor *c, struct topology *t,
                             const char *source, struct diag *diag)
{
    struct reading r = {.n = cursor_u64(c)};
    struct compiled_judge j = {.t = t, .source = source, .diag = diag};
    if (c->failed || r.n > cursor_left(c)) {
        diag_add(diag, source, 0, "a damaged compiled topology: its registries are missing");
        return ERR_CORRUPT;
    }
    r.start = r.c = *c;
    arena_init(&r.scratch, 0);
    j.index = private_index_new();
    int rc = ERR_NOMEM;
    if (j.index)
        rc = judge_all(&r, &j);
    *c = r.c;
    private_index_free(j.index);
    const struct catalogue_source src = {&r, reading_rewind, reading_next};
    if (!rc)
        rc = topology_finish(t, &src, r.n, form);
    if (!rc && r.nomem)
        rc = ERR_NOMEM;
    arena_done(&r.scratch);
    return rc;
}
