// SPDX-License-Identifier: Apache-2.0
// Registers as text; see written.h.
#include "replication/written.h"

#include "base/err.h"
#include "config/hostname.h"
#include "store/entry.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// ---- writing ----

static int text_add(json_t *o, const char *key, const char *text)
{
    return json_object_set_new(o, key, json_string(text));
}

static int number_add(json_t *o, const char *key, uint64_t v)
{
    char text[24];
    snprintf(text, sizeof text, "%" PRIu64, v);
    return text_add(o, key, text);
}

static int digest_add(json_t *o, const char *key, const struct digest *d)
{
    char text[DIGEST_TEXT_SIZE];
    if (!d->n)
        return 0;
    return text_add(o, key, digest_format(d, text));
}

static int object_fill(json_t *o, const struct written *w)
{
    const struct register_value *v = &w->value;
    int rc = 0;
    if (w->tag)
        rc |= text_add(o, "tag", w->tag);
    else
        rc |= digest_add(o, "manifest", &w->manifest);
    rc |= digest_add(o, "digest", &v->digest);
    rc |= text_add(o, "origin", v->origin);
    rc |= number_add(o, "epoch", v->epoch);
    rc |= number_add(o, "stamp", v->stamp);
    if (v->create_only)
        rc |= number_add(o, "generation", v->generation);
    if (v->gone)
        rc |= json_object_set_new(o, "gone", json_true());
    return rc;
}

int written_format(const struct written *list, size_t n, struct buf *out)
{
    json_t *all = json_array();
    int rc = 0;
    for (size_t i = 0; all && !rc && i < n; i++) {
        json_t *o = json_object();
        rc = json_array_append_new(all, o);
        if (!rc)
            rc = object_fill(o, &list[i]);
    }
    char *text = NULL;
    if (all && !rc)
        text = json_dumps(all, JSON_COMPACT);
    json_decref(all);
    if (!text)
        return ERR_NOMEM;
    buf_str(out, text);
    free(text);
    return out->err;
}

// ---- reading ----

struct reading {
    struct arena *arena;
    const json_t *o;
    // latched
    int rc;
};

static const char *text_take(struct reading *r, const char *key)
{
    const json_t *v = json_object_get(r->o, key);
    if (v && !json_is_string(v))
        r->rc = ERR_INVAL;
    return json_string_value(v);
}

static uint64_t number_take(struct reading *r, const char *key)
{
    uint64_t v = 0;
    const char *text = text_take(r, key);
    if (!text || entry_decimal_parse(bytes_str(text), &v))
        r->rc = ERR_INVAL;
    return v;
}

static void digest_take(struct reading *r, const char *key, struct digest *out)
{
    const char *text = text_take(r, key);
    if (text && digest_parse(text, strlen(text), out))
        r->rc = ERR_INVAL;
}

static const char *copy_take(struct reading *r, const char *text)
{
    const char *copy = arena_strdup(r->arena, text);
    if (!copy && !r->rc)
        r->rc = ERR_NOMEM;
    return copy;
}

static void value_take(struct reading *r, struct register_value *out)
{
    const char *origin = text_take(r, "origin");
    const json_t *gone = json_object_get(r->o, "gone");
    digest_take(r, "digest", &out->digest);
    out->epoch = number_take(r, "epoch");
    out->stamp = number_take(r, "stamp");
    out->gone = json_is_true(gone);
    out->create_only = json_object_get(r->o, "generation");
    if (out->create_only)
        out->generation = number_take(r, "generation");
    if ((gone && !out->gone) || !origin || !hostname_region_ok(origin) ||
        (!out->digest.n && !out->gone))
        r->rc = ERR_INVAL;
    else
        out->origin = copy_take(r, origin);
}

static int object_take(struct arena *a, const json_t *o, struct written *out)
{
    struct reading r = {.arena = a, .o = o};
    const char *tag = text_take(&r, "tag");
    *out = (struct written){.tag = NULL};
    digest_take(&r, "manifest", &out->manifest);
    if (!json_is_object(o) || !tag == !out->manifest.n || (tag && !entry_tag_ok(tag)))
        return ERR_INVAL;
    if (tag)
        out->tag = copy_take(&r, tag);
    value_take(&r, &out->value);
    return r.rc;
}

int written_parse(struct bytes text, struct arena *a, struct written **out, size_t *out_n)
{
    json_t *all = json_loadb((const char *)text.p, text.n, JSON_REJECT_DUPLICATES, NULL);
    size_t n = json_array_size(all);
    struct written *list = NULL;
    int rc = ERR_INVAL;
    if (n && n <= WRITTEN_MAX) {
        list = arena_array(a, n, sizeof *list);
        rc = list ? 0 : ERR_NOMEM;
    }
    for (size_t i = 0; !rc && i < n; i++)
        rc = object_take(a, json_array_get(all, i), &list[i]);
    json_decref(all);
    if (rc)
        return rc;
    *out = list;
    *out_n = n;
    return 0;
}
