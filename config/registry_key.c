// SPDX-License-Identifier: Apache-2.0
// Registry keys; see registry_key.h.
#include "config/registry_key.h"

#include "base/err.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DIGITS_MAX 19 // of INT64_MAX

const char *registry_key_format(const char *name, uint64_t incarnation, char out[REGISTRY_KEY_SIZE])
{
    assert(strlen(name) < HOSTNAME_REGISTRY_SIZE && incarnation <= INT64_MAX);
    if (incarnation)
        snprintf(out, REGISTRY_KEY_SIZE, "%s@%llu", name, (unsigned long long)incarnation);
    else
        snprintf(out, REGISTRY_KEY_SIZE, "%s", name);
    return out;
}

// Decimal, without leading zeros, 1 to INT64_MAX.
static bool incarnation_parse(const char *digits, uint64_t *out)
{
    size_t n = strspn(digits, "0123456789");
    if (!n || n > DIGITS_MAX || digits[n] || *digits == '0')
        return false;
    *out = strtoull(digits, NULL, 10);
    return *out <= INT64_MAX;
}

int registry_key_parse(const char *text, struct registry_key *out)
{
    struct registry_key k = {0};
    size_t n = strcspn(text, "@");
    if (n >= sizeof k.name)
        return ERR_INVAL;
    memcpy(k.name, text, n);
    if (!hostname_registry_ok(k.name))
        return ERR_INVAL;
    if (text[n] && !incarnation_parse(text + n + 1, &k.incarnation))
        return ERR_INVAL;
    *out = k;
    return 0;
}

bool registry_key_ok(const char *text)
{
    struct registry_key k;
    return !registry_key_parse(text, &k);
}
