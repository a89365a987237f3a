// SPDX-License-Identifier: Apache-2.0
// A query, then a line end, then the document that it runs on: neither makes the other fail, and
// what comes out is JSON.
#include "cli/query.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char why[QUERY_WHY_SIZE];
    const uint8_t *end = size ? memchr(data, '\n', size) : NULL;
    if (!end)
        return 0;
    size_t n = (size_t)(end - data);
    char *text = malloc(n + 1);
    if (!text)
        return 0;
    memcpy(text, data, n);
    text[n] = 0;
    struct arena a;
    arena_init(&a, 16 << 20);
    const struct query *q = query_parse(&a, text, why);
    if (!q && !*why)
        abort();
    json_t *doc = json_loadb((const char *)end + 1, size - n - 1, JSON_DECODE_ANY, NULL);
    if (q && doc) {
        json_t *v = query_run(q, doc);
        char *out = v ? json_dumps(v, JSON_ENCODE_ANY) : NULL;
        if (!out)
            abort();
        free(out);
        json_decref(v);
    }
    json_decref(doc);
    arena_done(&a);
    free(text);
    return 0;
}
