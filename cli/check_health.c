// SPDX-License-Identifier: Apache-2.0
// `meridian check-health`: every endpoint of a registry used as a client uses it. For each region
// that holds it: what it says of its health; for each endpoint (the global name in every region,
// regional and data names): does DNS lead to the region, does TLS verify, does the host challenge
// as it should, does a token come back, is it taken there and in the other regions, can be read and
// written with it (check_endpoint.c). Codes that az has are those of `az acr check-health`. It
// stops at the first error unless --ignore-errors. With --nodes it asks a node how all nodes are, too
// (check_nodes.c). DNS is asked of the topology's name servers
// directly.
//
// Exit status: 0 all that was tried is fine; else that of the first error: 4 a name or address is
// not reached, 5 the credentials are wrong, 1 anything else.
#include "cli/check.h"

#include "base/err.h"
#include "base/mem.h"
#include "cli/dns_ask.h"
#include "config/endpoints.h"

#include <stdio.h>
#include <string.h>

// ---- how a check is told ----

static const struct cure {
    const char *code;
    int status;
    // %s: the region
    const char *text;
} cures[] = {
    {"CONNECTIVITY_DNS_ERROR", EXIT_UNREACHABLE,
     "look at `meridian dns explain NAME` on a name server of the topology, and whether its port "
     "53 can be reached"},
    {"CONNECTIVITY_REFUSED_ERROR", EXIT_UNREACHABLE,
     "is meridiand running in %s, and does its firewall let this machine in?"},
    {"CONNECTIVITY_SSL_ERROR", EXIT_FAILED,
     "look at `meridian certs show` on a node of %s, and whether --ca is the CA of this fleet"},
    {"CONNECTIVITY_FORBIDDEN_ERROR", EXIT_FAILED,
     "the registry's public_access in the topology must admit this machine's network"},
    {"CONNECTIVITY_TOOMANYREQUESTS_ERROR", EXIT_FAILED,
     "wait, or raise edge.per_client on the nodes of %s"},
    {"CONNECTIVITY_CHALLENGE_ERROR", EXIT_FAILED, "look at `meridian status` on a node of %s"},
    {"CONNECTIVITY_CREDENTIALS_ERROR", EXIT_DENIED,
     "`meridian user list` shows who there is; principals.yaml must be the same in %s"},
    {"CONNECTIVITY_ACCESS_TOKEN_ERROR", EXIT_FAILED,
     "look at `meridian status` on a node of %s, which has the auth role"},
    {"TOKEN_REFUSED_ERROR", EXIT_FAILED,
     "look at `meridian status` on the nodes of %s and of whoever gave it: is the token key named "
     "in the topology that "
     "is in force there (`meridian config check --in-force`), and are both clocks right?"},
    {"PULL_ERROR", EXIT_FAILED,
     "look at `meridian status` on a node of %s, and for the request in its log"},
    {"WRITES_ERROR", EXIT_FAILED,
     "look at `meridian status` on a node of %s: why it takes no writes stands there"},
    {"UPLOAD_LEFT_ERROR", EXIT_FAILED,
     "it is empty, and discarded after uploads.idle; look into the log of %s"},
    {"REGION_DOWN_ERROR", EXIT_FAILED,
     "`meridian status` on its node says what is wrong and what mends it"},
    {"NODE_AWAY_ERROR", EXIT_UNREACHABLE,
     "is meridiand running in %s, and is its peer listener reached from the node that was asked?"},
    {"NODE_CONDITION_ERROR", EXIT_FAILED, "`meridian status` on a node of %s has all of it"},
    {"REGION_SHORT_ERROR", EXIT_FAILED,
     "`meridian status` on its node says how much room there must be, and where"},
};

static const struct cure *cure_of(const char *code)
{
    for (size_t i = 0; i < ARRAY_LEN(cures); i++)
        if (!strcmp(cures[i].code, code))
            return &cures[i];
    return &cures[0];
}

static void tell(struct check *k, const struct place *p, const char *what, const char *status,
                 const char *code, const char *message)
{
    const char *at = NULL;
    if (p->at)
        at = p->at->name;
    if (cli_json(k->c)) {
        json_array_append_new(k->rows, json_pack("{s:s, s:s?, s:s, s:s, s:s?, s:s?}", "endpoint",
                                                 p->host, "region", at, "check", what, "status",
                                                 status, "code", code, "message", message));
        return;
    }
    printf("%s%s%s %s: ", p->host, p->led ? "" : " at ", p->led ? "" : at, what);
    if (code)
        printf("%s: %s\n", code, message);
    else if (message)
        printf("not tried: %s\n", message);
    else
        puts("OK");
}

bool check_report(struct check *k, const struct place *p, const char *what, const char *code,
                  const char *why)
{
    if (!code) {
        tell(k, p, what, "OK", NULL, NULL);
        return true;
    }
    const struct cure *cure = cure_of(code);
    const char *help = arena_printf(&k->c->arena, cure->text, p->at ? p->at->name : "the region");
    tell(k, p, what, "Failed", code, arena_printf(&k->c->arena, "%s; %s", why, help));
    k->n_errors++;
    if (!k->status)
        k->status = cure->status;
    return k->ignore_errors;
}

void check_not_tried(struct check *k, const struct place *p, const char *what, const char *why)
{
    tell(k, p, what, "NotTried", NULL, why);
}

// ---- DNS ----

// The first address that the name leads to, asked of the name servers in turn; NULL when none answers
// well.
static const struct ip *lookup(struct check *k, const char *host, const char **why)
{
    const struct topology *t = k->c->topo;
    *why = "no name server of the topology answers";
    for (size_t i = 0; i < t->n_name_servers; i++) {
        const struct stamp *s =
            &t->regions[t->name_servers[i].region].stamps[t->name_servers[i].stamp];
        const struct endpoint at = {.ip = s->n_ipv4 ? s->ipv4[0] : s->ipv6[0], .port = k->dns_port};
        struct dns_answer a;
        if (dns_ask(&at, host, s->n_ipv4 ? DNS_ASK_A : DNS_ASK_AAAA, false, &a))
            continue;
        *why = "the name has no address";
        if (!strcmp(a.rcode, "NXDOMAIN"))
            *why = "the name does not exist";
        if (!a.n)
            return NULL;
        return arena_copy(&k->c->arena, &a.addresses[0], sizeof a.addresses[0]);
    }
    return NULL;
}

static const struct region *region_at(const struct topology *t, const struct ip *ip)
{
    for (size_t i = 0; i < t->n_regions; i++)
        for (size_t j = 0; j < t->regions[i].n_stamps; j++) {
            const struct stamp *s = &t->regions[i].stamps[j];
            for (size_t n = 0; n < s->n_ipv4 + s->n_ipv6; n++)
                if (ip_equal(n < s->n_ipv4 ? &s->ipv4[n] : &s->ipv6[n - s->n_ipv4], ip))
                    return &t->regions[i];
        }
    return NULL;
}

// ---- the order of it ----

static const struct ip *home_of(const struct topology *t, const struct replica *r)
{
    const struct stamp *s = topology_replica_stamp(t, r);
    if (s->n_ipv4)
        return &s->ipv4[0];
    return &s->ipv6[0];
}

// A name that DNS leads somewhere; `want` NULL: the global one, to any region. *out_at: where it
// leads.
static bool check_named(struct check *k, enum name_kind kind, const char *host,
                        const struct region *want, const struct region **out_at)
{
    const char *why;
    char text[IP_TEXT_SIZE];
    const struct ip *address = lookup(k, host, &why);
    const struct region *at = NULL;
    if (address)
        at = region_at(k->c->topo, address);
    struct place p = {.kind = kind, .host = host, .at = at ? at : want, .led = true};
    *out_at = at;
    if (!address)
        return check_report(k, &p, "DNS", "CONNECTIVITY_DNS_ERROR", why);
    if (!at || (want && at != want)) // what follows would be of another region
        return check_report(k, &p, "DNS", "CONNECTIVITY_DNS_ERROR",
                            arena_printf(&k->c->arena, "the name leads to %s, %s",
                                         ip_format(address, text),
                                         at ? "another region" : "which is no stamp's address"));
    p.ip = address;
    return check_report(k, &p, "DNS", NULL, NULL) && check_place(k, &p);
}

static const char *host_of(struct check *k, enum name_kind kind, const char *region,
                           const char *stamp)
{
    char host[HOSTNAME_TEXT_SIZE];
    int rc = hostname_format(kind, k->c->topo->domain, kind == NAME_FRONTEND ? NULL : k->r->label,
                             region, stamp, host);
    if (rc)
        return "";
    return arena_strdup(&k->c->arena, host);
}

// All of one region: its health, the global name there, its own names.
static bool check_replica(struct check *k, const struct replica *r, const struct region *led)
{
    const struct topology *t = k->c->topo;
    const struct region *at = &t->regions[r->region], *to;
    struct place p = {.at = at, .ip = home_of(t, r), .led = true};
    p.kind = NAME_FRONTEND;
    p.host = host_of(k, NAME_FRONTEND, at->name, topology_replica_stamp(t, r)->name);
    bool go = check_region(k, &p);
    p.kind = NAME_GLOBAL;
    p.host = host_of(k, NAME_GLOBAL, NULL, NULL);
    p.led = false;
    if (go && at != led) // where it leads was tried before
        go = check_place(k, &p);
    static const enum name_kind own[] = {NAME_REGIONAL, NAME_DATA};
    for (size_t i = 0; go && i < ARRAY_LEN(own); i++)
        if (registry_name_is_public(k->r, own[i], at->index))
            go = check_named(k, own[i], host_of(k, own[i], at->name, NULL), at, &to);
    return go;
}

static int check_all(struct check *k)
{
    const struct region *led;
    bool go = check_named(k, NAME_GLOBAL, host_of(k, NAME_GLOBAL, NULL, NULL), NULL, &led);
    for (size_t i = 0; go && i < k->r->n_replicas; i++)
        go = check_replica(k, &k->r->replicas[i], led);
    if (go && k->nodes)
        go = check_nodes(k);
    if (cli_json(k->c))
        cli_print_json(k->c, json_incref(k->rows));
    if (!k->n_errors)
        return EXIT_DONE;
    return cli_fail(k->status, "%d error%s%s", k->n_errors, k->n_errors == 1 ? "" : "s",
                    go ? "" : "; --ignore-errors goes on after the first");
}

int cmd_check_health(struct cli *c, int argc, char **argv)
{
    const char *name = NULL;
    int64_t port = 53;
    struct check k = {.c = c, .repository = "check-health"};
    const struct opt rows[] = {
        {'n', "name", "REGISTRY", "the registry", &name, NULL},
        {0, "repository", "REPOSITORY",
         "where reading and writing are tried (default check-health)", &k.repository, NULL},
        {0, "ignore-errors", NULL, "go on after an error", NULL, &k.ignore_errors},
        {0, "nodes", NULL, "all nodes too, as one of them has heard it (--admin or --server)", NULL,
         &k.nodes},
        {0, "dns-port", "PORT", "port of the name servers (default 53)", .number = &port, .min = 1,
         .max = 65535}};
    int rc = opt_parse(c, rows, ARRAY_LEN(rows), argc, argv, &argc);
    if (rc)
        return rc;
    k.r = cli_registry_given(c, name, argc, argv);
    if (!k.r) {
        if (name || argc > 1)
            return EXIT_FAILED;
        return EXIT_USAGE;
    }
    if (c->username) {
        k.password = cli_password(c);
        if (!k.password)
            return EXIT_FAILED;
    }
    k.dns_port = (uint16_t)port;
    k.rows = json_array();
    c->quiet = true; // the line of the check says why
    rc = check_all(&k);
    json_decref(k.rows);
    if (k.password)
        explicit_bzero(k.password, strlen(k.password));
    free(k.password);
    return rc;
}
