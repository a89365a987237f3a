// SPDX-License-Identifier: Apache-2.0
// An issuer's discovery document: refused with a reason, or it is that issuer's and names a URL of
// bounded length, which the guard then reads.
#include "auth/oidc_priv.h"

#include "net/outbound_priv.h"

#include <stdlib.h>
#include <string.h>

#define ISSUER "https://issuer.example"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena a;
    const char *uri = NULL, *why = NULL;
    arena_init(&a, 1 << 20);
    int rc = discovery_parse((const char *)data, size, ISSUER, &a, &uri, &why);
    if (!rc != !!uri || (rc && !why))
        abort();
    if (uri) {
        static struct outbound_url url;
        if (strlen(uri) > ISSUER_VALUE_MAX)
            abort();
        if (!outbound_url_parse(uri, &url, &why) && strncmp(url.text, "https://", 8))
            abort();
    }
    arena_done(&a);
    return 0;
}
