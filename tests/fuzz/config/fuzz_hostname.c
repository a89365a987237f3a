// SPDX-License-Identifier: Apache-2.0
// Any bytes as a name, as text, as wire form and as an HTTP Host: what is recognised formats and
// parses back to itself.
#include "config/hostname.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct hostname *h)
{
    char text[HOSTNAME_TEXT_SIZE];
    struct hostname again;
    if (h->kind == NAME_INVALID || h->kind == NAME_FOREIGN || h->kind == NAME_ENT) {
        if (h->kind != NAME_ENT &&
            (h->label[0] || h->registry[0] || h->hash[0] || h->region[0] || h->stamp[0]))
            abort();
        return;
    }
    if (hostname_format(h->kind, "example.io", h->label, h->region, h->stamp, text) ||
        hostname_parse(text, "example.io", &again) != h->kind || memcmp(h, &again, sizeof again))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct hostname h;
    char *text = malloc(size + 1);
    if (!text)
        return 0;
    memcpy(text, data, size);
    text[size] = 0;
    hostname_parse_wire(data, size, "example.io", &h);
    check(&h);
    hostname_parse(text, "example.io", &h);
    check(&h);
    hostname_parse_http_host(text, "example.io", &h);
    check(&h);
    free(text);
    return 0;
}
