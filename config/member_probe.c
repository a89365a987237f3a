// SPDX-License-Identifier: Apache-2.0
// See member_probe.h.
#include "config/member_probe.h"

#include "config/endpoints.h"

#include <stdio.h>

bool private_member_waits(const struct registry *r, const struct private_endpoint *pe,
                          const struct private_member *m)
{
    if (pe->answered_by == ANSWERED_BY_NONE)
        return false;
    if (pe->stage == PRIVATE_AT_EDGE)
        return true;
    return registry_name_stage(r, m->kind, m->region) == STAGE_EDGE;
}

static void probe_of(const struct topology *t, const struct registry *r,
                     const struct private_endpoint *pe, const struct private_member *m,
                     struct member_probe *out)
{
    const char *region = NULL;
    *out = (struct member_probe){r, pe, m, r->replica_set, ""};
    if (m->region != REGION_NONE) {
        out->regions = (region_set)1 << m->region;
        region = t->regions[m->region].name;
    }
    hostname_format(m->kind, t->domain, r->label, region, NULL, out->name);
}

static bool next_of_registry(const struct topology *t, struct member_iter *it,
                             struct member_probe *out)
{
    const struct registry *r = it->registry;
    for (; r && it->endpoint < r->n_private_endpoints; it->endpoint++, it->member = 0) {
        const struct private_endpoint *pe = r->private_endpoints[it->endpoint];
        while (it->member < pe->n_members) {
            const struct private_member *m = &pe->members[it->member++];
            if (!private_member_waits(r, pe, m))
                continue;
            probe_of(t, r, pe, m, out);
            return true;
        }
    }
    return false;
}

bool member_probe_next(const struct topology *t, struct member_iter *it, struct member_probe *out)
{
    while (!next_of_registry(t, it, out)) {
        const struct catalogue_registry *rec =
            catalogue_next_private(t->catalogue, &it->registries);
        if (!rec)
            return false;
        it->registry = catalogue_full(t->catalogue, rec);
        it->endpoint = it->member = 0;
    }
    return true;
}

const char *private_member_key(const struct topology *t, const struct private_member *m,
                               char out[MEMBER_KEY_SIZE])
{
    const char *form = "registry_%s";
    if (m->kind == NAME_DATA)
        form = "registry_data_%s";
    if (m->kind == NAME_GLOBAL)
        snprintf(out, MEMBER_KEY_SIZE, "registry");
    else
        snprintf(out, MEMBER_KEY_SIZE, form, t->regions[m->region].name);
    return out;
}
