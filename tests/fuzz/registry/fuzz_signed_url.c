// SPDX-License-Identifier: Apache-2.0
// The value of a signed URL: nothing that was not made with the key is accepted; what is, is what
// was made.
#include "registry/signed_url.h"

#include "config/principals.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t key[SIGNED_URL_KEY_BYTES] = {7};
    struct signed_url u = {.kind = "upload",
                           .methods = SIGNED_URL_UPLOAD_METHODS,
                           .host = "contoso.eastus.geo.meridian.test",
                           .registry = "contoso",
                           .repository = "app",
                           .object = "eastus.0123456789abcdef0123456789abcdef",
                           .principal = "",
                           .expires_s = 2000000000};
    if (size > 4096)
        return 0;
    char *text = malloc(size + 1);
    if (!text)
        return 0;
    memcpy(text, data, size);
    text[size] = 0;
    struct arena a;
    const char *who = NULL, *again = NULL;
    arena_init(&a, 1 << 20);
    if (!signed_url_check(key, &u, text, 1800000000000, &a, &who)) {
        if (*who && !principal_subject_ok(who))
            abort();
        u.principal = who;
        char *expiry = strchr(text, '.');
        u.expires_s = strtoll(expiry + 1, NULL, 10);
        if (signed_url_make(key, &u, &a, &again) || strcmp(again, text))
            abort();
    }
    arena_done(&a);
    free(text);
    return 0;
}
