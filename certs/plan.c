// SPDX-License-Identifier: Apache-2.0
// Which names each certificate carries: pure functions of the topology; see plan.h. Any thread.
#include "certs/plan.h"

#include "base/err.h"
#include "base/mem.h"

#include <string.h>
#include <strings.h>

#define DAY_S 86400u

static const struct {
    const char *name, *file;
    unsigned lifetime_s;
} kinds[] = {
    [CERT_REGION] = {"region", "region.pem", 90 * DAY_S},
    // every region holds it, so it is worth less to a thief
    [CERT_SHARED] = {"shared", "shared.pem", 7 * DAY_S},
    [CERT_PEER] = {"peer", "peer.pem", 365 * DAY_S},
};

const char *cert_kind_name(enum cert_kind kind)
{
    return kinds[kind].name;
}

int cert_kind_parse(const char *text, enum cert_kind *out)
{
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
        if (!strcmp(text, kinds[i].name)) {
            *out = (enum cert_kind)i;
            return 0;
        }
    return ERR_INVAL;
}

int cert_peer_name(const char *domain, const char *region, struct arena *a, const char **out)
{
    const char *s = arena_printf(a, "%s.peer.%s", region, domain);
    if (!s)
        return ERR_NOMEM;
    *out = s;
    return 0;
}

static int plan_add(struct arena *a, const char **dns, size_t *n, const char *prefix,
                    const char *region, const char *middle, const char *domain)
{
    dns[*n] = arena_printf(a, "%s%s%s%s", prefix, region, middle, domain);
    if (dns[(*n)++])
        return 0;
    return ERR_NOMEM;
}

static unsigned lifetime_of(const struct topology *t, enum cert_kind kind)
{
    const struct cert_lifetimes *l = &t->cert_life;
    unsigned s;
    if (kind == CERT_REGION)
        s = l->region;
    else if (kind == CERT_SHARED)
        s = l->shared;
    else
        s = l->peer;
    if (s)
        return s;
    return kinds[kind].lifetime_s;
}

int cert_plan(const struct topology *t, const char *region, enum cert_kind kind, struct arena *a,
              struct cert_plan *out)
{
    static const char *const of_region[] = {".geo.", ".data.", ".fe.", ".geo.privatelink.",
                                            ".data.privatelink."};
    if (!hostname_region_ok(region))
        return ERR_INVAL;
    struct cert_plan p = {
        .kind = kind, .file = kinds[kind].file, .lifetime_s = lifetime_of(t, kind)};
    const char **dns = arena_array(a, ARRAY_LEN(of_region), sizeof *dns);
    p.region = arena_strdup(a, region);
    if (!dns || !p.region)
        return ERR_NOMEM;
    int rc = 0;
    switch (kind) {
    case CERT_REGION:
        for (size_t i = 0; i < ARRAY_LEN(of_region) && !rc; i++)
            rc = plan_add(a, dns, &p.n_dns, "*.", region, of_region[i], t->domain);
        break;
    case CERT_SHARED:
        rc = plan_add(a, dns, &p.n_dns, "*.", "", "", t->domain);
        if (!rc)
            rc = plan_add(a, dns, &p.n_dns, "*.", "", "privatelink.", t->domain);
        break;
    case CERT_PEER:
        rc = cert_peer_name(t->domain, region, a, &dns[0]);
        p.n_dns = 1;
        p.client_auth = true;
        p.uri = arena_printf(a, "meridian://%s/region/%s", t->domain, region);
        if (!p.uri)
            rc = ERR_NOMEM;
        break;
    }
    if (rc)
        return rc;
    p.dns = dns;
    *out = p;
    return 0;
}

static bool name_covers(const char *name, const char *host)
{
    if (strncmp(name, "*.", 2) != 0)
        return !strcasecmp(name, host);
    const char *dot = strchr(host, '.');
    return dot && dot != host && !strcasecmp(name + 1, dot);
}

bool cert_plan_covers(const struct cert_plan *p, const char *host)
{
    for (size_t i = 0; i < p->n_dns; i++)
        if (name_covers(p->dns[i], host))
            return true;
    return false;
}
