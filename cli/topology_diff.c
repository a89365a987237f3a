// SPDX-License-Identifier: Apache-2.0
// `meridian topology diff`: which registries of two topologies differ, and in what; and that the
// rest of the documents does.
#include "cli/topology.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "config/catalogue.h"
#include "config/frontend.h"
#include "config/policy.h"

#include <string.h>

static bool same_moves(const struct registry *x, const struct registry *y)
{
    if (x->n_moves != y->n_moves)
        return false;
    for (size_t i = 0; i < x->n_moves; i++)
        if (x->moves[i].region != y->moves[i].region || x->moves[i].was != y->moves[i].was ||
            x->moves[i].since_s != y->moves[i].since_s)
            return false;
    return true;
}

static bool same_replicas(const struct registry *x, const struct registry *y)
{
    if (x->replica_set != y->replica_set || !same_moves(x, y))
        return false;
    for (size_t i = 0; i < x->n_replicas; i++)
        if (x->replicas[i].stamp != y->replicas[i].stamp ||
            x->replicas[i].global_routing != y->replicas[i].global_routing ||
            x->replicas[i].drained != y->replicas[i].drained ||
            x->replicas[i].stage != y->replicas[i].stage)
            return false;
    return !x->weights == !y->weights &&
           (!x->weights || !memcmp(x->weights, y->weights, TOPOLOGY_MAX_REGIONS));
}

static bool same_access(const struct registry *x, const struct registry *y)
{
    if (x->public_access != y->public_access || x->n_public_cidrs != y->n_public_cidrs)
        return false;
    for (size_t i = 0; i < x->n_public_cidrs; i++)
        if (x->public_cidrs[i].bits != y->public_cidrs[i].bits ||
            !ip_equal(&x->public_cidrs[i].ip, &y->public_cidrs[i].ip))
            return false;
    return true;
}

static bool same_endpoint(const struct private_endpoint *x, const struct private_endpoint *y)
{
    if (strcmp(x->name, y->name) != 0 || x->view != y->view || x->n_members != y->n_members)
        return false;
    if (x->stage != y->stage || x->answered_by != y->answered_by)
        return false;
    for (size_t i = 0; i < x->n_members; i++)
        if (x->members[i].kind != y->members[i].kind ||
            x->members[i].region != y->members[i].region ||
            !ip_equal(&x->members[i].ip, &y->members[i].ip))
            return false;
    return true;
}

static bool same_private(const struct registry *x, const struct registry *y)
{
    if (x->n_private_endpoints != y->n_private_endpoints)
        return false;
    for (size_t i = 0; i < x->n_private_endpoints; i++)
        if (!same_endpoint(x->private_endpoints[i], y->private_endpoints[i]))
            return false;
    return true;
}

static struct registry_policy rules_only(const struct registry *r)
{
    if (!r->policy)
        return (struct registry_policy){0};
    return (struct registry_policy){.repositories = r->policy->repositories,
                                    .n_repositories = r->policy->n_repositories};
}

static bool same_rates(const struct registry *x, const struct registry *y)
{
    static const struct rates none;
    const struct rates *a = policy_rates(x), *b = policy_rates(y);
    if (!a)
        a = &none;
    if (!b)
        b = &none;
    return rates_equal(a, b);
}

static bool same_rules(const struct registry *x, const struct registry *y)
{
    struct registry_policy p = rules_only(x), q = rules_only(y);
    AUTO_BUF struct buf a, b;
    buf_init(&a, 0);
    buf_init(&b, 0);
    policy_put(&a, &p);
    policy_put(&b, &q);
    return !a.err && !b.err && bytes_equal(bytes_of(a.p, a.n), bytes_of(b.p, b.n));
}

static bool same_stages(const struct registry *x, const struct registry *y)
{
    return x->stage == y->stage && x->regional_stage == y->regional_stage &&
           x->data_stage == y->data_stage;
}

// What of it is other, in words; "" when nothing is.
static const char *differences(struct cli *c, const struct registry *x, const struct registry *y)
{
    const struct {
        bool same;
        const char *what;
    } rows[] = {
        {!strcmp(x->label, y->label), "label"},
        {same_replicas(x, y), "replicas"},
        {x->regional_endpoints == y->regional_endpoints, "regional endpoints"},
        {x->data_endpoints == y->data_endpoints, "data endpoints"},
        {x->anonymous_pull == y->anonymous_pull, "anonymous pull"},
        {same_access(x, y), "public access"},
        {same_private(x, y), "private endpoints"},
        {same_stages(x, y), "stages of names"},
        {!strcmp(x->owner, y->owner), "owner"},
        {x->dnl_scope == y->dnl_scope, "scope of the label"},
        {policy_quota(x) == policy_quota(y), "quota"},
        {same_rates(x, y), "limits"},
        {policy_push_move(x) == policy_push_move(y), "where pushes move"},
        {policy_copy_ahead(x) == policy_copy_ahead(y), "copying ahead"},
        {policy_ack_peers(x) == policy_ack_peers(y), "who must have a write"},
        {same_rules(x, y), "rules of repositories"},
        {x->incarnation == y->incarnation, "another registry of that name"},
    };
    const char *out = "";
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if (!rows[i].same)
            out = arena_printf(&c->arena, "%s%s%s", out, *out ? ", " : "", rows[i].what);
    return out;
}

static void tell(struct cli *c, json_t *list, const char *change, const char *name,
                 const char *what)
{
    if (cli_json(c)) {
        json_array_append_new(
            list, json_pack("{s:s, s:s, s:s}", "registry", name, "change", change, "what", what));
        return;
    }
    char mark = '~';
    if (!strcmp(change, "added"))
        mark = '+';
    else if (!strcmp(change, "removed"))
        mark = '-';
    printf("%c registry %s%s%s\n", mark, name, *what ? ": " : "", what);
}

static size_t compare(struct cli *c, const struct topology *x, const struct topology *y,
                      json_t *list)
{
    AUTO_FREE const struct registry **old = topology_sorted(x);
    AUTO_FREE const struct registry **new = topology_sorted(y);
    size_t n = 0;
    for (size_t i = 0; old && i < x->n_registries; i++)
        if (!topology_registry(y, old[i]->name)) {
            tell(c, list, "removed", old[i]->name, "");
            n++;
        }
    for (size_t i = 0; new &&i < y->n_registries; i++) {
        const struct registry *was = topology_registry(x, new[i]->name);
        const char *what = "";
        if (was)
            what = differences(c, was, new[i]);
        if (was && !*what)
            continue;
        tell(c, list, was ? "changed" : "added", new[i]->name, what);
        n++;
    }
    return n;
}

static bool same_regions(const struct topology *x, const struct topology *y)
{
    if (x->n_regions != y->n_regions || x->n_views != y->n_views)
        return false;
    for (size_t i = 0; i < x->n_regions; i++) {
        const struct region *a = &x->regions[i], *b = &y->regions[i];
        if (strcmp(a->name, b->name) != 0 || a->n_stamps != b->n_stamps)
            return false;
        for (size_t k = 0; k < a->n_stamps; k++)
            if (strcmp(a->stamps[k].name, b->stamps[k].name) != 0)
                return false;
    }
    for (size_t i = 0; i < x->n_views; i++)
        if (strcmp(x->views[i].name, y->views[i].name) != 0)
            return false;
    return true;
}

// The next line of a text that is not its version, which differs in any two.
static struct bytes next_line(const char *text, size_t n, size_t *at)
{
    static const char version[] = "version:";
    while (*at < n) {
        const char *line = text + *at, *end = memchr(line, '\n', n - *at);
        size_t len;
        if (end)
            len = (size_t)(end - line) + 1;
        else
            len = n - *at;
        *at += len;
        if (len < sizeof version || memcmp(line, version, sizeof version - 1) != 0)
            return bytes_of((const uint8_t *)line, len);
    }
    return (struct bytes){0};
}

// The rest is compared as text. Not the first line of it that differs is worth telling, but that it
// does: any diff of the two documents shows it. A document whose registries cannot be cut out is
// only like itself.
static bool same_rest(const struct topology *x, const struct topology *y)
{
    const struct topology_frame *a = x->frame, *b = y->frame;
    struct bytes one, other;
    size_t at = 0, other_at = 0;
    if (!a->text || !b->text)
        return !memcmp(a->base_hash, b->base_hash, sizeof a->base_hash);
    do {
        one = next_line(a->text, a->text_n, &at);
        other = next_line(b->text, b->text_n, &other_at);
        if (one.n != other.n || (one.n && memcmp(one.p, other.p, one.n) != 0))
            return false;
    } while (one.n);
    return true;
}

// Also when nodes that have the old one would refuse the new one for it.
static void tell_serial(struct cli *c, const struct topology *old, const struct topology *new,
                        int64_t now_s)
{
    uint32_t was = (uint32_t)frontend_serial(old, now_s),
             is = (uint32_t)frontend_serial(new, now_s);
    char *why = NULL;
    if (!cli_json(c) && was != is)
        printf("serial of fe.D %u -> %u\n", (unsigned)was, (unsigned)is);
    if (!frontend_serial_may_follow(old, new, now_s, &why))
        cli_complain("nodes would refuse it: %s", why ? why : err_text(ERR_NOMEM));
    free(why);
}

int topology_diff(struct cli *c, int argc, char **argv)
{
    int rc = opt_parse(c, NULL, 0, argc, argv, &argc);
    if (rc)
        return rc;
    if (argc != 3)
        return cli_fail(EXIT_USAGE, "topology diff: give the old and the new topology");
    struct topology_loaded old = {0}, new = {0};
    rc = topology_load(argv[1], &old);
    if (!rc)
        rc = topology_load(argv[2], &new);
    if (!rc && !same_regions(old.t, new.t)) {
        rc = cli_fail(EXIT_FAILED,
                      "the two have other regions, stamps or views: compare the documents");
    } else if (!rc) {
        json_t *list = json_array();
        bool same = same_rest(old.t, new.t);
        if (!cli_json(c))
            printf("version %llu -> %llu\n%s", (unsigned long long)old.t->version,
                   (unsigned long long)new.t->version,
                   same ? "" : "~ other than registries: the documents differ\n");
        tell_serial(c, old.t, new.t, clock_wall_ms() / 1000);
        size_t n = compare(c, old.t, new.t, list);
        if (cli_json(c))
            cli_print_json(c, json_pack("{s:I, s:I, s:b, s:O}", "old", (json_int_t)old.t->version,
                                        "new", (json_int_t) new.t->version, "restDiffers",
                                        (int)!same, "registries", list));
        json_decref(list);
        if (n || !same)
            rc = EXIT_FAILED;
        else
            rc = EXIT_DONE;
    }
    snapshot_unref(old.t);
    snapshot_unref(new.t);
    return rc;
}
