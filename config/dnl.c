// SPDX-License-Identifier: Apache-2.0
// Hashes of labels; see dnl.h. What they are made of never changes: host names hang on it.
#include "config/dnl.h"

#include "base/digest.h"
#include "base/err.h"
#include "base/mem.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

static const struct {
    const char *word, *azure;
} words[N_DNL_SCOPES] = {
    [DNL_UNSECURE] = {"unsecure", "Unsecure"},
    [DNL_TENANT_REUSE] = {"tenant_reuse", "TenantReuse"},
    [DNL_SUBSCRIPTION_REUSE] = {"subscription_reuse", "SubscriptionReuse"},
    [DNL_RESOURCE_GROUP_REUSE] = {"resource_group_reuse", "ResourceGroupReuse"},
    [DNL_NO_REUSE] = {"no_reuse", "NoReuse"},
};

const char *dnl_scope_word(enum dnl_scope s)
{
    return words[s].word;
}

const char *dnl_scope_azure(enum dnl_scope s)
{
    return words[s].azure;
}

int dnl_scope_parse(const char *word, enum dnl_scope *out)
{
    for (size_t i = 0; i < N_DNL_SCOPES; i++)
        if (!strcasecmp(word, words[i].word) || !strcasecmp(word, words[i].azure)) {
            *out = (enum dnl_scope)i;
            return 0;
        }
    return ERR_INVAL;
}

const char *dnl_hash(enum dnl_scope s, const char *domain, const char *owner, const char *name,
                     uint64_t incarnation, char out[HOSTNAME_HASH_SIZE])
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz234567";
    // domain, owner and name have bounds: 140, 128 and 50 bytes
    char text[512];
    uint8_t digest[SHA256_BYTES];
    out[0] = '\0';
    if (s == DNL_UNSECURE)
        return out;
    if (s != DNL_NO_REUSE)
        incarnation = 0;
    int n = snprintf(text, sizeof text, "meridian label 1\n%s\n%s\n%s\n%s\n%llu\n", words[s].word,
                     domain, owner, name, (unsigned long long)incarnation);
    if (n < 0 || (size_t)n >= sizeof text)
        n = (int)sizeof text - 1;
    sha256(text, (size_t)n, digest);
    // one letter a byte: 80 of 128 bits
    for (size_t i = 0; i < HOSTNAME_HASH_SIZE - 1; i++)
        out[i] = letters[digest[i] & 31];
    out[HOSTNAME_HASH_SIZE - 1] = '\0';
    return out;
}
