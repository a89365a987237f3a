// SPDX-License-Identifier: Apache-2.0
// The deep document; see health_deep.h.
#include "health/deep.h"

#include "base/err.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#define HYSTERESIS_PERCENT 8 // how far from a step's middle it holds

static int parse_impaired(const json_t *list, struct health_deep *d)
{
    size_t n = 0;
    if (list)
        n = json_array_size(list);
    if ((list && !json_is_array(list)) || n > HEALTH_DEEP_IMPAIRED_MAX)
        return ERR_CORRUPT;
    for (size_t i = 0; i < n; i++) {
        const char *label = json_string_value(json_array_get(list, i));
        // labels of registries have the grammar of a stamp's
        if (!label || !hostname_stamp_ok(label))
            return ERR_CORRUPT;
        memcpy(d->impaired[d->n_impaired++], label, strlen(label) + 1);
    }
    return 0;
}

static int parse(const json_t *root, const char *region, struct health_deep *d)
{
    const char *of = json_string_value(json_object_get(root, "region"));
    const json_t *stamp = json_object_get(root, "stamp"),
                 *headroom = json_object_get(root, "headroom");
    if (!of || strcmp(of, region) != 0)
        return ERR_CORRUPT;
    if (stamp && (!json_is_string(stamp) || !hostname_stamp_ok(json_string_value(stamp))))
        return ERR_CORRUPT;
    if (stamp)
        memcpy(d->stamp, json_string_value(stamp), strlen(json_string_value(stamp)) + 1);
    const char *status = json_string_value(json_object_get(root, "status"));
    d->is_short = status && !strcmp(status, "short");
    d->headroom_percent = 100;
    if (headroom) {
        json_int_t n = -1;
        if (json_is_integer(headroom))
            n = json_integer_value(headroom);
        if (n < 0 || n > 100)
            return ERR_CORRUPT;
        d->headroom_percent = (unsigned)n;
    }
    return parse_impaired(json_object_get(root, "impaired"), d);
}

int health_deep_parse(struct bytes text, const char *region, struct health_deep *out)
{
    struct health_deep d = {0};
    if (!text.n || text.n > HEALTH_DEEP_MAX_BYTES)
        return ERR_CORRUPT;
    json_t *root = json_loadb((const char *)text.p, text.n, JSON_REJECT_DUPLICATES, NULL);
    int rc = ERR_CORRUPT;
    if (json_is_object(root))
        rc = parse(root, region, &d);
    json_decref(root);
    if (!rc)
        *out = d;
    return rc;
}

uint8_t health_headroom_step(uint8_t was, unsigned percent)
{
    int off = (int)percent - 10 * was;
    if (abs(off) < HYSTERESIS_PERCENT)
        return was;
    return (uint8_t)((percent + 5) / 10);
}
