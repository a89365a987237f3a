// SPDX-License-Identifier: Apache-2.0
// Where the name of an image leads a client: as a node explains it (GET /v1/dns/explain, the code that
// answers), or where none can be asked, as the topology's name servers answer this machine. From
// that, the ways: the one that the name leads, and those to the other regions. See pull_walk.h.
#include "cli/pull_walk.h"

#include "base/err.h"
#include "base/mem.h"
#include "cli/dns_ask.h"
#include "cli/show.h"
#include "config/endpoints.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define DNS_PORT 53
#define EXPLAIN_MS 20000

struct named { // what is known of one name
    bool answered, by_source, view_unknown, refused, fail_open;
    const char *why, *rcode, *view, *stage, *private_endpoint;
    // the first one; n 0: none
    struct ip address;
    size_t n;
};

bool pull_has_node(struct cli *c)
{
    return c->server || access(c->admin, R_OK | W_OK) == 0;
}

// ---- asking a node ----

// The addresses of records such as "eus-1.eastus.fe.example.io. 60 IN A 192.0.2.1".
static void addresses_of(const json_t *answer, const char *type, struct named *out)
{
    const json_t *list = json_object_get(json_object_get(answer, type), "answer"), *one;
    const char *mark = " IN A ";
    size_t i;
    if (!strcmp(type, "aaaa"))
        mark = " IN AAAA ";
    json_array_foreach(list, i, one)
    {
        const char *text = json_string_value(one), *at = NULL;
        struct ip ip;
        if (text)
            at = strstr(text, mark);
        if (!at || ip_parse(at + strlen(mark), &ip))
            continue;
        if (!out->n++)
            out->address = ip;
    }
}

static const char *kept(struct cli *c, const json_t *v)
{
    if (!json_is_string(v))
        return NULL;
    return arena_strdup(&c->arena, json_string_value(v));
}

static void take_explanation(struct cli *c, const json_t *doc, struct named *out)
{
    const json_t *routing = json_object_get(doc, "routing");
    out->view = kept(c, json_object_get(doc, "view"));
    out->refused = out->view && !strcmp(out->view, "refused");
    out->stage = kept(c, json_object_get(doc, "stage"));
    out->rcode = kept(c, json_object_get(json_object_get(doc, "a"), "rcode"));
    out->fail_open = json_is_true(json_object_get(routing, "failOpen"));
    out->private_endpoint = kept(c, json_object_get(json_object_get(doc, "private"), "endpoint"));
    out->answered = out->rcode != NULL;
    out->why = kept(c, json_object_get(doc, "error"));
    addresses_of(doc, "a", out);
    addresses_of(doc, "aaaa", out);
}

static const char *with(struct cli *c, const char *path, const char *key, const char *value)
{
    if (!value)
        return path;
    return arena_printf(&c->arena, "%s&%s=%s", path, key, cli_urlencode(c, value));
}

static void ask_node(struct pull_run *run, const char *host, struct named *out)
{
    struct cli *c = run->c;
    struct fetch_result r;
    const char *client = run->client;
    if (!client && !run->view)
        client = "127.0.0.1";
    const char *path = arena_printf(&c->arena, "/v1/dns/explain?name=%s", cli_urlencode(c, host));
    path = with(c, with(c, path, "client", client), "view", run->view);
    if (cli_node_fetch(c, "GET", path, (struct bytes){0}, EXPLAIN_MS, &r)) {
        out->why = c->why;
        return;
    }
    json_t *doc = NULL;
    if (r.status == 200)
        doc = json_said(&r.body, 0);
    if (doc)
        take_explanation(c, doc, out);
    else
        out->why = arena_printf(&c->arena, "%s: HTTP %d: %.200s", cli_node_name(c), r.status,
                                buf_cstr(&r.body));
    out->view_unknown = run->view && r.status == 404 && strstr(buf_cstr(&r.body), "no such view");
    json_decref(doc);
    fetch_result_done(&r);
}

// ---- asking the name servers ----

static void ask_servers(struct pull_run *run, const char *host, struct named *out)
{
    const struct topology *t = run->c->topo;
    out->why = "no name server of the topology answers";
    for (size_t i = 0; i < t->n_name_servers && !out->answered; i++) {
        const struct stamp *s =
            &t->regions[t->name_servers[i].region].stamps[t->name_servers[i].stamp];
        const struct endpoint at = {.ip = s->n_ipv4 ? s->ipv4[0] : s->ipv6[0], .port = DNS_PORT};
        struct dns_answer a;
        if (dns_ask(&at, host, s->n_ipv4 ? DNS_ASK_A : DNS_ASK_AAAA, false, &a))
            continue;
        *out = (struct named){.answered = true,
                              .by_source = true,
                              .rcode = arena_strdup(&run->c->arena, a.rcode),
                              .n = a.n};
        if (a.n)
            out->address = a.addresses[0];
    }
}

static void ask(struct pull_run *run, const char *host, struct named *out)
{
    *out = (struct named){0};
    if (pull_has_node(run->c))
        ask_node(run, host, out);
    else if (run->client || run->view)
        out->why = "where another client is led only a node can say: --admin, --server";
    else
        ask_servers(run, host, out);
}

// ---- ways ----

static const struct region *region_of(const struct topology *t, const struct ip *ip)
{
    for (size_t i = 0; i < t->n_regions; i++)
        for (size_t j = 0; j < t->regions[i].n_stamps; j++) {
            const struct stamp *s = &t->regions[i].stamps[j];
            for (size_t k = 0; k < s->n_ipv4 + s->n_ipv6; k++)
                if (ip_equal(k < s->n_ipv4 ? &s->ipv4[k] : &s->ipv6[k - s->n_ipv4], ip))
                    return &t->regions[i];
        }
    return NULL;
}

static const char *host_of(struct pull_run *run, enum name_kind kind, const struct region *region)
{
    char host[HOSTNAME_TEXT_SIZE];
    const char *label = run->image.label;
    if (run->registry)
        label = run->registry->label;
    if (hostname_format(kind, run->c->topo->domain, label, region ? region->name : NULL, NULL,
                        host))
        return NULL;
    return arena_strdup(&run->c->arena, host);
}

static struct pull_way *way_add(struct pull_run *run, const char *host, const struct named *n,
                                const struct region *region)
{
    struct pull_way *w = &run->ways[run->n_ways++];
    const struct region *leads_to = NULL;
    if (n->n && !n->private_endpoint)
        leads_to = region_of(run->c->topo, &n->address);
    *w = (struct pull_way){.region = region, .host = host};
    w->f =
        (struct pull_findings){.host = host,
                               .registry = run->registry ? run->registry->name : run->image.label,
                               .region = region ? region->name : "",
                               .repository = run->image.repository,
                               .reference = run->image.reference,
                               .user = run->user,
                               .registry_known = run->registry != NULL,
                               .region_known = region != NULL,
                               .login = run->login};
    w->f.dns.answered = n->answered;
    w->f.dns.why = n->why;
    w->f.dns.rcode = n->rcode;
    w->f.dns.n_addresses = n->n;
    w->f.dns.leads_to = leads_to ? leads_to->name : NULL;
    w->f.dns.private_endpoint = n->private_endpoint;
    w->f.dns.fail_open = n->fail_open;
    w->f.dns.stage = n->stage;
    w->f.view.by_source = n->by_source;
    w->f.view.unknown = n->view_unknown;
    w->f.view.refused = n->refused;
    w->f.view.name = n->view ? n->view : run->view;
    w->f.led = leads_to && leads_to == region;
    if (run->registry && region) {
        w->f.replica_there = registry_replica(run->registry, region->index) != NULL;
        w->f.regional_offered =
            registry_name_is_public(run->registry, NAME_REGIONAL, region->index);
    }
    return w;
}

// To a region's home stamp, whatever the name says.
static void dial_home(struct pull_run *run, struct pull_way *w)
{
    const struct replica *rep = NULL;
    if (run->registry)
        rep = registry_replica(run->registry, w->region->index);
    const struct stamp *s = &w->region->stamps[0];
    if (rep)
        s = topology_replica_stamp(run->c->topo, rep);
    w->ip = s->n_ipv4 ? s->ipv4[0] : s->ipv6[0];
    w->has_ip = true;
}

static void dial_answer(struct pull_way *w, const struct named *n)
{
    w->ip = n->address;
    w->has_ip = n->n > 0;
}

// By its regional name, or while there is none by the global one.
static void way_to_region(struct pull_run *run, const struct region *region, bool named_so)
{
    struct named n;
    bool regional =
        named_so ||
        (run->registry && registry_name_is_public(run->registry, NAME_REGIONAL, region->index));
    const char *host = host_of(run, regional ? NAME_REGIONAL : NAME_GLOBAL, region);
    ask(run, host ? host : "", &n);
    struct pull_way *w = way_add(run, host, &n, region);
    w->f.regional = regional;
    if (regional && n.n)
        dial_answer(w, &n);
    else if (run->registry)
        dial_home(run, w);
}

// To a region that is not in the topology: the name says why it leads nowhere.
static void way_to_nowhere(struct pull_run *run)
{
    struct named n;
    ask(run, run->image.host, &n);
    struct pull_way *w = way_add(run, run->image.host, &n, NULL);
    w->f.region = run->image.region;
    w->f.regional = true;
}

// The way that the global name leads, and the other regions' by the same name.
static void ways_of_global(struct pull_run *run)
{
    struct named n;
    const char *host = host_of(run, NAME_GLOBAL, NULL);
    ask(run, host ? host : "", &n);
    if (!run->registry || n.private_endpoint) {
        struct pull_way *w = way_add(run, host, &n, NULL);
        w->f.led = true;
        if (run->registry)
            dial_answer(w, &n);
    }
    for (size_t i = 0; run->registry && i < run->registry->n_replicas; i++) {
        const struct region *region = &run->c->topo->regions[run->registry->replicas[i].region];
        struct pull_way *w = way_add(run, host, &n, region);
        if (w->f.led)
            dial_answer(w, &n);
        else
            dial_home(run, w);
    }
}

int pull_find_ways(struct pull_run *run)
{
    struct cli *c = run->c;
    run->ways = arena_array(&c->arena, 2 + c->topo->n_regions, sizeof *run->ways);
    if (!run->ways)
        return cli_fail(EXIT_FAILED, "%s: %s", c->path, err_text(ERR_NOMEM));
    if (!host_of(run, NAME_GLOBAL, NULL))
        return cli_fail(EXIT_USAGE, "%s: %s is no name of a registry", c->path, run->image.label);
    if (!run->only && run->image.region)
        way_to_nowhere(run);
    else if (run->only)
        way_to_region(run, run->only, run->image.kind == NAME_REGIONAL);
    else
        ways_of_global(run);
    return EXIT_DONE;
}
