// SPDX-License-Identifier: Apache-2.0
// Which of a registry's names there are for a client; see priv.h.
#include "resolver/answer/priv.h"

#include "config/endpoints.h"

#include <string.h>

bool hop_is_served(const struct answer *a, const struct hop *hop)
{
    enum name_stage stage = catalogue_name_stage(hop->registry, hop->kind, hop->region);
    struct private_iter it = private_begin(a, hop);
    if (stage == STAGE_PUBLIC)
        return true;
    return stage == STAGE_PRIVATE && private_next(&it);
}

bool hop_of(const struct answer *a, const struct hostname *h, struct hop *out)
{
    const struct topology *t = a->t;
    const struct catalogue_registry *r = catalogue_find(t->catalogue, h->label, strlen(h->label));
    enum name_kind kind = hostname_public_of(h->kind);
    int region = REGION_NONE;
    if (!r || (h->kind != kind && !(r->flags & CATALOGUE_PRIVATE)))
        return false;
    if (kind != NAME_GLOBAL) {
        region = catalogue_region_find(t->catalogue, h->region, strlen(h->region));
        if (region < 0 || !(r->replicas >> region & 1))
            return false;
    }
    if ((kind == NAME_REGIONAL && !(r->flags & CATALOGUE_REGIONAL)) ||
        (kind == NAME_DATA && !(r->flags & CATALOGUE_DATA))) // registry_offers
        return false;
    *out = (struct hop){r, kind, (uint8_t)region};
    return !(r->flags & CATALOGUE_STAGES) || hop_is_served(a, out);
}
