// SPDX-License-Identifier: Apache-2.0
// Records of join tokens; see join_record.h. Pure.
#include "fleet/join_record.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "net/json.h"

#include <jansson.h>
#include <string.h>

static const char *const state_names[] = {"open", "used", "joined", "revoked"};

const char *join_state_name(enum join_state s)
{
    return state_names[s];
}

static void set_text(json_t *o, const char *key, const char *text)
{
    if (text)
        json_object_set_new(o, key, json_string(text));
}

static void set_time(json_t *o, const char *key, int64_t ms)
{
    if (ms)
        json_object_set_new(o, key, json_integer(ms));
}

int join_record_format(const struct join_record *r, struct buf *out)
{
    json_t *o = json_pack("{s:s, s:s, s:b, s:s, s:I, s:I, s:s, s:s}", "id", r->id, "region",
                          r->region, "replace", (int)r->replace, "key", r->key, "created",
                          (json_int_t)r->created_ms, "expires", (json_int_t)r->expires_ms, "by",
                          r->by, "state", state_names[r->state]);
    if (!o)
        return ERR_NOMEM;
    set_text(o, "joiner", r->joiner);
    set_time(o, "used", r->used_ms);
    set_text(o, "certificate", r->certificate);
    set_time(o, "refused", r->refused_ms);
    return json_text_add(o, out);
}

static const char *text_get(const json_t *o, const char *key, struct arena *a, bool *nomem)
{
    const char *s = json_string_value(json_object_get(o, key));
    if (!s)
        return NULL;
    s = arena_strdup(a, s);
    *nomem |= !s;
    return s;
}

static bool state_get(const json_t *o, enum join_state *out)
{
    const char *s = json_string_value(json_object_get(o, "state"));
    for (size_t i = 0; s && i < ARRAY_LEN(state_names); i++)
        if (!strcmp(s, state_names[i])) {
            *out = (enum join_state)i;
            return true;
        }
    return false;
}

static bool whole(const struct join_record *r)
{
    if (!r->id || strlen(r->id) != JOIN_TOKEN_ID_SIZE - 1 || !r->region || !r->key || !r->by)
        return false;
    bool has_joiner = r->state == JOIN_USED || r->state == JOIN_JOINED;
    if (has_joiner && !r->joiner)
        return false;
    return r->expires_ms > 0 && (r->state != JOIN_JOINED || r->certificate);
}

int join_record_parse(const char *json, struct arena *a, struct join_record *out)
{
    json_t *o = json_loads(json, JSON_REJECT_DUPLICATES, NULL);
    bool nomem = false, known = false;
    struct join_record r = {.id = text_get(o, "id", a, &nomem)};
    r.region = text_get(o, "region", a, &nomem);
    r.key = text_get(o, "key", a, &nomem);
    r.by = text_get(o, "by", a, &nomem);
    r.joiner = text_get(o, "joiner", a, &nomem);
    r.certificate = text_get(o, "certificate", a, &nomem);
    r.replace = json_is_true(json_object_get(o, "replace"));
    r.created_ms = json_integer_value(json_object_get(o, "created"));
    r.expires_ms = json_integer_value(json_object_get(o, "expires"));
    r.used_ms = json_integer_value(json_object_get(o, "used"));
    r.refused_ms = json_integer_value(json_object_get(o, "refused"));
    known = state_get(o, &r.state);
    json_decref(o);
    if (nomem)
        return ERR_NOMEM;
    if (!known || !whole(&r))
        return ERR_INVAL;
    *out = r;
    return 0;
}

static enum join_verdict refuse(struct diag *diag, const struct join_record *r, const char *why)
{
    diag_add(diag, NULL, 0, "join token %s is refused: %s", r->id, why);
    return JOIN_REFUSE;
}

enum join_verdict join_record_judge(const struct join_record *r, const struct join_request *q,
                                    const char *identity, int64_t now_ms, struct diag *diag)
{
    char at[CLOCK_TEXT_SIZE];
    if (strcmp(r->region, q->row.name) != 0) {
        diag_add(diag, NULL, 0, "join token %s is refused: it is for region %s, not for %s", r->id,
                 r->region, q->row.name);
        return JOIN_REFUSE;
    }
    if (r->state == JOIN_REVOKED)
        return refuse(diag, r, "it was revoked");
    if (now_ms >= r->expires_ms) {
        diag_add(diag, NULL, 0,
                 "join token %s is refused: it was good until %s; make another one with `meridian "
                 "join-token create %s`",
                 r->id, clock_format_s(r->expires_ms / 1000, at), r->region);
        return JOIN_REFUSE;
    }
    if (r->state == JOIN_OPEN)
        return JOIN_TAKE;
    if (strcmp(r->joiner, identity) != 0) {
        diag_add(diag, NULL, 0,
                 "join token %s is refused: a node with other keys used it at %s. If that was not "
                 "yours, "
                 "somebody has the token: revoke it (docs/joining.md)",
                 r->id, clock_format_s(r->used_ms / 1000, at));
        return JOIN_CONTEST;
    }
    if (r->state == JOIN_JOINED)
        return JOIN_AGAIN;
    return JOIN_GO_ON;
}
