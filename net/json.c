// SPDX-License-Identifier: Apache-2.0
// See json.h.
#include "net/json.h"

#include "base/digest.h"
#include "base/err.h"
#include "base/mem.h"

#include <string.h>

int json_text_add(json_t *o, struct buf *out)
{
    AUTO_FREE char *text = NULL;
    if (o)
        text = json_dumps(o, JSON_COMPACT);
    json_decref(o);
    if (!text)
        return ERR_NOMEM;
    buf_str(out, text);
    return out->err;
}

json_t *json_binary(const void *p, size_t n)
{
    AUTO_FREE char *text = mem_alloc(b64_size(n));
    if (!text)
        return NULL;
    b64url_format(p, n, text);
    return json_string(text);
}

bool json_binary_take(const json_t *o, const char *member, void *out, size_t n)
{
    const char *text = json_string_value(json_object_get(o, member));
    size_t n_read = 0;
    if (!text || b64url_parse(text, strlen(text), out, n, &n_read))
        return false;
    return n_read == n;
}
