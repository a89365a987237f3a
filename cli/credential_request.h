// SPDX-License-Identifier: Apache-2.0
// kubelet's question to a credential provider (credentialprovider.kubelet.k8s.io): JSON on standard
// input, {"apiVersion": …, "kind": "CredentialProviderRequest", "image": "host/repository:tag"}.
//
//   struct credential_request q;
//   rc = credential_request_parse(text, n, &q);       // ERR_INVAL, ERR_UNSUPPORTED: another version
//
// Pure; any thread.
#ifndef MERIDIAN_CLI_CREDENTIAL_REQUEST_H
#define MERIDIAN_CLI_CREDENTIAL_REQUEST_H

#include <stddef.h>

#define CREDENTIAL_REQUEST_MAX_BYTES (64u << 10)

struct credential_request {
    // the answer has the same
    const char *api_version;
    // of the image: "contoso.example.io" or "contoso.example.io:8443"
    char host[256 + 6];
};

int credential_request_parse(const char *text, size_t n, struct credential_request *out);

#endif
