// SPDX-License-Identifier: Apache-2.0
// Answers that depend on the client: the region of a global name, and the TXT record at _route.L.D
// that says which it is and why. See answer_priv.h. RFC 7871 section 7.2.1 for the scope.
#include "resolver/answer/priv.h"

#include "base/mem.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct route_context answer_routing(const struct answer *a)
{
    return (struct route_context){.topology = a->t,
                                  .health = a->c->health,
                                  .map = a->c->health_map,
                                  .geo = a->c->geo,
                                  .now_s = a->c->now_s,
                                  .frontend = a->c->frontend};
}

static struct route_client client_of(const struct answer *a)
{
    return client_of_query(a->t, a->q, !a->view, &a->c->source);
}

// The answer holds for that many bits of the client's network. 0 is there already: for all.
static void set_scope(struct answer *a, const struct route_context *c,
                      const struct route_client *client, bool by_weight)
{
    if (client->by_ecs)
        a->edns.ecs_scope = route_scope(c, client, by_weight);
    else if (client->passed_over)
        a->edns.ecs_scope = (uint8_t)(client->passed_over - (a->q->ecs_family == 1 ? 96 : 0));
}

bool answer_choose(struct answer *a, const struct catalogue_registry *r, struct route_choice *out)
{
    const struct route_context c = answer_routing(a);
    const struct route_client client = client_of(a);
    bool found = route_pick(&c, r, &client, out);
    a->info->mode = (uint8_t)out->mode;
    set_scope(a, &c, &client, out->by_weight);
    return found;
}

// RDATA under construction: strings of at most 255 octets. Each ends in a blank when another
// follows, so that who joins them, as most libraries do, can still tell them apart.
struct txt {
    uint8_t b[512];
    // last: where the last string begins
    size_t n, last;
};

static void txt_add(struct txt *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void txt_add(struct txt *t, const char *fmt, ...)
{
    char text[128];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    if (n <= 0 || (size_t)n >= sizeof text || t->n + 2 + (size_t)n > sizeof t->b)
        return; // names and prefixes are shorter
    if (t->n) {
        t->b[t->n++] = ' ';
        t->b[t->last]++;
    }
    t->last = t->n;
    t->b[t->n++] = (uint8_t)n;
    memcpy(t->b + t->n, text, (size_t)n);
    t->n += (size_t)n;
}

// Does the view have private addresses for the registry's global name? The name does not leave the
// view then.
static bool is_private(const struct answer *a, const struct catalogue_registry *r)
{
    const struct private_endpoint *const *list;
    size_t n = 0;
    if (a->view)
        n = catalogue_private_endpoints(a->t->catalogue, r, &list);
    for (size_t i = 0; i < n; i++) {
        bool counts = &a->t->views[list[i]->view] == a->view && list[i]->stage == PRIVATE_IN_DNS;
        for (size_t k = 0; counts && k < list[i]->n_members; k++)
            if (list[i]->members[k].kind == NAME_GLOBAL)
                return true;
    }
    return false;
}

// The network that the answer holds for, as far as the query tells it.
static const char *prefix_text(const struct route_client *client, uint8_t scope,
                               char out[CIDR_TEXT_SIZE])
{
    uint8_t bits = (uint8_t)(scope + (ip_is_v4(&client->net.ip) ? 96 : 0));
    struct cidr c = {client->net.ip, bits < client->net.bits ? bits : client->net.bits};
    for (unsigned i = c.bits; i < 128; i++)
        c.ip.b[i / 8] &= (uint8_t) ~(0x80 >> i % 8);
    return cidr_format(&c, out);
}

// A region before the chosen one that was passed over in that state: for want of space, which its
// /healthz says to everybody; or for a fault drill, which nobody shall take for a failure.
static void say_passed(struct answer *a, const struct route *all, enum route_state state,
                       const char *word, struct txt *out)
{
    for (size_t i = 0; i < all->chosen; i++)
        if (all->steps[i].state == state) {
            txt_add(out, "%s=%s", word, a->t->regions[all->steps[i].region].name);
            return;
        }
}

// Region, reason, and whose network decided: never the table, which is the operator's
// (resolver/answer/explain.h).
static void say_route(struct answer *a, const struct catalogue_registry *r, struct txt *out)
{
    const struct route_context c = answer_routing(a);
    const struct route_client client = client_of(a);
    char prefix[CIDR_TEXT_SIZE];
    struct route all;
    route_decide(&c, r, &client, &all);
    a->info->mode = (uint8_t)all.mode;
    set_scope(a, &c, &client, all.by_weight);
    if (all.mode != ROUTE_NOWHERE) {
        const struct route_step *s = &all.steps[all.chosen];
        a->info->region = s->region;
        txt_add(out, "region=%s", a->t->regions[s->region].name);
        txt_add(out, "reason=%s", route_mode_name(all.mode));
        say_passed(a, &all, ROUTE_SHORT, "short", out);
        say_passed(a, &all, ROUTE_DRILLED, "drill", out);
        txt_add(out, "order=%s%s", route_placed_name((enum route_placed)s->placed),
                all.by_weight ? "+weight" : "");
    } else {
        // validation lets no such topology pass
        txt_add(out, "reason=%s", route_mode_name(all.mode));
    }
    txt_add(out, "via=%s", client.by_ecs ? "ecs" : "source");
    txt_add(out, "prefix=%s",
            prefix_text(&client, route_scope(&c, &client, all.by_weight), prefix));
}

bool answer_route(struct answer *a, const struct hostname *h)
{
    const struct catalogue_registry *r =
        catalogue_find(a->t->catalogue, h->label, strlen(h->label));
    struct txt txt = {.n = 0};
    if (!r || !hop_is_served(a, &(struct hop){r, NAME_GLOBAL, REGION_NONE}))
        return false;
    if (a->q->type != DNS_TXT && a->q->type != DNS_ANY) {
        answer_add_soa(a, ZONE_MAIN, true);
        return true;
    }
    if (!answer_large_ok(a)) {
        answer_truncate(a);
        return true;
    }
    if (is_private(a, r)) {
        txt_add(&txt, "reason=private");
        txt_add(&txt, "view=%s", a->view->name);
    } else {
        say_route(a, r, &txt);
    }
    uint8_t *p = dns_write_rr_at(&a->w, a->owner_at, DNS_TXT, a->t->ttl.global, txt.n);
    if (p)
        memcpy(p, txt.b, txt.n);
    a->n_answer++;
    return true;
}
