// SPDX-License-Identifier: Apache-2.0
// What a replacement of a peer certificate writes: its record in the ledger, and the frame that names
// it; see peer_roll.h. Pure.
#include "fleet/peer_roll_priv.h"

#include "base/digest.h"
#include "base/err.h"
#include "base/mem.h"
#include "control/identity_list.h"
#include "control/sections.h"
#include "net/json.h"

#include <string.h>

// --- records ---

int peer_record_format(const struct peer_record *r, struct buf *out)
{
    json_t *o = json_pack("{s:s, s:s, s:I, s:I}", "old", r->old, "next", r->next, "until",
                          (json_int_t)r->until_ms, "named", (json_int_t)r->named_ms);
    if (o && r->used_ms)
        json_object_set_new(o, "used", json_integer((json_int_t)r->used_ms));
    return json_text_add(o, out);
}

bool peer_print_take(const json_t *o, const char *key, char out[65])
{
    const char *s = json_string_value(json_object_get(o, key));
    uint8_t bytes[SHA256_BYTES];
    if (!s || strlen(s) != 64 || hex_parse(s, 64, bytes, sizeof bytes))
        return false;
    memcpy(out, s, 65);
    return true;
}

int peer_record_parse(const char *json, struct peer_record *out)
{
    json_t *o = json_loads(json, JSON_REJECT_DUPLICATES, NULL);
    struct peer_record r = {.until_ms = json_integer_value(json_object_get(o, "until")),
                            .named_ms = json_integer_value(json_object_get(o, "named")),
                            .used_ms = json_integer_value(json_object_get(o, "used"))};
    bool good = peer_print_take(o, "old", r.old) && peer_print_take(o, "next", r.next) &&
                r.until_ms > 0 && r.named_ms > 0 && r.used_ms >= 0;
    json_decref(o);
    if (!good)
        return ERR_INVAL;
    *out = r;
    return 0;
}

// --- the topology ---

bool peer_names(const struct topology *t, const char *region, const char *fingerprint)
{
    const struct region *r = topology_region(t, region);
    for (size_t i = 0; r && i < r->n_peer_fingerprints; i++)
        if (!strcmp(r->peer_fingerprints[i], fingerprint))
            return true;
    return false;
}

int peer_frame(const struct topology *t, const char *region, const char *add, const char *drop,
               struct arena *a, struct buf *out)
{
    struct identity_list *l = arena_alloc(a, sizeof *l);
    if (!l)
        return ERR_NOMEM;
    if (!t->frame->text)
        return ERR_UNSUPPORTED;
    identity_list_init(l);
    int rc = identity_list_add_all(l, t);
    struct identity *x = identity_of_region(l, region);
    struct identity_item *item = NULL;
    if (!rc && x && drop)
        item = identity_find(x, IDENTITY_FINGERPRINT, drop);
    if (item)
        identity_remove(x, IDENTITY_FINGERPRINT, item);
    if (!rc && add)
        rc = identity_add(l, region, IDENTITY_FINGERPRINT, (struct identity_item){.id = add});
    if (rc < 0)
        return rc;
    AUTO_FREE char *was = mem_strndup(t->frame->text, t->frame->text_n);
    const struct edit_section s = {"identities", identity_list_text(l, a)};
    if (!was || !s.text)
        return ERR_NOMEM;
    edit_sections(was, &s, 1, 0, out);
    return out->err;
}
