// SPDX-License-Identifier: Apache-2.0
// Registries of the compiled form judged; see compiled_priv.h. What is judged here is what
// config/topology_build.c and config/topology_network.c judge in a document.
#include "control/compiled_priv.h"

#include "base/err.h"
#include "config/dnl.h"
#include "config/policy.h"
#include "config/registry_spec.h"
#include "config/reserved.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static bool wrong(struct compiled_judge *j, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
static bool wrong(struct compiled_judge *j, const char *fmt, ...)
{
    char text[256];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    const char *what = j->what;
    if (!what)
        what = "a damaged compiled topology";
    diag_add(j->diag, j->source, 0, "%s: registry number %llu: %s", what,
             (unsigned long long)j->number, text);
    return false;
}

static bool name_ok(const struct registry *x)
{
    if (!hostname_registry_ok(x->name))
        return false;
    if (!*x->hash)
        return true;
    return hostname_hash_ok(x->hash) && strlen(x->name) <= 46;
}

// Registries are sorted by label, and so by name; a name may stand once, whatever its hash.
static bool follows(const struct compiled_judge *j, const struct registry *x)
{
    size_t n = strlen(x->name), before_n = catalogue_name_bytes(j->before, strlen(j->before));
    bool same_name = before_n == n && !memcmp(j->before, x->name, n);
    return !same_name && strcmp(j->before, x->label) < 0;
}

static bool judge_names(struct compiled_judge *j, const struct registry *x)
{
    if (!name_ok(x))
        return wrong(j, "its name is none");
    if (!follows(j, x))
        return wrong(j, "%s is given twice, or out of order", x->name);
    memcpy(j->before, x->label, strlen(x->label) + 1);
    return true;
}

static bool judge_replicas(struct compiled_judge *j, const struct registry *x)
{
    bool any_on = false;
    for (size_t i = 0; i < x->n_replicas; i++) {
        const struct replica *rep = &x->replicas[i];
        if (rep->region >= j->t->n_regions || rep->stamp >= j->t->regions[rep->region].n_stamps)
            return wrong(j, "%s has a replica where there is no region or stamp", x->name);
        any_on |= rep->global_routing && rep->stage == STAGE_PUBLIC;
    }
    if (any_on)
        return true;
    return wrong(j, "%s: global routing is off for every replica", x->name);
}

static bool move_ok(const struct compiled_judge *j, const struct registry *x,
                    const struct stamp_move *m)
{
    const struct replica *rep = registry_replica(x, m->region);
    if (!rep || m->was == rep->stamp)
        return false;
    if (m->since_s <= 0 || m->since_s > MOVE_SINCE_MAX_S)
        return false;
    return m->was == STAMP_GONE || m->was < j->t->regions[m->region].n_stamps;
}

static bool judge_moves(struct compiled_judge *j, const struct registry *x)
{
    for (size_t i = 0; i < x->n_moves; i++) {
        const struct stamp_move *m = &x->moves[i];
        bool in_order = !i || m->region > m[-1].region;
        if (!in_order || !move_ok(j, x, m))
            return wrong(j, "%s: a move to another stamp that cannot be", x->name);
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

static bool judge_access(struct compiled_judge *j, const struct registry *x)
{
    if ((x->public_access == ACCESS_CIDRS) != (x->n_public_cidrs > 0) || x->n_public_cidrs > 4096)
        return wrong(j, "%s: its networks contradict its public access", x->name);
    for (size_t i = 0; i < x->n_public_cidrs; i++)
        if (!canonical(&x->public_cidrs[i]))
            return wrong(j, "%s: a network has host bits", x->name);
    for (size_t i = 0; x->weights && i < TOPOLOGY_MAX_REGIONS; i++)
        if (x->weights[i] > 100)
            return wrong(j, "%s: a weight above 100", x->name);
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

static bool member_ok(const struct compiled_judge *j, const struct registry *x,
                      const struct private_member *m)
{
    switch (m->kind) {
    case NAME_GLOBAL:
        return m->region == REGION_NONE;
    case NAME_REGIONAL:
    case NAME_DATA:
        return m->region < j->t->n_regions && x->replica_set >> m->region & 1;
    default:
        return false;
    }
}

static bool judge_member(struct compiled_judge *j, const struct registry *x,
                         const struct private_endpoint *pe, const struct private_owner *owner,
                         const struct private_member *m)
{
    const struct private_owner *first = private_index_address(j->index, pe->view, &m->ip);
    if (!member_ok(j, x, m))
        return wrong(j, "%s: private endpoint %s: no such member", x->name, pe->name);
    if (m->kind == NAME_REGIONAL && !x->regional_endpoints)
        return wrong(j, "%s: private endpoint %s: regional endpoints are off", x->name, pe->name);
    if (!topology_ip_sensible(&m->ip) || !view_holds(&j->t->views[pe->view], &m->ip))
        return wrong(j, "%s: private endpoint %s: an address that cannot be", x->name, pe->name);
    if (first && first != owner)
        return wrong(j, "%s: private endpoint %s: its address is %s's", x->name, pe->name,
                     first->name);
    bool same;
    if (addresses_before(pe, m, &same) >= PRIVATE_ADDRESSES_MAX)
        return wrong(j, "%s: private endpoint %s: more than %d addresses of one name", x->name,
                     pe->name, PRIVATE_ADDRESSES_MAX);
    if (same)
        return wrong(j, "%s: private endpoint %s: an address is given twice", x->name, pe->name);
    if (!first && private_index_put_address(j->index, owner, pe->view, &m->ip))
        j->nomem = true;
    return !j->nomem;
}

static bool judge_endpoint(struct compiled_judge *j, const struct registry *x,
                           const struct private_endpoint *pe)
{
    const struct private_owner *o;
    if (!topology_name_ok(pe->name) || pe->view >= j->t->n_views || !pe->n_members ||
        pe->n_members > PRIVATE_MEMBERS_MAX)
        return wrong(j, "%s: a private endpoint without name, view or address, or with too many",
                     x->name);
    if (pe->stage > PRIVATE_AT_EDGE || pe->answered_by > ANSWERED_BY_BALANCER)
        return wrong(j, "%s: private endpoint %s: a stage or an answerer that cannot be", x->name,
                     pe->name);
    if (private_index_name(j->index, pe->name) || private_index_view(j->index, x->name, pe->view))
        return wrong(j, "%s: private endpoint %s is given twice", x->name, pe->name);
    if (private_index_owner(j->index, &(struct private_owner){pe->name, x->name, 0}, &o) ||
        private_index_put_name(j->index, o) || private_index_put_view(j->index, o, pe->view)) {
        j->nomem = true;
        return false;
    }
    for (size_t i = 0; i < pe->n_members; i++)
        if (!judge_member(j, x, pe, o, &pe->members[i]))
            return false;
    return true;
}

static bool judge_policy(struct compiled_judge *j, const struct registry *x)
{
    size_t rule;
    const char *why = NULL;
    if (x->policy)
        why = policy_wrong(x->policy, &rule);
    if (why)
        return wrong(j, "%s: %s", x->name, why);
    if (policy_ack_peers(x) > policy_ack_most(x))
        return wrong(j, POLICY_ACK_SENTENCE, x->name, policy_ack_peers(x), policy_ack_most(x));
    if (x->incarnation > j->t->version)
        return wrong(j, "%s: made by a later version than this one", x->name);
    return true;
}

static bool judge_stages(struct compiled_judge *j, const struct registry *x)
{
    if (x->stage > STAGE_EDGE || x->regional_stage > STAGE_EDGE || x->data_stage > STAGE_EDGE)
        return wrong(j, "%s: a stage that cannot be", x->name);
    if (x->dnl_scope >= N_DNL_SCOPES || (*x->owner && !registry_owner_ok(x->owner)))
        return wrong(j, "%s: an owner or a scope of its label that cannot be", x->name);
    return true;
}

static bool judge(struct compiled_judge *j, const struct registry *x)
{
    if (!judge_names(j, x) || !judge_replicas(j, x) || !judge_moves(j, x) || !judge_access(j, x))
        return false;
    if (!judge_policy(j, x) || !judge_stages(j, x))
        return false;
    for (size_t i = 0; i < x->n_private_endpoints; i++)
        if (!judge_endpoint(j, x, x->private_endpoints[i]))
            return false;
    return true;
}

int compiled_judge_registry(struct compiled_judge *j, const struct registry *x)
{
    if (judge(j, x))
        return 0;
    if (j->nomem)
        return ERR_NOMEM;
    return ERR_CORRUPT;
}

void compiled_judge_broken(struct compiled_judge *j)
{
    wrong(j, "ends too early, or has what does not fit together");
}
