// SPDX-License-Identifier: Apache-2.0
// Lists that come in pages; see page.h.
#include "registry/page.h"

#include "registry/registry_priv.h"

#include "base/err.h"

#include <stdlib.h>
#include <string.h>

bool page_ask_read(struct op *op, struct http_response *resp, size_t max, struct page_ask *out)
{
    const char *n = http_query_get(op->req, "n", 0), *last = http_query_get(op->req, "last", 0);
    *out = (struct page_ask){.n = max};
    if (last && *last)
        out->last = last;
    if (!n)
        return true;
    size_t digits = strspn(n, "0123456789");
    if (!digits || n[digits]) {
        oci_error(op->req, resp, 400, OCI_PAGINATION_NUMBER_INVALID, NULL, "n is not a number");
        return false;
    }
    unsigned long long wanted = max;
    if (digits <= 9)
        wanted = strtoull(n, NULL, 10);
    if (wanted < max)
        out->n = (size_t)wanted;
    return true;
}

// RFC 3986 section 2.3: all but unreserved characters. NULL: no memory.
static const char *escaped(struct arena *a, const char *s)
{
    static const char plain[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
    char *text = arena_alloc(a, 3 * strlen(s) + 1);
    if (!text)
        return NULL;
    char *to = text;
    for (; *s; s++) {
        if (strchr(plain, *s)) {
            *to++ = *s;
            continue;
        }
        *to++ = '%';
        hex_format(s, 1, to);
        to += 2;
    }
    *to = 0;
    return text;
}

void page_link(struct op *op, struct http_response *resp, const struct page_next *next)
{
    const char *join = strchr(next->path, '?') ? "&" : "?";
    if (!next->key) {
        answer_header(op, resp, "Link", "<%s%sn=%zu&last=%s>; rel=\"next\"", next->path, join,
                      next->n, next->last);
        return;
    }
    const char *value = escaped(&op->req->arena, next->value);
    if (value)
        answer_header(op, resp, "Link", "<%s%sn=%zu&last=%s&%s=%s>; rel=\"next\"", next->path, join,
                      next->n, next->last, next->key, value);
    else
        op->failed = ERR_NOMEM;
}
