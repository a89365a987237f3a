// SPDX-License-Identifier: Apache-2.0
// Words on a topology; see advice.h. Sizes are those that resolver/answer/record.c writes: owners
// are pointers, and a target ends in one to the domain.
#include "config/advice.h"

#include "base/diag.h"
#include "base/mem.h"
#include "config/catalogue.h"
#include "config/endpoints.h"

#include <stdio.h>
#include <string.h>

#define UDP_LEAST 512 // what a client without EDNS takes (RFC 1035 section 4.2.1)
#define HEADER_BYTES 12
#define QUESTION_TAIL_BYTES 4
#define RR_BYTES 12 // before RDATA
#define POINTER_BYTES 2
#define PRIVATELINK_BYTES 12 // the label

struct advisor {
    const struct topology *t;
    const char *source;
    struct diag *d;
    // by stamp: of the answers that end in its addresses
    struct chain *longest;
};

struct chain { // an answer up to its addresses
    const struct registry *registry;
    struct endpoint_name name;
    size_t n;
};

struct set { // addresses at the end of one
    size_t v4, v6;
};

static size_t private_labels(const struct topology *t, const struct endpoint_name *e)
{
    if (e->kind == NAME_GLOBAL)
        return t->catalogue->global_private.n;
    const struct catalogue_region *r = &t->catalogue->regions[e->region];
    if (e->kind == NAME_DATA)
        return r->data_private.n;
    return r->geo_private.n;
}

// The question for the public name, and with private endpoints the alias to the private one.
static struct chain chain_of(const struct topology *t, const struct registry *r,
                             struct endpoint_name e)
{
    size_t label = 1 + strlen(r->label), labels = private_labels(t, &e);
    size_t n = HEADER_BYTES + label + labels - PRIVATELINK_BYTES + t->catalogue->apex_n +
               QUESTION_TAIL_BYTES;
    if (registry_in_private_dns(r))
        n += RR_BYTES + label + labels + POINTER_BYTES;
    return (struct chain){r, e, n};
}

static size_t fitting(const struct chain *c, size_t each)
{
    if (c->n < UDP_LEAST)
        return (UDP_LEAST - c->n) / each;
    return 0;
}

static void say_family(const struct advisor *a, const struct chain *c, const char *what, size_t n,
                       bool v4, const char *then)
{
    char name[HOSTNAME_TEXT_SIZE];
    size_t each = RR_BYTES + (v4 ? 4 : 16), fit = fitting(c, each);
    const char *region = NULL;
    if (c->name.region != REGION_NONE)
        region = a->t->regions[c->name.region].name;
    if (n <= fit ||
        hostname_format(c->name.kind, a->t->domain, c->registry->label, region, NULL, name))
        return;
    diag_add(a->d, a->source, 0,
             "warning: %s: %zu %s addresses make an answer of %zu octets for %s; a client without "
             "EDNS takes %d, in which "
             "%zu fit: %s",
             what, n, v4 ? "IPv4" : "IPv6", c->n + n * each, name, UDP_LEAST, fit, then);
}

static void say_set(const struct advisor *a, const struct chain *c, const char *what, struct set s,
                    const char *then)
{
    say_family(a, c, what, s.v4, true, then);
    say_family(a, c, what, s.v6, false, then);
}

static struct set members_of(const struct private_endpoint *pe, const struct endpoint_name *e)
{
    struct set s = {0};
    for (size_t i = 0; i < pe->n_members; i++) {
        if (!private_member_is(&pe->members[i], e->kind, e->region))
            continue;
        s.v4 += ip_is_v4(&pe->members[i].ip);
        s.v6 += !ip_is_v4(&pe->members[i].ip);
    }
    return s;
}

static void look_at_private(const struct advisor *a, const struct chain *c)
{
    for (size_t i = 0; i < c->registry->n_private_endpoints; i++) {
        const struct private_endpoint *pe = c->registry->private_endpoints[i];
        char what[128];
        snprintf(what, sizeof what, "private endpoint %s", pe->name);
        say_set(a, c, what, members_of(pe, &c->name),
                "it gets those, and the others only over TCP, which musl (Alpine images) before "
                "1.2.4 does not speak");
    }
}

static void keep_longest(struct advisor *a, const struct chain *c, const struct replica *to)
{
    const struct catalogue_region *r = &a->t->catalogue->regions[to->region];
    struct chain *x = &a->longest[r->first_stamp + to->stamp];
    size_t n = c->n + RR_BYTES + r->frontends[to->stamp].n + POINTER_BYTES;
    if (n > x->n)
        *x = (struct chain){c->registry, c->name, n};
}

static void look_at_registry(struct advisor *a, const struct registry *r)
{
    struct endpoint_name e;
    for (size_t at = 0; endpoint_next(r, &at, &e);) {
        struct chain c = chain_of(a->t, r, e);
        look_at_private(a, &c);
        for (size_t i = 0; i < r->n_replicas; i++)
            if (e.region == REGION_NONE || e.region == r->replicas[i].region)
                keep_longest(a, &c, &r->replicas[i]);
    }
}

static void look_at_stamps(const struct advisor *a)
{
    for (size_t i = 0; i < a->t->n_regions; i++) {
        const struct region *r = &a->t->regions[i];
        for (size_t k = 0; k < r->n_stamps; k++) {
            const struct stamp *s = &r->stamps[k];
            const struct chain *c = &a->longest[a->t->catalogue->regions[i].first_stamp + k];
            char what[128];
            snprintf(what, sizeof what, "stamp %s.%s", s->name, r->name);
            if (c->n)
                say_set(a, c, what, (struct set){s->n_ipv4, s->n_ipv6},
                        "it has to come again over TCP");
        }
    }
}

void topology_advise(const struct topology *t, const char *source, struct diag *d)
{
    struct catalogue_iter it = {0};
    AUTO_FREE struct chain *longest = mem_zalloc_array(t->catalogue->n_stamps + 1, sizeof *longest);
    struct advisor a = {t, source, d, longest};
    for (const struct registry *r; longest && (r = topology_next(t, &it));)
        look_at_registry(&a, r);
    if (longest)
        look_at_stamps(&a);
}
