// SPDX-License-Identifier: Apache-2.0
// Where D is cut; see zone_cut.h.
#include "resolver/zone/zone_cut.h"

#include "config/endpoints.h"

#include <string.h>
#include <strings.h>

// The labels right before D, the last one first.
struct tail {
    const uint8_t *label[3];
    size_t n;
};

static struct tail tail_of(const uint8_t *w, const uint8_t *end)
{
    struct tail t = {{NULL, NULL, NULL}, 0};
    for (; w < end; w += 1u + *w) {
        t.label[2] = t.label[1];
        t.label[1] = t.label[0];
        t.label[0] = w;
        t.n++;
    }
    return t;
}

static bool label_is(const uint8_t *label, const char *word, size_t n)
{
    return label && label[0] == n && !strncasecmp((const char *)label + 1, word, n);
}

static int region_of(const struct topology *t, const uint8_t *label)
{
    char name[HOSTNAME_REGION_SIZE];
    if (label[0] >= sizeof name)
        return -1;
    for (size_t i = 0; i < label[0]; i++) {
        uint8_t c = label[1 + i];
        name[i] = (char)(c >= 'A' && c <= 'Z' ? c | 0x20 : c);
    }
    return catalogue_region_find(t->catalogue, name, label[0]);
}

enum answer_zone zone_cut_of(const struct topology *t, const uint8_t *name, size_t n)
{
    struct tail tail = tail_of(name, name + n - t->catalogue->apex_n);
    if (label_is(tail.label[0], "fe", 2))
        return ZONE_FRONTEND;
    if (t->private_cut == PRIVATE_CUT_NONE || !label_is(tail.label[0], "privatelink", 11))
        return ZONE_MAIN;
    if (t->private_cut == PRIVATE_CUT_PRIVATELINK)
        return ZONE_PRIVATELINK;
    int region = -1;
    if (tail.n > 2 && label_is(tail.label[1], "geo", 3))
        region = region_of(t, tail.label[2]);
    if (region < 0)
        return ZONE_MAIN;
    return (enum answer_zone)(ZONE_REGION + region);
}

enum answer_zone zone_cut_of_private(const struct topology *t, enum name_kind kind, uint8_t region)
{
    if (!endpoint_is_cut_off(t, kind))
        return ZONE_MAIN;
    if (t->private_cut == PRIVATE_CUT_PRIVATELINK)
        return ZONE_PRIVATELINK;
    return (enum answer_zone)(ZONE_REGION + region);
}

struct catalogue_labels zone_cut_apex(const struct topology *t, enum answer_zone zone)
{
    static const uint8_t fe[] = {2, 'f', 'e'};
    switch (zone) {
    case ZONE_MAIN:
        return (struct catalogue_labels){fe, 0};
    case ZONE_FRONTEND:
        return (struct catalogue_labels){fe, sizeof fe};
    case ZONE_PRIVATELINK:
        return t->catalogue->global_private;
    default:
        return t->catalogue->regions[zone - ZONE_REGION].geo_private;
    }
}

bool zone_cut_is_apex(const struct topology *t, enum answer_zone zone, size_t n)
{
    return n == zone_cut_apex(t, zone).n + t->catalogue->apex_n;
}
