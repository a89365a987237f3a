// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/control/registries.h"

#include "base/diag.h"
#include "config/policy.h"
#include "control/topology_file.h"

#include <check.h>
#include <string.h>

static uint32_t seed = 20;

unsigned registries_random(unsigned n)
{
    seed = seed * 1664525 + 1013904223;
    return (seed >> 8) % n;
}

const char *registries_name(unsigned i, char buf[64])
{
    snprintf(buf, 64, "reg%.*s%u", (int)(i * 7 % 30), "abcdefghijklmnopqrstuvwxyz01234", 10 + i);
    return buf;
}

static void random_policy(struct buf *b)
{
    static const char *const words[] = {
        "    quota: 500GiB\n",
        "    push_move: regional\n",
        "    copy_ahead: disabled\n",
        "    repositories:\n      - { match: 'prod/*', quota: 3, sparse: allowed, immutable: v* }\n"
        "      - { match: '*', retention: { untagged: 7d, keep_last: 10, tags: ['dev-*', '*-pr'] } "
        "}\n",
        "    repositories: [{ match: only/this, retention: { keep_last: 1 } }]\n",
        "    limits: { reads: 600, per_identity: { writes: 7 }, per_network: { tokens: 9 } }\n",
    };
    buf_str(b, words[registries_random(6)]);
}

// Stages of all names, of kinds of names, and an owner.
static void random_stages(struct buf *b)
{
    static const char *const words[] = {
        "    stage: edge\n",
        "    stage: private\n    owner: ada\n",
        "    regional_stage: edge\n    data_stage: private\n",
        "    owner: team-a@example.io\n    dnl_scope: tenant_reuse\n",
        "    dnl_scope: no_reuse\n",
    };
    buf_str(b, words[registries_random(5)]);
}

static const char *random_stage(bool on)
{
    static const char *const words[] = {", stage: edge", ", stage: private", ", stage: public"};
    if (on || registries_random(5))
        return "";
    return words[registries_random(3)];
}

void registries_row(struct buf *b, unsigned i)
{
    static const char *const stamps[] = {"s1", "s-2", "s1"}, *const regions[] = {"a", "eastus",
                                                                                 "southeastasia2"};
    static const char *const moves[] = {
        ", stamp_was: gone, stamp_since: '2026-02-01T00:00:00Z'",
        ", stamp_was: s1, stamp_since: '2026-01-01T00:00:00Z'",
        "",
    };
    char name[64];
    buf_printf(b, "  - name: %s\n", registries_name(i, name));
    if (registries_random(3) == 0)
        buf_printf(b, "    hash: abcdefgh%08u\n", registries_random(10000000));
    if (registries_random(4) == 0)
        buf_printf(b, "    public_access: %s\n",
                   registries_random(2) ? "disabled" : "[10.0.0.0/8, '2001:db8::/32']");
    if (registries_random(5) == 0)
        random_policy(b);
    if (registries_random(5) == 0)
        random_stages(b);
    buf_printf(b, "    data_endpoints: %s\n    anonymous_pull: %s\n",
               registries_random(2) ? "enabled" : "disabled",
               registries_random(2) ? "true" : "false");
    buf_printf(b, "    regional_endpoints: %s\n    replicas:\n", i % 2 ? "disabled" : "enabled");
    unsigned on = i % 3;
    for (unsigned r = 3; r-- > 0;)
        if (r == on || registries_random(2))
            buf_printf(
                b, "      - { region: %s, stamp: %s, global_routing: %s, drained: %s%s%s%s }\n",
                regions[r], stamps[r], r == on || registries_random(2) ? "true" : "false",
                registries_random(4) ? "false" : "true", registries_random(5) ? "" : ", weight: 30",
                registries_random(5) ? "" : moves[r], random_stage(r == on));
}

void registries_private(struct buf *b, unsigned i)
{
    static const char *const regions[] = {"a", "eastus", "southeastasia2"};
    static const char *const states[] = {"", "stage: edge, ", "answered_by: edge, ",
                                         "stage: edge, answered_by: balancer, ",
                                         "stage: private, "};
    char name[64];
    buf_printf(b,
               "  - { name: pe%u, registry: %s, view: corp, %saddresses: { registry: 10.1.%u.%u, "
               "registry_data_%s: ",
               i, registries_name(i, name), states[i % 5], i >> 8, i & 255, regions[i % 3]);
    buf_printf(b, "[10.1.%u.%u, 'fd00::%x']%s%s", 128 + (i >> 8), i & 255, i + 1,
               i % 2 ? "" : ", registry_", i % 2 ? "" : regions[i % 3]);
    if (i % 2 == 0)
        buf_printf(b, ": 10.1.%u.%u", 64 + (i >> 8), i & 255);
    buf_str(b, " } }\n");
}

void registries_document(struct buf *b, unsigned n, unsigned private_every)
{
    buf_str(b, REGISTRIES_FRAME "registries:\n");
    for (unsigned i = 0; i < n; i++) {
        registries_row(b, i);
        if (i % 5 == 0)
            buf_printf(b, "    incarnation: %u\n", 1 + i % 3);
    }
    if (private_every)
        buf_str(b, "private_endpoints:\n");
    for (unsigned i = 0; private_every && i < n; i += private_every)
        registries_private(b, i);
    buf_str(b, "routing:\n  overrides:\n    - { clients: 10.0.0.0/8, order: [eastus] }\n");
}

struct topology *registries_parse(enum topology_form form, const struct buf *b)
{
    struct diag d;
    struct topology *t = NULL;
    diag_init(&d);
    int rc = topology_file_parse(form, buf_cstr(b), b->n, "t.yaml", &d, &t);
    ck_assert_msg(rc == 0, "%d %s", rc, d.n ? d.lines[0] : "?");
    diag_done(&d);
    return t;
}

static void private_equal(const struct private_endpoint *x, const struct private_endpoint *y)
{
    ck_assert_str_eq(x->name, y->name);
    ck_assert_uint_eq(x->view, y->view);
    ck_assert_uint_eq(x->stage, y->stage);
    ck_assert_uint_eq(x->answered_by, y->answered_by);
    ck_assert_uint_eq(x->n_members, y->n_members);
    for (size_t i = 0; i < x->n_members; i++) {
        ck_assert_int_eq(x->members[i].kind, y->members[i].kind);
        ck_assert_uint_eq(x->members[i].region, y->members[i].region);
        ck_assert(ip_equal(&x->members[i].ip, &y->members[i].ip));
    }
}

static void policy_equal(const struct registry_policy *x, const struct registry_policy *y)
{
    AUTO_BUF struct buf a, b;
    buf_init(&a, 0);
    buf_init(&b, 0);
    ck_assert_int_eq(!x, !y);
    if (!x)
        return;
    policy_put(&a, x);
    policy_put(&b, y);
    ck_assert_uint_eq(a.n, b.n);
    ck_assert_mem_eq(a.p, b.p, a.n);
}

static void registry_equal(const struct registry *x, const struct registry *y)
{
    ck_assert_str_eq(x->name, y->name);
    ck_assert_uint_eq(x->incarnation, y->incarnation);
    ck_assert_str_eq(x->key, y->key);
    policy_equal(x->policy, y->policy);
    ck_assert_str_eq(x->hash, y->hash);
    ck_assert_str_eq(x->label, y->label);
    ck_assert_int_eq(x->regional_endpoints, y->regional_endpoints);
    ck_assert_int_eq(x->data_endpoints, y->data_endpoints);
    ck_assert_int_eq(x->anonymous_pull, y->anonymous_pull);
    ck_assert_int_eq(x->public_access, y->public_access);
    ck_assert_uint_eq(x->n_public_cidrs, y->n_public_cidrs);
    for (size_t i = 0; i < x->n_public_cidrs; i++)
        ck_assert(ip_equal(&x->public_cidrs[i].ip, &y->public_cidrs[i].ip) &&
                  x->public_cidrs[i].bits == y->public_cidrs[i].bits);
    ck_assert_uint_eq(x->replica_set, y->replica_set);
    ck_assert_uint_eq(x->n_replicas, y->n_replicas);
    for (size_t i = 0; i < x->n_replicas; i++)
        ck_assert(x->replicas[i].region == y->replicas[i].region &&
                  x->replicas[i].stamp == y->replicas[i].stamp &&
                  x->replicas[i].global_routing == y->replicas[i].global_routing &&
                  x->replicas[i].drained == y->replicas[i].drained &&
                  x->replicas[i].stage == y->replicas[i].stage);
    ck_assert_str_eq(x->owner, y->owner);
    ck_assert(x->stage == y->stage && x->regional_stage == y->regional_stage &&
              x->data_stage == y->data_stage && x->dnl_scope == y->dnl_scope);
    ck_assert_int_eq(!x->weights, !y->weights);
    if (x->weights)
        ck_assert_mem_eq(x->weights, y->weights, TOPOLOGY_MAX_REGIONS);
    ck_assert_uint_eq(x->n_moves, y->n_moves);
    for (size_t i = 0; i < x->n_moves; i++)
        ck_assert(x->moves[i].region == y->moves[i].region && x->moves[i].was == y->moves[i].was &&
                  x->moves[i].since_s == y->moves[i].since_s);
    ck_assert_uint_eq(x->n_private_endpoints, y->n_private_endpoints);
    for (size_t i = 0; i < x->n_private_endpoints; i++)
        private_equal(x->private_endpoints[i], y->private_endpoints[i]);
}

void registries_equal(const struct topology *x, const struct topology *y)
{
    struct catalogue_iter it = {0};
    size_t n = 0, n_private = 0;
    ck_assert_uint_eq(x->n_registries, y->n_registries);
    for (const struct catalogue_registry *r; (r = catalogue_next(x->catalogue, &it)); n++) {
        struct registry_room rooms[2];
        struct registry a, b;
        const struct catalogue_registry *s =
            catalogue_find(y->catalogue, (const char *)catalogue_label(r), r->label_n);
        ck_assert_ptr_nonnull(s);
        catalogue_expand(r, &rooms[0], &a);
        catalogue_expand(s, &rooms[1], &b);
        registry_equal(&a, &b);
        ck_assert_uint_eq(r->open, s->open);
        ck_assert_uint_eq(r->flags, s->flags);
        n_private += (r->flags & CATALOGUE_ENDPOINTS) != 0;
        ck_assert_uint_eq(catalogue_on(x->catalogue, r), catalogue_on(y->catalogue, s));
        if (catalogue_full(x->catalogue, r))
            registry_equal(topology_registry(x, a.name), &a);
        if (catalogue_full(y->catalogue, s))
            registry_equal(topology_by_label(y, a.label), &a);
    }
    ck_assert_uint_eq(n, x->n_registries);
    ck_assert_uint_eq(catalogue_count_private(x->catalogue), n_private);
    ck_assert_uint_eq(catalogue_count_private(y->catalogue), n_private);
}
