// SPDX-License-Identifier: Apache-2.0
#include "replication/peer_answer.h"

#include "base/err.h"
#include "replication/clock_track.h"
#include "replication/cursor.h"
#include "replication/speech.h"

#include <jansson.h>
#include <stdio.h>

// NULL: no JSON.
static json_t *document(struct bytes body)
{
    return json_loadb((const char *)body.p, body.n, JSON_REJECT_DUPLICATES, NULL);
}

int answer_mark(struct bytes body, struct feed_mark *out)
{
    json_t *o = document(body);
    const char *cursor = json_string_value(json_object_get(o, "mark"));
    int rc = ERR_PROTO;
    if (cursor && cursor_parse(cursor, out) == 0)
        rc = 0;
    json_decref(o);
    return rc;
}

int answer_clock(struct bytes body, int64_t *out_wall_ms, unsigned *out_speaks)
{
    json_t *o = document(body);
    const json_t *wall = json_object_get(o, "wallMs");
    int64_t ms = -1;
    if (json_is_integer(wall))
        ms = json_integer_value(wall);
    unsigned speaks = speech_answered(json_object_get(o, "speaks"));
    json_decref(o);
    if (ms < 0 || ms > CLOCK_WALL_MAX_MS)
        return ERR_PROTO;
    *out_wall_ms = ms;
    *out_speaks = speaks;
    return 0;
}

int answer_stored(struct bytes body, bool *out)
{
    json_t *o = document(body);
    const json_t *stored = json_object_get(o, "stored");
    int rc = ERR_PROTO;
    if (json_is_boolean(stored)) {
        *out = json_is_true(stored);
        rc = 0;
    }
    json_decref(o);
    return rc;
}

void answer_refusal(struct bytes body, char out[REFUSAL_SIZE])
{
    json_t *o = document(body);
    const json_t *first = json_array_get(json_object_get(o, "errors"), 0);
    const char *message = json_string_value(json_object_get(first, "message"));
    snprintf(out, REFUSAL_SIZE, "%s", message ? message : "");
    for (char *p = out; *p; p++)
        if (*p < ' ' || *p > '~')
            *p = '?';
    json_decref(o);
}
