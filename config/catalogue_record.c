// SPDX-License-Identifier: Apache-2.0
// Records of the catalogue: a registry packed, and unpacked again; see catalogue_priv.h. A record
// is the fixed head, home stamps by rank of their region, the label, and, on a multiple of eight
// bytes, what its flags say: the sets of replicas that are on and drained, the pointer to what few
// have, and the incarnation.
#include "config/catalogue_priv.h"

#include "base/err.h"
#include "base/mem.h"
#include "config/endpoints.h"
#include "config/policy.h"
#include "config/registry_key.h"

#define UP8(n) (((n) + 7) & ~(size_t)7)

size_t catalogue_name_bytes(const void *label, size_t n)
{
    const char *p = label; // a name has no hyphen, a hash has 16 bytes
    if (n > HOSTNAME_HASH_BYTES + 1 && p[n - HOSTNAME_HASH_BYTES - 1] == '-')
        return n - HOSTNAME_HASH_BYTES - 1;
    return n;
}

static region_set set_where(const struct registry *r, bool on, bool drained)
{
    region_set s = 0;
    for (size_t i = 0; i < r->n_replicas; i++)
        if ((!on || r->replicas[i].global_routing) && (!drained || r->replicas[i].drained))
            s |= (region_set)1 << r->replicas[i].region;
    return s;
}

static region_set set_of_stage(const struct registry *r, enum name_stage stage)
{
    region_set s = 0;
    for (size_t i = 0; i < r->n_replicas; i++)
        if (r->replicas[i].stage == stage)
            s |= (region_set)1 << r->replicas[i].region;
    return s;
}

static region_set staged(const struct registry *r)
{
    return set_of_stage(r, STAGE_PRIVATE) | set_of_stage(r, STAGE_EDGE);
}

static bool has_stages(const struct registry *r)
{
    return r->stage || r->regional_stage || r->data_stage || staged(r);
}

static bool has_owner(const struct registry *r)
{
    return (r->owner && *r->owner) || r->dnl_scope;
}

bool extra_needed(const struct registry *r)
{
    return r->weights || r->n_public_cidrs || r->n_private_endpoints || r->n_moves || r->policy ||
           has_stages(r) || has_owner(r);
}

bool extra_is_life_alone(const struct registry *r)
{
    bool more =
        r->weights || r->n_public_cidrs || r->n_private_endpoints || r->n_moves || r->policy;
    return !more && !staged(r) && has_owner(r);
}

bool extra_has_life_alone(const struct catalogue_extra *e, const struct registry *r)
{
    const struct catalogue_life *life = e->life;
    bool more = e->weights || e->n_cidrs || e->n_private_endpoints || e->n_moves || e->policy;
    if (more || !life || life->private_ || life->edge)
        return false;
    if (life->stage != r->stage || life->regional_stage != r->regional_stage ||
        life->data_stage != r->data_stage || life->dnl_scope != r->dnl_scope)
        return false;
    return !strcmp(life->owner, r->owner ? r->owner : "");
}

static unsigned flags_of(const struct registry *r)
{
    bool plain = set_where(r, true, false) == r->replica_set && !set_where(r, false, true);
    return (registry_offers(r, NAME_REGIONAL) ? CATALOGUE_REGIONAL : 0) |
           (registry_in_private_dns(r) ? CATALOGUE_PRIVATE : 0) |
           (r->n_private_endpoints ? CATALOGUE_ENDPOINTS : 0) |
           (registry_offers(r, NAME_DATA) ? CATALOGUE_DATA : 0) |
           (r->data_endpoints ? CATALOGUE_OWN_DATA : 0) |
           (r->anonymous_pull ? CATALOGUE_ANONYMOUS : 0) |
           (r->public_access == ACCESS_DISABLED ? CATALOGUE_ACCESS_DISABLED : 0) |
           (r->public_access == ACCESS_CIDRS ? CATALOGUE_ACCESS_CIDRS : 0) |
           (plain ? 0 : CATALOGUE_SETS) | (extra_needed(r) ? CATALOGUE_EXTRA : 0) |
           (r->weights ? CATALOGUE_WEIGHTS : 0) | (r->n_moves ? CATALOGUE_MOVES : 0) |
           (r->incarnation ? CATALOGUE_INCARNATION : 0) | (r->policy ? CATALOGUE_POLICY : 0) |
           (has_stages(r) ? CATALOGUE_STAGES : 0) | (has_owner(r) ? CATALOGUE_OWNER : 0);
}

static size_t tail_at(size_t n_replicas, size_t label_n)
{
    return UP8(offsetof(struct catalogue_registry, bytes) + n_replicas + label_n);
}

static size_t tail_bytes(unsigned flags)
{
    return (flags & CATALOGUE_SETS ? 2 * sizeof(region_set) : 0) +
           (flags & CATALOGUE_EXTRA ? sizeof(struct catalogue_extra *) : 0) +
           (flags & CATALOGUE_INCARNATION ? sizeof(uint64_t) : 0);
}

size_t record_bytes(const struct registry *r)
{
    return tail_at(r->n_replicas, strlen(r->label)) + tail_bytes(flags_of(r));
}

static const uint8_t *tail_of(const struct catalogue_registry *r)
{
    return (const uint8_t *)r + tail_at((size_t)__builtin_popcountll(r->replicas), r->label_n);
}

size_t record_size(const struct catalogue_registry *r)
{
    return (size_t)(tail_of(r) - (const uint8_t *)r) + tail_bytes(r->flags);
}

void record_pack(const struct registry *r, struct catalogue_extra *extra, uint16_t ordinal,
                 struct catalogue_registry *out)
{
    region_set on = set_where(r, true, false), drained = set_where(r, false, true);
    out->replicas = r->replica_set;
    out->open = on & ~drained & ~staged(r);
    out->flags = (uint16_t)flags_of(r);
    out->ordinal = ordinal;
    out->label_n = (uint8_t)strlen(r->label);
    for (size_t i = 0; i < r->n_replicas; i++) {
        region_set bit = (region_set)1 << r->replicas[i].region;
        out->bytes[__builtin_popcountll(r->replica_set & (bit - 1))] = r->replicas[i].stamp;
    }
    memcpy(out->bytes + r->n_replicas, r->label, out->label_n);
    uint8_t *tail = (uint8_t *)tail_of(out);
    if (out->flags & CATALOGUE_SETS) {
        memcpy(tail, &on, sizeof on);
        memcpy(tail + sizeof on, &drained, sizeof drained);
        tail += 2 * sizeof on;
    }
    if (out->flags & CATALOGUE_EXTRA) {
        memcpy(tail, &extra, sizeof extra);
        tail += sizeof extra;
    }
    if (out->flags & CATALOGUE_INCARNATION)
        memcpy(tail, &r->incarnation, sizeof r->incarnation);
}

struct catalogue_extra *record_extra(const struct catalogue_registry *r)
{
    struct catalogue_extra *e = NULL;
    if (r->flags & CATALOGUE_EXTRA)
        memcpy(&e, tail_of(r) + (r->flags & CATALOGUE_SETS ? 2 * sizeof(region_set) : 0), sizeof e);
    return e;
}

static region_set tail_set(const struct catalogue_registry *r, size_t index)
{
    region_set s;
    memcpy(&s, tail_of(r) + index * sizeof s, sizeof s);
    return s;
}

region_set record_on(const struct catalogue_registry *r)
{
    if (r->flags & CATALOGUE_SETS)
        return tail_set(r, 0);
    return r->replicas;
}

region_set catalogue_on(const struct catalogue *c, const struct catalogue_registry *r)
{
    (void)c;
    return record_on(r);
}

uint64_t catalogue_incarnation(const struct catalogue_registry *r)
{
    uint64_t v = 0;
    if (r->flags & CATALOGUE_INCARNATION) // the last of the tail
        memcpy(&v, (const uint8_t *)r + record_size(r) - sizeof v, sizeof v);
    return v;
}

const uint8_t *catalogue_weights(const struct catalogue *c, const struct catalogue_registry *r)
{
    (void)c;
    if (r->flags & CATALOGUE_WEIGHTS)
        return record_extra(r)->weights;
    return NULL;
}

const struct stamp_move *catalogue_move(const struct catalogue_registry *r, uint8_t region)
{
    const struct catalogue_extra *e = NULL;
    if (r->flags & CATALOGUE_MOVES)
        e = record_extra(r);
    for (size_t i = 0; e && i < e->n_moves; i++)
        if (e->moves[i].region == region)
            return &e->moves[i];
    return NULL;
}

region_set catalogue_staged(const struct catalogue_registry *r)
{
    if (!(r->flags & CATALOGUE_STAGES))
        return 0;
    const struct catalogue_life *life = record_extra(r)->life;
    return life->private_ | life->edge;
}

static enum name_stage stage_there(const struct catalogue_life *life, uint8_t region)
{
    region_set bit = (region_set)1 << region;
    if (life->edge & bit)
        return STAGE_EDGE;
    if (life->private_ & bit)
        return STAGE_PRIVATE;
    return STAGE_PUBLIC;
}

enum name_stage catalogue_name_stage(const struct catalogue_registry *r, enum name_kind kind,
                                     uint8_t region)
{
    if (!(r->flags & CATALOGUE_STAGES))
        return STAGE_PUBLIC;
    const struct catalogue_life *life = record_extra(r)->life;
    uint8_t of_kind = life->data_stage;
    if (kind == NAME_GLOBAL)
        return (enum name_stage)life->stage;
    if (kind == NAME_REGIONAL)
        of_kind = life->regional_stage;
    return stage_hidden_most(stage_hidden_most(life->stage, of_kind),
                             (uint8_t)stage_there(life, region));
}

size_t catalogue_private_endpoints(const struct catalogue *c, const struct catalogue_registry *r,
                                   const struct private_endpoint *const **out)
{
    (void)c;
    const struct catalogue_extra *e = record_extra(r);
    if (e)
        *out = e->private_endpoints;
    else
        *out = NULL;
    if (e)
        return e->n_private_endpoints;
    return 0;
}

// ---- unpacking ----

size_t record_unpacked_bytes(const struct catalogue_registry *r)
{
    size_t key = 0;
    if (r->flags & CATALOGUE_INCARNATION)
        key = REGISTRY_KEY_SIZE;
    return UP8((size_t)__builtin_popcountll(r->replicas) * sizeof(struct replica) +
               2 * ((size_t)r->label_n + 1) + 1 + key);
}

void record_unpack(const struct catalogue_registry *r, void *room, struct registry *out)
{
    struct replica *reps = room;
    region_set on = record_on(r), drained = r->flags & CATALOGUE_SETS ? tail_set(r, 1) : 0;
    size_t n = 0, name_n = catalogue_name_bytes(catalogue_label(r), r->label_n);
    for (region_set left = r->replicas; left; left &= left - 1, n++) {
        uint8_t region = (uint8_t)__builtin_ctzll(left);
        reps[n] = (struct replica){region, r->bytes[n], on >> region & 1, drained >> region & 1, 0};
    }
    const struct catalogue_extra *e = record_extra(r);
    char *label = (char *)(reps + n), *name = label;
    memcpy(label, catalogue_label(r), r->label_n);
    label[r->label_n] = 0;
    if (name_n < r->label_n) {
        name = label + r->label_n + 1;
        memcpy(name, label, name_n);
        name[name_n] = 0;
    }
    for (size_t i = 0; i < n && r->flags & CATALOGUE_STAGES; i++)
        reps[i].stage = (uint8_t)(stage_there(e->life, reps[i].region) & 3);
    const char *key = name;
    uint64_t incarnation = catalogue_incarnation(r);
    if (incarnation)
        key = registry_key_format(name, incarnation, label + 2 * ((size_t)r->label_n + 1) + 1);
    *out = (struct registry){
        .name = name,
        .hash = name_n < r->label_n ? label + name_n + 1 : "",
        .label = label,
        .incarnation = incarnation,
        .key = key,
        .regional_endpoints = r->flags & CATALOGUE_REGIONAL,
        .data_endpoints = r->flags & CATALOGUE_OWN_DATA,
        .anonymous_pull = r->flags & CATALOGUE_ANONYMOUS,
        .public_access = r->flags & CATALOGUE_ACCESS_DISABLED ? ACCESS_DISABLED
                         : r->flags & CATALOGUE_ACCESS_CIDRS  ? ACCESS_CIDRS
                                                              : ACCESS_ENABLED,
        .replicas = reps,
        .n_replicas = (uint8_t)n,
        .replica_set = r->replicas,
        .owner = "",
    };
    if (!e)
        return;
    out->weights = e->weights;
    out->public_cidrs = e->cidrs;
    out->n_public_cidrs = e->n_cidrs;
    out->private_endpoints = e->private_endpoints;
    out->n_private_endpoints = e->n_private_endpoints;
    out->moves = e->moves;
    out->n_moves = (uint8_t)e->n_moves;
    out->policy = e->policy;
    if (!e->life)
        return;
    out->owner = e->life->owner;
    out->stage = e->life->stage;
    out->regional_stage = e->life->regional_stage;
    out->data_stage = e->life->data_stage;
    out->dnl_scope = e->life->dnl_scope;
}

void catalogue_expand(const struct catalogue_registry *r, struct registry_room *room,
                      struct registry *out)
{
    _Static_assert(sizeof room->bytes >= TOPOLOGY_MAX_REGIONS * sizeof(struct replica) + 2 * 256 +
                                             16 + REGISTRY_KEY_SIZE,
                   "holds any");
    record_unpack(r, room->bytes, out);
}

// ---- what few have ----

struct room { // one block, filled from the front; without a block it only counts
    uint8_t *p;
    size_t n;
};

static void *room_copy(struct room *m, const void *from, size_t n)
{
    void *to = NULL;
    if (m->p)
        to = m->p + m->n;
    if (to && n)
        memcpy(to, from, n);
    m->n += UP8(n);
    return to;
}

static struct private_endpoint *copy_endpoint(struct room *m, const struct private_endpoint *in)
{
    struct private_endpoint *pe = room_copy(m, in, sizeof *in);
    const char *name = room_copy(m, in->name, strlen(in->name) + 1);
    const struct private_member *members =
        room_copy(m, in->members, in->n_members * sizeof *in->members);
    if (pe) {
        pe->name = name;
        pe->members = members;
    }
    return pe;
}

static const char *copy_text(struct room *m, const char *s)
{
    return room_copy(m, s, strlen(s) + 1);
}

static struct policy_globs copy_globs(struct room *m, const struct policy_globs *in)
{
    if (!in->n)
        return (struct policy_globs){0};
    const char **list = room_copy(m, in->list, in->n * sizeof *list);
    for (size_t i = 0; i < in->n; i++) {
        const char *text = copy_text(m, in->list[i]);
        if (list)
            list[i] = text;
    }
    return (struct policy_globs){list, in->n};
}

static struct repository_policy copy_rule(struct room *m, const struct repository_policy *in)
{
    struct repository_policy p = *in;
    p.match = copy_text(m, in->match);
    p.immutable = copy_globs(m, &in->immutable);
    p.retention.tags = copy_globs(m, &in->retention.tags);
    return p;
}

static const struct registry_policy *copy_policy(struct room *m, const struct registry_policy *in)
{
    struct registry_policy *p = room_copy(m, in, sizeof *in);
    struct repository_policy *rules =
        room_copy(m, in->repositories, in->n_repositories * sizeof *rules);
    for (size_t i = 0; i < in->n_repositories; i++) {
        struct repository_policy rule = copy_rule(m, &in->repositories[i]);
        if (rules)
            rules[i] = rule;
    }
    if (p)
        p->repositories = rules;
    return p;
}

static const struct catalogue_life *copy_life(struct room *m, const struct registry *r)
{
    const struct catalogue_life proto = {.owner = "",
                                         .private_ = set_of_stage(r, STAGE_PRIVATE),
                                         .edge = set_of_stage(r, STAGE_EDGE),
                                         .stage = r->stage,
                                         .regional_stage = r->regional_stage,
                                         .data_stage = r->data_stage,
                                         .dnl_scope = r->dnl_scope};
    struct catalogue_life *life = room_copy(m, &proto, sizeof proto);
    const char *owner = "";
    if (r->owner && *r->owner)
        owner = copy_text(m, r->owner);
    if (life)
        life->owner = owner;
    return life;
}

static void fill(struct room *m, const struct registry *r)
{
    struct catalogue_extra proto = {.n_cidrs = r->n_public_cidrs,
                                    .n_private_endpoints = r->n_private_endpoints,
                                    .n_moves = r->n_moves};
    struct catalogue_extra *e = room_copy(m, &proto, sizeof proto);
    const uint8_t *weights = NULL;
    if (r->weights)
        weights = room_copy(m, r->weights, TOPOLOGY_MAX_REGIONS);
    const struct cidr *cidrs = NULL;
    if (r->n_public_cidrs)
        cidrs = room_copy(m, r->public_cidrs, r->n_public_cidrs * sizeof *cidrs);
    const struct stamp_move *moves = NULL;
    if (r->n_moves)
        moves = room_copy(m, r->moves, r->n_moves * sizeof *moves);
    const struct private_endpoint **list = room_copy(
        m, r->private_endpoints, r->n_private_endpoints * sizeof(struct private_endpoint *));
    for (size_t i = 0; i < r->n_private_endpoints; i++) {
        const struct private_endpoint *pe = copy_endpoint(m, r->private_endpoints[i]);
        if (m->p)
            list[i] = pe;
    }
    const struct registry_policy *policy = NULL;
    if (r->policy)
        policy = copy_policy(m, r->policy);
    const struct catalogue_life *life = NULL;
    if (has_stages(r) || has_owner(r))
        life = copy_life(m, r);
    if (!e)
        return;
    e->life = life;
    e->policy = policy;
    e->weights = weights;
    e->cidrs = cidrs;
    e->private_endpoints = list;
    e->moves = moves;
    atomic_init(&e->refs, 1);
}

int extra_new(const struct registry *r, struct catalogue_extra **out)
{
    struct room m = {NULL, 0};
    *out = NULL;
    if (!extra_needed(r))
        return 0;
    fill(&m, r);
    m = (struct room){mem_alloc(m.n), 0};
    if (!m.p)
        return ERR_NOMEM;
    *out = (struct catalogue_extra *)(void *)m.p;
    fill(&m, r);
    return 0;
}

void extra_unref(struct catalogue_extra *e)
{
    if (e && atomic_fetch_sub_explicit(&e->refs, 1, memory_order_acq_rel) == 1)
        free(e);
}
