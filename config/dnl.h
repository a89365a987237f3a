// SPDX-License-Identifier: Apache-2.0
// Scopes of domain name labels: who gets the same login label again. The label of a registry with a
// scope is its name and a hash of 16 letters and digits (config/hostname.h), so that one who takes
// a name after somebody else does not get the host names that others may still call. The words are
// those of `az acr create --dnl-scope`; a fleet has no tenants but the owners of registries, so
// that the three scopes of reuse are all by owner.
//
//   char hash[HOSTNAME_HASH_SIZE];
//   dnl_hash(DNL_TENANT_REUSE, "example.io", "ada", "contoso", 0, hash);   // contoso-<hash>
//
// Pure functions; any thread.
#ifndef MERIDIAN_CONFIG_DNL_H
#define MERIDIAN_CONFIG_DNL_H

#include "config/hostname.h"

enum dnl_scope {
    // the label is the name
    DNL_UNSECURE,
    DNL_TENANT_REUSE,
    DNL_SUBSCRIPTION_REUSE,
    DNL_RESOURCE_GROUP_REUSE,
    // never the same again
    DNL_NO_REUSE,
    N_DNL_SCOPES,
};

const char *dnl_scope_word(enum dnl_scope s);  // as documents have it, "tenant_reuse"
const char *dnl_scope_azure(enum dnl_scope s); // as az has it, "TenantReuse"
// Either, in any case. ERR_INVAL.
int dnl_scope_parse(const char *word, enum dnl_scope *out);
// "" for DNL_UNSECURE. `incarnation` (the version that creates the registry) counts for
// DNL_NO_REUSE only. Returns out.
const char *dnl_hash(enum dnl_scope s, const char *domain, const char *owner, const char *name,
                     uint64_t incarnation, char out[HOSTNAME_HASH_SIZE]);

#endif
