// SPDX-License-Identifier: Apache-2.0
// See handed_on.h.
#include "daemon/handed_on.h"

#include "base/mem.h"

#include <string.h>

#define SAID_MAX 120 // of a strange answer that is repeated

// Has it the form of an answer of the engine (lifecycle/lifecycle.h)?
static bool is_of_engine(const json_t *doc, int status)
{
    const json_t *error = json_object_get(doc, "error");
    if (status / 100 != 2)
        return json_is_string(json_object_get(error, "code")) &&
               json_is_string(json_object_get(error, "message"));
    return json_object_get(doc, "operation") || json_object_get(doc, "whatIf") ||
           json_object_get(doc, "code");
}

// The sentence of an edge, whose errors are those of a registry; NULL: it has none.
static const char *edge_message(const json_t *doc)
{
    const json_t *first = json_array_get(json_object_get(doc, "errors"), 0);
    return json_string_value(json_object_get(first, "message"));
}

// The beginning of whatever came, as one line of ASCII.
static void said(const struct fleet_answer *a, const json_t *doc, char out[SAID_MAX + 1])
{
    const char *from = edge_message(doc);
    size_t n = a->body.n, at = 0;
    if (from)
        n = strlen(from);
    else
        from = (const char *)a->body.p;
    for (size_t i = 0; i < n && at < SAID_MAX; i++) {
        char c = from[i];
        if (c < ' ' || c > '~')
            c = ' ';
        out[at++] = c;
    }
    out[at] = '\0';
}

static json_t *strange(const char *writer, const struct fleet_answer *a, const json_t *doc)
{
    char text[SAID_MAX + 1];
    said(a, doc, text);
    AUTO_FREE char *why = mem_printf(
        "the writer region %s was asked, and what came back is not the answer to a request (status "
        "%d: \"%s\"): it is not known whether the change was made. See whether its daemon runs, "
        "and "
        "look at `meridian operation list` before you ask again",
        writer, a->status, text);
    if (!why)
        return NULL;
    return json_pack("{s:{s:s, s:s}}", "error", "code", "Unavailable", "message", why);
}

json_t *handed_on_answer(const char *writer, const struct fleet_answer *a, int *out_status)
{
    json_t *doc = json_loadb(buf_cstr(&a->body), a->body.n, 0, NULL);
    *out_status = a->status;
    if (is_of_engine(doc, a->status))
        return doc;
    json_t *error = strange(writer, a, doc);
    json_decref(doc);
    *out_status = 503;
    return error;
}
