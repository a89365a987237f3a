// SPDX-License-Identifier: Apache-2.0
// Issuers of identities (OpenID Connect) that a registry trusts, the section `issuers` of
// principals.yaml: workloads show a token of such an issuer and get one of the registry's, with no
// password kept anywhere (POST /oauth2/exchange, docs/identities.md).
//
//   issuers:
//     - name: github
//       issuer: https://token.actions.githubusercontent.com   # the claim `iss`, exactly
//       registry: contoso              # whose tokens it is for: `aud` must be its global name
//       lifetime: 1h                   # of the refresh tokens that it leads to
//       rules:                         # the first that matches holds
//         - name: deploy
//           match: {repository_id: "123456", ref: refs/heads/main}
//           scope_map: _push
//           repositories: ["web/*"]
//     - name: cluster
//       issuer: https://kubernetes.default.svc.cluster.local
//       registry: contoso
//       ca_file: /etc/meridian/cluster-ca.pem    # or ca: base64 of one certificate's DER
//       address: 10.20.0.5:6443        # dialled for it; the node's outbound.allow must hold it
//       keys_file: /etc/meridian/cluster-keys.json   # or keys: '{"keys":[…]}'; then none is fetched
//       rules:
//         - name: builder
//           match:
//             sub: system:serviceaccount:ci:builder
//             kubernetes.io/serviceaccount/uid: e6a8680e-d103-4cce-80ea-03acbbeacf7d
//           grants: [{repositories: ["ci/*"], actions: [content/read, content/write]}]
//
// A rule says of each claim which values it takes (a text, or a list of them): all claims must
// match. "a/b/c" is the claim of that name, or the member c of b of a. A value of `sub` may end in
// "*" after at least two parts ("repo:contoso/*"). A rule must ask for `sub`, or for an id that its
// issuer never gives to another (issuer_id_claims): names of repositories and branches alone can
// become somebody else's.
//
// Part of struct principals, frozen with it.
#ifndef MERIDIAN_CONFIG_ISSUERS_H
#define MERIDIAN_CONFIG_ISSUERS_H

#include "base/addr.h"
#include "base/bytes.h"
#include "config/principals.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ISSUER_NAME_MAX 40
#define ISSUER_URL_MAX 512
#define ISSUER_VALUE_MAX 1024
#define ISSUER_LIFETIME_MIN_S 60
#define ISSUER_LIFETIME_MAX_S 3600
#define ISSUERS_MAX 256

struct claim_match {
    const char *claim;
    // any of them
    const char *const *values;
    size_t n_values;
};

struct issuer_rule {
    const char *name;
    const struct claim_match *matches;
    size_t n_matches;
    // NULL: grants are given; else as it was written, and grants are what it gives
    const char *scope_map;
    const char *const *repositories;
    size_t n_repositories;
    const struct grant *grants;
    size_t n_grants;
    // Over the issuer and what the rule matches, not over its grants; 63 bits, not 0. A refresh
    // token carries it, so it is void once either has changed.
    uint64_t fingerprint;
};

struct issuer {
    // letters, digits, hyphens
    const char *name;
    const char *url;
    const char *registry;
    // base64 of a certificate's DER, or a file; both NULL: the system's authorities
    const char *ca, *ca_file;
    // port 0: what the name resolves to
    struct endpoint address;
    // a JWK set (RFC 7517 section 5), or a file with one; both NULL: it is fetched
    const char *keys, *keys_file;
    uint32_t lifetime_s;
    const struct issuer_rule *rules;
    size_t n_rules;
    // over all that says where its keys come from
    uint64_t source;
};

// By the claim `iss`, among those of the registry. NULL: not one that it trusts.
const struct issuer *issuer_by_url(const struct principals *p, const char *registry,
                                   const char *url);
const struct issuer *issuer_by_name(const struct principals *p, const char *registry,
                                    const char *name);
const struct issuer_rule *issuer_rule_by_fingerprint(const struct issuer *i, uint64_t fingerprint);
bool issuer_name_ok(const char *s);
// Claims that name a thing for good; NULL past the last.
const char *issuer_id_claim(size_t i);
// Does a value of a rule take this value of the claim?
bool claim_value_matches(const char *claim, const char *pattern, const char *value);

#endif
