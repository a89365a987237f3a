// SPDX-License-Identifier: Apache-2.0
// What the node answers for the names of its registries, in each view, with the reasons; and whether
// its listeners answer at all. See bundle.h.
#include "cli/bundle.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "cli/dns_ask.h"
#include "config/catalogue.h"
#include "config/endpoints.h"

#include <stdio.h>
#include <string.h>

#define ANSWERS_PART "dns/answers.json"
#define LISTENERS_PART "dns/listeners.json"
#define REGISTRIES_MAX 16
#define VIEWS_MAX 8
#define ANSWERS_MAX 400

// ---- answers ----

struct answers {
    struct bundle *b;
    json_t *list;
    size_t n_left_out;
    // the first question that was not answered; NULL: none
    const char *why;
};

static void add_answer(struct answers *a, const char *name, const char *view)
{
    struct cli *c = a->b->c;
    AUTO_BUF struct buf text;
    const char *why = NULL;
    buf_init(&text, BUNDLE_PART_MAX);
    if (json_array_size(a->list) >= ANSWERS_MAX) {
        a->n_left_out++;
        return;
    }
    int rc = bundle_ask(a->b,
                        arena_printf(&c->arena, "/v1/dns/explain?name=%s&view=%s",
                                     cli_urlencode(c, name), cli_urlencode(c, view)),
                        &text, &why);
    json_t *doc = NULL;
    if (!rc)
        doc = json_loadb(buf_cstr(&text), text.n, 0, NULL);
    if (doc) {
        json_array_append_new(
            a->list, json_pack("{s:s, s:s, s:o}", "name", name, "view", view, "answer", doc));
        return;
    }
    if (!a->why)
        a->why = arena_printf(&c->arena, "%s in view %s: %s", name, view,
                              why ? why : "the answer is no JSON");
}

// The name in the public view and in every private one.
static void add_name(struct answers *a, enum name_kind kind, const struct registry *r,
                     uint8_t region)
{
    const struct topology *t = a->b->topology;
    const char *in = NULL;
    char name[HOSTNAME_TEXT_SIZE];
    if (region != REGION_NONE)
        in = t->regions[region].name;
    if (hostname_format(kind, t->domain, r->label, in, NULL, name))
        return;
    add_answer(a, name, "public");
    for (size_t i = 0; i < t->n_views && i < VIEWS_MAX; i++)
        add_answer(a, name, t->views[i].name);
}

static void add_registry(struct answers *a, const struct registry *r)
{
    struct endpoint_name e;
    for (size_t at = 0; endpoint_next(r, &at, &e);) {
        add_name(a, e.kind, r, e.region);
        if (r->n_private_endpoints)
            add_name(a, hostname_private_of(e.kind), r, e.region);
    }
}

static void all_answers(struct bundle *b)
{
    struct answers a = {.b = b, .list = json_array()};
    struct catalogue_iter it = {0};
    const struct registry *r;
    size_t n = 0;
    while (a.list && n < REGISTRIES_MAX && (r = topology_next(b->topology, &it))) {
        add_registry(&a, r);
        n++;
    }
    if (a.n_left_out)
        bundle_lacks(b, ANSWERS_PART, "%zu more answers are left out: there are %d at most",
                     a.n_left_out, ANSWERS_MAX);
    if (n < b->topology->n_registries)
        bundle_lacks(b, ANSWERS_PART,
                     "of %zu registries the first %zu are in it (meridian dns explain has others)",
                     b->topology->n_registries, n);
    if (a.why)
        bundle_lacks(b, ANSWERS_PART, "%s", a.why);
    bundle_add_json(b, ANSWERS_PART, "what this node answers for its registries' names, and why",
                    a.list);
}

// ---- listeners ----

// A wildcard address is asked on the loopback one.
static struct endpoint reached(const struct endpoint *e)
{
    static const struct ip any;
    struct endpoint to = *e;
    struct ip v4_any;
    if (ip_equal(&e->ip, &any))
        (void)ip_parse("::1", &to.ip);
    else if (!ip_parse("0.0.0.0", &v4_any) && ip_equal(&e->ip, &v4_any))
        (void)ip_parse("127.0.0.1", &to.ip);
    return to;
}

static void ask_listener(struct bundle *b, const struct endpoint *e, bool tcp, json_t *all)
{
    const struct endpoint to = reached(e);
    char listener[ENDPOINT_TEXT_SIZE];
    struct dns_answer a;
    int64_t since_us = clock_mono_us();
    int rc = dns_ask(&to, b->topology->domain, DNS_ASK_SOA, tcp, &a);
    json_t *row = json_pack("{s:s, s:s, s:s, s:I}", "listener", endpoint_format(e, listener),
                            "transport", tcp ? "tcp" : "udp", "answer", rc ? "none" : a.rcode,
                            "microseconds", (json_int_t)(clock_mono_us() - since_us));
    json_array_append_new(all, row);
}

static void all_listeners(struct bundle *b)
{
    json_t *all = json_array();
    for (size_t i = 0; all && i < b->node->n_dns; i++) {
        ask_listener(b, &b->node->dns[i], false, all);
        ask_listener(b, &b->node->dns[i], true, all);
    }
    bundle_add_json(b, LISTENERS_PART, "whether the DNS listeners answer for the domain's SOA",
                    all);
}

void bundle_dns(struct bundle *b)
{
    if (!b->topology) {
        bundle_lacks(b, ANSWERS_PART, "without a topology nobody knows which names to ask for");
        return;
    }
    if (b->status)
        all_answers(b);
    else
        bundle_lacks(b, ANSWERS_PART, "the node does not answer");
    if (b->node && (b->node->roles & ROLE_RESOLVER))
        all_listeners(b);
}
